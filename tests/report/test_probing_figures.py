"""Contact sheets, rows of pictures, filters and novelty: that what is given is what is drawn."""

import io

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

from sb3_explain.common.errors import ExplainError
from sb3_explain.report import contact_sheet as contact_sheet_module
from sb3_explain.report.contact_sheet import Tile, contact_sheet, picture_rows
from sb3_explain.report.probing_figures import distance_figure, filters_figure, novelty_figure


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def share_of(image: np.ndarray, color: tuple[int, int, int]) -> float:
    return float((np.abs(image - color).max(axis=2) < 12).mean())


def test_a_sheet_shows_pictures_and_how_probable_the_actions_are():
    red = np.full((20, 20, 3), (200, 0, 0), np.uint8)
    tiles = [Tile([0.25, 0.75], "right", "value 1", picture=red) for _ in range(5)]
    sheet = pixels(contact_sheet(tiles, ["left", "right"], title="T-"))
    assert 0.2 < share_of(sheet, (200, 0, 0)) < 0.9
    left, right = share_of(sheet, (0xD9, 0x72, 0x0B)), share_of(sheet, (0x3A, 0x86, 0xD1))
    assert 2 < right / left < 3.2  # the key has both once


def test_a_tile_names_what_masks_forbid():
    actions = ["left", "right", "wait"]
    said = Tile([0, 1, 0], "right", "value 1", forbidden=[0, 2]).describe(actions)
    assert said == "right\nvalue 1\nforbidden: left, wait"
    assert Tile([0.5, 0.5, 0], "right").describe(actions) == "right"


def test_beside_a_picture_stands_its_map():
    gray = np.full((20, 20, 3), 120, np.uint8)
    tile = Tile([1.0], "go", picture=gray, attribution=np.eye(20))
    assert tile.image().shape[1] > 2 * tile.image().shape[0]
    assert Tile([1.0], "go", picture=gray).image().shape == (240, 240, 3)
    assert Tile([1.0], "go").image() is None


def test_vectors_are_bars():
    tiles = [Tile([0.2, 0.9, 0.4], "a, b", features=np.array([-9.0, 0.0, 1.0]))]
    sheet = contact_sheet(tiles, ["a", "b", "c"], features=["x", "y", "z"])
    assert pixels(sheet).std() > 5
    with pytest.raises(ExplainError, match="no states to show"):
        contact_sheet([], ["a"])


def drawn_sheet(monkeypatch, *arguments, **options):
    """The figure of a sheet, laid out, and matplotlib's renderer of it."""
    figures = []
    monkeypatch.setattr(
        contact_sheet_module, "render_png", lambda figure, look: figures.append(figure)
    )
    contact_sheet(*arguments, **options)
    canvas = FigureCanvasAgg(figures[0])
    canvas.draw()
    return figures[0], canvas.get_renderer()


@pytest.mark.parametrize("pictures", [True, False])
@pytest.mark.parametrize("n", [1, 3, 5])
def test_captions_neither_overlap_nor_leave_the_sheet(pictures, n, monkeypatch):
    remark = "importance 1.23, return -120\n" + ", ".join(
        f"{name} 20%" for name in ("horizontal velocity of the hull", "angular velocity", "x" * 70)
    )
    seen = {"picture": np.zeros((20, 30, 3), np.uint8)} if pictures else {"features": np.ones(2)}
    tiles = [Tile([0.2, 0.8], "the main engine and the left one", remark, **seen)] * n
    names = ["horizontal velocity", "angle"]
    actions = ["nothing at all", "the main engine and the left one at the same time, for long"]
    title = f"The {n} most important of 10,000 states"
    figure, renderer = drawn_sheet(monkeypatch, tiles, actions, title=title, features=names)
    captions = [axes.xaxis.label for axes in figure.axes if axes.get_xlabel()]
    assert len(captions) == n
    whole, boxes = figure.bbox, [label.get_window_extent(renderer) for label in captions]
    others = [figure._suptitle, *figure.legends]
    for box in [*boxes, *(each.get_window_extent(renderer) for each in others)]:
        assert box.x0 >= -1 and box.x1 <= whole.x1 + 1 and box.y0 >= -1 and box.y1 <= whole.y1 + 1
    for i, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[i + 1 :])
        assert not any(box.padded(-1).overlaps(axes.bbox) for axes in figure.axes)


def test_what_does_not_add_up_fills_pale_bars(monkeypatch):
    tile = Tile([0.25, 0.75, 0.5], "a, b")
    figure, _ = drawn_sheet(monkeypatch, [tile], ["a", "b", "c"])
    bars = figure.axes[1].patches
    pale, full = bars[:3], bars[3:]
    shares = [one.get_width() / whole.get_width() for one, whole in zip(full, pale, strict=True)]
    assert shares == pytest.approx([0.25, 0.75, 0.5])
    assert all(bar.get_alpha() for bar in pale)


def test_rows_are_equally_long():
    picture = np.zeros((8, 8, 3), np.uint8)
    assert pixels(picture_rows({"one": [picture] * 3, "two": [picture] * 3})).min() == 0
    with pytest.raises(ExplainError, match="equally many"):
        picture_rows({"one": [picture], "two": []})


def test_filters_stand_in_columns_with_the_newest_frame_below():
    weights = np.zeros((3, 2, 4, 4))
    weights[1, 1] = -2.0  # the second filter looks at the newest frame
    image = pixels(filters_figure(weights, 2))
    dark = np.argwhere(image.max(axis=2) < 3)
    dark = dark[(dark[:, 0] > image.shape[0] * 0.25)]
    center = dark.mean(axis=0) / image.shape[:2]
    assert 0.4 < center[1] < 0.6 and center[0] > 0.6
    with pytest.raises(ExplainError, match="no filters over 3 stacked frames"):
        filters_figure(weights, 3)


def test_novelty_has_a_bar_for_each():
    ours, paper = {0.1: 1.0, 0.2: 0.5}, {0.1: 0.5, 0.2: 0.25}
    image = pixels(novelty_figure({"ours": ours, "paper": paper}))
    one, other = share_of(image, (0xD9, 0x72, 0x0B)), share_of(image, (0x3A, 0x86, 0xD1))
    assert 1.7 < one / other < 2.2


def test_distances_stand_in_order_from_left_to_right():
    rows = {"near": np.linspace(0.01, 0.02, 9), "far": np.linspace(0.5, 1.0, 9)}
    image = pixels(distance_figure(rows))
    blue = np.abs(image - (0x3A, 0x86, 0xD1)).max(axis=2) < 12
    lines = np.flatnonzero(blue.any(axis=1))
    upper, lower = blue[lines[0]], blue[lines[-1]]
    assert np.flatnonzero(upper).max() < np.flatnonzero(lower).min()
