"""Damaged files of results: metrics, curves, grids, returns, boxes. Read right, or refused."""

import json
import os
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sb3_explain.common.errors import ExplainError
from sb3_explain.evaluation.boxes import read_boxes
from sb3_explain.report import page, write_report
from sb3_explain.report.measured import read_curves, read_metrics
from sb3_explain.workflows.benchmark.agents import NamedAgent
from sb3_explain.workflows.benchmark.job import FORMAT, Cell, Job, Protocol, read_result
from sb3_explain.workflows.benchmark.output import write_output
from sb3_explain.workflows.benchmark.results import read_outcomes
from sb3_explain.workflows.model_card import write_metrics_table
from sb3_explain.workflows.pixel_training.benchmark import read_episodes
from sb3_explain.workflows.pixel_training.run_folder import read_curve
from tests.limits import refuse_within
from tests.mutations import FEW, MANY, fuzz, require_line
from tests.toys import dot_agent, dot_states

MADE = {
    "date": "2026-01-01", "python": "3.12", "processor": "x", "processors": 2, "threads": 1,
    "versions": {"torch": "2.8"},
}  # fmt: skip
ESTIMATE = {"mean": 0.5, "low": 0.4, "high": 0.6, "n": 30}
COST = {"forwards": 10.0, "seconds": 1.5, "fit_seconds": 2.0}
MEASURED = {
    "agent": {"algo": "ppo", "environment": {"env_id": "Dot-v0"}, "actions": ["left", "right"]},
    "states": {"n": 30, "episodes": 3, "confidence": 0.95},
    "explainers": {
        name: {"insertion": ESTIMATE, "accuracy": {**ESTIMATE, "low": None}, "cost": COST}
        for name in ("visionmask", "random")
    },
    "made": MADE,
}
CURVES = {"visionmask": {"insertion": [0.1, 0.5, 0.9], "deletion": [0.9, 0.2, 0.1]}}


@pytest.fixture
def results(tmp_path):
    """A folder with one file of each kind."""
    files = {
        "metrics": MEASURED,
        "curves": CURVES,
        "run": {"identity": {"seed": 0}, "curve": [{"steps": 5, "return": None, "seconds": 1.0}]},
        "returns": {"asked": {"n": 1}, "returns": [1.0, 2.5]},
        "boxes": {
            "size": [48, 48],
            "objects": [[{"category": "Dot", "xywh": [1, 2, 3, 4]}]] * 4,
        },
    }
    for name, content in files.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    return tmp_path


@pytest.fixture
def drawn_once(monkeypatch):
    """Figures of a page are drawn once of the same numbers, whatever the theme."""
    for name in ("curve_figure", "metric_figure"):
        monkeypatch.setattr(page, name, remember(getattr(page, name)))


def remember(draw):
    """A function of plain data and a theme, which keeps what it drew in the first theme."""
    cache = {}

    def drawn(*args, theme="light", **kwargs):
        asked = pickle.dumps((args, sorted(kwargs.items())))
        if asked not in cache:
            cache[asked] = draw(*args, theme=theme, **kwargs)
        return cache[asked]

    return drawn


def read_page(folder):
    """Both files, and the page and the table of the model card that show them."""
    measured, curves = read_metrics(folder / "metrics.json"), read_curves(folder / "curves.json")
    write_metrics_table(measured)
    write_report(folder / "page", metrics=measured, curves=curves, date=measured.get("date", ""))


READERS = {
    "run": lambda folder: read_curve(folder, {"seed": 0}),
    "returns": lambda folder: read_episodes(folder / "returns.json", {"n": 1}),
    "boxes": lambda folder: read_boxes(folder / "boxes.json", dot_states(dot_agent(), n=4)),
}


@pytest.mark.parametrize("name", READERS)
def test_mutations_are_read_or_refused(results, name):
    counts = fuzz(results / f"{name}.json", lambda: READERS[name](results), FEW)
    assert counts["refused"] > FEW / 4


@pytest.mark.usefixtures("drawn_once")
@pytest.mark.parametrize("name", ["metrics", "curves"])
def test_a_page_of_mutations_is_written_or_refused(results, name):
    counts = fuzz(results / f"{name}.json", lambda: read_page(results), FEW // 4)
    assert counts["refused"] > FEW / 16


@pytest.mark.slow
@pytest.mark.parametrize("name", READERS)
def test_many_mutations_are_read_or_refused(results, name):
    fuzz(results / f"{name}.json", lambda: READERS[name](results), MANY, seed=1)


@pytest.mark.slow
@pytest.mark.usefixtures("drawn_once")
@pytest.mark.parametrize("name", ["metrics", "curves"])
def test_a_page_of_many_mutations_is_written_or_refused(results, name):
    fuzz(results / f"{name}.json", lambda: read_page(results), MANY // 2, seed=1)


#: where in metrics.json, what stands there, and what the line says
METRICS = {
    "no explainers": ((), {}, "explainers is missing"),
    "a list": ((), [], r"is \[\], not a dict"),
    "explainers as a list": (("explainers",), [], "explainers is"),
    "a row of none": (("explainers", "random"), None, "explainers.random is None"),
    "an estimate as a number": (("explainers", "random", "insertion"), 0.5, "insertion is 0.5"),
    "a mean of 1e308": (("explainers", "random", "insertion", "mean"), 1e308, "mean is 1e.308"),
    "a mean as a text": (("explainers", "random", "insertion", "mean"), "0.5", "mean is '0.5'"),
    "a bound that is true": (("explainers", "random", "insertion", "low"), True, "low is True"),
    "a cost below 0": (("explainers", "random", "cost", "seconds"), -1, "seconds is -1"),
    "states as a list": (("states",), [1], r"states is \[1\]"),
    "a share above 1": (("states", "confidence"), 95, "confidence is 95"),
    "a date as a list": (("made", "date"), [], "date is"),
    "a name of 10^5 letters": (("explainers", "x" * 10**5), {}, "a name is 'xx"),
    "a name with an escape": (("explainers", "\x1b[31m"), {}, "a name is"),
    "a hundred explainers": (("explainers",), {str(i): {} for i in range(100)}, "at most 64"),
}


@pytest.mark.parametrize("case", METRICS)
def test_metrics_that_are_none_are_named(results, case):
    place, value, said = METRICS[case]
    content = json.loads(json.dumps(MEASURED))
    parent = content
    for name in place[:-1]:
        parent = parent[name]
    if place:
        parent[place[-1]] = value
    (results / "metrics.json").write_text(json.dumps(content if place else value))
    with pytest.raises(ExplainError, match=said) as refused:
        read_page(results)
    require_line(str(refused.value))
    assert "run `sb3-explain evaluate` again" in str(refused.value)
    assert not (results / "page").exists()


def test_names_that_are_no_utf_8_come_out_as_escapes(results):
    named = {**MEASURED, "agent": {**MEASURED["agent"], "file": "caf\udce9.zip"}}
    (results / "metrics.json").write_text(json.dumps(named))
    read_page(results)
    assert "caf\\udce9.zip" in (results / "page" / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["metrics", "curves", *READERS])
@pytest.mark.parametrize(
    ("make", "said"), [(Path.mkdir, "there is a folder in its place"), (os.mkfifo, "a pipe")]
)
def test_folders_and_pipes_in_the_place_of_files_are_said(results, name, make, said):
    (results / f"{name}.json").unlink()
    make(results / f"{name}.json")
    assert said in refuse_within(lambda: READERS.get(name, read_page)(results), seconds=10)


@pytest.fixture
def job(tmp_path):
    """A job of a grid with its two files."""
    cell = Cell(NamedAgent("dots", dot_agent), 0, Protocol({"insertion": {}}), tmp_path)
    made = Job(cell, "random", "random")
    cell.folder.mkdir(parents=True)
    result = {
        "format": FORMAT, "job": made.identity(), "agent": {}, "curves": {},
        "states": {"n": 4, "test": 4, "episodes": 2, "brought": False},
        "cost": {
            **COST, "metric_forwards": {"insertion": 3}, "metric_seconds": {"insertion": 0.5},
            "all_forwards": 5, "all_seconds": 3.0,
        },
        "made": MADE,
    }  # fmt: skip
    made.result.write_text(json.dumps(result))
    write_values(made.values)
    return made


def write_values(path, **columns):
    names = {"agent": "dots", "explainer": "random", "seed": 0, "metric": "insertion"}
    numbers = {"state": range(4), "episode": [0, 0, 1, 1], "step": [0, 1, 0, 1], "value": [0.5] * 4}
    pd.DataFrame({**names, **numbers, **columns}).to_parquet(path, index=False)


def read_grid(job):
    assert job.is_done()
    write_output(job.cell.output / "all", read_outcomes([job], {}), job.cell.protocol, {})


@pytest.mark.parametrize("name", ["result", "values"])
def test_mutations_of_a_grid_are_read_or_refused(job, name):
    pytest.importorskip("pyarrow")
    counts = fuzz(getattr(job, name), lambda: read_grid(job), FEW // 2)
    assert counts["refused"] > FEW / 8


@pytest.mark.slow
@pytest.mark.parametrize("name", ["result", "values"])
def test_many_mutations_of_a_grid_are_read_or_refused(job, name):
    pytest.importorskip("pyarrow")
    fuzz(getattr(job, name), lambda: read_grid(job), MANY, seed=1)


#: columns of the values
VALUES = {
    "values as texts": {"value": ["a"] * 4},
    "steps that are fractions": {"step": [0.5] * 4},
    "another metric": {"metric": "deletion"},
    "no episodes": {"episode": None},
    "ten times as many rows": {n: np.arange(40) for n in ("state", "episode", "step", "value")},
}


@pytest.mark.parametrize("case", VALUES)
def test_values_that_are_none_are_refused(job, case):
    pytest.importorskip("pyarrow")
    columns = VALUES[case]
    if case == "ten times as many rows":
        pd.DataFrame({"metric": "insertion", **columns}).to_parquet(job.values, index=False)
    else:
        write_values(job.values, **columns)
    with pytest.raises(ExplainError, match="delete it and run again") as refused:
        read_grid(job)
    require_line(str(refused.value))


#: parts of a result
RESULT = {
    "no cost": ({"cost": None}, "cost is None"),
    "no machine": ({"made": {}}, "made.date is missing"),
    "states of none": ({"states": {"n": 0, "episodes": 1, "brought": False}}, "n is 0"),
    "a reason that is a list": ({"not_run": []}, "not_run is"),
    "a job as a text": ({"job": "x"}, "job is 'x'"),
    "a format as a text": ({"format": "1"}, "format is '1'"),
}


@pytest.mark.parametrize("case", RESULT)
def test_results_that_are_none_are_named(job, case):
    values, said = RESULT[case]
    job.result.write_text(json.dumps({**json.loads(job.result.read_text()), **values}))
    with pytest.raises(ExplainError, match=said) as refused:
        read_result(job.result)
    require_line(str(refused.value))
