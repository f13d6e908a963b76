"""Reach and Peg in box: a robot arm that is steered from the pixels of one camera."""

from __future__ import annotations

import weakref
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from sb3_explain.common.errors import ExplainError, unknown_name
from sb3_explain.envs.opengl import draw
from sb3_explain.envs.robot import tasks
from sb3_explain.envs.robot.ids import MODES, TASKS
from sb3_explain.envs.robot.scenes import compile_scene, import_mujoco

#: pose of the joints that the inverse kinematics begin from: the gripper above the table's edge
HOME = np.array([0.0, -0.574, 0.170, 0.0, 0.744, 0.0])
#: from the gripper to the flange, which the mocap body holds upside down
FLANGE, DOWN = np.array([0.0, 0.0, 0.17]), np.array([0.0, 1.0, 0.0, 0.0])


class RobotEnv(gym.Env[NDArray[np.uint8], NDArray[np.float32]]):
    """A task of the robot study of Bertoin et al. (2022), appendix D, in one mode.

    Observations are RGB frames of one camera, (3, size, size) uint8, which are not stacked. An
    episode has 50 decisions of 20 substeps each and ends by truncation. ``is_success`` in ``info``
    tells whether the gripper is within 5 cm of the disc, or the peg in the box.

    :param task: ``"reach"`` (actions x, y) or ``"peg_in_box"`` (actions x, y, z)
    :param mode: ``"train"``, or ``"test1"``, ``"test2"``, ``"test3"`` with another background and
        another table
    :param size: height and width of a frame, in pixels
    :param assets: folder of the authors' meshes and textures; without one the arm is drawn with
        capsules, and the textures are procedural
    :param render_mode: ``"rgb_array"`` if ``render()`` should return the newest frame, enlarged
    :raises ExplainError: if the task or mode is unknown, or MuJoCo, OpenGL or a file is missing
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 25}  # noqa: RUF012

    def __init__(
        self,
        task: str = "reach",
        mode: str = "train",
        *,
        size: int = 84,
        assets: str | Path | None = None,
        render_mode: str | None = None,
    ) -> None:
        for kind, name, known in (("task", task, TASKS), ("mode", mode, MODES)):
            if name not in known:
                raise unknown_name(kind, name, known)
        if not 1 <= size <= 1024:
            raise ExplainError(f"size={size}: give a number of pixels from 1 to 1024")
        self.task = task
        self.mode = mode
        self.size = size
        self.render_mode = render_mode
        self.action_names = tasks.AXES[task]
        self._mujoco = import_mujoco()
        self.model = compile_scene(task, mode, assets)
        self.data = self._mujoco.MjData(self.model)
        self._flange = self.model.body("link7").id
        self._close_renderer: Any = None
        n_axes = len(self.action_names)
        self.action_space = spaces.Box(-1, 1, (n_axes,), np.float32)
        self.observation_space = spaces.Box(0, 255, (3, size, size), np.uint8)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.uint8], dict[str, Any]]:
        """Begin an episode: place the goal and the gripper."""
        super().reset(seed=seed)
        self.n_decisions = 0
        self._mujoco.mj_resetData(self.model, self.data)
        gripper = tasks.sample_gripper(self.np_random, self.task)
        goal = tasks.sample_goal(self.np_random)
        if self.task == "reach":
            self.model.site("disc").pos = goal
        else:
            self.data.joint("box").qpos[:2] = goal[:2]
        self._place_gripper(gripper)
        self.frame = self._draw_frame()
        return self.frame, {"is_success": self._is_success()}

    def step(
        self, action: NDArray[np.float32]
    ) -> tuple[NDArray[np.uint8], float, bool, bool, dict[str, Any]]:
        """Move the gripper by up to 5 cm along each axis."""
        moved = tasks.limit_action(action, self.locate("grasp"))
        self.data.mocap_pos[0] = self.data.xpos[self._flange] + tasks.ACTION_SCALE * moved
        self._mujoco.mj_step(self.model, self.data, tasks.N_SUBSTEPS)
        self._mujoco.mj_forward(self.model, self.data)
        self.n_decisions += 1
        self.frame = self._draw_frame()
        if self.task == "reach":
            reward = tasks.reward_reach(self.locate("grasp"), self.locate("disc"), action)
        else:
            reward = tasks.reward_peg(self.locate("peg"), self.locate("box"), action)
        truncated = self.n_decisions >= tasks.N_DECISIONS
        return self.frame, reward, False, truncated, {"is_success": self._is_success()}

    def locate(self, site: str) -> NDArray[np.float64]:
        """(3,) position of the gripper (``grasp``), or the center of ``disc``, ``peg`` or ``box``.

        That of the box is the center of its bottom. In meters.
        """
        return np.array(self.data.site(site).xpos)

    def render(self) -> NDArray[np.uint8]:
        """(4 * size, 4 * size, 3) the newest frame, enlarged without smoothing."""
        return self.frame.transpose(1, 2, 0).repeat(4, axis=0).repeat(4, axis=1)

    def close(self) -> None:
        """Free what the renderer holds."""
        if self._close_renderer is not None:
            self._close_renderer()

    def _is_success(self) -> bool:
        if self.task == "reach":
            return tasks.measure(self.locate("grasp"), self.locate("disc"), 2) < tasks.NEAR
        return tasks.is_in_box(self.locate("peg"), self.locate("box"))

    def _place_gripper(self, gripper: NDArray[np.float64]) -> None:
        """Turn the joints so that the gripper points down at a position (damped least squares)."""
        mujoco, model, data = self._mujoco, self.model, self.data
        target = gripper + FLANGE
        data.mocap_pos[0], data.mocap_quat[0] = target, DOWN
        joints = [model.joint(f"joint{i}").qposadr[0] for i in (1, 2, 4, 5, 6, 7)]
        data.qpos[joints] = HOME
        error, jacobian = np.ones(6), np.empty((6, model.nv))
        while np.abs(error).max() > 1e-7:
            mujoco.mj_fwdPosition(model, data)
            error[:3] = target - data.xpos[self._flange]
            mujoco.mju_subQuat(error[3:], DOWN, data.xquat[self._flange])
            error[3:] = data.xmat[self._flange].reshape(3, 3) @ error[3:]
            mujoco.mj_jacBody(model, data, jacobian[:3], jacobian[3:], self._flange)
            of_arm = jacobian[:, [model.joint(f"joint{i}").dofadr[0] for i in (1, 2, 4, 5, 6, 7)]]
            damped = of_arm @ of_arm.T + 1e-4 * np.eye(6)
            data.qpos[joints] += of_arm.T @ np.linalg.solve(damped, error)
        mujoco.mj_forward(model, data)

    def _draw_frame(self) -> NDArray[np.uint8]:
        """(3, size, size) the camera's picture."""
        return np.ascontiguousarray(draw(self._draw_picture).transpose(2, 0, 1))

    def _draw_picture(self) -> NDArray[np.uint8]:
        if self._close_renderer is None:
            self._renderer = self._mujoco.Renderer(self.model, self.size, self.size)
            # also where nobody closes the environment: OpenGL is gone when Python ends
            self._close_renderer = weakref.finalize(self, self._renderer.close)
        self._renderer.update_scene(self.data, camera="third_person")
        picture: NDArray[np.uint8] = self._renderer.render()
        return picture
