"""``view`` in notebooks: what it plays, what it refuses, and that a kernel makes it."""

import base64
import importlib.util

import pytest

from sb3_explain.common.errors import ExplainError
from sb3_explain.explainers.make import make_explainer
from sb3_explain.report.viewer.write import write_viewer
from sb3_explain.report.wording import Wording
from sb3_explain.workflows.notebook_view import view
from sb3_explain.workflows.playback import make_playback
from sb3_explain.workflows.whole_episodes import play_whole_episodes
from tests.pages import ROOT
from tests.toys import dot_agent

NEEDED = "anywidget"


@pytest.fixture(scope="module")
def played():
    agent = dot_agent()
    return agent, play_whole_episodes(agent, None, 50, progress=False)


def test_it_plays_what_a_page_plays(played):
    pytest.importorskip(NEEDED)
    agent, states = played
    widget = view(agent, "gradient", n_steps=50, progress=False)
    explainers = {"gradient": make_explainer("gradient", agent, states)}
    playback = make_playback(states, explainers, agent=agent, limit=50, progress=False)
    page = write_viewer([playback], Wording())
    assert widget.blobs == {name: base64.b64decode(text) for name, text in page.blobs.items()}
    given = view(agent, "gradient", states=states, n_steps=50, progress=False)
    assert given.blobs == widget.blobs


def test_mistakes_show_before_anything_is_played(played, monkeypatch):
    pytest.importorskip(NEEDED)
    agent, _ = played

    def never(*arguments, **options):
        raise AssertionError("it plays")

    monkeypatch.setattr("sb3_explain.workflows.notebook_view.play_whole_episodes", never)
    for explainers, target, line in (
        ("gradeint", None, "did you mean 'gradient'"),
        ("visionmask", None, "visionmask learns: fit it first"),
        ("gradient", "up", "unknown target 'up'"),
        ("sarfa", "value", "sarfa explains actions, not value"),
    ):
        with pytest.raises(ExplainError, match=line):
            view(agent, explainers, target=target, progress=False)


def test_without_anywidget_one_line_says_what_to_install(played, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ExplainError, match=r"pip install 'sb3_explain\[notebook\]'"):
        view(played[0])


@pytest.mark.slow  # a kernel
def test_a_notebook_makes_it(tmp_path, monkeypatch):
    pytest.importorskip(NEEDED)
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    cell = nbformat.v4.new_code_cell(
        "from stable_baselines3 import PPO\n"
        "import sb3_explain\n"
        'model = PPO("MlpPolicy", "CartPole-v1", n_steps=64, device="cpu")\n'
        'widget = sb3_explain.view(model, "gradient", n_steps=20, progress=False)\n'
        "print(len(widget.blobs))\n"
        "widget"
    )
    notebook = nbformat.v4.new_notebook(cells=[cell])
    nbclient.NotebookClient(
        notebook, timeout=300, kernel_name="python3",
        resources={"metadata": {"path": str(tmp_path)}},
    ).execute()  # fmt: skip
    outputs = notebook.cells[0].outputs
    n_blobs = next(int(one.text) for one in outputs if one.get("name") == "stdout")
    (shown,) = [one.data for one in outputs if one.output_type == "execute_result"]
    number = shown["application/vnd.jupyter.widget-view+json"]["model_id"]
    saved = notebook.metadata.widgets["application/vnd.jupyter.widget-state+json"]["state"]
    assert len(saved[number]["buffers"]) == n_blobs > 10
