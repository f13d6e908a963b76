"""Explain any Atari agent in the zoo's layout, masked on its playfield where that is known.

    python examples/atari.py --algo ppo --env EnduroNoFrameskip-v4 -f logs -o enduro
    python examples/atari.py --algo ppo --env EnduroNoFrameskip-v4 --organization sb3 -o enduro

The second command downloads the agent from the Hub. Without ``-f`` and ``--organization`` a small
agent is trained, which plays hardly better than by chance.
"""

import argparse

from paper import MEASURED, PAPER, Size, describe_parts, options_of, print_beside, trained_agent
from stable_baselines3 import PPO

from sb3_explain import (
    Agent,
    AtariPreprocessing,
    EnvRecipe,
    ExplainError,
    agreement,
    collect,
    load_agent,
    native_agent,
    native_states,
    playfield,
    scale_box,
    split_states,
)
from sb3_explain.workflows.pipeline import evaluate_to, fit_visionmask, write_all

#: (height, width) of the frames that the Arcade Learning Environment renders
NATIVE = (210, 160)
TRAINING = {
    "policy": "CnnPolicy",
    "n_envs": 8,
    "n_steps": 128,
    "batch_size": 256,
    "n_epochs": 4,
    "learning_rate": 2.5e-4,
    "clip_range": 0.1,
    "ent_coef": 0.01,
    "gamma": 0.99,
}
FULL = Size(timesteps=100_000, states=10_000, epochs=8, evaluated=300)
SMALL = Size(timesteps=1024, states=120, epochs=1, evaluated=4, refine_steps=2)


def content_of(asked: str, env_id: str, agent: Agent) -> tuple[int, int, int, int] | None:
    """(top, left, height, width) in cells of the agent's observation; ``None`` for all of it.

    :param asked: ``"auto"`` for the known playfield, ``"all"``, or four numbers in cells
    :param agent: on its own observations or on rendered frames
    """
    if asked == "all":
        return None
    if asked == "auto":
        box = playfield(env_id)
        if box is None:
            print(f"the playfield of {env_id} is not known: all of the picture is masked")
            return None
        height, width = agent.observation_space.shape[-2:]
        return scale_box(box, NATIVE, (height, width))
    try:
        top, left, height, width = map(int, asked.split(","))
    except ValueError as error:
        raise ExplainError(f"--content {asked}: give auto, all or TOP,LEFT,HEIGHT,WIDTH") from error
    return top, left, height, width


def agent_of(options: argparse.Namespace, timesteps: int) -> Agent:
    """The agent from the zoo's folder, from the Hub, or a small one of our own."""
    if options.organization:
        return load_agent(options.algo, options.env, organization=options.organization)
    if options.folder:
        return load_agent(options.algo, options.env, folder=options.folder, exp_id=options.exp_id)
    recipe = EnvRecipe(
        options.env,
        wrappers=(("stable_baselines3.common.atari_wrappers.AtariWrapper", {}),),
        frame_stack=4,
    )
    path = trained_agent(
        PPO, recipe, options.output / f"ppo_{timesteps}_steps.zip", timesteps,
        seed=options.seed, **TRAINING,
    )  # fmt: skip
    return load_agent("ppo", None, folder=path, recipe=recipe)


def main() -> None:
    parser = options_of(__doc__, "atari-output")
    parser.add_argument("--algo", default="ppo")
    parser.add_argument("--env", default="EnduroNoFrameskip-v4")
    parser.add_argument("-f", "--folder", help="of the zoo's agents")
    parser.add_argument("--exp-id", type=int, default=0)
    parser.add_argument("-orga", "--organization", help="of the Hub, to download the agent from")
    parser.add_argument(
        "--content", default="auto", metavar="BOX",
        help="what is masked: auto (the playfield, where known), all, or TOP,LEFT,HEIGHT,WIDTH in "
        "cells of what the masks are on",
    )  # fmt: skip
    parser.add_argument(
        "--native", action="store_true",
        help="masks on the rendered 210 x 160 RGB frames, as in the paper: for a GPU or few states",
    )  # fmt: skip
    options = parser.parse_args()
    size = SMALL if options.small else FULL

    agent = agent_of(options, size.timesteps)
    states = collect(
        agent, n_states=size.states, folder=options.output / "states", seed=options.seed,
        max_per_episode=20 if options.small else None,
    )  # fmt: skip
    if options.native:
        preprocessing = AtariPreprocessing(agent.observation_space.shape[-2:])
        same = agreement(agent, states, preprocessing)
        print(f"on rendered frames the agent takes the same action in {same:.1%} of the states")
        agent = native_agent(agent, preprocessing, NATIVE)
        states = native_states(agent, states)
    content = content_of(options.content, options.env, agent)
    print(f"masked, in cells (top, left, height, width): {content or 'all'}")
    train, _, test = parts = split_states(states, options.seed)
    print(describe_parts(parts))
    explainer = fit_visionmask(
        agent, states, options.output / "visionmask",
        explainer_kwargs={"content": content, "refine_steps": size.refine_steps},
        fit_kwargs={"epochs": size.epochs}, seed=options.seed,
    )  # fmt: skip
    evaluation = evaluate_to(
        options.output,
        train,
        test,
        {explainer.name: explainer},
        MEASURED,
        n_evaluated=size.evaluated,
        seed=options.seed,
    )
    write_all(options.output, test, {explainer.name: explainer})
    row = next((game for game in PAPER if playfield(options.env) and game in options.env), None)
    print_beside(row, evaluation, options.env)
    print(f"open {options.output / 'report.html'}")


if __name__ == "__main__":
    main()
