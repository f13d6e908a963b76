"""The VisionMask paper's table, with SSINet: seven methods on the demo agent and on Mario 1-1.

VisionMask is measured on a small agent of Breakout, too, on which nothing was tuned.

Every method is measured with one baseline on the same test states, none of which training shows,
and under several imputations. What is finished stays in benchmarks/output (or in the folder that
SB3_EXPLAIN_TABLE names), so that a run that was stopped goes on. The tables are written to
docs/tables. Mario needs its data, in the folder that SB3_EXPLAIN_AGENTS names.
"""

import os
import sys
from dataclasses import replace
from pathlib import Path

from stable_baselines3 import PPO

from sb3_explain import EnvRecipe, load_agent
from sb3_explain.common.bootstrap import Interval
from sb3_explain.common.controls import split_control
from sb3_explain.common.files import atomic_path
from sb3_explain.evaluation.ranks import rank_explainers
from sb3_explain.report.grid_tables import markdown_table
from sb3_explain.report.words import get_explainer_label, get_metric_words
from sb3_explain.workflows.benchmark import Benchmark, run_benchmark
from sb3_explain.workflows.benchmark.output import collect_notes
from sb3_explain.workflows.benchmark.results import compute_interval

HERE = Path(__file__).resolve().parent
METHODS = ("visionmask", "stalder", "ssinet", "greydanus", "sarfa", "lime", "rise")
OTHERS = ("integrated_gradients", "random")
CONTROLS = ("constant", "empty")
#: on the agent on which nothing was tuned
FEW = ("visionmask", "sarfa", "integrated_gradients", "random", *CONTROLS)
PATCHES = {"patch_size": 7, "per_frame": False, "steps": 10}
SUPERPIXELS = {"segmentation_method": "slic", "steps": 10}
INPAINT = {"perturb_func": "inpaint", "per_frame": False, "steps": 10}
ROAD = {"perturb_func": "noisy_linear", "per_frame": False, "steps": 4}
DONOR = {**PATCHES, "perturb_baseline": "donor"}
BLUR = {"perturb_baseline": "blur", "steps": 10}
MAIN = {
    "accuracy": {},
    "accuracy@0.1": {},
    "insertion": {"steps": 25},
    "insertion patches": PATCHES,
    "insertion superpixels": SUPERPIXELS,
    "policy_preservation": {"steps": 25},
    "deletion": {"steps": 25},
    "specificity": {},
    "policy_specificity": {},
    "forced_action": {},
    "sparseness": {},
    "mask_area": {},
}
UNDER = {
    "insertion capped": {"steps": 25, "cap": True},
    "insertion donor": DONOR,
    "insertion inpaint": INPAINT,
    "insertion ROAD": ROAD,
    "insertion blur": BLUR,
    "deletion patches": PATCHES,
    "deletion superpixels": SUPERPIXELS,
    "deletion donor": DONOR,
    "deletion inpaint": INPAINT,
    "policy_preservation@0.1": {},
    "policy_preservation patches": PATCHES,
    "policy_preservation donor": DONOR,
}
#: in which a map that is the state's own must be better than the same map of other states
OWN = (
    "insertion",
    "insertion patches",
    "insertion superpixels",
    "policy_preservation",
    "deletion",
)
#: the method's rank among the seven shall be at most this
CLAIMS = {
    "accuracy@0.1": 1,
    "insertion": 1,
    "insertion patches": 1,
    "insertion superpixels": 1,
    "policy_preservation": 1,
    "deletion": 2,
}  # fmt: skip
#: explaining costs most of the hours of this table
SETTINGS = {"rise": {"n_masks": 2000}}
N_STATES = 3000
TIMESTEPS = 153_600


def run(record) -> None:
    every = (*METHODS, *OTHERS, *CONTROLS)
    report(record, "pong", measure("pong", "demo", "background", every))
    if (mario_data() / "policy.safetensors").exists():
        # the most frequent value is the sky's
        report(record, "mario", measure("mario", "bench_table:mario", "most_frequent", every))
    else:
        print("table of Mario: not run (SB3_EXPLAIN_AGENTS names no folder with super_mario_1_1)")
    report(record, "breakout", measure("breakout", "bench_table:breakout", "background", FEW))


def output() -> Path:
    return Path(os.environ.get("SB3_EXPLAIN_TABLE", HERE / "output"))


def mario_data() -> Path:
    return Path(os.environ.get("SB3_EXPLAIN_AGENTS", "")) / "super_mario_1_1"


def mario():
    """Load the agent and the states of examples/super_mario.py, in whichever process."""
    sys.path.insert(0, str(HERE.parent / "examples"))
    from super_mario import load

    return load(mario_data())


def breakout():
    """Load a small agent of Breakout, on which nothing was tuned; train it if it is not there."""
    sys.path.insert(0, str(HERE.parent / "examples"))
    from atari import TRAINING
    from paper import trained_agent

    recipe = EnvRecipe(
        "BreakoutNoFrameskip-v4",
        wrappers=(("stable_baselines3.common.atari_wrappers.AtariWrapper", {}),),
        frame_stack=4,
    )
    path = output() / "breakout_agent" / f"ppo_{TIMESTEPS}_steps.zip"
    path = trained_agent(PPO, recipe, path, TIMESTEPS, seed=0, **TRAINING)
    return load_agent("ppo", None, folder=path, recipe=recipe)


def measure(name: str, agent: str, baseline: str, explainers) -> Benchmark:
    """Measure explainers of an agent, in as many processes as there are processors."""
    made = run_benchmark(
        {name: agent},
        {explainer: SETTINGS.get(explainer, {}) for explainer in explainers},
        MAIN | UNDER,
        output=output() / name,
        n_states=N_STATES,
        baseline=baseline,
        load_kwargs={} if agent == "demo" else {"trusted": ["bench_table"]},
        backend="processes",
        threads=1,
    )
    tables = HERE.parent / "docs" / "tables"
    tables.mkdir(exist_ok=True)
    with atomic_path(tables / f"{name}.md") as path:
        path.write_text(write_tables(made, name), encoding="utf-8")
    return made


def write_tables(made: Benchmark, name: str) -> str:
    """Tables: what is claimed, what is the state's own, further imputations, and the ranks."""
    tables, notes = made.join_seeds(), collect_notes(made.outcomes)
    caption = (made.output / "benchmark.md").read_text(encoding="utf-8").splitlines()[-1]
    claimed, under = (
        markdown_table(tables, list(metrics), notes, "").strip() for metrics in (MAIN, UNDER)
    )
    under = under.removeprefix(f"## {name}").strip()
    parts = [
        claimed,
        "**What is the state's own**: a learned method's figures less those of its control, of the "
        "same states",
        own_table(made),
        "**Under other imputations**",
        under,
        "**Ranks** of the seven and of integrated gradients, 1 for the best",
        rank_table(made),
        caption,
    ]
    return "\n\n".join(parts) + "\n"


def own_table(made: Benchmark) -> str:
    """Differences of learned methods to their controls as Markdown, paired by state."""
    outcomes = {outcome.job.row: outcome for outcome in made.outcomes}
    words = [get_metric_words(metric) for metric in OWN]
    rows = [["", *(f"{one.label} {one.arrow}" for one in words)], ["---", *["---:"] * len(OWN)]]
    for name, control in outcomes.items():
        owner = outcomes[split_control(name)[0]]
        if owner is control:
            continue
        keys = ["metric", "state"]
        assert owner.values[keys].equals(control.values[keys])
        less = owner.values.assign(value=owner.values["value"] - control.values["value"])
        differences = [compute_interval([replace(owner, values=less)], metric) for metric in OWN]
        figures = [f"{d['mean']:+.3f} ({d['low']:+.3f} to {d['high']:+.3f})" for d in differences]
        label = f"{get_explainer_label(owner.job.row)} less {split_control(name)[1]}"
        rows.append([label, *figures])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def rank_table(made: Benchmark) -> str:
    """Ranks as Markdown: a row for each metric of which one is better, and a column a method."""
    means: dict[str, dict[str, Interval]] = {}
    for line in made.table().itertuples():
        if line.explainer in (*METHODS, "integrated_gradients"):
            found = Interval(line.mean, line.low, line.high, line.n)
            means.setdefault(line.explainer, {})[line.metric] = found
    ranks = rank_explainers(means).T.reindex([*MAIN, *UNDER]).dropna(how="all")
    rows = [["", *map(get_explainer_label, ranks.columns)], ["---", *["---:"] * len(ranks.columns)]]
    for metric, row in zip(ranks.index, ranks.to_numpy().tolist(), strict=True):
        words = get_metric_words(metric)
        rows.append([f"{words.label} {words.arrow}", *("" if x != x else f"{x:.0f}" for x in row)])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def report(record, name: str, made: Benchmark) -> None:
    lines = made.table()
    for line in lines[lines.explainer == "visionmask"].itertuples():  # the rest is in docs/tables
        if line.metric in MAIN:
            unit = "nats" if "policy" in line.metric else "share"
            record(f"table.{name}.{line.explainer}.{line.metric}", line.mean, unit)
    seven = lines[lines.explainer.isin(METHODS)]
    for metric, rank in CLAIMS.items():
        means = seven[seven.metric == metric].set_index("explainer")["mean"]
        ranks = means.rank(ascending=get_metric_words(metric).better == "down", method="min")
        record(f"table.{name}.visionmask_rank.{metric}", ranks["visionmask"], "rank", f"<= {rank}")
