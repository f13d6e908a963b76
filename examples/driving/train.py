"""Train the two drivers of the study: A2C among reasonable and among distracted pedestrians.

    python examples/driving/train.py -o driving-output

An agent that stands in the folder already is not trained again.
"""

import argparse
from pathlib import Path
from typing import Any

from deployment import (
    COUNTS,
    constant,
    drive,
    greedy,
    mean_return,
    per_kilometre,
    recipe_of,
    streets,
)
from environment import MODES
from stable_baselines3 import A2C
from stable_baselines3.common.utils import LinearSchedule
from tqdm import tqdm

from sb3_explain import Agent, load_agent

N_ENVS = 16
TIMESTEPS = {"reasonable": 300_000, "distracted": 600_000}
TRAINING: dict[str, Any] = {
    "policy": "CnnPolicy",
    "policy_kwargs": {"features_extractor_kwargs": {"features_dim": 128}},
    "n_steps": 8,
    "learning_rate": LinearSchedule(7e-4, 0.0, end_fraction=1.0),
    "gamma": 0.95,
    "gae_lambda": 0.95,
    "ent_coef": 0.005,
    "vf_coef": 0.5,
}


def trained_driver(mode: str, folder: Path, timesteps: int, seed: int) -> Agent:
    """The driver in ``folder``, trained and saved there if it is not yet.

    :param mode: of the pedestrians
    :param folder: of the agents
    :param timesteps: of all environments together
    :param seed: of the network and the streets
    """
    path = folder / f"a2c_{mode}_{timesteps}_steps.zip"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        model = A2C(env=streets(mode, N_ENVS), seed=seed, device="cpu", **TRAINING)
        with tqdm(desc=f"training, {mode}", total=timesteps, unit="steps") as bar:

            def advance(*_: Any) -> bool:
                bar.update(N_ENVS)
                return True

            model.learn(timesteps, callback=advance)
        model.save(temporary := path.with_suffix(".tmp.zip"))
        temporary.replace(path)
    return load_agent("a2c", None, folder=path, recipe=recipe_of(mode))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, default=Path("driving-output"))
    parser.add_argument("--episodes", type=int, default=100, help="that each is measured on")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    for mode in MODES:
        agent = trained_driver(mode, options.output, TIMESTEPS[mode], options.seed)
        drivers = {
            "A2C": greedy(agent),
            "full speed": constant("accelerate"),
            "standing": constant("brake"),
        }
        print(f"{mode} pedestrians: return, and per km {', '.join(COUNTS)}")
        for name, driver in drivers.items():
            driven = drive(driver, mode, options.episodes, seed=10_000)
            rates = "  ".join(f"{per_kilometre(driven, count).mean:6.2f}" for count in COUNTS)
            print(f"  {name:12}{mean_return(driven).mean:8.2f}  {rates}")


if __name__ == "__main__":
    main()
