"""highway-env and ViZDoom with the package's own loading and collecting."""

import importlib
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch
from stable_baselines3 import A2C
from stable_baselines3.common.vec_env import DummyVecEnv, VecFrameStack

from sb3_explain import EnvRecipe, ExplainError, StateDataset, collect, load_agent
from sb3_explain.envs.action_names import find_action_names

HIGHWAY = EnvRecipe(
    "highway-fast-v0",
    {
        "config": {
            "observation": {
                "type": "GrayscaleObservation",
                "observation_shape": (128, 64),
                "stack_size": 1,
                "weights": [0.2989, 0.5870, 0.1140],
                "scaling": 1.75,
            },
            "screen_width": 256,
            "screen_height": 128,
            "scaling": 3.5,
        }
    },
    (("sb3_explain.envs.wrappers.TransposedPicture", {}),),
    frame_stack=4,
)
POOLED = (("sb3_explain.envs.wrappers.PooledScreen", {"factor": 4}),)
DOOM = EnvRecipe("VizdoomBasic-v1", {"frame_skip": 4}, POOLED)
BUTTONS = EnvRecipe("VizdoomBasic-MultiBinary-v1", {"frame_skip": 4}, POOLED, frame_stack=2)


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # ViZDoom writes its settings into the working directory


def saved_agent(recipe: EnvRecipe, path: Path) -> None:
    """An agent that has learned nothing, as stable-baselines3 saves it."""
    envs = VecFrameStack(DummyVecEnv([recipe.make]), recipe.frame_stack)
    is_highway = recipe is HIGHWAY
    features = {"features_dim" if is_highway else "cnn_output_dim": 16}
    policy = "CnnPolicy" if is_highway else "MultiInputPolicy"
    words = {"features_extractor_kwargs": features}
    A2C(policy, envs, seed=0, device="cpu", policy_kwargs=words).save(path)
    envs.close()


@pytest.mark.parametrize(
    ("module", "recipe", "names", "shapes", "picture"),
    [
        (
            "highway_env",
            HIGHWAY,
            ("lane left", "idle", "lane right", "faster", "slower"),
            {"": (4, 128, 64)},
            (256, 128, 3),
        ),
        (
            "vizdoom",
            DOOM,
            ("nothing", "attack", "move right", "move left"),
            {"screen": (3, 60, 80), "gamevariables": (1,)},
            (240, 320, 3),
        ),
        (
            "vizdoom",
            BUTTONS,
            ("move left", "move right", "attack"),
            {"screen": (6, 60, 80), "gamevariables": (2,)},
            (240, 320, 3),
        ),
    ],
    ids=["highway", "vizdoom", "vizdoom-buttons"],
)
def test_loaded_from_a_bare_zip_and_collected(module, recipe, names, shapes, picture, tmp_path):
    pytest.importorskip(module)
    saved_agent(recipe, tmp_path / "agent.zip")
    agent = load_agent("a2c", None, folder=tmp_path / "agent.zip", recipe=recipe)
    assert agent.action_names == names and agent.n_stack == recipe.frame_stack
    how = {"behavior": "stochastic", "max_per_episode": 12, "n_envs": 2, "progress": False}
    states = collect(agent, n_states=40, folder=tmp_path / "states", **how)
    observations = states.observations(np.arange(40))
    by_key = observations if isinstance(observations, dict) else {"": observations}
    assert {key: tuple(observed.shape[1:]) for key, observed in by_key.items()} == shapes
    # the scores were noted while playing: the stored frames are those that the agent saw
    with torch.no_grad():
        scores = agent.scores(observations)
    np.testing.assert_allclose(states.column("scores"), scores, rtol=1e-4, atol=1e-5)
    assert states.rendered([0]).shape == (1, *picture)

    # killed and gone on: the same episodes, bit for bit
    collect(agent, n_states=15, folder=tmp_path / "resumed", **how)
    resumed = collect(agent, n_states=40, folder=tmp_path / "resumed", **how)
    assert isinstance(resumed, StateDataset)
    for name in ("actions", "scores", "rewards", "episode"):
        np.testing.assert_array_equal(resumed.column(name), states.column(name), err_msg=name)
    again = resumed.observations(np.arange(40))
    for key, observed in by_key.items():
        np.testing.assert_array_equal(again[key] if key else again, observed)
    np.testing.assert_array_equal(resumed.rendered(range(40)), states.rendered(range(40)))


def test_the_picture_of_the_highway_lies_as_the_agent_sees_it(tmp_path):
    pytest.importorskip("highway_env")
    env = HIGHWAY.make("rgb_array")
    observation, _ = env.reset(seed=3)
    picture = env.render()
    env.close()
    gray = picture.astype(float) @ [0.2989, 0.5870, 0.1140]
    # each cell of the agent's is 2 x 2 pixels of the picture
    smaller = gray.reshape(128, 2, 64, 2).mean(axis=(1, 3))
    seen = observation[0].astype(float)
    upright = np.corrcoef(smaller.ravel(), seen.ravel())[0, 1]
    assert upright > 0.8
    assert upright > np.corrcoef(smaller[::-1].ravel(), seen.ravel())[0, 1] + 0.05


def test_vizdoom_holds_several_buttons_down():
    pytest.importorskip("vizdoom")
    env = EnvRecipe("VizdoomBasic-v1", {"max_buttons_pressed": 2}).make()
    names = find_action_names("VizdoomBasic-v1", env.action_space, env)
    assert names[3] == "move right + attack" and len(set(names)) == 7
    held = env.unwrapped.button_map[3]
    assert [button.name for button in env.unwrapped.game.get_available_buttons()] == [
        "MOVE_LEFT", "MOVE_RIGHT", "ATTACK",
    ] and held.tolist() == [0, 1, 1]  # fmt: skip
    env.close()


@pytest.mark.parametrize(
    ("env_id", "module", "extra"),
    [
        ("highway-fast-v0", "highway_env", "highway"),
        ("VizdoomBasic-v1", "vizdoom.gymnasium_wrapper", "vizdoom"),
    ],
)
def test_a_missing_package_is_named(env_id, module, extra, monkeypatch):
    package = module.partition(".")[0]
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == package else found(name)
    )
    monkeypatch.delitem(gym.registry, env_id, raising=False)
    with pytest.raises(ExplainError, match=rf"pip install 'sb3-explain\[{extra}\]'"):
        EnvRecipe(env_id).make()


def test_a_recipe_brings_its_own_arguments(tmp_path):
    with pytest.raises(ExplainError, match="part of the recipe"):
        load_agent("a2c", None, folder=tmp_path, recipe=DOOM, env_kwargs={"frame_skip": 2})
