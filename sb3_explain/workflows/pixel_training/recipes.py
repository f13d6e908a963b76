"""The algorithms of the benchmark, with the settings of their papers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sb3_explain.common.errors import unknown_name
from sb3_explain.common.signatures import argument_names
from sb3_explain.sgqn import RAD, SGQN, SODA, SVEA, DrQ, PixelSAC


class Recipe(NamedTuple):
    """An algorithm with the settings of its paper.

    :param algorithm: class of the algorithm
    :param policy: name of the policy
    :param settings: arguments of the algorithm
    :param size: height and width of the environment's frames, in pixels
    """

    algorithm: type[PixelSAC]
    policy: str
    settings: dict[str, Any]
    size: int = 84


#: recipes by the name of the algorithm
RECIPES = {
    "sac": Recipe(PixelSAC, "PixelPolicy", {}),
    "drq": Recipe(DrQ, "PixelPolicy", {}),
    "rad": Recipe(RAD, "PixelPolicy", {}, 100),
    "soda": Recipe(SODA, "SODAPolicy", {}, 100),
    "svea": Recipe(SVEA, "PixelPolicy", {}),
    "svea_soda": Recipe(SODA, "SODAPolicy", {"augmented_loss_weight": 0.5}, 100),
    "sac_consistency": Recipe(SGQN, "SGQNPolicy", {"n_aux": 0}),
    "sac_saliency": Recipe(SGQN, "SGQNPolicy", {"consistency_coef": 0.0}),
    "sgqn": Recipe(SGQN, "SGQNPolicy", {}),
}


#: rho of Bertoin et al. (2022), table 4, where it is not 0.95
QUANTILES = {"cartpole_swingup": 0.98, "ball_in_cup_catch": 0.98}


def get_quantile(task: str) -> float:
    """Return the paper's quantile rho for a task."""
    return QUANTILES.get(task, 0.95)


def get_recipe(name: str) -> Recipe:
    """Return the recipe of an algorithm.

    :raises ExplainError: for an unknown name; the nearest is suggested
    """
    if name not in RECIPES:
        raise unknown_name("algorithm", name, RECIPES)
    return RECIPES[name]


def list_settings(algo: str) -> tuple[set[str], set[str]]:
    """Return the names of an algorithm's settings, and of those of its networks."""
    algorithm, policy, *_ = get_recipe(algo)
    return argument_names(algorithm), argument_names(algorithm.policy_aliases[policy])


def require_known(settings: Mapping[str, Any], algos: Sequence[str]) -> None:
    """Check that each setting is known to one of these algorithms, or to its networks.

    :raises ExplainError: for an unknown setting; the nearest is suggested
    """
    known, networks = set[str](), set[str]()
    for algo in algos:
        of_algorithm, of_networks = list_settings(algo)
        known |= of_algorithm
        networks |= of_networks
    known -= {"policy", "env", "seed", "replay_buffer_kwargs"}
    for name in settings:
        if name not in known or name.startswith("_"):
            raise unknown_name("setting", name, {k for k in known if k[0] != "_"})
    for name in settings.get("policy_kwargs", {}):
        if name not in networks:
            raise unknown_name("setting of the networks", name, networks)


def select_settings(settings: Mapping[str, Any], algo: str) -> dict[str, Any]:
    """Select, of settings for several algorithms, those that this one knows."""
    known, networks = list_settings(algo)
    own = {name: value for name, value in settings.items() if name in known}
    if "policy_kwargs" in own:
        own["policy_kwargs"] = {n: v for n, v in own["policy_kwargs"].items() if n in networks}
    return own
