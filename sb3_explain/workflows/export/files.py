"""``export``: steps of an agent with their attributions as video, GIF, frames or recording."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from stable_baselines3.common.base_class import BaseAlgorithm

from sb3_explain.agents.agent import Agent, read_agent
from sb3_explain.agents.observations import find_image
from sb3_explain.agents.targets.find import TargetLike, find_target
from sb3_explain.common.errors import ExplainError
from sb3_explain.common.signatures import check_arguments
from sb3_explain.common.untrusted import quote
from sb3_explain.explainers import EXPLAINERS
from sb3_explain.explainers.base import Explainer, FittedExplainer
from sb3_explain.explainers.explained import require_explained
from sb3_explain.explainers.make import default_explainer, make_explainer, make_unfitted
from sb3_explain.explainers.named import name_explainer
from sb3_explain.explainers.requirements import require_supported
from sb3_explain.report.measured import read_metrics
from sb3_explain.report.overlay_styles import OverlayStyle, require_style
from sb3_explain.report.video import GAME_HEIGHT, require_video
from sb3_explain.states.dataset import StateDataset
from sb3_explain.workflows.chosen_explainers import list_fitted, list_measured
from sb3_explain.workflows.export.explained_steps import ExplainedSteps, explain_steps
from sb3_explain.workflows.export.frames import require_own, write_frames
from sb3_explain.workflows.export.recording import import_rerun, write_recording
from sb3_explain.workflows.export.steps import Steps, WhichEpisode, choose_part
from sb3_explain.workflows.saliency_video import write_saliency_video
from sb3_explain.workflows.whole_episodes import STORES

#: suffixes of the files; a path without a suffix is a folder of frames
VIDEO, GIF, RECORDING, FRAMES = ".mp4", ".gif", ".rrd", ""
#: number of steps by default, and of a GIF alone, which a README shows
STEPS, GIF_STEPS = 300, 100
#: height of the game in a GIF by default
GIF_HEIGHT = 420


@dataclasses.dataclass(frozen=True)
class Exported:
    """What :func:`export` has written: ``print`` says which steps, and how large the files are.

    :param paths: paths of the files and folders
    :param steps: the steps that they show
    :param explainer: name of the explainer
    """

    paths: list[Path]
    steps: Steps
    explainer: str

    def __str__(self) -> str:
        """Say which steps they are, and name each file with its size."""
        files = [f"{measure_size(path):>8}  {path}" for path in self.paths]
        return "\n".join([f"{self.steps}, explained by {self.explainer}", *files])


@check_arguments
def export(
    agent: Agent | BaseAlgorithm,
    output: str | Path,
    *paths: str | Path,
    explainer: str | Explainer | None = None,
    target: TargetLike = None,
    episode: WhichEpisode = "worst",
    start: int | None = None,
    n_steps: int | None = None,
    style: OverlayStyle = "heat",
    fps: float = 15,
    height: int | None = None,
    progress: bool = True,
) -> Exported:
    """Write steps of an episode, with what speaks for each action taken, as files.

    >>> from sb3_explain import explain, export
    >>> evaluation = explain(
    ...     agent, folder, n_states=200, n_evaluated=10, metrics=["sparseness"], progress=False
    ... )
    >>> made = export(agent, folder, folder / "cartpole.gif", n_steps=5, progress=False)
    >>> len(made.steps), made.paths[0].name
    (5, 'cartpole.gif')

    :param agent: the agent that was explained
    :param output: folder of :func:`explain`, whose episodes are shown
    :param paths: what is written: ``.mp4`` a video, ``.gif`` an animated GIF, ``.rrd`` a recording
        for Rerun; a path without a suffix is a folder of pictures, maps and numbers
    :param explainer: an explainer that is ready to explain, or a name, where one that learns is
        loaded from ``output``; that of the page's first row when not given
    :param target: what is explained in every step, such as ``"LEFT"`` or ``"value"`` (see
        :mod:`sb3_explain.agents.targets`); that of the page when not given, or the action taken
    :param episode: number of the episode, or ``"worst"`` or ``"best"`` by its return
    :param start: number of the first step; when not given, the end of the episode is shown
    :param n_steps: number of steps, at most; 300 when not given, or 100 of GIFs alone
    :param style: how maps are drawn: ``"heat"``, ``"contour"`` or ``"spotlight"``
    :param fps: steps per second
    :param height: approximate height of the game in pixels; 640 when not given, 420 of a GIF
    :param progress: show progress bars
    :return: the paths, and which steps they show
    :raises ExplainError: if there are no such states, steps or pictures, or for a suffix, an
        explainer or a target that does not fit
    """
    agent = read_agent(agent)
    output, files = Path(output), [Path(path) for path in paths]
    require_files(files)
    require_style(style)
    require_video(fps, GAME_HEIGHT if height is None else height)
    states = open_episodes(output)
    states.require_labels_of(agent)
    if n_steps is None:
        n_steps = GIF_STEPS if {path.suffix for path in files} == {GIF} else STEPS
    steps = choose_part(states, episode, start, n_steps)
    if target is None and (output / "metrics.json").exists():
        target = (read_metrics(output / "metrics.json").get("states") or {}).get("target")
    made = find_explainer(agent, output, explainer, target)
    if target is not None:
        require_explained(made, find_target(agent, target))
    shown = {VIDEO, GIF} & {path.suffix for path in files}
    if shown and not has_pictures(agent, states):
        raise ExplainError(
            f"{output} has no rendered frames, and the agent observes no images: a video needs "
            "some, so explain without render=False; frames and Rerun files have the numbers"
        )
    explained = explain_steps(states, steps, made, target, progress=progress)
    for path in files:
        write_file(path, explained, style=style, fps=fps, height=height, progress=progress)
    return Exported(files, steps, made.name)


def require_files(files: list[Path]) -> None:
    """Check where something is to be written, before anything is explained.

    :raises ExplainError: for no file, one of another kind, or what needs a package that is missing
    """
    if not files:
        raise ExplainError("nothing to write: give a path that ends in .mp4, .gif or .rrd")
    for path in files:
        if path.suffix not in (VIDEO, GIF, RECORDING, FRAMES):
            raise ExplainError(
                f"{quote(str(path))}: give a path that ends in .mp4, .gif or .rrd, or a folder "
                "without a suffix"
            )
        if path.suffix == RECORDING:
            import_rerun()
        elif path.suffix == FRAMES:
            require_own(path)


def open_episodes(output: Path) -> StateDataset:
    """Open the states of whole episodes of an output folder, or else those that were collected.

    :raises ExplainError: if there are none
    """
    for folder in (output / name for name in STORES):
        if folder.exists():
            return StateDataset.open(folder)
    raise ExplainError(f"{output} holds no states yet: run `sb3-explain explain` first")


def find_explainer(
    agent: Agent, output: Path, explainer: str | Explainer | None, target: TargetLike
) -> Explainer:
    """Make an explainer, or load it; the one that the page of a folder is about when not given.

    :param agent: agent to explain
    :param output: folder of the page
    :param explainer: an explainer that is ready to explain, or a name
    :param target: what is explained
    :raises ExplainError: if it does not support the agent, or has still to be fitted
    """
    if explainer is None:
        known = list_measured(output) or list_fitted(output)
        explainer = known[0] if known else default_explainer(agent, target)
    if not isinstance(explainer, str):
        return name_explainer(agent, explainer)
    kind = EXPLAINERS[explainer]
    if issubclass(kind, FittedExplainer):
        return make_explainer(explainer, agent, folder=output / explainer)
    require_supported(kind, agent)
    collected = output / "states"  # which baselines of the page are fitted on
    states = StateDataset.open(collected) if collected.exists() else open_episodes(output)
    return make_unfitted(explainer, agent, states)


def has_pictures(agent: Agent, states: StateDataset) -> bool:
    """Whether there is something to show: rendered frames, or images that the agent observes."""
    return find_image(agent) is not None or states.rendered([0]) is not None


def write_file(
    path: Path,
    explained: ExplainedSteps,
    *,
    style: OverlayStyle,
    fps: float,
    height: int | None,
    progress: bool,
) -> None:
    """Write one file, or folder, of a kind that its suffix says."""
    if path.suffix == RECORDING:
        write_recording(path, explained, style=style, fps=fps, progress=progress)
        return
    if height is None:
        height = GIF_HEIGHT if path.suffix == GIF else GAME_HEIGHT
    if path.suffix == FRAMES:
        write_frames(path, explained, style=style, height=height, progress=progress)
        return
    scaled, positions = explained.scaled, explained.steps.positions
    write_saliency_video(
        path,
        explained.states,
        explained.explainer,
        positions,
        attributions=None if scaled is None else dict(zip(positions.tolist(), scaled, strict=True)),
        bars=True,
        features=explained.by_key,
        target=explained.target,
        style=style,
        fps=fps,
        height=height,
        progress=progress,
    )


def measure_size(path: Path) -> str:
    """Measure a file, or all files of a folder, in words."""
    files = path.iterdir() if path.is_dir() else [path]
    size = sum(file.stat().st_size for file in files)
    return f"{size / 1e6:.1f} MB" if size >= 1e5 else f"{size / 1e3:.0f} kB"
