"""VisionMask of vectors, Dict observations and every kind of action finds what the agent reads."""

import functools
import math

import numpy as np
import pytest
import torch
from gymnasium import spaces

from sb3_explain.agents.action_spaces import greedy_targets, group_sizes, log_probabilities
from sb3_explain.envs.spaces import join_keys
from sb3_explain.explainers.learned import losses as loss
from sb3_explain.explainers.learned.networks.keys import KeyMasks
from sb3_explain.explainers.learned.visionmask import VisionMask
from sb3_explain.states.batch import StateBatch
from tests.explainers.kinds import agent_of, states_of
from tests.explainers.known import CORNER, KINDS, SIDE, known_agent, known_states

QUIET = {"precision": "no", "progress": False}


@functools.cache
def fitted(kind, objective="policy"):
    """A VisionMask with default settings, and states that it has not seen."""
    agent = known_agent(kind)
    train, validation, test = known_states(agent, 360).split((0.7, 0.15, 0.15))
    explainer = VisionMask(agent, objective=objective)
    explainer.fit(train, validation, **QUIET)
    return explainer, StateBatch(agent, test.observations(np.arange(len(test))))


def read_by(kind, action):
    """The features that decide about a choice: those of all choices of its sub-action."""
    space, features = KINDS[kind]
    if isinstance(space, spaces.MultiBinary):
        return sorted(features[action // 2])
    if isinstance(space, spaces.Box):
        return sorted(features[action])
    sizes = group_sizes(space)
    group = int(np.searchsorted(np.cumsum(sizes), action, side="right"))
    own = features[sum(sizes[:group]) : sum(sizes[: group + 1])]
    return sorted({feature for score in own for feature in score})


@pytest.mark.parametrize(
    ("kind", "action"),
    [(kind, c) for kind in KINDS for c in range(known_agent(kind).n_targets)],
)
@pytest.mark.parametrize("objective", ["policy", "contrast"])
def test_the_mass_is_on_the_features_that_the_target_depends_on(kind, action, objective):
    explainer, batch = fitted(kind, objective)
    if not isinstance(explainer.agent.action_space, spaces.Box):  # masks of actions that are taken
        taken = greedy_targets(explainer.agent.action_space, batch.own_target_scores)[:, action]
        batch = StateBatch(explainer.agent, batch.observations[taken])
    masks = explainer.attribute_batch(batch.with_target(action))[""]
    assert len(masks) > 10
    assert masks[:, read_by(kind, action)].sum() >= 0.9 * masks.sum()
    assert masks.sum(dim=1).mean() > 0.8  # most of one feature


@pytest.mark.parametrize("objective", ["policy", "contrast"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_action_is_kept(kind, objective):
    explainer, batch = fitted(kind, objective)
    masks, baseline = explainer.attribute_batch(batch)[""], explainer.baseline(batch.observations)
    shown = baseline + masks * (batch.observations - baseline)
    assert batch.keeps(shown).float().mean() >= 0.95
    assert batch.keeps(baseline).float().mean() < 0.8


@pytest.mark.parametrize("objective", ["policy", "contrast"])
def test_the_mass_in_each_key_of_a_dict(objective):
    """The corner for the action that it speaks for, the feature for the other's."""
    agent = known_agent("dict")
    train, validation, test = known_states(agent, 600).split((0.7, 0.15, 0.15))
    explainer = VisionMask(agent, max_area=(CORNER / SIDE) ** 2, objective=objective)
    explainer.fit(train, validation, epochs=6, **QUIET)
    batch = StateBatch(agent, test.observations(np.arange(len(test))))
    attributions = explainer.attribute_batch(batch)
    of_image, of_vector = batch.target == 0, batch.target == 1
    image, vector = attributions["the image"][of_image], attributions["a.b/vector"][of_vector]
    reach = CORNER + 4  # masks come from quarter resolution
    assert image[..., :reach, :reach].sum() >= 0.9 * image.sum()
    if objective == "contrast":
        assert image[..., :CORNER, :CORNER].mean() > 0.4
    else:  # as much of the corner as it takes
        shown, _ = explainer.blend({n: m[:, None] for n, m in attributions.items()}, batch)
        assert batch.keeps({n: each[:, 0] for n, each in shown.items()}).float().mean() >= 0.95
    assert vector[:, 2].sum() >= 0.9 * vector.sum() and vector[:, 2].mean() > 0.7
    if objective == "contrast":  # the feature is not shown where the corner decides
        assert attributions["a.b/vector"][of_image].max() < 0.1
    else:  # of the features only that one, on which the other action's probability rests
        of_features = attributions["a.b/vector"][of_image]
        assert of_features[:, 2].sum() >= 0.8 * of_features.sum()


# --- the loss, state by state ------------------------------------------------------------------


def softmax(z):
    e = np.exp(np.asarray(z) - max(z))
    return e / e.sum()


def masked(explainer, state, masks, action):
    """Eq. 1 and its complement, key by key."""
    seen, left = {}, {}
    for name, pixels in state.items():
        m, r = masks[name][action], explainer.baselines[name](pixels[None])[0]
        seen[name], left[name] = (pixels * m + r * (1 - m))[None], (pixels * (1 - m) + r * m)[None]
    return seen, left


def masks_of(explainer, batch):
    with torch.no_grad():
        return explainer.masks(explainer.network, batch)


@pytest.mark.parametrize("kind", ["discrete", "multi_discrete", "multi_binary"])
@pytest.mark.parametrize("over_masks", [True, False])
def test_losses_of_sub_actions_equal_the_definition_state_by_state(kind, over_masks):
    explainer, batch = fitted(kind)
    agent = explainer.agent
    states = known_states(agent, 5, seed=9)
    other = VisionMask(
        agent,
        entropy_over_masks=over_masks,
        temperature=0.7,
        max_area=0.2,
        objective="contrast",
    )
    other.network, other.baselines = explainer.network, explainer.baselines
    with torch.no_grad():
        ours = other.losses(other.network, states, np.arange(5))
    batch = StateBatch(agent, states.observations(np.arange(5)))
    masks = masks_of(other, batch)[""]
    sizes = group_sizes(agent.action_space)
    contrastive = entropy = 0.0
    for b in range(5):
        state = {"": batch.observations[b]}
        own = batch.own_target_scores[b].tolist()
        first = 0
        for size in sizes:
            z, z_left = np.zeros((size, size)), np.zeros((size, size))
            for i in range(size):
                seen, left = masked(other, state, {"": masks[b]}, first + i)
                alone = StateBatch(agent, seen[""])
                for scores, observed in ((z, seen), (z_left, left)):
                    read = alone.target_scores(observed[""])[0, first : first + size]
                    scores[i] = read.detach().numpy() / 0.7
            a = int(np.argmax(own[first : first + size]))
            row, column = softmax(z[a])[a], softmax(z[:, a])[a]
            contrastive -= (math.log(row) + math.log(column)) / 2 / len(sizes) / 5
            p = np.array([softmax(line) for line in z_left])
            q = np.array([softmax(line) for line in z_left.T]).T
            terms = [(p * np.log(p)).mean()] + [(q * np.log(q)).mean()] * over_masks
            entropy += np.mean(terms) / len(sizes) / 5
            first += size
    assert float(ours["contrastive"]) == pytest.approx(contrastive, abs=1e-5)
    assert float(ours["negative_entropy"]) == pytest.approx(entropy, abs=1e-5)
    means = masks.mean(dim=2)
    area = (means + (means - 0.2).abs()).mean()
    assert float(ours["area"]) == pytest.approx(float(area), abs=1e-6)
    whole = ours["contrastive"] + ours["negative_entropy"] + ours["area"]
    torch.testing.assert_close(ours["loss"], whole)


def divergence(mean, std, own_mean, own_std):
    """KL between two normal distributions, by numerical integration."""
    x = np.linspace(mean - 12 * std, mean + 12 * std, 20001)
    density = np.exp(-0.5 * ((x - mean) / std) ** 2) / std / math.sqrt(2 * math.pi)
    own = -0.5 * ((x - own_mean) / own_std) ** 2 - math.log(own_std)
    ours = -0.5 * ((x - mean) / std) ** 2 - math.log(std)
    return np.trapezoid(density * (ours - own), x)


@pytest.mark.parametrize("kind", ["box", "box_1"])
def test_losses_of_box_actions_equal_the_definition_state_by_state(kind):
    """Deterministic policies of range 2: their deviation is taken for a tenth of it."""
    explainer, _ = fitted(kind, "contrast")
    agent = explainer.agent
    states = known_states(agent, 4, seed=9)
    with torch.no_grad():
        ours = explainer.losses(explainer.network, states, np.arange(4))
    batch = StateBatch(agent, states.observations(np.arange(4)))
    masks = masks_of(explainer, batch)[""]
    n = agent.n_targets
    contrastive = 0.0
    for b in range(4):
        state = {"": batch.observations[b]}
        own = agent.scores(state[""][None])[0].tolist()
        z, z_left = np.zeros((n, n)), np.zeros((n, n))
        for i in range(n):
            for scores, observed in zip(
                (z, z_left), masked(explainer, state, {"": masks[b]}, i), strict=True
            ):
                means = agent.scores(observed[""])[0].tolist()
                for j in range(n):
                    scores[i, j] = -math.log1p(divergence(means[j], 0.2, own[j], 0.2))
        for i in range(n):
            row = softmax(z[i])[i]
            column = softmax([*z[:, i], z_left[i, i]])[i]
            contrastive += -(math.log(row) + math.log(column)) / 2 / n / 4 - z[i, i] / n / 4
    assert float(ours["contrastive"]) == pytest.approx(contrastive, abs=1e-4)


# --- what the agent knows besides its observation ----------------------------------------------


@pytest.mark.parametrize("kind", ["recurrent", "ppo_lstm-shared", "maskable_ppo", "action masks"])
def test_memory_and_action_masks_come_from_the_store_and_are_held(kind):
    agent, states = agent_of(kind), states_of(kind)
    explainer = VisionMask(agent, objective="contrast")
    explainer.fit(states.subset(range(24)), states.subset(range(24, 32)), epochs=2, batch_size=8,
                  **QUIET)  # fmt: skip
    positions = np.arange(6)
    observations, policy_inputs = states.observations(positions), states.policy_inputs(positions)
    assert policy_inputs
    batch = StateBatch(agent, observations, policy_inputs=policy_inputs)
    assert torch.equal(batch.target, torch.from_numpy(states.greedy[:6]))
    masks = masks_of(explainer, batch)
    expected = torch.zeros(())
    for b in range(6):
        held = {name: stored[b : b + 1] for name, stored in policy_inputs.items()}
        by_key = {name: observed[b] for name, observed in batch.by_key.items()}
        rows = []
        for action in range(agent.n_targets):
            seen, _ = masked(explainer, by_key, {n: m[b] for n, m in masks.items()}, action)
            rows.append(agent.scores(join_keys(seen), **held))
        z = torch.cat(rows).detach()
        expected = expected + loss.contrastive(z[None], batch.target[b : b + 1]) / 6
    with torch.no_grad():
        ours = explainer.losses(explainer.network, states, positions)
    torch.testing.assert_close(ours["contrastive"], expected)
    assert all(term.isfinite() for term in ours.values())
    ours = explainer.losses(explainer.network, states, positions)["loss"]
    ours.backward()
    assert all(p.grad.isfinite().all() for p in explainer.network.parameters())
    if "action_masks" in policy_inputs:
        forbidden = policy_inputs["action_masks"].reshape(6, -1) == 0
        assert forbidden.any() and not forbidden[torch.arange(6), batch.target].any()
        assert (
            log_probabilities(agent.action_space, batch.own_target_scores)[forbidden] < -1e7
        ).all()


# --- defaults ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("n_features", "free"), [(1, 1.0), (4, 0.25), (50, 0.1)])
def test_one_feature_is_always_free(n_features, free):
    explainer, _ = fitted("discrete")
    assert explainer.free_area(torch.zeros(2, 3, n_features)) == free


def test_a_vector_alone_is_standardised_as_in_evaluation():
    """A batch of one state, as a process that shares a batch may have it."""
    net = KeyMasks({"image": (1, 16, 16), "vector": (3,)}, n_masks=2, n_frames=1)
    by_key = {"image": torch.rand(8, 1, 16, 16), "vector": torch.randn(8, 3) * 5 + 2}
    net.train()(by_key)
    one = {name: observed[:1] for name, observed in by_key.items()}
    logits = net(one)
    assert logits["vector"].isfinite().all() and logits["image"].isfinite().all()
    assert torch.equal(net.planes(one["vector"]), net.eval().planes(one["vector"]))
