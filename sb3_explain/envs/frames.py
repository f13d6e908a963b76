"""From what an environment gives to what the policy sees, one frame at a time."""

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
    """How raw observations become frames, and frames become stacked observations.

    A frame is one time step in the policy's layout: channel-first for images. Stacks are frames
    side by side on the first axis, oldest first, as VecFrameStack and VecTransposeImage make them.

    :param recipe: how the environment is made; gives the stack's depth and the normalisation
    :param env_space: of the environment, before stacking
    :param policy_space: of the policy, after stacking
    :raises ExplainError: if no transposition makes the one fit the other
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
        """The frame, per key, of one raw observation."""
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
        """Stacked observations (B, F * C, ...) of zeros, per key."""
        return {
            key: np.zeros((batch_size, *stack_shape(shape, self.n_stack)), self.dtypes[key])
            for key, shape in self.shapes.items()
        }

    def push(self, stacks: dict[str, Array], row: int, frame: dict[str, Array]) -> None:
        """Shift the stack in ``row`` by one frame, in place."""
        for key, observed in frame.items():
            stack = stacks[key][row, ...]
            if self.n_stack == 1:
                stack[...] = observed
            else:
                depth = observed.shape[0]
                stack[:-depth] = stack[depth:].copy()
                stack[-depth:] = observed

    def clear(self, stacks: dict[str, Array], row: int) -> None:
        """Empty the stack in ``row``, in place, as VecFrameStack does when an episode ends."""
        for stack in stacks.values():
            stack[row] = 0


def stack_shape(shape: tuple[int, ...], n_stack: int) -> tuple[int, ...]:
    """Shape of ``n_stack`` frames side by side on the first axis."""
    return (shape[0] * n_stack, *shape[1:]) if n_stack > 1 else shape
