"""Observations that cannot be those of the training: NaN, constant, or out of range."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sb3_explain.envs.spaces import spaces_by_key
from sb3_explain.report.diagnosis_figure import Bars
from sb3_explain.workflows.diagnosis.evidence import Evidence
from sb3_explain.workflows.diagnosis.findings import (
    Finding,
    Look,
    NotLookedError,
    counted,
    list_first,
)
from sb3_explain.workflows.diagnosis.registry import CHECKS

#: smallest number of states of which one can say that something never changes
ENOUGH = 50
#: share of the states in which a feature may lie out of its bounds, or be clipped
RARE = 0.01
#: share of its range by which a feature may lie out of its bounds
ROUNDING = 1e-3
#: number of the first steps of an episode, in which an agent has not gone far; and the share of the
#: states out of bounds after which one is within them again
START, BACK = 20, 0.05
#: what is said of observations out of their bounds, and the next step
EARLY = (
    "what is observed of {} lies out of the bounds that the agent's space gives it, or is clipped "
    "by VecNormalize",
    "compare units and order of the sensor with those of the training; for clipped observations, "
    "check that the statistics of VecNormalize belong to this agent",
)
LATE = (
    "the agent starts within the bounds of {}, goes beyond them, and stays there: this is where it "
    "went, rather than a fault of the sensor",
    "find out why it goes there: look at its episodes (sb3-explain highlights)",
)


@CHECKS.register("observations")
def check_observations(evidence: Evidence) -> Look:
    """Observations that are NaN, constant, out of the space's bounds, or pictures of 0 to 1."""
    findings: list[Finding] = []
    out: dict[str, Tensor] = {}
    for key, seen in evidence.observed.items():
        flat = seen.reshape(len(seen), -1)
        names = evidence.feature_names.get(key) or []
        findings += find_not_finite(flat, names, key)
        if key in evidence.pictures:
            findings += check_pictures(evidence, key, seen)
            continue
        if not findings:
            findings += find_constant(evidence, key, flat, names)
        out |= dict(zip(names, find_outside(evidence, key, flat).T, strict=True))
    outside = {name: float(states.float().mean()) for name, states in out.items()}
    beyond = [name for name, share in outside.items() if share > RARE]
    bars = None
    if outside:
        bars = Bars(
            "Observations out of the bounds of their space", "share of the states",
            list(outside), list(outside.values()), limit=RARE,
            beyond=[name in beyond for name in outside],
        )  # fmt: skip
    if beyond:
        worst = max(beyond, key=lambda name: outside[name])
        late = happens_late(evidence, torch.stack([out[name] for name in beyond]).any(dim=0))
        said, next_step = LATE if late else EARLY
        findings.append(
            Finding(
                "leaves the bounds" if late else "observations out of range",
                said.format(list_first(beyond)),
                "warning" if late else "fault", "likely" if late else "certain",
                counted(outside[worst], len(evidence.positions)),
                f"of states out of bounds in {worst}", next_step,
                details={"shares": outside}, bars=bars,
            )
        )  # fmt: skip
    n_features = sum(seen[0].numel() for seen in evidence.observed.values())
    said = f"{n_features} numbers of {len(evidence.positions)} observations: "
    said += f"{len(findings)} finding(s)" if findings else (
        "finite, changing, and within the bounds of their space"
    )  # fmt: skip
    return Look(said, tuple(findings), bars)


def find_not_finite(flat: Tensor, names: list[str], key: str) -> list[Finding]:
    """Find NaN and infinite numbers.

    :param flat: (B, D) observations
    :param names: names of the features, or none
    :param key: key of the observation
    """
    bad = ~flat.isfinite()
    if not bool(bad.any()):
        return []
    share = float(bad.any(dim=1).float().mean())
    found = bad.any(dim=0).nonzero().flatten().tolist()
    where = list_first([names[i] for i in found]) if names else f"{key or 'the picture'}"
    return [
        Finding(
            "NaN observations", f"numbers that are NaN or infinite come in {where}, and so is all "
            "that the networks compute of them", "fault", "certain",
            counted(share, len(flat)), "of states with NaN or infinite numbers",
            "find the division by zero or the missing reading in the environment; "
            "stable_baselines3.common.vec_env.VecCheckNan raises where it happens first",
        )
    ]  # fmt: skip


def find_constant(evidence: Evidence, key: str, flat: Tensor, names: list[str]) -> list[Finding]:
    """Find features of floating-point numbers that are the same in all states.

    Where there is an environment, they have to be the same under random actions too. Without one,
    the agent may never have come to where they change.
    """
    space = spaces_by_key(evidence.agent.observation_space)[key]
    n_episodes = len(np.unique(evidence.states.episode))
    if not np.issubdtype(space.dtype, np.floating) or len(flat) < ENOUGH:
        return []
    constant = (flat == flat[:1]).all(dim=0)
    if bool(constant.any()) and evidence.playable:
        # what random actions change is alive: the agent never came to where it changes
        with contextlib.suppress(NotLookedError):
            others = evidence.observed_randomly[key].reshape(-1, flat.shape[1])
            constant &= (others == flat[:1]).all(dim=0)
    if not bool(constant.any()):
        return []
    found = constant.nonzero().flatten().tolist()
    said = [f"{names[i]} ({float(flat[0, i]):.3g})" for i in found]
    share = len(found) / flat.shape[1]
    # a feature that is 0 may be masked on purpose
    masked = bool((flat[0, found] == 0).all()) and share < 1
    return [
        Finding(
            "constant features",
            f"what never changes in {len(flat)} states of {n_episodes} episode(s): "
            f"{list_first(said)}",
            "warning" if masked or not evidence.playable else "fault",
            "certain" if evidence.playable else "likely",
            counted(share, len(flat)), "of the features",
            "check the sensor; if it is masked or unused on purpose, leave it out of the "
            "observation",
        )
    ]  # fmt: skip


def check_pictures(evidence: Evidence, key: str, seen: Tensor) -> list[Finding]:
    """Find pictures of a wrong scale, and frames of a stack that never change."""
    space = spaces_by_key(evidence.agent.observation_space)[key]
    findings = []
    highest, n = float(seen.max()), len(seen)
    if space.dtype == np.uint8 and highest <= 1:
        findings.append(
            Finding(
                "pictures of the wrong scale",
                f"no pixel of {key or 'the picture'} is above {highest:.3g}, though the space has "
                "0 to 255: the policy divides by 255 itself",
                "fault", "certain", counted(highest, n),
                "is the brightest pixel",
                "give pictures as uint8 from 0 to 255",
            )
        )  # fmt: skip
    still = (seen == seen[:1]).flatten(2).all(dim=2).all(dim=0)
    if n >= ENOUGH and bool(still.any()):
        share = float(still.float().mean())
        numbers = ", ".join(str(i + 1) for i in still.nonzero().flatten().tolist())
        findings.append(
            Finding(
                "frames that never change",
                f"channel(s) {numbers} of the {len(still)} of {key or 'the picture'} are the same "
                f"in all {n} states",
                "fault", "certain", counted(share, n), "of the channels",
                "check the wrapper that stacks frames, and the renderer",
            )
        )  # fmt: skip
    return findings


def happens_late(evidence: Evidence, out: Tensor) -> bool:
    """Whether the agent goes out of the bounds: it starts within them, and stays out in the end.

    What a sensor of other units says is out of the bounds from the start, or now and then.

    :param evidence: the states
    :param out: (B,) whether each state is out of the bounds
    """
    states, outside = evidence.states, out.numpy(force=True)
    episode, steps = states.episode[evidence.positions], states.steps[evidence.positions]
    early = outside[steps < START]
    returns = outside[:-1] & ~outside[1:] & (episode[:-1] == episode[1:])
    return early.size > 0 and early.mean() <= RARE and returns.sum() <= BACK * outside.sum()


def find_outside(evidence: Evidence, key: str, flat: Tensor) -> Tensor:
    """(B, D) whether features are out of their bounds; of normalized ones, whether clipped."""
    normalizer = evidence.agent.normalizers.get(key)
    if normalizer is not None:
        return flat.abs() >= normalizer.clip * (1 - 1e-6)
    space = spaces_by_key(evidence.agent.observation_space)[key]
    low, high = getattr(space, "low", None), getattr(space, "high", None)
    if low is None or high is None or tuple(np.shape(low)) != tuple(space.shape or ()):
        return torch.zeros_like(flat, dtype=torch.bool)
    n = evidence.agent.n_stack
    lows, highs = (torch.from_numpy(arrange_bounds(bound, n)) for bound in (low, high))
    room = ROUNDING * (highs - lows)
    wide = ~torch.isfinite(room) | (room > 1e30)
    room = torch.where(wide, torch.zeros_like(room), room)
    values = flat.double().cpu()
    return (values < lows - room) | (values > highs + room)


def arrange_bounds(bound: NDArray[Any], n_stack: int) -> NDArray[np.float64]:
    """Arrange the bounds of stacked vectors as the frames stand: one frame after the other.

    VecFrameStack repeats the bound of each feature in place, though it joins whole frames.

    :param bound: (n_stack * D,) lower or upper bounds of the space
    :param n_stack: number of frames
    """
    flat: NDArray[np.float64] = np.asarray(bound, np.float64).reshape(-1)
    if n_stack == 1 or len(flat) % n_stack:
        return flat
    repeated = flat.reshape(-1, n_stack)
    if not (repeated == repeated[:, :1]).all():
        return flat
    tiled: NDArray[np.float64] = np.tile(repeated[:, 0], n_stack)
    return tiled
