"""``sb3-explain train``, ``enjoy`` and ``benchmark``: SGQN, its baselines and rl-zoo3."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from sb3_explain.cli.flags import add_result_flags
from sb3_explain.cli.outputs import say_end
from sb3_explain.cli.parsing import Commands, Parser, not_negative, positive, read_key_values
from sb3_explain.cli.zoo import run_zoo
from sb3_explain.common.errors import ExplainError
from sb3_explain.workflows.pixel_training import RECIPES, run_dmc, run_robot, train
from sb3_explain.workflows.pixel_training.suites import DMC, ROBOT, find_suite


def add_commands(commands: Commands) -> None:
    """Add the options of ``train -o`` and ``benchmark``; rl-zoo3 has those of the others."""
    add_train_flags(
        commands.add(
            "train",
            run_train,
            "--algo sgqn --env DMCGB/walker_walk-train-v0 -f logs  (all flags of rl_zoo3.train)\n"
            "  sb3-explain train --algo sgqn --env DMCGB/walker_walk-train-v0 -o out",
        )
    )
    commands.add(
        "enjoy",
        run_zoo,
        "--algo sgqn --env DMCGB/walker_walk-train-v0 -f logs  (all flags of rl_zoo3.enjoy)",
    )
    add_benchmark_flags(
        commands.add(
            "benchmark",
            run_benchmark,
            "dmc --algos drq sgqn --tasks cartpole_swingup --seeds 0 --backgrounds dmcgb -o out\n"
            "  sb3-explain benchmark robot --algos sac svea sgqn --tasks reach --seeds 0 -o out",
            folder_name="benchmark-{benchmark}",
        )
    )


def add_train_flags(sub: Parser) -> None:
    """Add the flags of one training run."""
    sub.add_argument("--algo", required=True, help=f"algorithm: {', '.join(RECIPES)}")
    sub.add_argument("--env", required=True, help="gymnasium id, e.g. DMCGB/walker_walk-train-v0")
    add_common_flags(sub)
    add_result_flags(sub)


def add_benchmark_flags(sub: Parser) -> None:
    """Add the flags of the benchmark."""
    sub.add_argument(
        "benchmark",
        choices=["dmc", "robot"],
        metavar="dmc|robot",
        help="name of the benchmark: DMControl generalization, or the robot study",
    )
    sub.add_argument(
        "--algos",
        nargs="+",
        default=["sac", "sgqn"],
        metavar="NAME",
        help=f"algorithms, of {', '.join(RECIPES)} (default: sac sgqn)",
    )
    sub.add_argument(
        "--tasks",
        nargs="+",
        metavar="NAME",
        help=f"tasks, of {', '.join(DMC.tasks)}, or {', '.join(ROBOT.tasks)} (default: all)",
    )
    sub.add_argument(
        "--seeds",
        nargs="+",
        type=not_negative,
        default=[0, 1, 2, 3, 4],
        metavar="N",
        help="random seeds (default: 0 1 2 3 4)",
    )
    sub.add_argument(
        "--modes",
        nargs="+",
        metavar="NAME",
        help=f"modes to evaluate in, of {', '.join(DMC.modes)} (default: without colors), or "
        f"{', '.join(ROBOT.modes)} (default: all)",
    )
    sub.add_argument(
        "--backgrounds", type=Path, metavar="FOLDER", help="folder of the background videos (dmc)"
    )
    sub.add_argument(
        "--assets",
        type=Path,
        metavar="FOLDER",
        help="folder of the authors' meshes and textures (robot; default: capsules)",
    )
    sub.add_argument(
        "--n-episodes",
        type=positive,
        default=30,
        help="number of episodes in each mode (default: 30)",
    )
    add_common_flags(sub)
    add_result_flags(sub, seed=False)


def add_common_flags(sub: Parser) -> None:
    """Add the flags of training, which ``train`` and ``benchmark`` share."""
    sub.add_argument(
        "-n",
        "--n-timesteps",
        type=positive,
        help=f"number of timesteps (default: {DMC.timesteps}, of the robot {ROBOT.timesteps})",
    )
    sub.add_argument(
        "--part",
        type=positive,
        default=5000,
        help="number of timesteps between checkpoints (default: 5000)",
    )
    sub.add_argument(
        "--env-kwargs",
        nargs="+",
        default=[],
        metavar="KEY:VALUE",
        help="arguments of the environment, e.g. action_repeat:8",
    )
    sub.add_argument(
        "--settings",
        nargs="+",
        default=[],
        metavar="KEY:VALUE",
        help="arguments of the algorithm, e.g. saliency_quantile:0.98",
    )
    sub.add_argument(
        "--overlays",
        type=Path,
        metavar="FOLDER",
        help="folder of pictures to augment states with (default: textures)",
    )
    sub.add_argument(
        "--policy-kwargs",
        nargs="+",
        default=[],
        metavar="KEY:VALUE",
        help="arguments of the policy, e.g. n_filters:16 net_arch:[256,256]",
    )


def common_options(options: argparse.Namespace) -> dict[str, Any]:
    """Arguments of training in the flags, by name."""
    settings = read_key_values(options.settings, "--settings")
    networks = read_key_values(options.policy_kwargs, "--policy-kwargs")
    if networks:
        settings["policy_kwargs"] = networks
    if options.overlays is not None:
        settings["overlays"] = options.overlays
    return {
        "part": options.part,
        "env_kwargs": read_key_values(options.env_kwargs, "--env-kwargs"),
        "settings": settings,
        "progress": options.progress,
    }


def run_train(options: argparse.Namespace) -> None:
    """``sb3-explain train``"""
    suite = find_suite(options.env) or DMC
    timesteps = options.n_timesteps or suite.timesteps
    train(
        options.algo, options.env, options.output, timesteps=timesteps, seed=options.seed,
        **common_options(options),
    )  # fmt: skip
    model = options.output / "model.zip"
    say_end(model, "explain", "--algo", options.algo, "--env", options.env, "-f", str(model))


def run_benchmark(options: argparse.Namespace) -> None:
    """``sb3-explain benchmark``"""
    run, own, other = {
        "dmc": (run_dmc, "backgrounds", "assets"), "robot": (run_robot, "assets", "backgrounds"),
    }[options.benchmark]  # fmt: skip
    if getattr(options, other) is not None:
        raise ExplainError(f"benchmark {options.benchmark} has no --{other}: leave it out")
    given = {
        "tasks": options.tasks, "modes": options.modes, "timesteps": options.n_timesteps,
        own: getattr(options, own),
    }  # fmt: skip
    run(
        options.output,
        algos=options.algos,
        seeds=options.seeds,
        n_episodes=options.n_episodes,
        **{name: value for name, value in given.items() if value is not None},
        **common_options(options),
    )
    print((options.output / "table.md").read_text(encoding="utf-8"))
    say_end(options.output / "table.md")
