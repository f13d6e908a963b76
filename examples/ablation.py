"""Rerun the VisionMask paper's table 2 on Super Mario Bros, world 1-1: what each part is good for.

    python examples/ablation.py --data FOLDER -o ablation-output
    python examples/ablation.py --data FOLDER -o ablation-output --only component max_area

FOLDER is that of ``super_mario.py``. Every line of the table differs from the default in one
setting; the paper's figures stand beside ours. A run that stands in the output folder is not run
again, and one that was killed goes on. ``table.md`` and ``table.csv`` are written after each run.
"""

import argparse
import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from super_mario import load

from sb3_explain import (
    Agent,
    ExplainError,
    MarioPreprocessing,
    StateDataset,
    VisionMask,
    agreement,
    evaluate,
    native_agent,
    native_states,
    playfield,
    scale_box,
)
from sb3_explain.common.files import atomic_path, write_json

METRICS = ("accuracy", "insertion", "deletion", "local_lipschitz", "sparseness")
#: pixels of a rendered frame
SCREEN = (240, 256)
#: Mario's background is the sky: one colour
DEFAULT = {"baseline": "most_frequent", "max_area": 0.1}


@dataclasses.dataclass(frozen=True)
class Line:
    """One line of the table.

    :param part: which part of the method is changed
    :param variant: to what, in words
    :param settings: of the VisionMask, where they are not the default
    :param paper: Zuo et al. (2025), table 2, in %, in the order of :data:`METRICS`
    """

    part: str
    variant: str
    settings: dict[str, Any]
    paper: tuple[float, ...] | None = None

    @property
    def run(self) -> str:
        """Name of the run: lines with the same settings share one."""
        return ",".join(f"{name}={value}" for name, value in self.settings.items()) or "default"


LINES = (
    Line("component", "contrast alone", {"lambda_ne": 0.0, "lambda_area": 0.0},
         (96.7, 56.7, 23.7, 99.3, 24.0)),
    Line("component", "+ negative entropy", {"lambda_area": 0.0}, (96.5, 56.5, 23.8, 96.0, 23.8)),
    Line("component", "+ area (default)", {}, (95.9, 67.6, 20.4, 62.6, 62.3)),
    Line("component", "+ total variation", {"lambda_tv": 1.0}, (95.6, 64.6, 20.7, 68.8, 60.5)),
    Line("area", "L1, one-sided (default)", {}, (95.9, 67.6, 20.4, 62.6, 62.3)),
    Line("area", "L1 as printed (eq. 5)", {"area": "l1_paper"}),
    Line("area", "min-max (Stalder et al.)", {"area": "minmax"}, (95.6, 64.3, 21.1, 56.6, 73.8)),
    Line("max_area", "0.1 (default)", {}, (95.9, 57.0, 19.5, 96.0, 79.0)),
    Line("max_area", "0.2", {"max_area": 0.2}, (94.5, 56.9, 19.5, 93.8, 58.6)),
    Line("max_area", "0.4", {"max_area": 0.4}, (95.8, 57.0, 19.5, 99.5, 48.1)),
    Line("network", "compact (default)", {}),
    Line("network", "U-Net", {"network": "unet"}, (94.7, 56.8, 19.7, 86.3, 19.8)),
    Line("network", "FCN-ResNet50", {"network": "fcn_resnet50"}, (94.2, 56.5, 19.6, 100.0, 58.0)),
    Line("network", "DeepLabv3-ResNet50 (paper's default)", {"network": "deeplabv3_resnet50"},
         (96.0, 67.5, 20.4, 62.6, 62.3)),
    Line("baseline", "background: the sky (default)", {}, (97.8, 67.5, 20.4, 62.6, 62.3)),
    Line("baseline", "background of every cell", {"baseline": "background"}),
    Line("baseline", "black", {"baseline": "black"}, (95.9, 51.7, 16.8, 54.4, 28.5)),
    Line("baseline", "mean", {"baseline": "mean"}, (97.6, 54.5, 18.2, 92.6, 45.5)),
    Line("baseline", "blur", {"baseline": "blur"}, (94.4, 56.9, 25.0, 99.6, 56.6)),
)  # fmt: skip
PARTS = tuple(dict.fromkeys(line.part for line in LINES))
RUNS = tuple(dict.fromkeys(line.run for line in LINES))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("-o", "--output", type=Path, default=Path("ablation-output"))
    parser.add_argument(
        "--only",
        nargs="+",
        choices=[*PARTS, *RUNS],
        metavar="NAME",
        help=f"parts ({', '.join(PARTS)}) or runs ({', '.join(RUNS)})",
    )
    parser.add_argument(
        "--native",
        action="store_true",
        help="masks on the rendered 240x256 RGB frames, as in the paper",
    )
    parser.add_argument("--small", action="store_true", help="200 states, one epoch: a test run")
    parser.add_argument(
        "--unet-width", type=int, default=64, help="channels at full resolution; 16 for a CPU"
    )
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--n-evaluated", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if options.small:
        options.epochs, options.n_evaluated = 1, 4

    agent, states = load(options.data)
    if options.small:
        some = np.linspace(0, len(states) - 1, min(200, len(states)))
        states = states.subset(some.astype(int))
    size = agent.observation_space.shape[1:]
    if options.native:
        preprocessing, size = MarioPreprocessing(), SCREEN
        share = agreement(agent, states, preprocessing)
        print(f"on rendered frames the agent takes the same action in {share:.1%} of the states")
        agent = native_agent(agent, preprocessing, size)
        states = native_states(agent, states)
    content = scale_box(playfield("SuperMarioBros"), SCREEN, size)

    chosen = {x.run for x in LINES if not options.only or {x.part, x.run} & {*options.only}}
    parts = states.split(seed=options.seed)
    results: dict[str, dict[str, Any]] = {}
    for run in RUNS:
        settings = settings_of(run, content, options)
        identity = identity_of(settings, parts, options)
        found = standing(options.output / run, identity, required=run in chosen)
        if found is None and run in chosen:
            found = fit_and_measure(agent, parts, settings, options.output / run, options)
            if "not_run" not in found:
                write_json(options.output / run / "result.json", {"of": identity, **found})
        if found is not None:
            results[run] = found
            write_tables(results, options.output)
    print((options.output / "table.md").read_text(encoding="utf-8"))


def settings_of(
    run: str, content: tuple[int, int, int, int], options: argparse.Namespace
) -> dict[str, Any]:
    """Settings of the VisionMask of a run."""
    changed = next(line.settings for line in LINES if line.run == run)
    settings = {**DEFAULT, "content": content, **changed}
    if changed.get("network") == "unet":
        settings["network_options"] = {"width": options.unet_width}
    return settings


def identity_of(
    settings: dict[str, Any], parts: tuple[StateDataset, ...], options: argparse.Namespace
) -> dict[str, Any]:
    """What decides the figures of a run, as plain data."""
    return {
        "settings": {**settings, "content": list(settings["content"])},
        "epochs": options.epochs,
        "n_evaluated": options.n_evaluated,
        "seed": options.seed,
        "native": options.native,
        "states": [part.fingerprint() for part in parts],
    }


def standing(folder: Path, identity: dict[str, Any], *, required: bool) -> dict[str, Any] | None:
    """Figures of a run that stands in ``folder``.

    :raises ExplainError: if they are of another run although they are required
    """
    if not (folder / "result.json").exists():
        return None
    found: dict[str, Any] = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    if found["of"] == identity:
        return found
    if required:
        raise ExplainError(f"{folder} holds a run with other settings: choose another output")
    return None


def fit_and_measure(
    agent: Agent,
    parts: tuple[StateDataset, ...],
    settings: dict[str, Any],
    folder: Path,
    options: argparse.Namespace,
) -> dict[str, Any]:
    """Figures of a run, or why it cannot be run."""
    train, validation, test = parts
    try:
        explainer = VisionMask(agent, seed=options.seed, **settings)
    except ExplainError as error:  # torchvision is missing
        return {"not_run": str(error)}
    print(f"{folder.name}: fitting on {len(train)} states", flush=True)
    explainer.fit(
        train, validation, folder=folder / "training", epochs=options.epochs, seed=options.seed
    )
    evaluation = evaluate(
        agent, test, [explainer], METRICS, baseline=explainer.baselines,
        n_evaluated=options.n_evaluated, seed=options.seed, progress=True,
    )  # fmt: skip
    measured = evaluation.to_dict()["explainers"]["visionmask"]
    return {
        "intervals": {name: measured[name] for name in METRICS},
        "states": evaluation.states,
        "minutes": explainer.fit_seconds / 60,
    }


def write_tables(results: dict[str, dict[str, Any]], output: Path) -> None:
    """``table.csv`` (one figure a line) and ``table.md``, of the runs so far."""
    here = [line for line in LINES if line.run in results]
    tidy = [figure for line in here for figure in figures_of(line, results[line.run])]
    with atomic_path(output / "table.csv") as path:
        pd.DataFrame(tidy).to_csv(path, index=False)
    head = ["part", "variant", *METRICS, "sparseness / Lipschitz", "minutes of fitting"]
    rows = [head, ["---"] * len(head)]
    rows += [format_row(line, results[line.run]) for line in here]
    states = next((r["states"] for r in results.values() if "states" in r), None)
    note = "Each cell: ours, in %, with its 95 % interval / the paper's.\n"
    if states:
        note += (
            f"Ours: {states['n']} states of {states['episodes']} episodes that training never saw; "
            "a masked cell becomes each line's own baseline; insertion and deletion over the "
            "full range.\nThe paper's tables disagree with one another in their default line.\n"
        )
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    with atomic_path(output / "table.md") as path:
        path.write_text(f"{table}\n\n{note}", encoding="utf-8")


def figures_of(line: Line, found: dict[str, Any]) -> list[dict[str, Any]]:
    """One line of the CSV for each metric."""
    figures = []
    for i, metric in enumerate(METRICS):
        interval = found.get("intervals", {}).get(metric, {})
        figures.append(
            {
                "part": line.part,
                "variant": line.variant,
                "run": line.run,
                "metric": metric,
                **{name: interval.get(name) for name in ("mean", "low", "high")},
                "paper": round(line.paper[i] / 100, 3) if line.paper else None,
                "minutes": found.get("minutes"),
                "not_run": found.get("not_run"),
            }
        )
    return figures


def format_row(line: Line, found: dict[str, Any]) -> list[str]:
    """One line of the Markdown table."""
    paper = dict(zip(METRICS, line.paper, strict=True)) if line.paper else {}
    pixels = [line.part, line.variant]
    intervals = found.get("intervals")
    for metric in METRICS:
        theirs = f" / {paper[metric]:.1f}" if paper else ""
        if intervals is None:
            pixels.append(f"not run{theirs}")
        else:
            mean, low, high = (percent(intervals[metric][name]) for name in ("mean", "low", "high"))
            pixels.append(f"{mean} ({low} to {high}){theirs}")
    theirs = f" / {paper['sparseness'] / paper['local_lipschitz']:.2f}" if paper else ""
    if intervals is None:
        return [*pixels, f"not run{theirs}", f"not run: {found['not_run']}"]
    sparseness, lipschitz = (intervals[m]["mean"] for m in ("sparseness", "local_lipschitz"))
    ratio = f"{sparseness / lipschitz:.2f}" if sparseness and lipschitz else "-"
    return [*pixels, f"{ratio}{theirs}", f"{found['minutes']:.1f}"]


def percent(share: float | None) -> str:
    """A share in %; a mean of nothing, or a bound from one episode, is ``-``."""
    return "-" if share is None else f"{100 * share:.1f}"


if __name__ == "__main__":
    main()
