"""A task of the DeepMind control suite, observed through its camera, in one mode."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from sb3_explain.common.errors import ExplainError, unknown_name
from sb3_explain.envs.dmc.ids import MODES
from sb3_explain.envs.dmc.scenes import (
    FLOOR_GREEN,
    SKY_GREEN,
    Colors,
    find_videos,
    paint,
    read_clip,
    read_color_sets,
    replace_green,
)
from sb3_explain.envs.opengl import choose_renderer, draw, no_opengl

#: camera of the benchmark, by domain; 0 for all others
CAMERAS = {"quadruped": 2}


class DMCGeneralizationEnv(gym.Env[NDArray[np.uint8], NDArray[np.float32]]):
    """A task of the control suite from pixels (Hansen and Wang 2021, DMControl-GB).

    Observations are ``n_stack`` RGB frames, (3 * n_stack, size, size) uint8, oldest first; the
    frame after a reset is repeated. An episode has 1000 steps of the simulator and ends by
    truncation. Rewards are summed over the repeated actions.

    :param task: domain and task of the suite, for example ``"walker_walk"``
    :param mode: ``"train"`` changes nothing; ``"color_easy"`` and ``"color_hard"`` draw one of 100
        sets of colors at each reset; ``"video_easy"`` shows videos in place of the sky, and
        ``"video_hard"`` in place of sky and floor
    :param action_repeat: number of simulator steps in one timestep of the agent
    :param size: height and width of a frame, in pixels
    :param n_stack: number of frames in an observation
    :param background_folder: folder of the videos: ``video_easy/*.mp4``, ``video_hard/*.mp4``
    :param render_mode: ``"rgb_array"`` if ``render()`` should return the newest frame, enlarged
    :raises ExplainError: if the task or mode is unknown, or videos or OpenGL are missing
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 25}  # noqa: RUF012

    def __init__(
        self,
        task: str = "walker_walk",
        mode: str = "train",
        *,
        action_repeat: int = 4,
        size: int = 84,
        n_stack: int = 3,
        background_folder: str | Path | None = None,
        render_mode: str | None = None,
    ) -> None:
        if mode not in MODES:
            raise unknown_name("mode", mode, MODES)
        if action_repeat < 1 or size < 1 or n_stack < 1:
            raise ExplainError(
                f"action_repeat={action_repeat}, size={size}, n_stack={n_stack}: give numbers from "
                "1 on"
            )
        self.mode = mode
        self.action_repeat = action_repeat
        self.size = size
        self.n_stack = n_stack
        self.render_mode = render_mode
        self.videos = find_videos(background_folder, mode) if "video" in mode else []
        self.domain, self._control = load_task(task)
        self.camera = CAMERAS.get(self.domain, 0)
        bounds = self._control.action_space
        self.action_space = spaces.Box(np.float32(bounds.low), np.float32(bounds.high))
        self.observation_space = spaces.Box(0, 255, (3 * n_stack, size, size), np.uint8)
        if "video" in mode:
            self._paint({**SKY_GREEN, **FLOOR_GREEN} if mode == "video_hard" else SKY_GREEN)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.uint8], dict[str, Any]]:
        """Begin an episode; the seed also determines the colors and the video."""
        super().reset(seed=seed)
        if "color" in self.mode:
            sets = read_color_sets(self.mode)
            self._paint(sets[self.np_random.integers(len(sets))])
        if self.videos:
            path = self.videos[self.np_random.integers(len(self.videos))]
            self.background, self.timestep = read_clip(path, self.size), 0
        self._control.reset(seed=seed)
        self.frames = [self._frame()] * self.n_stack
        return np.concatenate(self.frames), {}

    def step(
        self, action: NDArray[np.float32]
    ) -> tuple[NDArray[np.uint8], float, bool, bool, dict[str, Any]]:
        """Repeat an action ``action_repeat`` times, or until the episode ends."""
        total = 0.0
        for _ in range(self.action_repeat):
            _, reward, terminated, truncated, _ = self._control.step(action)
            total += float(reward or 0)
            if terminated or truncated:
                break
        if self.videos:
            self.timestep += 1
        self.frames = [*self.frames[1:], self._frame()]
        return np.concatenate(self.frames), total, terminated, truncated, {}

    def render(self) -> NDArray[np.uint8]:
        """(4 * size, 4 * size, 3) the newest frame, enlarged without smoothing."""
        return self.frames[-1].transpose(1, 2, 0).repeat(4, axis=0).repeat(4, axis=1)

    def close(self) -> None:
        """Close the simulator."""
        self._control.close()

    def _frame(self) -> NDArray[np.uint8]:
        """(3, size, size) the camera's picture, with the video in place of what is green."""
        frame = draw(
            lambda: self._control.unwrapped.physics.render(
                height=self.size, width=self.size, camera_id=self.camera
            )
        )
        if self.videos:
            frame = replace_green(frame, self.background[self.timestep % len(self.background)])
        return np.ascontiguousarray(frame.transpose(2, 0, 1))

    def _paint(self, colors: Colors) -> None:
        module = importlib.import_module(f"dm_control.suite.{self.domain}")
        physics = self._control.unwrapped.physics
        joints = physics.model.nq
        try:
            xml, assets = module.get_model_and_assets()
            physics.reload_from_xml_string(xml, paint(assets, colors))
        except (AttributeError, TypeError) as error:
            raise self._not_painted() from error
        if physics.model.nq != joints:  # another task of the same domain
            raise self._not_painted()

    def _not_painted(self) -> ExplainError:
        return ExplainError(
            f"this task of {self.domain} cannot be recolored: only mode 'train' supports it"
        )


def load_task(task: str) -> tuple[str, Any]:
    """The domain of a task of the suite, and the task as a gymnasium environment.

    :param task: domain and task, joined by ``_`` or ``-``
    :raises ExplainError: if the packages are not installed, or the suite has no such task
    """
    choose_renderer()
    try:
        from dm_control import suite
        from shimmy.dm_control_compatibility import DmControlCompatibilityV0
    except ImportError as error:
        raise ExplainError(
            f"DMControl is not installed ({error}): pip install 'sb3-explain[dmc]'"
        ) from error
    except (AttributeError, RuntimeError) as error:
        raise no_opengl(error) from error
    tasks = {f"{domain}_{name}": (domain, name) for domain, name in suite.ALL_TASKS}
    name = task.replace("-", "_")
    if name not in tasks:
        raise unknown_name("task", task, tasks)
    domain, name = tasks[name]
    return domain, DmControlCompatibilityV0(suite.load(domain, name))
