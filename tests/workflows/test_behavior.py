"""A behavior map: groups that an agent tells apart, the ways between them, and where it fails."""

import itertools
import json
import re

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from sb3_explain import Agent, ExplainError, StateDataset, behavior_map
from sb3_explain.report.behavior_figure import spread_letters
from sb3_explain.report.page import write_report
from sb3_explain.workflows.behavior.output import arrange
from sb3_explain.workflows.behavior.transitions import (
    count_transitions,
    is_of_failure,
    share_exits,
)
from sb3_explain.workflows.found_sections import read_behavior

EPISODES, LENGTH = 20, 30
#: what the agent sees in each of the groups; the third number it ignores
CENTERS = np.array([[-4.0, 0.0], [4.0, 0.0], [0.0, 5.0], [0.0, -5.0]])


class Known(nn.Module):
    """A layer that holds two of three numbers, a head, and a value: the first number."""

    def __init__(self):
        super().__init__()
        self.see = nn.Linear(3, 2)
        self.see.weight = nn.Parameter(torch.eye(2, 3))
        self.see.bias = nn.Parameter(torch.zeros(2))
        self.act = nn.Linear(2, 2)
        self.act.weight = nn.Parameter(torch.tensor([[1.0, 0.0], [-1.0, 0.0]]))
        self.act.bias = nn.Parameter(torch.zeros(2))

    def forward(self, seen):
        known = self.see(seen)
        return self.act(known), known[:, 0]


def make_agent(with_values=True):
    module = Known()
    return Agent.from_module(
        module if with_values else nn.Sequential(module.see, module.act),
        spaces.Box(-30, 30, (3,), np.float32), spaces.Discrete(2),
        action_names=["right", "left"], feature_names=["x", "y", "noise"],
    )  # fmt: skip


@pytest.fixture(scope="module")
def agent():
    return make_agent()


@pytest.fixture(scope="module")
def group():
    """(n,) the group of each state: episodes begin in 0, pass 1, and end in 2 or, if bad, in 3."""
    rng = np.random.default_rng(0)
    rows = []
    for episode in range(EPISODES):
        row = np.where(rng.random(LENGTH) < 0.6, 0, 1)
        row[:5], row[-6:] = 0, 3 if episode % 4 == 0 else 2
        rows.append(row)
    return np.concatenate(rows)


def make_states(agent, group, **columns):
    rng = np.random.default_rng(1)
    n = len(group)
    noise = rng.normal(size=(n, 1)) * 20  # by itself it would part the states otherwise
    seen = np.c_[CENTERS[group] + rng.normal(size=(n, 2)) * 0.1, noise].astype(np.float32)
    batch = torch.from_numpy(seen)
    scores, values = agent.scores(batch).numpy(), seen[:, 0].copy()
    return StateDataset.from_arrays(
        seen, np.arange(n) // LENGTH, scores.argmax(axis=1), scores=scores, values=values,
        actions=scores.argmax(axis=1), **columns,
    )  # fmt: skip


@pytest.fixture(scope="module")
def states(agent, group):
    rewards = np.where(group == 3, -1.0, 0.0) + np.where(group == 2, 1.0, 0.0)
    return make_states(agent, group, rewards=rewards, ended=np.ones(len(group), int))


@pytest.fixture(scope="module")
def behavior(agent, states):
    return behavior_map(agent, states, n_examples=2)


def test_groups_that_the_agent_tells_apart_are_the_clusters(behavior, group):
    assert len(behavior.clusters) == 4 and behavior.clustering.silhouettes[4] > 0.9
    pairs = set(zip(group.tolist(), behavior.labels.tolist(), strict=True))
    assert len(pairs) == 4
    first = behavior.clusters[int(behavior.labels[0])]
    assert first.name == "A" and first.n_states == (group == 0).sum()
    assert first.share == pytest.approx((group == 0).mean())


def test_transitions_are_those_of_a_slow_loop(behavior, states):
    steps, episode, labels = states.steps, states.episode, behavior.labels
    counts = np.zeros((4, 4), int)
    for i in range(len(labels) - 1):
        if episode[i + 1] == episode[i] and steps[i + 1] == steps[i] + 1:
            counts[labels[i], labels[i + 1]] += 1
    np.testing.assert_array_equal(behavior.transitions, counts)
    for i, one in enumerate(behavior.clusters):
        assert one.stays == pytest.approx(counts[i, i] / counts[i].sum())
        exits = {j: counts[i, j] for j in range(4) if j != i and counts[i, j]}
        assert one.following == pytest.approx(
            {"ABCD"[j]: n / sum(exits.values()) for j, n in exits.items()}
        )


def test_steps_that_are_left_out_are_no_transitions():
    counts = count_transitions(
        np.array([0, 1, 0, 1, 0]), np.array([0, 0, 0, 1, 1]), np.array([0, 1, 3, 0, 1]), 2
    )
    assert counts.tolist() == [[0, 1], [1, 0]]  # none over the gap, nor between episodes
    assert share_exits(np.array([[5, 0], [1, 3]])).tolist() == [[0, 0], [1, 0]]


def test_no_letter_lies_on_another():
    spread = spread_letters(np.array([[0.5, 0.5], [0.5, 0.5], [0.51, 0.5], [0.9, 0.1]]))
    apart = [np.linalg.norm(one - other) for one, other in itertools.combinations(spread, 2)]
    assert min(apart) > 0.99 * 22 / (72 * 4.6)
    assert spread[3].tolist() == [0.9, 0.1]


def test_what_it_does_and_expects_there_is_measured(behavior, states, group):
    for i, one in enumerate(behavior.clusters):
        own = behavior.labels == i
        (number,) = set(group[own].tolist())
        assert one.value == pytest.approx(states.column("values")[own].mean(), abs=1e-5)
        right = (states.greedy[own] == 0).mean()
        assert one.actions.get("right", 0.0) == pytest.approx(right)
        seen = {name.split()[0] for name in one.traits}
        assert seen == ({"x"} if number < 2 else {"y"})
        assert set(one.examples) <= set(np.flatnonzero(own).tolist()) and one.examples


def test_a_planted_cluster_of_failure_is_named(behavior, group):
    (name,) = behavior.failures
    failing = next(one for one in behavior.clusters if one.name == name)
    assert set(group[behavior.labels == "ABCD".index(name)].tolist()) == {3}
    assert (failing.n_ended, failing.n_failed) == (5, 5)
    said = str(behavior)
    assert "5 of 20 episodes failed (return below 0; the worst -6, the best 6)" in said
    assert f"clusters of failure: {name} (5 of 5 that end there)" in said


def test_chance_is_no_failure(agent, states, group):
    assert not is_of_failure(1, 1, 1, 20) and not is_of_failure(0, 0, 5, 20)
    assert not is_of_failure(3, 10, 5, 20) and is_of_failure(5, 5, 5, 20)
    lower = behavior_map(agent, states, n_clusters=4, failed_below=-10)
    assert not lower.failures and "in no cluster" in str(lower)
    equal = make_states(agent, group, rewards=np.zeros(len(group)))
    assert "their returns tell none apart" in str(behavior_map(agent, equal, n_clusters=4))
    cut = make_states(agent, group, rewards=np.ones(len(group)), ended=np.zeros(len(group), int))
    assert "no whole episode is over" in str(behavior_map(agent, cut, n_clusters=4))


def test_a_named_layer_and_another_picture_give_the_same_groups(agent, states, behavior):
    few = states.subset(np.arange(120))
    one = behavior_map(agent, few, layer="see", embedding="tsne", n_clusters=4)
    pairs = set(zip(one.labels.tolist(), behavior.labels[:120].tolist(), strict=True))
    assert len(pairs) == 4 and one.clustering.points.shape == (120, 2)
    assert "by what see says" in str(one)


@pytest.fixture(scope="module")
def folder(behavior, tmp_path_factory):
    folder = tmp_path_factory.mktemp("behavior")
    behavior.save(folder)
    return folder


def test_the_page_has_examples_that_letters_lead_to(behavior, folder):
    page = (folder / "behavior.html").read_text()
    anchors = re.findall(r'<section aria-labelledby="(cluster-\w)"', page)
    assert anchors == [f"cluster-{name}" for name in "abcd"]
    circles = re.findall(r'<a href="#(cluster-\w)"><title>[^<]*</title><circle', page)
    assert circles == anchors
    assert 'style="' not in page and page.count("data:image/png") == 5
    saved = json.loads((folder / "behavior.json").read_text())
    assert saved["transitions"] == behavior.transitions.tolist()
    assert len((folder / "behavior.csv").read_text().splitlines()) == 5


def test_the_report_shows_it(folder, tmp_path):
    section = read_behavior(folder)
    assert section.page == "behavior.html" and len(section.points) == 4
    assert "a cluster of failure" in section.points[0].details[-1]
    page = write_report(tmp_path, metrics={}, sections=[section]).read_text()
    assert 'id="behavior"' in page and "clusters of failure" in page
    (tmp_path / "behavior.json").write_text('{"results": []}')
    with pytest.raises(ExplainError, match="run `sb3-explain behavior` again"):
        read_behavior(tmp_path)
    assert read_behavior(tmp_path / "nowhere") is None


def test_mistakes_end_in_one_line(agent, states, behavior):
    with pytest.raises(ExplainError, match="unknown layer 'seee'; did you mean 'see'"):
        behavior_map(agent, states, layer="seee")
    with pytest.raises(ExplainError, match="unknown embedding 'umap'"):
        behavior_map(agent, states, embedding="umap")
    with pytest.raises(ExplainError, match=r"^3 state\(s\) cannot be divided into 5 clusters"):
        behavior_map(agent, states.subset(np.arange(3)), n_clusters=5)
    same = StateDataset.from_arrays(np.ones((9, 3), np.float32), np.zeros(9), np.zeros(9, int))
    with pytest.raises(ExplainError, match=r"tells 1 state\(s\) of 9 apart, .* fewer than 2"):
        behavior_map(agent, same, layer="see")
    with pytest.raises(ExplainError, match="n_clusters=1"):
        behavior_map(agent, states, n_clusters=1)
    with pytest.raises(ExplainError, match="there are no states to draw"):
        behavior_map(agent, states.subset(np.arange(0)))
    with pytest.raises(ExplainError, match="unknown color 'values'; did you mean 'value'"):
        behavior.plot(color="values")


def test_an_agent_without_values_is_drawn_by_its_clusters(group):
    agent = make_agent(with_values=False)
    seen = make_states(agent, group).observations(np.arange(200))
    states = StateDataset.from_arrays(seen, np.arange(200) // LENGTH, np.zeros(200, int))
    found = behavior_map(agent, states, n_clusters=4, layer="0")
    assert found.clusters[0].value is None and arrange(found).measured is None
    with pytest.raises(ExplainError, match="these states have no value: color by cluster alone"):
        found.plot(color="value")
