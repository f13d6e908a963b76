"""Names of the features and actions of well-known environments."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

from sb3_explain import EnvRecipe
from sb3_explain.envs.action_names import find_action_names
from sb3_explain.envs.known_features import find_known_features


def names_of(env_id, env=None, **kwargs):
    """Names of the features by key, for the spaces of a real environment, with that environment."""
    env = env or gym.make(env_id, **kwargs)
    recipe = EnvRecipe(env_id, kwargs)
    return find_known_features(recipe, env.observation_space), env


@pytest.mark.parametrize("env_id", ["CartPole-v1", "MountainCar-v0", "Acrobot-v1", "Pendulum-v1"])
def test_classic_control(env_id):
    named, env = names_of(env_id)
    assert len(set(named[""])) == env.observation_space.shape[0]


def test_the_pendulum_is_named_in_order():
    named, env = names_of("Pendulum-v1")
    observation, _ = env.reset(seed=0)
    angle, speed = env.unwrapped.state
    meant = {"cos(angle)": np.cos(angle), "sin(angle)": np.sin(angle), "angular velocity": speed}
    assert [meant[name] for name in named[""]] == pytest.approx(observation, abs=1e-6)


def test_box2d():
    pytest.importorskip("Box2D")
    named, env = names_of("BipedalWalker-v3")
    assert len(set(named[""])) == 24
    lander, env = names_of("LunarLander-v3")
    observation, _ = env.reset(seed=1)
    for _ in range(120):  # it falls until a leg touches the ground
        observation = env.step(0)[0]
        if observation[6] != observation[7]:
            break
    legs = env.unwrapped.legs
    touching = next(leg for leg in legs if leg.ground_contact)
    other = next(leg for leg in legs if leg is not touching)
    side = "left" if touching.position.x < other.position.x else "right"
    by_name = dict(zip(lander[""], observation, strict=True))
    assert by_name[f"{side} leg contact"] == 1


#: environment, arguments, and where in its observation the joint positions and velocities begin
MUJOCO = [
    ("InvertedPendulum-v5", {}),
    ("InvertedDoublePendulum-v5", {}),
    ("Reacher-v5", {}),
    ("Pusher-v5", {}),
    ("Swimmer-v5", {}),
    ("HalfCheetah-v5", {}),
    ("Hopper-v5", {}),
    ("Walker2d-v5", {"exclude_current_positions_from_observation": False}),
    ("Ant-v5", {}),
    ("Ant-v5", {"include_cfrc_ext_in_observation": False}),
    ("Humanoid-v5", {}),
    ("HumanoidStandup-v5", {}),
    ("HalfCheetah-v4", {}),
    ("Ant-v4", {}),
    ("Ant-v4", {"use_contact_forces": True}),
    ("Humanoid-v4", {}),
]


@pytest.mark.parametrize(("env_id", "kwargs"), MUJOCO)
def test_mujoco(env_id, kwargs):
    pytest.importorskip("mujoco")
    named, env = names_of(env_id, **kwargs)
    assert len(set(named[""])) == env.observation_space.shape[0]
    names = find_action_names(env_id, env.action_space)
    actuators = [env.unwrapped.model.actuator(i).name for i in range(len(names))]
    assert len(set(names)) == len(actuators)


#: joints as MuJoCo's files name them, and as they are named here
WORDS = {"b": "back ", "f": "front ", "thigh": "thigh", "shin": "shin", "foot": "foot"}


def test_the_joints_of_the_cheetah_are_in_the_order_of_its_file():
    pytest.importorskip("mujoco")
    named, env = names_of("HalfCheetah-v5")
    model = env.unwrapped.model
    joints = [model.joint(i).name for i in range(3, model.njnt)]
    words = [WORDS[joint[0]] + WORDS[joint[1:]] for joint in joints]
    assert [f"{word} angle" for word in words] == list(named[""][2:8])
    actuators = [model.actuator(i).name for i in range(model.nu)]
    assert [WORDS[one[0]] + WORDS[one[1:]] for one in actuators] == list(
        find_action_names("HalfCheetah-v5", env.action_space)
    )


@pytest.mark.parametrize("env_id", ["Ant-v5", "Humanoid-v5"])
def test_positions_velocities_and_forces_follow_each_other(env_id):
    pytest.importorskip("mujoco")
    named, env = names_of(env_id)
    parts, names = env.unwrapped.observation_structure, named[""]
    ends = np.cumsum([parts["qpos"], parts["qvel"]])
    assert not any("velocity" in name for name in names[: ends[0]])
    assert all("velocity" in name for name in names[ends[0] : ends[1]])
    assert all("torque" in name or "force" in name for name in names[-parts["cfrc_ext"] :])


DM_CONTROL = [
    ("acrobot", "swingup"), ("ball_in_cup", "catch"), ("cartpole", "balance"), ("cheetah", "run"),
    ("finger", "spin"), ("finger", "turn_easy"), ("fish", "swim"), ("fish", "upright"),
    ("hopper", "hop"), ("pendulum", "swingup"), ("point_mass", "easy"), ("reacher", "easy"),
    ("walker", "walk"),
]  # fmt: skip


@pytest.mark.parametrize(("domain", "task"), DM_CONTROL)
def test_dm_control(domain, task):
    suite = pytest.importorskip("dm_control.suite")
    made = suite.load(domain, task)
    sizes = {key: int(np.prod(spec.shape)) for key, spec in made.observation_spec().items()}
    by_key = spaces.Dict({key: spaces.Box(-1, 1, (size,)) for key, size in sizes.items()})
    recipe = EnvRecipe(f"dm_control/{domain}-{task}-v0")
    named = find_known_features(recipe, by_key)
    assert {key: len(set(names)) for key, names in named.items()} == sizes
    # flattened as gymnasium flattens it: in the order of the space, which is that of the alphabet
    flat = find_known_features(recipe, spaces.flatten_space(by_key))
    assert flat[""] == tuple(name for key in sorted(sizes) for name in named[key])
    actions = spaces.Box(-1, 1, made.action_spec().shape)
    assert find_action_names(recipe.env_id, actions) is not None or domain == "point_mass"


@pytest.mark.parametrize(
    ("env_id", "config"),
    [
        ("highway-v0", {}),
        ("intersection-v0", {}),
        (
            "merge-v0",
            {
                "observation": {
                    "type": "Kinematics",
                    "features": ["x", "y", "heading"],
                    "vehicles_count": 4,
                }
            },
        ),
    ],
)
def test_highway(env_id, config):
    pytest.importorskip("highway_env")
    kwargs = {"config": config} if config else {}
    recipe = EnvRecipe(env_id, kwargs)
    env = recipe.make()
    observed = env.unwrapped.observation_type
    vehicles = ["ego", *(f"vehicle {i}" for i in range(1, observed.vehicles_count))]
    assert find_known_features(recipe, env.observation_space)[""] == tuple(
        f"{vehicle} {feature}" for vehicle in vehicles for feature in observed.features
    )


def test_the_ram_of_atari_says_where_the_ball_is():
    pytest.importorskip("ale_py")
    recipe = EnvRecipe("ALE/Pong-v5", {"obs_type": "ram", "frameskip": 1})
    env = recipe.make()
    names = find_known_features(recipe, env.observation_space)[""]
    place = {name.partition("(")[2][:-1]: i for i, name in enumerate(names) if "(" in name}
    ram, _ = env.reset(seed=0)
    found = []
    for step in range(400):
        ram = env.step(0)[0]
        picture = env.unwrapped.ale.getScreenRGB()[34:194]
        ball = np.argwhere((picture == 236).all(axis=2))
        if step > 80 and 0 < len(ball) < 20:
            found.append((ball.mean(axis=0), ram[place["ball y"]], ram[place["ball x"]]))
    seen = np.array([[*where, y, x] for where, y, x in found], dtype=float)
    assert len(seen) > 50
    assert np.corrcoef(seen[:, 0], seen[:, 2])[0, 1] > 0.95
    assert np.corrcoef(seen[:, 1], seen[:, 3])[0, 1] > 0.95
    assert names[0] == "byte 0" and len(set(names)) == 128


def test_stacked_frames_and_a_time_that_is_appended():
    box = spaces.Box(-1, 1, (8,))
    names = find_known_features(EnvRecipe("CartPole-v1", frame_stack=2), box, 2)[""]
    assert len(names) == 4
    timed = EnvRecipe(
        "Pendulum-v1", wrappers=(("sb3_contrib.common.wrappers.TimeFeatureWrapper", {}),)
    )
    assert find_known_features(timed, spaces.Box(-1, 1, (4,)))[""][-1] == "time left"


@pytest.mark.parametrize(
    ("env_id", "wrappers", "n"),
    [
        ("Unheard-v0", (), 4),
        ("CartPole-v1", (), 5),
        ("CartPole-v1", (("of.mine.Polar", {}),), 4),  # may have moved what it observes
        ("Ant-v5", (), 28),
    ],
)
def test_no_names_are_better_than_wrong_ones(env_id, wrappers, n):
    assert find_known_features(EnvRecipe(env_id, wrappers=wrappers), spaces.Box(-1, 1, (n,))) == {}
