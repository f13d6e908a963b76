"""Of which keys of an observation a policy's scores have a gradient."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from sb3_explain.agents.policy_views import PolicyView
from sb3_explain.agents.sampled_observations import sample_observations
from sb3_explain.agents.trial_pass import trial_pass
from sb3_explain.envs.spaces import join_keys, spaces_by_key, split_keys


def find_cut_keys(view: PolicyView, space: spaces.Space[Any]) -> tuple[str, ...]:
    """Find the keys that the scores depend on without a gradient.

    So it is where a policy computes under ``torch.no_grad``, by NumPy, or from what it detached: a
    method of gradients would find that nothing of the key matters.

    :param view: reads the scores off the policy
    :param space: observation space of the policy
    :return: keys of numbers; categories, which have no gradient in any policy, are not among them
    """
    by_key = spaces_by_key(space)
    numbers = [key for key in by_key if isinstance(by_key[key], spaces.Box | spaces.MultiBinary)]
    rng = np.random.default_rng(0)

    def sample(like: Tensor) -> dict[str, Tensor]:
        sampled: Any = sample_observations(space, 2, rng)
        return {key: torch.as_tensor(part).to(like) for key, part in split_keys(sampled).items()}

    with trial_pass(view.policy) as like:
        base, other = sample(like), sample(like)
        inputs = {key: base[key].clone().requires_grad_() for key in numbers}
        scores = view.scores(join_keys({**base, **inputs}), None)
        found: Sequence[Tensor | None] = [None] * len(numbers)
        if scores.requires_grad:
            found = torch.autograd.grad(scores.sum(), list(inputs.values()), allow_unused=True)
        unreached = [key for key, slope in zip(numbers, found, strict=True) if slope is None]
        return tuple(
            key
            for key in unreached
            if not torch.equal(scores, view.scores(join_keys({**base, key: other[key]}), None))
        )
