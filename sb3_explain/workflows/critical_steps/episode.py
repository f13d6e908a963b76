"""An episode with the importance of each of its steps, and pictures of the most critical ones."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sb3_explain.common.files import write_json, write_text
from sb3_explain.common.numbers import require_whole
from sb3_explain.envs.spaces import Observations
from sb3_explain.report.critical_figure import critical_figure
from sb3_explain.report.figures import save
from sb3_explain.report.palette import ThemeName
from sb3_explain.states.masked_play import choose_masked, read_policy_inputs
from sb3_explain.states.rollouts import ParallelEnvs

Array = NDArray[np.float64]
#: share of the episode that lies between two steps that are drawn, at least
APART = 0.05


@dataclasses.dataclass(frozen=True)
class CriticalSteps:
    """How critical each step of an episode is.

    >>> from sb3_explain import StateMask
    >>> mask = StateMask(agent).fit(n_timesteps=64, n_envs=2, progress=False)
    >>> found = mask.play(episode=3, render=False)
    >>> len(found.importance) == len(found.values) == len(found.returns) - 1
    True

    :param env_id: name of the environment
    :param episode: number of the episode
    :param seed: random seed of the episodes
    :param importance: (T,) importance of the steps, in [0, 1]
    :param values: (T,) values of the states; NaN for an agent without values
    :param returns: (T + 1,) return so far, before each step and at the end
    :param frames: pictures (h, w, 3) by step, of the most critical ones
    """

    env_id: str
    episode: int
    seed: int
    importance: Array
    values: Array
    returns: Array
    frames: dict[int, NDArray[np.uint8]] = dataclasses.field(repr=False, default_factory=dict)

    def __str__(self) -> str:
        """Say in a line which steps are the most critical."""
        steps = ", ".join(f"{step} ({self.importance[step]:.2f})" for step in self.top(5))
        return (
            f"episode {self.episode} (seed {self.seed}): {len(self.importance)} steps, return "
            f"{self.returns[-1]:.4g}; most critical steps: {steps}"
        )

    def top(self, k: int = 6) -> list[int]:
        """List the most critical steps that lie at least 5 % of the episode apart.

        :param k: largest number of steps
        :return: numbers of the steps, the most critical first
        """
        require_whole("k", k, 0)
        return pick_apart(self.importance, k)

    def plot(self, theme: ThemeName = "light") -> bytes:
        """Draw importance, value and return over the steps, and the pictures: a PNG.

        :param theme: ``"light"`` or ``"dark"``
        """
        curves = {"value": self.values, "return so far": self.returns[1:]}
        if np.isnan(self.values).all():
            del curves["value"]
        title = f"Critical steps of episode {self.episode} of {self.env_id}"
        return critical_figure(self.importance, curves, self.frames, title=title, theme=theme)

    def save(self, folder: str | Path) -> Path:
        """Write ``critical.png``, ``critical.json`` and ``critical.txt``.

        :param folder: folder, which is created
        :return: the picture
        :raises ExplainError: if a file cannot be written
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        plain = {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if field.name != "frames"
        }
        arrays = {"importance", "values", "returns"}
        plain |= {name: plain[name].tolist() for name in arrays}
        write_json(folder / "critical.json", plain)
        write_text(folder / "critical.txt", f"{self}\n")
        save(folder / "critical.png", self.plot())
        return folder / "critical.png"


def pick_apart(importance: Array, k: int) -> list[int]:
    """List the steps of highest importance, of steps that lie near each other the highest.

    :param importance: (T,) importance of the steps
    :param k: largest number of steps
    """
    picked: list[int] = []
    for step in np.argsort(-importance, kind="stable").tolist():
        if len(picked) == k:
            break
        if all(abs(step - other) >= APART * len(importance) for other in picked):
            picked.append(step)
    return picked


@torch.no_grad()
def play_critical(
    envs: ParallelEnvs,
    importance: Callable[[Observations, Tensor | None], Array],
    episode: int,
    n_pictures: int,
    max_steps: int | None,
) -> CriticalSteps:
    """Play an episode, and again to draw the most critical of its steps.

    :param envs: one environment
    :param importance: importance of the steps that follow observations
    :param episode: number of the episode
    :param n_pictures: number of steps that are drawn
    :param max_steps: largest number of steps
    """
    env = envs.each[0]
    draw = env.find_screen() if n_pictures else None

    def play(visit: Callable[[int, Observations, dict[str, Tensor]], None], n: int | None) -> None:
        env.begin(episode)
        step, over = 0, False
        while not over and step != n:
            observations, inputs = envs.observations(), read_policy_inputs(envs)
            visit(step, observations, inputs)
            over = env.step(choose_masked(envs, observations, inputs, {})[0]).over
            step += 1

    found: list[float] = []
    values: list[float] = []
    returns: list[float] = []

    def record(step: int, observations: Observations, inputs: dict[str, Tensor]) -> None:
        returns.append(env.earned)
        found.append(float(importance(observations, inputs.get("lstm_states"))[0]))
        values.append(float(envs.agent.scores_and_values(observations, **inputs)[1][0]))

    play(record, max_steps)
    returns.append(env.earned)
    frames: dict[int, NDArray[np.uint8]] = {}
    picked = pick_apart(np.array(found), n_pictures)
    if draw is not None:
        screen = draw

        def keep(step: int, observations: Observations, inputs: dict[str, Tensor]) -> None:
            if step in picked:
                frames[step] = np.array(screen())

        play(keep, max(picked) + 1)
    return CriticalSteps(
        envs.env_name, episode, envs.seed, np.array(found), np.array(values), np.array(returns),
        frames,
    )  # fmt: skip
