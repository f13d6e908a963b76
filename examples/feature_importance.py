"""Which features matter to an agent that lands on the moon: three methods, one figure.

    python examples/feature_importance.py --folder rl-trained-agents -o lunar-lander

FOLDER holds ``ppo/LunarLander-v2_1`` of github.com/DLR-RM/rl-trained-agents; no file of it is run
or unpickled. Needs the extra ``box2d``.
"""

import argparse
from pathlib import Path

import numpy as np

from sb3_explain import collect, load_agent, make_explainer
from sb3_explain.report import feature_importance, importance_figure, rank_correlations, save

FEATURES = [
    "x", "height", "x speed", "y speed", "angle", "angular speed", "left leg down",
    "right leg down",
]  # fmt: skip
METHODS = ("integrated_gradients", "kernel_shap", "feature_ablation")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-f", "--folder", type=Path, required=True)
    parser.add_argument("-o", "--output", type=Path, default=Path("lunar-lander"))
    parser.add_argument("-n", "--n-states", type=int, default=20_000, help="states to play")
    parser.add_argument("--n-explained", type=int, default=1000, help="states to explain")
    parser.add_argument("--baseline", default="mean", help="what a removed feature becomes")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    agent = load_agent("ppo", "LunarLander-v2", folder=options.folder)
    states = collect(
        agent, n_states=options.n_states, folder=options.output / "states", seed=options.seed,
        max_per_episode=0, render=False,
    )  # fmt: skip
    n_explained = min(options.n_explained, len(states))
    rng = np.random.default_rng(options.seed)
    sample = np.sort(rng.choice(len(states), n_explained, replace=False))
    observations, episodes = states.observations(sample), states.episode[sample]

    importances = {}
    for name in METHODS:
        explainer = make_explainer(name, agent, states, baseline=options.baseline)
        attributions = explainer.attribute_all(observations).numpy()
        importances[name] = feature_importance(attributions, episodes, seed=options.seed)
    save(
        options.output / "importance.png",
        importance_figure(importances, FEATURES, agent.target_names),
    )

    print(f"{n_explained} states of {len(np.unique(episodes))} episodes")
    print("the most important feature:")
    for i, action in enumerate(agent.target_names):
        best = [FEATURES[importances[name].mean[i].argmax()] for name in METHODS]
        print(f"    {action:14} {', '.join(dict.fromkeys(best))}")
    print("rank correlation of the features:")
    for pair, correlations in rank_correlations(importances).items():
        each = ", ".join(
            f"{action} {value:.2f}"
            for action, value in zip(agent.target_names, correlations, strict=True)
        )
        print(f"    {' and '.join(pair)}: {each}")
    print(f"open {options.output / 'importance.png'}")


if __name__ == "__main__":
    main()
