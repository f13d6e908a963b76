"""Contact sheets, rows of pictures, filters and novelty: that what is given is what is drawn."""

import io

import numpy as np
import pytest
from PIL import Image

from sb3_explain.common.errors import ExplainError
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
