"""A report shows what diagnose, inside and tree have left in its folder."""

import re

import numpy as np
import pytest
from PIL import Image

from sb3_explain import Finding, Interval, diagnose
from sb3_explain.common.errors import ExplainError
from sb3_explain.report.page import write_report
from sb3_explain.workflows.critical_steps import CriticalSteps
from sb3_explain.workflows.diagnosis.diagnose import Diagnosis
from sb3_explain.workflows.diagnosis.findings import Look
from sb3_explain.workflows.found_sections import make_sections
from sb3_explain.workflows.inside.inside import Inside, LayerFacts
from sb3_explain.workflows.inside.units import FollowingUnit
from tests.toys import dot_agent, dot_states


def draw_png(path, size=(4, 4)):
    path.parent.mkdir(exist_ok=True)
    Image.new("RGB", size).save(path)


def write_tree(folder):
    (folder / "tree.txt").write_text("decision tree of 2 leaves\nsame action: 90%\n\nif x <= 1:\n")
    draw_png(folder / "tree.png")


@pytest.fixture(scope="module")
def played():
    """An agent and its states."""
    agent = dot_agent()
    return agent, dot_states(agent, 60)


def test_an_agent_that_nobody_diagnosed_is_looked_at_without_playing(tmp_path, played):
    (section,) = make_sections(tmp_path, *played)
    report = diagnose(*played, play=False, progress=False)
    assert [point.said for point in section.points] == [one.said for one in report.findings]
    assert "nothing was played for this" in section.summary[1]
    assert section.facts[1]["noise"] == report.looks["noise"].said
    assert section.facts[1]["returns"].startswith("not looked at")


def test_what_cannot_be_diagnosed_has_its_reason_on_the_page(tmp_path, played):
    agent, states = played
    (section,) = make_sections(tmp_path, agent, states.subset(np.arange(0)))
    assert section.summary[0].startswith("this agent was not diagnosed: there are no states")


def test_nothing_found_says_what_was_looked_at(tmp_path, played):
    report = Diagnosis((), {"layers": Look("2 layers")}, {"value": "it has none"}, 30, 2, {})
    report.save(tmp_path)
    (section,) = make_sections(tmp_path, *played)
    assert section.summary == ["nothing found in 30 states of 2 episode(s), by 1 check(s)"]
    assert not section.points and not section.pictures and section.page == "diagnosis.html"
    assert section.facts[1] == {"layers": "2 layers", "value": "not looked at: it has none"}


def test_sections_stand_on_the_page_with_evidence_and_next_step(tmp_path, played):
    steady, nan = Interval(0.5, 0.25, 0.75, 9), Interval(np.nan, np.nan, np.nan, 3)
    found = Finding("x", "it is <b>odd</b>", "fault", "certain", steady, "of states", "look at it")
    other = Finding("y", "it is even", "warning", "likely", nan, "of states", "wait")
    Diagnosis((found, other), {"noise": Look("all")}, {}, 30, 2, {}).save(tmp_path)
    layer = LayerFacts("net.1", "Tanh", (3, 2), 0.25)
    following = FollowingUnit("value", "net.1", 4, -0.5)
    Inside((layer,), None, (following,), (), None, None, {}).save(tmp_path)
    draw_png(tmp_path / "inside" / "unit_net.1_4.png")
    write_tree(tmp_path)
    curve = np.array([0.25, 0.75])
    CriticalSteps("Dot-v0", 3, 0, curve, curve, np.arange(3.0)).save(tmp_path / "critical")
    (tmp_path / "critical" / "fidelity.txt").write_text("ratio 3\n")
    (tmp_path / "outcomes").mkdir()
    (tmp_path / "outcomes" / "outcomes.txt").write_text("step 4\nleft: return 1\nup: return 2\n")
    (tmp_path / "objects").mkdir()
    (tmp_path / "objects" / "objects.txt").write_text("3 states\nsarfa: ball 20%\n")
    sections = make_sections(tmp_path, *played)
    assert [section.anchor for section in sections] == [
        "diagnosis", "inside", "as-a-tree", "critical-steps", "outcomes", "objects",
    ]  # fmt: skip
    page = write_report(tmp_path, metrics={}, sections=sections).read_text()
    text = re.sub(r"<[^>]+>", "", page)
    for said in (
        "It is &lt;b&gt;odd&lt;/b&gt;.",
        "Fault, certain: 0.5 of states (n = 9, 95 % interval 0.25 to 0.75).",
        "Next step: look at it.",
        "Warning, likely: of states.",
        "Tanh, 3 x 2, 25% dead units.",
        "Value: unit 4 of net.1 (r = -0.50).",
        "The states that excite unit 4 of net.1 most.",
        "Same action: 90%.",
        "if x &lt;= 1:",
        "Episode 3 (seed 0): 2 steps, return 2; most critical steps: 1 (0.75), 0 (0.25).",
        "Ratio 3.",
        "Up: return 2.",
        "Sarfa: ball 20%.",
    ):
        assert said in text
    assert page.count("<img ") == 4  # no bars of findings


@pytest.mark.parametrize(
    ("name", "content", "command"),
    [
        ("diagnosis.json", b"{}", "diagnose"),
        ("inside.json", b'{"layers": 3}', "inside"),
        ("tree.txt", b"\xff", "tree"),
        ("tree.png", b"<svg>", "tree"),
        ("critical/critical.txt", b"", "critical"),
        ("outcomes/outcomes.txt", b"\xff", "outcomes"),
    ],
)
def test_a_damaged_file_is_one_line(tmp_path, played, name, content, command):
    write_tree(tmp_path)
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ExplainError, match=rf"run `sb3-explain {command}` again"):
        make_sections(tmp_path, *played)


def test_a_diagnosis_of_an_agent_is_read_as_it_was_written(tmp_path, played):
    report = diagnose(*played, checks=["layers", "noise"], play=False, progress=False)
    report.save(tmp_path)
    section = make_sections(tmp_path, *played)[0]
    assert [point.said for point in section.points] == [one.said for one in report.findings]
    assert [point.details[0].partition(": ")[2] for point in section.points] == [
        one.describe_evidence() for one in report.findings
    ]
