"""Policies with methods of their own act as they do in SB3, or are refused in one line."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from sb3_contrib import ARS, QRDQN, TQC, CrossQ, MaskablePPO, RecurrentPPO
from sb3_contrib.ars.policies import ARSPolicy
from sb3_contrib.common.maskable.policies import MaskableActorCriticPolicy
from sb3_contrib.common.recurrent.policies import RecurrentActorCriticPolicy
from sb3_contrib.crossq.policies import Actor as CrossQActor
from sb3_contrib.crossq.policies import CrossQPolicy
from sb3_contrib.qrdqn.policies import QRDQNPolicy, QuantileNetwork
from sb3_contrib.tqc.policies import Actor as TQCActor
from sb3_contrib.tqc.policies import TQCPolicy
from stable_baselines3 import DQN, PPO, SAC, TD3
from stable_baselines3.common.distributions import CategoricalDistribution
from stable_baselines3.common.policies import ActorCriticPolicy, MultiInputActorCriticPolicy
from stable_baselines3.dqn.policies import DQNPolicy, QNetwork
from stable_baselines3.sac.policies import Actor as SACActor
from stable_baselines3.sac.policies import SACPolicy
from stable_baselines3.td3.policies import Actor as TD3Actor
from stable_baselines3.td3.policies import TD3Policy
from torch import nn

from sb3_explain.agents.agent import Agent
from sb3_explain.agents.loading import load_agent
from sb3_explain.agents.sampled_observations import sample_observations
from sb3_explain.common.errors import ExplainError
from tests.agents.loading.models import Noise

VECTOR = spaces.Box(-1, 1, (6,), np.float32)
MASKED = spaces.Dict(board=VECTOR, action_mask=spaces.MultiBinary(4))
FOUR = spaces.Discrete(4)
ARM = spaces.Box(np.array([-2, -1], np.float32), np.array([1, 3], np.float32))
FLOOR = torch.tensor([-20.0, -20.0, 0.0, 0.0])


class OwnDistribution(ActorCriticPolicy):
    """Actions 0 and 1 are never taken."""

    def _get_action_dist_from_latent(self, latent_pi):
        return self.action_dist.proba_distribution(self.action_net(latent_pi) + FLOOR)


class OwnMean(ActorCriticPolicy):
    """The mean action is bent."""

    def _get_action_dist_from_latent(self, latent_pi):
        mean = 2 * torch.sin(3 * self.action_net(latent_pi))
        return self.action_dist.proba_distribution(mean, self.log_std - 1)


class OwnBits(ActorCriticPolicy):
    """The first bit is always on."""

    def _get_action_dist_from_latent(self, latent_pi):
        return self.action_dist.proba_distribution(self.action_net(latent_pi) + FLOOR[[2, 0, 3]])


class OwnParts(ActorCriticPolicy):
    """Some sub-actions are never taken."""

    def _get_action_dist_from_latent(self, latent_pi):
        logits = self.action_net(latent_pi) + torch.tensor([-20.0, 0.0, 0.0, -20.0, 0.0])
        return self.action_dist.proba_distribution(logits)


class OwnFeatures(ActorCriticPolicy):
    """Observations are squared before anything else reads them."""

    def extract_features(self, obs, features_extractor=None):
        return super().extract_features(20 * obs**2, features_extractor)

    def get_distribution(self, obs):
        features = self.extract_features(obs)
        return self._get_action_dist_from_latent(self.mlp_extractor.forward_actor(features))

    def predict_values(self, obs):
        return self.value_net(self.mlp_extractor.forward_critic(self.extract_features(obs)))


class OwnValues(ActorCriticPolicy):
    """Values are learned in another scale."""

    def predict_values(self, obs):
        return 100 * super().predict_values(obs) + 7


class FreshDistribution(ActorCriticPolicy):
    """The distribution is an object of its own."""

    def get_distribution(self, obs):
        made = super().get_distribution(obs)
        return CategoricalDistribution(4).proba_distribution(made.distribution.logits * 3 + FLOOR)


class MaskInObservation(MultiInputActorCriticPolicy):
    """The observation brings the mask of legal actions."""

    def get_distribution(self, obs):
        logits = super().get_distribution(obs).distribution.logits
        return self.action_dist.proba_distribution(logits + (obs["action_mask"].float() - 1) * 1e8)


class MaskInPrediction(MultiInputActorCriticPolicy):
    """The mask is laid over the logits where an action is chosen, and nowhere else."""

    def _predict(self, observation, deterministic=False):
        logits = self.get_distribution(observation).distribution.logits
        logits = logits.masked_fill(observation["action_mask"] == 0, -torch.inf)
        return self.action_dist.proba_distribution(logits).get_actions(deterministic)


class OwnForward(ActorCriticPolicy):
    """Everything is asked of ``forward``, which has a layer of its own."""

    def _build_mlp_extractor(self):
        super()._build_mlp_extractor()
        self.before = nn.Linear(self.features_dim, self.features_dim)

    def forward(self, obs, deterministic=False):
        latent_pi, latent_vf = self.mlp_extractor(self.before(self.extract_features(obs)))
        distribution = self._get_action_dist_from_latent(latent_pi)
        actions = distribution.get_actions(deterministic)
        return actions, self.value_net(latent_vf), distribution.log_prob(actions)

    def _predict(self, observation, deterministic=False):
        return self.forward(observation, deterministic)[0]

    def predict_values(self, obs):
        return self.forward(obs)[1]


class MaskableFromObservation(MaskableActorCriticPolicy):
    """Half of the actions are barred by what is observed, beside the masks."""

    def get_distribution(self, obs, action_masks=None):
        distribution = super().get_distribution(obs)
        distribution.apply_masking(np.tile([0, 1, 1, 1], (len(obs), 1)))
        if action_masks is not None:
            joint = np.asarray(action_masks).reshape(len(obs), 4) * np.array([0, 1, 1, 1])
            distribution.apply_masking(joint)
        return distribution


class MaskableDistribution(MaskableActorCriticPolicy):
    def _get_action_dist_from_latent(self, latent_pi):
        return self.action_dist.proba_distribution(self.action_net(latent_pi) + FLOOR.flip(0))


class RecurrentDistribution(RecurrentActorCriticPolicy):
    def _get_action_dist_from_latent(self, latent_pi):
        return self.action_dist.proba_distribution(self.action_net(latent_pi) + FLOOR)


class RecurrentSequence(RecurrentActorCriticPolicy):
    """The LSTM forgets half of what it knows."""

    @staticmethod
    def _process_sequence(features, lstm_states, episode_starts, lstm):
        halved = tuple(state / 2 for state in lstm_states)
        return RecurrentActorCriticPolicy._process_sequence(features, halved, episode_starts, lstm)


def doubled(network):
    """The same network, whose own ``forward`` bends what it returns."""

    class Own(network):
        def forward(self, *args, **kwargs):
            return torch.sin(5 * super().forward(*args, **kwargs))

    return Own


def policy_with(policy, make, network):
    """A policy whose ``make`` makes a network with a ``forward`` of its own."""

    class Own(policy):
        pass

    def build(self, features_extractor=None):
        kwargs = self.net_args if make.endswith("_net") else self.actor_kwargs
        kwargs = self._update_features_extractor(kwargs, features_extractor)
        return doubled(network)(**kwargs).to(self.device)

    setattr(Own, make, build)
    return Own


class ResidualARS(ARSPolicy):
    def forward(self, obs):
        return torch.tanh(super().forward(obs) + obs[:, :2])


CASES = [
    (PPO, OwnDistribution, VECTOR, FOUR),
    (PPO, OwnMean, VECTOR, ARM),
    (PPO, OwnBits, VECTOR, spaces.MultiBinary(3)),
    (PPO, OwnParts, VECTOR, spaces.MultiDiscrete([3, 2])),
    (PPO, OwnFeatures, VECTOR, FOUR),
    (PPO, OwnValues, VECTOR, FOUR),
    (PPO, FreshDistribution, VECTOR, FOUR),
    (PPO, MaskInObservation, MASKED, FOUR),
    (PPO, MaskInPrediction, MASKED, FOUR),
    (PPO, OwnForward, VECTOR, FOUR),
    (PPO, OwnForward, VECTOR, ARM),
    (MaskablePPO, MaskableFromObservation, VECTOR, FOUR),
    (MaskablePPO, MaskableDistribution, VECTOR, FOUR),
    (RecurrentPPO, RecurrentDistribution, VECTOR, FOUR),
    (RecurrentPPO, RecurrentSequence, VECTOR, FOUR),
    (DQN, policy_with(DQNPolicy, "make_q_net", QNetwork), VECTOR, FOUR),
    (QRDQN, policy_with(QRDQNPolicy, "make_quantile_net", QuantileNetwork), VECTOR, FOUR),
    (SAC, policy_with(SACPolicy, "make_actor", SACActor), VECTOR, ARM),
    (TD3, policy_with(TD3Policy, "make_actor", TD3Actor), VECTOR, ARM),
    (TQC, policy_with(TQCPolicy, "make_actor", TQCActor), VECTOR, ARM),
    (CrossQ, policy_with(CrossQPolicy, "make_actor", CrossQActor), VECTOR, ARM),
    (ARS, ResidualARS, VECTOR, ARM),
]


def make_model(algorithm, policy, observation_space, action_space) -> Any:
    model = algorithm(policy, Noise(observation_space, action_space), device="cpu", seed=0)
    with torch.no_grad():
        for parameter in model.policy.parameters():  # fresh heads give nearly equal scores
            parameter.add_(0.3 * torch.randn_like(parameter))
    return model


def sampled(space: spaces.Space, n: int = 200) -> Any:
    observations = sample_observations(space, n, np.random.default_rng(1))
    if isinstance(observations, dict):
        observations["action_mask"][:, 2] = 1  # a state without an action would be no state
    return observations


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[0].__name__}-{case[1].__name__}")
@pytest.mark.parametrize("self_check", [True, False])
def test_the_agent_does_what_the_policy_predicts(case, self_check):
    model = make_model(*case)
    agent = Agent.from_model(model, self_check=self_check)
    observations = sampled(model.observation_space)
    predicted, _ = model.predict(observations, deterministic=True)
    acted = agent.act(agent.tensor(observations))
    np.testing.assert_allclose(acted, predicted, atol=1e-5)
    assert len(np.unique(predicted, axis=0)) > 1, "one action everywhere: the test shows little"
    scores, values = agent.scores_and_values(agent.tensor(observations))
    torch.testing.assert_close(agent.scores(agent.tensor(observations)), scores)
    assert values.shape == (200,)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[0].__name__}-{case[1].__name__}")
def test_its_scores_have_gradients(case):
    agent = Agent.from_model(make_model(*case))
    tensors = agent.tensor(sampled(agent.observation_space, 5))
    features = tensors["board"] if isinstance(tensors, dict) else tensors
    features.requires_grad_()
    agent.scores(tensors)[:, -1].sum().backward()
    assert features.grad.abs().sum() > 0 and features.grad.isfinite().all()


def test_own_logits_are_raw():
    model = make_model(PPO, OwnDistribution, VECTOR, FOUR)
    observations = torch.as_tensor(sampled(VECTOR))
    latent = model.policy.mlp_extractor.forward_actor(observations)
    expected = (model.policy.action_net(latent) + FLOOR).detach()
    given = Agent.from_model(model).scores(observations)
    torch.testing.assert_close(given, expected, atol=1e-5, rtol=1e-5)


def test_own_values_are_those_of_the_policy():
    model = make_model(PPO, OwnValues, VECTOR, FOUR)
    observations = torch.as_tensor(sampled(VECTOR))
    expected = model.policy.predict_values(observations)[:, 0].detach()
    agent = Agent.from_model(model)
    torch.testing.assert_close(agent.values(observations), expected)
    torch.testing.assert_close(agent.scores_and_values(observations)[1], expected)


def test_masks_in_the_observation_forbid_actions():
    agent = Agent.from_model(make_model(PPO, MaskInObservation, MASKED, FOUR))
    observations = sampled(MASKED)
    probabilities = agent.probabilities(agent.tensor(observations))
    assert probabilities[observations["action_mask"] == 0].max() == 0
    torch.testing.assert_close(probabilities.sum(dim=1), torch.ones(200))


def test_a_recurrent_policy_remembers_by_its_own_methods():
    model = make_model(RecurrentPPO, RecurrentSequence, VECTOR, FOUR)
    agent = Agent.from_model(model)
    state, lstm_states = None, agent.initial_lstm_states(8)
    for step in range(5):
        seen = sample_observations(VECTOR, 8, np.random.default_rng(step))
        predicted, state = model.predict(
            seen, state=state, episode_start=np.full(8, step == 0), deterministic=True
        )
        acted = agent.act(agent.tensor(seen), lstm_states=lstm_states)
        np.testing.assert_array_equal(acted, predicted)
        lstm_states = agent.next_lstm_states(agent.tensor(seen), lstm_states)
        h_and_c = lstm_states[:, :2].permute(1, 2, 0, 3).numpy()
        np.testing.assert_allclose(h_and_c, np.stack(state), atol=1e-6)


# --- networks without forward_actor ---------------------------------------------------------------


class Both(nn.Module):
    """A network of SB3 1.0 to 1.5: ``forward`` gives both latents."""

    latent_dim_pi = latent_dim_vf = 8

    def __init__(self, n_features):
        super().__init__()
        self.pi, self.vf = nn.Linear(n_features, 8), nn.Linear(n_features, 8)

    def forward(self, features):
        return self.pi(features).tanh(), self.vf(features).tanh()


class Old(ActorCriticPolicy):
    def _build_mlp_extractor(self):
        self.mlp_extractor = Both(self.features_dim)


@pytest.mark.parametrize("self_check", [True, False])
@pytest.mark.parametrize("action_space", [FOUR, ARM, spaces.MultiDiscrete([2, 3])], ids=str)
def test_a_network_with_forward_alone(action_space, self_check, tmp_path):
    model = make_model(PPO, Old, VECTOR, action_space)
    model.save(tmp_path / "old")
    loaded = load_agent(
        "ppo",
        None,
        folder=tmp_path / "old.zip",
        observation_space=VECTOR,
        action_space=action_space,
        policy_class=Old,
        self_check=self_check,
    )
    observations = torch.as_tensor(sampled(VECTOR))
    actions, values, _ = model.policy(observations, deterministic=True)
    if isinstance(action_space, spaces.Box):
        actions = actions.clamp(torch.as_tensor(ARM.low), torch.as_tensor(ARM.high))
    for agent in (Agent.from_model(model, self_check=self_check), loaded):
        np.testing.assert_allclose(agent.act(observations), actions.detach(), atol=1e-6)
        torch.testing.assert_close(agent.values(observations), values[:, 0].detach())
        assert agent.scores_and_values(observations)[0].equal(agent.scores(observations))


# --- what cannot be read --------------------------------------------------------------------------


class OwnMemory(ActorCriticPolicy):
    """Recurrent in ``get_distribution`` alone, so that no value fits."""

    def _build_mlp_extractor(self):
        self.gru = nn.GRU(self.features_dim, 32, batch_first=True)
        self.features_dim, before = 32, self.features_dim
        super()._build_mlp_extractor()
        self.features_dim = before

    def get_distribution(self, obs):
        features = self.gru(self.extract_features(obs)[:, None])[0][:, 0]
        return self._get_action_dist_from_latent(self.mlp_extractor.forward_actor(features))


class Remembering(ActorCriticPolicy):
    """What it saw before decides what it does now."""

    seen = 0.0

    def get_distribution(self, obs):
        self.seen = obs.mean() + self.seen + 0.1
        return super().get_distribution(obs + self.seen)


class Drawing(ActorCriticPolicy):
    """Noise is added to what is seen, in evaluation too."""

    def get_distribution(self, obs):
        return super().get_distribution(obs + torch.randn_like(obs))


class ChoosyDQN(DQNPolicy):
    """The best action is forbidden, where it is chosen."""

    def _predict(self, obs, deterministic=True):
        return self.q_net(obs).argmin(dim=1)


class ChoosyPredict(ActorCriticPolicy):
    def predict(self, observation, state=None, episode_start=None, deterministic=False):
        actions, state = super().predict(observation, state, episode_start, deterministic)
        return 3 - actions, state


class SecondBest(ARSPolicy):
    def forward(self, obs):
        features = self.extract_features(obs, self.features_extractor)
        return self.action_net(features).topk(2, dim=1).indices[:, 1]


@pytest.mark.parametrize(
    ("algorithm", "policy", "named"),
    [
        (PPO, OwnMemory, "get_distribution"),
        (PPO, Remembering, "get_distribution"),
        (PPO, Drawing, "get_distribution"),
        (DQN, ChoosyDQN, "_predict"),
        (PPO, ChoosyPredict, "predict"),
        (ARS, SecondBest, "forward"),
    ],
)
def test_what_cannot_be_read_is_refused_in_one_line(algorithm, policy, named, tmp_path):
    model = make_model(algorithm, policy, VECTOR, FOUR)
    with pytest.raises(ExplainError) as refused:
        Agent.from_model(model)
    line = str(refused.value)
    assert "\n" not in line and len(line) <= 400
    assert f"{policy.__name__}, whose own {named} cannot be read" in line
    assert "Agent.from_module" in line
    model.save(tmp_path / "own")
    with pytest.raises(ExplainError, match=policy.__name__):
        load_agent(
            algorithm.__name__,
            None,
            folder=tmp_path / "own.zip",
            observation_space=VECTOR,
            action_space=FOUR,
            policy_class=policy,
        )
