"""Options of the command line, and what is read from them."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from sb3_explain.agent import Agent
from sb3_explain.benchmark.backends import BACKENDS
from sb3_explain.benchmark.grid import ALL
from sb3_explain.collection import BEHAVIOURS
from sb3_explain.errors import ExplainError, unknown_name
from sb3_explain.highlights import IMPORTANCES
from sb3_explain.loading import load_agent
from sb3_explain.loading.expressions import read_expression
from sb3_explain.loading.policies import ALGORITHMS
from sb3_explain.probing.prior import NORMAL, STATES
from sb3_explain.regions import INPAINT
from sb3_explain.registry import CODECS, EXPLAINERS, METRICS, NETWORKS, REFERENCES, TARGETS


class Parser(argparse.ArgumentParser):
    """A parser whose complaints are one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {' '.join(message.split())} (see {self.prog} --help)\n")


def positive(text: str) -> int:
    """A whole number of at least 1."""
    return at_least(1, text)


def not_negative(text: str) -> int:
    """A whole number of at least 0."""
    return at_least(0, text)


def at_least(least: int, text: str) -> int:
    """:raises ArgumentTypeError: if ``text`` is no whole number, or below ``least``"""
    try:
        number = int(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number") from error
    if number < least:
        raise argparse.ArgumentTypeError(f"{number} is below {least}")
    return number


def add_agent_options(sub: Parser, *, required: bool = True) -> None:
    """Which agent: the zoo's own flags."""
    group = sub.add_argument_group("agent")
    group.add_argument("--algo", required=required, help=f"one of {', '.join(ALGORITHMS)}, her")
    group.add_argument("--env", required=required, help="gymnasium id")
    group.add_argument("-f", "--folder", default="logs", help="the zoo's folder, or a zip")
    group.add_argument("--exp-id", type=int, default=0, help="number of the run; 0: the newest")
    group.add_argument("--load-best", action="store_true", help="best_model.zip")
    group.add_argument("--load-checkpoint", type=int, metavar="STEPS", help="after so many steps")
    group.add_argument("--load-last-checkpoint", action="store_true")
    group.add_argument("-orga", "--organization", help="download the agent from the Hub")
    group.add_argument("--revision", help="branch, tag or commit on the Hub")
    group.add_argument("--device", default="cpu", help="cpu, cuda or auto (default: cpu)")
    group.add_argument(
        "--env-kwargs", nargs="+", default=[], metavar="KEY:VALUE", help="of the environment"
    )
    group.add_argument(
        "--trust", nargs="+", default=[], metavar="PACKAGE", help="packages that wrappers come from"
    )


def add_highlights_options(sub: Parser) -> None:
    """Which moments, and how they are shown."""
    group = sub.add_argument_group("highlights")
    group.add_argument("-k", type=positive, default=5, help="moments (default: 5)")
    group.add_argument(
        "-n", "--n-states", type=positive, default=10_000, help="of its life (default: 10000)"
    )
    group.add_argument("--before", type=not_negative, default=30, help="states (default: 30)")
    group.add_argument("--after", type=not_negative, default=10, help="states (default: 10)")
    group.add_argument(
        "--diversity", type=float, default=0.1,
        help="share of pairs of states that are nearer than two moments (default: 0.1)",
    )  # fmt: skip
    group.add_argument("--importance", help=f"one of {', '.join(IMPORTANCES)}")
    group.add_argument(
        "--explainer",
        help="whose maps are shown (default: guided_backprop, of agents without ReLUs gradient); "
        "visionmask: the one in the output folder",
    )  # fmt: skip
    group.add_argument("--fps", type=float, default=15, help="states a second (default: 15)")


def highlights_options(options: argparse.Namespace) -> dict[str, Any]:
    """Arguments of :func:`sb3_explain.highlights.highlights`."""
    return given(
        options, "k", "n_states", "before", "after", "diversity", "importance", "explainer", "fps",
        "seed", "progress",
    )  # fmt: skip


def add_collecting_options(sub: Parser) -> None:
    """How states are collected."""
    group = sub.add_argument_group("states")
    group.add_argument("-n", "--n-states", type=positive, default=10_000, help="default: 10000")
    group.add_argument("--n-envs", type=positive, help="environments side by side")
    group.add_argument("--behaviour", choices=BEHAVIOURS, default="zoo", help="default: zoo")
    group.add_argument(
        "--deterministic", dest="behaviour", action="store_const", const="greedy",
        help="the same as --behaviour greedy",
    )  # fmt: skip
    group.add_argument(
        "--stochastic", dest="behaviour", action="store_const", const="stochastic",
        help="the same as --behaviour stochastic",
    )  # fmt: skip
    group.add_argument("--epsilon", type=float, default=0.1, help="of --behaviour epsilon")
    group.add_argument(
        "--max-per-episode", type=not_negative, metavar="N",
        help="keep the first N states of an episode; 0: all (default: a 50th of -n, at least 100)",
    )  # fmt: skip
    group.add_argument("--no-render", action="store_true", help="keep no frames to look at")


def add_fitting_options(sub: Parser) -> None:
    """What VisionMask is and how it is trained; what is not given keeps its default."""
    group = sub.add_argument_group("VisionMask")
    group.add_argument("--max-area", type=float, help="share of the cells free of cost")
    group.add_argument("--reference", help=f"one of {', '.join(REFERENCES)}")
    group.add_argument("--network", help=f"one of {', '.join(NETWORKS)}")
    group.add_argument("--temperature", type=float, help="of the scores in the loss (default: 1)")
    group.add_argument(
        "--visionmask", nargs="+", default=[], metavar="KEY:VALUE",
        help="any other setting, for example per_frame:False lambda_tv:0.1",
    )  # fmt: skip
    add_training_options(sub)


def add_training_options(sub: Parser) -> None:
    """How a network is trained; what is not given keeps its default."""
    group = sub.add_argument_group("training")
    group.add_argument("--epochs", type=int)
    group.add_argument("--batch-size", type=int)
    group.add_argument("--learning-rate", type=float)
    group.add_argument("--precision", help="auto, bf16 or no")
    group.add_argument(
        "--training", nargs="+", default=[], metavar="KEY:VALUE",
        help="any other option of training, for example patience:3",
    )  # fmt: skip


def add_probe_options(sub: Parser) -> None:
    """What to search for, and the generator that is searched."""
    group = sub.add_argument_group("search")
    group.add_argument(
        "--targets", nargs="+", default=["all"], metavar="NAME",
        help="all (default), action:NAME, or any of "
        f"{', '.join(name for name in TARGETS if name != 'action')}",
    )  # fmt: skip
    group.add_argument("--samples", type=positive, default=64, help="of each target (default: 64)")
    group.add_argument("--steps", type=positive, help="of the search (default: 200)")
    group.add_argument(
        "--prior", choices=[STATES, NORMAL], help="where codes are likely (default: states)"
    )
    group.add_argument("--prior-weight", type=float, help="how likely they have to be")
    group.add_argument(
        "--other", metavar="FOLDER", help="the zoo's folder, or a zip, of a second agent"
    )
    group.add_argument("--other-algo", help="its algorithm (default: --algo)")
    group = sub.add_argument_group("generator")
    group.add_argument("--latent", type=positive, help="dimensions of a code (default: 100)")
    group.add_argument("--codec", help=f"one of {', '.join(CODECS)} (default: compact)")
    group.add_argument("--weighting", help="saliency (default), uniform, or an explainer's name")
    group.add_argument(
        "--generator", nargs="+", default=[], metavar="KEY:VALUE",
        help="any other setting, for example lambda_agent:0 lambda_kl:0.001",
    )  # fmt: skip
    group.add_argument("--colour", action="store_true", help="draw an Atari game in colours")
    group = sub.add_argument_group("page")
    group.add_argument(
        "--goggles", type=not_negative, default=0, metavar="EPISODES",
        help="let the agent play so many on reconstructions (default: 0)",
    )  # fmt: skip
    group.add_argument("--no-maps", action="store_true", help="fit no VisionMask for the states")
    group.add_argument(
        "--visionmask", nargs="+", default=[], metavar="KEY:VALUE", help="settings of it"
    )


def add_why_options(sub: Parser) -> None:
    """Which state to ask about, and how."""
    group = sub.add_argument_group("question")
    group.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        help="folder that `explain` or `collect` has filled",
    )
    group.add_argument(
        "--state", type=not_negative, required=True, metavar="N", help="its number in the states"
    )
    group.add_argument("--instead", metavar="ACTION", help="why not this action: name or number")
    group.add_argument(
        "--explainer", default="visionmask", metavar="NAME",
        help="whose map; one that learns has to be fitted (default: visionmask)",
    )  # fmt: skip
    group.add_argument(
        "--reference", default=INPAINT,
        help=f"what is put in the place, {INPAINT} (default) or one of {', '.join(REFERENCES)}",
    )  # fmt: skip
    group.add_argument(
        "--share", type=float, default=0.1, help="of the pixels that regions are made of"
    )
    group.add_argument("--regions", type=positive, default=6, help="so many at most (default: 6)")


def add_grid_options(sub: Parser) -> None:
    """What makes `evaluate` a grid of agents x explainers x seeds: any of these flags."""
    group = sub.add_argument_group("grid", "any of these measures agents x explainers x seeds")
    group.add_argument(
        "--agents", nargs="+", metavar="NAME",
        help="demo, ALGO:ENV, or MODULE:FUNCTION of a trusted package (default: --algo and --env)",
    )  # fmt: skip
    group.add_argument("--explainers", nargs="+", metavar="NAME", help="default: all")
    group.add_argument("--seeds", nargs="+", type=not_negative, metavar="N", help="default: --seed")
    group.add_argument("-n", "--n-states", type=positive, help="for each agent and seed: 10000")
    group.add_argument("--reference", help=f"one of {', '.join(REFERENCES)} (default: background)")
    group.add_argument(
        "--settings", nargs="+", metavar="NAME.KEY:VALUE",
        help="of explainers and metrics, for example rise.n_masks:1000 insertion.steps:50",
    )  # fmt: skip
    for what, example in (("training", "epochs:5"), ("collecting", "max_per_episode:100")):
        group.add_argument(
            f"--{what}", nargs="+", metavar="KEY:VALUE", help=f"options, for example {example}"
        )
    group.add_argument("--backend", help=f"one of {', '.join(BACKENDS)} (default: here)")
    group.add_argument("--jobs", type=positive, metavar="N", help="at once (default: processors)")
    group.add_argument("--threads", type=positive, metavar="N", help="of each job (default: 1)")
    group.add_argument("--address", help="of a Ray cluster (default: a Ray of this machine)")


GRID = (
    "agents", "explainers", "seeds", "n_states", "reference", "settings", "training", "collecting",
    "backend", "jobs", "threads", "address",
)  # fmt: skip


def agent_of(options: argparse.Namespace) -> Agent:
    """The agent that the flags name."""
    return load_agent(options.algo, options.env, **loading_options(options))


def loading_options(options: argparse.Namespace) -> dict[str, Any]:
    """Arguments of :func:`sb3_explain.load_agent` besides algorithm and environment."""
    names = (
        "folder", "exp_id", "load_best", "load_checkpoint", "load_last_checkpoint", "organization",
        "revision", "device",
    )  # fmt: skip
    return {
        **{name: getattr(options, name) for name in names},
        "env_kwargs": key_values(options.env_kwargs, "--env-kwargs"),
        "trusted": options.trust,
    }


def grid_options(options: argparse.Namespace) -> dict[str, Any]:
    """Arguments of :func:`sb3_explain.benchmark.run_benchmark`.

    :raises ExplainError: for no agent, or for a setting of something that is not in the grid
    """
    one = [name for name in (options.algo, options.env) if name is not None]
    if len(one) != (0 if options.agents else 2):
        raise ExplainError("name the agents either by --agents, or one by --algo and --env")
    settings: dict[str, dict[str, Any]] = {}
    for pair, value in key_values(options.settings or [], "--settings").items():
        name, dot, setting = pair.rpartition(".")
        if not dot:
            raise ExplainError(f"{pair!r} is no NAME.KEY, for example insertion.steps:50")
        settings.setdefault(name, {})[setting] = value
    explainers = with_settings(options.explainers or [ALL], settings, EXPLAINERS)
    metrics = with_settings(options.metrics or [ALL], settings, METRICS)
    for name in settings.keys() - labels_of(explainers, EXPLAINERS) - labels_of(metrics, METRICS):
        known = labels_of(explainers, EXPLAINERS) | labels_of(metrics, METRICS)
        raise unknown_name("explainer or metric of --settings", name, known)
    return {
        **given(options, "n_states", "reference", "backend", "jobs", "threads", "address"),
        "agents": options.agents or [":".join(one)],
        "explainers": explainers,
        "metrics": metrics,
        "seeds": options.seeds or [options.seed],
        "n_evaluated": options.n_evaluated,
        "training": key_values(options.training or [], "--training"),
        "collecting": key_values(options.collecting or [], "--collecting"),
        "loading": loading_options(options),
        "output": options.output,
        "progress": options.progress,
    }


def with_settings(
    names: Sequence[str], settings: Mapping[str, Any], registry: Iterable[str]
) -> dict[str, dict[str, Any]]:
    """Settings by name: of the names that were asked for, and of those that ``all`` stands for."""
    chosen = {name: settings.get(name.partition("=")[0], {}) for name in names}
    if ALL in names:
        chosen |= {name: settings[name] for name in registry if name in settings}
    return chosen


def labels_of(chosen: Iterable[str], registry: Iterable[str]) -> set[str]:
    """What the rows are called: the first half of ``label=name``."""
    every = set(registry) if ALL in chosen else set()
    return every | {name.partition("=")[0] for name in chosen} - {ALL}


def key_values(pairs: Sequence[str], flag: str) -> dict[str, Any]:
    """``["mode:2", "name:'x'"]`` as the zoo writes them; values are literals.

    :raises ExplainError: if a pair is none
    """
    read = {}
    for pair in pairs:
        key, colon, value = pair.partition(":")
        if not colon:
            raise ExplainError(f"{pair!r} is no KEY:VALUE, for example difficulty:1")
        read[key] = read_expression(value, f"{flag} {key}")
    return read


def collecting_options(options: argparse.Namespace) -> dict[str, Any]:
    """Arguments of :func:`sb3_explain.collect`."""
    return {
        "behaviour": options.behaviour,
        "epsilon": options.epsilon,
        "max_per_episode": options.max_per_episode,
        "n_envs": options.n_envs,
        "render": not options.no_render,
    }


def given(options: argparse.Namespace, *names: str) -> dict[str, Any]:
    """Those of the options that the user has set."""
    values = vars(options)
    return {name: values[name] for name in names if values[name] is not None}


def fitting_settings(options: argparse.Namespace) -> dict[str, Any]:
    """Settings of the VisionMask."""
    chosen = given(options, "max_area", "reference", "network", "temperature")
    return {**chosen, **key_values(options.visionmask, "--visionmask")}


def probing_options(options: argparse.Namespace) -> dict[str, Any]:
    """Arguments of :func:`sb3_explain.weaknesses.find_weaknesses`."""
    generator = given(options, "latent", "codec", "weighting")
    return {
        "targets": options.targets,
        "n_states": options.n_states,
        "n": options.samples,
        "n_episodes": options.goggles,
        "maps": not options.no_maps,
        "settings": {**generator, **key_values(options.generator, "--generator")},
        "training": training_settings(options),
        "searching": given(options, "steps", "prior", "prior_weight"),
        "masking": key_values(options.visionmask, "--visionmask"),
        "seed": options.seed,
        "progress": options.progress,
    }


def training_settings(options: argparse.Namespace) -> dict[str, Any]:
    """Options of the training loop."""
    chosen = given(options, "epochs", "batch_size", "learning_rate", "precision")
    more = key_values(options.training, "--training")
    return {**chosen, **more, "progress": options.progress}
