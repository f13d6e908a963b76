"""Two agents on one page."""

import json
import re

import numpy as np
import pytest

from sb3_explain import ExplainError, StateDataset, explain
from tests.toys import dot_agent

QUICK = {"n_states": 60, "n_evaluated": 4, "metrics": ["sparseness"], "progress": False}


def read_playbacks(page):
    text = re.search(r'id="playback">(.*?)</script>', page.read_text(), re.DOTALL)[1]
    return json.loads(text)["playbacks"]


def test_another_agent_is_played_from_the_same_seeds(tmp_path):
    agent, other = dot_agent(), dot_agent()
    explain(agent, tmp_path, ["gradient"], beside={"a: b": other}, **QUICK)
    this, that = read_playbacks(tmp_path / "report.html")
    assert (this["name"], that["name"]) == ("this agent", "a: b")
    assert [one["label"] for one in this["explainers"]] == ["Plain gradient"]
    assert len(that["explainers"]) == 2  # its own defaults
    own, others = (StateDataset.open(tmp_path / folder) for folder in ("episodes", "episodes_a-b"))
    # the same weights and seeds: the same states
    assert np.array_equal(own.frames(), others.frames())
    assert this["n"] == that["n"] == len(own) == 60
    # pictures of steps that are played open these
    links = re.findall(
        r'data-position="(\d+)">Open episode (\d+), step (\d+) \(',
        (tmp_path / "report.html").read_text(),
    )
    assert links
    for place, episode, step in np.array(links, int):
        assert (own.episode[place], own.steps[place]) == (episode, step)


@pytest.mark.parametrize("names", [["..", "b"], ["a b", "a/b"]])
def test_names_have_folders_of_their_own(tmp_path, names):
    with pytest.raises(ExplainError, match="a name of its own, of letters and digits"):
        explain(dot_agent(), tmp_path, beside=dict.fromkeys(names, dot_agent()), **QUICK)
    assert not list(tmp_path.iterdir())
