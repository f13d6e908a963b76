"""Drawing by MuJoCo: the renderer of a machine without a screen, and what to say without OpenGL."""

from __future__ import annotations

import importlib.metadata
import os
import sys
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from sb3_explain.common.errors import ExplainError


def choose_renderer() -> None:
    """Let MuJoCo draw by EGL, and pygame in memory, if there is no screen.

    What the user has set, ``MUJOCO_GL`` or ``SDL_VIDEODRIVER``, stays. It only has an effect before
    MuJoCo is imported, and before pygame begins to draw, which complains of the missing screen.
    """
    if sys.platform != "linux" or os.environ.get("DISPLAY"):
        return
    os.environ.setdefault("MUJOCO_GL", "egl")
    if os.environ.get("WAYLAND_DISPLAY") or "SDL_VIDEODRIVER" in os.environ:
        return
    if _pygame_draws_in_memory():
        # not "dummy": highway-env takes it for a wish that nothing be drawn
        os.environ["SDL_VIDEODRIVER"] = "offscreen"


def _pygame_draws_in_memory() -> bool:
    """Whether the installed pygame has a driver that draws in memory, as older ones have not."""
    for package, first in (("pygame", (2, 6)), ("pygame-ce", (2, 5))):
        try:
            version = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
        if tuple(int(part) for part in version.split(".")[:2]) >= first:
            return True
    return False


def draw(render: Callable[[], NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """The picture that a function draws.

    :param render: function that draws by OpenGL
    :raises ExplainError: if OpenGL is missing
    """
    try:
        return render()
    except Exception as error:  # of EGL, OSMesa and GLFW, and MuJoCo's own, which has no base
        raise no_opengl(error) from error


def no_opengl(error: Exception) -> ExplainError:
    """The error that says how to install OpenGL, from the error of MuJoCo."""
    said = str(error).splitlines()[0] if str(error) else type(error).__name__
    return ExplainError(
        f"MuJoCo cannot draw ({said}): without a screen install OpenGL's libraries (Debian: "
        "libegl1 libgl1) and set MUJOCO_GL=egl, or osmesa (libosmesa6)"
    )
