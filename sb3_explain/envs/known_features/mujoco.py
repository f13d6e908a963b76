"""Gymnasium's MuJoCo environments: names of the features, as its documentation has them.

Their observations are positions without those along the ground, then velocities; some have more
behind these, which differs between versions. So an environment has several lists of names, and the
one that is as long as the observation is used.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

Names = tuple[str, ...]


def _angles(joints: Iterable[str]) -> Names:
    return tuple(f"{joint} angle" for joint in joints)


def _rates(joints: Iterable[str]) -> Names:
    return tuple(f"{joint} angular velocity" for joint in joints)


def _of_bodies(bodies: Iterable[str], parts: Iterable[str]) -> Names:
    parts = tuple(parts)
    return tuple(f"{body} {part}" for body in bodies for part in parts)


_ORIENTATION = tuple(f"torso orientation {part}" for part in "wxyz")
_FREE_RATES = (
    *(f"torso {axis} velocity" for axis in "xyz"),
    *(f"torso {axis} angular velocity" for axis in "xyz"),
)
_CHEETAH = ("back thigh", "back shin", "back foot", "front thigh", "front shin", "front foot")
_LEG = ("thigh", "leg", "foot")
_BOTH_LEGS = (*_LEG, *(f"left {part}" for part in _LEG))
_ANT = tuple(
    f"{leg} {joint}"
    for leg in ("front left", "front right", "back left", "back right")
    for joint in ("hip", "ankle")
)
_ANT_BODIES = (
    "torso",
    *(
        f"{leg} {part}"
        for leg in ("front left", "front right", "back left", "back right")
        for part in ("leg", "upper leg", "ankle")
    ),
)
_SIDES = ("right", "left")
_HUMANOID = (
    "abdomen z",
    "abdomen y",
    "abdomen x",
    *_of_bodies(_SIDES, ("hip x", "hip z", "hip y", "knee")),
    *_of_bodies(_SIDES, ("shoulder 1", "shoulder 2", "elbow")),
)
_HUMANOID_BODIES = (
    "torso",
    "lower waist",
    "pelvis",
    *_of_bodies(_SIDES, ("thigh", "shin", "foot")),
    *_of_bodies(_SIDES, ("upper arm", "lower arm")),
)
# as MuJoCo orders its spatial vectors: rotation first
_FORCE = (*(f"torque {axis}" for axis in "xyz"), *(f"force {axis}" for axis in "xyz"))
_MOTION = (
    *(f"body angular velocity {axis}" for axis in "xyz"),
    *(f"body velocity {axis}" for axis in "xyz"),
)
_INERTIA = tuple(f"inertia {i}" for i in range(10))
_ARM = (
    "shoulder pan", "shoulder lift", "upper arm roll", "elbow flex", "forearm roll", "wrist flex",
    "wrist roll",
)  # fmt: skip

_HUMANOID_MOVES = (
    "height", *_ORIENTATION, *_angles(_HUMANOID), *_FREE_RATES, *_rates(_HUMANOID),
)  # fmt: skip
_ANT_MOVES = ("height", *_ORIENTATION, *_angles(_ANT), *_FREE_RATES, *_rates(_ANT))


def _add_humanoid(bodies: Names, roots: Names) -> Names:
    """All features of a humanoid, of the bodies and actuated joints that a version has."""
    return (
        *_HUMANOID_MOVES,
        *_of_bodies(bodies, _INERTIA),
        *_of_bodies(bodies, _MOTION),
        *(f"{joint} actuator force" for joint in (*roots, *_HUMANOID)),
        *_of_bodies(bodies, _FORCE),
    )


_FULL_HUMANOID = (
    _HUMANOID_MOVES,
    _add_humanoid(_HUMANOID_BODIES, ()),  # v5
    _add_humanoid(
        ("world", *_HUMANOID_BODIES),
        tuple(f"root {kind} {axis}" for kind in ("slide", "turn") for axis in "xyz"),
    ),  # v4 and before
)

#: lists of names by environment, without its version
FEATURES: dict[str, tuple[Names, ...]] = {
    "InvertedPendulum": (
        ("cart position", "pole angle", "cart velocity", "pole angular velocity"),
    ),
    "InvertedDoublePendulum": tuple(
        (
            "cart position",
            "sin(first pole angle)",
            "sin(second pole angle)",
            "cos(first pole angle)",
            "cos(second pole angle)",
            "cart velocity",
            *_rates(("first pole", "second pole")),
            *(f"constraint force {axis}" for axis in axes),
        )
        for axes in ("x", "xyz")
    ),
    "Reacher": tuple(
        (
            *(f"cos({arm} arm angle)" for arm in ("first", "second")),
            *(f"sin({arm} arm angle)" for arm in ("first", "second")),
            "target x",
            "target y",
            *_rates(("first arm", "second arm")),
            *(f"fingertip to target {axis}" for axis in axes),
        )
        for axes in ("xy", "xyz")
    ),
    "Pusher": (
        (
            *_angles(_ARM),
            *_rates(_ARM),
            *_of_bodies(("fingertip", "object", "goal"), "xyz"),
        ),
    ),
    "Swimmer": (
        (
            *_angles(("front tip", "first rotor", "second rotor")),
            "x velocity",
            "y velocity",
            *_rates(("front tip", "first rotor", "second rotor")),
        ),
    ),
    "HalfCheetah": (
        (
            "front tip height",
            *_angles(("front tip", *_CHEETAH)),
            "x velocity",
            "z velocity",
            *_rates(("front tip", *_CHEETAH)),
        ),
    ),
    "Hopper": (
        (
            "height",
            *_angles(("torso", *_LEG)),
            "x velocity",
            "z velocity",
            *_rates(("torso", *_LEG)),
        ),
    ),
    "Walker2d": (
        (
            "height",
            *_angles(("torso", *_BOTH_LEGS)),
            "x velocity",
            "z velocity",
            *_rates(("torso", *_BOTH_LEGS)),
        ),
    ),
    "Ant": (
        _ANT_MOVES,
        (*_ANT_MOVES, *_of_bodies(_ANT_BODIES, _FORCE)),  # v5
        (*_ANT_MOVES, *_of_bodies(("world", *_ANT_BODIES), _FORCE)),  # v4 with contact forces
    ),
    "Humanoid": _FULL_HUMANOID,
    "HumanoidStandup": _FULL_HUMANOID,
}  # fmt: skip
#: positions along the ground, which stand first where they are not left out
GROUND: dict[str, Names] = {
    "Swimmer": ("x", "y"),
    "HalfCheetah": ("x",),
    "Hopper": ("x",),
    "Walker2d": ("x",),
    "Ant": ("x", "y"),
    "Humanoid": ("x", "y"),
    "HumanoidStandup": ("x", "y"),
}


def list_variants(name: str) -> Iterator[Names]:
    """Lists of names that an environment's observation may have, which differ in their length.

    :param name: the environment's name without its version
    """
    for names in FEATURES.get(name, ()):
        yield names
        if name in GROUND:
            yield (*GROUND[name], *names)
