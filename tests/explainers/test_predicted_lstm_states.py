"""LSTM states are taken as ``model.predict`` returns them: SB3's policy is the oracle."""

import numpy as np
import pytest
import torch

from sb3_explain import Agent, ExplainError, Gradient
from tests.agents.loading.models import CASES, make_model

RECURRENT = ["ppo_lstm", "ppo_lstm-shared", "ppo_lstm-linear-critic"]


@pytest.fixture(scope="module", params=RECURRENT)
def played(request):
    """A model, two observations of five steps, and the pair of states before the last of them."""
    model = make_model(CASES[request.param])
    observations = np.random.default_rng(0).normal(size=(5, 2, *model.observation_space.shape))
    observations, states = observations.astype(np.float32), None
    for observed in observations[:-1]:
        _, states = model.predict(observed, states, np.zeros(2, bool))
    return request.param, model, observations[-1], states


def test_the_agent_acts_as_the_policy_with_these_states(played):
    _, model, observed, states = played
    batch = Gradient(Agent.from_model(model)).read_batch(observed, None, {"lstm_states": states})
    pair = tuple(torch.as_tensor(part) for part in states)
    with torch.no_grad():
        policy, _ = model.policy.get_distribution(torch.as_tensor(observed), pair, torch.zeros(2))
    expected = getattr(policy.distribution, "logits", policy.distribution.mean)
    if hasattr(policy.distribution, "logits"):  # a Categorical's are normalized
        found = batch.own_scores.log_softmax(dim=1)
    else:
        found = batch.own_scores
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


def test_only_a_critic_s_own_states_are_missing(played):
    name, model, observed, states = played
    explainer = Gradient(Agent.from_model(model))
    given = {"policy_inputs": {"lstm_states": states}}
    if name == "ppo_lstm":  # the others have no LSTM of the critic
        with pytest.raises(ExplainError, match="of the actor alone"):
            explainer.attribute(observed, "value", **given)
    else:
        assert torch.isfinite(explainer.attribute(observed, "value", **given)).all()
    assert torch.isfinite(explainer.attribute(observed, 1, **given)).all()


def test_the_first_step_has_none(played):
    _, model, observed, _ = played
    explainer = Gradient(Agent.from_model(model))
    first = explainer.attribute(observed, 0, policy_inputs={"lstm_states": None})
    torch.testing.assert_close(first, explainer.attribute(observed, 0), rtol=0, atol=0)


def test_states_of_another_form_are_refused_in_one_line(played):
    _, model, observed, states = played
    with pytest.raises(ExplainError, match="give the pair that"):
        Gradient(Agent.from_model(model)).attribute(
            observed, policy_inputs={"lstm_states": states[:1]}
        )


def test_all_targets_take_what_one_target_takes(played):
    _, model, observed, states = played
    explainer = Gradient(Agent.from_model(model))
    given = {"policy_inputs": {"lstm_states": states}}
    every = explainer.attribute_all(observed, **given)
    torch.testing.assert_close(every[:, 1], explainer.attribute(observed, 1, **given))
