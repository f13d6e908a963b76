"""How much each past step, and the recurrent state before them, speaks for a target now."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.base_class import BaseAlgorithm
from torch import Tensor

from sb3_explain.agents.agent import Agent, read_agent
from sb3_explain.agents.observations import find_feature_keys, find_image
from sb3_explain.agents.shown_values import name_features
from sb3_explain.agents.targets.find import TargetLike
from sb3_explain.agents.targets.outputs import Outputs
from sb3_explain.common.attributions import join_features
from sb3_explain.common.errors import ExplainError
from sb3_explain.common.notebook import write_facts
from sb3_explain.common.signatures import check_arguments
from sb3_explain.envs.spaces import Observations
from sb3_explain.states.baselines import Replacement, make_baselines
from sb3_explain.states.batch import StateBatch
from sb3_explain.states.dataset import StateDataset

if TYPE_CHECKING:
    from sb3_explain.report.palette import ThemeName

#: most rows of all steps together in one pass with gradients
ROWS = 512


@dataclasses.dataclass(frozen=True, repr=False)
class PastSteps:
    """What k steps of an episode, and the recurrent state before them, say for a target.

    >>> from sb3_contrib import RecurrentPPO
    >>> from sb3_explain import Agent, collect, past_steps
    >>> remembering = Agent.from_model(RecurrentPPO("MlpLstmPolicy", "CartPole-v1", device="cpu"))
    >>> played = collect(remembering, n_states=20, render=False, progress=False)
    >>> print(past_steps(remembering, played, 3, "left", n_points=8))
    left in step 3: score ...
      step ...

    :param batch: the k steps as a batch; the last is explained
    :param steps: (k,) their numbers within the episode
    :param by_key: (k, ...) attributions of what was observed in each step, in the form of the batch
    :param lstm_states: (4, layers, hidden) attributions of the recurrent state before the first
        step: h and c of the actor, then of the critic
    :param occlusion: (k,) the score less that with the baseline in place of one step's observation
    :param state_occlusion: the score less that where the recurrent state before the first step is
        that of the start of an episode
    :param score: score of the target
    :param baseline_score: score on the baseline of all steps and of the recurrent state
    """

    batch: StateBatch
    steps: NDArray[np.int64]
    by_key: dict[str, Tensor]
    lstm_states: Tensor
    occlusion: Tensor
    state_occlusion: float
    score: float
    baseline_score: float

    @property
    def attributions(self) -> Observations:
        """(k, ...) attributions in the shape of the observations; a dict of such for a dict."""
        return self.batch.agent.layout.restore(self.by_key)

    @property
    def by_step(self) -> Tensor:
        """(k,) attributions of each step, summed over its features."""
        return join_features(self.by_key).sum(dim=1)

    @property
    def of_state(self) -> float:
        """Attribution of the recurrent state before the first step, summed."""
        return float(self.lstm_states.sum())

    @property
    def delta(self) -> float:
        """Error of the sum of all attributions; if it is far from 0, increase ``n_points``."""
        return float(self.by_step.sum()) + self.of_state - (self.score - self.baseline_score)

    @property
    def strongest(self) -> int:
        """Number within the episode of the step with the largest attribution in magnitude."""
        return int(self.steps[int(self.by_step.abs().argmax())])

    @property
    def target(self) -> str:
        """Name of the target."""
        return self.batch.name_targets()[-1]

    def __str__(self) -> str:
        """Write the five strongest steps, and the recurrent state before them."""
        by_step = self.by_step
        lines = [f"{self.target} in step {self.steps[-1]}: score {self.score:.4g}"]
        for i in by_step.abs().argsort(descending=True, stable=True)[:5].tolist():
            age = self.steps[-1] - self.steps[i]
            lines.append(
                f"  step {self.steps[i]}, {age} before: {by_step[i]:+.3g} "
                f"({self.occlusion[i]:+.3g} by occlusion)"
            )
        lines.append(
            f"  recurrent state before step {self.steps[0]}: {self.of_state:+.3g} "
            f"({self.state_occlusion:+.3g} by occlusion)"
        )
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        """Return what a notebook shows."""
        return write_facts(str(self).partition("\n")[0], {}, png=self.plot())

    def plot(self, *, theme: ThemeName = "light") -> bytes:
        """Draw a bar for each step, and below it what was observed, with its attributions.

        :param theme: ``"light"`` or ``"dark"``
        :return: PNG
        """
        from sb3_explain.report.overlay import to_rgb
        from sb3_explain.report.past_steps_figure import past_steps_figure

        agent = self.batch.agent
        keys, image = find_feature_keys(agent), find_image(agent)
        features = {key: self.by_key[key] for key in keys}
        frames, attributed = None, None
        if image is not None:
            n_channels = self.by_key[image].shape[1] // agent.n_stack
            newest = self.batch.by_key[image][:, -n_channels:].numpy(force=True)
            low, high = (0, 255) if newest.max() > 1 else (newest.min(), newest.max())
            frames = to_rgb(newest, low, high)
            attributed = self.by_key[image].sum(dim=1).numpy(force=True)
        return past_steps_figure(
            self.steps.tolist(),
            self.by_step.tolist(),
            self.occlusion.tolist(),
            before=(self.of_state, self.state_occlusion),
            target=self.target,
            names=name_features(agent, {key: one[0].numel() for key, one in features.items()}),
            features=join_features(features).numpy(force=True).T if features else None,
            frames=frames,
            attributed=attributed,
            theme=theme,
        )


@check_arguments
def past_steps(
    agent: Agent | BaseAlgorithm,
    states: StateDataset,
    position: int,
    target: TargetLike = None,
    *,
    n_steps: int = 16,
    baseline: str | Replacement | None = None,
    n_points: int = 64,
) -> PastSteps:
    """Attribute what a recurrent agent says now to what it observed in past steps.

    The last steps of the episode are passed through the LSTM one after the other, and the score of
    the target in the last one is attributed by integrated gradients: all observations of these
    steps go from a baseline to what they were, and the recurrent state before the first of them
    from that of the start of an episode to what it was. All attributions together are the score
    less that on the baseline. Beside them, each step's observation is occluded: replaced by its
    baseline alone. Categories have no line between them and get 0; occlusion replaces them too.

    >>> from sb3_contrib import RecurrentPPO
    >>> from sb3_explain import Agent, collect, past_steps
    >>> remembering = Agent.from_model(RecurrentPPO("MlpLstmPolicy", "CartPole-v1", device="cpu"))
    >>> played = collect(remembering, n_states=20, render=False, progress=False)
    >>> found = past_steps(remembering, played, 8, n_steps=6, n_points=8)
    >>> found.by_step.shape, found.attributions.shape
    (torch.Size([6]), torch.Size([6, 4]))

    :param agent: a recurrent agent
    :param states: states that it played, with their recurrent states, as :func:`collect` has them
    :param position: position of the state that is explained among them
    :param target: what is explained, as :meth:`sb3_explain.Explainer.attribute` takes it; the
        greedy action when not given
    :param n_steps: number of steps, with the one that is explained; fewer where its episode begins
    :param baseline: what replaces an observation, as :class:`~sb3_explain.IntegratedGradients`
        takes it; the ``"background"`` of the states when not given
    :param n_points: number of points of the sum over the line
    :raises ExplainError: if the agent is not recurrent, there is no such state, or the steps before
        it or their recurrent states are not among the states
    """
    agent = read_agent(agent)
    if not agent.recurrent:
        raise ExplainError(
            f"this agent ({agent.algo}) carries no state from step to step, so no past step "
            "matters to it beyond what it observes: explain its observation by any explainer"
        )
    if n_steps < 1 or n_points < 1:
        raise ExplainError(f"n_steps={n_steps}, n_points={n_points}: give at least 1 of each")
    window = find_window(states, position, n_steps)
    batch = states.batch(agent, window)
    if "lstm_states" not in batch.policy_inputs:
        raise ExplainError("these states hold no lstm_states: those of collect(agent) do")
    own = states.batch(agent, [position], target).resolve_target()
    batch = batch.with_target(own.explained if own.scalar else own.target.expand(len(batch)))
    fitted = make_baselines(agent, baseline, states)
    replaced = {key: fitted[key](seen).to(seen) for key, seen in batch.by_key.items()}
    start = batch.policy_inputs["lstm_states"][:1]
    blank = agent.initial_lstm_states(1)
    assert blank is not None
    blank = blank.to(start)
    held = agent.categories.held
    line = {
        key: torch.where(held[key].to(seen.device), seen, replaced[key])
        for key, seen in batch.by_key.items()
    }
    by_key, lstm_states = integrate(batch, line, start, blank, n_points)
    score, baseline_score, *occluded = read_occluded(batch, replaced, line, start, blank)
    changes = [score - one for one in occluded]
    return PastSteps(
        batch, states.steps[window], by_key, lstm_states, torch.tensor(changes[:-1]), changes[-1],
        score, baseline_score,
    )  # fmt: skip


def find_window(states: StateDataset, position: int, n_steps: int) -> NDArray[np.int64]:
    """Find the positions of a state and of the steps before it in its episode.

    :param states: states of episodes
    :param position: position of the state
    :param n_steps: number of steps, at most
    :return: (k,) positions in order of time
    :raises ExplainError: if there is no such state, or a step before it is left out
    """
    if not 0 <= position < len(states):
        raise ExplainError(f"there is no state {position}: give one of 0 to {len(states) - 1}")
    same = np.flatnonzero(states.episode == states.episode[position])
    age = states.steps[position] - states.steps[same]
    near = same[(age >= 0) & (age < n_steps)]
    chosen: NDArray[np.int64] = near[np.argsort(states.steps[near], kind="stable")]
    if len(chosen) < min(n_steps, states.steps[position] + 1):
        raise ExplainError(
            f"steps before state {position} are not among these states: give whole episodes, not "
            "a part of them"
        )
    return chosen


def read_last(batch: StateBatch, rows: dict[str, Tensor], start: Tensor) -> Tensor:
    """Pass k steps one after the other, and return the target's score in the last.

    :param batch: the k steps
    :param rows: (R, k, ...) observations of R copies of the steps by key
    :param start: (R, 4, layers, hidden) recurrent states before the first step
    :return: (R,) scores, differentiable with respect to both
    """
    agent, lstm_states = batch.agent, start
    k, n_rows = len(batch), len(start)
    # cuDNN refuses a backward pass through an LSTM in evaluation mode
    with torch.backends.cudnn.flags(enabled=False):
        for i in range(k - 1):
            seen = agent.layout.restore({key: each[:, i] for key, each in rows.items()})
            following = agent.view.next_lstm_states(seen, lstm_states)
            assert following is not None
            lstm_states = following
        seen = agent.layout.restore({key: each[:, -1] for key, each in rows.items()})
        outputs = Outputs(agent, seen, {"lstm_states": lstm_states})
        if batch.scalar is not None:
            return batch.scalar(outputs, n_rows)
        return outputs.target_scores[:, int(batch.target[-1])]


def integrate(
    batch: StateBatch, line: dict[str, Tensor], start: Tensor, blank: Tensor, n_points: int
) -> tuple[dict[str, Tensor], Tensor]:
    """Integrated gradients of all steps at once: Sundararajan et al. (2017), equation 1.

    The integral is a Gauss-Legendre sum.

    :param batch: the k steps
    :param line: (k, ...) where the line to their observations begins, by key
    :param start: (1, 4, layers, hidden) recurrent state before the first step
    :param blank: (1, 4, layers, hidden) where the line to it begins
    :param n_points: number of points
    :return: (k, ...) attributions by key, and (4, layers, hidden) of the recurrent state
    """
    points, weights = np.polynomial.legendre.leggauss(n_points)
    ends = [*((line[key], seen) for key, seen in batch.by_key.items()), (blank[0], start[0])]
    totals = [torch.zeros_like(end) for _, end in ends]
    n_parts = -(-n_points * len(batch) // ROWS)
    for part in np.array_split(np.arange(n_points), min(n_parts, n_points)):
        shares, heights = (
            torch.as_tensor(each, dtype=start.dtype, device=start.device)
            for each in ((points[part] + 1) / 2, weights[part] / 2)
        )
        with torch.enable_grad():
            rows = [
                (low + _stretch(shares, low) * (high - low)).requires_grad_() for low, high in ends
            ]
            *seen, state = rows
            scores = read_last(batch, dict(zip(batch.by_key, seen, strict=True)), state)
            slopes = torch.autograd.grad(scores.sum(), rows, allow_unused=True)
        for total, slope in zip(totals, slopes, strict=True):
            if slope is not None:
                total += (_stretch(heights, total) * slope).sum(dim=0)
    found = [total * (high - low) for total, (low, high) in zip(totals, ends, strict=True)]
    return dict(zip(batch.by_key, found[:-1], strict=True)), found[-1]


@torch.no_grad()
def read_occluded(
    batch: StateBatch,
    replaced: dict[str, Tensor],
    line: dict[str, Tensor],
    start: Tensor,
    blank: Tensor,
) -> list[float]:
    """Read the score as it is, where the line begins, and with one step occluded after the other.

    :param batch: the k steps
    :param replaced: (k, ...) what replaces their observations, by key
    :param line: (k, ...) where the line to them begins, by key
    :param start: (1, 4, layers, hidden) recurrent state before the first step
    :param blank: (1, 4, layers, hidden) that of the start of an episode
    :return: k + 3 scores; the last is that with the blank recurrent state
    """
    k = len(batch)
    scores = []
    for row in range(k + 3):
        rows = {}
        for key, seen in batch.by_key.items():
            rows[key] = (line[key] if row == 1 else seen.clone())[None]
            if 2 <= row < k + 2:
                rows[key][:, row - 2] = replaced[key][row - 2]
        scores.append(float(read_last(batch, rows, blank if row in (1, k + 2) else start)))
    return scores


def _stretch(values: Tensor, like: Tensor) -> Tensor:
    """(n,) values with as many axes behind as a tensor has."""
    return values.reshape(-1, *[1] * like.dim())
