"""The frame-stacking replay buffer, against lists of whole transitions and in SB3's algorithms."""

import copy
import errno
import pickle
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3 import DQN, SAC
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.utils import set_random_seed
from stable_baselines3.common.vec_env import VecFrameStack, VecNormalize, VecTransposeImage

from sb3_explain.common.errors import ExplainError
from sb3_explain.sgqn.replay_buffer import FrameStackReplayBuffer, measure_free_memory

SPACE = spaces.Box(0, 255, (6, 4, 5), np.uint8)
ACTIONS = spaces.Box(-1, 1, (2,), np.float32)


class Player:
    """Steps of random pictures in several environments, as SB3 hands them to a buffer."""

    def __init__(self, n_envs: int, *, padding: str, seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        self.n_envs, self.padding = n_envs, padding
        self.stacks = np.stack([self.reset() for _ in range(n_envs)])
        #: every transition so far: of each environment, its parts
        self.retained: list[list[tuple[Any, ...]]] = [[] for _ in range(n_envs)]

    def frame(self) -> np.ndarray:
        return self.rng.integers(0, 256, (2, 4, 5), dtype=np.uint8)

    def reset(self) -> np.ndarray:
        if self.padding == "other":  # an episode that begins in the middle of something
            return np.concatenate([self.frame() for _ in range(3)])
        first = self.frame()
        before = first if self.padding == "repeated" else np.zeros_like(first)
        return np.concatenate([before, before, first])

    def step(self, buffer: FrameStackReplayBuffer) -> None:
        stacks = self.stacks.copy()
        following = np.stack([np.concatenate([s[2:], self.frame()]) for s in stacks])
        actions = self.rng.uniform(-1, 1, (self.n_envs, 2)).astype(np.float32)
        rewards = self.rng.normal(size=self.n_envs).astype(np.float32)
        done = self.rng.random(self.n_envs) < 0.2
        truncated = done & (self.rng.random(self.n_envs) < 0.5)
        infos = [{"TimeLimit.truncated": bool(t)} for t in truncated]
        buffer.add(stacks, following, actions, rewards, done, infos)
        for env in range(self.n_envs):
            end = float(done[env] and not truncated[env])
            self.retained[env].append(
                (stacks[env], actions[env], following[env], end, rewards[env])
            )
            self.stacks[env] = self.reset() if done[env] else following[env]


def key(*parts: Any) -> bytes:
    return b"".join(np.asarray(part, np.float32).tobytes() for part in parts)


def sampled(buffer: FrameStackReplayBuffer, n: int) -> set[bytes]:
    data = buffer.sample(n)
    parts = (data.observations, data.actions, data.next_observations, data.dones, data.rewards)
    return {
        key(o, a, f, d.item(), r.item())
        for o, a, f, d, r in zip(*(part.numpy() for part in parts), strict=True)
    }


@pytest.mark.parametrize("padding", ["repeated", "zeros", "other"])
@pytest.mark.parametrize("n_envs", [1, 3])
def test_what_is_sampled_is_what_was_added(padding, n_envs):
    set_random_seed(0)
    buffer = FrameStackReplayBuffer(40 * n_envs, SPACE, ACTIONS, "cpu", n_envs, n_stack=3)
    player = Player(n_envs, padding=padding)
    for step in range(1, 200):
        player.step(buffer)
        if step in (1, 7, 30, 60, 199):
            found = sampled(buffer, 3000 * n_envs)
            every = {key(*retained) for of_env in player.retained for retained in of_env}
            assert found <= every
            # what a row of its own, the episodes' first ones and the oldest stacks leave
            newest = {key(*retained) for of_env in player.retained for retained in of_env[-15:]}
            assert newest <= found
            assert buffer.full or step < 60
            assert not buffer.full or step > 7
    assert len(found) <= 40 * n_envs


def test_every_transition_is_equally_likely():
    set_random_seed(0)
    buffer = FrameStackReplayBuffer(60, SPACE, ACTIONS, "cpu", 2, n_stack=3)
    player = Player(2, padding="zeros")
    for _ in range(50):
        player.step(buffer)
    counts: dict[bytes, int] = {}
    for reward in buffer.sample(40_000).rewards.numpy().ravel():
        counts[reward.tobytes()] = counts.get(reward.tobytes(), 0) + 1
    expected = 40_000 / len(counts)
    chi_squared = sum((count - expected) ** 2 / expected for count in counts.values())
    assert chi_squared < len(counts) + 5 * np.sqrt(2 * len(counts))


def test_nothing_is_left_after_a_reset():
    buffer = FrameStackReplayBuffer(30, SPACE, ACTIONS, "cpu", n_stack=3)
    player = Player(1, padding="repeated")
    for _ in range(20):
        player.step(buffer)
    buffer.reset()
    with pytest.raises(ExplainError, match="no transition yet"):
        buffer.sample(2)


def test_a_sixth_of_the_memory():
    space = spaces.Box(0, 255, (9, 84, 84), np.uint8)
    ours = FrameStackReplayBuffer(500, space, ACTIONS, n_stack=3)
    theirs = ReplayBuffer(500, space, ACTIONS)
    assert ours.frames.nbytes == 500 * 3 * 84 * 84
    n_bytes = sum(v.nbytes for v in vars(ours).values() if isinstance(v, np.ndarray))
    other = sum(v.nbytes for v in vars(theirs).values() if isinstance(v, np.ndarray))
    assert n_bytes < 1.01 * other / 6


def test_a_pickled_buffer_goes_on(tmp_path):
    for file in (None, tmp_path / "deep" / "frames.bin"):
        buffer = FrameStackReplayBuffer(30, SPACE, ACTIONS, "cpu", n_stack=3, file=file)
        player = Player(1, padding="repeated")
        for _ in range(20):
            player.step(buffer)
        stored = pickle.dumps(buffer)
        again = pickle.loads(stored)
        set_random_seed(1)
        expected = sampled(buffer, 200)
        set_random_seed(1)
        assert sampled(again, 200) == expected
        player.step(again)
        assert sampled(again, 2000) <= {key(*retained) for retained in player.retained[0]}
    assert buffer.__getstate__()["_frames"] is None
    file.unlink()
    with pytest.raises(ExplainError, match="frames are missing"):
        pickle.loads(stored).sample(2)


def test_rows_that_may_have_been_written_over_are_not_sampled(tmp_path):
    file = tmp_path / "frames.bin"
    buffer = FrameStackReplayBuffer(30, SPACE, ACTIONS, "cpu", n_stack=3, file=file)
    player = Player(1, padding="repeated")
    for _ in range(60):
        player.step(buffer)
    stored = pickle.dumps(buffer)
    for _ in range(8):  # what a run adds that is killed before its next checkpoint
        player.step(buffer)
    again = pickle.loads(stored)
    again.discard(2 * 8)
    whole = {key(*retained) for retained in player.retained[0][:60]}
    assert len(again.holds[again.holds]) > 5 and sampled(again, 2000) <= whole
    young = FrameStackReplayBuffer(100, SPACE, ACTIONS, "cpu", n_stack=3)
    player = Player(1, padding="repeated")
    for _ in range(20):
        player.step(young)
    before = young.holds.copy()
    young.discard(16)
    assert (young.holds == before).all()


@pytest.mark.parametrize("n_envs", [1, 3])
def test_a_pickle_knows_what_its_buffer_has_written_over_since(n_envs, tmp_path):
    file = tmp_path / "frames.bin"
    buffer = FrameStackReplayBuffer(30 * n_envs, SPACE, ACTIONS, "cpu", n_envs, file=file)
    player = Player(n_envs, padding="repeated")
    for _ in range(45):
        player.step(buffer)
    stored = pickle.dumps(buffer)
    whole = {key(*retained) for each in player.retained for retained in each}
    assert sampled(pickle.loads(stored), 2000) <= whole
    for _ in range(7):
        player.step(buffer)
    left = sampled(pickle.loads(stored), 2000)
    assert left and left <= whole
    for _ in range(60):
        player.step(buffer)
    with pytest.raises(ExplainError, match="holds nothing of this replay buffer any more"):
        pickle.loads(stored).sample(2)


def played(stored, player, n):
    """A buffer that is loaded and goes on, with what it then knows."""
    buffer = pickle.loads(stored)
    for _ in range(n):
        player.step(buffer)
    return buffer


@pytest.mark.parametrize("n_envs", [1, 3])
def test_pickles_of_different_ages_never_take_frames_of_each_other(n_envs, tmp_path):
    """Whatever goes on from whichever pickle, what is sampled is what was added to that buffer."""
    buffer = FrameStackReplayBuffer(
        40 * n_envs, SPACE, ACTIONS, "cpu", n_envs, file=tmp_path / "frames.bin"
    )
    player = Player(n_envs, padding="repeated")
    stored = []
    for _ in range(3):
        for _ in range(25):
            player.step(buffer)
        whole = {key(*retained) for each in player.retained for retained in each}
        stored.append((pickle.dumps(buffer), whole, copy.deepcopy(player)))
    rng = np.random.default_rng(0)
    n_samples = 0
    for turn in range(30):
        retained, known, its_player = stored[rng.integers(len(stored))]
        branch = copy.deepcopy(its_player)
        branch.rng = np.random.default_rng(100 + turn)  # other frames than the first time
        try:
            again = played(retained, branch, int(rng.integers(1, 12)))
            found = sampled(again, 500)
        except ExplainError as error:
            assert "holds nothing of this replay buffer" in str(error)
            continue
        n_samples += 1
        now = known | {key(*one) for each in branch.retained for one in each}
        assert found <= now
        if turn % 5 == 0:
            stored.append((pickle.dumps(again), now, branch))
    assert n_samples > 5


def test_after_a_reset_old_pickles_know_nothing_of_the_new_frames(tmp_path):
    buffer = FrameStackReplayBuffer(60, SPACE, ACTIONS, "cpu", file=tmp_path / "frames.bin")
    player = Player(1, padding="repeated")
    for _ in range(30):
        player.step(buffer)
    stored, whole = pickle.dumps(buffer), {key(*retained) for retained in player.retained[0]}
    buffer.reset()
    for _ in range(10):
        player.step(buffer)
    assert sampled(pickle.loads(stored), 2000) <= whole


def test_frames_of_another_buffer_are_not_taken_for_its_own(tmp_path):
    file = tmp_path / "frames.bin"
    buffers = []
    for seed in range(2):  # the second is made where the first has its frames
        buffer = FrameStackReplayBuffer(30, SPACE, ACTIONS, "cpu", file=file)
        player = Player(1, padding="repeated", seed=seed)
        for _ in range(20):
            player.step(buffer)
        buffers.append((buffer, player))
    for buffer, player in buffers:  # neither disturbs the other while both are there
        assert sampled(buffer, 500) <= {key(*retained) for retained in player.retained[0]}
    again = pickle.loads(pickle.dumps(buffers[0][0]))
    with pytest.raises(ExplainError, match="holds nothing of this replay buffer any more"):
        again.sample(2)
    file.write_bytes(b"short")
    with pytest.raises(ExplainError, match=r"frames\.bin is damaged"):
        pickle.loads(pickle.dumps(buffers[1][0])).sample(2)


def test_a_disk_that_is_too_small_is_said_before_it_is_full(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", full)
    buffer = FrameStackReplayBuffer(30, SPACE, ACTIONS, "cpu", file=tmp_path / "frames.bin")
    with pytest.raises(ExplainError, match=r"would take 0\.0 GB, and .* are free in"):
        Player(1, padding="repeated").step(buffer)
    assert not list(tmp_path.iterdir())


def test_all_of_the_file_is_on_the_disk(tmp_path):
    file = tmp_path / "frames.bin"
    buffer = FrameStackReplayBuffer(10_000, SPACE, ACTIONS, "cpu", file=file)
    Player(1, padding="repeated").step(buffer)
    assert file.stat().st_blocks * 512 >= file.stat().st_size > 10_000 * 2 * 4 * 5


def test_the_limit_of_a_container_is_heeded(tmp_path, monkeypatch):
    for name, text in (("max", "1000000"), ("current", "700000"),
                       ("stat", "anon 500000\ninactive_file 100000\n")):  # fmt: skip
        (tmp_path / f"memory.{name}").write_text(text)
    monkeypatch.setattr("sb3_explain.sgqn.replay_buffer.CONTROL_GROUP", tmp_path)
    assert measure_free_memory() == 400_000
    with pytest.raises(ExplainError, match=r"0\.0 GB of memory are free"):
        FrameStackReplayBuffer(10**5, SPACE, ACTIONS, "cpu")
    (tmp_path / "memory.max").write_text("max\n")
    assert measure_free_memory() > 1_000_000


class Dots(gym.Env):
    """Random pictures; episodes of 7 steps."""

    def __init__(self, *, discrete: bool) -> None:
        self.observation_space = spaces.Box(0, 255, (40, 36, 1), np.uint8)
        self.action_space = spaces.Discrete(3) if discrete else ACTIONS

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        return self.picture(), {}

    def step(self, action):
        self.steps += 1
        return self.picture(), 1.0, self.steps == 7, False, {}

    def picture(self):
        return self.np_random.integers(0, 256, (40, 36, 1), dtype=np.uint8)


@pytest.mark.parametrize("algorithm", [DQN, SAC])
def test_learning_is_the_same_as_with_sb3s_buffer_but_for_what_is_drawn(algorithm, tmp_path):
    env = make_vec_env(lambda: Dots(discrete=algorithm is DQN), n_envs=2, seed=0)
    env = VecNormalize(VecTransposeImage(VecFrameStack(env, 3)), norm_obs=False)
    model = algorithm(
        "CnnPolicy", env, buffer_size=60, learning_starts=20, batch_size=8, seed=0, device="cpu",
        replay_buffer_class=FrameStackReplayBuffer, replay_buffer_kwargs={"n_stack": 3},
    )  # fmt: skip
    model.learn(60)
    assert model.replay_buffer.n_stack == 3
    data = model.replay_buffer.sample(50, env)
    assert data.observations.shape == (50, 3, 40, 36)
    torch.testing.assert_close(data.observations[:, 1:], data.next_observations[:, :-1])
    model.save_replay_buffer(tmp_path / "buffer.pkl")
    model.load_replay_buffer(tmp_path / "buffer.pkl")
    # learn() resets the environments in the middle of an episode
    model.learn(30, reset_num_timesteps=True)


@pytest.mark.parametrize(
    ("space", "options", "said"),
    [
        (spaces.Dict({"a": SPACE}), {}, "HerReplayBuffer"),
        (spaces.Box(-1, 1, (6,), np.float32), {}, "stacked uint8 images"),
        (SPACE, {"n_stack": 4}, "6 channels are not 4 stacked frames"),
        (SPACE, {"n_steps": 3, "gamma": 0.9}, "does not know n_steps, gamma"),
        (SPACE, {"optimize_memory_usage": True}, "once already"),
    ],
)
def test_what_it_cannot_hold_is_refused_by_name(space, options, said):
    with pytest.raises(ExplainError, match=said):
        FrameStackReplayBuffer(10, space, ACTIONS, **{"n_stack": 3, **options})


def test_too_large_a_buffer_is_refused_before_it_is_allocated():
    large = spaces.Box(0, 255, (9, 84, 84), np.uint8)
    # 2 TB: made, as by a model that is loaded to be explained, but not filled
    buffer = FrameStackReplayBuffer(10**8, large, ACTIONS)
    observation = np.zeros((1, 9, 84, 84), np.uint8)
    action = np.zeros((1, *ACTIONS.shape), np.float32)
    with pytest.raises(ExplainError, match=r"would take 2116\.8 GB, and .* lower buffer_size"):
        buffer.add(observation, observation, action, np.ones(1), np.zeros(1, bool), [{}])
    with pytest.raises(ExplainError, match="would take"):
        FrameStackReplayBuffer(10**13, large, ACTIONS)


def test_a_wrong_stack_and_an_empty_buffer_are_one_line():
    buffer = FrameStackReplayBuffer(10, SPACE, ACTIONS, n_stack=6)
    with pytest.raises(ExplainError, match="no transition yet"):
        buffer.sample(2)
    player = Player(1, padding="repeated")
    with pytest.raises(ExplainError, match="shifted by one frame"):
        player.step(buffer)
