"""The robot in MuJoCo: motion against its equation, its camera against a pinhole's, mistakes."""

import struct

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from scipy.spatial.transform import Rotation

from examples.robot import play, steer
from sb3_explain.common.errors import ExplainError
from sb3_explain.envs.recipe import EnvRecipe, begin_episode
from sb3_explain.envs.robot import tasks
from sb3_explain.envs.robot.environment import RobotEnv
from sb3_explain.envs.robot.ids import MODES, TASKS, env_id
from sb3_explain.envs.robot.scenes import MESHES, TIMESTEPS, compile_scene

mujoco = pytest.importorskip("mujoco")


class Undrawn(RobotEnv):
    """The robot whose frames are not drawn, which takes most of the time."""

    def _draw_frame(self) -> np.ndarray:
        return np.zeros((3, self.size, self.size), np.uint8)


@pytest.fixture(params=TASKS)
def env(request):
    return Undrawn(request.param)


def test_an_episode_begins_where_it_was_drawn(env):
    for seed in range(20):
        env.reset(seed=seed)
        rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed)))
        gripper, goal = tasks.sample_gripper(rng, env.task), tasks.sample_goal(rng)
        np.testing.assert_allclose(env.locate("grasp"), gripper, atol=1e-6)
        target = "disc" if env.task == "reach" else "box"
        np.testing.assert_allclose(env.locate(target), goal, atol=1e-4)
        # it points straight down
        pointing = env.data.body("link7").xmat.reshape(3, 3)[:, 2]
        np.testing.assert_allclose(pointing, [0, 0, -1], atol=1e-6)
    if env.task == "peg_in_box":  # 9 cm of string and half of the peg
        np.testing.assert_allclose(env.locate("peg"), gripper - [0, 0, 0.09], atol=1e-6)


def test_the_gripper_follows_the_mocap_body_as_its_equation_says(env):
    """A critically damped spring of time constant 0.02 s, drawn 5 cm further at each decision."""
    rate, time = 1 / 0.02, tasks.N_SUBSTEPS * TIMESTEPS[env.task]
    speed = 0.0
    for _ in range(50):  # to the steady speed at a decision's beginning
        speed = (speed - rate * (speed - rate * 0.05) * time) * np.exp(-rate * time)
    moved = 0.05 + (-0.05 + (speed - rate * 0.05) * time) * np.exp(-rate * time)
    env.reset(seed=0)
    along = np.array([0, 1, 0][: len(env.action_names)], np.float32)
    places = []
    for _ in range(6):
        places.append(env.locate("grasp"))
        env.step(along if env.locate("grasp")[1] < 0.45 else 0 * along)
    steps = np.diff(places, axis=0)[2:4]
    np.testing.assert_allclose(steps[:, 1], moved, rtol=0.05)
    np.testing.assert_allclose(steps[:, [0, 2]], 0, atol=0.003)


def test_the_gripper_stays_in_the_workspace(env):
    for direction in np.ndindex(*[2] * len(env.action_names)):
        env.reset(seed=1)
        begin = env.locate("grasp")
        action = np.float32(direction) * 2 - 1
        for _ in range(50):
            env.step(action)
        n = len(action)
        # it begins nearer to the robot than the workspace, and so goes no nearer
        low = [begin[0] - 0.01, *(tasks.LOW[1:] - 0.06)][:n]
        place = env.locate("grasp")[:n]
        assert (place > low).all() and (place < tasks.HIGH[:n] + 0.06).all()
        assert abs(place[1] - (tasks.HIGH if action[1] > 0 else tasks.LOW)[1]) < 0.06


def test_an_episode_has_fifty_decisions_and_the_rewards_of_its_positions(env):
    env.reset(seed=2)
    env.action_space.seed(0)
    for step in range(1, 51):
        action = env.action_space.sample()
        _, reward, terminated, truncated, info = env.step(action)
        assert not terminated and truncated == (step == 50) and info["is_success"] is False
        if env.task == "reach":
            expected = tasks.reward_reach(env.locate("grasp"), env.locate("disc"), action)
        else:
            expected = tasks.reward_peg(env.locate("peg"), env.locate("box"), action)
        assert reward == expected


@pytest.mark.parametrize(
    ("task", "share", "score"), [("reach", 0.95, 30), ("peg_in_box", 0.8, 200)]
)
def test_a_scripted_controller_solves_it(task, share, score):
    returns, successes = play(Undrawn(task), 100)
    assert successes.mean() >= share and returns.mean() > score


def test_the_camera_is_that_of_the_study():
    model = compile_scene("reach", "train")
    camera = model.camera("third_person")
    np.testing.assert_allclose(camera.pos, [2.10, 0.3, 1.4])
    assert camera.fovy == 50
    turned = Rotation.from_euler("XYZ", [0, 0.83, 1.57])
    np.testing.assert_allclose(camera.quat, np.roll(turned.as_quat(), 1), atol=1e-6)


def write_tetrahedron(path) -> None:
    corners = np.array([[0, 0, 0], [0.03, 0, 0], [0, 0.03, 0], [0, 0, 0.03]], np.float32)
    faces = [(0, 2, 1), (0, 1, 3), (0, 3, 2), (1, 2, 3)]
    content = bytes(80) + struct.pack("<I", 4)
    for face in faces:
        content += np.zeros(3, np.float32).tobytes() + corners[list(face)].tobytes() + bytes(2)
    path.write_bytes(content)


def test_the_users_meshes_replace_the_capsules(tmp_path):
    for mesh in MESHES:
        write_tetrahedron(tmp_path / f"{mesh}.STL")
    model = compile_scene("peg_in_box", "train", tmp_path)
    for name in MESHES:
        body = model.body(name)
        (geom,) = range(body.geomadr[0], body.geomadr[0] + body.geomnum[0])
        assert model.geom_type[geom] == mujoco.mjtGeom.mjGEOM_MESH
    assert model.body("string").geomnum == 1  # what is no part of the arm stays as it was
    Undrawn("reach", assets=tmp_path).reset(seed=0)
    (tmp_path / "link2.STL").write_bytes(b"no mesh")
    with pytest.raises(ExplainError, match="MuJoCo cannot use the files in"):
        compile_scene("reach", "train", tmp_path)


def test_mistakes_are_one_line():
    with pytest.raises(ExplainError, match="unknown task 'push'"):
        RobotEnv("push")
    with pytest.raises(ExplainError, match="unknown mode 'test4'; did you mean 'test"):
        RobotEnv("reach", "test4")
    with pytest.raises(ExplainError, match="size=0: give a number of pixels"):
        RobotEnv(size=0)


def test_without_opengl_it_says_what_to_install(monkeypatch):
    env = RobotEnv("reach")

    def broken(*size):
        raise ImportError("Cannot initialize a EGL device display.\nmore")

    monkeypatch.setattr(env._mujoco, "Renderer", broken)
    with pytest.raises(ExplainError, match=r"cannot draw \(Cannot initialize a EGL device display"):
        env.reset(seed=0)


@pytest.fixture(scope="module")
def draws() -> None:
    """Skip where nothing can be drawn."""
    env = RobotEnv("reach", size=8)
    try:
        env.reset(seed=0)
    except ExplainError as error:
        pytest.skip(str(error))
    env.close()


@pytest.mark.usefixtures("draws")
class TestDrawn:
    @pytest.mark.filterwarnings("ignore:.*not within the observation space")
    @pytest.mark.parametrize("task", TASKS)
    def test_gymnasium_has_nothing_to_object(self, task):
        env = gym.make(env_id(task, "test1"), render_mode="rgb_array", size=24)
        check_env(env.unwrapped)
        assert env.unwrapped.render().shape == (96, 96, 3)
        env.close()

    def test_the_disc_is_where_a_pinhole_camera_has_it(self):
        env = RobotEnv("reach")
        turned = Rotation.from_euler("XYZ", [0, 0.83, 1.57])
        for seed in range(5):
            frame = env.reset(seed=seed)[0].astype(int)
            x, y, z = turned.inv().apply(env.locate("disc") - [2.10, 0.3, 1.4])
            focal = 42 / np.tan(np.radians(25))
            row, column = 42 + focal * y / z, 42 - focal * x / z
            rows, columns = np.nonzero((frame[0] > 180) & (frame[1:].max(0) < 60))
            assert len(rows) > 15
            assert abs(rows.mean() + 0.5 - row) < 1 and abs(columns.mean() + 0.5 - column) < 1
        env.close()

    def test_the_same_seed_is_the_same_episode_and_another_is_not(self):
        env, other = (RobotEnv("peg_in_box", "test2", size=32) for _ in "ab")
        for seeds, same in (((5, 5), True), ((5, 6), False)):
            ours, theirs = (
                e.reset(seed=seed)[0] for e, seed in zip((env, other), seeds, strict=True)
            )
            assert (ours == theirs).all() == same
            action = np.array([1, -1, 0.5], np.float32)
            ours, theirs = env.step(action), other.step(action)
            assert (ours[0] == theirs[0]).all() == same and (ours[1] == theirs[1]) == same
        env.close(), other.close()

    @pytest.mark.parametrize("task", TASKS)
    def test_a_mode_changes_background_and_table_alone(self, task):
        frames = {}
        for mode in MODES:
            env = EnvRecipe(env_id(task, mode)).make()
            frames[mode] = begin_episode(env, 3).astype(int)
            assert frames[mode].shape == (3, 84, 84)
            env.close()
        corner = {mode: frame[:, :8, :8].mean((1, 2)) for mode, frame in frames.items()}
        assert np.ptp(corner["train"]) < 10  # gray sky
        assert corner["test1"][1] < corner["test1"][[0, 2]].min() - 20  # pink
        assert corner["test2"][0] < corner["test2"][1:].min() - 10  # turquoise
        assert corner["test3"][0] > corner["test3"][1:].max() + 20  # red
        table = {mode: frame[:, 46:80, 4:20].mean() for mode, frame in frames.items()}
        assert table["train"] > 200 > table["test1"] > 60 > table["test2"]
        assert 80 < table["test3"] < 180
        # goal and arm keep their places and colors
        red = {m: (f[0] > 130) & (f[1:].max(0) < 50) & (np.arange(84)[:, None] > 45)
               for m, f in frames.items()}  # fmt: skip
        for mode in MODES[1:]:
            assert (red[mode] == red["train"]).mean() > 0.995 and red[mode].sum() > 15

    @pytest.mark.parametrize("mode", MODES)
    def test_what_matters_stands_out_over_every_table(self, mode):
        """Pixels that change by more than a tenth of the range when a part is hidden."""
        for task, parts in (("reach", ("disc", "gripper")), ("peg_in_box", ("box", "peg"))):
            env = RobotEnv(task, mode)
            env.reset(seed=0)
            for _ in range(5 if task == "reach" else 9):
                env.step(steer(env))
            shown = env._draw_frame().astype(int)
            for part in parts:
                env.model.material(part).rgba[3] = 0
                changed = abs(shown - env._draw_frame()).max(0) > 25
                env.model.material(part).rgba[3] = 1
                assert changed.sum() >= 25, part
            env.close()
