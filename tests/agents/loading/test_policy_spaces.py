"""Spaces that a file names: used, and compared with the user's and the environment's."""

import collections
import logging

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3 import PPO, SAC
from stable_baselines3.common.vec_env import (
    DummyVecEnv,
    VecFrameStack,
    VecNormalize,
    VecTransposeImage,
)

from sb3_explain.agents.loading import load_agent
from sb3_explain.common.errors import ExplainError
from sb3_explain.envs.recipe import EnvRecipe
from tests.agents.loading.models import CASES, Noise, make_model

PICTURES = spaces.Box(0, 255, (4, 36, 36), np.uint8)
VECTOR = spaces.Box(-1, 1, (4,), np.float32)
ACTIONS = spaces.Discrete(3)
ARM = spaces.Box(-2, 2, (2,), np.float32)
ORDERED = spaces.Dict(collections.OrderedDict(speed=spaces.Box(-1, 1, (2,)), angle=VECTOR))


def save(policy, env, folder, algorithm=PPO, **kwargs):
    """A model that acts differently in different states, and the path of its zip."""
    more = {"n_steps": 8, "batch_size": 8} if algorithm is PPO else {"buffer_size": 10}
    model = algorithm(policy, env, device="cpu", policy_kwargs=kwargs or None, **more)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.policy.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    model.save(folder / "model")
    return model, folder / "model.zip"


def draw(space, n=100):
    if isinstance(space, spaces.Dict):
        return {key: draw(part, n) for key, part in space.spaces.items()}
    rng = np.random.default_rng(0)
    if space.dtype == np.uint8:
        bright = rng.uniform(0, 255, (n, *[1] * len(space.shape)))
        return (rng.uniform(0, 1, (n, *space.shape)) * bright).astype(np.uint8)
    return rng.uniform(-1, 1, (n, *space.shape)).astype(np.float32)


def same(agent, model):
    observations = draw(model.observation_space)
    predicted, _ = model.predict(observations, deterministic=True)
    assert len(np.unique(predicted)) > 1
    np.testing.assert_allclose(agent.act(agent.tensor(observations)), predicted, atol=1e-5)


def register(space, env_id, actions=ACTIONS):
    def make(render_mode=None):
        return Noise(space, actions)

    gym.register(env_id, entry_point=make)
    return gym.make(env_id)


@pytest.fixture
def registry():
    before = dict(gym.registry)
    yield
    gym.registry.clear()
    gym.registry.update(before)


# --- the user ---------------------------------------------------------------------------------


def test_pictures_of_another_dtype_would_be_scaled_otherwise(tmp_path):
    model, path = save("MlpPolicy", Noise(PICTURES, ACTIONS), tmp_path)
    floats = spaces.Box(0, 255, (4, 36, 36), np.float32)
    message = r"observation_space is Box float32 .* but this file says Box uint8 \(4, 36, 36\) in"
    with pytest.raises(ExplainError, match=message):
        load_agent("ppo", None, folder=path, observation_space=floats)
    for given in (None, PICTURES):
        agent = load_agent("ppo", None, folder=path, observation_space=given)
        assert agent.observation_space == PICTURES
        same(agent, model)


def test_a_dict_keeps_the_files_order(tmp_path):
    model, path = save("MultiInputPolicy", Noise(ORDERED, ACTIONS), tmp_path)
    by_name = spaces.Dict(dict(ORDERED.spaces))
    assert list(by_name.spaces) == ["angle", "speed"]
    for given in (None, by_name):
        agent = load_agent("ppo", None, folder=path, observation_space=given)
        assert list(agent.observation_space.spaces) == ["speed", "angle"]
        assert agent.provenance["notes"] == []
        same(agent, model)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            {"observation_space": spaces.Box(-1, 1, (5,))},
            r"float32 \(5,\).*says Box float32 \(4,\)",
        ),
        ({"observation_space": spaces.Discrete(4)}, "Discrete 4, but this file says Box"),
        ({"observation_space": ORDERED}, "Dict .* but this file says Box"),
        ({"action_space": spaces.Discrete(4)}, "action_space is Discrete 4.*says Discrete 3"),
        ({"action_space": spaces.Discrete(3, start=1)}, "Discrete 3 from 1.*says Discrete 3"),
        ({"action_space": spaces.MultiBinary(3)}, "MultiBinary .*says Discrete 3"),
    ],
)
def test_other_shapes_are_refused(given, said, tmp_path):
    _, path = save("MlpPolicy", Noise(VECTOR, ACTIONS), tmp_path)
    with pytest.raises(ExplainError, match=said):
        load_agent("ppo", None, folder=path, **given)


def test_other_keys_are_refused(tmp_path):
    _, path = save("MultiInputPolicy", Noise(ORDERED, ACTIONS), tmp_path)
    fewer = spaces.Dict(speed=spaces.Box(-1, 1, (2,)))
    with pytest.raises(ExplainError, match=r"Dict {'speed': .* but this file says Dict {'speed': "):
        load_agent("ppo", None, folder=path, observation_space=fewer)
    other = spaces.Dict(speed=spaces.Box(-1, 1, (3,)), angle=VECTOR)
    with pytest.raises(ExplainError, match=r"under 'speed', observation_space is Box float32 \(3"):
        load_agent("ppo", None, folder=path, observation_space=other)


def test_bounds_of_observations_that_change_nothing_are_noted(tmp_path, caplog):
    model, path = save("MlpPolicy", Noise(VECTOR, ACTIONS), tmp_path)
    wide = spaces.Box(-5, 5, (4,), np.float64)
    agent = load_agent("ppo", None, folder=path, observation_space=wide)
    (note,) = agent.provenance["notes"]
    assert "Box float64 (4,) in [-5, 5], but this file says Box float32 (4,) in [-1, 1]" in note
    assert note in caplog.messages
    assert agent.observation_space == VECTOR
    same(agent, model)


def test_other_bounds_of_actions_would_scale_them(tmp_path):
    model, path = save("MlpPolicy", Noise(VECTOR, ARM), tmp_path, SAC)
    unit = spaces.Box(-1, 1, (2,), np.float32)
    with pytest.raises(ExplainError, match=r"action_space is .* in \[-1, 1\].* in \[-2, 2\]"):
        load_agent("sac", None, folder=path, action_space=unit)
    same(load_agent("sac", None, folder=path), model)


# --- the environment --------------------------------------------------------------------------


def test_an_environment_with_its_keys_in_another_order(tmp_path, registry):
    model, path = save("MultiInputPolicy", Noise(ORDERED, ACTIONS), tmp_path)
    register(spaces.Dict(dict(ORDERED.spaces)), "Sorted-v0")
    agent = load_agent("ppo", "Sorted-v0", folder=path)
    assert list(agent.observation_space.spaces) == ["speed", "angle"]
    same(agent, model)


def test_pictures_that_were_normalized_are_not_taken_raw(tmp_path, registry):
    register(spaces.Box(0, 255, (36, 36, 1), np.uint8), "Picture-v0")
    env = VecTransposeImage(DummyVecEnv([lambda: gym.make("Picture-v0")]))
    env = VecNormalize(env, norm_reward=False)
    model, path = save("CnnPolicy", env, tmp_path, normalize_images=False)
    env.save(str(tmp_path / "elsewhere.pkl"))
    with pytest.raises(ExplainError, match=r"Picture-v0 observes Box uint8 .*vec_normalize="):
        load_agent("ppo", "Picture-v0", folder=path)
    # without an environment nothing is contradicted: observations are given normalized
    agent = load_agent("ppo", None, folder=path)
    assert agent.observation_space == model.observation_space


def test_a_stack_of_frames_that_the_zip_does_not_name(tmp_path, registry):
    register(VECTOR, "Frames-v0")
    env = VecFrameStack(DummyVecEnv([lambda: gym.make("Frames-v0")]), 3)
    model, path = save("MlpPolicy", env, tmp_path)
    with pytest.raises(ExplainError, match="frame_stack=3"):
        load_agent("ppo", "Frames-v0", folder=path)
    recipe = EnvRecipe("Frames-v0", frame_stack=3)
    same(load_agent("ppo", "Frames-v0", folder=path, recipe=recipe), model)


def test_an_environment_with_other_bounds_of_actions_is_noted(tmp_path, registry, caplog):
    register(VECTOR, "Arm-v0", spaces.Box(-1, 1, (2,), np.float32))
    model, path = save("MlpPolicy", Noise(VECTOR, ARM), tmp_path, SAC)
    agent = load_agent("sac", "Arm-v0", folder=path)
    (note,) = agent.provenance["notes"]
    assert note in caplog.messages and "Arm-v0 takes actions Box float32 (2,) in [-1, 1]" in note
    assert agent.action_space == ARM
    same(agent, model)


def test_bounds_that_gym_did_not_know_are_no_contradiction(tmp_path, registry, caplog):
    unbounded = spaces.Box(-np.inf, np.inf, (4,), np.float32)
    register(VECTOR, "Bounded-v0")
    _, path = save("MlpPolicy", Noise(unbounded, ACTIONS), tmp_path)
    agent = load_agent("ppo", "Bounded-v0", folder=path)
    assert agent.observation_space == VECTOR
    assert not agent.provenance["notes"] and not caplog.messages


# --- nothing that can be read -----------------------------------------------------------------


def test_where_spaces_cannot_be_read_the_line_quotes_the_text(tmp_path):
    space = spaces.Box(-np.arange(2000, dtype=np.float32), np.arange(2000, dtype=np.float32) + 1)
    model, path = save("MlpPolicy", Noise(space, ACTIONS), tmp_path, net_arch=[4])
    with pytest.raises(ExplainError, match=r"observation_space=.* .*says: .*Box.*2000.*float"):
        load_agent("ppo", None, folder=path)
    agent = load_agent("ppo", None, folder=path, observation_space=space)
    assert agent.observation_space == space and agent.action_space == ACTIONS
    same(agent, model)


def test_random_states_of_spaces_are_left_alone(tmp_path):
    make_model(CASES["ppo-dict"]).save(tmp_path / "model")
    with torch.random.fork_rng():
        torch.manual_seed(5)
        load_agent("ppo", None, folder=tmp_path / "model.zip")
        after = torch.rand(1)
        torch.manual_seed(5)
        assert torch.equal(after, torch.rand(1))


def test_a_warning_is_one_line(tmp_path, caplog):
    _, path = save("MlpPolicy", Noise(VECTOR, ACTIONS), tmp_path)
    with caplog.at_level(logging.WARNING):
        load_agent("ppo", "Gone-v7", folder=path)
    (message,) = caplog.messages
    assert "Gone-v7" in message and "\n" not in message
