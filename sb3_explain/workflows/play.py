"""One call from an agent, or a model, to a video of an episode with its attributions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from stable_baselines3.common.base_class import BaseAlgorithm

from sb3_explain.agents.agent import Agent, read_agent
from sb3_explain.agents.observations import find_image
from sb3_explain.agents.targets.find import TargetLike, find_target
from sb3_explain.common.errors import ExplainError
from sb3_explain.common.signatures import check_arguments
from sb3_explain.envs.render_modes import NoFramesError
from sb3_explain.explainers.base import Explainer
from sb3_explain.explainers.explained import require_explained
from sb3_explain.explainers.make import default_explainer
from sb3_explain.explainers.named import name_explainer
from sb3_explain.report.overlay_styles import OverlayStyle, require_style
from sb3_explain.report.video import GAME_HEIGHT, require_video
from sb3_explain.states.collection import collect
from sb3_explain.states.dataset import StateDataset
from sb3_explain.states.environments import find_source
from sb3_explain.workflows.saliency_video import write_saliency_video

#: suffixes of videos
VIDEOS = (".mp4", ".gif")


@check_arguments
def play(
    agent: Agent | BaseAlgorithm,
    explainer: str | Explainer | None = None,
    env: Any = None,
    *,
    target: TargetLike = None,
    path: str | Path = "episode.mp4",
    n_steps: int = 300,
    states: StateDataset | None = None,
    seed: int = 0,
    behavior: str = "zoo",
    style: OverlayStyle = "heat",
    fps: float = 15,
    height: int = GAME_HEIGHT,
    progress: bool = True,
    **options: Any,
) -> Path:
    """Play an episode and write it as a video, with what speaks for each action taken.

    Pictures are shown under their map, on the rendered frame if there is one; for an agent that
    observes none, bars of the features stand beside the rendered frame.

    >>> from sb3_explain import play
    >>> play(model, "input_x_gradient", path="cartpole.mp4", n_steps=5, progress=False).name
    'cartpole.mp4'

    :param agent: an agent, or a model of stable-baselines3 or sb3-contrib
    :param explainer: an explainer, or the name of one, see :func:`list_explainers`; as
        :func:`plot` chooses it when not given
    :param env: environment as :func:`collect` takes it; the agent's own when not given
    :param target: what is explained in every state, such as ``"value"`` (see
        :mod:`sb3_explain.agents.targets`); the action taken when not given
    :param path: path of the video, which ends in ``.mp4`` or ``.gif``
    :param n_steps: largest number of steps that are shown
    :param states: states of the agent, for explainers that learn and for baselines
    :param seed: random seed of the episode
    :param behavior: how actions are chosen, as :func:`collect` takes it; ``"zoo"`` draws them by
        chance on Atari, as RL Zoo does, and ``"greedy"`` takes the likeliest
    :param style: how maps are drawn: ``"heat"``, ``"contour"`` or ``"spotlight"``
    :param fps: frames per second
    :param height: approximate height of the game in pixels
    :param progress: show progress bars on standard error
    :param options: arguments of the explainer's class, if it is given by name
    :return: the path
    :raises ExplainError: if the environment cannot be played or rendered, or the explainer does not
        support the agent
    """
    known = read_agent(agent)
    path = Path(path)
    if path.suffix not in VIDEOS:
        raise ExplainError(f"{str(path)!r}: give the video a path that ends in .mp4 or .gif")
    require_video(fps, height)
    require_style(style)
    if isinstance(explainer, str) and Path(explainer).suffix in VIDEOS:
        raise ExplainError(f"{explainer!r} stands for an explainer: give path={explainer!r}")
    if n_steps < 1:
        raise ExplainError(f"n_steps={n_steps}: give a positive number")
    # before anything is fitted; without frames, the pictures that the agent observes are shown
    source = find_source(known, env)
    try:
        render = source.choose_render(None if find_image(known) is not None else True)
    except NoFramesError as error:
        raise ExplainError(
            f"{error.reason}; without frames, plot(agent, observation) draws single states"
        ) from error
    chosen = default_explainer(known, target) if explainer is None else explainer
    made = name_explainer(known, chosen, states, target=target, **options)
    if target is not None:
        require_explained(made, find_target(known, target))
    played = collect(
        known, source, n_steps, seed=seed, max_per_episode=n_steps, render=render,
        behavior=behavior, progress=progress,
    )  # fmt: skip
    first = np.flatnonzero(played.episode == played.episode[0])[:n_steps]
    written = write_saliency_video(
        path, played, made, positions=first, target=target, bars=True, style=style, fps=fps,
        height=height, progress=progress,
    )  # fmt: skip
    assert written is not None  # there are rendered frames, or pictures
    return path
