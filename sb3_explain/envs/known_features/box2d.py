"""Gymnasium's Box2D environments: names of the features, in the order of their ``step``."""

from __future__ import annotations

_LANDER = (
    "x",
    "y",
    "x velocity",
    "y velocity",
    "angle",
    "angular velocity",
    # The environment makes the leg first that is the right one on the screen.
    "right leg contact",
    "left leg contact",
)
# Both hips are at the same place: the leg that is made first is called the left one.
_LEGS = tuple(
    f"{side} {part}"
    for side in ("left", "right")
    for part in ("hip angle", "hip speed", "knee angle", "knee speed", "leg contact")
)
_WALKER = (
    "hull angle",
    "hull angular velocity",
    "x velocity",
    "y velocity",
    *_LEGS,
    *(f"lidar {i}" for i in range(10)),
)

#: names by environment, without its version
FEATURES: dict[str, tuple[str, ...]] = {
    "LunarLander": _LANDER,
    "LunarLanderContinuous": _LANDER,
    "BipedalWalker": _WALKER,
    "BipedalWalkerHardcore": _WALKER,
}
