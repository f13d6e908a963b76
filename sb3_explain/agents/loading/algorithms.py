"""Which algorithm trained a saved model, and the class of its policy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sb3_contrib import ARS, QRDQN, TQC, TRPO, CrossQ, MaskablePPO, RecurrentPPO
from stable_baselines3 import A2C, DDPG, DQN, PPO, SAC, TD3
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.policies import BasePolicy

from sb3_explain.agents.loading.archive import ModelArchive
from sb3_explain.common.errors import ExplainError, unknown_name
from sb3_explain.common.untrusted import quote
from sb3_explain.sgqn import RAD, SGQN, SODA, SVEA, DrQ, PixelSAC

#: classes by the zoo's names; MaskablePPO and this package's own are not in the zoo
ALGORITHMS: dict[str, type[BaseAlgorithm]] = {
    "a2c": A2C, "ars": ARS, "crossq": CrossQ, "ddpg": DDPG, "dqn": DQN, "drq": DrQ,
    "maskable_ppo": MaskablePPO, "pixelsac": PixelSAC, "ppo": PPO, "ppo_lstm": RecurrentPPO,
    "qrdqn": QRDQN, "rad": RAD, "sac": SAC, "sgqn": SGQN, "soda": SODA, "svea": SVEA, "td3": TD3,
    "tqc": TQC, "trpo": TRPO,
}  # fmt: skip
#: the zoo's name of agents that SAC or TQC trained with hindsight experience replay
HER = "her"

#: packages whose policies may be built
KNOWN_PACKAGES = ("stable_baselines3", "sb3_contrib", "sb3_explain")
#: settings in ``data`` that one algorithm alone has, of those whose policies are of one class
SETTINGS = {"clip_range": "ppo", "cg_max_steps": "trpo"}


def find_algorithm(algo: str | type[BaseAlgorithm]) -> str:
    """The zoo's name of an algorithm.

    >>> find_algorithm("RecurrentPPO"), find_algorithm("recurrent_ppo"), find_algorithm(PPO)
    ('ppo_lstm', 'ppo_lstm', 'ppo')

    :param algo: the zoo's name or the class's, in any case, or the class itself; of a class of
        one's own the nearest base that is known
    :raises ExplainError: if there is no such algorithm; the nearest name is suggested
    """
    if isinstance(algo, type) and issubclass(algo, BaseAlgorithm):
        names = {known: name for name, known in ALGORITHMS.items()}
        for base in algo.__mro__:
            if base in names:
                return names[base]
        raise ExplainError(
            f"{algo.__name__} derives from no known algorithm ({', '.join(ALGORITHMS)}): give the "
            "name of one whose policies it has"
        )
    if not isinstance(algo, str):
        raise ExplainError(
            f"algo is a name or a class of algorithms, not {quote(algo)} "
            f"(known: {', '.join([*ALGORITHMS, HER])})"
        )
    names_of_classes = {known.__name__.lower(): name for name, known in ALGORITHMS.items()}
    by_name = names_of_classes | {name.replace("_", ""): name for name in [*ALGORITHMS, HER]}
    name = by_name.get(algo.strip().lower().replace("-", "").replace("_", ""))
    if name is None:
        raise unknown_name("algorithm", algo, [*ALGORITHMS, HER])
    return name


def find_trainer(archive: ModelArchive, args: Mapping[str, Any]) -> str:
    """The algorithm that trained an agent with hindsight experience replay.

    :param archive: content of the model's zip, whose policy class names the algorithm
    :param args: content of ``args.yml``, which is read first
    """
    named = args.get("algo")
    if isinstance(named, str) and named in ALGORITHMS:
        return named
    package = archive.policy_module.split(".")[1:2]
    return package[0] if package and package[0] in ALGORITHMS else "sac"


def find_class(algo: str, alias: object, archive: ModelArchive) -> type[BasePolicy]:
    """The class of the policy.

    :param algo: name of the algorithm in the zoo
    :param alias: ``policy`` in ``config.yml``, for example ``"MlpPolicy"``; ``None`` if not given
    :param archive: content of the model's zip, which decides without an alias
    :raises ExplainError: if the class is of no known package; the error names the class
    """
    module, name = archive.policy_module, archive.policy_name
    if module and module.partition(".")[0] not in KNOWN_PACKAGES:
        full = f"{module}.{name}" if name else f"a class in {module}"
        raise ExplainError(
            f"this model's policy is {quote(full)}, which is code that a file cannot bring: "
            "import it yourself and pass policy_class=..."
        )
    aliases: dict[str, type[BasePolicy]] = ALGORITHMS[algo].policy_aliases
    if alias is not None:
        if not isinstance(alias, str) or alias not in aliases:
            raise ExplainError(
                f"{algo} has no policy {quote(alias)} (known: {', '.join(aliases)}): "
                "if it is your own class, pass policy_class=..."
            )
        return aliases[alias]
    by_class = {policy.__name__: policy for policy in aliases.values()}
    # Aliases differ in the features extractor, which the weights show, and for ARS in the rest.
    return by_class.get(name, next(iter(aliases.values())))


def check_algorithm(
    algo: str, policy_class: type[BasePolicy] | None, archive: ModelArchive
) -> None:
    """Refuse a file that another algorithm wrote.

    Algorithms whose policies are of one class, such as A2C and TRPO, are told apart by settings
    that one of them alone has.

    :param algo: name of the algorithm in the zoo
    :param policy_class: class of the policy, if it is the user's own
    :param archive: content of the model's zip
    :raises ExplainError: if the policy is not one of the algorithm's; the error names the right one
    """
    writers = [
        name
        for name, algorithm in ALGORITHMS.items()
        if archive.policy_module in _list_modules(algorithm)
    ]
    if not writers and policy_class is not None:
        writers = _find_owners(policy_class)
    for setting, name in SETTINGS.items():
        if setting in archive.data and name in writers:
            writers = [name]
    if writers and algo not in writers:
        raise ExplainError(
            f"this file is not of {algo}, but of {' or '.join(writers)}: load it as "
            f"{' or '.join(map(repr, writers))}"
        )


def _list_modules(algorithm: type[BaseAlgorithm]) -> set[str]:
    return {policy.__module__ for policy in algorithm.policy_aliases.values()}


def _find_owners(policy_class: type[BasePolicy]) -> list[str]:
    """The algorithms from whose policies a class derives; those of the nearest base."""
    for base in policy_class.__mro__:
        owners = [n for n, a in ALGORITHMS.items() if base in a.policy_aliases.values()]
        if owners:
            return owners
    return []
