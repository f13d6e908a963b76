"""The same state by every method, on a page."""

import numpy as np

from sb3_explain.report import Picture, write_report
from sb3_explain.report.method_attributions import MethodAttributions
from sb3_explain.report.overlay import lay_over
from sb3_explain.report.target_attributions import encode_png

FRAME = np.full((160, 100, 3), 90, np.uint8)


def example(**attributions):
    return MethodAttributions(FRAME, attributions, signed=["B"], caption="state 3: LEFT")


def test_each_method_is_laid_over_the_enlarged_frame():
    made = example(A=np.eye(8), B=-np.eye(8), C=np.zeros((8, 8)))
    large = np.full((320, 200, 3), 90, np.uint8)
    assert np.array_equal(made.game(), large)
    drawn = dict(made.pictures())
    assert np.array_equal(drawn["A"], lay_over(large, np.eye(8)))
    assert np.array_equal(drawn["B"], lay_over(large, -np.eye(8), signed=True))
    assert [made.is_empty(name) for name in "ABC"] == [False, False, True]


def test_the_page_shows_them_with_their_names(tmp_path):
    row = {"sparseness": {"mean": 0.5, "low": 0.4, "high": 0.6, "n": 9}}
    metrics = {"explainers": {"sarfa": row, "grad_cam": row, "empty": row}, "states": {}}
    methods = [example(A=np.eye(8), B=-np.eye(8), C=np.zeros((8, 8)))]
    page = write_report(tmp_path / "a.html", metrics=metrics, methods=methods).read_text()
    for words in ("The same state by every method", "state 3: LEFT", "Map by A", "blue: against",
                  "empty map", "Explained by SARFA and Grad-CAM"):  # fmt: skip
        assert words in page
    alone = write_report(tmp_path / "b.html", metrics=metrics).read_text()
    assert "by every method" not in alone
    figure = Picture(encode_png(np.zeros((2, 2, 3), np.uint8)), "a row for each method", "bars")
    drawn = write_report(tmp_path / "c.html", metrics=metrics, methods=[figure]).read_text()
    assert "a row for each method" in drawn and 'alt="bars"' in drawn
    metrics["states"]["target"] = "value<"
    other = write_report(tmp_path / "d.html", metrics=metrics, methods=methods).read_text()
    assert "important for value&lt;" in other
