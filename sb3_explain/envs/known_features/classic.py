"""Gymnasium's classic control: names of the features, as its documentation has them."""

from __future__ import annotations

_CAR = ("position", "velocity")

#: names by environment, without its version
FEATURES: dict[str, tuple[str, ...]] = {
    "CartPole": ("cart position", "cart velocity", "pole angle", "pole angular velocity"),
    "MountainCar": _CAR,
    "MountainCarContinuous": _CAR,
    "Acrobot": (
        "cos(first angle)",
        "sin(first angle)",
        "cos(second angle)",
        "sin(second angle)",
        "first angular velocity",
        "second angular velocity",
    ),
    "Pendulum": ("cos(angle)", "sin(angle)", "angular velocity"),
}
