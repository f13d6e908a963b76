"""The agent is asked once what it is asked: forward passes of whole workflows, counted.

An observation that passes the policy counts, whoever passes it: the policy itself is counted here,
not the agent's own figure.
"""

import numpy as np
import pytest
import torch

from sb3_explain import (
    ForwardCache,
    Greydanus,
    Rise,
    Sarfa,
    StateBatch,
    evaluate,
    find_weaknesses,
    highlights,
)
from sb3_explain.probing import generator as generators
from sb3_explain.workflows.pictures import make_target_attributions
from tests.toys import dot_agent, dot_states

pytestmark = pytest.mark.usefixtures("few_candidates")


class Counted:
    """Observations that pass a policy, counted by a hook, and tensors that go to a device."""

    def __init__(self, agent, monkeypatch):
        _ = agent.layout, agent.categories, agent.cut_keys  # found once, and not counted
        self.observations = self.moved = 0
        agent.view.policy.register_forward_pre_hook(self.count)
        move = agent.tensor

        def counted(observations):
            self.moved += not isinstance(observations, dict)
            return move(observations)

        monkeypatch.setattr(agent, "tensor", counted)

    def count(self, module, inputs):
        self.observations += len(inputs[0])


@pytest.fixture
def agent():
    return dot_agent()


@pytest.fixture
def counted(agent, monkeypatch):
    return Counted(agent, monkeypatch)


def test_a_batch_goes_to_the_device_once(agent, counted):
    states = dot_states(agent, 40)
    counted.moved = 0
    states.batch(agent, range(8))
    assert counted.moved == 1  # its observations; this agent has no policy inputs


def test_attributions_of_all_targets_take_the_forward_passes_of_one(agent, counted):
    states = dot_states(agent, 40)
    explainer = Greydanus(agent)
    batch = states.batch(agent, [0, 1], 0)
    counted.observations = 0
    explainer.attribute_batch(batch)
    one = counted.observations
    every = explainer.attribute_all(batch)
    assert counted.observations == 2 * one == 2 * 2 * explainer.forwards_per_state
    assert every.shape == (2, 3, 2, 24, 24)


def test_without_a_cache_nothing_is_shared_and_with_one_equal_states_are(agent, counted):
    states = dot_states(agent, 40)
    cache = ForwardCache()
    for given, times in ((None, 2), (cache, 1)):
        counted.observations = 0
        for method in (Greydanus, Sarfa):  # each with a batch of its own, of the same states
            batch = states.batch(agent, [3, 4, 5], 1, cache=given)
            method(agent).attribute_batch(batch)
        assert counted.observations == times * 3 * Greydanus(agent).forwards_per_state
    assert cache.saved.forwards == 3 * Greydanus(agent).forwards_per_state
    other = states.batch(agent, [3, 4, 6], 1, cache=cache)
    counted.observations = 0
    Sarfa(agent).attribute_batch(other)
    assert counted.observations == 3 * Greydanus(agent).forwards_per_state


def test_evaluate_asks_once_for_what_methods_share(agent, counted):
    states = dot_states(agent, 40)
    counted.observations = 0
    evaluation = evaluate(agent, states, [Greydanus(agent), Sarfa(agent)], ["sparseness"])
    own = 40  # what the agent does, which decides the target; charged to nobody
    gradient = 40
    assert counted.observations == own + 40 * Greydanus(agent).forwards_per_state + gradient
    costs = {name: row.explaining.forwards for name, row in evaluation.rows.items()}
    assert costs["greydanus"] == costs["sarfa"] == 40 * Greydanus(agent).forwards_per_state


def test_the_picture_of_a_state_builds_its_batch_once(agent, counted):
    states = dot_states(agent, 40)
    explainer = Rise(agent, n_masks=50)
    counted.observations = counted.moved = 0
    make_target_attributions(states, explainer, "", 7)
    assert counted.observations == explainer.forwards_per_state + 1  # and what the agent does
    assert counted.moved == 1


def test_highlights(agent, counted, tmp_path):
    explainer = Rise(agent, n_masks=30)
    found = highlights(
        agent, tmp_path, k=2, n_states=160, before=3, after=3, explainer=explainer, progress=False
    )
    shown = {p for one in found for p in range(one.start, one.stop)}
    assert len(found) == 2 and 8 <= len(shown) <= 14
    # all environments are passed until each has played to the end of its last episode
    played = agent_steps(tmp_path)
    last_layers = 160
    expected = played + last_layers + len(shown) * explainer.forwards_per_state
    assert expected - played <= counted.observations <= expected + 40


def agent_steps(folder):
    from sb3_explain import StateDataset

    (states,) = [p.parent for p in folder.glob("*/states.json")]
    return len(StateDataset.open(states))


def test_find_weaknesses(agent, counted, tmp_path, monkeypatch):
    """Beside playing, learning and searching, the states of a page are passed once each."""
    states = dot_states(agent, 120)
    values, scores = agent.view.scores_and_values(states.observations(np.arange(120)), None)[::-1]
    states = states.with_columns(scores=scores.detach().numpy(), values=values.detach().numpy())
    before: dict[str, int] = {}

    def noted(name, function):
        def call(*args, **kwargs):
            start = counted.observations
            result = function(*args, **kwargs)
            before[name] = before.get(name, 0) + counted.observations - start
            return result

        return call

    from sb3_explain.workflows import probe_pictures, weaknesses

    monkeypatch.setattr(weaknesses, "probe", noted("probe", weaknesses.probe))
    monkeypatch.setattr(
        generators.StateGenerator, "fit", noted("fit", generators.StateGenerator.fit)
    )
    monkeypatch.setattr(
        generators.StateGenerator,
        "agreement",
        noted("agreement", generators.StateGenerator.agreement),
    )
    monkeypatch.setattr(weaknesses, "novelty", noted("novelty", weaknesses.novelty))
    monkeypatch.setattr(weaknesses, "show_quality", noted("quality", probe_pictures.show_quality))
    counted.observations = 0
    find_weaknesses(
        agent, tmp_path, targets=["value_high", "uncertainty"], states=states, n_samples=4,
        attributions=False, progress=False, generator_kwargs={"latent": 4},
        fit_kwargs={"epochs": 1, "batch_size": 16}, probe_kwargs={"steps": 3},
    )  # fmt: skip
    test = states.split()[-1]
    assert before["novelty"] == 0
    assert before["agreement"] == 2 * len(test)  # the states and their reconstructions
    blank = 4  # zeros, passed whenever a weighting is chosen or made, to see the agent's ReLUs
    assert counted.observations == sum(before.values()) + blank  # nothing is asked beside


def test_a_batch_of_a_batch_is_no_new_reading(agent, counted):
    batch = StateBatch(agent, torch.zeros(4, 2, 24, 24))
    counted.observations = 0
    batch = batch.resolve_target()
    parts = batch.split(2)
    assert torch.equal(torch.cat([part.target for part in parts]), batch.target)
    assert torch.equal(parts[0].own_target_scores, batch.own_target_scores[:2])
    assert counted.observations == 4
