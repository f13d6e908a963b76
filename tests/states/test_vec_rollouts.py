"""A VecEnv is played as it stands, and put back as it was found."""

import numpy as np
import pytest
from sb3_contrib import MaskablePPO
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import (
    DummyVecEnv,
    SubprocVecEnv,
    VecEnvWrapper,
    VecFrameStack,
    VecMonitor,
    VecNormalize,
)

from sb3_explain.agents.agent import Agent
from sb3_explain.common.errors import ExplainError
from sb3_explain.states.collection import collect
from sb3_explain.states.dataset import StateDataset
from sb3_explain.states.play import play_transformed, show_everything
from tests.states.live_envs import Field, make_model


class Doubled(VecEnvWrapper):
    """A wrapper that no recipe has a name for."""

    def reset(self):
        return 2 * self.venv.reset()

    def step_wait(self):
        observations, *rest = self.venv.step_wait()
        return 2 * observations, *rest


def wrap(n: int, kind=DummyVecEnv):
    """Statistics under a frame stack under a stranger, with statistics that have been learned."""
    env = VecNormalize(VecMonitor(kind([Field] * n)), clip_obs=5.0)
    env.seed(0)
    env.reset()
    for _ in range(20):
        env.step(np.zeros(n, int))
    return Doubled(VecFrameStack(env, 2))


def collected(agent: Agent, env=None, n_states: int = 40, **options) -> StateDataset:
    return collect(agent, env, n_states, progress=False, render=False, **options)


def play_by_hand(model, env, n_steps):
    """(observations, dones) of SB3's own predict in a VecEnv, from the seed of episode 0."""
    env.seed(int(np.random.SeedSequence([0, 0]).generate_state(1)[0]))
    observations, seen, ends = env.reset(), [], []
    for _ in range(n_steps):
        seen.append(observations)
        observations, _, dones, _ = env.step(model.predict(observations, deterministic=True)[0])
        ends.append(dones)
    return np.stack(seen), np.stack(ends)


def hold(env) -> VecNormalize:
    inner = env.venv.venv
    inner.training = False
    return env


def test_all_states_are_those_of_sb3s_own_loop():
    """With statistics, stacks and a wrapper of the user's, in the order of the episodes."""
    model = make_model(PPO, wrap(3))
    states = collected(Agent.from_model(model), wrap(3), max_per_episode=0)
    seen, ends = play_by_hand(model, hold(wrap(3)), 40)
    expected = []
    for number in range(states.episode.max() + 1):
        row, earlier = number % 3, number // 3
        stops = [0, *(np.flatnonzero(ends[:, row]) + 1), 40]
        expected += list(seen[stops[earlier] : stops[earlier + 1], row])
    observed = states.observations(np.arange(40)).numpy()
    np.testing.assert_array_equal(observed, np.stack(expected[:40]))
    assert states.n_stack == 2 and states.frames([0]).shape == (1, 4)


def test_an_episode_begins_where_the_environment_begins_one():
    env = make_vec_env(Field, 3)
    agent = Agent.from_model(make_model(PPO, env))
    states = collected(agent, env, 60, max_per_episode=4)
    counted = states.observations(np.arange(60))[:, 0].numpy()
    np.testing.assert_array_equal(counted, states.steps)
    assert np.bincount(states.episode)[:-1].tolist() == [4] * 14
    again = collected(agent, env, 60, max_per_episode=4)
    np.testing.assert_array_equal(
        again.observations(np.arange(60)), states.observations(np.arange(60))
    )


def snapshot(env):
    """What a VecEnv and its wrappers hold, as text."""
    layers = {}
    while isinstance(env, VecEnvWrapper):
        own = {k: v for k, v in vars(env).items() if k not in ("venv", "class_attributes")}
        for name in ("obs_rms", "ret_rms", "stacked_obs"):
            if name in own:
                own[name] = vars(own[name])
        layers[type(env).__name__] = repr(own)
        env = env.venv
    return layers


def test_the_users_own_does_not_move():
    env, same = wrap(2), wrap(2)
    model = make_model(PPO, env)
    before = snapshot(env)
    collected(Agent.from_model(model), env)
    assert snapshot(env) == before
    for _ in range(12):
        for ours, theirs in zip(env.step([0, 1])[:3], same.step([0, 1])[:3], strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_workers_are_played_themselves_and_said_so(caplog):
    env = wrap(2, SubprocVecEnv)
    try:
        model = make_model(PPO, wrap(2))
        before = snapshot(env)
        states = collected(Agent.from_model(model), env, max_per_episode=0)
        assert snapshot(env) == before
        assert [m for m in caplog.messages if "its SubprocVecEnv plays elsewhere" in m]
        assert len(caplog.messages) == 1
        here = collected(Agent.from_model(model), wrap(2), max_per_episode=0)
        np.testing.assert_array_equal(
            states.observations(np.arange(40)), here.observations(np.arange(40))
        )
        env.reset()  # still open
        # of a model's own environment nobody has spoken: it may be training
        agent = Agent.from_model(make_model(PPO, env))
        with pytest.raises(ExplainError, match="neither be made again nor copied"):
            collected(agent)
    finally:
        env.close()
    with pytest.raises(ExplainError, match="this SubprocVecEnv is closed"):
        collected(agent, env)


def test_masks_are_those_of_the_environments():
    env = make_vec_env(Field, 2)
    model = make_model(MaskablePPO, env)
    states = collected(Agent.from_model(model), env)
    masks = states.column("action_masks").astype(bool)
    places = states.observations(np.arange(40))[:, 2].numpy()
    expected = np.stack([places > -8, np.ones(40, bool), places < 8], axis=1)
    np.testing.assert_array_equal(masks, expected)
    assert masks[np.arange(40), states.actions].all() and not masks.all()


def test_the_number_of_environments_is_its_own():
    env = make_vec_env(Field, 2)
    agent = Agent.from_model(make_model(PPO, env))
    assert collected(agent, env, n_envs=2).provenance["n_envs"] == 2
    with pytest.raises(ExplainError, match="n_envs=5, but Field is played in 2"):
        collected(agent, env, n_envs=5)


def test_a_store_goes_on_with_other_episodes(tmp_path):
    env = make_vec_env(Field, 2)
    agent = Agent.from_model(make_model(PPO, env))
    collected(agent, env, 20, folder=tmp_path / "s", max_per_episode=4)
    states = collected(agent, env, 40, folder=tmp_path / "s", max_per_episode=4)
    assert len(states) == 40
    first = states.observations(np.flatnonzero(states.steps == 0)).numpy()
    assert len(np.unique(first, axis=0)) == len(first)


def test_returns_in_a_vec_env_are_those_of_its_episodes():
    env = make_vec_env(Field, 2)
    agent = Agent.from_model(make_model(PPO, env))
    options = {"deterministic": True, "progress": False, "n_resamples": 10}
    played = play_transformed(agent, {"all": show_everything}, 5, env=env, **options)
    model = make_model(PPO, env)
    _, ends = play_by_hand(model, make_vec_env(Field, 2), 40)
    for row in range(2):
        lengths = np.diff([-1, *np.flatnonzero(ends[:, row])])
        own = played.lengths["all"][row::2]
        np.testing.assert_array_equal(own, lengths[: len(own)])
    assert ((played.lengths["all"] >= 6) & (played.lengths["all"] <= 11)).all()
    short = play_transformed(
        agent, {"all": lambda b: b.observations}, 5, env=env, max_steps=3, **options
    )
    assert short.lengths["all"].tolist() == [3] * 5
    one = play_transformed(
        agent, {"all": lambda b: b.observations}, 5, env=Field(), n_envs=1, max_steps=3, **options
    )
    assert one.lengths["all"].tolist() == [3] * 5


def test_statistics_of_the_agent_are_used_where_there_are_none(caplog):
    normalized = VecNormalize(make_vec_env(Field, 1))
    model = make_model(PPO, normalized).learn(8)
    agent = Agent.from_model(model)
    states = collected(agent, make_vec_env(Field, 2), 6, max_per_episode=0)
    assert "normalized by the statistics of the agent" in caplog.text
    normalizer = agent.normalizers[""]
    first = states.observations([0])[0, 0].item()
    assert first == pytest.approx(
        (0 - normalizer.mean[0]) / np.sqrt(normalizer.var[0] + 1e-8), 1e-5
    )


class OneWorld(VecEnvWrapper):
    """Several agents in one world, as SuperSuit wraps PettingZoo's: no seed, and one picture."""

    def __init__(self):
        super().__init__(DummyVecEnv([lambda: Field(render_mode="rgb_array")] * 3))
        self.drawn = 0

    def reset(self):
        return self.venv.reset()

    def step_wait(self):
        return self.venv.step_wait()

    def seed(self, seed=None):
        raise AttributeError("'ConcatVecEnv' object has no attribute 'seed'")

    def get_images(self):
        raise AttributeError("'ConcatVecEnv' object has no attribute 'get_images'")

    def render(self, mode=None):
        self.drawn += 1
        return np.full((8, 8, 3), self.drawn, np.uint8)


def test_agents_in_one_world_have_its_picture_and_no_seed(caplog):
    agent = Agent.from_model(make_model(PPO, Field()))
    played = collect(agent, OneWorld(), 24, render=True, progress=False)
    assert len(played) == 24
    assert "does not heed its seed" in caplog.text
    firsts = np.flatnonzero(np.diff(played.episode, prepend=-1))
    # the three agents of one step are drawn once, and have the same picture
    pictures = played.rendered(firsts[:3])
    assert (pictures == pictures[0, 0, 0, 0]).all()
