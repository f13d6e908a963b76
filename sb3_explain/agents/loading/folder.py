"""Find the files of an agent in a folder that rl-zoo3 wrote."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

from sb3_explain.common.errors import ExplainError, unknown_name


@dataclasses.dataclass(frozen=True)
class ModelSelection:
    """Which of a run's models to load; without arguments, the model at the end of training.

    :param best: load ``best_model.zip``
    :param checkpoint: load ``rl_model_<checkpoint>_steps.zip``
    :param last_checkpoint: load the checkpoint after the most steps
    :raises ExplainError: if more than one of them is chosen
    """

    best: bool = False
    checkpoint: int | None = None
    last_checkpoint: bool = False

    def __post_init__(self) -> None:
        if sum((self.best, self.checkpoint is not None, self.last_checkpoint)) > 1:
            raise ExplainError(
                "give one of load_best, load_checkpoint and load_last_checkpoint, not several"
            )

    @property
    def is_default(self) -> bool:
        """Whether the model at the end of training is chosen."""
        return not self.best and self.checkpoint is None and not self.last_checkpoint


@dataclasses.dataclass(frozen=True)
class AgentFiles:
    """The files of one agent; all but the model may be missing.

    :param model: path of the zip that ``model.save`` wrote
    :param config: path of ``config.yml``, the hyperparameters
    :param args: path of ``args.yml``, the arguments of the command line
    :param env_kwargs: path of ``env_kwargs.yml``, the arguments of the environment
    :param statistics: path of the statistics of VecNormalize
    :param run: number of the run, if it has one
    :param source: repository and commit on the Hub, if the files come from there
    """

    model: Path
    config: Path | None = None
    args: Path | None = None
    env_kwargs: Path | None = None
    statistics: Path | None = None
    run: int | None = None
    source: str | None = None


def find_files(
    folder: Path, algo: str, env_id: str | None, exp_id: int, selection: ModelSelection
) -> AgentFiles:
    """Find the files of one agent.

    :param folder: the zoo's folder of all agents, the folder of one run, or a ``.zip``
    :param algo: name of the algorithm in the zoo
    :param env_id: gymnasium id of the environment; only a ``.zip`` does not need it
    :param exp_id: number of the run; 0 for the newest run
    :param selection: which of the run's models to load
    :raises ExplainError: if there is no such agent; the error lists those that exist
    """
    if folder.suffix == ".zip":
        return _find_beside(_find_zip(folder), env_id)
    if not folder.is_dir():
        raise ExplainError(f"there is no folder {str(folder)!r}: give folder=...")
    if env_id is None:
        raise ExplainError("the name of the environment is needed to find its agent: give env=...")
    name = folder_name(env_id)
    if (folder / f"{name}.zip").is_file() or (folder / name).is_dir():
        run = folder
    else:
        run = _find_run(folder, algo, name, exp_id)
    return _find_beside(_find_model(run, name, selection), env_id)


def folder_name(env_id: str) -> str:
    """Name of an environment in the zoo's file names, which have ``-`` in place of a slash."""
    return env_id.replace("/", "-")


def _find_zip(path: Path) -> Path:
    if not path.exists():
        there = ", ".join(sorted(other.name for other in path.parent.glob("*.zip"))[:10])
        raise ExplainError(f"there is no file {str(path)!r} (beside it: {there or 'no .zip'})")
    return path


def _find_run(folder: Path, algo: str, name: str, exp_id: int) -> Path:
    """``<folder>/<algo>/<name>_<id>``, or ``<folder>/<algo>`` if its runs have no numbers."""
    of_algorithm = folder / algo
    runs = _find_runs(of_algorithm, name)
    if exp_id == 0 and runs:
        return runs[max(runs)]
    if exp_id in runs:
        return runs[exp_id]
    if not runs and (of_algorithm / f"{name}.zip").is_file():
        return of_algorithm
    if runs:
        raise ExplainError(
            f"there is no run {exp_id} of {algo} on {name} in {folder} "
            f"(there are: {', '.join(map(str, sorted(runs)))})"
        )
    agents = {
        f"{run.parent.name}/{run.name.rpartition('_')[0]}"
        for run in folder.glob("*/*_*")
        if re.search(r"_\d+$", run.name)
    }
    if not agents:
        raise ExplainError(
            f"there is no agent in {str(folder)!r}: give the folder that holds "
            f"{algo}/{name}_1, the run's own folder, or a .zip"
        )
    raise unknown_name(f"agent in {folder}:", f"{algo}/{name}", sorted(agents)[:40])


def _find_runs(folder: Path, name: str) -> dict[int, Path]:
    found = ((re.fullmatch(rf"{re.escape(name)}_(\d+)", run.name), run) for run in folder.glob("*"))
    return {int(match[1]): run for match, run in found if match}


def _find_model(run: Path, name: str, selection: ModelSelection) -> Path:
    checkpoints = {
        int(match[1]): path
        for path in run.glob("rl_model_*_steps.zip")
        if (match := re.fullmatch(r"rl_model_(\d+)_steps\.zip", path.name))
    }
    if selection.last_checkpoint and checkpoints:
        return checkpoints[max(checkpoints)]
    file_name = f"{name}.zip"
    if selection.best:
        file_name = "best_model.zip"
    elif selection.checkpoint is not None:
        file_name = f"rl_model_{selection.checkpoint}_steps.zip"
    elif selection.last_checkpoint:
        file_name = "rl_model_*_steps.zip"
    if not (run / file_name).is_file():
        there = ", ".join(sorted(path.name for path in run.glob("*.zip"))[:20])
        raise ExplainError(f"there is no {file_name} in {run} (there is: {there or 'no .zip'})")
    return run / file_name


def _find_beside(model: Path, env_id: str | None) -> AgentFiles:
    """A model with the files that the zoo writes beside it into ``<env>/``, if there are any."""
    if env_id is None or not (beside := model.parent / folder_name(env_id)).is_dir():
        return AgentFiles(model)

    def there(path: Path) -> Path | None:
        # A folder or a pipe in a file's place is not taken for a file that is missing.
        return path if path.exists() else None

    match = re.search(r"_(\d+)$", model.parent.name)
    steps = re.fullmatch(r"rl_model_(\d+)_steps\.zip", model.name)
    of_checkpoint = model.parent / f"rl_model_vecnormalize_{steps[1]}_steps.pkl" if steps else None
    return AgentFiles(
        model,
        config=there(beside / "config.yml"),
        args=there(beside / "args.yml"),
        env_kwargs=there(beside / "env_kwargs.yml"),
        statistics=(there(of_checkpoint) if of_checkpoint else None)
        or there(beside / "vecnormalize.pkl"),
        run=int(match[1]) if match else None,
    )
