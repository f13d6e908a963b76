"""FrameStackReplayBuffer: a replay buffer of stacked images that stores each frame once."""

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

#: where Linux reports the memory limit of a container
CONTROL_GROUP = Path("/sys/fs/cgroup")


class FrameStackReplayBuffer(ReplayBuffer):
    """A replay buffer of stacked images that stores each frame once.

    Of the k + 1 frames of a transition all but one belong to the previous transition too: 500,000
    transitions of 9 x 84 x 84 take 10.6 GB instead of 63.5 GB. It works with any off-policy
    algorithm of Stable-Baselines3.

    A row holds the newest frame after a step. Each episode starts with a row of its own (two where
    the first stack is padded with zeros), so that a full buffer holds ``buffer_size`` transitions
    less the number of its episodes. Terminal observations and truncation are treated as in SB3.

    :param buffer_size: number of rows, over all environments
    :param observation_space: a Box of uint8 images (n_stack * C, H, W), oldest frame first
    :param action_space: action space of the environment
    :param device: device of the samples
    :param n_envs: number of parallel environments
    :param optimize_memory_usage: must be ``False``, since memory is saved already
    :param handle_timeout_termination: whether episodes that a time limit ends count as not done
    :param n_stack: number k of frames in an observation
    :param file: memory-mapped file for the frames, for buffers larger than the memory; an existing
        file is replaced. A pickled buffer stores the path alone; once loaded, it leaves out the
        rows of the file that have been overwritten since
    :raises ExplainError: for unsupported observations or options; at the first transition, if the
        frames would take more than the free memory or disk space

    >>> from sb3_explain import FrameStackReplayBuffer
    >>> from stable_baselines3 import DQN
    >>> from stable_baselines3.common.env_util import make_vec_env
    >>> from stable_baselines3.common.envs import FakeImageEnv
    >>> from stable_baselines3.common.vec_env import VecFrameStack
    >>> env = VecFrameStack(make_vec_env(FakeImageEnv, env_kwargs={"n_channels": 1}), n_stack=4)
    >>> model = DQN(
    ...     "CnnPolicy", env, buffer_size=100, replay_buffer_class=FrameStackReplayBuffer,
    ...     replay_buffer_kwargs={"n_stack": 4},
    ... )
    >>> model.learn(9).replay_buffer.sample(5).observations.shape
    torch.Size([5, 4, 84, 84])
    """

    #: (n_envs, n_rows) tags of the frames in the file that are this buffer's own; with a file only
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
        **kwargs: Any,
    ) -> None:
        if kwargs:
            raise ExplainError(
                f"FrameStackReplayBuffer does not know {', '.join(kwargs)}: it holds one-step "
                "transitions without goals"
            )
        if optimize_memory_usage:
            raise ExplainError(
                "FrameStackReplayBuffer stores every frame once already: leave out "
                "optimize_memory_usage"
            )
        channels = count_channels(observation_space, n_stack)
        height, width = observation_space.shape[1:]  # type: ignore[index]
        # skips ReplayBuffer.__init__, which would allocate both stacks of each transition
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
        # allocated at the first transition: a model that is loaded to be explained needs none
        self._frames: NDArray[np.uint8] | None = None
        if file is not None:
            self.tags = np.zeros(rows, dtype=np.int64)
        dtype = self._maybe_cast_dtype(action_space.dtype)
        # per row: the action, the reward, done and depth, 4 bytes each
        require_memory(n_envs * self.buffer_size * 4 * (self.action_dim + 3))
        self.actions = np.zeros((*rows, self.action_dim), dtype=dtype)
        self.rewards = np.zeros(rows, dtype=np.float32)
        #: 1 where the episode ended other than by its time limit
        self.dones = np.zeros(rows, dtype=np.float32)
        #: number of rows since the first of the episode
        self.depth = np.zeros(rows, dtype=np.int32)
        #: whether a row is a transition rather than the start of an episode
        self.holds = np.zeros(rows, dtype=bool)
        self.reset()

    # --- memory ----------------------------------------------------------------------------

    @property
    def frames(self) -> NDArray[np.uint8]:
        """Single frames, (n_envs, n_rows, C * H * W) uint8; allocated or opened on first use.

        :raises ExplainError: if there is too little memory or disk space, or the file is missing
        """
        if self._frames is None:
            shape = (self.n_envs, self.buffer_size, int(np.prod(self.frame_shape)))
            if self.file is None:
                require_memory(int(np.prod(shape)))
                self._frames = np.zeros(shape, dtype=np.uint8)
            elif self.written.any():
                self._opened = FrameFile.open(Path(self.file), shape)
                self._forget_overwritten(self._opened.tags)
                self._frames = self._opened.frames
            else:
                self._opened = FrameFile.make(Path(self.file), shape)
                self._frames = self._opened.frames
        return self._frames

    def _forget_overwritten(self, tags: NDArray[np.int64]) -> None:
        """Drop the rows that have been overwritten in the file since this buffer was saved.

        :param tags: (n_envs, n_rows) tags in the file
        :raises ExplainError: if no transition is left
        """
        lost = tags != self.tags
        broken = lost.copy()
        for back in range(1, self.n_stack + 1):  # a row needs those before it
            broken |= np.roll(lost, back, axis=1) & (self.depth >= back)
        left = self.holds & ~broken
        if self.holds.any() and not left.any():
            raise ExplainError(
                f"{self.file} holds nothing of this replay buffer any more: another buffer, or "
                "this one after it was saved, overwrote it; give each a file of its own"
            )
        self.holds = left
        for env, head in enumerate(self.heads):
            if broken[env, head - 1]:  # the next row cannot continue from there
                self.last[env] = None
        self.base = draw_tag()

    def __getstate__(self) -> dict[str, Any]:
        """Return the state to pickle, without the frames of a memory-mapped buffer."""
        state = dict(self.__dict__)
        if self.file is not None and self._frames is not None:
            self._frames.flush()  # type: ignore[attr-defined]
            state["_frames"] = state["_opened"] = None
        return state

    def reset(self) -> None:
        """Remove all transitions."""
        super().reset()
        #: for each environment: next row to write, number of rows written, last observation
        self.heads = np.zeros(self.n_envs, dtype=np.int64)
        self.written = np.zeros(self.n_envs, dtype=np.int64)
        self.last: list[NDArray[np.uint8] | None] = [None] * self.n_envs
        #: tags are counted from here
        self.base = draw_tag()
        self.holds[:] = False

    def discard(self, n: int) -> None:
        """Remove the rows of each environment that the next ``n`` rows would overwrite.

        Needed for a memory-mapped buffer that is loaded from a checkpoint: its file may hold what
        was added after the checkpoint.

        :param n: number of rows of each environment
        """
        for env in range(self.n_envs):
            if self.written[env] + n > self.buffer_size:
                self.holds[env, (self.heads[env] + np.arange(n)) % self.buffer_size] = False

    def size(self) -> int:
        """Return the number of rows in use of each environment, on average."""
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
        """Add one transition of every environment.

        :param obs: (n_envs, n_stack * C, H, W) observations before the action
        :param next_obs: observations after it, the terminal one where the episode ended
        :param action: (n_envs, ...)
        :param reward: (n_envs,)
        :param done: (n_envs,) whether the episode ended
        :param infos: info of each environment, of which ``TimeLimit.truncated`` is read
        :raises ExplainError: if ``next_obs`` is not ``obs`` shifted by one frame
        """
        _ = self.frames  # opens the file, whose tags say whether the last episode is intact
        stacks = np.asarray(obs).reshape(self.n_envs, self.n_stack, -1)
        next_stacks = np.asarray(next_obs).reshape(self.n_envs, self.n_stack, -1)
        actions = np.asarray(action).reshape(self.n_envs, self.action_dim)
        for env in range(self.n_envs):
            stack, next_stack = stacks[env], next_stacks[env]
            if not np.array_equal(stack[1:], next_stack[:-1]):
                raise ExplainError(
                    "an observation is not the previous one shifted by one frame: give the number "
                    f"of stacked frames, oldest first, as n_stack (it is {self.n_stack})"
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
        """Add the frames that an episode begins with; the oldest stands for its own repetitions."""
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
        """Sample transitions uniformly, with replacement.

        :param batch_size: number B of transitions
        :param env: ``VecNormalize`` that normalizes the samples, if any
        :return: transitions; observations and next observations, (B, n_stack * C, H, W), share
            memory
        :raises ExplainError: if the buffer holds no transition yet
        """
        envs = np.zeros(0, dtype=np.int64)
        rows = np.zeros(0, dtype=np.int64)
        filled = np.minimum(self.written, self.buffer_size)
        if self.written.any():
            _ = self.frames  # opens the file, whose tags say which rows are intact
        if not self.holds.any():
            raise ExplainError("the replay buffer holds no transition yet")
        while len(rows) < batch_size:
            # SB3 seeds the global generator
            env_drawn = np.random.randint(self.n_envs, size=2 * batch_size)  # noqa: NPY002
            row_drawn = np.random.randint(int(filled.max()), size=2 * batch_size)  # noqa: NPY002
            valid = self.are_valid(env_drawn, row_drawn)
            envs = np.concatenate([envs, env_drawn[valid]])
            rows = np.concatenate([rows, row_drawn[valid]])
        return self._gather_samples(envs[:batch_size], rows[:batch_size], env)

    def are_valid(self, envs: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Tell which rows are transitions none of whose frames has been overwritten.

        :param envs: (B,) environments
        :param rows: (B,) their rows
        :return: (B,)
        """
        # number of rows written between the oldest row and this one
        age = np.where(
            self.written[envs] >= self.buffer_size,
            (rows - self.heads[envs]) % self.buffer_size,
            rows,
        )
        needed = np.minimum(self.depth[envs, rows], self.n_stack)
        return self.holds[envs, rows] & (age >= needed)

    def _gather_samples(
        self, envs: NDArray[np.int64], rows: NDArray[np.int64], env: VecNormalize | None
    ) -> ReplayBufferSamples:
        back = np.arange(self.n_stack, -1, -1)
        # the first frame of an episode stands for those before it
        offsets = np.minimum(back, self.depth[envs, rows][:, None])
        indices = envs[:, None] * self.buffer_size + (rows[:, None] - offsets) % self.buffer_size
        flat = torch.from_numpy(self.frames.reshape(-1, self.frames.shape[-1]))
        window = torch.index_select(flat, 0, torch.from_numpy(indices.ravel())).to(self.device)
        window = window.view(len(rows), self.n_stack + 1, *self.frame_shape)
        observations, following = window[:, :-1].flatten(1, 2), window[:, 1:].flatten(1, 2)
        rewards = self._normalize_reward(self.rewards[envs, rows].reshape(-1, 1), env)
        return ReplayBufferSamples(
            self._normalize(observations, env),
            self.to_torch(self.actions[envs, rows]),
            self._normalize(following, env),
            self.to_torch(self.dones[envs, rows].reshape(-1, 1)),
            self.to_torch(rewards),
        )

    def _normalize(self, observations: torch.Tensor, env: VecNormalize | None) -> torch.Tensor:
        if env is None or not env.norm_obs:
            return observations
        return self.to_torch(self._normalize_obs(observations.cpu().numpy(), env))  # type: ignore[arg-type]


def draw_tag() -> int:
    """Draw the base of a buffer's tags, unseeded: equally seeded buffers may share a file."""
    return 1 + secrets.randbits(61)


def measure_free_memory() -> int:
    """Measure the free memory in bytes: of the machine, or of the container if that has less."""
    free: int = psutil.virtual_memory().available
    try:
        limit = int((CONTROL_GROUP / "memory.max").read_text())
        used = int((CONTROL_GROUP / "memory.current").read_text())
        stat = (CONTROL_GROUP / "memory.stat").read_text()
        statistics = dict(line.split() for line in stat.splitlines())
    except (OSError, ValueError):  # no control group, or one without a limit
        return free
    # the cache of files is released when memory is needed
    return min(free, limit - used + int(statistics.get("inactive_file", 0)))


def require_memory(n_bytes: int) -> None:
    """Require free memory.

    :param n_bytes: number of bytes to be allocated
    :raises ExplainError: if less is free
    """
    free = measure_free_memory()
    if n_bytes > free:
        raise ExplainError(
            f"the replay buffer would take {n_bytes / 1e9:.1f} GB, and {free / 1e9:.1f} GB of "
            'memory are free: lower buffer_size, or give replay_buffer_kwargs={"file": ...} to '
            "store the frames on the disk"
        )


def count_channels(space: spaces.Space[Any], n_stack: int) -> int:
    """Count the channels of a single frame.

    :param space: observation space
    :param n_stack: number of stacked frames
    :raises ExplainError: if the space is not one of stacked uint8 images
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
