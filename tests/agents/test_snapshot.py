"""A snapshot is a policy of its own: equal outputs, other weights, nothing of the training."""

import threading

import numpy as np
import pytest
import torch
from stable_baselines3 import PPO, SAC
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import nn
from torch.nn.utils import parametrizations

from sb3_explain.agents.agent import Agent
from sb3_explain.agents.layers import copy_agent
from sb3_explain.agents.loading import load_agent
from sb3_explain.agents.snapshot import snapshot
from sb3_explain.common.errors import ExplainError
from sb3_explain.evaluation.parameter_randomization import randomize_layers


def test_it_answers_as_the_policy_did_however_that_trains_on():
    model = PPO("MlpPolicy", "CartPole-v1", n_steps=32, batch_size=32, seed=0, device="cpu")
    model.learn(32)  # leaves tensors with a graph in the policy's distribution
    seen = np.linspace(-1, 1, 20).reshape(5, 4).astype(np.float32)
    copied = snapshot(model.policy)
    before = copied.get_distribution(torch.tensor(seen)).distribution.logits.detach().clone()
    model.learn(64)
    after = copied.get_distribution(torch.tensor(seen)).distribution.logits
    trained = model.policy.get_distribution(torch.tensor(seen)).distribution.logits
    assert torch.equal(before, after) and not torch.allclose(before, trained)


def test_it_has_no_optimizer_and_the_model_keeps_its_own():
    model = SAC("MlpPolicy", "Pendulum-v1", seed=0, device="cpu")
    copied = snapshot(model.policy)
    assert copied.actor.optimizer is None and copied.critic.optimizer is None
    assert model.policy.actor.optimizer is not None
    own = {p.data_ptr() for p in model.policy.parameters()}
    assert not own & {p.data_ptr() for p in copied.parameters()}


class Attentive(BaseFeaturesExtractor):
    """A network that keeps what its last passes computed, in every way that people do."""

    def __init__(self, observation_space):
        super().__init__(observation_space, 8)
        self.score = nn.Linear(4, 4)
        self.old_weight = nn.utils.weight_norm(nn.Linear(4, 4))
        self.new_weight = parametrizations.weight_norm(nn.Linear(4, 4))
        self.old_spectral = nn.utils.spectral_norm(nn.Linear(4, 4))
        self.new_spectral = parametrizations.spectral_norm(nn.Linear(4, 8))
        self.stored, self.by_name, self.generator = [], {}, torch.Generator()
        self.record = Record()
        self.score.register_forward_hook(self.keep_output)

    def keep_output(self, module, inputs, output):
        self.by_name.setdefault("outputs", []).append({"score": (output,)})

    def forward(self, observations):
        scores = self.score(observations)
        self.attention = scores.softmax(dim=-1)
        self.stored.append(self.attention)
        self.record.distribution = torch.distributions.Categorical(logits=scores)
        features = self.attention * observations
        for layer in (self.old_weight, self.new_weight, self.old_spectral, self.new_spectral):
            features = layer(features)
        return features


class Record:
    """An object that is no module, and that the object it keeps keeps in turn."""

    def __init__(self):
        self.owner = self


@pytest.fixture
def attentive(recwarn):
    kwargs = {"features_extractor_class": Attentive}
    return PPO(
        "MlpPolicy", "CartPole-v1", policy_kwargs=kwargs, n_steps=32, batch_size=32, device="cpu"
    ).learn(32)


def test_tensors_of_the_last_pass_are_copied_without_their_graph(attentive):
    seen = torch.linspace(-1, 1, 20).reshape(5, 4)
    policy = attentive.policy
    policy.set_training_mode(False)
    expected = policy.get_distribution(seen).distribution.logits
    live = policy.features_extractor
    weights, n_stored = live.old_weight.weight, len(live.stored)
    copied = snapshot(policy)
    network = copied.features_extractor
    assert torch.equal(network.attention, live.attention)
    nested = network.by_name["outputs"][-1]["score"][0]
    tensors = [network.attention, network.stored[-1], nested, network.record.distribution.logits]
    assert not any(tensor.requires_grad for tensor in tensors)
    assert network.record.owner is network.record
    assert torch.equal(copied.get_distribution(seen).distribution.logits, expected)
    # the live policy keeps its graph, and its copy's passes are not its own
    assert live.attention.grad_fn is not None and live.old_weight.weight is weights
    assert len(live.stored) == n_stored == len(live.by_name["outputs"])
    expected.sum().backward()


def test_an_agent_of_it_is_explained_copied_and_trained_on(attentive):
    agent = Agent.from_model(attentive)
    seen = torch.linspace(-1, 1, 20).reshape(5, 4).requires_grad_()
    agent.scores(seen)[:, 0].sum().backward()  # it keeps tensors with a graph now
    copied = copy_agent(agent)
    with torch.no_grad():
        assert torch.equal(copied.scores(seen), agent.scores(seen))
    for _, randomized in randomize_layers(agent):
        randomized.scores(seen)
    attentive.learn(32)


def test_what_cannot_be_copied_is_named_in_one_line():
    model = PPO("MlpPolicy", "CartPole-v1", device="cpu")
    model.policy.lock = threading.Lock()
    with pytest.raises(ExplainError, match=r"ActorCriticPolicy cannot be copied \(.*lock") as error:
        Agent.from_model(model)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("compiled", ["policy", "mlp_extractor"])
def test_a_compiled_policy_is_read_live_and_from_its_file(tmp_path, compiled):
    model = PPO("MlpPolicy", "CartPole-v1", n_steps=8, batch_size=8, device="cpu")
    seen = np.linspace(-1, 1, 40).reshape(10, 4).astype(np.float32)
    expected = model.policy.predict_values(torch.tensor(seen))[:, 0]
    if compiled == "policy":
        model.policy = torch.compile(model.policy, backend="eager")
    else:
        model.policy.mlp_extractor = torch.compile(model.policy.mlp_extractor, backend="eager")
    model.save(tmp_path / "m.zip")
    for agent in (
        Agent.from_model(model),
        load_agent("ppo", "CartPole-v1", folder=tmp_path / "m.zip"),
    ):
        torch.testing.assert_close(agent.values(agent.tensor(seen)), expected)


@pytest.mark.parametrize(
    "module",
    [nn.Linear(4, 2, device="meta"), nn.LazyLinear(2), nn.Linear, lambda x: x],
    ids=["meta", "lazy", "class", "function"],
)
def test_what_has_no_numbers_is_refused(module):
    with pytest.raises(ExplainError, match=r"has no numbers in 'weight' yet|give an instance"):
        snapshot(module)
