"""Explain a driver: highway-env in grey pictures of 128 x 64 cells, four stacked, a DQN of SB3.

    pip install 'sb3-explain[highway]'
    python examples/highway.py -o highway-output
    python examples/highway.py --agent dqn.zip -o highway-output

An agent of your own must see what ``RECIPE`` shows it. highway-env's pictures run along the road on
their first axis: in all pictures here the road goes down, and the left lane is on the left.
"""

from paper import MEASURED, Size, add_agent_options, options_of, print_beside, trained_agent
from stable_baselines3 import DQN

from sb3_explain import EnvRecipe, explain, load_agent

#: cells along and across the road, and metres a cell
PIXELS, METRES = (128, 64), 1 / 1.75
#: pixels a cell in the frames for people
ZOOM = 4

RECIPE = EnvRecipe(
    "highway-fast-v0",
    {
        "config": {
            "observation": {
                "type": "GrayscaleObservation",
                "observation_shape": PIXELS,
                "stack_size": 1,  # the recipe stacks: so each frame is kept once
                "weights": [0.2989, 0.5870, 0.1140],
                "scaling": 1 / METRES,
            },
            # the same part of the road for people as for the agent
            "screen_width": ZOOM * PIXELS[0],
            "screen_height": ZOOM * PIXELS[1],
            "scaling": ZOOM / METRES,
        }
    },
    wrappers=(("sb3_explain.envs.wrappers.TransposedPicture", {}),),
    frame_stack=4,
)
TRAINING = {
    "policy": "CnnPolicy",
    "n_envs": 4,
    "learning_rate": 5e-4,
    "gamma": 0.8,
    "batch_size": 32,
    "buffer_size": 10_000,
    "optimize_memory_usage": True,
    "replay_buffer_kwargs": {"handle_timeout_termination": False},
    "learning_starts": 200,
    "train_freq": 1,
    "gradient_steps": 2,
    "target_update_interval": 200,
    "exploration_fraction": 0.6,
}
FULL = Size(timesteps=12_000, states=4_000, epochs=8, evaluated=300)
SMALL = Size(timesteps=208, states=100, epochs=1, evaluated=4, refine_steps=2, shown=24)


def main() -> None:
    parser = options_of(__doc__, "highway-output")
    add_agent_options(parser, "dqn")
    parser.add_argument("--temperature", type=float, default=0.05, help="of VisionMask's loss")
    options = parser.parse_args()
    size = SMALL if options.small else FULL

    path = options.agent or trained_agent(
        DQN, RECIPE, options.output / f"dqn_{size.timesteps}_steps.zip", size.timesteps,
        seed=options.seed, **TRAINING,
    )  # fmt: skip
    agent = load_agent(options.algo, None, folder=path, recipe=RECIPE)
    evaluation = explain(
        agent,
        options.output,
        n_states=size.states,
        n_evaluated=size.evaluated,
        n_shown=size.shown,
        # Q-values of neighbouring actions differ little; see the docs on VisionMask's temperature
        explainer_kwargs={
            "temperature": options.temperature,
            "refine_steps": size.refine_steps,
        },
        fit_kwargs={"epochs": size.epochs},
        metrics=MEASURED,
        seed=options.seed,
    )
    print_beside("Highway", evaluation, RECIPE.env_id)
    print(f"open {options.output / 'report.html'}")


if __name__ == "__main__":
    main()
