"""A planted concept is found where it is planted, and not in the control; mistakes are one line."""

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from sb3_explain import Agent, ExplainError, StateDataset, linear_probe
from tests.toys import dot_agent, dot_states

N, LENGTH = 600, 20


class Planted(nn.Module):
    """The second layer mixes the product of the first two numbers into its units.

    The product is no linear function of the numbers; the third layer drops it again.
    """

    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.first = nn.Linear(4, 6)
        self.second = nn.Linear(3, 8)
        self.third = nn.Linear(8, 5)
        self.head = nn.Linear(5, 2)
        self.second.weight = nn.Parameter(torch.randn(8, 3, generator=generator))
        columns = torch.linalg.qr(torch.randn(8, 8, generator=generator)).Q
        # rows that are orthogonal to the column of the product
        product = self.second.weight[:, 0] / self.second.weight[:, 0].norm()
        rows = columns[:5] - (columns[:5] @ product)[:, None] * product
        self.third.weight = nn.Parameter(rows)

    def forward(self, seen):
        self.first(seen)
        product = seen[:, :1] * seen[:, 1:2]
        mixed = self.second(torch.cat([product, seen[:, 2:]], dim=1))
        return self.head(self.third(mixed))


@pytest.fixture(scope="module")
def agent():
    torch.manual_seed(0)
    space = spaces.Box(-3, 3, (4,), np.float32)
    return Agent.from_module(Planted(), space, spaces.Discrete(2), feature_names=list("abcd"))


@pytest.fixture(scope="module")
def states():
    seen = np.random.default_rng(0).normal(size=(N, 4)).astype(np.float32)
    return StateDataset.from_arrays(seen, np.arange(N) // LENGTH, np.zeros(N, int))


@pytest.fixture(scope="module")
def product(states):
    seen = states.observations(np.arange(N))
    return (seen[:, 0] * seen[:, 1]).numpy()


@pytest.fixture(scope="module")
def probes(agent, states, product):
    return linear_probe(agent, states, {"product": product, "c": states.frames()[:, 2]})


def test_a_planted_concept_is_found_where_it_is_and_not_in_the_control(probes):
    r2 = {row.layer: row.r2 for row in probes.rows if row.concept == "product"}
    assert list(r2) == ["observation", "first", "second", "third", "head"]
    assert r2["second"].mean >= 0.95 and r2["second"].low >= 0.95
    for layer in ("observation", "first", "third", "head"):
        assert r2[layer].mean <= 0.1
    assert all(row.control.mean <= 0.1 for row in probes.rows)
    assert probes.best("product").layer == "second"
    assert next(row for row in probes.rows if row.concept == "c").r2.mean >= 0.95


def test_r2_is_of_episodes_that_the_probe_has_not_seen(agent):
    """A concept that is a number of the episode cannot be learned from other episodes."""
    rng = np.random.default_rng(1)
    episode = np.arange(N) // LENGTH
    seen = (
        rng.normal(size=(N, 4)).astype(np.float32) * 0.1
        + rng.normal(size=(N // LENGTH, 4))[episode]
    )
    states = StateDataset.from_arrays(seen.astype(np.float32), episode, np.zeros(N, int))
    of_episode = rng.normal(size=N // LENGTH)[episode]
    found = linear_probe(agent, states, of_episode, "first")
    assert found.rows[1].r2.mean < 0.3  # with states of the same episodes it would be near 1


def test_a_probe_of_more_units_than_states_finds_a_dot_in_pictures():
    agent = dot_agent()
    states = dot_states(agent, 200)
    newest = states.frames()[:, 0].numpy()
    column = (newest == 255).any(axis=1).argmax(axis=1).astype(float)
    found = linear_probe(agent, states, {"column": column}, [])
    assert found.rows[0].n_units == 2 * 24 * 24 > found.rows[0].r2.n
    assert found.rows[0].r2.mean > 0.8 and found.rows[0].control.mean < 0.1


def test_known_quantities_are_probed_by_their_names(agent, states):
    named = linear_probe(agent, states, ["a", "step"], "first")
    assert named.concepts == ("a", "step")
    assert named.best("a").r2.mean > 0.99 and named.best("step").r2.mean < 0.1
    everything = linear_probe(agent, states, None, [])
    assert set(everything.concepts) == {"a", "b", "c", "d", "step"}


def test_states_in_which_a_concept_is_not_known_are_left_out(agent, states, product):
    partly = np.where(np.arange(N) % LENGTH < 12, product, np.nan)
    both = linear_probe(agent, states, {"all": product, "partly": partly}, "second")
    few = np.flatnonzero(np.isfinite(partly))
    alone = linear_probe(agent, states.subset(few), {"partly": product[few]}, "second")
    found, expected = both.best("partly").r2, alone.best("partly").r2
    assert found.n == expected.n == N * 12 // 20 and both.best("all").r2.n == N
    assert found.mean == pytest.approx(expected.mean, abs=1e-3)


def test_it_is_a_table_a_text_and_a_picture(probes):
    table = probes.table()
    assert list(table["layer"][:2]) == ["observation", "first"] and len(table) == 10
    assert table["R2"][2] == probes.rows[2].r2.mean
    lines = str(probes).splitlines()
    assert lines[0].split() == ["concept", "layer", "units", "held-out", "R2", "control"]
    assert lines[3].startswith("product") and "second" in lines[3]
    assert probes.plot()[1:4] == b"PNG" and "<table" in probes._repr_html_()


def test_mistakes_end_in_one_line(agent, states, product):
    with pytest.raises(ExplainError, match="unknown layer 'secnd'; did you mean 'second'"):
        linear_probe(agent, states, product, "secnd")
    with pytest.raises(ExplainError, match="unknown concept 'valu'"):
        linear_probe(agent, states, "valu")
    with pytest.raises(ExplainError, match="'x' is 2 in all 600 states: a probe needs a concept"):
        linear_probe(agent, states, {"x": np.full(N, 2.0)})
    with pytest.raises(ExplainError, match=r"'x' are of shape \(3,\) for 600 states"):
        linear_probe(agent, states, {"x": [1, 2, 3]})
    with pytest.raises(ExplainError, match="infinite in 1 states: give NaN where"):
        linear_probe(agent, states, np.r_[np.inf, product[1:]])
    with pytest.raises(ExplainError, match="'x' is known in 45 states, which are too few"):
        linear_probe(agent, states, {"x": np.r_[product[:45], np.full(N - 45, np.nan)]})
    with pytest.raises(ExplainError, match="'x' are no numbers"):
        linear_probe(agent, states, {"x": ["a"] * N})
    with pytest.raises(ExplainError, match=r"a probe needs 50 states or more .* there are 40 of 2"):
        linear_probe(agent, states.subset(np.arange(40)), "a")
    with pytest.raises(ExplainError, match="unknown concept 'y'"):
        linear_probe(agent, states, "a", []).best("y")
