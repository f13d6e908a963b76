"""Panels of pictures, bars and boards, and the figure of them, from plain arrays."""

import dataclasses
import io

import numpy as np
import pytest
from PIL import Image

from sb3_explain.common.errors import ExplainError
from sb3_explain.report.explanation_figure import draw_evaluation, explanation_figure
from sb3_explain.report.overlay_styles import draw_overlay
from sb3_explain.report.panels import MOST_BARS, BarPanel, BoardPanel, PicturePanel
from sb3_explain.report.scales import Scale
from sb3_explain.report.wording import Wording

GRAY = np.full((40, 40, 3), 100, np.uint8)


def spot(value: float) -> np.ndarray:
    attribution = np.zeros((40, 40))
    attribution[10:20, 10:20] = value
    return attribution


def is_orange(pixel) -> bool:
    return int(pixel[0]) > int(pixel[2]) + 60


def is_blue(pixel) -> bool:
    return int(pixel[2]) > int(pixel[0]) + 60


@pytest.mark.parametrize("peak", [1e-30, 1e-3, 0.5, 3e6])
def test_whatever_its_range_a_map_is_seen(peak):
    attribution = spot(peak)
    panel = PicturePanel(picture=GRAY, attribution=attribution, scale=Scale.measure([attribution]))
    shown = panel.render()
    size = len(shown)
    assert is_orange(shown[size * 15 // 40, size * 15 // 40])
    assert not is_orange(shown[size * 35 // 40, size * 35 // 40])


def test_a_signed_map_is_blue_and_orange_about_zero():
    attribution = spot(-4.0)
    attribution[30:38, 30:38] = 2.0
    scale = Scale.measure([attribution])
    assert scale.signed and scale.apply(np.array([-4.0, 0, 2])).tolist() == [-1, 0, 0.5]
    shown = PicturePanel(picture=GRAY, attribution=attribution, scale=scale).render()
    size = len(shown)
    assert is_blue(shown[size * 15 // 40, size * 15 // 40])
    assert is_orange(shown[size * 34 // 40, size * 34 // 40])
    color = scale.color()
    assert color.norm.vmin == -4 and color.norm.vmax == 4
    low, middle, high = (255 * np.array(color.to_rgba([-4, 0, 4]))[:, :3]).round()
    assert is_blue(low) and is_orange(high) and max(middle) - min(middle) < 30


def test_a_scale_ends_at_the_largest_magnitude_of_all_maps_that_share_it():
    faint = np.array([0.0, 0.2])
    assert Scale.measure([faint]).peak == 0.2
    assert Scale.measure([faint, -3 * faint]).peak == pytest.approx(0.6)
    assert Scale.measure([np.zeros(3)]).empty


def test_what_is_not_finite_is_not_drawn():
    with pytest.raises(ExplainError, match="NaN"):
        Scale.measure([np.array([1.0, np.nan])])


def test_a_spotlight_keeps_colors_where_it_shines():
    frame = np.tile(np.uint8([200, 100, 50]), (40, 40, 1))
    shown = draw_overlay(frame, spot(-1.0), signed=True, style="spotlight")
    assert shown[15, 15].tolist() == [200, 100, 50] and shown[35, 35].tolist() == [40, 20, 10]


def test_contours_are_lines_on_the_frame():
    shown = draw_overlay(GRAY, spot(1.0), style="contour")
    assert shown[15, 15].tolist() == [100, 100, 100] == shown[35, 35].tolist()
    changed = (shown != GRAY).any(axis=2)
    assert 30 < changed.sum() < 200 and changed[9:21, 9:21].sum() == changed.sum()
    against = draw_overlay(GRAY, spot(-1.0), signed=True, style="contour")
    assert is_blue(against[against[..., 2] > 200][0])


def test_an_unknown_style_is_refused_with_the_nearest():
    with pytest.raises(ExplainError, match="did you mean 'heat'"):
        draw_overlay(GRAY, spot(1.0), style="haet")


def test_of_many_features_the_strongest_are_shown_in_their_order():
    n = MOST_BARS + 16
    attributions = np.arange(n) * np.where(np.arange(n) % 2, 1.0, -1.0)
    panel = BarPanel(
        names=[f"f{i}" for i in range(n)],
        values=np.zeros(n),
        attributions=attributions,
        scale=Scale.measure([attributions]),
    )
    assert panel.shown.tolist() == list(range(16, n))
    figure = explanation_figure([[panel]])
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels[0] == "f16 = 0" and len(labels) == MOST_BARS
    replaced = np.full(n, np.nan)
    replaced[17] = 0.5
    panel = dataclasses.replace(panel, replaced=replaced)
    assert [panel.label(i) for i in (16, 17)] == ["f16 = 0", "f17 = 0 (hidden: 0.5)"]
    assert "24 strongest of 40" in figure.axes[0].get_xlabel()


def test_long_labels_leave_the_bars_room():
    panel = BarPanel(
        names=["pole angular velocity of the second joint"],
        values=np.array([-0.224]),
        attributions=np.array([0.7]),
        replaced=np.array([0.00612]),
        scale=Scale.measure([np.array([-0.7, 0.7])]),
    )
    figure = explanation_figure([[panel]])
    figure.draw_without_rendering()
    assert figure.axes[0].get_position().width * figure.get_figwidth() > 1.5  # inches


def test_a_board_says_what_stands_on_its_squares():
    squares = np.zeros((2, 2, 3))
    squares[1, 0, 2] = squares[0, 1, 1] = squares[1, 1, 1] = 1
    attribution = np.array([[0.0, 0, -2], [0, 1, 0]])
    panel = BoardPanel(squares=squares, attribution=attribution, scale=Scale.measure([attribution]))
    figure = explanation_figure([[panel]])
    said = [text.get_text() for text in figure.axes[0].texts]
    assert said == ["·", "·", "1", "·", "0,1", "·"]


def test_each_panel_with_attributions_has_a_color_bar():
    attribution = spot(0.5)
    laid = PicturePanel(picture=GRAY, attribution=attribution, scale=Scale.measure([attribution]))
    empty = PicturePanel(picture=GRAY, attribution=spot(0), scale=Scale.measure([spot(0)]))
    figure = explanation_figure([[PicturePanel(picture=GRAY), laid, empty]], measure="mask")
    bars = [figure.axes[2], figure.axes[4]]
    assert [bar.get_ylabel() for bar in bars] == ["mask", "empty: 0 everywhere"]
    assert [tick.get_text() for tick in bars[0].get_yticklabels()] == ["0", "0.5"]


def test_a_figure_is_an_image_and_a_file(tmp_path):
    figure = explanation_figure([[PicturePanel(picture=GRAY)]], title="a $title$")
    image = figure.image()
    assert image.mode == "RGB" and np.asarray(image).std() > 0
    shown = Image.open(io.BytesIO(figure._repr_png_()))
    assert shown.size == image.size
    figure.savefig(tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 0


@pytest.mark.parametrize("path", ["figure", "figure.xyz", "absent/figure.png"])
def test_a_path_that_cannot_be_written_is_refused_in_one_line(tmp_path, path):
    figure = explanation_figure([[PicturePanel(picture=GRAY)]])
    with pytest.raises(ExplainError):
        figure.savefig(tmp_path / path)
    assert not list(tmp_path.iterdir())


def test_rows_of_different_lengths_are_refused():
    panel = PicturePanel(picture=GRAY)
    with pytest.raises(ExplainError, match="equally many"):
        explanation_figure([[panel], [panel, panel]])


@pytest.mark.parametrize(
    "labels", [["lime"], ["guided_backprop", "integrated_gradients"], ["a method of my own names"]]
)
def test_titles_of_metrics_end_within_their_panels(labels):
    estimate = {"mean": 0.5, "low": 0.4, "high": 0.6, "n": 10}
    names = ["accuracy@0.1", "policy_preservation@0.1", "parameter_randomization"]
    table = {label: dict.fromkeys(names, estimate) for label in labels}
    figure = draw_evaluation(table, wording=Wording(pictures=False, n_features=3))
    figure.canvas.draw()
    titles = [axes._left_title for axes in figure.axes]
    assert titles[0].get_text().startswith("Accuracy at 1 of 3 features")
    for number, title in enumerate(titles, start=1):
        assert title.get_window_extent().x1 <= number * figure.bbox.x1 / len(titles)
