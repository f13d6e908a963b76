"""Attribution to past steps finds the step that an agent of known weights remembers."""

import numpy as np
import pytest
import torch

from sb3_explain import ExplainError, past_steps
from sb3_explain.agents.layers import copy_agent
from sb3_explain.agents.policy_views.own_methods import OwnRecurrentView
from tests.explainers.kinds import agent_of, states_of
from tests.remembering import LENGTH, remembering_agent, remembering_states

FLAGGED = [2, 5, 0, 7]


@pytest.fixture(scope="module")
def agent():
    return remembering_agent()


@pytest.fixture(scope="module")
def states(agent):
    return remembering_states(agent, FLAGGED)


@pytest.mark.parametrize("episode", range(len(FLAGGED)))
def test_the_step_that_it_remembers_is_found(agent, states, episode):
    found = past_steps(agent, states, episode * LENGTH + 9, "high", baseline="black")
    flagged = FLAGGED[episode]
    assert len(found.steps) == LENGTH and found.strongest == flagged
    by_step = found.by_step.abs()
    assert by_step[flagged] > 20 * by_step[np.arange(LENGTH) != flagged].max()
    occlusion = found.occlusion.abs()
    assert occlusion[flagged] > 20 * occlusion[np.arange(LENGTH) != flagged].max()
    number = float(states.observations([episode * LENGTH + flagged])[0, 0])
    assert float(found.by_step[flagged]) * number > 0


@pytest.mark.parametrize("target", ["high", "value", "high - low", None])
def test_attributions_add_up_to_the_difference_of_the_scores(agent, states, target):
    found = past_steps(agent, states, 19, target, n_steps=7, baseline="mean", n_points=200)
    assert abs(found.delta) < 1e-3 * max(abs(found.score), 0.1)
    with torch.no_grad():
        inputs = states.policy_inputs([19])
        low, high = agent.scores(states.observations([19]), **inputs)[0].tolist()
    expected = {"high": high, "value": high, "high - low": high - low, None: max(low, high)}
    assert found.score == pytest.approx(expected[target], abs=1e-6)


def test_what_was_remembered_before_the_first_step_is_attributed_to_the_recurrent_state(
    agent, states
):
    found = past_steps(agent, states, 9, "high", n_steps=4, baseline="black")  # flag in step 2
    assert found.steps.tolist() == [6, 7, 8, 9]
    assert found.of_state == pytest.approx(found.score - found.baseline_score, abs=1e-2)
    assert found.by_step.abs().max() < 0.1 * abs(found.of_state)
    assert found.state_occlusion == pytest.approx(found.score, abs=1e-2)  # 0 is remembered then
    assert found.lstm_states.shape == agent.initial_lstm_states(1).shape[1:]


def test_occlusion_equals_passing_the_changed_steps_by_hand(agent, states):
    found = past_steps(agent, states, 15, "high", n_steps=6, baseline="mean")
    seen = states.observations(np.arange(10, 16))
    mean = states.observations(np.arange(len(states))).mean(dim=0)
    for step in range(6):
        changed, held = seen.clone(), agent.initial_lstm_states(1)
        changed[step] = mean
        for one in changed[:-1]:
            held = agent.next_lstm_states(one[None], held)
        score = float(agent.scores(changed[-1:], held)[0, 1])
        assert found.occlusion[step] == pytest.approx(found.score - score, abs=1e-5)


def test_with_one_step_it_is_integrated_gradients_in_the_held_state(agent, states):
    found = past_steps(agent, states, 5, "high", n_steps=1, baseline="black", n_points=300)
    held = states.policy_inputs([5])["lstm_states"]
    seen = states.observations([5])
    shares = (torch.arange(4000) + 0.5)[:, None] / 4000
    rows, states_on_line = (shares * seen).requires_grad_(), shares[:, :, None, None] * held
    scores = agent.scores(rows, states_on_line)[:, 1].sum()
    slope = torch.autograd.grad(scores, rows)[0].mean(dim=0)
    torch.testing.assert_close(found.attributions[0], seen[0] * slope, rtol=1e-2, atol=1e-5)


def test_a_policy_that_is_read_through_its_own_methods_says_the_same(agent, states):
    expected = past_steps(agent, states, 9, "high", n_steps=6, n_points=8)
    other = copy_agent(agent)
    other.view = OwnRecurrentView(other.view.policy)
    found = past_steps(other, states, 9, "high", n_steps=6, n_points=8)
    # its logits are those of a distribution: the same to the offset of a state
    torch.testing.assert_close(found.by_step, expected.by_step, rtol=1e-3, atol=1e-4)


def test_dicts_with_pictures_are_explained_and_drawn():
    agent, states = agent_of("recurrent"), states_of("recurrent")
    found = past_steps(agent, states, 3, n_points=2)
    assert set(found.attributions) == set(agent.observation_space.spaces)
    for key, part in found.attributions.items():
        assert part.shape == (4, *agent.observation_space[key].shape)
    assert found.plot()[1:4] == b"PNG"
    lines = str(found).splitlines()
    assert lines[0].endswith(f"score {found.score:.4g}") and len(lines) == 1 + 4 + 1


def test_mistakes_end_in_one_line(agent, states):
    with pytest.raises(ExplainError, match="carries no state from step to step"):
        past_steps(agent_of("vector"), states_of("vector"), 0)
    with pytest.raises(ExplainError, match="there is no state 40: give one of 0 to 39"):
        past_steps(agent, states, 40)
    with pytest.raises(ExplainError, match="n_steps=0, n_points=64: give at least 1"):
        past_steps(agent, states, 4, n_steps=0)
    with pytest.raises(ExplainError, match="steps before state 1 are not among these states"):
        past_steps(agent, states.subset([0, 9]), 1)
    stateless = states.subset(np.arange(10))
    stateless._columns = {k: v for k, v in states._columns.items() if k != "lstm_states"}
    with pytest.raises(ExplainError, match="hold no lstm_states"):
        past_steps(agent, stateless, 4)
