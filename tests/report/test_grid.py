"""Tables and figures of a grid: what stands in them, and that many explainers stay readable."""

import io
import re

import numpy as np
import pytest
from PIL import Image

from sb3_explain.common.errors import ExplainError
from sb3_explain.report import grid_figures
from sb3_explain.report.grid_figures import Spoke, bar_figure, describe_marks, radar_figure
from sb3_explain.report.grid_tables import latex_table, markdown_table
from sb3_explain.report.tables import make_metric_rows
from sb3_explain.report.wording import Wording

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


def test_the_gradient_that_was_asked_for_is_no_control(tables, monkeypatch):
    methods = {name: each for name, each in tables["a_b & c"].items() if name != "random"}
    gradient = {"gradient": row(0.95, 0.05, 1e-4)}
    controls = {name: row(0.1, 0.9, 9.0) for name in ("empty", "constant", "random")}
    grids = {"asked": methods | gradient | controls, "added": methods | controls | gradient}
    asked, added = markdown_table(grids, NAMES, {}, "").split("## added")
    assert [pixels[0] for pixels in markdown_rows(asked)[-4:]] == [
        "Plain gradient", "Empty mask", "Constant mask", "Random map"
    ]  # fmt: skip
    assert markdown_rows(added)[-1][0] == "Plain gradient"
    assert "**0.950**" in asked and "**0.950**" not in added and "**0.800**" in added
    drawn = []
    monkeypatch.setattr(
        grid_figures,
        "_draw_radar",
        lambda _, table, name, spokes, color, *rest: drawn.append((name, color)),
    )
    radar_figure(grids, NAMES, {})
    gray = dict(drawn)["random"]
    assert [color == gray for name, color in drawn if name == "gradient"] == [False, True]


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


def test_without_intervals_nothing_is_bold_and_no_line_is_promised(tables):
    known = {name: {"mean": mean, "n": 9} for name, mean in [("insertion", 0.4), ("deletion", 0.2)]}
    bare = {"a": {"lime": known, "sarfa": {**known, "insertion": {"mean": 0.5, "n": 9}}}}
    assert "**" not in markdown_table(bare, NAMES[:2], {}, "")
    assert r"\textbf" not in latex_table(bare, NAMES[:2], {}, "")
    rows = make_metric_rows(bare["a"], NAMES[:2], (), None)
    assert describe_marks(bare["a"], NAMES[:2], rows) == ""
    table = tables["a_b & c"]
    rows = make_metric_rows(table, NAMES, ["random"], None)
    said = describe_marks(table, NAMES, rows)
    assert "orange: " in said and "gray: controls; lines: 95 % intervals" in said


def test_the_share_of_few_features_is_told_as_on_the_page():
    values = {"accuracy@0.1": record(0.5)}
    tables = {"four": {"lime": values}, "pixels": {"lime": values}}
    wordings = {"four": Wording(pictures=False, n_features=4)}
    text = markdown_table(tables, ["accuracy@0.1"], {}, "", wordings=wordings)
    four, pixels = text.split("## pixels")
    assert "Accuracy at 1 of 4 features ↑" in four
    assert "Accuracy at 10\N{NO-BREAK SPACE}% ↑" in pixels
    latex = latex_table(tables, ["accuracy@0.1"], {}, "", wordings=wordings)
    assert "1 of 4 features" in latex


@pytest.mark.parametrize("means", [(-0.1, 0.2), (-0.3, -0.1), (0.1, 0.4)])
def test_bars_begin_at_zero(means, monkeypatch):
    drawn = []
    monkeypatch.setattr(grid_figures, "render_png", lambda figure, look: drawn.append(figure))
    table = {f"m{i}": {"specificity": record(mean)} for i, mean in enumerate(means)}
    bar_figure({"a": table}, ["specificity"], {})
    [part] = drawn[0].subfigs
    axes = part.axes[0]
    low, high = axes.get_xlim()
    assert low <= 0 < high
    for bar, mean in zip(axes.patches, means, strict=True):
        assert sorted((bar.get_x(), bar.get_x() + bar.get_width())) == sorted((0.0, mean))


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
