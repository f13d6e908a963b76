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
from sb3_explain.agents.missing_inputs import warn_if_stateless, warn_if_unmasked
from sb3_explain.agents.observed_values import check_values, warn_if_raw
from sb3_explain.agents.plain_arrays import read_array, read_dense
from sb3_explain.agents.policy_inputs import check_policy_inputs, read_policy_inputs
from sb3_explain.common.errors import ExplainError
from sb3_explain.common.untrusted import quote
from sb3_explain.envs.spaces import SINGLE, Observations, join_keys, spaces_by_key


def read_observations(agent: Agent, observations: Any) -> Observations:
    """Turn what ``model.predict`` takes into a batch of observations in the agent's own layout.

    That is one observation or a batch of them, NumPy arrays or tensors, images with their channels
    first or last, a dict of such, and what ``reset()`` or ``step()`` of a VecEnv or of a Gymnasium
    environment returns.

    >>> from sb3_explain.agents.predict_input import read_observations
    >>> one_observation, _ = gymnasium.make("CartPole-v1").reset(seed=0)
    >>> read_observations(agent, one_observation).shape
    torch.Size([1, 4])

    :param agent: agent that observes them
    :param observations: observations as ``model.predict`` takes them
    :return: (B, ...) tensors on the agent's device, or a dict of such
    :raises ExplainError: if the observations do not fit the agent
    """
    observations = _unpack(observations)
    by_key = spaces_by_key(agent.observation_space)
    given = observations if isinstance(observations, Mapping) else {SINGLE: observations}
    if set(given) != set(by_key):
        if isinstance(agent.observation_space, spaces.Dict):
            ours, theirs = f"a dict of {sorted(by_key)}", _name_kind(observations)
            if isinstance(observations, Mapping):
                raise ExplainError(f"this agent observes {ours}: {_name_difference(by_key, given)}")
        else:
            ours, theirs = "no dict", f"a dict of {sorted(map(str, given))}"
        raise ExplainError(f"this agent observes {ours}: give what its environment returns, not "
                           f"{theirs}")  # fmt: skip
    read = {key: _read_key(agent, key, given[key], space) for key, space in by_key.items()}
    for key, observed in read.items():
        warn_if_raw(observed, agent.normalizers.get(key), repr(key or "the observation"))
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
    inputs = read_policy_inputs(policy_inputs)
    check_policy_inputs(agent, inputs)
    if "action_masks" not in inputs:
        warn_if_unmasked(agent, "give policy_inputs={'action_masks': env.action_masks()}")
    if "lstm_states" not in (policy_inputs or {}):
        warn_if_stateless(agent)
    return read_observations(agent, observations), inputs


def _unpack(given: Any) -> Any:
    """The observations of what ``reset()`` or ``step()`` returned; anything else as it is."""
    if not isinstance(given, tuple) or not given:
        return given
    info = given[-1]
    if len(given) in (2, 5) and isinstance(info, Mapping):  # of a Gymnasium environment
        return given[0]
    of_vec_env = isinstance(info, list | tuple) and all(isinstance(one, Mapping) for one in info)
    return given[0] if len(given) == 4 and of_vec_env else given


def _name_difference(known: Mapping[str, Any], given: Mapping[Any, Any]) -> str:
    """Say which keys are missing, and which there are too many."""
    missing = [quote(key) for key in known if key not in given]
    further = [quote(key) for key in given if key not in known]
    said = [f"add {', '.join(missing)}"] if missing else []
    return " and ".join([*said, *([f"leave out {', '.join(further)}"] if further else [])])


def _read_key(
    agent: Agent, key: str, observed: Any, space: spaces.Space[Any]
) -> Tensor | NDArray[Any]:
    """(B, ...) observations of one key, in the shape of its space."""
    shape = tuple(space.shape or ())
    which = repr(key or "the observation")
    if isinstance(observed, Tensor):
        dense = read_dense(observed, which)
        if tuple(dense.shape[1:]) == shape and dense.dim() == len(shape) + 1:
            check_values(dense, space, which)
            return dense  # a batch already: it stays on its device
    array = read_array(
        observed, which, "give what model.predict takes, such as env.reset() returns"
    )
    if array.dtype == np.float64 and space.dtype == np.float32:
        array = array.astype(np.float32)  # as a VecEnv hands it to the policy
    candidates = [array]
    if is_image_space(space) and array.ndim in (3, 4):
        candidates.append(VecTransposeImage.transpose_image(array))
    for candidate in candidates:
        if candidate.shape == shape:
            candidate = candidate[None]
        if candidate.ndim == len(shape) + 1 and candidate.shape[1:] == shape:
            check_values(candidate, space, which)
            return candidate
    hint = "one observation or a batch of them"
    if agent.n_stack > 1 and array.size * agent.n_stack == math.prod(shape):
        hint = f"{agent.n_stack} frames stacked, as VecFrameStack returns them"
    raise ExplainError(f"{which} has shape {array.shape}: this agent takes {shape}, {hint}")


def _name_kind(value: object) -> str:
    return f"of class {type(value).__name__}"
