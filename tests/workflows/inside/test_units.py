"""The states that excite a unit are the best of all; the unit that follows a concept is found."""

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from sb3_explain import Agent, ExplainError, StateDataset, activating_states, inside
from sb3_explain.workflows.inside.units import correlate, find_following
from tests.remembering import remembering_agent, remembering_states
from tests.toys import SIZE, dot_states

N, LENGTH = 600, 60


@pytest.fixture(scope="module")
def agent():
    torch.manual_seed(0)
    layers = [nn.Linear(3, 10), nn.ReLU(), nn.Linear(10, 2)]
    space = spaces.Box(-3, 3, (3,), np.float32)
    return Agent.from_module(nn.Sequential(*layers), space, spaces.Discrete(2))


@pytest.fixture(scope="module")
def states():
    seen = np.random.default_rng(0).normal(size=(N, 3)).astype(np.float32)
    return StateDataset.from_arrays(seen, np.arange(N) // LENGTH, np.zeros(N, int))


def test_the_states_are_the_best_that_are_ten_steps_apart(agent, states):
    found = activating_states(agent, states, "0", 4, k=6)
    net = agent.view.policy
    activations = (states.observations(np.arange(N)) @ net[0].weight[4] + net[0].bias[4]).numpy()
    expected = []
    for position in sorted(range(N), key=lambda i: -activations[i]):
        apart = [abs(position - one) >= 10 or position // 60 != one // 60 for one in expected]
        if all(apart) and len(expected) < 6:
            expected.append(position)
    assert found.positions.tolist() == expected
    np.testing.assert_allclose(found.values, activations[expected], rtol=1e-5)
    np.testing.assert_allclose(found.usual, np.quantile(activations, [0.05, 0.5, 0.95]), rtol=1e-4)
    assert str(found).startswith("unit 4 of 0: usually") and len(str(found).splitlines()) == 7
    assert found.plot()[1:4] == b"PNG"


class Bright(nn.Module):
    """A convolution whose first channel is the brightness of the newest frame."""

    def __init__(self):
        super().__init__()
        self.see = nn.Conv2d(1, 2, 3, stride=2, padding=1)
        self.see.weight = nn.Parameter(torch.zeros(2, 1, 3, 3))
        self.see.weight.data[0] = 1 / 255
        self.see.bias.data.zero_()

    def forward(self, pictures):
        return self.see(pictures.float()).mean(dim=(2, 3))


def test_of_a_channel_the_picture_shows_where_it_is_excited(tmp_path):
    agent = Agent.from_module(
        Bright(), spaces.Box(0, 255, (1, SIZE, SIZE), np.uint8), spaces.Discrete(2)
    )
    states = dot_states(agent, 40)
    found = activating_states(agent, states, "see", 0, k=2)
    assert found.places.shape == (2, 12, 12)
    for position, value, places in zip(found.positions, found.values, found.places, strict=True):
        bright = states.observations([position])[0, 0] == 255
        row, column = np.argwhere(bright.numpy()).mean(axis=0)
        at = np.unravel_index(places.argmax(), places.shape)
        assert value == places.max() and abs(2 * at[0] - row) <= 2 and abs(2 * at[1] - column) <= 2
    assert found.save(tmp_path / "unit.png").stat().st_size > 1000


def test_the_unit_that_follows_a_concept_is_found_and_judged_by_other_states():
    rng = np.random.default_rng(0)
    concept, half = rng.normal(size=400), np.arange(400) % 2 == 0
    rows = rng.normal(size=(400, 50))
    rows[:, 17] = -2 * concept + 0.1 * rng.normal(size=400)
    chance = rng.normal(size=400)
    found = find_following({"a": rows[:, :10], "b": rows}, {"x": concept, "y": chance}, half)
    assert (found[0].concept, found[0].layer, found[0].unit) == ("x", "b", 17)
    assert found[0].r == pytest.approx(np.corrcoef(rows[~half, 17], concept[~half])[0, 1])
    chosen = np.abs(correlate(rows[half], chance[half])).max()
    assert abs(found[1].r) < chosen  # the best of 50 units by chance alone
    assert correlate(np.ones((9, 1)), np.arange(9.0))[0] == 0


def test_inside_of_an_agent_that_remembers(tmp_path):
    agent = remembering_agent()
    states = remembering_states(agent, [2, 5, 0, 7] * 3)
    found = inside(agent, states, concepts={"shown": states.frames()[:, 0]})
    assert [layer.name for layer in found.layers][-2:] == ["action_net", "value_net"]
    assert found.layers[-1].shape == (1,) and found.layers[-1].dead == 0
    assert found.past.strongest in (2, 5, 0, 7)[: len(found.past.steps)]
    assert set(found.skipped) == {"attention"}
    assert found.save(tmp_path) == tmp_path / "inside"
    made = {path.name for path in (tmp_path / "inside").iterdir()}
    assert made == {"layers.png", "linear_probes.png", "past_steps.png"}  # no layer of 8 units


def test_dead_units_and_missing_parts_are_said(agent, states):
    dead = nn.Sequential(nn.Linear(3, 10), nn.ReLU(), nn.Linear(10, 2))
    with torch.no_grad():
        dead[0].bias[:4] = -1000
    other = Agent.from_module(dead, agent.observation_space, agent.action_space)
    found = inside(other, states.subset(np.arange(30)))
    by_name = {layer.name: layer for layer in found.layers}
    assert by_name["1"].dead == pytest.approx(0.4) and by_name["1"].kind == "ReLU"
    assert found.probes is None and not found.following
    assert found.skipped["linear probes"].startswith("a probe needs 50 states")
    assert "carries no state" in found.skipped["past steps"]
    assert "1: ReLU, 10, 40% dead" in str(found)


def test_mistakes_end_in_one_line(agent, states):
    with pytest.raises(ExplainError, match="0 has no unit 10: give one of 0 to 9"):
        activating_states(agent, states, "0", 10)
    with pytest.raises(ExplainError, match="unknown layer 'relu'"):
        activating_states(agent, states, "relu", 0)
    with pytest.raises(ExplainError, match="k=0"):
        activating_states(agent, states, "0", 0, k=0)
