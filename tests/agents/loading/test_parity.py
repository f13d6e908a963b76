"""Freshly made models of every algorithm: live and loaded agents say what SB3's own policy says."""

import hashlib
import pickle
import random
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from gymnasium import spaces
from sb3_contrib import ARS, QRDQN, TQC, MaskablePPO, RecurrentPPO
from stable_baselines3 import DQN, TD3
from stable_baselines3.common.policies import ActorCriticPolicy

from sb3_explain.agents.agent import Agent
from sb3_explain.agents.loading import load_agent
from tests.agents.loading.models import CASES, ONE_OF_FOUR, make_model, zoo_folder

N = 1000


@pytest.fixture(scope="module")
def models():
    return {}


@pytest.fixture(params=list(CASES))
def case_and_model(request, models):
    case = CASES[request.param]
    if request.param not in models:
        models[request.param] = make_model(case)
    return case, models[request.param]


def sample(space, n=N, seed=0):
    """(n, ...) observations in NumPy."""
    if isinstance(space, spaces.Dict):
        return {key: sample(observed, n, seed) for key, observed in space.items()}
    space.seed(seed)
    draws = np.stack([space.sample() for _ in range(n)])
    if len(space.shape) == 3:
        # Images of noise are all alike to a network that averages: give them their own brightness.
        brightness = np.random.default_rng(seed).random((n, 1, 1, 1))
        draws = (draws * brightness).astype(space.dtype)
    return draws


def own_scores_and_values(model, observations):
    """What SB3's own methods give, by another way through the policy than the agent's."""
    policy = model.policy
    policy.set_training_mode(False)
    tensors, _ = policy.obs_to_tensor(observations)
    with torch.no_grad():
        if isinstance(model, RecurrentPPO):
            n = len(next(iter(tensors.values())) if isinstance(tensors, dict) else tensors)
            layers, _, hidden = policy.lstm_hidden_state_shape
            states = (torch.zeros(layers, n, hidden), torch.zeros(layers, n, hidden))
            starts = torch.zeros(n)
            distribution, _ = policy.get_distribution(tensors, states, starts)
            return distribution, policy.predict_values(tensors, states, starts)[:, 0]
        if isinstance(policy, ActorCriticPolicy) or isinstance(model, MaskablePPO):
            return policy.get_distribution(tensors), policy.predict_values(tensors)[:, 0]
        if isinstance(model, QRDQN):
            q_values = policy.quantile_net(tensors).mean(dim=1)
            return q_values, q_values.max(dim=1).values
        if isinstance(model, DQN):
            q_values = policy.q_net(tensors)
            return q_values, q_values.max(dim=1).values
        if isinstance(model, ARS):
            features = policy.extract_features(tensors, policy.features_extractor)
            return policy.action_net(features), None
        noise_free = {} if isinstance(model, TD3) else {"deterministic": True}
        actions = policy.actor(tensors, **noise_free)
        critics = policy.critic(tensors, actions)
        if isinstance(model, TQC):
            return actions, critics.mean(dim=2).min(dim=1).values
        return actions, torch.stack(list(critics), dim=0).min(dim=0).values[:, 0]


def normalized(logits, space):
    """Logits as torch's Categorical keeps them; those of other distributions as they are."""
    if not isinstance(space, spaces.Discrete | spaces.MultiDiscrete):
        return logits
    sizes = space.nvec.tolist() if isinstance(space, spaces.MultiDiscrete) else [int(space.n)]
    return torch.cat([part.log_softmax(dim=1) for part in logits.split(sizes, dim=1)], dim=1)


def outputs_of(distribution):
    """(B, K) what SB3's distribution says of each action: logits (normalised), or the mean."""
    if isinstance(distribution, torch.Tensor):
        return distribution
    inner = getattr(distribution, "distribution", None) or distribution.distributions
    if isinstance(inner, torch.distributions.Normal):
        return distribution.mode()
    return torch.cat([part.logits for part in (inner if isinstance(inner, list) else [inner])], 1)


class Answers(NamedTuple):
    """What a model says of observations, by methods of SB3 alone."""

    observations: Any
    outputs: torch.Tensor
    #: (n,) nothing of ARS, which has no values
    values: torch.Tensor | None
    #: whether the outputs are those of a distribution
    normalized: bool
    predicted: np.ndarray


@pytest.fixture(scope="module")
def cache():
    return {}


@pytest.fixture
def answers(request, case_and_model, cache):
    """What the model of a case says, which is asked once for all tests."""
    name = request.node.callspec.params["case_and_model"]
    if name not in cache:
        _, model = case_and_model
        observations = sample(model.observation_space)
        own, values = own_scores_and_values(model, observations)
        # SB3's recurrent predict takes one environment per row of its state, as given here.
        predicted, _ = model.predict(observations, deterministic=True)
        from_distribution = not isinstance(own, torch.Tensor)
        cache[name] = Answers(observations, outputs_of(own), values, from_distribution, predicted)
    return cache[name]


def same(agent, answers):
    tensors = agent.tensor(answers.observations)
    with torch.no_grad():
        scores, values = agent.scores_and_values(tensors)
        torch.testing.assert_close(agent.scores(tensors), scores, atol=1e-6, rtol=0)
    continuous = isinstance(agent.action_space, spaces.Box)
    given = normalized(scores, agent.action_space) if answers.normalized else scores
    torch.testing.assert_close(given, answers.outputs, atol=1e-6, rtol=1e-6)
    if answers.values is None:
        assert torch.isnan(values).all()
    else:
        torch.testing.assert_close(values, answers.values, atol=1e-6, rtol=1e-6)
        torch.testing.assert_close(agent.values(tensors), answers.values, atol=1e-6, rtol=1e-6)
    acted = agent.act(tensors)
    if continuous:
        np.testing.assert_allclose(acted, answers.predicted, atol=1e-6)
    else:
        np.testing.assert_array_equal(acted, answers.predicted)
        assert len(np.unique(answers.predicted, axis=0)) > 1, "one action: the test shows little"


def test_a_live_model(case_and_model, answers):
    case, model = case_and_model
    agent = Agent.from_model(model)
    assert agent.algo == case.algo
    same(agent, answers)


def test_a_bare_zip(case_and_model, answers, tmp_path):
    case, model = case_and_model
    model.save(tmp_path / "model")
    agent = load_agent(case.algo, None, folder=tmp_path / "model.zip")
    assert agent.observation_space == model.observation_space
    assert agent.action_space == model.action_space
    assert agent.provenance["notes"] == []
    assert agent.fingerprint() == Agent.from_model(model).fingerprint()
    same(agent, answers)


def test_a_zoo_folder(case_and_model, answers, tmp_path):
    case, model = case_and_model
    agent = load_agent(
        case.algo.upper(),
        "Noise-v0",
        folder=zoo_folder(case, model, tmp_path),
        observation_space=model.observation_space,
        action_space=model.action_space,
    )
    assert agent.recipe.env_id == "Noise-v0"
    same(agent, answers)


# --- nothing is changed ---------------------------------------------------------------------------


def digest_of(policy):
    """Hash of parameters, buffers, gradients, training modes and all global random states."""
    digest = hashlib.sha256()
    for name, tensor in [*policy.named_parameters(), *policy.named_buffers()]:
        digest.update(f"{name}{tensor.requires_grad}{tensor.grad is None}".encode())
        digest.update(tensor.detach().numpy().tobytes())
    digest.update(repr([module.training for module in policy.modules()]).encode())
    digest.update(torch.random.get_rng_state().numpy().tobytes())
    digest.update(pickle.dumps(np.random.get_state()))  # noqa: NPY002 - what must not change
    digest.update(pickle.dumps(random.getstate()))
    return digest.hexdigest()


def calls_of(agent, tensors):
    rng = np.random.default_rng(0)
    lstm_states = agent.initial_lstm_states(8)
    yield "scores", lambda: agent.scores(tensors, lstm_states)
    yield "scores_and_values", lambda: agent.scores_and_values(tensors, lstm_states)
    if agent.algo != "ars":
        yield "values", lambda: agent.values(tensors, lstm_states)
    yield "probabilities", lambda: agent.probabilities(tensors, lstm_states)
    if isinstance(agent.action_space, spaces.Discrete):
        yield "greedy", lambda: agent.greedy(tensors, lstm_states)
    yield "act", lambda: agent.act(tensors, lstm_states=lstm_states)
    yield (
        "act, sampled",
        lambda: agent.act(tensors, deterministic=False, rng=rng, lstm_states=lstm_states),
    )
    yield "next_lstm_states", lambda: agent.next_lstm_states(tensors, lstm_states)
    yield "describe", agent.describe
    yield "recurrent", lambda: agent.recurrent
    yield "gradient", lambda: gradient(agent, tensors)


def gradient(agent, tensors):
    """A backward pass to the observations, as explainers make them."""
    if isinstance(tensors, dict) or not tensors.is_floating_point():
        return
    tensors = tensors.clone().requires_grad_()
    agent.scores(tensors)[:, 0].sum().backward()
    assert tensors.grad is not None


@pytest.mark.parametrize("training", [True, False])
def test_every_call_leaves_agent_and_model_as_they_were(case_and_model, training):
    _, model = case_and_model
    model.policy.set_training_mode(training)
    before_all = digest_of(model.policy)
    agent = Agent.from_model(model)
    tensors = agent.tensor(sample(model.observation_space, 8))
    assert digest_of(model.policy) == before_all
    for name, call in calls_of(agent, tensors):
        before = digest_of(agent.view.policy), digest_of(model.policy)
        call()
        assert (digest_of(agent.view.policy), digest_of(model.policy)) == before, name
    assert digest_of(model.policy) == before_all


def test_loading_leaves_random_states_and_spaces_as_they_were(tmp_path):
    model = make_model(CASES["ppo-cnn"])
    model.save(tmp_path / "model")
    space = spaces.Box(0, 255, (2, 36, 36), np.uint8)
    before = digest_of(model.policy)
    load_agent(
        "ppo",
        None,
        folder=tmp_path / "model.zip",
        observation_space=space,
        action_space=ONE_OF_FOUR,
    )
    assert digest_of(model.policy) == before
    assert space._np_random is None
