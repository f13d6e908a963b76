"""What the scripts of the VisionMask paper's environments share; not a script itself.

Zuo et al. (2025) explain experts that were trained for days. Where none is at hand, a script trains
a small agent with stable-baselines3, says so, and prints the paper's row beside its own all the
same: the two then show the same measurements of different agents.
"""

import argparse
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import DummyVecEnv, VecFrameStack, VecNormalize
from tqdm import tqdm

from sb3_explain import EnvRecipe, Evaluation, StateDataset

METRICS = ("accuracy", "deletion", "insertion", "local_lipschitz", "sparseness")
#: Zuo et al. (2025), table 1: VisionMask's row in each environment, in %, in the order of METRICS
PAPER = {
    "SuperMarioBros": (95.9, 20.4, 67.6, 38.0, 82.3),
    "Enduro": (98.7, 32.9, 41.2, 0.5, 80.0),
    "Seaquest": (99.6, 6.4, 34.3, 0.9, 97.6),
    "MsPacman": (98.7, 17.0, 62.8, 0.2, 89.5),
    "VizDoom": (87.8, 14.2, 18.1, 3.89, 47.8),
    "Highway": (98.1, 19.8, 25.8, 1.14, 84.8),
}
#: metrics that the paper does not have, and their units
OURS = {
    "policy_preservation": "nats",
    "specificity": "%",
    "policy_specificity": "nats",
}


#: what the examples measure; `explain` leaves the local Lipschitz estimate out unless it is named
MEASURED = [*METRICS, "accuracy@0.1", "mask_area", "forced_action", *OURS]


class Size(NamedTuple):
    """How much a script does.

    :param timesteps: that a small agent is trained for
    :param states: collected
    :param epochs: that the masks are trained for, at most
    :param evaluated: test states that are measured on
    :param refine_steps: by which a mask is fitted to the very state that is explained
    :param shown: steps that the page plays, at most
    """

    timesteps: int
    states: int
    epochs: int
    evaluated: int
    refine_steps: int = 20
    shown: int | None = None


def options_of(doc: str, output: str) -> argparse.ArgumentParser:
    """The options that all scripts have."""
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, default=Path(output))
    parser.add_argument("--small", action="store_true", help="a first look, in less than a minute")
    parser.add_argument("--seed", type=int, default=0)
    return parser


def add_agent_options(parser: argparse.ArgumentParser, algo: str) -> None:
    """Which agent to explain, for environments of which the zoo has none."""
    parser.add_argument(
        "--agent", type=Path, metavar="ZIP",
        help="that model.save of stable-baselines3 wrote; a small one is trained without it",
    )  # fmt: skip
    parser.add_argument("--algo", default=algo, help="of the agent in ZIP")


def trained_agent(
    algorithm: type[BaseAlgorithm],
    recipe: EnvRecipe,
    path: Path,
    timesteps: int,
    *,
    n_envs: int,
    seed: int,
    normalize_reward: bool = False,
    **settings: Any,
) -> Path:
    """The agent in ``path``, trained and saved there if it is not yet.

    :param algorithm: of stable-baselines3
    :param recipe: of the environment
    :param timesteps: of all environments together
    :param normalize_reward: divide rewards by their running standard deviation in training
    :param settings: further arguments of the algorithm
    """
    if path.exists():
        return path
    envs = DummyVecEnv([recipe.make] * n_envs)
    if normalize_reward:
        envs = VecNormalize(envs, norm_obs=False, gamma=settings["gamma"])
    model = algorithm(env=VecFrameStack(envs, recipe.frame_stack), seed=seed, **settings)
    with tqdm(desc="training", total=timesteps, unit="steps") as bar:

        def advance(*_: Any) -> bool:
            bar.update(n_envs)
            return True

        model.learn(timesteps, callback=advance)
    envs.close()
    path.parent.mkdir(parents=True, exist_ok=True)
    model.save(temporary := path.with_suffix(".tmp.zip"))
    temporary.replace(path)
    returns = [episode["r"] for episode in model.ep_info_buffer or []]
    last = f"mean return {np.mean(returns):.1f}" if returns else "no episode ended"
    print(
        f"no agent was given: trained a small {algorithm.__name__} on {recipe.env_id} for "
        f"{timesteps} steps ({last}). It is no expert."
    )
    return path


def describe_parts(parts: tuple[StateDataset, ...]) -> str:
    """What a split into training, validation and test states has come to, in a line."""
    train, validation, test = (
        f"{len(part)} of {len(np.unique(part.episode))} episode(s)" for part in parts
    )
    left_out = " + ".join(str(part.n_duplicates) for part in parts[1:])
    return (
        f"states to learn from: {train}; to decide when to stop: {validation}; to test on: {test}; "
        f"left out of these two, since training states show them: {left_out}"
    )


def print_beside(paper: str | None, evaluation: Evaluation, what: str) -> None:
    """VisionMask's row of the evaluation beside the paper's, in %.

    :param paper: name of the paper's environment, if it is one of them
    :param evaluation: with a row of VisionMask
    :param what: what was measured here
    """
    intervals, states = evaluation.rows["visionmask"].intervals, evaluation.states
    print(f"{what + ', %':41}ours{'paper' if paper else '':>23}")
    theirs = dict(zip(METRICS, PAPER[paper], strict=True)) if paper else {}
    for metric in (*METRICS, *(name for name in OURS if name in intervals)):
        in_nats = OURS.get(metric) == "nats"
        scale, digits = (1, 2) if in_nats else (100, 1)
        mean, low, high = (scale * figure for figure in intervals[metric][:3])
        interval = f"({low:.{digits}f} to {high:.{digits}f})" if np.isfinite(low) else ""
        name = f"{metric}, nats" if in_nats else metric
        print(f"{name:26}{mean:19.{digits}f} {interval:15}{theirs.get(metric, ''):>7}")
    print(
        f"ours: {states['n']} states of {states['episodes']} episode(s) that training never saw, "
        f"without {states['duplicates_left_out']} that training states show; the full insertion "
        "and deletion range"
    )
    print(f"the agent's own mean probability of its actions: {100 * states['own_probability']:.1f}")
    if states["note"]:
        print(states["note"])
    if paper:
        print("paper: its own agent and states, masks of the native size, a part of the range")
