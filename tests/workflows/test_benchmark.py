"""The grid: the same figures wherever it runs and however often it is killed, and its files."""

import json
import multiprocessing
import shutil
import socket
import sys
import time
from multiprocessing import forkserver
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from sb3_explain import StateDataset, VisionMask, evaluate
from sb3_explain.cli import main
from sb3_explain.common.controls import CONTROLS
from sb3_explain.common.errors import ExplainError
from sb3_explain.evaluation.metrics import METRICS
from sb3_explain.evaluation.targets import OF_QUANTITIES
from sb3_explain.explainers import EXPLAINERS
from sb3_explain.states.baselines import make_baseline
from sb3_explain.workflows.benchmark import NamedAgent, run_benchmark
from sb3_explain.workflows.benchmark.grid import read_explainers, read_metrics
from sb3_explain.workflows.benchmark.results import compute_interval
from tests.workflows import benchmark_agents

HERE = "tests.workflows.benchmark_agents"
AGENTS = {"one": f"{HERE}:first", "two": f"{HERE}:second"}
EXPLAINERS_ = {
    "visionmask": {"network_options": {"width": 4}, "refine_steps": 2},
    **{name: {} for name in ("gradient", "greydanus", "random", "constant", "empty")},
}
#: the controls of the one that learns
OWN = ["visionmask template", "visionmask swapped"]
#: a local Lipschitz estimate draws, and accuracy takes masks alone
METRICS_ = {
    "insertion": {"steps": 4},
    "local_lipschitz": {"n": 2},
    "accuracy": {},
    "accuracy@0.1": {},
}
SEEDS = (0, 1)
SMALL = {
    "n_states": 300,
    "n_evaluated": 20,
    "collect_kwargs": {"max_per_episode": 10},
    "fit_kwargs": {"epochs": 1, "precision": "no"},
    "load_kwargs": {"trusted": ["tests"]},
    "progress": False,
}
#: what depends on the clock
TIMES = ["seconds", "fit_seconds", "metric_seconds"]


def grid(output, agents=AGENTS, explainers=EXPLAINERS_, metrics=METRICS_, seeds=SEEDS, **more):
    return run_benchmark(
        agents, explainers, metrics, output=output, seeds=seeds, **{**SMALL, **more}
    )


def values_of(benchmark):
    """Every value of every state."""
    return pd.concat([outcome.values for outcome in benchmark.outcomes], ignore_index=True)


def assert_same(found, desired, part="seed >= 0", *, any_order=False):
    """Two grids have the same figures, bit for bit; ``part`` is the part of the second."""
    for one, other in (
        (values_of(found), values_of(desired)),
        (found.table().drop(columns=TIMES), desired.table().drop(columns=TIMES)),
    ):
        other = other.query(part).reset_index(drop=True)
        if any_order:  # of the explainers
            one, other = (
                each.sort_values("explainer", kind="stable", ignore_index=True)
                for each in (one, other)
            )
        pd.testing.assert_frame_equal(one, other, check_exact=True)


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """The whole grid in this process."""
    return grid(tmp_path_factory.mktemp("here"))


@pytest.fixture
def without_figures(monkeypatch):
    """Grids whose values alone are compared draw nothing."""
    monkeypatch.setattr("sb3_explain.workflows.benchmark.output.save", lambda *_: None)


# --- the same wherever it runs ---------------------------------------------------------------


def test_a_job_measures_what_evaluate_measures(here):
    agent, _ = NamedAgent("one", AGENTS["one"], SMALL["load_kwargs"]).load()
    folder = here.output / "one" / "seed_1"
    train, _, test = StateDataset.open(folder / "states").split(seed=1)
    explainers = {
        "visionmask": VisionMask.load(folder / "visionmask", agent),
        "random": EXPLAINERS["random"](agent, seed=1),
        "greydanus": EXPLAINERS["greydanus"](agent),
    }
    evaluation = evaluate(
        agent,
        test,
        explainers,
        METRICS_,
        baseline=make_baseline("background", train.frames()),
        train=train,
        n_evaluated=20,
        seed=1,
    )
    ours = values_of(here).query("agent == 'one' and seed == 1")
    table = here.table().query("agent == 'one' and seed == 1").set_index(["explainer", "metric"])
    theirs = evaluation.table().set_index(["explainer", "metric"])
    for name in (*explainers, *OWN):
        assert set(evaluation.values[name]) == set(ours.query("explainer == @name")["metric"])
        for metric, values in evaluation.values[name].items():
            column = ours.query("explainer == @name and metric == @metric")["value"]
            np.testing.assert_array_equal(column, values)
            exact = ["mean", "n", "episodes", "forwards", "metric_forwards"]
            assert table.loc[(name, metric), exact].tolist() == (
                theirs.loc[(name, metric), exact].tolist()
            )
    assert set(ours.query("explainer == 'empty'")["metric"]) == {"local_lipschitz", "accuracy"}


@pytest.mark.usefixtures("without_figures")
@pytest.mark.parametrize("backend", ["processes", "ray"])
def test_elsewhere_is_the_same_though_a_worker_is_killed(here, tmp_path, monkeypatch, backend):
    if backend == "ray":
        pytest.importorskip("ray")
    monkeypatch.setenv(benchmark_agents.KILL_IN, str(tmp_path))
    (tmp_path / "kill").touch()
    killed = {"two": AGENTS["two"]}
    forkserver.ensure_running()  # with what all tests preload
    elsewhere = grid(tmp_path, killed, seeds=[1], backend=backend, jobs=2)
    assert not (tmp_path / "kill").exists(), "no worker was killed"
    assert not elsewhere.failures()
    assert_same(elsewhere, here, "agent == 'two' and seed == 1")


def written(paths):
    """When each file was written."""
    return {path: path.stat().st_mtime_ns for path in paths}


@pytest.mark.usefixtures("without_figures")
def test_a_killed_run_goes_on(here, tmp_path):
    """The process is killed after some jobs; the next one does only what is left."""
    one = {"one": AGENTS["one"]}
    process = multiprocessing.get_context("forkserver").Process(target=grid, args=(tmp_path, one))
    process.start()
    deadline = time.monotonic() + 300
    while len(list(tmp_path.glob("*/seed_*/*.json"))) < 3:
        assert process.is_alive() and time.monotonic() < deadline
        time.sleep(0.02)
    process.kill()
    process.join()
    results = written(tmp_path.glob("*/seed_*/*.json"))
    assert 3 <= len(results) < 12
    finished = results | written(tmp_path.glob("*/*/visionmask/fitted.json"))
    whole = grid(tmp_path, one)
    assert written(finished) == finished
    assert_same(whole, here, "agent == 'one'")
    # nothing is left to do
    results = written(outcome.job.result for outcome in whole.outcomes)
    about = json.loads((grid(tmp_path, one).output / "about.json").read_text())
    assert about["run"]["run now"] == 0
    assert written(results) == results


@pytest.mark.usefixtures("without_figures")
def test_what_was_fitted_is_not_fitted_again(here, tmp_path):
    """Killed between fitting and measuring: the weights are read, and the figures are the same."""
    shutil.copytree(here.output / "one", tmp_path / "one")
    folder = tmp_path / "one" / "seed_0"
    (folder / "visionmask.json").unlink()
    weights = written([folder / "visionmask" / "visionmask.safetensors"])
    learned = {"visionmask": EXPLAINERS_["visionmask"]}
    again = grid(tmp_path, {"one": AGENTS["one"]}, learned, seeds=[0])
    assert written(weights) == weights
    measured = ["visionmask", "visionmask template", "visionmask swapped", *CONTROLS]
    part = f"agent == 'one' and seed == 0 and explainer in {measured}"
    assert_same(again, here, part, any_order=True)


@pytest.mark.usefixtures("without_figures")
def test_controls_are_made_of_what_was_fitted(here, tmp_path):
    """A grid of an earlier time has none: they are added, and nothing else runs again."""
    shutil.copytree(here.output / "one", tmp_path / "one")
    folder = tmp_path / "one" / "seed_0"
    for name in OWN:
        (folder / f"{name}.json").unlink()
        (folder / f"{name}.parquet").unlink()
    files = written([*folder.glob("*.json"), *folder.glob("visionmask/*")])
    again = grid(tmp_path, {"one": AGENTS["one"]}, seeds=[0])
    assert written(files) == files
    assert json.loads((tmp_path / "about.json").read_text())["run"]["run now"] == 2
    assert_same(again, here, "agent == 'one' and seed == 0")


# --- tables and files ------------------------------------------------------------------------


def test_the_table_is_tidy(here):
    table = pd.read_parquet(here.output / "benchmark.parquet")
    assert list(table.columns) == [
        "agent", "explainer", "seed", "metric", "mean", "low", "high", "n", "states", "episodes",
        "forwards", "seconds", "fit_seconds", "metric_forwards", "metric_seconds", "note",
    ]  # fmt: skip
    key = ["agent", "explainer", "seed", "metric"]
    assert not table.duplicated(key).any()
    asked = {(a, e, s) for a in AGENTS for e in (*EXPLAINERS_, *OWN) for s in SEEDS}
    assert set(zip(*(table[name] for name in key[:3]), strict=True)) == asked
    assert (table["states"] == 20).all() and (table["n"] == 20).all()
    assert (table.query("explainer == 'greydanus'")["forwards"] == 20 * 26).all()
    learned = table["explainer"] == "visionmask"
    assert (table["fit_seconds"][learned] > 0).all() and (table["fit_seconds"][~learned] == 0).all()
    written = pd.read_csv(here.output / "benchmark.csv")
    np.testing.assert_allclose(written["mean"], table["mean"], rtol=1e-12)


def test_seeds_are_joined_by_their_episodes(here):
    """Against a slow bootstrap over (seed, episode) pairs."""
    values = values_of(here).query(
        "agent == 'one' and explainer == 'random' and metric == 'insertion'"
    )
    groups = [group.to_numpy() for _, group in values.groupby(["seed", "episode"])["value"]]
    assert len(groups) >= 2 * 3
    # fewer than 10 episodes would be cut into blocks of 100 states, of which each has one
    rng = np.random.default_rng(0)
    draws = [
        np.concatenate([groups[i] for i in rng.integers(0, len(groups), len(groups))]).mean()
        for _ in range(4000)
    ]
    found = here.join_seeds()["one"]["random"]["insertion"]
    assert found["mean"] == pytest.approx(values["value"].mean(), rel=1e-12)
    assert found["n"] == 40
    width = np.ptp(np.percentile(draws, [2.5, 97.5]))
    assert abs(found["low"] - np.percentile(draws, 2.5)) < 0.1 * width
    assert abs(found["high"] - np.percentile(draws, 97.5)) < 0.1 * width


@pytest.mark.usefixtures("without_figures")
def test_the_same_states_under_two_seeds_count_once(tmp_path):
    """An agent that brings its states has the same episodes under every seed."""
    found = grid(
        tmp_path, {"brought": f"{HERE}:with_states"}, ["random"], {"accuracy@0.1": {}},
        n_evaluated=300,
    )  # fmt: skip
    pairs = np.concatenate([outcome.clusters() for outcome in found.outcomes], axis=1)
    episodes = {seed: set(part["episode"]) for seed, part in values_of(found).groupby("seed")}
    assert len(np.unique(pairs, axis=1).T) == len(episodes[0] | episodes[1])
    assert not (found.output / "brought" / "seed_0" / "states").exists()
    # so many as the test parts have, not as were asked for, and none were collected
    counts = sorted(outcome.record["states"]["n"] for outcome in found.outcomes)
    assert counts[1] < 300
    span = str(counts[0]) if counts[0] == counts[1] else f"{counts[0]} to {counts[1]}"
    said = f"fewer than 10; {span} test states for each seed"
    assert said in (found.output / "benchmark.md").read_text()
    own = compute_interval(found.outcomes[:1], "accuracy@0.1")
    assert own == compute_interval([found.outcomes[0], found.outcomes[0]], "accuracy@0.1") | {
        "n": own["n"],
        "low": pytest.approx(own["low"]),
        "high": pytest.approx(own["high"]),
    }


def test_the_files_of_the_whole_grid(here):
    about = json.loads((here.output / "about.json").read_text())
    outcomes = [outcome.record["cost"] for outcome in here.outcomes]
    assert about["forwards"] == sum(cost["all_forwards"] for cost in outcomes) > 0
    assert about["run"] == {"backend": "here", "threads": 1, "jobs": 32, "run now": 32}
    assert about["machines"][0]["versions"]["torch"] == torch.__version__
    markdown = (here.output / "benchmark.md").read_text()
    assert markdown.count("| VisionMask |") == 2
    assert markdown.count("| VisionMask, template |") == 2
    assert markdown.index("| Greydanus |") < markdown.index("| VisionMask, swapped |")  # a control
    assert "; 20 test states of 300 for each seed (0 and 1); " in markdown
    assert f"{about['forwards']:,} forward passes" in markdown
    tex = (here.output / "benchmark.tex").read_text()
    assert tex.count(r"\begin{tabular}") == 2
    joined = pd.read_csv(here.output / "joined.csv").set_index(["agent", "explainer", "metric"])
    assert joined.loc[("two", "gradient", "insertion"), "n"] == 40
    for name in ("bars.png", "radar.png"):
        assert (here.output / name).read_bytes().startswith(b"\x89PNG")


# --- what cannot be run, what fails, and mistakes -----------------------------------------------


def test_an_explainer_that_does_not_serve_an_agent_is_a_row(tmp_path):
    found = grid(
        tmp_path, {"vectors": f"{HERE}:of_vectors"}, ["greydanus", "gradient"], ["sparseness"],
        seeds=[0],
    )  # fmt: skip
    assert not found.failures()
    rows = found.table().set_index("explainer")
    assert rows.loc["greydanus", "note"].startswith("not run: ")
    assert rows.loc["gradient", "note"] == "" and rows.loc["gradient", "n"] == 20
    assert rows.loc["greydanus", "note"] in (tmp_path / "benchmark.md").read_text()


def test_a_failure_is_one_line_and_the_others_finish(tmp_path, capsys):
    arguments = [
        "evaluate", "--agents", f"bad={HERE}:broken", f"good={HERE}:first", "--trust", "tests",
        "--explainers", "random", "--metrics", "sparseness", "-n", "200", "--n-evaluated", "10",
        "--collecting", "max_per_episode:10", "-o", str(tmp_path), "--no-progress",
    ]  # fmt: skip
    assert main(arguments) == 2
    shown = capsys.readouterr()
    message = [line for line in shown.err.splitlines() if line.startswith("sb3-explain: ")]
    assert len(message) == 2 and "random of bad, seed 0; " in message[0]
    assert "gradient of bad, seed 0: RuntimeError: the weights" in message[0]
    assert "4 of 8 jobs failed" in message[1]
    assert "are gone" in Path(message[0].split("(see ")[1].rstrip(")")).read_text()
    assert "good" in shown.out and (tmp_path / "good" / "seed_0" / "random.json").exists()
    assert "failed: RuntimeError" in (tmp_path / "benchmark.md").read_text()
    assert main([*arguments, "--seeds", "0"]) == 2  # tried again, not taken for done


@pytest.mark.usefixtures("without_figures")
def test_results_of_other_settings_or_agents_are_not_mixed(here, tmp_path):
    shutil.copytree(here.output / "one", tmp_path / "one")
    mine = {"output": tmp_path, "agents": {"one": AGENTS["one"]}, "explainers": ["random"]}
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ExplainError, match="made with other metrics"):
        grid(**mine, metrics=["sparseness"])
    with pytest.raises(ExplainError, match="made with other states"):
        grid(**mine, n_states=500)
    assert sorted(tmp_path.rglob("*")) == before
    other = grid(**{**mine, "agents": {"one": AGENTS["two"]}, "explainers": ["occlusion"]})
    assert "holds results of another agent" in next(iter(other.failures()))


@pytest.mark.usefixtures("without_figures")
def test_one_method_with_several_settings(tmp_path):
    agent = benchmark_agents.first()
    faint = {"constant": {"area": 0.2}, "bright=constant": {"area": 0.9}}
    found = grid(tmp_path, {"mine": agent}, faint, ["mask_area"], seeds=[3])
    means = found.table().set_index("explainer")["mean"]
    assert means[["constant", "bright"]].tolist() == pytest.approx([0.2, 0.9])


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"agents": ["pp0:Dot-v0"]}, "did you mean 'ppo'"),
        ({"agents": ["dot"]}, "names no agent"),
        ({"agents": ["os.path:join"], "load_kwargs": {}}, "trusted=.'os"),
        ({"agents": ["demo", "demo"]}, "two agents"),
        ({"explainers": ["greydanos"]}, "did you mean 'greydanus'"),
        ({"explainers": {"occlusion": {"strid": 3}}}, "did you mean 'stride'"),
        ({"explainers": ["random", "random=gradient"]}, "the same name"),
        ({"explainers": ["a/b=random"]}, "no name for a file"),
        ({"metrics": ["insertoin"]}, "did you mean 'insertion'"),
        ({"metrics": ["relevance_mass"]}, "boxes"),
        ({"metrics": {"insertion": {"step": 3}}}, "did you mean 'steps'"),
        ({"baseline": "blurr"}, "did you mean 'blur'"),
        ({"seeds": [1, 1]}, "seeds that differ"),
        ({"n_evaluated": 0}, "at least 1"),
        ({"backend": "rai"}, "did you mean 'ray'"),
        ({"address": "auto"}, "has no address"),
        ({"jobs": 2}, "choose backend 'processes'"),
        ({"agents": {"mine": None}, "backend": "processes"}, "agents by name"),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_a_mistake_is_told_before_anything_is_made(tmp_path, wrong, said):
    if wrong.get("agents") == {"mine": None}:
        wrong = {**wrong, "agents": {"mine": benchmark_agents.first()}}
    with pytest.raises(ExplainError, match=said) as message:
        grid(tmp_path / "out", **wrong)
    assert "\n" not in str(message.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("without_figures")
def test_what_learns_masks_with_the_baseline_that_it_is_measured_with(tmp_path):
    small = {"network": "compact", "network_options": {"width": 4}}
    explainers = {"stalder": small, "own=stalder": {**small, "baseline": "mean"}, "random": {}}
    made = grid(
        tmp_path, {"one": AGENTS["one"]}, explainers, {"sparseness": {}}, [0], baseline="black"
    )
    assert not made.failures()
    agent, _ = NamedAgent("one", AGENTS["one"], SMALL["load_kwargs"]).load()
    learned = EXPLAINERS["stalder"]
    folder = tmp_path / "one" / "seed_0"
    assert learned.load(folder / "stalder", agent).settings.baseline == "black"
    assert learned.load(folder / "own", agent).settings.baseline == "mean"


def test_without_pyarrow_one_line_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ExplainError, match=r"^a benchmark needs pyarrow: pip install 'sb3_explain"):
        grid(tmp_path / "out", explainers=["unknown"])
    assert not (tmp_path / "out").exists()


def test_no_ray_at_the_address(tmp_path):
    pytest.importorskip("ray")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"  # bound, but nobody listens
        with pytest.raises(ExplainError, match="no Ray answers"):
            grid(tmp_path / "out", backend="ray", address=address)
    assert not (tmp_path / "out").exists()


def test_all_means_all():
    assert {name for name, *_ in read_explainers("all")} == set(EXPLAINERS)
    assert set(read_metrics("all")) == set(METRICS) - {"relevance_mass"} - OF_QUANTITIES
    with pytest.raises(ExplainError, match="value_preservation is no metric of actions"):
        read_metrics("value_preservation")
    assert read_metrics({"all": {}, "insertion": {"steps": 7}})["insertion"] == {"steps": 7}
