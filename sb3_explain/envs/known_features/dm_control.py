"""DMControl's suite as shimmy makes it: names of the features of each key of an observation."""

from __future__ import annotations

from collections.abc import Iterable

NAMESPACE = "dm_control"

Names = tuple[str, ...]


def _rates(joints: Iterable[str]) -> Names:
    return tuple(f"{joint} angular velocity" for joint in joints)


_CHEETAH = ("back thigh", "back shin", "back foot", "front thigh", "front shin", "front foot")
_HOPPER = ("waist", "hip", "knee", "ankle")
_WALKER_BODIES = (
    "torso", "right thigh", "right leg", "right foot", "left thigh", "left leg", "left foot",
)  # fmt: skip
_WALKER_AXES = tuple(f"{body} {part}" for body in _WALKER_BODIES for part in ("xx", "xz"))
_WALKER_JOINTS = ("right hip", "right knee", "right ankle", "left hip", "left knee", "left ankle")
_FISH = ("tail 1", "tail twist", "tail 2", "right fin roll", "right fin pitch", "left fin roll",
         "left fin pitch")  # fmt: skip

#: names by domain and key
FEATURES: dict[str, tuple[tuple[str, Names], ...]] = {
    "acrobot": (
        ("orientations", ("upper arm x", "lower arm x", "upper arm z", "lower arm z")),
        ("velocity", _rates(("shoulder", "elbow"))),
    ),
    "ball_in_cup": (
        ("position", ("cup x", "cup z", "ball x", "ball z")),
        ("velocity", ("cup x velocity", "cup z velocity", "ball x velocity", "ball z velocity")),
    ),
    "cartpole": (
        ("position", ("cart position", "cos(pole angle)", "sin(pole angle)")),
        ("velocity", ("cart velocity", "pole angular velocity")),
    ),
    "cheetah": (
        ("position", ("height", "torso angle", *(f"{part} angle" for part in _CHEETAH))),
        ("velocity", ("x velocity", "z velocity", *_rates(("torso", *_CHEETAH)))),
    ),
    "finger": (
        ("position", ("proximal angle", "distal angle", "tip x", "tip z")),
        ("velocity", _rates(("proximal", "distal", "spinner"))),
        ("touch", ("touch top", "touch bottom")),
        ("target_position", ("target x", "target z")),
        ("dist_to_target", ("distance to target",)),
    ),
    "fish": (
        ("joint_angles", tuple(f"{part} angle" for part in _FISH)),
        ("upright", ("upright",)),
        ("target", ("target x", "target y", "target z")),
        (
            "velocity",
            (
                *(f"{axis} velocity" for axis in "xyz"),
                *(f"{axis} angular velocity" for axis in "xyz"),
                *_rates(_FISH),
            ),
        ),
    ),
    "hopper": (
        ("position", ("height", "torso angle", *(f"{joint} angle" for joint in _HOPPER))),
        ("velocity", ("x velocity", "z velocity", *_rates(("torso", *_HOPPER)))),
        ("touch", ("touch toe", "touch heel")),
    ),
    "pendulum": (
        ("orientation", ("cos(angle)", "sin(angle)")),
        ("velocity", ("angular velocity",)),
    ),
    "point_mass": (("position", ("x", "y")), ("velocity", ("x velocity", "y velocity"))),
    "reacher": (
        ("position", ("shoulder angle", "wrist angle")),
        ("to_target", ("x to target", "y to target")),
        ("velocity", _rates(("shoulder", "wrist"))),
    ),
    "walker": (
        ("orientations", _WALKER_AXES),
        ("height", ("height",)),
        ("velocity", ("z velocity", "x velocity", *_rates(("torso", *_WALKER_JOINTS)))),
    ),
}  # fmt: skip


def name_features(name: str, key: str, n_features: int) -> Names:
    """Names of the features of a key, or of all keys where they are flattened; empty if unknown.

    :param name: domain and task, such as ``"walker-walk"``
    :param key: key of the observation; ``""`` of what gymnasium's FlattenObservation made one
        vector of, in the alphabetical order of the keys
    :param n_features: number of features of the key
    """
    by_key = dict(FEATURES.get(name.partition("-")[0], ()))
    if key:
        named = by_key.get(key, ())
        return named if len(named) == n_features else ()
    for left_out in LEFT_OUT.get(name.partition("-")[0], ((),)):
        observed = [by_key[each] for each in sorted(by_key) if each not in left_out]
        flat = tuple(feature for names in observed for feature in names)
        if flat and len(flat) == n_features:
            return flat
    return ()


#: keys that some tasks of a domain do not have
LEFT_OUT: dict[str, tuple[tuple[str, ...], ...]] = {
    "finger": ((), ("target_position", "dist_to_target")),
    "fish": ((), ("target",)),
}
