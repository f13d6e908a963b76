"""Observations that cannot be those of the training: NaN, constant, or out of range."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sb3_explain.envs.spaces import spaces_by_key
from sb3_explain.report.diagnosis_figure import Bars
from sb3_explain.workflows.diagnosis.evidence import Evidence
from sb3_explain.workflows.diagnosis.findings import Finding, Look, counted, list_first
from sb3_explain.workflows.diagnosis.registry import CHECKS

#: smallest number of states of which one can say that something never changes
ENOUGH = 50
#: share of the states in which a feature may lie out of its bounds, or be clipped
RARE = 0.01
#: share of its range by which a feature may lie out of its bounds
ROUNDING = 1e-3


@CHECKS.register("observations")
def check_observations(evidence: Evidence) -> Look:
    """Observations that are NaN, constant, out of the space's bounds, or pictures of 0 to 1."""
    findings: list[Finding] = []
    outside: dict[str, float] = {}
    for key, seen in evidence.observed.items():
        flat = seen.reshape(len(seen), -1)
        names = evidence.feature_names.get(key) or []
        findings += find_not_finite(flat, names, key)
        if key in evidence.pictures:
            findings += check_pictures(evidence, key, seen)
            continue
        if not findings:
            findings += find_constant(evidence, key, flat, names)
        shares = measure_outside(evidence, key, flat)
        outside |= {name: float(share) for name, share in zip(names, shares, strict=True)}
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
        n = len(evidence.positions)
        share = outside[worst]
        findings.append(
            Finding(
                "observations out of range",
                f"{list_first(beyond)}: the observation lies out of the bounds that the agent's "
                "space gives it, or is clipped by VecNormalize",
                "fault", "certain", counted(share, n),
                f"of states out of bounds in {worst}",
                "compare units and order of the sensor with those of the training; for clipped "
                "observations, check that the statistics of VecNormalize belong to this agent",
                details={"shares": outside}, bars=bars,
            )
        )  # fmt: skip
    n_features = sum(seen[0].numel() for seen in evidence.observed.values())
    said = f"{n_features} numbers of {len(evidence.positions)} observations: finite, "
    said += "changing, and within the bounds of their space" if not findings else (
        f"but for {len(findings)} finding(s)"
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
            "NaN observations", f"{where}: the observation is NaN or infinite, and so is all that "
            "the networks compute of it", "fault", "certain",
            counted(share, len(flat)), "of states with NaN or infinite numbers",
            "find the division by zero or the missing reading in the environment; "
            "stable_baselines3.common.vec_env.VecCheckNan raises where it happens first",
        )
    ]  # fmt: skip


def find_constant(evidence: Evidence, key: str, flat: Tensor, names: list[str]) -> list[Finding]:
    """Find features of floating-point numbers that are the same in all states."""
    space = spaces_by_key(evidence.agent.observation_space)[key]
    n_episodes = len(np.unique(evidence.states.episode))
    if not np.issubdtype(space.dtype, np.floating) or len(flat) < ENOUGH:
        return []
    constant = (flat == flat[:1]).all(dim=0)
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
            f"{list_first(said)}: never changes in {len(flat)} states of {n_episodes} episode(s)",
            "warning" if masked else "fault", "certain",
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
                f"{key or 'the picture'}: no pixel is above {highest:.3g}, though the space has 0 "
                "to 255: the policy divides by 255 itself",
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
                f"{key or 'the picture'}: channel(s) {numbers} of {len(still)} are the same in all "
                f"{n} states",
                "fault", "certain", counted(share, n), "of the channels",
                "check the wrapper that stacks frames, and the renderer",
            )
        )  # fmt: skip
    return findings


def measure_outside(evidence: Evidence, key: str, flat: Tensor) -> Tensor:
    """(D,) share of the states out of the bounds; of normalized features, of clipped ones."""
    normalizer = evidence.agent.normalizers.get(key)
    if normalizer is not None:
        return (flat.abs() >= normalizer.clip * (1 - 1e-6)).float().mean(dim=0)
    space = spaces_by_key(evidence.agent.observation_space)[key]
    low, high = getattr(space, "low", None), getattr(space, "high", None)
    if low is None or high is None or tuple(np.shape(low)) != tuple(space.shape or ()):
        return torch.zeros(flat.shape[1])
    n = evidence.agent.n_stack
    lows, highs = (torch.from_numpy(arrange_bounds(bound, n)) for bound in (low, high))
    room = ROUNDING * (highs - lows)
    wide = ~torch.isfinite(room) | (room > 1e30)
    room = torch.where(wide, torch.zeros_like(room), room)
    values = flat.double().cpu()
    return ((values < lows - room) | (values > highs + room)).double().mean(dim=0)


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
