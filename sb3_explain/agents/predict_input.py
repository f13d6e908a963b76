"""What ``model.predict`` takes, as the batch of observations that an agent takes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.preprocessing import is_image_space
from stable_baselines3.common.vec_env import VecTransposeImage
from torch import Tensor

from sb3_explain.agents.agent import Agent
from sb3_explain.agents.unmasked import warn_if_unmasked
from sb3_explain.common.errors import ExplainError
from sb3_explain.envs.spaces import SINGLE, Observations, join_keys, spaces_by_key


def read_observations(agent: Agent, observations: Any) -> Observations:
    """Turn what ``model.predict`` takes into a batch of observations in the agent's own layout.

    That is one observation or a batch of them, NumPy arrays or tensors, images with their channels
    first or last, a dict of such, what ``reset()`` of a VecEnv or of a Gymnasium environment
    returns.

    >>> from sb3_explain.agents.predict_input import read_observations
    >>> one_observation, _ = gymnasium.make("CartPole-v1").reset(seed=0)
    >>> read_observations(agent, one_observation).shape
    torch.Size([1, 4])

    :param agent: agent that observes them
    :param observations: observations as ``model.predict`` takes them
    :return: (B, ...) tensors on the agent's device, or a dict of such
    :raises ExplainError: if the observations do not fit the agent
    """
    if isinstance(observations, tuple) and len(observations) == 2:
        first, info = observations
        if isinstance(info, Mapping):  # what reset() of a Gymnasium environment returns
            observations = first
    by_key = spaces_by_key(agent.observation_space)
    given = observations if isinstance(observations, Mapping) else {SINGLE: observations}
    if set(given) != set(by_key):
        if isinstance(agent.observation_space, spaces.Dict):
            ours, theirs = f"a dict of {sorted(by_key)}", _name_kind(observations)
        else:
            ours, theirs = "no dict", f"a dict of {sorted(map(str, given))}"
        raise ExplainError(f"this agent observes {ours}: give what its environment returns, not "
                           f"{theirs}")  # fmt: skip
    read = {key: _read_key(agent, key, given[key], space) for key, space in by_key.items()}
    sizes = {key: len(observed) for key, observed in read.items()}
    if len(set(sizes.values())) > 1:
        raise ExplainError(f"the keys have different numbers of observations: {sizes}")
    tensors = agent.tensor(read)
    assert isinstance(tensors, dict)
    batch = join_keys(tensors)
    agent.check(batch)
    return batch


def read_inputs(
    agent: Agent, observations: Any, policy_inputs: Mapping[str, Any] | None
) -> tuple[Observations, dict[str, Any]]:
    """Turn all that ``model.predict`` takes into what the agent takes.

    :param agent: agent that observes them
    :param observations: observations as :func:`read_observations` takes them
    :param policy_inputs: policy inputs as :func:`read_policy_inputs` takes them
    :return: observations and policy inputs of a batch
    """
    read = read_policy_inputs(policy_inputs)
    if "action_masks" not in read:
        warn_if_unmasked(agent, "give policy_inputs={'action_masks': env.action_masks()}")
    return read_observations(agent, observations), read


def read_policy_inputs(policy_inputs: Mapping[str, Any] | None) -> dict[str, Any]:
    """Turn the policy inputs of one state or of several into those of a batch.

    :param policy_inputs: ``lstm_states`` and ``action_masks``, of which ``None`` is left out; an
        environment's masks of one state have no batch axis, and the LSTM states may be the pair
        that ``model.predict`` returns
    :return: batch-first inputs by name
    """
    read = {name: given for name, given in (policy_inputs or {}).items() if given is not None}
    if "action_masks" in read:
        masks = read["action_masks"]
        read["action_masks"] = masks if isinstance(masks, Tensor) else np.asarray(masks)
        if read["action_masks"].ndim == 1:
            read["action_masks"] = read["action_masks"][None]
    if isinstance(read.get("lstm_states"), tuple):
        read["lstm_states"] = _join_lstm_states(read["lstm_states"])
    return read


def _join_lstm_states(pair: tuple[Any, ...]) -> NDArray[Any]:
    """Turn h and c of the actor, (L, B, H), into (B, 4, L, H); the critic's are NaN: unknown."""
    actor = [np.asarray(part) for part in pair]
    shape = actor[0].shape
    if len(actor) != 2 or len(shape) != 3 or actor[1].shape != shape:
        raise ExplainError(
            "lstm_states: give the pair that model.predict returned before this observation, or "
            "states.policy_inputs([...])"
        )
    unknown = np.full(shape, np.nan, actor[0].dtype)
    return np.stack([*actor, unknown, unknown]).transpose(2, 0, 1, 3)


def _read_key(
    agent: Agent, key: str, observed: Any, space: spaces.Space[Any]
) -> Tensor | NDArray[Any]:
    """(B, ...) observations of one key, in the shape of its space."""
    shape = tuple(space.shape or ())
    if isinstance(observed, Tensor):
        if tuple(observed.shape[1:]) == shape and observed.dim() == len(shape) + 1:
            return observed  # a batch already: it stays on its device
        observed = observed.detach().cpu().numpy()
    array = np.asarray(observed)
    which = key or "the observation"
    if array.dtype.kind not in "biuf":
        raise ExplainError(
            f"{which!r} is {_name_kind(observed)}: give what model.predict takes, such as "
            "env.reset() returns"
        )
    if array.dtype == np.float64 and space.dtype == np.float32:
        array = array.astype(np.float32)  # as a VecEnv hands it to the policy
    candidates = [array]
    if is_image_space(space) and array.ndim in (3, 4):
        candidates.append(VecTransposeImage.transpose_image(array))
    for candidate in candidates:
        if candidate.shape == shape:
            return candidate[None]
        if candidate.ndim == len(shape) + 1 and candidate.shape[1:] == shape:
            return candidate
    hint = "one observation or a batch of them"
    if agent.n_stack > 1 and array.size * agent.n_stack == math.prod(shape):
        hint = f"{agent.n_stack} frames stacked, as VecFrameStack returns them"
    raise ExplainError(f"{which!r} has shape {array.shape}: this agent takes {shape}, {hint}")


def _name_kind(value: object) -> str:
    return f"of class {type(value).__name__}"
