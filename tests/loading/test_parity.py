"""Freshly made models of every algorithm: live and loaded agents say what SB3's own policy says."""

import hashlib
import random
import warnings
from typing import NamedTuple

import gymnasium as gym
import numpy as np
import pytest
import torch
import yaml
from gymnasium import spaces
from sb3_contrib import ARS, QRDQN, TQC, TRPO, CrossQ, MaskablePPO, RecurrentPPO
from stable_baselines3 import A2C, DDPG, DQN, PPO, SAC, TD3
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.sb2_compat.rmsprop_tf_like import RMSpropTFLike
from stable_baselines3.common.torch_layers import NatureCNN
from torch import nn

from sb3_explain.agent import Agent
from sb3_explain.loading import load_agent

N = 1000
VECTOR = spaces.Box(-2, 2, (5,), np.float32)
IMAGE = spaces.Box(0, 255, (2, 36, 36), np.uint8)
MIXED = spaces.Dict(
    image=spaces.Box(0, 255, (1, 36, 36), np.uint8),
    kind=spaces.Discrete(3),
    vector=spaces.Box(-1, 1, (4,), np.float32),
)
ARM = spaces.Box(np.array([-2, -1], np.float32), np.array([1, 3], np.float32))
ONE_OF_FOUR = spaces.Discrete(4)
SMALL = {"net_arch": [16, 8]}
OFF_POLICY = {"buffer_size": 200, "learning_starts": 8, "batch_size": 8}
ON_POLICY = {"n_steps": 8, "batch_size": 8}
LSTM = {"net_arch": [8], "lstm_hidden_size": 12}
TINY_CNN = {"features_extractor_kwargs": {"features_dim": 24}}


class Noise(gym.Env):
    """Random observations and rewards, to make models and let some of them learn a little."""

    def __init__(self, observation_space, action_space):
        self.observation_space, self.action_space = observation_space, action_space
        self.steps = 0

    def reset(self, *, seed=None, options=None):
        self.steps = 0
        return self.observation_space.sample(), {}

    def step(self, action):
        self.steps += 1
        return self.observation_space.sample(), float(np.sum(action)), self.steps >= 7, False, {}

    def action_masks(self):
        return np.ones(self.action_space.n, dtype=bool)


class Case(NamedTuple):
    algo: str
    model: type
    observation_space: spaces.Space
    action_space: spaces.Space
    policy_kwargs: dict = SMALL
    policy: str = "MlpPolicy"
    settings: dict = {}  # noqa: RUF012 - never changed
    learn: int = 0


CASES = {
    "a2c": Case("a2c", A2C, VECTOR, ONE_OF_FOUR),
    "a2c-tf-like": Case(
        "a2c", A2C, VECTOR, ARM, {"optimizer_class": RMSpropTFLike, "activation_fn": nn.ELU}
    ),
    "a2c-discrete-observation": Case("a2c", A2C, spaces.Discrete(6), ONE_OF_FOUR),
    "ars-linear": Case("ars", ARS, VECTOR, ONE_OF_FOUR, {}, "LinearPolicy"),
    "ars-mlp": Case("ars", ARS, VECTOR, ARM, SMALL),
    "ars-mlp-clipped": Case("ars", ARS, VECTOR, ARM, {**SMALL, "squash_output": False}),
    "crossq": Case("crossq", CrossQ, VECTOR, ARM, SMALL, settings=OFF_POLICY, learn=60),
    "ddpg": Case("ddpg", DDPG, VECTOR, ARM, settings=OFF_POLICY),
    "dqn": Case("dqn", DQN, VECTOR, ONE_OF_FOUR, settings=OFF_POLICY),
    "dqn-cnn": Case("dqn", DQN, IMAGE, ONE_OF_FOUR, TINY_CNN, "CnnPolicy", OFF_POLICY),
    "dqn-dict": Case("dqn", DQN, MIXED, ONE_OF_FOUR, SMALL, "MultiInputPolicy", OFF_POLICY),
    "maskable_ppo": Case("maskable_ppo", MaskablePPO, VECTOR, ONE_OF_FOUR, settings=ON_POLICY),
    "ppo": Case("ppo", PPO, VECTOR, ONE_OF_FOUR, {}, settings=ON_POLICY, learn=16),
    "ppo-relu": Case(
        "ppo",
        PPO,
        VECTOR,
        ARM,
        {"activation_fn": nn.ReLU, "net_arch": {"pi": [9], "vf": [7, 6]}},
        settings=ON_POLICY,
    ),
    "ppo-cnn": Case("ppo", PPO, IMAGE, ONE_OF_FOUR, TINY_CNN, "CnnPolicy", ON_POLICY),
    "ppo-cnn-unshared": Case(
        "ppo",
        PPO,
        IMAGE,
        ONE_OF_FOUR,
        {**TINY_CNN, "share_features_extractor": False, "net_arch": [8]},
        "CnnPolicy",
        ON_POLICY,
    ),
    "ppo-float-image": Case(
        "ppo",
        PPO,
        spaces.Box(0, 1, (2, 36, 36), np.float32),
        ONE_OF_FOUR,
        {
            "features_extractor_class": NatureCNN,
            "features_extractor_kwargs": {"features_dim": 8, "normalized_image": True},
            "normalize_images": False,
        },
        settings=ON_POLICY,
    ),
    "ppo-dict": Case("ppo", PPO, MIXED, ONE_OF_FOUR, SMALL, "MultiInputPolicy", ON_POLICY),
    "ppo-multidiscrete": Case(
        "ppo", PPO, VECTOR, spaces.MultiDiscrete([3, 2, 4]), settings=ON_POLICY
    ),
    "ppo-multibinary": Case("ppo", PPO, VECTOR, spaces.MultiBinary(5), settings=ON_POLICY),
    "ppo-gsde": Case("ppo", PPO, VECTOR, ARM, settings={**ON_POLICY, "use_sde": True}),
    "ppo-gsde-squashed": Case(
        "ppo",
        PPO,
        VECTOR,
        ARM,
        {**SMALL, "squash_output": True, "full_std": False},
        settings={**ON_POLICY, "use_sde": True},
    ),
    "ppo_lstm": Case("ppo_lstm", RecurrentPPO, VECTOR, ONE_OF_FOUR, LSTM, "MlpLstmPolicy"),
    "ppo_lstm-shared": Case(
        "ppo_lstm",
        RecurrentPPO,
        VECTOR,
        ONE_OF_FOUR,
        {**LSTM, "shared_lstm": True, "enable_critic_lstm": False, "n_lstm_layers": 2},
        "MlpLstmPolicy",
    ),
    "ppo_lstm-linear-critic": Case(
        "ppo_lstm",
        RecurrentPPO,
        VECTOR,
        ARM,
        {**LSTM, "enable_critic_lstm": False},
        "MlpLstmPolicy",
    ),
    "qrdqn": Case("qrdqn", QRDQN, VECTOR, ONE_OF_FOUR, {**SMALL, "n_quantiles": 7}),
    "sac": Case("sac", SAC, VECTOR, ARM, settings=OFF_POLICY, learn=20),
    "sac-gsde": Case("sac", SAC, VECTOR, ARM, settings={**OFF_POLICY, "use_sde": True}),
    "sac-cnn-shared": Case(
        "sac",
        SAC,
        IMAGE,
        ARM,
        {**TINY_CNN, **SMALL, "share_features_extractor": True, "n_critics": 3},
        "CnnPolicy",
        OFF_POLICY,
    ),
    "td3": Case("td3", TD3, VECTOR, ARM, {"net_arch": {"pi": [9], "qf": [7, 6]}}),
    "tqc": Case("tqc", TQC, VECTOR, ARM, {**SMALL, "n_quantiles": 11, "n_critics": 3}),
    "trpo": Case("trpo", TRPO, VECTOR, ARM, settings=ON_POLICY),
}  # fmt: skip


def make_model(case):
    torch.manual_seed(0)
    env = Noise(case.observation_space, case.action_space)
    env.observation_space.seed(0)
    # SB3 writes into the dict that it is given.
    kwargs = {key: dict(v) if isinstance(v, dict) else v for key, v in case.policy_kwargs.items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = case.model(
            case.policy, env, policy_kwargs=kwargs, seed=0, device="cpu", **case.settings
        )
        if case.learn:
            model.learn(case.learn)
    with torch.no_grad():
        # Fresh heads are near zero, ARS all zero: then every action ties and a test shows nothing.
        for parameter in model.policy.parameters():
            scale = 0.5 if parameter.ndim > 1 else 0.1
            parameter.add_(scale * torch.randn_like(parameter))
        if hasattr(model.policy, "critic_target") and case.algo != "crossq":
            model.policy.critic_target.load_state_dict(model.policy.critic.state_dict())
    return model


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
    space.seed(seed)
    draws = [space.sample() for _ in range(n)]
    if isinstance(space, spaces.Dict):
        return {key: np.stack([draw[key] for draw in draws]) for key in draws[0]}
    return np.stack(draws)


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


def outputs_of(distribution):
    """(B, K) what SB3's distribution says of each action: logits (normalised), or the mean."""
    if isinstance(distribution, torch.Tensor):
        return distribution
    inner = getattr(distribution, "distribution", None) or distribution.distributions
    if isinstance(inner, torch.distributions.Normal):
        return distribution.mode()
    return torch.cat([part.logits for part in (inner if isinstance(inner, list) else [inner])], 1)


def same(agent, model):
    observations = sample(agent.observation_space)
    own, own_values = own_scores_and_values(model, observations)
    tensors = agent.tensor(observations)
    with torch.no_grad():
        scores, values = agent.scores_and_values(tensors)
        torch.testing.assert_close(agent.scores(tensors), scores, atol=1e-6, rtol=0)
    continuous = isinstance(agent.action_space, spaces.Box)
    categorical = isinstance(agent.action_space, spaces.Discrete | spaces.MultiDiscrete)
    # torch's Categorical normalises the logits that it is given.
    normalised = categorical and not isinstance(own, torch.Tensor)
    given = agent.probabilities_of(scores).log() if normalised else scores
    torch.testing.assert_close(given, outputs_of(own), atol=1e-6, rtol=1e-6)
    if own_values is None:
        assert torch.isnan(values).all()
    else:
        torch.testing.assert_close(values, own_values, atol=1e-6, rtol=1e-6)
        torch.testing.assert_close(agent.values(tensors), own_values, atol=1e-6, rtol=1e-6)
    # SB3's recurrent predict takes one environment per row of its state, as given here.
    predicted, _ = model.predict(observations, deterministic=True)
    acted = agent.act(tensors)
    if continuous:
        np.testing.assert_allclose(acted, predicted, atol=1e-6)
    else:
        np.testing.assert_array_equal(acted, predicted)
        assert len(np.unique(predicted, axis=0)) > 1, "one action everywhere: the test shows little"


def zoo_folder(case, model, folder):
    """The model saved as rl-zoo3 saves it."""
    run = folder / case.algo / "Noise-v0_1"
    (run / "Noise-v0").mkdir(parents=True)
    model.save(run / "Noise-v0")
    names = {nn.ELU: "nn.ELU", nn.ReLU: "nn.ReLU", NatureCNN: "NatureCNN"}
    names[RMSpropTFLike] = "RMSpropTFLike"
    source = repr(case.policy_kwargs)
    for known, name in names.items():
        source = source.replace(repr(known), name)
    config = {"policy": case.policy, "policy_kwargs": source}
    if case.settings.get("use_sde"):
        config["use_sde"] = True
    pairs = [[[key, value] for key, value in sorted(config.items())]]
    text = yaml.safe_dump(pairs)
    (run / "Noise-v0" / "config.yml").write_text(
        f"!!python/object/apply:collections.OrderedDict\n{text}"
    )
    return folder


def test_a_live_model(case_and_model):
    case, model = case_and_model
    agent = Agent.from_model(model)
    assert agent.algo == case.algo
    same(agent, model)


def test_a_bare_zip(case_and_model, tmp_path):
    case, model = case_and_model
    model.save(tmp_path / "model")
    agent = load_agent(
        case.algo,
        None,
        folder=tmp_path / "model.zip",
        observation_space=model.observation_space,
        action_space=model.action_space,
    )
    assert agent.fingerprint() == Agent.from_model(model).fingerprint()
    same(agent, model)


def test_a_zoo_folder(case_and_model, tmp_path):
    case, model = case_and_model
    agent = load_agent(
        case.algo.upper(),
        "Noise-v0",
        folder=zoo_folder(case, model, tmp_path),
        observation_space=model.observation_space,
        action_space=model.action_space,
    )
    assert agent.recipe.env_id == "Noise-v0"
    same(agent, model)


# --- nothing is changed ---------------------------------------------------------------------------


def digest_of(policy):
    """Hash of parameters, buffers, gradients, training modes and all global random states."""
    digest = hashlib.sha256()
    for name, tensor in [*policy.named_parameters(), *policy.named_buffers()]:
        digest.update(f"{name}{tensor.requires_grad}{tensor.grad is None}".encode())
        digest.update(tensor.detach().numpy().tobytes())
    digest.update(repr([module.training for module in policy.modules()]).encode())
    digest.update(torch.random.get_rng_state().numpy().tobytes())
    digest.update(repr(np.random.get_state()).encode())  # noqa: NPY002 - what must not change
    digest.update(repr(random.getstate()).encode())
    return digest.hexdigest()


def calls_of(agent, tensors):
    rng = np.random.default_rng(0)
    memory = agent.initial_memory(8)
    yield "scores", lambda: agent.scores(tensors, memory)
    yield "scores_and_values", lambda: agent.scores_and_values(tensors, memory)
    if agent.algo != "ars":
        yield "values", lambda: agent.values(tensors, memory)
    yield "probabilities", lambda: agent.probabilities(tensors, memory)
    if isinstance(agent.action_space, spaces.Discrete):
        yield "greedy", lambda: agent.greedy(tensors, memory)
    yield "act", lambda: agent.act(tensors, memory=memory)
    yield "act, sampled", lambda: agent.act(tensors, deterministic=False, rng=rng, memory=memory)
    yield "next_memory", lambda: agent.next_memory(tensors, memory)
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
