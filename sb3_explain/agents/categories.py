"""Which features of an observation are categories, that is: have no values in between."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from sb3_explain.agents.layout import ObservationLayout
from sb3_explain.agents.lookups import find_bounds, find_looked_up
from sb3_explain.agents.policy_views import PolicyView
from sb3_explain.envs.spaces import spaces_by_key

#: keys with such names say which actions are possible
MASK_NAME = re.compile(r"mask|(avail|legal|valid)\w*[_-]?action", re.IGNORECASE)


@dataclass(frozen=True)
class Categories:
    """Features without values in between, in the form in which explainers see an observation.

    >>> agent.categories.held[""].any().item()  # the state of CartPole is four numbers
    False

    :param looked_up: (...) whether a feature has no gradient, by key: a category (Discrete,
        MultiDiscrete), or a number that the policy turns into a whole number or a truth value, such
        as the index of an embedding (a token)
    :param held: (...) whether noise and blends leave a feature as it is, by key: what is looked up,
        bits (MultiBinary) that are no picture, and masks of actions
    :param low: (...) smallest values by key
    :param high: (...) largest values by key
    """

    looked_up: dict[str, Tensor]
    held: dict[str, Tensor]
    low: dict[str, Tensor]
    high: dict[str, Tensor]

    def snap(self, key: str, values: Tensor) -> Tensor:
        """Turn values (B, ...) of held features into valid ones, the nearest; others stay.

        :param key: key of the observation
        :param values: (B, ...) what is to stand under the key
        """
        held = self.held[key].to(values.device)
        low, high = (bound[key].to(values) for bound in (self.low, self.high))
        return torch.where(held, values.round().clamp(low, high), values) if held.any() else values


def find_categories(
    view: PolicyView, space: spaces.Space[Any], layout: ObservationLayout
) -> Categories:
    """Find the features of an observation that are categories.

    :param view: reads the scores off the policy
    :param space: observation space of the policy
    :param layout: form in which explainers see the observation
    """
    by_key = spaces_by_key(space)
    looked_up = find_looked_up(view, by_key)
    held, low, high = {}, {}, {}
    for key, observed in by_key.items():
        bits = isinstance(observed, spaces.MultiBinary) or observed.dtype == np.bool_
        whole = (bits and key not in layout.pictures) or MASK_NAME.search(key) is not None
        held[key] = looked_up[key] | whole
        low[key], high[key] = (torch.as_tensor(b).float() for b in find_bounds(observed))
    arranged = [
        {key: layout.arrange_key(key, part[None])[0] for key, part in parts.items()}
        for parts in (looked_up, held, low, high)
    ]
    return Categories(*arranged)
