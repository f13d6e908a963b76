"""ParameterRandomization: which layers go, how alike maps are, and what learned explainers do."""

import numpy as np
import pytest
import torch
from gymnasium import spaces
from scipy.ndimage import uniform_filter
from scipy.stats import rankdata
from stable_baselines3 import DQN, PPO, SAC
from stable_baselines3.common.policies import ActorCriticCnnPolicy
from torch import nn

from sb3_explain.agents.agent import Agent
from sb3_explain.agents.layers import find_layers
from sb3_explain.agents.policy_views import make_view
from sb3_explain.common.errors import ExplainError
from sb3_explain.evaluation.parameter_randomization import (
    compare_images,
    correlate_ranks,
    parameter_randomization,
    randomize_layers,
)
from sb3_explain.explainers.base import Explainer, FittedExplainer
from sb3_explain.states.dataset import StateDataset
from sb3_explain.states.labels import relabel


@pytest.fixture(scope="module")
def cnn_agent():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        observations, actions = spaces.Box(0, 255, (4, 84, 84), np.uint8), spaces.Discrete(3)
        policy = ActorCriticCnnPolicy(observations, actions, lambda _: 1e-3)
    return Agent(make_view(policy), observations, actions)


def test_layers_from_the_output_down(cnn_agent):
    expected = ["action_net"] + [f"features_extractor.{n}" for n in (
        "linear.0", "cnn.4", "cnn.2", "cnn.0")]  # fmt: skip
    assert find_layers(cnn_agent) == expected


@pytest.mark.parametrize(
    ("algo", "env", "expected"),
    [
        (PPO, "CartPole-v1", ["action_net", "mlp_extractor.policy_net.2",
                              "mlp_extractor.policy_net.0"]),
        (DQN, "CartPole-v1", ["q_net.q_net.4", "q_net.q_net.2", "q_net.q_net.0"]),
        (SAC, "Pendulum-v1", ["actor.mu", "actor.latent_pi.2", "actor.latent_pi.0"]),
    ],
)  # fmt: skip
def test_the_layers_of_the_scores_alone(algo, env, expected):
    model = algo("MlpPolicy", env, seed=0, device="cpu")
    agent = Agent.from_model(model)
    layers = find_layers(agent)
    # SAC's deviation is read from the same trunk, and is no score
    assert [name for name in layers if name != "actor.log_std"] == expected


def test_one_more_layer_is_forgotten_at_each_step(cnn_agent):
    fingerprint, random_state = cnn_agent.fingerprint(), torch.get_rng_state()
    original = dict(cnn_agent.view.policy.named_parameters())
    forgotten = []
    for name, randomized in randomize_layers(cnn_agent, seed=1):
        forgotten.append(name)
        for key, parameter in randomized.view.policy.named_parameters():
            changed = not torch.equal(parameter, original[key])
            assert changed == any(key.startswith(f"{layer}.") for layer in forgotten), (name, key)
            assert not parameter.requires_grad
    assert forgotten == find_layers(cnn_agent)
    assert cnn_agent.fingerprint() == fingerprint
    assert torch.equal(torch.get_rng_state(), random_state)


def test_weights_are_drawn_as_a_new_layer_draws_them(cnn_agent):
    (_, first), (_, second) = randomize_layers(cnn_agent, seed=3, n_layers=2)
    head = first.view.policy.action_net
    # torch's own initialisation of a linear layer: uniform in +- 1 / sqrt(n)
    bound = 512**-0.5
    assert head.weight.abs().max() <= bound
    assert head.weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.05)
    assert torch.equal(head.weight, second.view.policy.action_net.weight)
    ((_, again),) = randomize_layers(cnn_agent, seed=3, n_layers=1)
    assert again.fingerprint() == first.fingerprint()
    ((_, other),) = randomize_layers(cnn_agent, seed=4, n_layers=1)
    assert other.fingerprint() != first.fingerprint()


def test_an_agent_without_layers_is_named():
    agent = Agent.from_module(nn.Identity(), spaces.Box(-1, 1, (2,)), spaces.Discrete(2))
    with pytest.raises(ExplainError, match="nothing to randomise"):
        next(randomize_layers(agent))


# --- similarity -------------------------------------------------------------------------------


def test_rank_correlation_is_pearsons_of_the_ranks():
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(2, 3, 5, 5, generator=generator)
    b = (a + b).round()  # with ties
    ranks = [rankdata(attributions.numpy().ravel()) for attributions in (a, b)]
    assert correlate_ranks(a, b) == pytest.approx(np.corrcoef(ranks)[0, 1])
    assert correlate_ranks(a, a**3) == pytest.approx(1)
    assert correlate_ranks(a, -a) == pytest.approx(-1)
    assert correlate_ranks(a, torch.ones_like(a)) == 0
    assert np.isnan(correlate_ranks(torch.zeros(4), torch.ones(4)))


@pytest.mark.parametrize("low", [0.0, -1.0])
def test_image_similarity_against_the_formula(low):
    """Wang et al. (2004), eq. 13, in windows of 7 x 7 with equal weights."""
    rng = np.random.default_rng(0)
    a, b = rng.uniform(low, 1, (2, 2, 12, 15))
    extent = 1 - low
    c1, c2 = (0.01 * extent) ** 2, (0.03 * extent) ** 2
    values = []
    for x, y in zip(a, b, strict=True):
        mean_x, mean_y = uniform_filter(x, 7), uniform_filter(y, 7)
        unbiased = 49 / 48
        var_x = unbiased * (uniform_filter(x * x, 7) - mean_x**2)
        var_y = unbiased * (uniform_filter(y * y, 7) - mean_y**2)
        covariance = unbiased * (uniform_filter(x * y, 7) - mean_x * mean_y)
        similarity = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
        similarity /= (mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2)
        values.append(similarity[3:-3, 3:-3].mean())
    result = compare_images(torch.from_numpy(a), torch.from_numpy(b))
    assert result == pytest.approx(np.mean(values), abs=1e-9)


# --- the whole --------------------------------------------------------------------------------


class Scores(Explainer):
    """A map that depends on the agent's scores of the target."""

    name = "scores"

    def explain(self, batch):
        score = batch.target_scores(batch.by_key).gather(1, batch.target[:, None])
        weight = torch.linspace(-1, 1, 64, device=score.device)
        return {"": (weight * 40 * score).sin().reshape(-1, 1, 8, 8)}


class Blind(Explainer):
    """An edge detector: the agent does not matter."""

    name = "blind"

    def explain(self, batch):
        return {"": (batch.observations - batch.observations.roll(1, -1)).abs()}


class Learned(FittedExplainer):
    """Learns how often its agent does each action."""

    name = "learned"
    counts = None

    @property
    def fitted(self):
        return self.counts is not None

    fit_seconds = 0.0

    def fit(self, train, validation, **options):
        train.require_labels_of(self.agent)
        self.counts = torch.bincount(torch.from_numpy(train.greedy), minlength=3).float()

    @classmethod
    def load(cls, folder, agent):
        raise NotImplementedError

    def save(self, folder):
        raise NotImplementedError

    def explain(self, batch):
        pattern = (self.counts[:, None] * torch.linspace(0, 1, 64)).sin().sum(dim=0)
        return {"": batch.observations * pattern.reshape(1, 1, 8, 8)}


@pytest.fixture(scope="module")
def small():
    """An agent on 8 x 8 pictures and 120 states of 12 episodes, labelled by it."""
    generator = torch.Generator().manual_seed(5)
    module = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3))
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    space = spaces.Box(0, 1, (1, 8, 8), np.float32)
    agent = Agent.from_module(module, space, spaces.Discrete(3))
    frames = torch.rand(120, 1, 8, 8, generator=generator)
    episodes = np.arange(120) // 10
    blank = StateDataset.from_arrays(frames, episodes, np.zeros(120, dtype=int))
    return agent, relabel(agent, blank)


def test_relabelled_states_have_the_other_agents_labels(small):
    agent, states = small
    ((_, randomized),) = randomize_layers(agent, seed=2, n_layers=1)
    part = states.subset(range(30, 90))
    theirs = relabel(randomized, part)
    observations = part.observations(range(60))
    np.testing.assert_array_equal(theirs.greedy, randomized.greedy(observations).numpy())
    np.testing.assert_allclose(
        theirs.column("scores"), randomized.scores(observations).numpy(), atol=1e-6
    )
    assert not np.array_equal(theirs.greedy, part.greedy)
    np.testing.assert_array_equal(part.greedy, states.greedy[30:90])
    theirs.require_labels_of(randomized)
    with pytest.raises(ExplainError, match="another agent"):
        theirs.require_labels_of(agent)


def test_known_explainers(small):
    agent, states = small
    fits = []

    def fit(explainer):
        fits.append(explainer.agent.fingerprint())
        explainer.fit(relabel(explainer.agent, states), states)

    result = parameter_randomization(
        agent,
        states,
        {"scores": Scores, "blind": Blind, "learned": Learned},
        fit=fit,
        n_evaluated=50,
        batch_size=16,
        progress=False,
    )
    assert result.layers == ("nothing", "3", "0")
    assert fits == [agent.fingerprint(), agent.fingerprint(),
                    *(a.fingerprint() for _, a in randomize_layers(agent))]  # fmt: skip
    mean = {
        (name, layer, measure): interval.mean
        for name, layers in result.intervals.items()
        for layer, measures in layers.items()
        for measure, interval in measures.items()
    }
    for layer in result.layers:
        for measure in ("ssim", "spearman"):
            assert mean["blind", layer, measure] == pytest.approx(1)
            if layer == "nothing":
                assert mean["scores", layer, measure] == pytest.approx(1)
                assert mean["learned", layer, measure] == pytest.approx(1)
            else:
                assert mean["scores", layer, measure] < 0.3
                assert mean["learned", layer, measure] < 0.9
                assert mean["learned, not retrained", layer, measure] == pytest.approx(1)
    table = result.table()
    assert len(table) == 2 * (3 * 3 + 2)
    assert set(table.columns) == {"explainer", "layer", "measure", "mean", "low", "high", "n"}
    assert (table.n == 50).all()


def test_maps_stay_those_of_what_the_whole_agent_does(small):
    agent, states = small
    seen = []

    class Spy(Blind):
        def explain(self, batch):
            seen.append((batch.agent, batch.target))
            return super().explain(batch)

    parameter_randomization(agent, states, {"spy": Spy}, n_evaluated=120, progress=False)
    target = agent.greedy(states.observations(range(120)))
    agents = {explained.fingerprint() for explained, _ in seen}
    assert len(agents) == 3
    assert all(torch.equal(t, target) for _, t in seen)


def test_a_learned_explainer_needs_a_fit(small):
    agent, states = small
    with pytest.raises(ExplainError, match="learned learns: give fit="):
        parameter_randomization(agent, states, {"learned": Learned}, progress=False)


def test_vectors_have_no_structural_similarity():
    agent = Agent.from_module(nn.Linear(3, 2), spaces.Box(-1, 1, (3,)), spaces.Discrete(2))
    frames = torch.randn(30, 3, generator=torch.Generator().manual_seed(0))
    states = StateDataset.from_arrays(frames, np.arange(30) // 10, np.zeros(30, dtype=int))
    result = parameter_randomization(agent, states, ["gradient"], n_evaluated=10, progress=False)
    assert set(result.values["gradient"]["nothing"]) == {"spearman"}
