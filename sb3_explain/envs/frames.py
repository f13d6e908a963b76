"""Turn an environment's observations into stacked observations of the policy, frame by frame."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from sb3_explain.common.errors import ExplainError
from sb3_explain.envs.recipe import EnvRecipe
from sb3_explain.envs.spaces import SINGLE, spaces_by_key

Array = NDArray[Any]


class FrameLayout:
    """Turns raw observations into frames, and frames into stacked observations.

    A frame is the observation of one time step in the policy's layout: channel-first for images. A
    stack has its frames side by side on the first axis, oldest first, as VecFrameStack and
    VecTransposeImage arrange them.

    :param recipe: how the environment is made, with the number of stacked frames and the statistics
        that normalize observations
    :param env_space: observation space of the environment, before stacking
    :param policy_space: observation space of the policy, after stacking
    :raises ExplainError: if the spaces do not fit each other, transposed or not
    """

    def __init__(
        self, recipe: EnvRecipe, env_space: spaces.Space[Any], policy_space: spaces.Space[Any]
    ) -> None:
        self.recipe = recipe
        self.n_stack = recipe.frame_stack
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.dtypes: dict[str, np.dtype[Any]] = {}
        self._transposed: set[str] = set()
        raw, seen = spaces_by_key(env_space), spaces_by_key(policy_space)
        if set(raw) != set(seen):
            raise ExplainError(
                f"the environment observes {sorted(raw)}, the policy expects {sorted(seen)}"
            )
        for key, space in seen.items():
            self._add(key, raw[key], space)

    def _add(self, key: str, raw: spaces.Space[Any], seen: spaces.Space[Any]) -> None:
        shape, given = tuple(seen.shape or ()), tuple(raw.shape or ())
        frame = (shape[0] // self.n_stack, *shape[1:]) if self.n_stack > 1 else shape
        if given != frame:
            if len(given) != 3 or (given[2], given[0], given[1]) != frame:
                raise ExplainError(
                    f"{self.recipe.env_id} gives observations {given}, but the policy expects "
                    f"{frame} (x {self.n_stack} stacked): is it the right environment?"
                )
            self._transposed.add(key)
        self.shapes[key] = frame
        normalized = key in self.recipe.normalizers
        dtype = np.float32 if normalized or raw.dtype == np.float64 else raw.dtype
        self.dtypes[key] = np.dtype(dtype)

    def frame(self, raw: Any) -> dict[str, Array]:
        """The frame of one raw observation, by key."""
        observation = self.recipe.normalize(raw)
        given = observation if isinstance(observation, dict) else {SINGLE: observation}
        frames = {}
        for key, shape in self.shapes.items():
            # a copy: some environments write the next observation into the same array
            observed = np.array(given[key], dtype=self.dtypes[key])
            frames[key] = observed.transpose(2, 0, 1) if key in self._transposed else observed
            assert frames[key].shape == shape
        return frames

    def empty(self, batch_size: int) -> dict[str, Array]:
        """Stacked observations (B, F * C, ...) of zeros, by key."""
        return {
            key: np.zeros((batch_size, *stack_shape(shape, self.n_stack)), self.dtypes[key])
            for key, shape in self.shapes.items()
        }

    def push(self, stacks: dict[str, Array], row: int, frame: dict[str, Array]) -> None:
        """Append a frame to the stack in one row, in place, and drop that stack's oldest frame."""
        for key, observed in frame.items():
            stack = stacks[key][row, ...]
            if self.n_stack == 1:
                stack[...] = observed
            else:
                depth = observed.shape[0]
                stack[:-depth] = stack[depth:].copy()
                stack[-depth:] = observed

    def clear(self, stacks: dict[str, Array], row: int) -> None:
        """Set the stack in one row to zeros, in place, as VecFrameStack does after an episode."""
        for stack in stacks.values():
            stack[row] = 0


def stack_shape(shape: tuple[int, ...], n_stack: int) -> tuple[int, ...]:
    """Shape of ``n_stack`` frames of one shape, side by side on the first axis."""
    return (shape[0] * n_stack, *shape[1:]) if n_stack > 1 else shape
