"""Figures: PNG of a sensible size, the same bytes every time, one colour per explainer."""

import io
import itertools

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image

from sb3_explain.common.controls import CONTROLS
from sb3_explain.common.errors import ExplainError
from sb3_explain.report import (
    TargetAttributions,
    curve_figure,
    metric_figure,
    save,
    target_attributions_figure,
)
from sb3_explain.report.explanation_figure import draw_evaluation
from sb3_explain.report.palette import assign_styles
from sb3_explain.report.wording import Wording

CURVES = {
    "visionmask": {"insertion": [0.1, 0.5, 0.6], "deletion": [0.6, 0.2, 0.1]},
    "rise": {"insertion": [0.1, 0.3, 0.6]},
    "random": {"insertion": [0.1, 0.2, 0.6]},
    "broken": {"insertion": [float("nan")] * 3},
}
TABLE = {
    "visionmask": {
        "accuracy": {"mean": 0.97, "low": 0.96, "high": 0.98, "n": 100},
        "local_lipschitz": {"mean": 2.0, "low": 1.0, "high": 3.0, "n": 100},
        "cost": {"seconds": 1.0},
    },
    "$odd_$name^{": {"local_lipschitz": {"mean": 900.0}, "accuracy": {"mean": None}},
    "empty": {"accuracy": {"mean": float("nan"), "low": None}, "local_lipschitz": {"mean": 0.0}},
}


def opened(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def example(k=3, **changes):
    rng = np.random.default_rng(0)
    values = {
        "frame": rng.integers(0, 256, (60, 50, 3), dtype=np.uint8),
        "attributions": rng.random((k, 21, 21)),
        "action_names": [f"action $_{i}" for i in range(k)],
        "probabilities": np.full(k, 1 / k),
        "chosen": k - 1,
        **changes,
    }
    return TargetAttributions(**values)


def has(picture, color):
    desired = [int(color[i : i + 2], 16) for i in (1, 3, 5)]
    return (np.abs(picture - desired).max(axis=2) <= 2).any()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_curves_are_drawn_in_the_colours_of_their_explainers(theme):
    picture = opened(curve_figure(CURVES, theme=theme))
    drawn = assign_styles(CURVES, CONTROLS)
    assert has(picture, drawn["visionmask"].color) and has(picture, drawn["rise"].color)
    assert (picture[0, 0] > 200).all() == (theme == "light")
    # only the first has a deletion curve
    alone = opened(curve_figure(CURVES, ["deletion"], theme=theme))
    assert not has(alone, drawn["rise"].color)


def test_a_curve_keeps_its_colour_when_others_have_none():
    alone = {"rise": {"insertion": [0.1, 0.6]}}
    drawn = assign_styles(["visionmask", "rise"], CONTROLS)
    picture = opened(curve_figure(alone, ["insertion"], explainers=["visionmask", "rise"]))
    assert has(picture, drawn["rise"].color) and not has(picture, drawn["visionmask"].color)


def test_metrics_are_drawn_with_what_is_missing_left_out():
    assert opened(metric_figure(TABLE)).shape[2] == 3
    assert opened(metric_figure(TABLE, ["local_lipschitz"], theme="dark")).shape[2] == 3
    assert opened(metric_figure({"a": {"accuracy": {"mean": None}}})).shape[2] == 3


def test_nothing_to_draw_and_unknown_themes_are_told():
    with pytest.raises(ExplainError, match="no metric to draw"):
        metric_figure({"a": {"cost": {}}})
    with pytest.raises(ExplainError, match="did you mean 'dark'"):
        curve_figure(CURVES, theme="darc")


@pytest.mark.parametrize("k", [1, 2, 6, 18])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_chosen_action_is_framed(k, theme):
    picture = opened(target_attributions_figure(example(k), theme=theme))
    assert has(picture, "#d9720b")


def test_an_example_without_probabilities_or_with_signs_is_drawn():
    target_attributions_figure(example(probabilities=[]))
    signed = example(attributions=np.linspace(-1, 1, 3 * 16).reshape(3, 4, 4), signed=True)
    target_attributions_figure(signed)
    assert signed.probability(0) == "33 %" and example(probabilities=[]).probability(0) == ""


def test_an_example_that_does_not_fit_together_is_refused():
    with pytest.raises(ExplainError, match="do not belong together"):
        example(probabilities=[1.0])
    with pytest.raises(ExplainError, match="one of 0 to 2"):
        example(chosen=3)


def test_figures_are_the_same_bytes_and_leave_global_settings_alone():
    before = dict(mpl.rcParams)
    with mpl.rc_context({"font.family": "monospace", "axes.facecolor": "red"}):
        one = metric_figure(TABLE)
    assert one == metric_figure(TABLE)
    assert dict(mpl.rcParams) == before


def test_saving_is_atomic(tmp_path):
    save(tmp_path / "folder" / "figure.png", curve_figure(CURVES))
    assert [row.name for row in (tmp_path / "folder").iterdir()] == ["figure.png"]


def test_styles_are_distinct_for_twenty_explainers():
    names = [*(f"method {i}" for i in range(20)), *CONTROLS]
    drawn = assign_styles(names, CONTROLS)
    assert len({(style.color, style.dashes) for style in drawn.values()}) == len(names)
    assert len({drawn[name].color for name in CONTROLS}) == 1


def measured(*names, scale=1.0):
    return {name: {"mean": 0.6 * scale, "low": 0.5 * scale, "high": 0.7 * scale} for name in names}


def panels_of(table, **options):
    figure = draw_evaluation(table, **options)
    figure.encode(50)
    return {axes.get_title(loc="left").rstrip(" ↑↓"): axes for axes in figure.axes if axes.axison}


def test_controls_that_a_metric_is_not_of_have_no_row():
    table = {
        "rise": measured("insertion", "sparseness"),
        "lime": measured("sparseness"),
        "empty": measured("accuracy", "sparseness"),
        "random": measured("insertion", "sparseness"),
        "visionmask template": measured("sparseness"),
    }
    panels = panels_of(table)
    rows = {name: [t.get_text() for t in axes.get_yticklabels()] for name, axes in panels.items()}
    assert rows == {
        "Insertion": ["RISE", "LIME", "Random map"],  # that LIME failed is seen
        "Sparseness": ["RISE", "LIME", "Empty mask", "Random map", "VisionMask, template"],
    }
    assert list(panels_of(table, metrics=["accuracy"])) == ["Accuracy"]
    assert list(panels_of({"empty": measured("accuracy")})) == ["Accuracy"]


@pytest.mark.parametrize("scale", [1.0, 0.02, 1e-4, 13.0])
def test_the_numbers_of_neighboring_panels_do_not_meet(scale):
    names = ("insertion", "deletion", "policy_preservation", "specificity", "local_lipschitz")
    wording = Wording(pictures=False, n_features=4)
    figure = draw_evaluation(
        {"rise": measured(*names, "policy_preservation@0.1", scale=scale)}, wording=wording
    )
    figure.encode(100)
    boxes = []
    for axes in figure.axes:
        boxes += [t.get_window_extent() for t in axes.get_xticklabels() if t.get_text()]
    assert len(boxes) > 12
    for a, b in itertools.combinations(boxes, 2):
        assert not a.overlaps(b)
    long = figure.axes[5]
    assert "1 of 4 features" in long.get_title(loc="left")
    assert long.title.get_window_extent().x1 <= figure.bbox.x1
