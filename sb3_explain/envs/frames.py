"""Turn an environment's observations into stacked observations of the policy, frame by frame."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from sb3_explain.common.errors import ExplainError
from sb3_explain.common.untrusted import quote
from sb3_explain.envs.failing import FailedEnvError
from sb3_explain.envs.recipe import EnvRecipe, Normalizer
from sb3_explain.envs.spaces import SINGLE, check_keys, spaces_by_key, stack_shape

Array = NDArray[Any]


@dataclasses.dataclass(frozen=True)
class KeyLayout:
    """How the raw observations of one key become frames, and its stacks observations.

    :param shape: shape of a frame, in the policy's layout
    :param axis: axis of a frame on which frames are stacked
    :param transposed: whether raw images are channel-last and the policy's are channel-first
    :param raw_dtype: dtype of raw observations
    :param of_frames: normalizes single frames, in the policy's layout
    :param of_stacks: normalizes whole stacks, in the policy's layout
    """

    shape: tuple[int, ...]
    axis: int
    transposed: bool
    raw_dtype: np.dtype[Any]
    of_frames: Normalizer | None
    of_stacks: Normalizer | None

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of frames: doubles are for VecNormalize alone, no policy sees them."""
        single = self.of_frames is not None or self.raw_dtype == np.float64
        return np.dtype(np.float32) if single and self.of_stacks is None else self.raw_dtype

    def frame(self, raw: Any) -> Array:
        """The frame of one raw observation."""
        # In the space's dtype, as DummyVecEnv hands it on. A copy: some environments write the next
        # observation into the same array.
        observed = np.array(raw, dtype=self.raw_dtype)
        frame = observed.transpose(2, 0, 1) if self.transposed else observed
        if frame.shape != self.shape:
            spare = frame.ndim - len(self.shape)  # DummyVecEnv, too, drops axes of length 1
            if spare < 1 or frame.shape != (1,) * spare + self.shape:
                raise ValueError(f"shape {observed.shape}")
            frame = frame.reshape(self.shape)
        return frame.astype(self.dtype) if self.of_frames is None else self.of_frames(frame)

    def push(self, stack: Array, frame: Array, n_stack: int) -> None:
        """Append a frame to a stack, in place, and drop its oldest frame."""
        if n_stack == 1:
            stack[...] = frame
            return
        depth = self.shape[self.axis]
        frames_first = np.moveaxis(stack, self.axis, 0)
        frames_first[:-depth] = frames_first[depth:].copy()
        frames_first[-depth:] = np.moveaxis(frame, self.axis, 0)


class FrameLayout:
    """Turns raw observations into frames, and frames into stacked observations.

    A frame is the observation of one time step in the policy's layout: channel-first for images. A
    stack has its frames side by side on one axis, oldest first, as VecFrameStack and
    VecTransposeImage arrange them. VecNormalize may stand under or around them: the shape of its
    statistics says what they are of.

    :param recipe: how the environment is made, with the number of stacked frames and the statistics
        that normalize observations
    :param env_space: observation space of the environment, before stacking
    :param policy_space: observation space of the policy, after stacking
    :raises ExplainError: if the spaces or the statistics do not fit each other
    """

    def __init__(
        self, recipe: EnvRecipe, env_space: spaces.Space[Any], policy_space: spaces.Space[Any]
    ) -> None:
        self.recipe = recipe
        self.n_stack = recipe.frame_stack
        raw, seen = spaces_by_key(env_space), spaces_by_key(policy_space)
        if set(raw) != set(seen):
            raise ExplainError(
                f"the environment observes {sorted(raw)}, the policy expects {sorted(seen)}"
            )
        check_keys(recipe.normalizers, seen, recipe.env_id)
        self.keys = {key: self._layout_of(key, raw[key], space) for key, space in seen.items()}

    @property
    def n_frames(self) -> int:
        """Number of frames side by side on the first axis of an observation."""
        return self.n_stack if all(key.axis == 0 for key in self.keys.values()) else 1

    @property
    def stores_stacks(self) -> bool:
        """Whether observations cannot be put together again from their frames alone.

        Statistics of whole stacks make another frame of each of its places.
        """
        normalized = any(key.of_stacks is not None for key in self.keys.values())
        return normalized or self.n_frames != self.n_stack

    def _layout_of(self, name: str, raw: spaces.Space[Any], seen: spaces.Space[Any]) -> KeyLayout:
        given, expected = tuple(raw.shape or ()), tuple(seen.shape or ())
        frames = [(given, False)]
        if len(given) == 3:
            frames.append(((given[2], given[0], given[1]), True))
        for frame, transposed in frames:
            for axis in range(len(frame)) if self.n_stack > 1 else [0]:
                if stack_shape(frame, self.n_stack, axis) == expected:
                    of_frames, of_stacks = self._normalizers(name, given, frame, expected)
                    dtype = np.dtype(raw.dtype or np.float32)
                    return KeyLayout(frame, axis, transposed, dtype, of_frames, of_stacks)
        raise ExplainError(
            f"{self.recipe.env_id} gives observations {given}, but the policy expects "
            f"{expected} ({self.n_stack} stacked): is it the right environment?"
        )

    def _normalizers(
        self,
        name: str,
        given: tuple[int, ...],
        frame: tuple[int, ...],
        stack: tuple[int, ...],
    ) -> tuple[Normalizer | None, Normalizer | None]:
        """What normalizes frames, and what normalizes stacks of them."""
        normalizer = self.recipe.normalizers.get(name)
        if normalizer is None:
            return None, None
        shape = normalizer.mean.shape
        if shape == frame:
            return normalizer, None
        if shape == given:  # channel-last, while the policy's images are channel-first
            return normalizer.transpose(2, 0, 1), None
        if shape == stack:
            return None, normalizer
        raise ExplainError(
            f"the statistics of shape {shape} fit neither the observations {given} of "
            f"{self.recipe.env_id} nor {self.n_stack} of them stacked: is it the right environment?"
        )

    def frame(self, raw: Any) -> dict[str, Array]:
        """The frame of one raw observation, by key.

        :raises FailedEnvError: if the observation is not what the environment's space says
        """
        given = raw if isinstance(raw, dict) else {SINGLE: raw}
        try:
            return {name: key.frame(given[name]) for name, key in self.keys.items()}
        except (ValueError, TypeError, KeyError, OverflowError) as error:
            shapes = {
                name: np.shape(each) for name, each in given.items() if hasattr(each, "shape")
            }
            seen = shapes.get(SINGLE, shapes) or quote(raw)
            raise FailedEnvError(
                f"{self.recipe.env_id} observes what its observation_space does not hold: {seen}, "
                "where gymnasium's check_env would say more"
            ) from error

    def empty(self, batch_size: int) -> dict[str, Array]:
        """Stacks (B, ...) of frames of zeros, by key."""
        return {
            name: np.zeros((batch_size, *stack_shape(key.shape, self.n_stack, key.axis)), key.dtype)
            for name, key in self.keys.items()
        }

    def push(self, stacks: dict[str, Array], row: int, frame: dict[str, Array]) -> None:
        """Append a frame to the stack in one row, in place, and drop that stack's oldest frame."""
        for name, observed in frame.items():
            self.keys[name].push(stacks[name][row, ...], observed, self.n_stack)

    def clear(self, stacks: dict[str, Array], row: int) -> None:
        """Set the stack in one row to zeros, in place, as VecFrameStack does after an episode."""
        for stack in stacks.values():
            stack[row] = 0

    def observations(self, stacks: dict[str, Array]) -> dict[str, Array]:
        """What the policy observes of stacks (B, ...), by key: whole stacks are normalized here."""
        return {
            name: stack if (normalizer := self.keys[name].of_stacks) is None else normalizer(stack)
            for name, stack in stacks.items()
        }
