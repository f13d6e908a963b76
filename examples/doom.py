"""Explain a marine: ViZDoom's gymnasium environments, a Dict of the screen and game variables.

    pip install 'sb3-explain[vizdoom]'
    python examples/doom.py -o vizdoom-output
    python examples/doom.py --agent dqn.zip --algo dqn --env VizdoomDeadlyCorridor-v1 -o corridor

The agent sees the screen, averaged over blocks of 4 x 4 pixels to 60 x 80 cells, and the game
variables (ammunition, health) as they are. VisionMask gives a mask for each of the two. The paper
explains a DQN of seven actions on a scenario that it does not name; the small agent here is a PPO.

(A script called ``vizdoom.py`` would stand in the way of the package of that name.)
"""

import os

from paper import MEASURED, Size, add_agent_options, options_of, print_beside, trained_agent
from stable_baselines3 import PPO

from sb3_explain import EnvRecipe, explain, load_agent

TRAINING = {
    "policy": "MultiInputPolicy",
    "n_envs": 8,
    "n_steps": 64,
    "batch_size": 128,
    "n_epochs": 4,
    "learning_rate": 3e-4,
    "gamma": 0.95,
    "ent_coef": 0.01,
    "normalize_reward": True,  # a kill is worth a hundred, which no value network likes
}
FULL = Size(timesteps=50_000, states=6_000, epochs=8, evaluated=300)
SMALL = Size(timesteps=512, states=400, epochs=1, evaluated=4, refine_steps=2, shown=24)


def main() -> None:
    parser = options_of(__doc__, "vizdoom-output")
    add_agent_options(parser, "ppo")
    parser.add_argument("--env", default="VizdoomBasic-v1", help="with a Discrete action space")
    parser.add_argument("--frame-stack", type=int, default=1)
    options = parser.parse_args()
    size = SMALL if options.small else FULL
    output = options.output.resolve()
    given = options.agent.resolve() if options.agent else None
    # ViZDoom writes its settings into the working directory.
    output.mkdir(parents=True, exist_ok=True)
    os.chdir(output)

    recipe = EnvRecipe(
        options.env,
        {"frame_skip": 4},
        wrappers=(("sb3_explain.envs.wrappers.PooledScreen", {"factor": 4}),),
        frame_stack=options.frame_stack,
    )
    path = given or trained_agent(
        PPO, recipe, output / f"ppo_{size.timesteps}_steps.zip", size.timesteps,
        seed=options.seed, **TRAINING,
    )  # fmt: skip
    agent = load_agent(options.algo, None, folder=path, recipe=recipe)
    evaluation = explain(
        agent,
        output,
        n_states=size.states,
        n_evaluated=size.evaluated,
        n_shown=size.shown,
        # a greedy marine who never dies shows little; sampled actions lead to more of the room
        collect_kwargs={"behavior": "epsilon" if agent.view.value_based else "stochastic"},
        explainer_kwargs={"refine_steps": size.refine_steps},
        fit_kwargs={"epochs": size.epochs},
        metrics=MEASURED,
        seed=options.seed,
    )
    print_beside("VizDoom", evaluation, options.env)
    print(f"open {output / 'report.html'}")


if __name__ == "__main__":
    main()
