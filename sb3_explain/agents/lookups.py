"""Which features of an observation a policy looks up, instead of reading them as numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from sb3_explain.agents.policy_views import PolicyView
from sb3_explain.agents.trial_pass import trial_pass
from sb3_explain.envs.spaces import join_keys

#: functions that turn numbers into whole numbers or truth values
CASTS = frozenset(
    {Tensor.long, Tensor.int, Tensor.short, Tensor.char, Tensor.byte, Tensor.bool}
    | {Tensor.to, Tensor.type}
)
#: functions whose first argument is the number of a row of a table
LOOKUPS = frozenset({functional.embedding, functional.embedding_bag, functional.one_hot})
#: features of a key with more than this number are not tried one by one
MOST_FEATURES = 2048
#: number of features that one pass tries
PASS = 256


def find_looked_up(view: PolicyView, by_key: Mapping[str, spaces.Space[Any]]) -> dict[str, Tensor]:
    """Find the features that the policy turns into whole numbers or truth values.

    Each feature is changed from one valid value to another; if that changes a whole number or a
    truth value that the policy makes of an observation, the feature is looked up. Nothing random is
    changed.

    :param view: reads the scores off the policy
    :param by_key: spaces by key of the observation
    :return: (...) whether each feature is, by key, in the observation's own axes
    """
    found = {
        key: torch.full(
            observed.shape or (), isinstance(observed, (spaces.Discrete, spaces.MultiDiscrete))
        )
        for key, observed in by_key.items()
    }
    base: dict[str, Tensor] = {}
    other: dict[str, Tensor] = {}

    def read(rows: Mapping[str, Tensor], n: int) -> list[Tensor]:
        whole = {
            key: rows.get(key, part.expand(n, *part.shape)).clone() for key, part in base.items()
        }
        with torch.no_grad(), _WholeNumbers() as watched:
            view.scores(join_keys(whole), None)
        made: list[Tensor] = watched.made
        return made

    with trial_pass(view.policy) as like:
        for key, observed in by_key.items():
            start, changed = _choose_values(observed)
            base[key], other[key] = (torch.as_tensor(part).to(like) for part in (start, changed))
        for key in by_key:
            if found[key].all() or not _differ(read({}, 1), read({key: other[key][None]}, 1), 1):
                continue
            n_features = base[key].numel()
            if n_features > MOST_FEATURES:
                found[key] = torch.ones_like(found[key])
                continue
            numbers: list[int] = []
            for first in range(0, n_features, PASS):
                some = torch.arange(first, min(first + PASS, n_features), device=base[key].device)
                rows = base[key].expand(len(some), *base[key].shape).reshape(len(some), -1).clone()
                rows[torch.arange(len(some)), some] = other[key].reshape(-1)[some]
                rows = rows.reshape(len(some), *base[key].shape)
                changed = _differ(read({}, len(some)), read({key: rows}, len(some)), len(some))
                numbers += [first + row for row in changed]
            found[key].reshape(-1)[numbers] = True
    return found


class _WholeNumbers(TorchFunctionMode):
    """Records the whole numbers and truth values that a network makes of numbers, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.made: list[Tensor] = []

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        output = func(*args, **(kwargs or {}))
        if func in LOOKUPS and args:
            self.made.append(args[0])
        elif func in CASTS and isinstance(output, Tensor) and args[0].is_floating_point():
            self.made += [] if output.is_floating_point() else [output]
        return output


def _differ(before: list[Tensor], after: list[Tensor], n: int) -> set[int]:
    """Numbers of the rows, of n, that differ between two passes."""
    rows: set[int] = set()
    for one, other in zip(before, after, strict=False):
        if one.shape == other.shape and one.numel() % n == 0:
            places = (one != other).reshape(n, -1).any(dim=1)
            rows |= set(torch.nonzero(places).flatten().tolist())
    return rows


def find_bounds(space: Any) -> Iterator[Any]:
    """Smallest and largest values of a space, in its shape."""
    if isinstance(space, spaces.Box):
        yield from (space.low, space.high)
    elif isinstance(space, spaces.MultiBinary):
        yield from (np.zeros(space.shape), np.ones(space.shape))
    else:
        sizes = space.n if isinstance(space, spaces.Discrete) else space.nvec
        yield from (space.start, space.start + sizes - 1)


def _choose_values(space: Any) -> tuple[Any, Any]:
    """Two values of each feature that lie within its bounds, a whole number apart if possible."""
    low, high = (np.nan_to_num(np.float64(b), posinf=1e6, neginf=-1e6) for b in find_bounds(space))
    start = np.clip(0.0, low, high)
    changed = np.where(start + 1 <= high, start + 1, np.where(start - 1 >= low, start - 1, high))
    return start, changed
