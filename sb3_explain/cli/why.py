"""``sb3-explain why``: counterfactuals of one state."""

from __future__ import annotations

import argparse
from pathlib import Path

from gymnasium import spaces

from sb3_explain.agents.agent import Agent
from sb3_explain.agents.targets.find import find_action
from sb3_explain.cli.flags import (
    STATES,
    ZOO_AGENT,
    add_agent_flags,
    add_states_flag,
    load_named_agent,
)
from sb3_explain.cli.outputs import say_end
from sb3_explain.cli.parsing import Commands, not_negative, positive, share
from sb3_explain.explainers.learned.visionmask import VisionMask
from sb3_explain.explainers.make import default_explainer
from sb3_explain.explainers.regions import INPAINT
from sb3_explain.states.baselines import BASELINES
from sb3_explain.states.dataset import StateDataset
from sb3_explain.workflows.chosen_explainers import list_fitted
from sb3_explain.workflows.critical_steps.stored_states import load_fitted
from sb3_explain.workflows.why import prepare_explainer, why


def add_commands(commands: Commands) -> None:
    """Add the options of ``why``."""
    sub = commands.add(
        "why",
        run_why,
        f"{ZOO_AGENT} -o out --state 145 --instead RIGHT",
        needs={"state": "--state"},
    )
    add_agent_flags(sub)
    group = sub.add_argument_group("question")
    group.add_argument(
        "-o",
        "--output",
        type=Path,
        help="output folder of `explain` or `collect` (default: that of the agent's name)",
    )
    group.add_argument(
        "--state",
        type=not_negative,
        metavar="N",
        help="number of the state in the folder",
    )
    add_states_flag(group)
    group.add_argument(
        "--target", metavar="ACTION",
        help="action to explain, by name or number (default: what the agent does)",
    )  # fmt: skip
    group.add_argument(
        "--instead", metavar="ACTION", help="action that the agent did not take, by name or number"
    )
    group.add_argument(
        "--explainer", metavar="NAME",
        help="explainer of the map; a fitted one must be in the folder (default: the fitted one of "
        "the folder, or one that needs no fit)",
    )  # fmt: skip
    group.add_argument(
        "--baseline", default=INPAINT,
        help=f"what replaces a region: {INPAINT} (default), which is for images: other "
        f"features become their mean; or {', '.join(BASELINES)}",
    )  # fmt: skip
    group.add_argument(
        "--share",
        type=share,
        default=0.1,
        help="share of the pixels that form the regions (default: 0.1)",
    )
    group.add_argument(
        "--regions", type=positive, default=6, help="largest number of regions (default: 6)"
    )


def find_usual(agent: Agent, output: Path) -> str:
    """Name the explainer of a folder: what was fitted there, or what explains without a fit."""
    fitted = list_fitted(output)
    if VisionMask.name in fitted:
        return VisionMask.name
    return fitted[0] if fitted else default_explainer(agent)


def run_why(options: argparse.Namespace) -> None:
    """``sb3-explain why``"""
    agent = load_named_agent(options)
    states = StateDataset.open(options.output / options.states)
    explainer = options.explainer or find_usual(agent, options.output)
    target, instead = (
        None if name is None else find_action(agent, name)
        for name in (options.target, options.instead)
    )
    answer = why(
        states,
        options.state,
        prepare_explainer(agent, explainer, options.output, states),
        target=target,
        instead=instead,
        baseline=options.baseline,
        share=options.share,
        n_regions=options.regions,
        state_mask=load_fitted(agent, options.output),
    )
    print(answer)
    folder = "state" if options.states == STATES else options.states
    name = f"{folder}_{options.state}" + ("" if target is None else f"_{target}")
    name += "" if instead is None else f"_not_{instead}"
    if explainer != VisionMask.name:
        name += f"_{explainer}"
    figure, table = answer.save(options.output / "why" / name)
    print(f"table   {table}")
    following = ["why", "-o", str(options.output), "--state", str(options.state)]
    following += [] if options.states == STATES else ["--states", options.states]
    found = answer.counterfactual
    others = [name for name in agent.target_names if name != agent.target_names[found.target]]
    if instead is None and others:
        following += ["--instead", others[0]]
        say_end(figure, *following, *explained_by(options))
    elif found.instead is not None and isinstance(agent.action_space, spaces.Discrete):
        at = {"episode": states.episode[options.state], "step": states.steps[options.state]}
        at["seed"] = states.provenance.get("seed") or 0
        where = [word for name, number in at.items() for word in (f"--{name}", str(number))]
        action = agent.target_names[found.instead]
        say_end(
            figure, "outcomes", "-o", str(options.output), *where, "--actions", action,
            reason="what would have come of it in the game",
        )  # fmt: skip
    else:
        say_end(figure, "highlights", "-o", str(options.output))


def explained_by(options: argparse.Namespace) -> list[str]:
    """Return the flag that names the explainer, if it was given."""
    return [] if options.explainer is None else ["--explainer", options.explainer]
