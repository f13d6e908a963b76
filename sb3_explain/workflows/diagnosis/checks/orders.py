"""Frames, features and actions that stand in another order than in the training."""

from __future__ import annotations

import itertools

from gymnasium import spaces
from torch import Tensor

from sb3_explain.states.batch import StateBatch
from sb3_explain.states.play import ObservationTransform
from sb3_explain.workflows.diagnosis.evidence import Evidence
from sb3_explain.workflows.diagnosis.findings import Finding, Look, NotLookedError
from sb3_explain.workflows.diagnosis.registry import CHECKS
from sb3_explain.workflows.diagnosis.repairs import (
    Arrangement,
    Trial,
    rearrange_actions,
    try_arrangements,
)


@CHECKS.register("frame_order")
def check_frame_order(evidence: Evidence) -> Look:
    """Frames of a stack in reverse."""
    n = evidence.agent.n_stack
    if n < 2:
        raise NotLookedError("the observations are no stacks of frames")

    def reverse(batch: StateBatch) -> Tensor:
        by_key = {
            key: seen.reshape(len(seen), n, -1, *seen.shape[2:]).flip(1).flatten(1, 2)
            for key, seen in batch.by_key.items()
            if seen.shape[1] % n == 0
        }
        return batch.flatten_keys({**batch.by_key, **by_key})

    trial = try_arrangements(evidence, {"frames in reverse": Arrangement(reverse)})
    return _say(
        trial, "frame order", f"order of {n} frames: {trial.describe()}",
        "the agent acts better on its frames in reverse order: the newest frame stands where the "
        "oldest was in the training",
        "let VecFrameStack stack the frames, or reverse the order of your own wrapper",
    )  # fmt: skip


@CHECKS.register("feature_order")
def check_feature_order(evidence: Evidence) -> Look:
    """Two features that are swapped."""
    arrangements = {}
    for key in evidence.number_keys:
        names = evidence.feature_names[key]
        n = evidence.agent.n_stack
        frames = n if len(names) % n == 0 else 1
        size = len(names) // frames
        for first, second in itertools.combinations(range(size), 2):
            said = f"{names[first]} and {names[second]} swapped"
            arrangements[said] = Arrangement(_swap(key, first, second, frames))
    trial = try_arrangements(evidence, arrangements)
    return _say(
        trial, "feature order", f"order of features: {trial.describe()}",
        f"the agent acts better with {trial.name}: they stand in another order than in training",
        "give the features in the order of the training",
    )  # fmt: skip


def _swap(key: str, first: int, second: int, frames: int) -> ObservationTransform:
    def transform(batch: StateBatch) -> Tensor:
        by_key = dict(batch.by_key)
        stacked = by_key[key].reshape(len(by_key[key]), frames, -1).clone()
        stacked[:, :, [first, second]] = stacked[:, :, [second, first]]
        by_key[key] = stacked.flatten(1)
        return batch.flatten_keys(by_key)

    return transform


@CHECKS.register("action_order")
def check_action_order(evidence: Evidence) -> Look:
    """Two actions that are swapped, or a dimension of an action with another sign."""
    agent, space = evidence.agent, evidence.agent.action_space
    names, n = [f"'{name}'" for name in agent.action_names], agent.n_scores
    order, signs = list(range(n)), [1.0] * n
    arrangements = {}
    if isinstance(space, spaces.Discrete | spaces.Box):
        for first, second in itertools.combinations(range(n), 2):
            swapped = list(order)
            swapped[first], swapped[second] = second, first
            said = f"{names[first]} and {names[second]} swapped"
            arrangements[said] = Arrangement(agent=rearrange_actions(agent, swapped, signs))
    if isinstance(space, spaces.Box):
        for one in range(n):
            turned = [-1.0 if i == one else 1.0 for i in order]
            said = f"{names[one]} with the other sign"
            arrangements[said] = Arrangement(agent=rearrange_actions(agent, order, turned))
    trial = try_arrangements(evidence, arrangements)
    return _say(
        trial, "action order", f"order of actions: {trial.describe()}",
        f"the agent earns more with {trial.name}: the environment takes its actions for others",
        "check how the environment numbers its actions, and their signs",
    )  # fmt: skip


def _say(trial: Trial, name: str, looked: str, said: str, next_step: str) -> Look:
    bars = trial.draw(f"Return with {trial.name}")
    if not trial.helps:
        return Look(looked, (), bars)
    finding = Finding(
        name, said, "fault", "very likely", trial.gain, "more return", next_step, bars=bars,
        details={"repaired": trial.repaired, "tried": trial.n_tried},
    )  # fmt: skip
    return Look(looked, (finding,), bars)
