"""FrameStackReplayBuffer: stacked images, each frame kept once."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.type_aliases import ReplayBufferSamples
from stable_baselines3.common.vec_env import VecNormalize

from sb3_explain.common.errors import ExplainError
from sb3_explain.sgqn.frame_file import FrameFile

#: where Linux says what a container may take
CONTROL_GROUP = Path("/sys/fs/cgroup")


class FrameStackReplayBuffer(ReplayBuffer):
    """A replay buffer of stacked images that keeps single frames.

    A transition has k + 1 frames of which all but one are the last transition's too: 500,000
    transitions of 9 x 84 x 84 take 10.6 GB instead of 63.5 GB. For any off-policy algorithm:
    ``replay_buffer_class=FrameStackReplayBuffer, replay_buffer_kwargs={"n_stack": 3}``.

    A row holds the newest frame after a step. Each episode begins with a row of its own (two where
    the first stack is padded with zeros), so that a full buffer holds buffer_size less the
    number of its episodes. Terminal observations and truncation are kept as SB3 does.

    :param buffer_size: rows, over all environments
    :param observation_space: a Box of uint8 images (n_stack * C, H, W), oldest frame first
    :param action_space: of the environment
    :param device: where samples are put
    :param n_envs: environments
    :param optimize_memory_usage: not needed here, refused
    :param handle_timeout_termination: do not take the end of a time limit for an end
    :param n_stack: k, frames in an observation
    :param file: memory-mapped file for the frames, for buffers larger than the memory; one that is
        there is replaced. A pickled buffer names it, and samples of it what has not been written
        over since, by whatever buffer
    :raises ExplainError: for other observations or options that it cannot honour; at the first
        transition, if the frames would take more than the memory, or the disk, that is free
    """

    #: (n_envs, rows) of a buffer with a file: which frames of the file are its own
    tags: NDArray[np.int64] | None = None
    _opened: FrameFile | None = None

    def __init__(
        self,
        buffer_size: int,
        observation_space: spaces.Space[Any],
        action_space: spaces.Space[Any],
        device: torch.device | str = "auto",
        n_envs: int = 1,
        optimize_memory_usage: bool = False,
        handle_timeout_termination: bool = True,
        *,
        n_stack: int = 3,
        file: str | Path | None = None,
        **others: Any,
    ) -> None:
        if others:
            raise ExplainError(
                f"FrameStackReplayBuffer does not know {', '.join(others)}: it keeps transitions "
                "of one step, without goals"
            )
        if optimize_memory_usage:
            raise ExplainError(
                "FrameStackReplayBuffer keeps every frame once already: leave out "
                "optimize_memory_usage"
            )
        channels = channels_of(observation_space, n_stack)
        height, width = observation_space.shape[1:]  # type: ignore[index]
        # not ReplayBuffer's own, which would allocate what this class is there to avoid
        super(ReplayBuffer, self).__init__(
            buffer_size, observation_space, action_space, device, n_envs=n_envs
        )
        self.buffer_size = max(buffer_size // n_envs, n_stack + 2)
        self.optimize_memory_usage = False
        self.handle_timeout_termination = handle_timeout_termination
        self.n_stack = n_stack
        self.frame_shape = (channels, height, width)
        self.file = None if file is None else Path(file).absolute()
        rows = (n_envs, self.buffer_size)
        # made when the first transition comes: a model that is loaded to be explained needs none
        self._frames: NDArray[np.uint8] | None = None
        if file is not None:
            self.tags = np.zeros(rows, dtype=np.int64)
        dtype = self._maybe_cast_dtype(action_space.dtype)
        # an action's numbers, a reward, an end, a depth
        require_memory(n_envs * self.buffer_size * 4 * (self.action_dim + 3))
        self.actions = np.zeros((*rows, self.action_dim), dtype=dtype)
        self.rewards = np.zeros(rows, dtype=np.float32)
        #: 1 where the episode ended, and not by its time limit
        self.dones = np.zeros(rows, dtype=np.float32)
        #: rows since the episode's first; that one has 0
        self.depth = np.zeros(rows, dtype=np.int32)
        #: whether a row is a transition, and not what an episode begins with
        self.holds = np.zeros(rows, dtype=bool)
        self.reset()

    # --- memory ----------------------------------------------------------------------------

    @property
    def frames(self) -> NDArray[np.uint8]:
        """(n_envs, rows, C * H * W) single frames.

        :raises ExplainError: if there is not memory enough for them, or their file is missing
        """
        if self._frames is None:
            shape = (self.n_envs, self.buffer_size, int(np.prod(self.frame_shape)))
            if self.file is None:
                require_memory(int(np.prod(shape)))
                self._frames = np.zeros(shape, dtype=np.uint8)
            elif self.written.any():
                self._opened = FrameFile.open(Path(self.file), shape)
                self._forget_what_is_not_there(self._opened.tags)
                self._frames = self._opened.frames
            else:
                self._opened = FrameFile.make(Path(self.file), shape)
                self._frames = self._opened.frames
        return self._frames

    def _forget_what_is_not_there(self, tags: NDArray[np.int64]) -> None:
        """Of rows that others have written over since this buffer was saved.

        :param tags: of the file
        :raises ExplainError: if nothing is left
        """
        lost = tags != self.tags
        broken = lost.copy()
        for back in range(1, self.n_stack + 1):  # a row needs those before it
            broken |= np.roll(lost, back, axis=1) & (self.depth >= back)
        left = self.holds & ~broken
        if self.holds.any() and not left.any():
            raise ExplainError(
                f"{self.file} holds nothing of this replay buffer any more: another took the file, "
                "or it went on after it was saved and wrote over all; give each a file of its own"
            )
        self.holds = left
        for env, head in enumerate(self.heads):
            if broken[env, head - 1]:  # the next row cannot go on from there
                self.last[env] = None
        self.base = fresh_tag()

    def __getstate__(self) -> dict[str, Any]:
        """What is pickled: of a memory-mapped buffer, the name of its file."""
        state = dict(self.__dict__)
        if self.file is not None and self._frames is not None:
            self._frames.flush()  # type: ignore[attr-defined]
            state["_frames"] = state["_opened"] = None
        return state

    def reset(self) -> None:
        """Forget all transitions."""
        super().reset()
        #: of each environment: the next row to write, rows written so far, the last observation
        self.heads = np.zeros(self.n_envs, dtype=np.int64)
        self.written = np.zeros(self.n_envs, dtype=np.int64)
        self.last: list[NDArray[np.uint8] | None] = [None] * self.n_envs
        #: from which tags are counted
        self.base = fresh_tag()
        self.holds[:] = False

    def discard(self, n: int) -> None:
        """Forget the rows of each environment that the next ``n`` would be written over.

        For a memory-mapped buffer that is loaded from a checkpoint: what was added after it may
        stand there.
        """
        for env in range(self.n_envs):
            if self.written[env] + n > self.buffer_size:
                self.holds[env, (self.heads[env] + np.arange(n)) % self.buffer_size] = False

    def size(self) -> int:
        """Rows of each environment that hold something, on average."""
        return int(np.minimum(self.written, self.buffer_size).mean())

    # --- adding ----------------------------------------------------------------------------

    def add(
        self,
        obs: NDArray[Any],
        next_obs: NDArray[Any],
        action: NDArray[Any],
        reward: NDArray[Any],
        done: NDArray[Any],
        infos: list[dict[str, Any]],
    ) -> None:
        """Keep one transition of every environment.

        :param obs: (n_envs, n_stack * C, H, W)
        :param next_obs: after the action; the terminal observation where the episode ended
        :param action: (n_envs, ...)
        :param reward: (n_envs,)
        :param done: (n_envs,)
        :param infos: of the environments; ``TimeLimit.truncated`` is read
        :raises ExplainError: if ``next_obs`` is not ``obs`` moved on by one frame
        """
        _ = self.frames  # opens their file, which says whether the last episode is still there
        stacks = np.asarray(obs).reshape(self.n_envs, self.n_stack, -1)
        next_stacks = np.asarray(next_obs).reshape(self.n_envs, self.n_stack, -1)
        actions = np.asarray(action).reshape(self.n_envs, self.action_dim)
        for env in range(self.n_envs):
            stack, next_stack = stacks[env], next_stacks[env]
            if not np.array_equal(stack[1:], next_stack[:-1]):
                raise ExplainError(
                    "an observation is not the one before it moved on by one frame: give the "
                    f"number of stacked frames as n_stack (it is {self.n_stack}), oldest first"
                )
            last = self.last[env]
            if last is None or not np.array_equal(last, stack):
                self._begin(env, stack)
            row = self._append(env, next_stack[-1])
            self.holds[env, row] = True
            self.actions[env, row] = actions[env]
            self.rewards[env, row] = reward[env]
            timeout = self.handle_timeout_termination and infos[env].get("TimeLimit.truncated")
            self.dones[env, row] = bool(done[env]) and not timeout
            self.last[env] = None if done[env] else next_stack.copy()

    def _begin(self, env: int, stack: NDArray[np.uint8]) -> None:
        """The frames that an episode begins with; the oldest stands for all before it."""
        first = 0
        while first + 1 < self.n_stack and np.array_equal(stack[first], stack[first + 1]):
            first += 1
        for depth, frame in enumerate(stack[first:]):
            row = self._append(env, frame)
            self.holds[env, row] = False
            self.depth[env, row] = depth

    def _append(self, env: int, frame: NDArray[np.uint8]) -> int:
        row = int(self.heads[env])
        self.frames[env, row] = frame
        self.depth[env, row] = self.depth[env, row - 1] + 1
        self.heads[env] = (row + 1) % self.buffer_size
        self.written[env] += 1
        if self._opened is not None and self.tags is not None:
            self.tags[env, row] = self._opened.tags[env, row] = self.base + self.written[env]
        self.full = bool((self.written >= self.buffer_size).all())
        return row

    # --- sampling --------------------------------------------------------------------------

    def sample(self, batch_size: int, env: VecNormalize | None = None) -> ReplayBufferSamples:
        """Transitions drawn uniformly, with replacement.

        :param batch_size: B
        :param env: normalises what is sampled
        :return: observations and next observations (B, n_stack * C, H, W); they share memory
        :raises ExplainError: if there is none yet
        """
        envs = np.zeros(0, dtype=np.int64)
        rows = np.zeros(0, dtype=np.int64)
        filled = np.minimum(self.written, self.buffer_size)
        if self.written.any():
            _ = self.frames  # opens their file, which says what is still there
        if not self.holds.any():
            raise ExplainError("the replay buffer holds no transition yet")
        while len(rows) < batch_size:
            # by the generator that SB3 seeds
            env_drawn = np.random.randint(self.n_envs, size=2 * batch_size)  # noqa: NPY002
            row_drawn = np.random.randint(int(filled.max()), size=2 * batch_size)  # noqa: NPY002
            valid = self.valid(env_drawn, row_drawn)
            envs = np.concatenate([envs, env_drawn[valid]])
            rows = np.concatenate([rows, row_drawn[valid]])
        return self._samples(envs[:batch_size], rows[:batch_size], env)

    def valid(self, envs: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """(B,) whether rows are transitions all of whose frames are still there."""
        # rows that have been written since the oldest that is left
        age = np.where(
            self.written[envs] >= self.buffer_size,
            (rows - self.heads[envs]) % self.buffer_size,
            rows,
        )
        needed = np.minimum(self.depth[envs, rows], self.n_stack)
        return self.holds[envs, rows] & (age >= needed)

    def _samples(
        self, envs: NDArray[np.int64], rows: NDArray[np.int64], env: VecNormalize | None
    ) -> ReplayBufferSamples:
        back = np.arange(self.n_stack, -1, -1)
        # before an episode's first frame there is that frame again
        offsets = np.minimum(back, self.depth[envs, rows][:, None])
        wanted = envs[:, None] * self.buffer_size + (rows[:, None] - offsets) % self.buffer_size
        flat = torch.from_numpy(self.frames.reshape(-1, self.frames.shape[-1]))
        window = torch.index_select(flat, 0, torch.from_numpy(wanted.ravel())).to(self.device)
        window = window.view(len(rows), self.n_stack + 1, *self.frame_shape)
        observations, following = window[:, :-1].flatten(1, 2), window[:, 1:].flatten(1, 2)
        rewards = self._normalize_reward(self.rewards[envs, rows].reshape(-1, 1), env)
        return ReplayBufferSamples(
            self._normalized(observations, env),
            self.to_torch(self.actions[envs, rows]),
            self._normalized(following, env),
            self.to_torch(self.dones[envs, rows].reshape(-1, 1)),
            self.to_torch(rewards),
        )

    def _normalized(self, observations: torch.Tensor, env: VecNormalize | None) -> torch.Tensor:
        if env is None or not env.norm_obs:
            return observations
        return self.to_torch(self._normalize_obs(observations.cpu().numpy(), env))  # type: ignore[arg-type]


def fresh_tag() -> int:
    """One that no other buffer counts from; it has no seed, for those with one may share a file."""
    return 1 + secrets.randbits(61)


def free_memory() -> int:
    """Bytes that may still be taken: of the machine, or of the container that it is limited by."""
    free: int = psutil.virtual_memory().available
    try:
        limit = int((CONTROL_GROUP / "memory.max").read_text())
        used = int((CONTROL_GROUP / "memory.current").read_text())
        stat = (CONTROL_GROUP / "memory.stat").read_text()
        told = dict(line.split() for line in stat.splitlines())
    except (OSError, ValueError):  # no such group, or one without a limit
        return free
    # what was read from files is given back when it is needed
    return min(free, limit - used + int(told.get("inactive_file", 0)))


def require_memory(n_bytes: int) -> None:
    """:raises ExplainError: if less memory is free"""
    free = free_memory()
    if n_bytes > free:
        raise ExplainError(
            f"the replay buffer would take {n_bytes / 1e9:.1f} GB, and {free / 1e9:.1f} GB of "
            'memory are free: lower buffer_size, or give replay_buffer_kwargs={"file": ...} to '
            "have the frames on the disk"
        )


def channels_of(space: spaces.Space[Any], n_stack: int) -> int:
    """Channels of a single frame.

    :raises ExplainError: if the space is not one of stacked images
    """
    if isinstance(space, spaces.Dict):
        raise ExplainError(
            "FrameStackReplayBuffer holds images alone, and these observations are a Dict (of "
            "goals, for HER): use SB3's DictReplayBuffer or HerReplayBuffer"
        )
    if not isinstance(space, spaces.Box) or space.dtype != np.uint8 or len(space.shape) != 3:
        raise ExplainError(
            f"FrameStackReplayBuffer holds stacked uint8 images (n_stack * C, H, W), not {space}"
        )
    if n_stack < 1 or space.shape[0] % n_stack:
        raise ExplainError(
            f"{space.shape[0]} channels are not {n_stack} stacked frames: give n_stack in "
            "replay_buffer_kwargs, and images with channels first"
        )
    return space.shape[0] // n_stack
