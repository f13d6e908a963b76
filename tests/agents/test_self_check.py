"""The check at the door: it sees every difference, changes nothing, and can be left out."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from gymnasium import spaces
from sb3_contrib import ARS, QRDQN, MaskablePPO, RecurrentPPO
from stable_baselines3 import DQN, PPO, TD3
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import nn

from sb3_explain.agents.agent import Agent
from sb3_explain.agents.loading import load_agent
from sb3_explain.agents.policy_answers import Question, ask
from sb3_explain.agents.policy_views import list_views
from sb3_explain.agents.sampled_observations import sample_observations
from sb3_explain.agents.self_check import choose_view, find_difference
from sb3_explain.common.errors import ExplainError
from tests.agents.loading.models import CASES, VECTOR, Case, Noise, make_model
from tests.agents.loading.test_parity import digest_of

#: one case for each algorithm of the loader, and for each kind of action space
KINDS = [
    "a2c", "ars-mlp", "ars-linear", "crossq", "ddpg", "dqn", "dqn-dict", "maskable_ppo", "drq",
    "rad", "pixelsac", "sgqn", "soda", "svea", "ppo", "ppo-cnn-unshared", "ppo-multidiscrete",
    "ppo-multibinary", "ppo-gsde", "ppo-gsde-squashed", "ppo_lstm", "ppo_lstm-shared",
    "ppo_lstm-linear-critic", "qrdqn", "sac", "sac-gsde", "td3", "tqc", "trpo",
]  # fmt: skip


@pytest.fixture(scope="module")
def models():
    return {}


@pytest.fixture(params=KINDS)
def model(request, models):
    if request.param not in models:
        models[request.param] = make_model(CASES[request.param])
    return models[request.param]


def question_of(model):
    view = list_views(model.policy)[0]
    rng = np.random.default_rng(3)
    states = view.initial_lstm_states(6)
    masks = np.maximum(rng.integers(0, 2, (6, 4)), np.eye(6, 4, dtype=int)[:, ::-1])
    masks[4:, 0] = 1
    return Question(
        sample_observations(model.observation_space, 6, rng),
        masks if view.maskable else None,
        None if states is None else states + 0.1,
    )


def difference_of(model, view):
    question = question_of(model)
    with torch.no_grad():
        answers = ask(model.policy, question)
        return find_difference(view, model.observation_space, model.action_space, question, answers)


def test_no_view_of_the_library_differs_from_its_policy(model):
    for view in list_views(model.policy):
        assert difference_of(model, view) is None, type(view).__name__


def change(monkeypatch, view, scores=lambda s: s, values=lambda v: v):
    """Change what a view answers, by ``scores`` and by ``scores_and_values`` alike."""
    own = list_views(view.policy)[0]

    def both(observations, lstm_states):
        answers = own.scores_and_values(observations, lstm_states)
        return scores(answers[0]), values(answers[1])

    monkeypatch.setattr(view, "scores", lambda o, lstm_states: scores(own.scores(o, lstm_states)))
    monkeypatch.setattr(view, "scores_and_values", both)


def test_another_order_of_the_actions_is_seen(model, monkeypatch):
    view = list_views(model.policy)[0]
    change(monkeypatch, view, lambda scores: -scores.flip(1))
    assert "actions differ" in difference_of(model, view)


def test_scores_of_another_scale_are_seen(model, monkeypatch):
    if isinstance(model, ARS) and isinstance(model.action_space, spaces.Discrete):
        pytest.skip("ARS says its best action alone")
    view = list_views(model.policy)[0]
    change(monkeypatch, view, lambda scores: scores * 1.05)
    assert "differ" in difference_of(model, view)


def test_other_values_are_seen(model, monkeypatch):
    view = list_views(model.policy)[0]
    change(monkeypatch, view, values=lambda values: values + 0.01)
    found = difference_of(model, view)
    assert found is None if isinstance(model, ARS) else "values differ" in found


def test_scores_beside_the_values_are_compared_with_scores_alone(model, monkeypatch):
    view = list_views(model.policy)[0]
    own = view.scores_and_values
    monkeypatch.setattr(view, "scores_and_values", lambda o, s: (own(o, s)[0] + 0.01, own(o, s)[1]))
    assert "alone differ" in difference_of(model, view)


def test_another_standard_deviation_is_seen(model, monkeypatch):
    if not isinstance(model.action_space, spaces.Box) or isinstance(model, ARS | TD3):
        pytest.skip("no standard deviation")
    view = list_views(model.policy)[0]
    own = view.std
    monkeypatch.setattr(view, "std", lambda o, lstm_states: 1.01 * own(o, lstm_states))
    assert "probabilities differ" in difference_of(model, view)


@pytest.mark.parametrize("row", range(4), ids=["h", "c", "critic's h", "critic's c"])
def test_other_lstm_states_are_seen(row, monkeypatch, models):
    model = models.setdefault("ppo_lstm", make_model(CASES["ppo_lstm"]))
    view = list_views(model.policy)[0]
    own = view.next_lstm_states

    def forgetful(observations, lstm_states):
        after = own(observations, lstm_states).clone()
        after[:, row] = 0
        return after

    monkeypatch.setattr(view, "next_lstm_states", forgetful)
    assert "LSTM states differ" in difference_of(model, view)


@pytest.mark.parametrize(
    ("scores", "values", "expected"),
    [
        (lambda s: s[:, :1], lambda v: v, "scores have the shape (6, 1) instead of (6, 4)"),
        (lambda s: s, lambda v: v[:, None], "values have the shape (6, 1) instead of (6,)"),
        (lambda s: s.matmul(s), lambda v: v, "raises RuntimeError"),
    ],
)
def test_other_shapes_are_seen(scores, values, expected, monkeypatch, models):
    model = models.setdefault("ppo", make_model(CASES["ppo"]))
    view = list_views(model.policy)[0]
    change(monkeypatch, view, scores, values)
    assert expected in difference_of(model, view)


# --- nothing is changed ---------------------------------------------------------------------------


def test_the_check_changes_nothing(model):
    model.policy.set_training_mode(False)
    with torch.no_grad():
        model.policy.requires_grad_(False)
    spaces_before = repr((model.observation_space._np_random, model.action_space._np_random))
    before = digest_of(model.policy)
    choose_view(model.policy, model.observation_space, model.action_space)
    assert digest_of(model.policy) == before
    after = repr((model.observation_space._np_random, model.action_space._np_random))
    assert after == spaces_before
    model.policy.requires_grad_(True)


class Counting(ActorCriticPolicy):
    """It draws random numbers of all kinds and counts its calls in a buffer."""

    def _build_mlp_extractor(self):
        super()._build_mlp_extractor()
        self.register_buffer("n_calls", torch.zeros(()))

    def get_distribution(self, obs):
        self.n_calls += 1
        random.random(), np.random.random(), torch.rand(1)  # noqa: NPY002
        return super().get_distribution(obs)


def test_random_states_and_buffers_are_restored():
    model = PPO(Counting, Noise(VECTOR, spaces.Discrete(3)), device="cpu")
    model.policy.set_training_mode(False)
    model.policy.requires_grad_(False)
    before = digest_of(model.policy)
    choose_view(model.policy, VECTOR, model.action_space)
    assert digest_of(model.policy) == before
    assert float(Agent.from_model(model).view.policy.n_calls) == 0


def test_its_forward_passes_are_not_counted(models):
    model = models.setdefault("ppo", make_model(CASES["ppo"]))
    assert Agent.from_model(model).forwards == 0


def test_it_can_be_left_out(models, monkeypatch, tmp_path):
    model = models.setdefault("ppo", make_model(CASES["ppo"]))
    monkeypatch.setattr("sb3_explain.agents.self_check.ask", None)
    Agent.from_model(model, self_check=False)
    model.save(tmp_path / "model")
    given = {"observation_space": VECTOR, "action_space": model.action_space}
    load_agent("ppo", None, folder=tmp_path / "model.zip", self_check=False, **given)
    with pytest.raises(ExplainError):
        Agent.from_model(model)


# --- observations that a policy cannot take -------------------------------------------------------


class Tokens(BaseFeaturesExtractor):
    """Numbers without bounds that are tokens in truth: random ones end in an error."""

    def __init__(self, observation_space):
        super().__init__(observation_space, 8)
        self.table = nn.EmbeddingBag(3, 8)

    def forward(self, observations):
        return self.table(observations.long())


def test_a_policy_that_fails_on_random_numbers_is_checked_on_zeros():
    space = spaces.Box(-100, 100, (5,), np.float32)
    kwargs = {"features_extractor_class": Tokens}
    model = PPO("MlpPolicy", Noise(space, spaces.Discrete(3)), policy_kwargs=kwargs, device="cpu")
    agent = Agent.from_model(model)
    seen = np.random.default_rng(0).integers(0, 3, (20, 5)).astype(np.float32)
    predicted, _ = model.predict(seen, deterministic=True)
    np.testing.assert_array_equal(agent.act(agent.tensor(seen)), predicted)


# --- modules --------------------------------------------------------------------------------------


class Scores(nn.Module):
    """Scores, with a ``predict`` as a policy has it."""

    def __init__(self, sign=1.0, n_scores=3):
        super().__init__()
        torch.manual_seed(0)
        self.layer, self.sign = nn.Linear(5, n_scores), sign

    def forward(self, observations):
        return self.layer(observations)

    def predict(self, observations, state=None, deterministic=False):
        scores = self.sign * self(torch.as_tensor(observations))
        return scores.argmax(dim=1).numpy(force=True), state


def test_a_module_acts_as_its_predict():
    Agent.from_module(Scores(), VECTOR, spaces.Discrete(3))
    with pytest.raises(ExplainError, match="Scores cannot be an agent: its actions differ in 8 of"):
        Agent.from_module(Scores(sign=-1), VECTOR, spaces.Discrete(3))
    Agent.from_module(Scores(sign=-1), VECTOR, spaces.Discrete(3), self_check=False)


def test_a_module_gives_as_many_scores_as_there_are_actions():
    with pytest.raises(ExplainError, match=r"shape \(8, 4\) instead of \(8, 3\)") as refused:
        Agent.from_module(Scores(n_scores=4), VECTOR, spaces.Discrete(3))
    assert "\n" not in str(refused.value)
    with pytest.raises(ExplainError, match="raises RuntimeError"):
        Agent.from_module(Scores(), spaces.Box(-1, 1, (7,)), spaces.Discrete(3))


def test_a_module_is_shown_numbers_of_its_own_type():
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 2)).double()
    Agent.from_module(net, spaces.Box(0, 255, (1, 2, 2), np.uint8), spaces.Discrete(2))


def test_a_predict_of_another_meaning_is_let_be():
    class Other(Scores):
        def predict(self, horizon):
            return horizon

    Agent.from_module(Other(), VECTOR, spaces.Discrete(3))


# --- Discrete actions with a start ----------------------------------------------------------------


@pytest.mark.parametrize("algorithm", [PPO, DQN, QRDQN, MaskablePPO, RecurrentPPO])
def test_an_agent_of_sb3_numbers_its_actions_from_zero(algorithm):
    space = spaces.Discrete(4, start=2)
    policy = "MlpLstmPolicy" if algorithm is RecurrentPPO else "MlpPolicy"
    model = make_model(Case("", algorithm, VECTOR, space, {}, policy))
    agent = Agent.from_model(model)
    observations = sample_observations(VECTOR, 100, np.random.default_rng(0))
    predicted, _ = model.predict(observations, deterministic=True)
    acted = agent.act(agent.tensor(observations))
    np.testing.assert_array_equal(acted, predicted)
    assert agent.first_action == 0 and set(acted) <= {0, 1, 2, 3}
    np.testing.assert_array_equal(acted, agent.greedy(agent.tensor(observations)))


def test_a_module_numbers_its_actions_from_the_start():
    agent = Agent.from_module(nn.Linear(5, 4), VECTOR, spaces.Discrete(4, start=2))
    observations = torch.randn(50, 5)
    np.testing.assert_array_equal(agent.act(observations), agent.greedy(observations) + 2)
    assert agent.first_action == 2


class ActsOtherwise(PPO):
    def predict(self, observation, state=None, episode_start=None, deterministic=False):
        actions, state = super().predict(observation, state, episode_start, deterministic)
        return 1 - actions, state


class ActsAlike(PPO):
    def predict(self, *args, **kwargs):
        torch.rand(1)
        return super().predict(*args, **kwargs)


def test_an_algorithm_that_acts_otherwise_than_its_policy_is_refused():
    with pytest.raises(ExplainError, match="ActsOtherwise, whose own predict cannot be read"):
        Agent.from_model(ActsOtherwise("MlpPolicy", "CartPole-v1", device="cpu"))
    model = ActsAlike("MlpPolicy", "CartPole-v1", device="cpu")
    model.policy.train()
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    assert Agent.from_model(model).n_scores == 2
    assert torch.equal(torch.rand(1), expected)
    assert model.policy.training
