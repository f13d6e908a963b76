"""The generator: its loss by hand, what it learns, resuming, files, and kinds of observations."""

import json

import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3 import PPO, SAC
from torch import nn

from sb3_explain.agents.agent import Agent
from sb3_explain.common.errors import ExplainError
from sb3_explain.probing import VARIANTS, StateGenerator
from sb3_explain.probing.autoencoder import Gaussian
from sb3_explain.probing.codecs import CODECS
from sb3_explain.states.batch import StateBatch
from sb3_explain.states.dataset import StateDataset
from tests.toys import dot_agent, dot_states

FEW = {"epochs": 2, "batch_size": 16, "progress": False, "precision": "no"}


@pytest.fixture(scope="module")
def dots():
    agent = dot_agent()
    train, validation, _ = dot_states(agent, 200).split(seed=0)
    return agent, train, validation


@pytest.fixture(scope="module")
def fitted(dots):
    agent, train, validation = dots
    generator = StateGenerator(agent, latent=16)
    generator.fit(train, validation, **{**FEW, "epochs": 18, "learning_rate": 2e-3, "patience": 40})
    return generator


def test_the_loss_is_equation_1_by_a_slow_loop(dots):
    agent, train, _ = dots
    settings = {"lambda_agent": 0.3, "lambda_kl": 0.2, "uniform_share": 0.25}
    generator = StateGenerator(agent, latent=5, weighting="gradient", **settings)
    batch = StateBatch(agent, agent.tensor(train.observations(np.arange(3))))
    generator.network.spread.fill_(0.7)
    generator.network.autoencoder.get_mean_state("").deviation.fill_(0.4)
    noise = torch.randn(3, 5)
    found = generator.losses(generator.network, batch, noise)

    states = batch.observations
    code = generator.encode(states)
    drawn = generator.decode(code.mean + code.log_std.exp() * noise)
    pixels = agents = divergence = 0.0
    for i in range(3):
        state = states[i : i + 1].clone().requires_grad_()
        agent.scores(state)[0, batch.target[i]].backward()
        weight = state.grad[0].abs()
        blurred = torch.zeros_like(weight)
        for y in range(24):
            for x in range(24):
                blurred[:, y, x] = weight[:, max(y - 2, 0) : y + 3, max(x - 2, 0) : x + 3].mean(
                    dim=(1, 2)
                )
        weight = 0.75 * blurred / blurred.mean() + 0.25
        pixels += (weight * ((drawn[i] - states[i]) / 255 / 0.4) ** 2).mean() / 3
        shift = agent.scores(drawn[i : i + 1]) - agent.scores(states[i : i + 1])
        agents += ((shift / 0.7) ** 2).mean() / 3
        mean, std = code.mean[i], code.log_std[i].exp()
        for k in range(5):
            normal = torch.distributions.Normal(0, 1)
            own = torch.distributions.Normal(mean[k], std[k])
            divergence += torch.distributions.kl_divergence(own, normal) / 5 / 3
    torch.testing.assert_close(found["reconstruction"], pixels, rtol=1e-4, atol=1e-7)
    torch.testing.assert_close(found["agent"], agents, rtol=1e-4, atol=1e-7)
    torch.testing.assert_close(found["divergence"], divergence, rtol=1e-4, atol=1e-7)
    total = pixels + 0.3 * agents + 0.2 * divergence
    torch.testing.assert_close(found["loss"], total, rtol=1e-4, atol=1e-7)


def test_every_term_has_its_switch(dots):
    agent, train, _ = dots
    batch = StateBatch(agent, agent.tensor(train.observations(np.arange(4))))
    losses = {
        name: StateGenerator(agent, latent=5, **settings).losses(
            StateGenerator(agent, latent=5, **settings).network, batch, torch.zeros(4, 5)
        )
        for name, settings in VARIANTS.items()
    }
    plain = losses["vae"]
    assert "agent" not in plain and "agent" not in losses["lp_only"] and "agent" in losses["full"]
    generator = StateGenerator(agent, latent=5, **VARIANTS["vae"])
    drawn, _ = generator.network(generator.network.scale(batch.by_key), torch.zeros(4, 5))
    squared = ((drawn[""] - batch.observations / 255) ** 2).mean()
    torch.testing.assert_close(plain["reconstruction"], squared)
    assert losses["lp_only"]["reconstruction"] != plain["reconstruction"]


def test_training_learns_what_the_agent_looks_at(dots, fitted):
    agent, train, validation = dots
    untrained = StateGenerator(agent, latent=16)
    untrained.fit(train, validation, **{**FEW, "epochs": 1, "learning_rate": 1e-9})
    history = fitted.training.history
    assert fitted.agreement(validation) > untrained.agreement(validation) + 0.1
    stored = min(history, key=lambda row: row["loss"])
    assert fitted.agreement(validation) == pytest.approx(stored["agreement"], abs=1e-6)
    assert min(h["reconstruction"] for h in history) < 0.7 * history[0]["reconstruction"]


def test_states_that_are_drawn_are_states(dots, fitted):
    agent, train, _ = dots
    states = agent.tensor(train.observations(np.arange(7)))
    before = agent.fingerprint()
    redrawn, sampled = fitted.reconstruct(states), fitted.sample(5, seed=1)
    assert redrawn.shape == states.shape and sampled.shape == (5, 2, 24, 24)
    for drawn in (redrawn, sampled):
        assert float(drawn.min()) >= 0 and float(drawn.max()) <= 255
    torch.testing.assert_close(fitted.sample(5, seed=1), sampled, atol=0, rtol=0)
    assert not torch.equal(fitted.sample(5, seed=2), sampled)
    code = fitted.encode(states)
    torch.testing.assert_close(fitted.decode(code.mean).detach(), redrawn)
    assert agent.fingerprint() == before


def test_a_killed_fit_goes_on_to_the_same_weights(dots, tmp_path):
    agent, train, validation = dots
    whole = StateGenerator(agent, latent=4, weighting="uniform")
    whole.fit(train, validation, **FEW)

    class KilledError(Exception):
        pass

    broken = StateGenerator(agent, latent=4, weighting="uniform")
    right = broken.losses
    calls = []

    def fails_at_last(*arguments):
        calls.append(None)
        if len(calls) == 13:
            raise KilledError
        return right(*arguments)

    broken.losses = fails_at_last
    with pytest.raises(KilledError):
        broken.fit(train, validation, folder=tmp_path, checkpoint_every=3, **FEW)
    again = StateGenerator(agent, latent=4, weighting="uniform")
    again.fit(train, validation, folder=tmp_path, checkpoint_every=3, **FEW)
    for name, tensor in whole.network.state_dict().items():
        torch.testing.assert_close(again.network.state_dict()[name], tensor, atol=0, rtol=0)
    assert again.training.history == whole.training.history


def test_saved_and_loaded(fitted, dots, tmp_path):
    agent = dots[0]
    fitted.save(tmp_path)
    loaded = StateGenerator.load(tmp_path, agent)
    torch.testing.assert_close(loaded.sample(3), fitted.sample(3), atol=0, rtol=0)
    assert loaded.settings == fitted.settings and loaded.training == fitted.training
    with pytest.raises(ExplainError, match="trained for another agent"):
        other = dot_agent()
        other.view.policy.gain.data += 1
        StateGenerator.load(tmp_path, other)
    described = tmp_path / "generator.json"
    said = json.loads(described.read_text())
    for settings in ({"agent": 1}, {"latent": "many"}, {"seed": []}):
        described.write_text(json.dumps({**said, "settings": {**said["settings"], **settings}}))
        with pytest.raises(ExplainError):
            StateGenerator.load(tmp_path, agent)
    described.write_text(json.dumps(said))
    (tmp_path / "generator.safetensors").write_bytes(b"cut")
    with pytest.raises(ExplainError, match=r"generator\.safetensors is damaged"):
        StateGenerator.load(tmp_path, agent)
    with pytest.raises(ExplainError, match="holds no generator: fit one first"):
        StateGenerator.load(tmp_path / "nothing", agent)


@pytest.mark.parametrize("codec", ["compact", "paper"])
@pytest.mark.parametrize("shape", [(1, 84, 84), (3, 37, 50), (4, 5, 7), (2, 128, 16)])
def test_codecs_take_images_of_any_size(codec, shape):
    made = CODECS[codec](shape)
    features = made.encode(torch.rand(2, *shape))
    assert features.shape == (2, made.n_encoded)
    assert made.decode(torch.rand(2, made.n_decoded)).shape == (2, *shape)


def test_the_papers_codec_has_its_filters_and_draws_128_pixels():
    codec = CODECS["paper"]((3, 84, 84))
    convolutions = [m for m in codec.modules() if isinstance(m, nn.Conv2d)]
    assert [m.out_channels for m in convolutions] == [32, 64, 128, 256]
    assert {(m.kernel_size, m.stride) for m in convolutions} == {((3, 3), (2, 2))}
    back = [m for m in codec.modules() if isinstance(m, nn.ConvTranspose2d)]
    assert [m.out_channels for m in back] == [128, 64, 32, 3]
    assert codec.upsample(torch.rand(1, *codec.grid)).shape == (1, 3, 128, 128)


class Reads(nn.Module):
    """Scores from all keys of a Dict observation."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(()))

    def forward(self, observation):
        bright = observation["cam.left"].mean(dim=(1, 2, 3)) / 255
        return self.gain * torch.stack([bright, observation["speed"][:, 0]], dim=1)


def test_dict_observations(tmp_path):
    space = spaces.Dict(
        {
            "cam.left": spaces.Box(0, 255, (1, 20, 20), np.uint8),
            "speed": spaces.Box(-np.inf, np.inf, (3,), np.float32),
        }
    )
    agent = Agent.from_module(Reads(), space, spaces.Discrete(2))
    rng = np.random.default_rng(0)
    frames = {
        "cam.left": torch.from_numpy(rng.integers(0, 256, (80, 1, 20, 20)).astype(np.uint8)),
        "speed": torch.from_numpy(rng.normal([100, 0, 5], [3, 0.001, 0], (80, 3))).float(),
    }
    columns = {"episode": np.arange(80) // 8, "greedy": np.zeros(80, np.int64)}
    states = StateDataset(frames, columns, np.arange(80) % 8 == 0)
    train, validation, _ = states.split(seed=0)
    generator = StateGenerator(agent, latent=3)
    generator.fit(train, validation, **FEW)
    drawn = generator.sample(6)
    assert drawn["cam.left"].shape == (6, 1, 20, 20) and drawn["speed"].shape == (6, 3)
    # units: means and deviations of the training states; a constant feature stays what it is
    units = generator.network.get_units("speed")
    speed = train.frames_by_key()["speed"].double()
    torch.testing.assert_close(units.low.double(), speed.mean(dim=0), rtol=1e-5, atol=1e-6)
    deviations = speed.std(dim=0, correction=0)
    torch.testing.assert_close(units.extent[:2].double(), deviations[:2], rtol=1e-2, atol=1e-6)
    assert units.extent[2] == 1
    generator.save(tmp_path)
    loaded = StateGenerator.load(tmp_path, agent).sample(6)
    torch.testing.assert_close(loaded["speed"], drawn["speed"], atol=0, rtol=0)


@pytest.mark.parametrize("algorithm", [PPO, SAC])
def test_vectors_of_discrete_and_continuous_agents(algorithm):
    env = "CartPole-v1" if algorithm is PPO else "Pendulum-v1"
    agent = Agent.from_model(algorithm("MlpPolicy", env, seed=0))
    rng = np.random.default_rng(0)
    n_features = agent.observation_space.shape[0]
    rows = rng.normal(size=(120, n_features)).clip(-1, 1).astype(np.float32)
    greedy = np.zeros(120, np.int64) if algorithm is PPO else np.zeros((120, 1), np.float32)
    states = StateDataset.from_arrays(rows, np.arange(120) // 10, greedy)
    train, validation, _ = states.split(seed=0)
    generator = StateGenerator(agent, latent=n_features)
    generator.fit(train, validation, **{**FEW, "epochs": 25, "learning_rate": 1e-2})
    first, last = generator.training.history[0], generator.training.history[-1]
    assert last["reconstruction"] < 0.5 * first["reconstruction"]
    assert generator.reconstruct(torch.from_numpy(rows[:4])).shape == (4, n_features)


def test_divergence_of_a_standard_normal_code_is_zero():
    standard = Gaussian(torch.zeros(2, 3), torch.zeros(2, 3))
    assert standard.divergence().tolist() == [0, 0]


def test_mistakes_are_one_line(dots, fitted):
    agent = dots[0]
    with pytest.raises(ExplainError, match="unknown setting of a generator 'latents'"):
        StateGenerator(agent, latents=3)
    with pytest.raises(ExplainError, match="unknown codec 'papre'; did you mean 'paper'"):
        StateGenerator(agent, codec="papre")
    with pytest.raises(ExplainError, match="latent must be at least 1"):
        StateGenerator(agent, latent=0)
    with pytest.raises(ExplainError, match="share of the weight"):
        StateGenerator(agent, uniform_share=2.0)
    with pytest.raises(ExplainError, match="would have to be fitted"):
        StateGenerator(agent, weighting="visionmask")
    with pytest.raises(ExplainError, match="has not been fitted"):
        StateGenerator(agent).sample(1)
    with pytest.raises(ExplainError, match=r"do not fit this agent: it takes"):
        fitted.reconstruct(torch.zeros(1, 2, 20, 20))
    category = Agent.from_module(
        nn.Embedding(4, 2), spaces.Discrete(4), spaces.Discrete(2), value_based=True
    )
    with pytest.raises(ExplainError, match="is a category"):
        StateGenerator(category)


def test_where_the_agent_always_does_the_same_the_loss_decides(dots):
    _, train, validation = dots
    agent = Agent.from_module(
        Steady(), spaces.Box(0, 255, (2, 24, 24), np.uint8), spaces.Discrete(2)
    )
    states = [part_of(agent, part) for part in (train, validation)]
    generator = StateGenerator(agent, latent=8, weighting="uniform")
    generator.fit(*states, **{**FEW, "epochs": 8, "learning_rate": 2e-3, "patience": 12})
    history = generator.training.history
    assert {row["agreement"] for row in history} == {1.0}
    assert generator.training.best_loss == pytest.approx(history[-1]["loss"], abs=2e-3)
    assert history[-1]["reconstruction"] < history[0]["reconstruction"]


class Steady(nn.Module):
    """Wants the first action, the more the brighter it is."""

    def forward(self, observations):
        bright = observations.flatten(1).mean(dim=1)
        return torch.stack([5 + bright, -bright], dim=1), bright


def part_of(agent, states):
    pictures = states.observations(np.arange(len(states)))
    return StateDataset.from_arrays(pictures, states.episode, np.zeros(len(states), int))


class FromDouble(nn.Linear):
    """A linear policy that takes observations of double precision."""

    def forward(self, observations):
        return super().forward(observations.float())


def test_observations_of_double_precision():
    agent = Agent.from_module(
        FromDouble(3, 3), spaces.Box(-np.inf, np.inf, (3,), np.float64), spaces.Discrete(3)
    )
    rows = np.random.default_rng(0).normal(size=(60, 3))
    states = StateDataset.from_arrays(rows, np.arange(60) // 6, np.zeros(60, int))
    generator = StateGenerator(agent, latent=2)
    generator.fit(states, states, **FEW)
    assert generator.sample(2).dtype == torch.float32
    free = float(generator.network.spread)
    assert free == pytest.approx(
        float(agent.scores(torch.from_numpy(rows)).std(dim=0).mean()), rel=0.05
    )


def test_weights_do_not_depend_on_the_unit_of_a_feature():
    rows = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
    weights = []
    for unit in (1.0, 60.0):
        scores = nn.Linear(3, 2)
        with torch.no_grad():
            scores.weight.copy_(torch.tensor([[1.0, 2.0, 3.0], [-1.0, 0.5, 2.0]]))
            scores.weight[:, 0] /= unit
            scores.bias.zero_()
        agent = Agent.from_module(
            scores, spaces.Box(-np.inf, np.inf, (3,), np.float32), spaces.Discrete(2)
        )
        scaled = rows * np.float32([unit, 1, 1])
        states = StateDataset.from_arrays(scaled, np.arange(60) // 6, np.zeros(60, int))
        generator = StateGenerator(agent, latent=2)
        generator.fit(states, states, **{**FEW, "epochs": 1})
        weights.append(generator.weights(StateBatch(agent, torch.from_numpy(scaled)))[""])
    torch.testing.assert_close(weights[0], weights[1])


@pytest.mark.parametrize(
    "setting", [{"latent": 4.5}, {"latent": True}, {"lambda_kl": None}, {"codec": 3}]
)
def test_a_setting_of_another_type_is_one_line(dots, setting):
    with pytest.raises(ExplainError, match=f"{next(iter(setting))}=.*: give a "):
        StateGenerator(dots[0], **setting)
