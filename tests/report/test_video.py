"""Videos: what a player gets, and what is left behind when something goes wrong."""

import tracemalloc

import imageio.v3 as iio
import numpy as np
import pytest

from sb3_explain.common.errors import ExplainError
from sb3_explain.report import video as video_module
from sb3_explain.report.captions import (
    CHOSEN,
    EXPLAINED,
    TROUGH,
    Caption,
    CaptionPanel,
    format_probability,
    load_font,
    truncate,
)
from sb3_explain.report.overlay_styles import draw_overlay
from sb3_explain.report.video import choose_factor, read_frames, write_video

NAMES = ["NOOP", "LEFT", "RIGHT"]


def inputs(n, size=(50, 41), k=3):
    rng = np.random.default_rng(0)
    frames = (np.full((*size, 3), 40 + i, dtype=np.uint8) for i in range(n))
    attributions = (rng.random((21, 21)) for _ in range(n))
    captions = (Caption(i, i % k, np.full(k, 1 / k), value=0.5) for i in range(n))
    return frames, attributions, captions


@pytest.mark.parametrize("side_by_side", [True, False])
@pytest.mark.parametrize("size", [(50, 41), (33, 37), (900, 601)])
def test_every_frame_is_there_at_an_even_size(tmp_path, size, side_by_side):
    path, seen = tmp_path / "game.mp4", []
    n = write_video(
        path,
        *inputs(7, size),
        action_names=NAMES,
        fps=10,
        side_by_side=side_by_side,
        progress=seen.append,
    )
    decoded = iio.imread(path)
    assert n == len(decoded) == 7
    assert seen == list(range(1, 8))
    assert decoded.shape[1] % 2 == 0 and decoded.shape[2] % 2 == 0
    about = iio.immeta(path)
    assert about["codec"] == "h264" and about["pix_fmt"].startswith("yuv420p")
    assert about["fps"] == 10
    assert [row.name for row in tmp_path.iterdir()] == ["game.mp4"]


def test_game_and_map_stand_side_by_side_at_the_right_frame(tmp_path):
    path = tmp_path / "game.mp4"
    frames = np.zeros((3, 64, 64, 3), dtype=np.uint8)
    frames[:] = (40, 90, 200)
    attributions = np.zeros((3, 8, 8))
    attributions[1, :, 4:] = 1
    captions = [Caption(i, 0, [1, 0, 0]) for i in range(3)]
    write_video(path, frames, attributions, captions, action_names=NAMES)
    decoded = iio.imread(path).astype(int)
    top = decoded.shape[1] // 3
    game, gray, lit = (decoded[:, top, x] for x in (100, 640 + 8 + 100, 640 + 8 + 500))
    assert np.abs(game - [40, 90, 200]).max() < 12
    assert np.ptp(gray, axis=1).max() < 12
    assert np.ptp(lit[1]) > 80 and np.ptp(lit[[0, 2]], axis=1).max() < 12


@pytest.mark.parametrize(
    ("height", "width", "factor"), [(84, 84, 7), (40, 160, 8), (40, 2000, 1), (1280, 100, 0.5)]
)
def test_what_is_wide_is_enlarged_less(height, width, factor):
    assert choose_factor(height, 640, width) == factor


def test_a_generator_that_raises_leaves_no_file(tmp_path):
    frames, attributions, captions = inputs(9)

    def failing():
        for i, frame in enumerate(frames):
            if i == 4:
                raise KeyError("the game broke")
            yield frame

    with pytest.raises(KeyError):
        write_video(tmp_path / "a.mp4", failing(), attributions, captions, action_names=NAMES)
    assert not list(tmp_path.iterdir())


def test_an_earlier_video_survives_a_later_failure(tmp_path):
    path = tmp_path / "a.mp4"
    path.write_bytes(b"earlier")
    frames, attributions, captions = inputs(3)
    with pytest.raises(ExplainError, match="one size"):
        mixed = [*frames, np.zeros((10, 10, 3), np.uint8)]
        write_video(
            path, mixed, [*attributions, None], [*captions, Caption(3, 0)], action_names=NAMES
        )
    assert path.read_bytes() == b"earlier"
    assert [row.name for row in tmp_path.iterdir()] == ["a.mp4"]


def test_an_encoder_that_stops_early_is_noticed(tmp_path, monkeypatch):
    monkeypatch.setattr(video_module, "_ENCODING", [*video_module._ENCODING, "-frames:v", "2"])
    with pytest.raises(ExplainError) as caught:
        write_video(tmp_path / "a.mp4", *inputs(5), action_names=NAMES)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_a_file_that_ffmpeg_cannot_read_again_is_told_in_one_line(tmp_path, monkeypatch):
    def write_half(path, shape, pictures, fps):
        path.write_bytes(bytes(len(list(pictures))))

    monkeypatch.setattr(video_module, "_encode", write_half)
    with pytest.raises(ExplainError, match="could not be encoded completely") as caught:
        write_video(tmp_path / "a.mp4", *inputs(3), action_names=NAMES)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_an_encoder_that_will_not_start_is_told_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(video_module, "_ENCODING", ["-preset", "nonsense", "-f", "mp4"])
    with pytest.raises(ExplainError) as caught:
        write_video(tmp_path / "a.mp4", *inputs(200), action_names=NAMES)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_no_frames_and_unequal_numbers_are_refused(tmp_path):
    with pytest.raises(ExplainError, match="no frames"):
        write_video(tmp_path / "a.mp4", [], [], [], action_names=NAMES)
    frames, attributions, captions = inputs(3)
    with pytest.raises(ValueError, match="zip"):
        write_video(
            tmp_path / "a.mp4", list(frames)[:2], attributions, captions, action_names=NAMES
        )
    assert not list(tmp_path.iterdir())


def test_frames_are_not_kept(tmp_path):
    def peak(n):
        tracemalloc.start()
        write_video(tmp_path / f"{n}.mp4", *inputs(n), action_names=NAMES)
        highest = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return highest

    peak(2)  # fonts and the like
    # 36 more pictures of 1066 x 800 are 90 MB
    assert peak(40) < peak(4) + 5e6


def test_frames_are_read_from_a_video_alone(tmp_path):
    path = tmp_path / "a.mp4"
    write_video(path, *inputs(3), action_names=NAMES)
    assert [frame.shape for frame in read_frames(path)] == [iio.imread(path).shape[1:]] * 3
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(ExplainError, match="not a video"):
        list(read_frames(tmp_path / "text.mp4"))


def test_a_gif_has_the_same_pictures_as_a_video(tmp_path):
    for name in ("a.gif", "a.mp4"):
        assert write_video(tmp_path / name, *inputs(5), action_names=NAMES, fps=10) == 5
    shown, filmed = iio.imread(tmp_path / "a.gif"), iio.imread(tmp_path / "a.mp4")
    assert shown.shape == filmed.shape
    assert np.abs(shown.astype(int) - filmed).mean() < 6
    assert iio.immeta(tmp_path / "a.gif")["duration"] == 100


@pytest.mark.parametrize("style", ["heat", "contour", "spotlight"])
def test_maps_are_drawn_in_each_style(tmp_path, style):
    path, (frames, attributions, captions) = tmp_path / "a.gif", inputs(1, (64, 64))
    frame, map_ = next(frames), next(attributions)
    write_video(path, [frame], [map_], captions, action_names=NAMES, height=64, style=style)
    (shown,) = iio.imread(path)
    expected = draw_overlay(frame, map_, style=style)
    top = next(r for r in range(64) if (shown[r : r + 64, :64] == shown[r, 0]).all())
    right = shown[top : top + 64, 64 + 8 :]
    assert np.abs(right.astype(int) - expected).mean() < 8
    with pytest.raises(ExplainError, match="did you mean 'heat'"):
        write_video(path, [frame], [map_], captions, action_names=NAMES, style="haet")


@pytest.mark.parametrize("k", [1, 2, 6, 7, 8, 18, 40])
@pytest.mark.parametrize("width", [300, 968, 1400])
def test_a_panel_has_room_for_any_number_of_actions(width, k):
    panel = CaptionPanel(width, [f"ACTION {i}" for i in range(k)])
    picture = panel.draw(Caption(1234, k - 1, np.full(k, 1 / k), value=-2.5, note="episode 3"))
    assert picture.shape == (panel.height, width, 3) and panel.height % 2 == 0
    # nothing is written under the buttons of a player
    assert (picture[panel.written + 1 :] == picture[-1, -1]).all()


def test_a_longer_probability_is_a_longer_bar():
    panel = CaptionPanel(968, NAMES)
    picture = panel.draw(Caption(0, 1, [0.2, 0.7, 0.1])).astype(int)
    orange = (picture[..., 0] > 200) & (picture[..., 2] < 60)
    long = orange[:, panel.split :].any(axis=0).sum()
    short = (panel.draw(Caption(0, 1, [0.5, 0.3, 0.2])).astype(int)[..., 0] > 200)[:, panel.split :]
    assert long > 300 and short.any(axis=0).sum() < long


def test_what_masks_forbid_is_struck_out_and_has_no_bar():
    panel = CaptionPanel(968, NAMES)
    allowed = panel.draw(Caption(0, 1, [0.2, 0.7, 0.1])).astype(int)
    forbidden = panel.draw(Caption(0, 1, [0.2, 0.7, 0.1], forbidden=[2])).astype(int)
    top = (panel.written - panel.rows * panel.row_height) / 2
    row = slice(round(top + 2 * panel.row_height), round(top + 3 * panel.row_height))
    assert (allowed[: row.start] == forbidden[: row.start]).all()
    assert (allowed[row] == TROUGH).all(axis=-1).any()
    assert not (forbidden[row] == TROUGH).all(axis=-1).any()
    # the stroke is the longest line of one color
    middle = forbidden[row.start + panel.row_height // 2, panel.split :]
    lit = np.flatnonzero(middle.min(axis=1) > 150)
    assert np.split(lit, np.flatnonzero(np.diff(lit) > 1) + 1)[0].size > 20


def test_without_probabilities_or_value_there_are_still_words():
    panel = CaptionPanel(600, ["torque"])
    assert np.ptp(panel.draw(Caption(5, 0, value=float("nan")))) > 100


def test_long_names_are_cut_to_the_room():
    face = load_font(20)
    assert truncate("left", face, 500) == "left"
    cut = truncate("a name that is far too long", face, 120)
    assert cut.endswith("…") and face.getlength(cut) <= 120


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0, "0 %"),
        (0.001, "<1 %"),
        (0.126, "13 %"),
        (0.999, ">99 %"),
        (1.0, "100 %"),
        (np.nan, "\N{EN DASH}"),
    ],
)
def test_probabilities_are_never_rounded_to_certainty(share, text):
    assert format_probability(share) == text


def paint(picture, color, left, right):
    """Heights at which a color is in some columns."""
    return np.flatnonzero((picture[:, left:right] == color).all(axis=2).any(axis=1))


def test_the_target_that_was_asked_for_and_the_action_taken_both_stand_out():
    panel = CaptionPanel(968, NAMES, target="LEFT", marked=1)
    shown = panel.draw(Caption(3, 2, [0.2, 0.1, 0.7], value=1.0, note="episode 3"))
    top = (panel.written - 3 * panel.row_height) / 2
    target, taken = (paint(shown, color, panel.split, 968) for color in (EXPLAINED, CHOSEN))
    assert (target >= top + panel.row_height).all() and len(target)
    assert (target < top + 2 * panel.row_height).all()
    assert (taken >= top + 2 * panel.row_height).all() and len(taken)
    words = [paint(shown, color, 0, panel.split) for color in (EXPLAINED, CHOSEN)]
    assert words[0].max() < words[1].min()  # one line above the other
    plain = CaptionPanel(968, NAMES).draw(Caption(3, 2, [0.2, 0.1, 0.7]))
    assert not len(paint(plain, EXPLAINED, 0, 968))


def test_a_target_that_is_no_action_is_named_and_no_bar_is_marked():
    panels = [CaptionPanel(640, NAMES, target=name) for name in ("value", "LEFT - RIGHT")]
    shown = [panel.draw(Caption(3, 2, [0.2, 0.1, 0.7])) for panel in panels]
    assert (shown[0] != shown[1]).any()
    for panel, picture in zip(panels, shown, strict=True):
        assert len(paint(picture, EXPLAINED, 0, panel.split))
        assert not len(paint(picture, EXPLAINED, panel.split, 640))


def test_a_long_contrast_names_both_its_sides():
    panel = CaptionPanel(640, NAMES, target="the left engine - the right engine")
    assert panel.explained == ["explained: the left engine", "- the right engine"]
    assert CaptionPanel(640, NAMES, target="a - b").explained == ["explained: a - b"]


def test_of_many_actions_the_target_is_always_shown():
    shares = np.linspace(1, 0, 30)
    panel = CaptionPanel(640, [f"A{i}" for i in range(30)], target="A29", marked=29)
    assert len(paint(panel.draw(Caption(0, 0, shares)), EXPLAINED, panel.split, 640))
