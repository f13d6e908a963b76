"""The robot's tasks without MuJoCo: rewards worked out by hand, sampling, bounds, textures."""

import gymnasium as gym
import numpy as np
import pytest

from sb3_explain.common.errors import ExplainError
from sb3_explain.envs.recipe import EnvRecipe
from sb3_explain.envs.registered import missing_environment
from sb3_explain.envs.robot import tasks
from sb3_explain.envs.robot.ids import MODES, TASKS, env_id
from sb3_explain.envs.robot.scenes import MESHES, read_assets
from sb3_explain.envs.robot.textures import TEXTURES, encode_png
from sb3_explain.envs.untrusted_kwargs import check_env_kwargs

GOAL = np.array([1.6, 0.3, 0.58])


@pytest.mark.parametrize(
    ("gripper", "action", "reward"),
    [
        # d = 0.1, |a|^2 = 0.25; the height does not count
        ((1.5, 0.3, 0.626), (0.3, 0.4), -0.3 - 0.125),
        ((1.6 + 0.06, 0.3 + 0.08, 0.9), (0.0, 0.0), -0.3),
        ((1.6, 0.3499, 0.626), (1.0, 1.0), 1.0),
        ((1.6, 0.3501, 0.626), (0.0, 0.0), -0.1503),
        # an action counts as it is bounded: |a|^2 = 1 + 1
        ((1.5, 0.3, 0.626), (3.0, -2.0), -0.3 - 1.0),
        # positions count to four digits, d = 0.1; so does the reward, -0.30000605
        ((1.50004, 0.3, 0.626), (0.0, 0.0), -0.3),
        ((1.5, 0.3, 0.626), (0.0110, 0.0), -0.3001),
    ],
)
def test_the_reward_of_reach(gripper, action, reward):
    given = tasks.reward_reach(np.array(gripper), GOAL, np.array(action, np.float32))
    assert given == pytest.approx(reward, abs=1e-9)


@pytest.mark.parametrize(
    ("peg", "action", "reward"),
    [
        # d_xy = 0.1 and nothing more
        ((1.66, 0.38, 0.7), (0.0, 0.5, 0.5), -0.5 - 0.4),
        # d_xy = 0.05, d_xyz = 0.13: the bonus begins
        ((1.63, 0.34, 0.70), (0.0, 0.0, 0.0), -0.2 + 10 - 2.6),
        # in the middle, 4 cm above the bottom
        ((1.6, 0.3, 0.62), (0.0, 0.0, 1.0), -1 + 10 - 0.8),
    ],
)
def test_the_reward_of_peg_in_box(peg, action, reward):
    given = tasks.reward_peg(np.array(peg), GOAL, np.array(action, np.float32))
    assert given == pytest.approx(reward, abs=1e-9)


@pytest.mark.parametrize(
    ("offset", "inside"),
    [
        ((0, 0, 0.04), True), ((0.06, -0.07, 0.079), True), ((0, 0, 0.081), False),
        ((0.063, 0, 0.04), False), ((0, 0.073, 0.04), False), ((0, 0, -0.001), False),
    ],
)  # fmt: skip
def test_in_the_box_is_between_the_walls_and_below_the_rim(offset, inside):
    assert tasks.is_in_box(GOAL + offset, GOAL) is inside


def test_beyond_the_workspace_the_gripper_moves_inwards_only():
    corners = np.array([[1.39, 0.46, 1.01], [1.71, 0.14, 0.59], [1.5, 0.3, 0.8]])
    action = np.array([-0.5, 0.5, 2.0], np.float32)
    limited = [tasks.limit_action(action, corner) for corner in corners]
    np.testing.assert_array_equal(limited, [[0, 0, 0], [-0.5, 0.5, 1], [-0.5, 0.5, 1]])
    # the opposite is allowed where this was not, and the other way round
    limited = [tasks.limit_action(-action, corner) for corner in corners]
    np.testing.assert_array_equal(limited, [[0.5, -0.5, -1], [0, 0, 0], [0.5, -0.5, -1]])
    np.testing.assert_array_equal(tasks.limit_action(action[:2], corners[2]), [-0.5, 0.5, 0])


def test_episodes_begin_in_the_ranges_of_the_study_and_fill_them():
    rng = np.random.default_rng(0)
    drawn = {
        "goal": (tasks.sample_goal(rng) for _ in range(4000)),
        "reach": (tasks.sample_gripper(rng, "reach") for _ in range(4000)),
        "peg": (tasks.sample_gripper(rng, "peg_in_box") for _ in range(4000)),
    }
    ranges = {
        "goal": [(1.505, 1.705), (0.1, 0.5), (0.58, 0.58)],
        "reach": [(1.206, 1.356), (0.2, 0.4), (0.626, 0.626)],
        "peg": [(1.206, 1.356), (0.2, 0.4), (0.746, 0.846)],
    }
    for name, points in drawn.items():
        found = np.stack(list(points))
        low, high = np.transpose(ranges[name])
        assert (found >= low).all() and (found <= high).all()
        np.testing.assert_allclose(found.min(0), low, atol=0.002)
        np.testing.assert_allclose(found.max(0), high, atol=0.002)
        np.testing.assert_allclose(found.mean(0), (low + high) / 2, atol=0.006)


def test_textures_look_as_they_are_called_and_are_always_the_same():
    pictures = {name: draw() for name, draw in TEXTURES.items()}
    red, green, blue = pictures["table1.png"].reshape(-1, 3).mean(0)
    assert red > green + 30 > blue + 60  # brown
    assert pictures["carpet-black.png"].mean() < 60
    concrete = pictures["concrete.png"].astype(int)
    assert 120 < concrete.mean() < 180 and np.ptp(concrete, axis=2).max() < 15  # gray
    for name, picture in pictures.items():
        assert picture.shape == (512, 512, 3) and picture.std() > 3
        np.testing.assert_array_equal(picture, TEXTURES[name]())
    assert encode_png(pictures["table1.png"])[:8] == b"\x89PNG\r\n\x1a\n"


def test_missing_files_are_named_in_one_line(tmp_path):
    with pytest.raises(ExplainError, match="folder of meshes and textures is missing"):
        read_assets(tmp_path / "none", None)
    for mesh in MESHES[:-1]:
        (tmp_path / f"{mesh}.STL").write_bytes(b"mesh")
    last = f"{MESHES[-1]}.stl"
    with pytest.raises(ExplainError, match=rf"has no {last}, concrete.png: copy") as caught:
        read_assets(tmp_path, "concrete.png")
    assert "\n" not in str(caught.value)
    (tmp_path / "texture").mkdir()
    (tmp_path / "texture" / "concrete.png").write_bytes(b"texture")
    (tmp_path / "fetch").mkdir()
    (tmp_path / "fetch" / last).write_bytes(b"last")
    found = read_assets(tmp_path, "concrete.png")
    assert len(found) == len(MESHES) + 1
    assert found["link1.stl"] == b"mesh" and found["concrete.png"] == b"texture"


def test_all_ids_are_there_and_a_recipe_may_name_them():
    import sb3_explain  # noqa: F401

    for task in TASKS:
        for mode in MODES:
            assert gym.spec(env_id(task, mode)).kwargs == {"task": task, "mode": mode}
    assert EnvRecipe("ROBOT/reach-test1-v0").packages == ()
    check_env_kwargs("ROBOT/reach-train-v0", {"size": 100}, ())
    # a folder that a file names is not opened
    with pytest.raises(ExplainError, match="assets='meshes' was not used"):
        check_env_kwargs("ROBOT/reach-train-v0", {"assets": "meshes"}, ())


def test_without_mujoco_it_says_what_to_install(monkeypatch):
    from sb3_explain.envs.robot.environment import RobotEnv

    monkeypatch.setitem(__import__("sys").modules, "mujoco", None)
    with pytest.raises(ExplainError, match=r"MuJoCo is not installed .*sb3-explain\[robot\]"):
        RobotEnv()
    monkeypatch.setattr("sb3_explain.envs.registered._is_installed", lambda module: False)
    error = missing_environment("ROBOT/reach-train-v0", ImportError("no mujoco"))
    assert "pip install 'sb3-explain[robot]'" in str(error)
