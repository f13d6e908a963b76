"""highway-env: names of the kinematic features of the vehicles, one vehicle a row."""

from __future__ import annotations

import math

from sb3_explain.envs.recipe import EnvRecipe

#: environments whose observation is kinematic unless their configuration says otherwise
KINEMATIC = frozenset(
    (
        "exit",
        "highway",
        "highway-fast",
        "intersection",
        "intersection-multi-agent",
        "merge",
        "roundabout",
        "merge-generic",
        "roundabout-generic",
    )
)
#: features that the environments' own configurations have, by their number
USUAL: dict[int, tuple[str, ...]] = {
    5: ("presence", "x", "y", "vx", "vy"),
    7: ("presence", "x", "y", "vx", "vy", "cos_h", "sin_h"),
}
#: features of each key of the environments in which a vehicle is parked
PARKING = ("x", "y", "vx", "vy", "cos_h", "sin_h")
KINEMATIC_TYPES = ("Kinematics", "ExitObservation")


def count_features(shape: tuple[int, ...]) -> int:
    """Number of features of a matrix of vehicles, or of the vector of one."""
    return math.prod(shape) if 1 <= len(shape) <= 2 else -1


def name_features(
    recipe: EnvRecipe, name: str, key: str, shape: tuple[int, ...]
) -> tuple[str, ...]:
    """Names of the features, such as ``"vehicle 2 vx"``; empty where they are not known.

    The first row is the agent's own vehicle, ``"ego"``.

    :param recipe: how the environment is made; its configuration may name the features
    :param name: the environment's name without its version
    :param key: key of the observation
    :param shape: (V, F) features of V vehicles, or (F,) of one
    """
    config = recipe.env_kwargs.get("config")
    observed = config.get("observation") if isinstance(config, dict) else None
    observed = observed if isinstance(observed, dict) else {}
    if key:
        usual = PARKING if name.startswith("parking") else ()
        features = tuple(map(str, observed.get("features") or usual))
        return features if len(features) == shape[-1] else ()
    if name not in KINEMATIC or observed.get("type", "Kinematics") not in KINEMATIC_TYPES:
        return ()
    if len(shape) != 2:
        return ()
    n_vehicles, n_features = shape
    features = tuple(map(str, observed.get("features") or USUAL.get(n_features, ())))
    if len(features) != n_features:
        return ()
    vehicles = ["ego", *(f"vehicle {i}" for i in range(1, n_vehicles))]
    return tuple(f"{vehicle} {feature}" for vehicle in vehicles for feature in features)
