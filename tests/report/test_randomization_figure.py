"""The figure of parameter randomization: all that is given is drawn, nothing else."""

import io

import numpy as np
import pytest
from PIL import Image

from sb3_explain.common.errors import ExplainError
from sb3_explain.report.randomization_figure import randomization_figure

LAYERS = ("nothing", "action_net", "features_extractor.linear.0")


def rows(*means):
    return {
        layer: {"ssim": (mean, mean - 0.05, mean + 0.05, 100), "spearman": (mean, mean, mean, 100)}
        for layer, mean in zip(LAYERS, means, strict=False)
    }


def picture(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def test_two_panels_and_both_themes():
    table = {"greydanus": rows(1, 0.9, 0.4), "visionmask": rows(0.8, 0.2, 0.1)}
    light = picture(randomization_figure(table, LAYERS))
    dark = picture(randomization_figure(table, LAYERS, theme="dark"))
    assert light.shape == dark.shape
    assert light[0, 0].tolist() == [255, 255, 255] and dark[0, 0].tolist() != [255, 255, 255]
    # the colour of the first explainer stands in the figure
    assert (light == (0xD9, 0x72, 0x0B)).all(axis=-1).any()


def test_a_row_may_lack_layers_and_measures():
    table = {"sarfa": rows(1, 0.5, 0.2), "visionmask": rows(1, 0.5)}
    table["visionmask, not retrained"] = {"action_net": {"ssim": (1.0, 1.0, 1.0, 100)}}
    whole = picture(randomization_figure(table, LAYERS))
    assert whole.std() > 0
    narrow = {"lime": {layer: {"spearman": (0.5, 0.4, 0.6)} for layer in LAYERS}}
    assert picture(randomization_figure(narrow, LAYERS)).shape[1] < whole.shape[1]


def test_negative_similarities_have_room():
    """The second marker is drawn as far right as any, not cut off below the panel."""

    def farthest(mean):
        shown = picture(randomization_figure({"lime": rows(1, mean)}, LAYERS[:2]))
        return np.nonzero((shown == (0xD9, 0x72, 0x0B)).all(axis=-1))[1].max()

    assert farthest(-0.9) == pytest.approx(farthest(0.5), abs=3)


def test_nothing_to_draw_is_said():
    with pytest.raises(ExplainError, match="no similarity to draw"):
        randomization_figure({}, LAYERS)
