"""Find the files of an agent: in rl-zoo3's folders, a clone of a Hub repository, or a bare zip."""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import itertools
import re
from pathlib import Path

from sb3_explain.common.errors import (
    MAX_CHARACTERS,
    ExplainError,
    find_close_name,
    join_names,
)
from sb3_explain.common.untrusted import one_line, quote, require_regular_file

CHECKPOINT = re.compile(r"rl_model_(\d{1,18})_steps\.zip")
#: what files hold that are given in the place of a model
NOT_MODELS = {
    ".npz": "arrays",
    ".onnx": "a network",
    ".pkl": "statistics or another pickle",
    ".pt": "weights",
    ".pth": "weights",
    ".safetensors": "weights",
    ".yml": "settings",
}
#: what to do where there is no agent, and nothing that may be meant
NEXT_STEP = (
    "give folder= a .zip that model.save wrote, or a folder of the zoo's agents; "
    "organization='sb3' downloads the zoo's own"
)


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

    :param folder: the zoo's folder of all agents, the folder of one run, a clone of a repository of
        the Hub, a folder with one ``.zip``, or the model, whose ``.zip`` may be left out
    :param algo: name of the algorithm in the zoo
    :param env_id: gymnasium id of the environment; only a model and a folder that holds it need
        none
    :param exp_id: number of the run; 0 for the newest run
    :param selection: which of the run's models to load
    :raises ExplainError: if there is no such agent; the error lists those that exist
    """
    try:
        if env_id is not None and ":" in env_id:
            # The zoo's folders have the module before the id, others may not.
            with contextlib.suppress(ExplainError):
                return _find_files(folder, algo, env_id.replace("/", "-"), exp_id, selection)
        return _find_files(folder, algo, env_id and folder_name(env_id), exp_id, selection)
    except (OSError, ValueError) as error:  # no permission, a name that is too long
        raise ExplainError(f"{quote(str(folder))} cannot be read ({one_line(error)})") from error


def folder_name(env_id: str) -> str:
    """Name of an environment in file names: without its module, and ``-`` in place of a slash."""
    return env_id.rpartition(":")[2].replace("/", "-")


def _find_files(
    folder: Path, algo: str, name: str | None, exp_id: int, selection: ModelSelection
) -> AgentFiles:
    return _find_beside(_find_model(folder, algo, name, exp_id, selection), algo, name)


def _find_model(
    folder: Path, algo: str, name: str | None, exp_id: int, selection: ModelSelection
) -> Path:
    # As Stable-Baselines3 does; a name that holds a dot (ppo_v1.0) is no suffix.
    with_suffix = folder.parent / f"{folder.name}.zip"
    if not folder.is_dir():
        if not folder.exists() and with_suffix.exists():
            folder = with_suffix
        return require_model(folder)
    if folder.suffix == ".zip":
        raise ExplainError(f"{folder} is a folder, not a .zip that model.save wrote")
    if name and ((folder / f"{name}.zip").is_file() or (folder / name).is_dir()):
        return _find_in_run(folder, name, selection)
    found = _find_in_plain_folder(folder, algo, name or "", selection) if exp_id == 0 else None
    if found is not None:
        return found
    if with_suffix.is_file() and not list_zips(folder):
        return with_suffix
    if not name:
        raise ExplainError(
            f"the name of the environment is needed to find its agent in {folder}: give env=..., "
            f"or the .zip itself ({list_zips(folder) or 'there is none'})"
        )
    return _find_in_run(_find_run(folder, algo, name, exp_id), name, selection)


def require_model(path: Path) -> Path:
    """Check that a path leads to a file that may be a model, and return it.

    :raises ExplainError: if it does not; the error says what it is, and which models are near
    """
    there = list_zips(path.parent, depth=0)  # what lies deeper, or elsewhere, is another's
    near = f"the .zip files beside it: {there}" if there else "there is no .zip beside it"
    if not path.exists():
        kind = "file" if path.suffix == ".zip" else "folder and no .zip"
        beside = [one.name for one in path.parent.iterdir()] if path.parent.is_dir() else []
        close = find_close_name(path.name, beside)
        if close is not None:
            near = f"did you mean {quote(str(path.parent / close))}?"
        step = f" ({near})" if there or close is not None else f": {NEXT_STEP}"
        raise ExplainError(f"there is no {kind} {quote(str(path))}{step}")
    require_regular_file(path)
    if path.suffix in NOT_MODELS and not _begins_as_model(path):
        raise ExplainError(
            f"{path.name} holds {NOT_MODELS[path.suffix]} only, not a model: give the .zip that "
            f"model.save wrote ({near})"
        )
    return path


def list_zips(folder: Path, limit: int = 10, depth: int = 2) -> str:
    """Paths of the first ``.zip`` files in a folder, joined by commas.

    :param folder: folder to look in
    :param limit: number of paths
    :param depth: number of levels of folders below it to look in
    """
    patterns = ("*.zip", "*/*.zip", "*/*/*.zip")[: depth + 1]
    found = (path for pattern in patterns for path in folder.glob(pattern) if path.is_file())
    first = list(itertools.islice(found, limit + 1))
    names = sorted(str(path.relative_to(folder)) for path in first[:limit])
    return ", ".join([*names, *(["..."] if len(first) > limit else [])])


def _begins_as_model(path: Path) -> bool:
    """Whether a file is a zip whose first member stands in no folder: torch's weights do."""
    with path.open("rb") as file:
        header = file.read(64)
    length = int.from_bytes(header[26:28], "little")
    return header.startswith(b"PK\x03\x04") and b"/" not in header[30 : 30 + length]


def _find_in_plain_folder(
    folder: Path, algo: str, name: str, selection: ModelSelection
) -> Path | None:
    """The model in a folder that is no zoo's: what callbacks wrote, a clone of the Hub, one zip."""
    if not selection.is_default:
        zips = {path.name for path in folder.glob("*.zip")}
        is_there = (
            "best_model.zip" in zips
            if selection.best
            else any(CHECKPOINT.fullmatch(other) for other in zips)
        )
        return _find_in_run(folder, name, selection) if is_there else None
    clone = folder / f"{algo}-{name}.zip"
    if name and clone.is_file():
        return clone
    if any(re.search(r"_\d+$", run.name) for run in folder.glob("*/*_*")):
        return None  # a zoo's folder, in which one more zip lies
    zips_here = [path for path in folder.glob("*.zip") if path.is_file()]
    if len(zips_here) != 1:
        return None
    # The zoo names models by their environments: that of another one is not meant.
    of_another = re.search(r"-v\d+$", zips_here[0].stem) and name not in zips_here[0].stem
    return None if of_another else zips_here[0]


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
        there = list_zips(folder)
        if not there:
            raise ExplainError(
                f"there is no agent in {str(folder)!r} (no {algo}/{name}_1, no .zip): {NEXT_STEP}"
            )
        raise ExplainError(
            f"there is no agent in {str(folder)!r}: give the folder that holds {algo}/{name}_1, "
            f"the run's own folder, or a .zip (there is: {there})"
        )
    raise _unknown_agent(folder, algo, name, agents)


def _unknown_agent(folder: Path, algo: str, name: str, agents: set[str]) -> ExplainError:
    """The error that names the agents of the nearest environment, those of like algorithms first.

    :param agents: all agents of the folder, ``<algo>/<name>``
    """
    algorithms: dict[str, list[str]] = {}
    for agent in sorted(agents):
        of_algorithm, _, of_name = agent.partition("/")
        algorithms.setdefault(of_name, []).append(of_algorithm)
    close = find_close_name(name, algorithms)
    hint = ""
    if close is not None:
        alike = difflib.get_close_matches(algo, algorithms[close], n=len(agents), cutoff=0)
        meant = [algo] if algo in alike else alike
        hint = f"; did you mean {' or '.join(quote(f'{each}/{close}') for each in meant)}?"
    said = f"unknown agent in {folder}: {quote(f'{algo}/{name}')}{hint} (known: "
    return ExplainError(f"{said}{join_names(sorted(agents), MAX_CHARACTERS - len(said) - 1)})")


def _find_runs(folder: Path, name: str) -> dict[int, Path]:
    found = ((re.fullmatch(rf"{re.escape(name)}_(\d+)", run.name), run) for run in folder.glob("*"))
    return {int(match[1]): run for match, run in found if match}


def _find_in_run(run: Path, name: str, selection: ModelSelection) -> Path:
    checkpoints = {
        int(match[1]): path
        for path in run.glob("rl_model_*_steps.zip")
        if (match := CHECKPOINT.fullmatch(path.name))
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
    if not (run / file_name).exists():
        there = list_zips(run, 20, depth=0)
        step = f" (there is: {there})" if there else f", and no other .zip: {NEXT_STEP}"
        raise ExplainError(f"there is no {file_name} in {run}{step}")
    return run / file_name


def _find_beside(model: Path, algo: str, name: str | None) -> AgentFiles:
    """A model with the files beside it, in ``<env>/`` as the zoo has them, or as the Hub has them.

    Of what lies beside any other zip, only the statistics are taken.
    """
    folder = model.parent / (name or "")
    is_zoo = bool(name) and folder.is_dir()
    if not is_zoo:
        folder = model.parent
    steps = CHECKPOINT.fullmatch(model.name)
    match = re.search(r"_(\d+)$", model.parent.name) if is_zoo else None
    statistics = [folder / "vecnormalize.pkl", folder / "vec_normalize.pkl"]
    if steps:
        statistics.insert(0, model.parent / f"rl_model_vecnormalize_{steps[1]}_steps.pkl")
    documented = is_zoo or (model.stem.startswith(f"{algo}-") and (folder / "args.yml").exists())
    return AgentFiles(
        model,
        config=_find_first(folder / "config.yml") if documented else None,
        args=_find_first(folder / "args.yml") if documented else None,
        env_kwargs=_find_first(folder / "env_kwargs.yml") if documented else None,
        statistics=_find_first(*statistics),
        run=int(match[1]) if match else None,
    )


def _find_first(*paths: Path) -> Path | None:
    """The first path that exists; ``None`` if none does."""
    # A folder or a pipe in a file's place is not taken for a file that is missing: its reader says.
    return next((path for path in paths if path.exists()), None)
