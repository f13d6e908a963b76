"""A map over a frame: at the right place, readable on any ground, and nothing changed."""

import numpy as np
import pytest

from sb3_explain.common.errors import ExplainError
from sb3_explain.report.overlay import NEGATIVE, draw_color_key, enlarge, lay_over, scale_playfield


def frame(level=0, size=(210, 160)):
    return np.full((*size, 3), level, dtype=np.uint8)


def one_cell(row, column, size=84, value=1.0):
    pixels = np.zeros((size, size))
    pixels[row, column] = value
    return pixels


def colorful(picture):
    """How far each pixel is from grey."""
    return picture.max(axis=2).astype(int) - picture.min(axis=2)


def test_neither_argument_is_changed():
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (210, 160, 3), dtype=np.uint8)
    pixels = rng.random((84, 84))
    before = picture.copy(), pixels.copy()
    picture.setflags(write=False)
    pixels.setflags(write=False)
    shown = lay_over(picture, pixels)
    assert shown.shape == picture.shape and shown.dtype == np.uint8
    assert not np.shares_memory(shown, picture)
    assert (picture == before[0]).all() and (pixels == before[1]).all()


@pytest.mark.parametrize("level", [0, 90, 255])
@pytest.mark.parametrize("pixel", [(0, 0), (20, 60), (83, 83), (41, 7)])
def test_the_peak_lies_where_the_cell_is(level, pixel):
    shown = lay_over(frame(level), one_cell(*pixel))
    lit = np.argwhere(colorful(shown) > colorful(shown).max() * 0.8)
    # the centre of cell i of 84 lies at (i + 0.5) / 84 of the frame
    expected = (np.array(pixel) + 0.5) / 84 * [210, 160] - 0.5
    assert np.abs(lit.mean(axis=0) - expected).max() < 1.5


@pytest.mark.parametrize("level", [0, 90, 255])
def test_high_and_low_differ_on_any_ground(level):
    shown = lay_over(frame(level), np.ones((84, 84))).astype(int)
    rest = lay_over(frame(level), np.zeros((84, 84))).astype(int)
    assert colorful(rest).max() == 0
    assert colorful(shown).min() > 80
    assert np.abs(shown - rest).max(axis=2).min() > 100


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_the_game_shows_through_where_the_map_is_low_and_where_it_is_high(value):
    picture = frame(60)
    picture[100:110] = 180
    shown = lay_over(picture, np.full((84, 84), value)).astype(int).sum(axis=2)
    assert shown[105, 80] - shown[50, 80] > 60


def test_signs_have_colours_of_their_own():
    pixels = one_cell(20, 20) + one_cell(60, 60, value=-1.0)
    shown = lay_over(frame(0, (84, 84)), pixels, signed=True).astype(int)
    assert shown[20, 20, 0] > shown[20, 20, 2] + 80
    assert shown[60, 60, 2] > shown[60, 60, 0] + 80
    assert NEGATIVE[255].argmax() != 0


def test_a_playfield_is_the_only_part_that_is_lit():
    shown = lay_over(frame(80), np.ones((84, 84)), playfield=(51, 8, 104, 152))
    lit = colorful(shown) > 0
    assert lit[51:155, 8:160].all() and lit.sum() == 104 * 152
    assert scale_playfield((51, 8, 104, 152), 3) == (153, 24, 312, 456)


def test_without_a_map_the_frame_stays_as_it_is():
    picture = frame(7)
    shown = lay_over(picture, None)
    assert (shown == picture).all() and shown is not picture


@pytest.mark.parametrize(
    ("pixels", "options", "said"),
    [
        (np.full((4, 4), np.nan), {}, "NaN"),
        (np.full((4, 4), 2.0), {}, "normalize"),
        (np.full((4, 4), -0.5), {}, "signed"),
        (np.zeros((4, 84, 84)), {}, "merge the stacked frames"),
        (np.zeros((4, 4)), {"playfield": (100, 0, 200, 10)}, "leaves the frame"),
        (np.zeros((4, 4)), {"playfield": (0, 0, 0, 10)}, "playfield"),
    ],
)
def test_a_map_that_cannot_be_drawn_is_refused_in_one_line(pixels, options, said):
    with pytest.raises(ExplainError, match=said) as caught:
        lay_over(frame(), pixels, **options)
    assert "\n" not in str(caught.value)


def test_a_frame_of_another_kind_is_refused():
    with pytest.raises(ExplainError, match="uint8"):
        lay_over(np.zeros((10, 10, 3)), np.zeros((4, 4)))


def test_whole_factors_repeat_pixels_and_others_reach_the_size():
    picture = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    assert (enlarge(picture, 2) == np.kron(picture, np.ones((2, 2, 1), np.uint8))).all()
    assert enlarge(frame(0, (900, 1200)), 0.5).shape == (450, 600, 3)


def test_the_key_runs_from_low_to_high():
    assert (draw_color_key(False)[0, 0] == 60).all()
    assert draw_color_key(True).shape[1] == 2 * draw_color_key(False).shape[1]
    assert draw_color_key(True)[0, 0].argmax() == 2 or draw_color_key(True)[0, 0, 2] == 255
