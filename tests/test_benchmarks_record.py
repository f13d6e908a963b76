"""The record of measured figures: benchmarks/run.py."""

import json
import sys
from pathlib import Path

import pytest

from benchmarks.run import environment, is_met, main, record


def rows(folder: Path, name: str = "results.json") -> list[dict]:
    return json.loads((folder / name).read_text())


def test_a_row_has_the_five_keys_and_its_machine_stands_beside_it(tmp_path):
    record("speed", 310, "frames/s", ">= 300", folder=tmp_path)
    assert rows(tmp_path) == [
        {"id": "speed", "value": 310.0, "unit": "frames/s", "target": ">= 300", "met": True}
    ]
    (beside,) = rows(tmp_path, "machine.json")
    assert set(beside) == {"id", "date", "machine", "versions"}
    assert beside["id"] == "speed"
    assert beside["versions"]["torch"] == environment()["versions"]["torch"]


def test_a_row_of_the_same_id_is_replaced_in_its_place(tmp_path):
    for id, value in [("a", 1), ("b", 2), ("a", 3)]:
        record(id, value, "s", folder=tmp_path)
    assert [(row["id"], row["value"], row["met"]) for row in rows(tmp_path)] == [
        ("a", 3.0, None),
        ("b", 2.0, None),
    ]
    assert [row["id"] for row in rows(tmp_path, "machine.json")] == ["a", "b"]
    assert {path.name for path in tmp_path.iterdir()} == {"results.json", "machine.json"}


@pytest.mark.parametrize(
    ("value", "target", "expected"),
    [
        (0.95, ">= 0.95", True),
        (0.949, ">= 0.95", False),
        (1e-7, "<= 1e-6", True),
        (0.12, "< 0.12", False),
        (-110, "> -129", True),
        (20, "== 20", True),
        (19, "== 20", False),
    ],
)
def test_met_is_computed_from_the_target(value, target, expected):
    assert is_met(value, target) is expected


@pytest.mark.parametrize("target", ["", "0.95", "=> 0.95", ">= 95%", ">= 0.9 and < 1"])
def test_a_target_that_is_no_comparison_is_refused_and_nothing_written(tmp_path, target):
    with pytest.raises(ValueError, match="is not a comparison"):
        record("accuracy", 0.96, "share", target, folder=tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_value_that_is_not_finite_is_refused_and_nothing_written(tmp_path, value):
    with pytest.raises(ValueError, match="accuracy"):
        record("accuracy", value, "share", folder=tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_write_that_fails_leaves_the_earlier_rows(tmp_path, monkeypatch):
    record("a", 1, "s", folder=tmp_path)
    before = (tmp_path / "results.json").read_bytes()

    def disk_full(path, target):
        raise OSError("no space left on device")

    monkeypatch.setattr(Path, "replace", disk_full)
    with pytest.raises(OSError, match="no space"):
        record("a", 2, "s", folder=tmp_path)
    assert (tmp_path / "results.json").read_bytes() == before


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with two benchmarks that measure and, between them, one that raises."""
    for name, body in {
        "first": 'record("first/speed", 2, "s", "<= 1")',
        "raises": 'raise RuntimeError("no agent")',
        "second": 'record("second/speed", 3, "s")',
    }.items():
        (tmp_path / f"bench_{name}.py").write_text(f"def run(record):\n    {body}\n")
        monkeypatch.delitem(sys.modules, f"bench_{name}", raising=False)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    return tmp_path


def test_all_benchmarks_run_although_one_raises(folder, capsys):
    assert main([], folder) == 1
    assert [row["id"] for row in rows(folder)] == ["first/speed", "second/speed"]
    captured = capsys.readouterr()
    assert "NOT MET" in captured.out
    assert "no agent" in captured.err
    assert captured.err.endswith("failed: raises\n")


def test_a_missed_target_is_no_failure_and_only_the_named_benchmark_runs(folder):
    assert main(["first"], folder) == 0
    assert [(row["id"], row["met"]) for row in rows(folder)] == [("first/speed", False)]


def test_an_unknown_benchmark_is_named_with_the_known_ones(folder, capsys):
    with pytest.raises(SystemExit) as error:
        main(["third"], folder)
    assert error.value.code == 2
    assert "unknown benchmark 'third' (known: first, raises, second)" in capsys.readouterr().err
