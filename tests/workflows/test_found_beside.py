"""A report shows what highlights and probe have left in its folder."""

import base64
import io
import json
import re

import numpy as np
import pytest
from PIL import Image

from sb3_explain.common.errors import ExplainError
from sb3_explain.report.viewer.playback import Bookmark
from sb3_explain.workflows.found_beside import mark_outcomes, read_gallery, read_highlights
from sb3_explain.workflows.pipeline import explain
from sb3_explain.workflows.playback import place_bookmarks
from tests.toys import dot_agent, dot_states


@pytest.fixture(scope="module")
def states():
    return dot_states(dot_agent(), 30)


def write_highlights(folder, *places):
    found = [
        {"position": 0, "episode": episode, "step": step, "importance": 0.5 - 0.1 * i}
        for i, (episode, step) in enumerate(places)
    ]
    (folder / "highlights.json").write_text(json.dumps(found))


def test_highlights_are_found_by_episode_and_step(tmp_path, states):
    assert read_highlights(tmp_path, states) == []
    last = int(states.episode[-1])
    step = int(states.steps[-1])
    first = int(states.episode[0])
    write_highlights(tmp_path, (last, step), (last + 7, 0), (first, 0))
    assert read_highlights(tmp_path, states) == [
        Bookmark(len(states) - 1, "highlight 1: importance 0.5"),
        Bookmark(0, "highlight 3: importance 0.3"),
    ]


def test_the_step_of_outcomes_is_found_in_episodes_of_its_seed(tmp_path, states):
    assert mark_outcomes(tmp_path, states) == []
    (tmp_path / "outcomes").mkdir()
    said = {"episode": int(states.episode[-1]), "step": int(states.steps[-1])}
    for seed, n in ((0, 1), (7, 0)):
        text = json.dumps({**said, "seed": seed, "outcomes": []})
        (tmp_path / "outcomes" / "outcomes.json").write_text(text)
        view = states.subset(np.arange(len(states)))
        view.provenance = {"seed": 0}
        found = mark_outcomes(tmp_path, view)
        assert found == [Bookmark(len(states) - 1, "what if it had acted otherwise")] * n


def test_bookmarks_that_are_not_shown_are_left_out():
    marked = [Bookmark(4, "a"), Bookmark(9, "b")]
    assert place_bookmarks(marked, np.array([2, 9, 10])) == [Bookmark(1, "b")]


def test_damaged_highlights_are_one_line(tmp_path, states):
    (tmp_path / "highlights.json").write_text('[{"episode": -1}]')
    with pytest.raises(ExplainError, match="run `sb3-explain highlights` again"):
        read_highlights(tmp_path, states)


def write_sheets(folder, *names):
    sheets = [{"file": name, "caption": f"of {name}", "alt": "a sheet"} for name in names]
    (folder / "probes.json").write_text(json.dumps({"targets": {}, "sheets": sheets}))


def test_the_gallery_is_that_of_the_probes(tmp_path):
    assert read_gallery(tmp_path) == []
    (tmp_path / "probes.json").write_text('{"targets": {}}')  # of an earlier version
    assert read_gallery(tmp_path) == []
    (tmp_path / "probes").mkdir()
    content = io.BytesIO()
    Image.new("RGB", (4, 4)).save(content, format="PNG")
    (tmp_path / "probes" / "T-minus.png").write_bytes(content.getvalue())
    write_sheets(tmp_path, "T-minus.png", "T-plus.png")
    (picture,) = read_gallery(tmp_path)  # the other has been taken away
    assert (picture.png, picture.caption, picture.alt) == (
        content.getvalue(), "of T-minus.png", "a sheet",
    )  # fmt: skip


@pytest.mark.parametrize("name", ["../report.png", "/etc/passwd", "a/b.png", ".png", "x.svg"])
def test_no_other_file_is_read(tmp_path, name):
    write_sheets(tmp_path, name)
    with pytest.raises(ExplainError, match="names no picture of probes/"):
        read_gallery(tmp_path)


def test_a_damaged_sheet_is_one_line(tmp_path):
    (tmp_path / "probes").mkdir()
    (tmp_path / "probes" / "T.png").write_bytes(b"<svg>")
    write_sheets(tmp_path, "T.png")
    with pytest.raises(ExplainError, match=r"T\.png is damaged"):
        read_gallery(tmp_path)


@pytest.mark.slow  # episodes, metrics and a page
def test_a_report_shows_what_is_there(tmp_path):
    (tmp_path / "probes").mkdir()
    content = io.BytesIO()
    Image.new("RGB", (4, 4)).save(content, format="PNG")
    (tmp_path / "probes" / "T-minus.png").write_bytes(content.getvalue())
    (tmp_path / "probes.html").touch()
    write_sheets(tmp_path, "T-minus.png")
    write_highlights(tmp_path, (1, 5))
    explain(
        dot_agent(), tmp_path, "gradient", n_states=60, n_evaluated=5, metrics=["sparseness"],
        n_shown=1000, progress=False,
    )  # fmt: skip
    page = (tmp_path / "report.html").read_text()
    assert "of T-minus.png" in page and base64.b64encode(content.getvalue()).decode() in page
    assert '<a href="probes.html">' in page
    found = re.search(r'<script type="application/json" id="playback">(.*?)</script>', page)
    playback = json.loads(found[1])["playbacks"][0]
    (mark,) = [one for one in playback["bookmarks"] if one["label"].startswith("highlight 1")]
    assert mark["position"] == playback["episodes"][1]["start"] + 5
