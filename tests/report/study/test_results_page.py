"""The page of a study's results: its tables and figures, and names that are no markup."""

import io
import math

import pytest
from PIL import Image

from sb3_explain.report.study.results_page import (
    FIGURES,
    ResultTable,
    show_number,
    show_range,
    show_share,
    write_results_page,
)

INJECTED = "<script>alert(1)</script>"


@pytest.fixture
def page(tmp_path):
    drawn = io.BytesIO()
    Image.new("RGB", (4, 3)).save(drawn, "PNG")
    rows = [["SARFA", "61.0 %"], [INJECTED, "50.0 %"]]
    tables = [
        ResultTable("Means", "of participants", ["arm", "right"], rows),
        ResultTable("Nobody was asked", "", ["arm"], []),
    ]
    path = write_results_page(
        tmp_path / "results.html", title=INJECTED, sentences=["It helps.", INJECTED],
        figures={"gain": drawn.getvalue()}, tables=tables, provenance={"seed": 3},
    )  # fmt: skip
    return path.read_text(encoding="utf-8")


def test_it_shows_what_there_is(page):
    assert page.index("It helps.") < page.index(FIGURES["gain"][0]) < page.index("61.0 %")
    assert '<th scope="row">SARFA</th><td>61.0 %</td>' in page
    assert "data:image/png;base64," in page
    # no figure and no table of what was not asked
    assert FIGURES["opinions"][0] not in page and "Nobody was asked" not in page


def test_names_are_text(page):
    assert INJECTED not in page and page.count("&lt;script&gt;alert(1)") >= 3


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (show_share(0.6125), "61.3 %"),
        (show_range(0.1, 0.25), "10.0 to 25.0"),
        (show_range(-0.02, 0.05, signed=True), "-2.0 to +5.0"),
        (show_number(0.7432, ".2f"), "0.74"),
        (show_share(math.nan), "\u2013"),
        (show_range(0.1, math.nan), "\u2013"),
        (show_number(math.nan), "\u2013"),
    ],
)
def test_numbers_as_people_read_them(shown, expected):
    assert shown == expected
