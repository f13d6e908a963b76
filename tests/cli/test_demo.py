"""The command that is tried first: a page at once, and a better one when an explainer is fitted."""

import json

import pytest

from sb3_explain.cli import explain, main
from sb3_explain.workflows import page_plan, pipeline

pytestmark = pytest.mark.slow

#: the demo as it is, of fewer states
SIZES = [
    (explain, {"DEMO_STATES": 300, "DEMO_TRAINING": {"epochs": 1}}),
    (pipeline, {"FIRST_STATES": 100, "FIRST_EVALUATED": 1, "EVALUATED": 1}),
    (page_plan, {"FIRST_PICTURES": 40, "PLAYED": 60, "FIRST_SHOWN": 4, "SHOWN": 5}),
]


def test_the_demo_measures_and_draws_what_was_fitted(monkeypatch, tmp_path, capsys):
    for module, sizes in SIZES:
        for name, size in sizes.items():
            monkeypatch.setattr(module, name, size)
    assert main(["demo", "-o", str(tmp_path), "--no-progress"]) == 0
    first, _, second = capsys.readouterr().out.partition("open ")
    assert first.startswith("first page") and "report.html" in second
    measured = json.loads((tmp_path / "metrics.json").read_text())["explainers"]
    assert {"visionmask", "visionmask template", "visionmask swapped", "random"} <= set(measured)
    names = set(measured["visionmask"])
    assert {"accuracy", "insertion", "specificity", "policy_preservation"} <= names
    # those that take longest, and those of another target or of boxes, are left out
    left_out = {"pixel_flipping", "local_lipschitz", "value_preservation", "relevance_mass"}
    assert not names & left_out
    assert "VisionMask" in (tmp_path / "report.html").read_text()
