"""Counterfactual outcomes: what would have happened if the agent had acted otherwise at a step."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.base_class import BaseAlgorithm

from sb3_explain.agents.agent import Agent, read_agent
from sb3_explain.agents.targets.find import find_action
from sb3_explain.common.bootstrap import Interval, confidence_interval
from sb3_explain.common.errors import ExplainError
from sb3_explain.common.files import write_json, write_text
from sb3_explain.common.numbers import require_number, require_whole
from sb3_explain.common.progress import progress_bar
from sb3_explain.common.signatures import check_arguments
from sb3_explain.report.branch_pictures import BranchPictures
from sb3_explain.report.figures import save
from sb3_explain.report.video import require_video, write_pictures
from sb3_explain.states.branches import Brancher, Played
from sb3_explain.states.environments import AnyEnv, find_source

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[np.float64]

#: number of steps that the video shows before the step where branches part, and after it
BEFORE, AFTER = 10, 200
#: number of rows of pictures on the sheet
ROWS = 4


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What follows an action, over n continuations in which the agent plays on.

    >>> from sb3_explain import outcomes
    >>> own, other = outcomes(agent, 5, n_continuations=3, progress=False).outcomes
    >>> own.is_own, other.is_own, own.difference.mean
    (True, False, 0.0)

    :param action: name of the action, or its numbers
    :param is_own: whether it is the action that the agent took
    :param returns: (n,) return from the step on, which includes the reward of the action
    :param lengths: (n,) number of steps from the step on
    :param endings: n times ``"terminated"``, ``"truncated"`` or ``"cut"``
    :param interval: mean return with its confidence interval; without bounds of one continuation
    :param difference: mean of the return less that of the agent's own action in the continuation
        of the same random numbers, with its interval
    :param frames: pictures (h, w, 3) of the first continuation by step of the episode
    """

    action: str
    is_own: bool
    returns: Array
    lengths: NDArray[np.int64]
    endings: tuple[str, ...]
    interval: Interval
    difference: Interval
    frames: dict[int, NDArray[np.uint8]] = dataclasses.field(repr=False, default_factory=dict)

    def __str__(self) -> str:
        """Say in a line what follows."""
        said = f"{self.action}: return {_say(self.interval)}, {self.lengths.mean():.4g} steps"
        said += f", {_count(self.endings)}"
        return said + (
            " (the agent's own action)" if self.is_own else f"; difference {_say(self.difference)}"
        )


@dataclasses.dataclass(frozen=True)
class Outcomes:
    """What follows each of several actions at one step of an episode.

    >>> from sb3_explain import outcomes
    >>> found = outcomes(agent, 5, ["left", "right"], n_continuations=3, progress=False)
    >>> sorted(one.action for one in found.outcomes)
    ['left', 'right']

    :param env_id: name of the environment
    :param episode: number of the episode
    :param step: number of the step
    :param seed: random seed of the episodes
    :param outcomes: the outcome of each action, that of the agent's own first
    :param is_exact: whether nothing is random after the step, so that one continuation is all
        there is
    :param episode_return: return of the episode as it went
    """

    env_id: str
    episode: int
    step: int
    seed: int
    outcomes: tuple[Outcome, ...]
    is_exact: bool
    episode_return: float

    def __str__(self) -> str:
        """Say what follows each action, a line each."""
        n = len(self.outcomes[0].returns)
        how = "nothing is random: exact" if self.is_exact else f"{n} continuation(s) each"
        head = (
            f"{self.env_id}, step {self.step} of episode {self.episode} (seed {self.seed}); {how}"
        )
        return "\n".join([head, *map(str, self.outcomes)])

    def table(self) -> pd.DataFrame:
        """Make a table with a row for each action: return, interval, difference and length."""
        from sb3_explain.common.whole_table import WholeTable

        return WholeTable(
            {
                "action": one.action,
                "own": one.is_own,
                **one.interval._asdict(),
                "difference": one.difference.mean,
                "difference_low": one.difference.low,
                "difference_high": one.difference.high,
                "length": one.lengths.mean(),
            }
            for one in self.outcomes
        )

    def save(self, folder: str | Path, *, fps: float = 15) -> Path:
        """Write ``outcomes.json``, ``outcomes.txt`` and, where frames were drawn, pictures.

        These are a video, a GIF and a sheet.

        :param folder: folder, which is created
        :param fps: frames per second of the video
        :return: the video, or the JSON file where there are no frames
        :raises ExplainError: if a file cannot be written
        """
        require_video(fps)
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        plain = dataclasses.asdict(self)
        for one in plain["outcomes"]:
            del one["frames"]
            one |= {"returns": one["returns"].tolist(), "lengths": one["lengths"].tolist()}
        write_json(folder / "outcomes.json", plain)
        write_text(folder / "outcomes.txt", f"{self}\n")
        if not self.outcomes[0].frames:
            return folder / "outcomes.json"
        pictures = self._picture()
        for name in ("outcomes.mp4", "outcomes.gif"):
            write_pictures(folder / name, pictures.draw_all(), fps)
        save(folder / "outcomes.png", pictures.draw_sheet(ROWS))
        return folder / "outcomes.mp4"

    def _picture(self) -> BranchPictures:
        titles = [
            f"{one.action}{' (own)' if one.is_own else ''}: return {one.interval.mean:.4g}"
            for one in self.outcomes
        ]
        return BranchPictures(titles, [one.frames for one in self.outcomes], self.step)


@check_arguments
def outcomes(
    agent: Agent | BaseAlgorithm,
    step: int,
    actions: Sequence[Any] | None = None,
    *,
    env: AnyEnv | None = None,
    episode: int = 0,
    n_continuations: int = 20,
    deterministic: bool | None = None,
    max_steps: int | None = None,
    render: bool | None = False,
    seed: int = 0,
    confidence: float = 0.95,
    progress: bool = True,
) -> Outcomes:
    """Say what would have happened if the agent had acted otherwise at a step of an episode.

    The episode is played again from its seed to the step, with the same actions, and each
    observation and reward is compared with the first time, to the bit. Then the action is taken,
    and the agent plays on. The branch of the agent's own action has to be the episode as it went.

    Where the agent's actions or the environment are random after the step, several continuations
    are played. The first has the random numbers of the episode; those of the others are the same
    for each action, so that differences are of pairs. Where nothing is random, one continuation is
    the exact outcome.

    >>> from sb3_explain import outcomes
    >>> found = outcomes(agent, 5, n_continuations=3, progress=False)
    >>> found.outcomes[0].is_own, len(found.outcomes)
    (True, 2)

    :param agent: an agent, or a model of stable-baselines3 or sb3-contrib
    :param step: number of the step, from 0
    :param actions: actions to compare with the agent's own: names or indices, or arrays of a Box or
        a space of several sub-actions; the one of the next highest score when not given
    :param env: the environment, as :func:`sb3_explain.collect` takes it; the agent's own when not
        given
    :param episode: number of the episode, from which its seed follows together with ``seed``
    :param n_continuations: number of continuations of each action, where anything is random
    :param deterministic: whether the agent's actions are greedy; as in RL Zoo when not given
    :param max_steps: largest number of steps after the step; to the end of the episode when not
        given
    :param render: whether to draw frames for the video; ``None`` where the environment can
    :param seed: random seed of the episode, of continuations and of the bootstrap
    :param confidence: confidence level of the intervals, in (0, 1)
    :param progress: show a progress bar on standard error
    :raises ExplainError: if the environment does not play an episode again to the bit, if the
        episode is shorter, or for unknown actions
    """
    known = read_agent(agent)
    smallest = {"step": 0, "episode": 0, "n_continuations": 1, "seed": 0}
    given = {
        "step": step, "episode": episode, "n_continuations": n_continuations, "seed": seed
    }  # fmt: skip
    for name, number in given.items():
        require_whole(name, number, smallest[name])
    if max_steps is not None:
        require_whole("max_steps", max_steps)
    require_number("confidence", confidence, 0, 1)
    if actions is None and not isinstance(known.action_space, spaces.Discrete):
        raise ExplainError("give actions=[...]: this agent's actions have no order by score")
    source = find_source(known, env)
    chosen = None if actions is None else [read_action(known, one) for one in actions]
    shown = range(max(0, step - BEFORE), step + AFTER) if source.choose_render(render) else range(0)
    branches = Brancher(
        known, source, episode=episode, step=step, deterministic=deterministic, seed=seed,
        shown=shown,
    )  # fmt: skip
    try:
        branches.play_episode(max_steps)
        own = branches.junction.action
        taken = [own, *_drop_same(own, chosen or [_find_second(known, branches)])]
        is_exact = not (branches.is_sampled or branches.env_is_random)
        n = 1 if is_exact else n_continuations
        played: list[list[Played]] = []
        with progress_bar("playing on", len(taken) * n, "branches", progress) as bar:
            for action in taken:
                played.append([])
                for number in range(n):
                    played[-1].append(branches.play_branch(action, number, max_steps))
                    if action is own and number == 0:
                        branches.require_exact(played[0][0])
                    bar.update(1)
    finally:
        branches.close()
    returns = np.array([[one.returns[-1] - one.returns[step] for one in row] for row in played])
    bootstrap = partial(
        confidence_interval, clusters=np.arange(n), confidence=confidence, seed=seed
    )
    found = tuple(
        Outcome(
            name_action(known, action),
            action is own,
            returns[row],
            np.array([len(one.actions) - step for one in played[row]]),
            tuple(one.ending for one in played[row]),
            bootstrap(returns[row]),
            bootstrap(returns[row] - returns[0]),
            played[row][0].frames,
        )
        for row, action in enumerate(taken)
    )
    whole = branches.whole.returns[-1]
    return Outcomes(branches.envs.env_name, episode, step, seed, found, is_exact, whole)


def read_action(agent: Agent, action: Any) -> Any:
    """Read an action that a user gives, as the environment takes it.

    :param agent: agent that plays
    :param action: name or index of an action, or an array
    :raises ExplainError: if there is no such action
    """
    space = agent.action_space
    if isinstance(space, spaces.Discrete):
        return np.int64(find_action(agent, action) + agent.first_action)
    try:
        array = np.asarray(action, dtype=space.dtype)
    except (TypeError, ValueError):
        array = np.empty(0)
    if array.shape != space.shape or not space.contains(array):
        raise ExplainError(f"{action!r} is no action of {space}")
    return array


def name_action(agent: Agent, action: Any) -> str:
    """Name an action: as the agent names it, or by its numbers."""
    if isinstance(agent.action_space, spaces.Discrete):
        return agent.target_names[int(action) - agent.first_action]
    return "[" + ", ".join(f"{number:.3g}" for number in np.ravel(action)) + "]"


def _drop_same(own: Any, chosen: Sequence[Any]) -> Iterator[Any]:
    """The actions that differ from the agent's own and from those before."""
    seen = [own]
    for action in chosen:
        if not any(np.array_equal(action, one) for one in seen):
            seen.append(action)
            yield action


def _find_second(agent: Agent, branches: Brancher) -> Any:
    """The action of the highest score but for the agent's own."""
    scores = branches.junction.scores.clone()
    scores[int(branches.junction.action) - agent.first_action] = -np.inf
    return np.int64(int(scores.argmax()) + agent.first_action)


def _say(one: Interval) -> str:
    bounds = "" if np.isnan(one.low) else f" ({one.low:.4g} to {one.high:.4g})"
    return f"{one.mean:.4g}{bounds}"


def _count(endings: Sequence[str]) -> str:
    """``"terminated"``, or ``"3 terminated, 1 cut"`` where endings differ."""
    kinds = sorted(set(endings))
    if len(kinds) == 1:
        return kinds[0]
    return ", ".join(f"{endings.count(kind)} {kind}" for kind in kinds)
