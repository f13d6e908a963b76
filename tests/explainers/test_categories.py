"""Categories, tokens, bits and masks are never blended: they stay, or become other valid ones."""

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn
from torch.nn import functional as F

from sb3_explain import Agent, StateBatch, StateDataset, evaluate, fit_baselines, list_explainers
from sb3_explain.common.errors import ExplainError
from sb3_explain.explainers import EXPLAINERS
from sb3_explain.states.blends import blend_states
from tests.explainers.kinds import quick

TOKENS = spaces.Box(0, 12, (4,), np.int64)
SPACE = spaces.Dict(
    action_mask=spaces.Box(0, 1, (3,), np.int8),
    bits=spaces.MultiBinary(2),
    counts=spaces.Box(0, 9, (2,), np.int32),
    kind=spaces.Discrete(5),
    mixed=spaces.Box(np.float32([-1, 0, -1]), np.float32([1, 6, 1])),
    pair=spaces.MultiDiscrete([3, 4]),
    speed=spaces.Box(-2, 2, (2,), np.float32),
    tokens=TOKENS,
)
HELD = {
    "action_mask": [True] * 3,
    "bits": [True] * 2,
    "counts": [False] * 2,
    "kind": True,
    "mixed": [False, True, False],
    "pair": [True] * 2,
    "speed": [False] * 2,
    "tokens": [True] * 4,
}


class Reading(nn.Module):
    """Reads every key, and records the values that are categories."""

    def __init__(self):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.table, self.small = nn.Embedding(13, 3), nn.Embedding(7, 2)
            self.out = nn.Linear(2 + 2 + 5 + 2 + 2 + 2 + 2 + 12, 3)
        self.seen: dict[str, list[torch.Tensor]] = {}

    def forward(self, observations):
        for key in ("action_mask", "bits", "kind", "pair", "tokens"):
            self.seen.setdefault(key, []).append(observations[key].detach())
        self.seen.setdefault("mixed", []).append(observations["mixed"].detach()[:, 1])
        parts = [
            observations["bits"].float(),
            observations["counts"].float() / 9,
            F.one_hot(observations["kind"].long(), 5).float(),
            self.small(observations["mixed"][:, 1].long()),
            observations["mixed"][:, [0, 2]],
            observations["pair"].float(),
            observations["speed"],
            self.table(observations["tokens"].long()).flatten(1),
        ]
        scores = self.out(torch.cat(parts, dim=1))
        return scores.masked_fill(observations["action_mask"] == 0, -1e8)


@pytest.fixture(scope="module")
def agent():
    return Agent.from_module(Reading(), SPACE, spaces.Discrete(3))


@pytest.fixture(scope="module")
def states(agent):
    return sampled_states(agent, SPACE)


def sampled_states(agent, space, n=32):
    space.seed(0)
    samples = [space.sample() for _ in range(n)]
    if isinstance(space, spaces.Dict):
        for sample in samples:
            sample["mixed"][1] = np.floor(sample["mixed"][1])
            sample["action_mask"][0] = 1
        frames = {k: torch.from_numpy(np.stack([s[k] for s in samples])) for k in space}
    else:
        frames = {"": torch.from_numpy(np.stack(samples))}
    columns = {"episode": np.arange(n) // 4, "greedy": np.zeros(n, np.int64)}
    states = StateDataset(frames, columns, np.ones(n, bool))
    columns["greedy"] = agent.greedy(states.observations(range(n))).numpy()
    return StateDataset(frames, columns, np.ones(n, bool))


def test_which_features_are_held(agent):
    assert {key: held.tolist() for key, held in agent.categories.held.items()} == HELD
    looked_up = {key: each.tolist() for key, each in agent.categories.looked_up.items()}
    assert looked_up == {
        **HELD, "action_mask": [False] * 3, "bits": [False] * 2,
    }  # fmt: skip


@pytest.mark.parametrize("name", EXPLAINERS)
def test_nothing_shows_the_agent_a_category_that_is_none(name, agent, states):
    if EXPLAINERS[name].unsupported(agent) is not None:
        assert name in ("greydanus", "occlusion", "rise", "sarfa", "ssinet", "grad_cam", "sgqn",
                        "guided_grad_cam", "guided_backprop")  # fmt: skip
        return
    explainer = quick(name, agent, states, n_samples=200)
    agent.view.policy.seen.clear()
    found = explainer.attribute(states.observations(range(4)))
    assert all(attributions.isfinite().all() for attributions in found.values())
    for key, seen in agent.view.policy.seen.items():
        values = torch.cat([part.reshape(len(part), -1) for part in seen])
        assert torch.equal(values, values.round()), key
        space = spaces.Box(0, 6, (1,)) if key == "mixed" else SPACE[key]
        high = torch.as_tensor(
            getattr(space, "high", None) if isinstance(space, spaces.Box) else
            space.n - 1 if isinstance(space, spaces.Discrete) else
            getattr(space, "nvec", np.array([2, 2])) - 1
        )  # fmt: skip
        assert bool((values >= 0).all() and (values <= high).all()), key


def test_gradients_of_what_is_looked_up_are_zero(agent, states):
    observations = states.observations(range(4))
    for name in ("gradient", "input_x_gradient", "smoothgrad", "integrated_gradients"):
        found = quick(name, agent, states).attribute(observations)
        for key in ("kind", "tokens"):
            assert not found[key].any(), (name, key)
        assert not found["mixed"][:, 1].any() and found["mixed"][:, [0, 2]].any()
        assert found["speed"].any() and found["counts"].any()
    for name in ("smoothgrad", "visionmask", "stalder"):
        found = quick(name, agent, states).attribute(observations)
        assert name == "smoothgrad" or not found["bits"].any()
    # a learned mask never hides what it cannot blend
    masks = quick("visionmask", agent, states)
    shown = masks.to_masks(StateBatch.flatten_keys(masks.attribute(observations)))
    held = StateBatch(agent, observations).held
    assert bool((shown[:, held] == 1).all())


def test_integrated_gradients_still_add_up(agent, states):
    explainer = quick("integrated_gradients", agent, states, n_steps=50)
    assert explainer.convergence_delta(states.observations(range(6)), 0).abs().max() < 1e-3


@pytest.mark.parametrize("metric", ["max_sensitivity", "local_lipschitz"])
def test_noise_of_metrics_leaves_categories(metric, agent, states):
    agent.view.policy.seen.clear()
    done = evaluate(agent, states, [], [metric], n_resamples=10)
    assert np.isfinite(done.values["gradient"][metric]).all()
    observed = states.observations(range(len(states)))
    for key in ("kind", "tokens", "bits", "pair", "action_mask"):
        known = {tuple(row) for row in observed[key].reshape(len(states), -1).tolist()}
        seen = torch.cat(agent.view.policy.seen[key]).reshape(-1, len(next(iter(known))))
        assert {tuple(row) for row in seen.long().tolist()} <= known
        assert torch.equal(seen, seen.round())


def test_local_lipschitz_counts_the_noise_that_there_is():
    """An agent of one number and a token: the distance of neighbours is that of the number."""

    class Linear(nn.Module):
        def forward(self, x):
            row = F.one_hot(x[:, 1].long(), 4).float()
            return torch.stack([x[:, 0].square(), row.sum(dim=1)], dim=1)

    space = spaces.Box(np.float32([-1, 0]), np.float32([1, 3]))
    agent = Agent.from_module(Linear(), space, spaces.Discrete(2))
    vectors = np.array([[0.5, 2], [0.6, 1]] * 4, dtype=np.float32)
    states = StateDataset.from_arrays(vectors, np.arange(8) // 2, np.zeros(8, np.int64))
    done = evaluate(agent, states, [], {"local_lipschitz": {"sigma": 0.01}}, n_resamples=10)
    # |d x^2 / dx| = |2 x| changes by 2 dx; observations are scaled by their range 2
    greedy = agent.greedy(states.observations(range(8)))
    assert (greedy == 1).all()  # the other target's gradient is 0
    assert not done.values["gradient"]["local_lipschitz"].any()
    batch = StateBatch(agent, states.observations(range(8)), 0)
    from sb3_explain.evaluation.metrics.local_lipschitz import local_lipschitz

    gradient = EXPLAINERS["gradient"](agent)
    found = local_lipschitz(
        batch, gradient, gradient.attribute_batch(batch)[""], np.random.default_rng(0), sigma=0.01
    )
    torch.testing.assert_close(found, torch.full((8,), 4.0), rtol=1e-3, atol=0)


def test_baselines_of_categories_are_valid(agent, states):
    observations = states.observations(range(5))
    for name in ("mean", "below", "background", "black", "most_frequent", "blur"):
        baselines = fit_baselines(name, states, agent)
        for key in ("kind", "tokens", "pair", "bits"):
            replaced = baselines[key](observations[key].float())
            frames = states.stored_by_key(range(len(states)))[key]
            if name != "black":
                expected = frames.mode(dim=0).values.float().expand(replaced.shape)
                torch.testing.assert_close(replaced, expected)
            assert torch.equal(replaced, replaced.round())
        assert not torch.equal(
            baselines["mixed"](observations["mixed"]), observations["mixed"]
        )  # fmt: skip
    third = fit_baselines(lambda observed: observed * 0 + 1 / 3, states, agent)
    assert not third["tokens"](observations["tokens"].float()).any()
    torch.testing.assert_close(third["speed"](observations["speed"]), torch.full((5, 2), 1 / 3))


def test_blends_show_a_category_or_its_baseline(agent, states):
    batch = StateBatch(agent, states.observations(range(6)))
    baseline = torch.zeros_like(batch.observations)
    for share in (0.1, 0.49, 0.5, 0.9):
        masks = torch.full_like(baseline, share)
        blended = blend_states(batch, masks, baseline)
        shown = batch.observations[:, batch.held] * (share >= 0.5)
        assert torch.equal(blended[:, batch.held], shown)
        free = batch.observations[:, ~batch.held] * share
        torch.testing.assert_close(blended[:, ~batch.held], free)


@pytest.mark.parametrize(
    ("space", "net", "gradient"),
    [
        (spaces.Discrete(5), nn.Embedding(5, 2), False),
        (TOKENS, nn.Sequential(nn.Embedding(13, 1), nn.Flatten(), nn.Linear(4, 2)), False),
        (spaces.MultiBinary(4), nn.Linear(4, 2), True),
    ],
    ids=["category", "tokens", "bits"],
)
def test_methods_refuse_if_nothing_is_left(space, net, gradient):
    class Cast(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = net

        def forward(self, x):
            return self.net(x.float() if gradient else x.long())

    agent = Agent.from_module(Cast(), space, spaces.Discrete(2))
    assert ("gradient" in list_explainers(agent)) is gradient
    for name in ("smoothgrad", "integrated_gradients", "visionmask", "stalder"):
        with pytest.raises(ExplainError, match=r"it needs .*; feature_ablation does"):
            EXPLAINERS[name](agent)
    states = sampled_states(agent, space)
    for name in ("feature_ablation", "kernel_shap", "lime"):
        found = quick(name, agent, states).attribute(states.observations(range(3)))
        assert found.isfinite().all()
    done = evaluate(agent, states, [EXPLAINERS["feature_ablation"](agent)], n_resamples=10)
    row = done.rows["feature_ablation"]
    assert not row.failures and np.isnan(row.values["max_sensitivity"]).all()
    assert np.isfinite(row.values["deletion"]).all()


def test_positions_that_are_looked_up_are_no_tokens():
    """An embedding of places is the same for all observations."""

    class Placed(nn.Module):
        def __init__(self):
            super().__init__()
            self.places, self.out = nn.Embedding(5, 1), nn.Linear(5, 2)

        def forward(self, x):
            return self.out(x + self.places(torch.arange(5)).T)

    agent = Agent.from_module(Placed(), spaces.Box(-1, 1, (5,)), spaces.Discrete(2))
    assert not agent.categories.held[""].any()


def test_finding_them_changes_nothing_random():
    state = torch.get_rng_state()
    agent = Agent.from_module(Reading(), SPACE, spaces.Discrete(3))
    forwards = agent.forwards
    assert agent.categories.held["tokens"].all()
    assert torch.equal(torch.get_rng_state(), state) and agent.forwards == forwards


def test_a_grid_of_tokens_is_no_picture():
    """Objects of a grid world have the space of an image, and are looked up in a table."""

    class Grid(nn.Module):
        def __init__(self, read):
            super().__init__()
            self.table, self.out, self.read = nn.Embedding(256, 2), nn.Linear(50, 2), read

        def forward(self, grid):
            looked_up = self.table(grid.long()).flatten(1) if self.read else grid.flatten(1) / 255
            return self.out(looked_up if self.read else looked_up.repeat(1, 2))

    space = spaces.Box(0, 255, (1, 5, 5), np.uint8)
    tokens, pixels = (
        Agent.from_module(Grid(read), space, spaces.Discrete(2)) for read in (True, False)
    )
    assert tokens.layout.pictures == {} and list(pixels.layout.pictures) == [""]
    assert EXPLAINERS["greydanus"].unsupported(tokens) and "kernel_shap" in list_explainers(tokens)
