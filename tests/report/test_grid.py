"""Tables and figures of a grid: what stands in them, and that many explainers stay readable."""

import io
import re

import numpy as np
import pytest
from PIL import Image

from sb3_explain.common.errors import ExplainError
from sb3_explain.report.grid_figures import Spoke, bar_figure, radar_figure
from sb3_explain.report.grid_tables import latex_table, markdown_table

DASH = "\N{EN DASH}"
NAMES = ["insertion", "deletion", "local_lipschitz"]


def record(mean, half=0.01, n=100):
    return {"mean": mean, "low": mean - half, "high": mean + half, "n": n}


def row(insertion, deletion, lipschitz, fit=0.0):
    cost = {"forwards": 290.0, "seconds": 0.0125, "fit_seconds": fit}
    values = {"insertion": record(insertion), "deletion": record(deletion)}
    return {**values, "local_lipschitz": record(lipschitz, lipschitz / 10), "cost": cost}


@pytest.fixture
def tables():
    """One agent: 'lime' is best at insertion and 'sarfa' as good; 'rise' cannot be run."""
    table = {
        "lime": row(0.800, 0.4, 2e-3),
        "random": row(0.900, 0.1, 5.0),
        "sarfa": row(0.790, 0.2, 1e-3),
        "visionmask": row(0.500, 0.3, 30.0, fit=61.0),
        "rise": {},
    }
    return {"a_b & c": table}


NOTES = {"a_b & c": {"rise": "not run: needs 100 % of the pixels | all", "lime": "failed: disk"}}


def markdown_rows(text):
    lines = [line for line in text.splitlines() if line.startswith("|")]
    # the bar inside of a cell is escaped
    return [[pixel.strip() for pixel in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def test_markdown(tables):
    text = markdown_table(tables, NAMES, NOTES, "the caption")
    rows = markdown_rows(text)
    assert len({len(pixels) for pixels in rows}) == 1
    assert rows[0][1:4] == ["Insertion ↑", "Deletion ↓", "Local Lipschitz ↓"]
    body = {pixels[0]: pixels[1:] for pixels in rows[2:]}
    assert list(body) == ["LIME", "SARFA", "VisionMask", "RISE", "Random map"]
    assert body["LIME"][0] == f"**0.800** 0.790{DASH}0.810"
    assert body["SARFA"][0].startswith("**0.790**")  # their intervals overlap
    assert body["VisionMask"][0] == f"0.500 0.490{DASH}0.510"
    assert body["Random map"][0] == f"0.900 0.890{DASH}0.910"  # a control is never the best method
    assert body["SARFA"][1].startswith("**0.200**") and not body["LIME"][1].startswith("**")
    assert body["VisionMask"][-3:] == ["290", "12.5", "61"]
    assert body["RISE"][0] == r"not run: needs 100 % of the pixels \| all"
    assert "LIME: failed: disk" in text and text.rstrip().endswith("the caption")


def test_latex(tables):
    text = latex_table(tables, NAMES, NOTES, "50 % of #1_2")
    assert r"\caption{a\_b \& c. 50 \% of \#1\_2 LIME: failed: disk.}" in text
    columns = re.search(r"\\begin{tabular}{(\w+)}", text).group(1)
    lines = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert len(lines) == 6
    for line in lines:
        pixels = re.split(r"(?<!\\)&", line)
        spans = [int(span) for span in re.findall(r"\\multicolumn{(\d+)}", line)]
        assert len(pixels) + sum(span - 1 for span in spans) == len(columns) == 7
    assert r"\textbf{0.800} {\tiny [0.790--0.810]}" in text
    assert r"not run: needs 100 \% of the pixels" in text
    assert text.count("{") - text.count(r"\{") == text.count("}") - text.count(r"\}")


def test_the_ends_of_an_axis():
    up = Spoke("insertion", "", worst=0.2, best=0.6, logarithmic=False)
    assert [up.place(mean) for mean in (0.2, 0.4, 0.6)] == pytest.approx([0, 0.5, 1])
    down = Spoke("deletion", "", worst=0.6, best=0.2, logarithmic=False)
    assert [down.place(mean) for mean in (0.6, 0.5, 0.2)] == pytest.approx([0, 0.25, 1])
    log = Spoke("local_lipschitz", "", worst=10.0, best=0.001, logarithmic=True)
    assert [log.place(mean) for mean in (10.0, 0.1, 0.001, 0.0)] == pytest.approx([0, 0.5, 1, 1])
    alike = Spoke("insertion", "", worst=0.3, best=0.3, logarithmic=False)
    assert alike.place(0.3) == 1


@pytest.mark.parametrize("figure", [bar_figure, radar_figure])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_figures(tables, figure, theme):
    once = figure(tables, NAMES, NOTES, theme=theme)
    assert once == figure(tables, NAMES, NOTES, theme=theme)
    picture = Image.open(io.BytesIO(once))
    twice = {**tables, "another": tables["a_b & c"]}
    taller = Image.open(io.BytesIO(figure(twice, NAMES, {}, theme=theme)))
    assert taller.width == picture.width and taller.height == pytest.approx(
        2 * picture.height, abs=2
    )
    assert np.asarray(picture.convert("L")).std() > 10  # something is drawn


@pytest.mark.parametrize("figure", [bar_figure, radar_figure])
def test_many_explainers_do_not_shrink(figure):
    rng = np.random.default_rng(0)
    names = [*NAMES, "sparseness", "accuracy@0.1", "pixel_flipping", "mask_area"]
    many = {f"m{i}": {n: record(float(rng.random())) for n in names} for i in range(15)}
    few = dict(list(many.items())[:5])
    sizes = [Image.open(io.BytesIO(figure({"a": t}, names, {}))).size for t in (few, many)]
    assert sizes[0][0] == sizes[1][0] and sizes[0][1] < sizes[1][1]


@pytest.mark.parametrize("figure", [bar_figure, radar_figure])
def test_nothing_to_draw(figure):
    with pytest.raises(ExplainError, match="at least one"):
        figure({}, NAMES, {})
