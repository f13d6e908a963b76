"""The figure of before and after: colours say what changes, and every form of example is drawn."""

import io
import itertools

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from sb3_explain.common.errors import ExplainError
from sb3_explain.report import counterfactual_figure as counterfactual_figure_module
from sb3_explain.report.counterfactual_figure import (
    CHANGED,
    OTHER,
    BeforeAndAfter,
    Outcome,
    _outline,
    counterfactual_figure,
)
from sb3_explain.report.figures import render_png
from sb3_explain.report.overlay import NEGATIVE, POSITIVE

PICTURE = np.full((20, 20, 3), 90, np.uint8)


def colors(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def of_color(png, color):
    """Number of pixels of a colour such as ``"#d9720b"``."""
    rgb = [int(color[i : i + 2], 16) for i in (1, 3, 5)]
    return int((colors(png) == rgb).all(axis=-1).sum())


def example(changed, *, picture=PICTURE, **changes):
    n = len(changed)
    after = [Outcome("left" if c else "right", 0.2 if c else 0.7, c, picture, 0.5) for c in changed]
    values = {
        "action": "right",
        "names": [f"part {i}" for i in range(n)],
        "before": Outcome("right", 0.8, False, picture, 0.1),
        "alone": after,
        "together": after,
        "frame": np.full((42, 32, 3), 120, np.uint8),
        "attribution": np.eye(20),
        "outlines": [np.eye(20, k=i).astype(bool) for i in range(n)],
        **changes,
    }
    return BeforeAndAfter(**values)


def test_what_changes_the_action_is_marked():
    none = counterfactual_figure(example([False, False]))
    one = counterfactual_figure(example([False, True]))
    both = counterfactual_figure(example([True, True]))
    assert of_color(none, CHANGED) < of_color(one, CHANGED) < of_color(both, CHANGED)
    assert one == counterfactual_figure(example([False, True]))


def test_the_contrasted_action_has_a_line():
    contrasted = counterfactual_figure(
        example([True], contrasted="left", signed=True, attribution=-np.eye(20))
    )
    assert of_color(contrasted, OTHER) > 50
    assert of_color(counterfactual_figure(example([True])), OTHER) < 10


@pytest.fixture
def drawn(monkeypatch):
    """Figures as they are drawn, before they are bytes."""
    figures = []

    def render(figure, look):
        figures.append(figure)
        return render_png(figure, look)

    monkeypatch.setattr(counterfactual_figure_module, "render_png", render)
    return figures


def read_texts(figure):
    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


def test_no_map_has_the_color_of_what_changes_the_action():
    changed = np.array([int(CHANGED[i : i + 2], 16) for i in (1, 3, 5)])
    for ramp in (POSITIVE, NEGATIVE):
        assert np.abs(ramp - changed).max(axis=1).min() > 60


def test_the_whole_state_is_called_so_everywhere(drawn):
    counterfactual_figure(example([True, False], contrasted="left", signed=True))
    texts = [text.replace("\n", " ") for text in read_texts(drawn[0])]
    assert texts.count("with everything") >= 4  # on the axis, in the legend, over two pictures
    assert "probability of left" in texts and not {"nothing", "all of it"} & set(texts)


def test_long_names_of_features_do_not_meet(drawn):
    names = ["angular velocity of the pole", "velocity of the cart", "place", "angle of the pole"]
    bare = example(
        [True, False, True, False], names=names, picture=None, frame=None, attribution=None,
        outlines=(), note="a note",
    )  # fmt: skip
    counterfactual_figure(bare)
    drawn[0].draw_without_rendering()  # at the figure's own resolution
    (axes,) = drawn[0].findobj(Axes)
    boxes = [label.get_window_extent() for label in axes.get_xticklabels()]
    assert all(a.x1 < b.x0 for a, b in itertools.pairwise(boxes))
    assert axes.get_legend().get_window_extent().y1 < min(box.y0 for box in boxes)
    assert "a note" in read_texts(drawn[0])


def test_features_have_no_pictures_but_the_state_may_be_shown():
    bare = example([True, False], picture=None, frame=None, attribution=None, outlines=())
    without = colors(counterfactual_figure(bare))
    shown = example([True, False], picture=None, attribution=None, outlines=())
    rendered = colors(counterfactual_figure(shown, theme="dark"))
    assert without.shape == rendered.shape
    assert without.shape[0] < colors(counterfactual_figure(example([True]))).shape[0]


def test_an_image_and_features_together():
    mixed = example([True, False], outlines=[np.eye(20, dtype=bool), None])
    alone = [mixed.alone[0], Outcome("right", 0.7, False)]
    assert colors(counterfactual_figure(example([True, False], alone=alone))).std() > 0


def test_numbers_of_parts_belong_together():
    with pytest.raises(ExplainError, match="do not belong together"):
        example([True, True], names=["one"])
    with pytest.raises(ExplainError, match="do not belong together"):
        example([])


def test_a_regions_number_stands_at_the_region():
    axes = Figure().subplots()
    diagonal = np.eye(20, dtype=bool)[::-1] | np.eye(20, dtype=bool)
    diagonal[:5] = False  # the corner of its bounding box is empty
    _outline(axes, diagonal, (0, 40, 40, 0), "1")
    assert axes.texts[0].xy == (30.0, 10.0)
