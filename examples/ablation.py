"""Rerun the VisionMask paper's table 2 on Super Mario Bros, world 1-1: what each part is good for.

    python examples/ablation.py --data super_mario_1_1 -o ablation-output
    python examples/ablation.py --data super_mario_1_1 -o ablation-output --only component max_area

The folder is that of ``super_mario.py``. Every line of the table differs from the base line in one
thing; the paper's figures stand beside ours. ``table.md`` and ``table.csv`` are written after each
run. A run that stands in the output folder is not run again, and one that was killed goes on. Two
networks are torchvision's: where it does not import, their lines say so, and the same command in an
environment that has it adds them to the same folder.

An epoch of 2,000 states takes about 2 minutes of one core for the compact network, 3 for the U-Net
of width 16, and 15 to 20 for the three large networks, and measuring a run takes 10: all lines take
a night on two cores.
"""

import argparse
import hashlib
import json
from pathlib import Path
from typing import Any

import pandas as pd
from ablation_lines import BASE, LINES, METRICS, PARTS, RUNS, Line
from paper import describe_parts
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
    split_states,
)
from sb3_explain.common.files import atomic_path, write_json
from sb3_explain.common.provenance import describe_machine

#: metrics that the paper does not have, and those of them that are in nats instead of %
NOT_IN_PAPER = ("policy_preservation", "specificity", "policy_specificity")
IN_NATS = ("policy_preservation", "policy_specificity")
#: pixels of a rendered frame
SCREEN = (240, 256)


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
    parser.add_argument("--epochs", type=int, help="of every network, in place of its own number")
    parser.add_argument("--n-evaluated", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if options.small:
        options.epochs, options.n_evaluated = 1, 4

    agent, states = load(options.data)
    if options.small:
        states = states.subset(states.spread(200))
    size = agent.observation_space.shape[1:]
    if options.native:
        preprocessing, size = MarioPreprocessing(), SCREEN
        share = agreement(agent, states, preprocessing)
        print(f"on rendered frames the agent takes the same action in {share:.1%} of the states")
        agent = native_agent(agent, preprocessing, size)
        states = native_states(agent, states)
    content = scale_box(playfield("SuperMarioBros"), SCREEN, size)
    parts = split_states(states, options.seed)
    print(describe_parts(parts), flush=True)

    identities = {run: identify(run, content, agent, parts, options) for run in RUNS}
    selected = {x.run for x in LINES if not options.only or {x.part, x.run} & {*options.only}}
    chosen = [run for run in RUNS if run in selected]
    for run in chosen:  # before what takes long
        read_result(options.output / run, identities[run], required=True)
    not_run: dict[str, dict[str, Any]] = {}
    for run in chosen:
        folder = options.output / run
        if read_result(folder, identities[run]) is None:
            found = fit_and_measure(agent, parts, identities[run], folder)
            if "not_run" in found:
                not_run[run] = found
            else:
                write_json(folder / "result.json", {"of": identities[run], **found})
        write_tables(collect_results(options.output, identities) | not_run, options.output)
    print((options.output / "table.md").read_text(encoding="utf-8"))


def identify(
    run: str,
    content: tuple[int, int, int, int],
    agent: Agent,
    parts: tuple[StateDataset, ...],
    options: argparse.Namespace,
) -> dict[str, Any]:
    """What decides the figures of a run, as plain data.

    States are known by their positions: labels, which are the agent's, may differ between versions
    of torch where two actions are nearly equal.
    """
    line = RUNS[run]
    training = {**line.training, "seed": options.seed}
    if options.epochs is not None:
        training["epochs"] = options.epochs
    return {
        "settings": {**BASE, "content": list(content), **line.settings},
        "training": training,
        "n_evaluated": options.n_evaluated,
        "seed": options.seed,
        "native": options.native,
        "agent": agent.fingerprint(),
        "states": [hashlib.sha256(part.indices.tobytes()).hexdigest() for part in parts],
    }


def read_result(
    folder: Path, identity: dict[str, Any], *, required: bool = False
) -> dict[str, Any] | None:
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


def collect_results(
    output: Path, identities: dict[str, dict[str, Any]]
) -> dict[str, dict[str, Any]]:
    """Figures of all runs that stand in ``output``, which another process may have made."""
    found = {run: read_result(output / run, identity) for run, identity in identities.items()}
    return {run: result for run, result in found.items() if result is not None}


def fit_and_measure(
    agent: Agent, parts: tuple[StateDataset, ...], identity: dict[str, Any], folder: Path
) -> dict[str, Any]:
    """Figures of a run, or why it cannot be run."""
    train, validation, test = parts
    try:
        explainer = VisionMask(agent, seed=identity["seed"], **identity["settings"])
    except ExplainError as error:  # torchvision is missing
        print(f"{folder.name}: not run: {error}", flush=True)
        return {"not_run": str(error)}
    print(f"{folder.name}: fitting on {len(train)} states", flush=True)
    made = describe_machine()
    explainer.fit(train, validation, folder=folder / "training", **identity["training"])
    evaluation = evaluate(
        agent, test, [explainer], [*METRICS, *NOT_IN_PAPER], baseline=explainer.baselines,
        train=train, n_evaluated=identity["n_evaluated"], seed=identity["seed"], progress=True,
    )  # fmt: skip
    measured = evaluation.to_dict()["explainers"]  # with template, swapped map and controls
    return {
        "intervals": {name: measured["visionmask"][name] for name in (*METRICS, *NOT_IN_PAPER)},
        "explainers": measured,
        "states": evaluation.states,
        "epochs": len(explainer.training.history),
        "minutes": explainer.fit_seconds / 60,
        "made": made,
    }


def write_tables(results: dict[str, dict[str, Any]], output: Path) -> None:
    """``table.csv`` (one figure a line) and ``table.md``, of the runs so far."""
    here = [line for line in LINES if line.run in results]
    tidy = [figure for line in here for figure in list_figures(line, results[line.run])]
    with atomic_path(output / "table.csv") as path:
        pd.DataFrame(tidy).to_csv(path, index=False)
    names = [f"{name}, nats" if name in IN_NATS else name for name in (*METRICS, *NOT_IN_PAPER)]
    head = ["part", "variant", *names, "sparseness / Lipschitz", "epochs", "minutes of fitting"]
    rows = [head, ["---"] * len(head)]
    rows += [format_row(line, results[line.run]) for line in here]
    states = next((r["states"] for r in results.values() if "states" in r), None)
    note = "Each cell: ours, in %, with its 95 % interval / the paper's.\n"
    if states:
        note += (
            f"Ours: {states['n']} states of {states['episodes']} episodes that training never saw, "
            f"without {states['duplicates_left_out']} that training states show; a masked cell "
            "becomes each line's own baseline; insertion and deletion over the full range; the "
            "agent's own mean probability of its actions on the states is "
            f"{100 * states['own_probability']:.1f} %.\n"
            "The paper's tables disagree with one another in their base line.\n"
        )
        note += f"{states['note']}\n" if states["note"] else ""
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    with atomic_path(output / "table.md") as path:
        path.write_text(f"{table}\n\n{note}", encoding="utf-8")


def list_figures(line: Line, found: dict[str, Any]) -> list[dict[str, Any]]:
    """One line of the CSV for each metric."""
    paper = dict(zip(METRICS, line.paper, strict=True)) if line.paper else {}
    figures = []
    for metric in (*METRICS, *NOT_IN_PAPER):
        interval = found.get("intervals", {}).get(metric, {})
        figures.append(
            {
                "part": line.part,
                "variant": line.variant,
                "run": line.run,
                "metric": metric,
                **{name: interval.get(name) for name in ("mean", "low", "high")},
                "paper": round(paper[metric] / 100, 3) if metric in paper else None,
                "epochs": found.get("epochs"),
                "minutes": found.get("minutes"),
                "torch": found.get("made", {}).get("versions", {}).get("torch"),
                "not_run": found.get("not_run"),
            }
        )
    return figures


def format_row(line: Line, found: dict[str, Any]) -> list[str]:
    """One line of the Markdown table."""
    paper = dict(zip(METRICS, line.paper, strict=True)) if line.paper else {}
    theirs = {name: f" / {figure:.1f}" for name, figure in paper.items()}
    if paper:
        theirs["ratio"] = f" / {paper['sparseness'] / paper['local_lipschitz']:.2f}"
    columns = (*METRICS, *NOT_IN_PAPER, "ratio")
    if "not_run" in found:
        figures = [f"not run{theirs.get(name, '')}" for name in columns]
        return [line.part, line.variant, *figures, "-", f"not run: {found['not_run']}"]
    ours = {name: format_interval(name, found["intervals"][name]) for name in columns[:-1]}
    sparseness, lipschitz = (
        found["intervals"][m]["mean"] for m in ("sparseness", "local_lipschitz")
    )
    ours["ratio"] = f"{sparseness / lipschitz:.2f}" if sparseness and lipschitz else "-"
    figures = [f"{ours[name]}{theirs.get(name, '')}" for name in columns]
    return [line.part, line.variant, *figures, str(found["epochs"]), f"{found['minutes']:.1f}"]


def format_interval(metric: str, interval: dict[str, float | None]) -> str:
    """A mean with its interval; a mean of nothing, or a bound from one episode, is ``-``."""
    scale, digits = (1, 2) if metric in IN_NATS else (100, 1)
    mean, low, high = (
        "-" if figure is None else f"{scale * figure:.{digits}f}"
        for figure in (interval["mean"], interval["low"], interval["high"])
    )
    return f"{mean} ({low} to {high})"


if __name__ == "__main__":
    main()
