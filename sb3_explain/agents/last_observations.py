"""What the last observation of a live model says of how it was trained."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm

from sb3_explain.envs.spaces import spaces_by_key

#: how far raw observations may leave their bounds by rounding
MARGIN = 1e-3


def tell_trained_normalized(model: BaseAlgorithm) -> bool | None:
    """Whether a live model was trained on normalized observations; ``None`` if nothing says so.

    :param model: the model, as it was trained or loaded
    """
    now = model.get_vec_normalize_env() is not None
    if model.num_timesteps == 0:
        return now
    last, raw = model._last_obs, model._last_original_obs
    if isinstance(model, OnPolicyAlgorithm):  # holds a raw observation beside a normalized one only
        return raw is not None
    if shows_normalization(last, raw, model.observation_space):
        return True
    # algorithms with a replay buffer hold a raw one in any case; a full buffer was filled here
    buffer = getattr(model, "replay_buffer", None)
    return now if buffer is not None and buffer.size() > 0 else None


def shows_normalization(last: Any, raw: Any, space: spaces.Space[Any] | None) -> bool:
    """Whether the last observation was certainly normalized.

    VecNormalize gives float32, whatever it wraps, and numbers beyond the bounds of the space. An
    observation of neither kind may be raw or normalized.

    :param last: (n, ...) last observation that the model was shown, or a dict of them
    :param raw: (n, ...) an observation as the environment gave it, or a dict of them
    :param space: observation space of the model, if it is known
    """
    shown, given = (x if isinstance(x, dict) else {"": x} for x in (last, raw))
    by_key = {} if space is None else spaces_by_key(space)
    return any(
        _was_changed(shown[key], given[key], by_key.get(key)) for key in shown if key in given
    )


def _was_changed(shown: Any, given: Any, space: spaces.Space[Any] | None) -> bool:
    if not isinstance(shown, np.ndarray) or not isinstance(given, np.ndarray):
        return False
    if shown.dtype != given.dtype:
        return True
    if not isinstance(space, spaces.Box):
        return False
    return _is_within(given, space) and not _is_within(shown, space)


def _is_within(observed: NDArray[Any], space: spaces.Box) -> bool:
    if observed.shape[1:] != space.shape:  # an image that is yet to be transposed
        return True
    with np.errstate(invalid="ignore"):
        return bool(((observed >= space.low - MARGIN) & (observed <= space.high + MARGIN)).all())
