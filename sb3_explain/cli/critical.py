"""``sb3-explain critical``: the steps in which the agent's own action matters."""

from __future__ import annotations

import argparse

from sb3_explain.cli.flags import add_agent_flags, add_result_flags, load_named_agent
from sb3_explain.cli.outputs import say_end
from sb3_explain.cli.parsing import Commands, not_negative, pick_given, positive, share
from sb3_explain.common.files import write_text
from sb3_explain.workflows.critical_steps import StateMask
from sb3_explain.workflows.critical_steps.stored_states import CRITICAL


def add_commands(commands: Commands) -> None:
    """Add the options of ``critical``."""
    agent = "--algo ppo --env LunarLander-v2 -f rl-trained-agents"
    sub = commands.add("critical", run_critical, f"{agent} -o out --n-timesteps 50000")
    add_agent_flags(sub)
    add_result_flags(sub)
    group = sub.add_argument_group("critical steps")
    group.add_argument(
        "--n-timesteps", type=positive,
        help="number of steps of the mask policy's training (default: 50000)",
    )  # fmt: skip
    group.add_argument(
        "--bonus", type=float,
        help="reward of a random action, as a share of the agent's return of a step (default: 0.5)",
    )  # fmt: skip
    group.add_argument(
        "--share", type=share, help="share of the steps that fidelity randomizes (default: 0.2)"
    )
    group.add_argument(
        "--n-episodes", type=positive, help="number of episodes of the fidelity (default: 50)"
    )
    group.add_argument(
        "--max-steps", type=positive,
        help="largest number of steps of these episodes (default: no limit)",
    )  # fmt: skip
    group.add_argument(
        "--episode", type=not_negative,
        help="number of the episode that is drawn, from 0 (default: 0)",
    )  # fmt: skip
    group.add_argument(
        "--no-render", dest="render", action="store_false", default=None,
        help="draw no pictures of critical steps",
    )  # fmt: skip


def run_critical(options: argparse.Namespace) -> None:
    """``sb3-explain critical``"""
    folder = options.output / CRITICAL
    measured = pick_given(options, "share", "n_episodes", "max_steps")
    shown = pick_given(options, "episode", "max_steps")
    mask = StateMask(load_named_agent(options))
    mask.fit(folder=folder, **pick_given(options, "n_timesteps", "bonus", "seed", "progress"))
    found = mask.play(render=options.render, **shown)
    picture = found.save(folder)
    print(found)
    fidelity = mask.fidelity(progress=options.progress, **measured)
    print(fidelity)
    write_text(folder / "fidelity.txt", f"{fidelity}\n")
    say_end(
        picture, "outcomes", "-o", str(options.output), "--episode", str(found.episode), "--seed",
        str(found.seed), "--step", str(found.top(1)[0]),
    )  # fmt: skip
