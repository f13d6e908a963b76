"""What the perturbation explainers have in common: any image, any agent, known pixels, passes."""

import numpy as np
import pytest
import torch
from gymnasium import spaces
from sb3_contrib import MaskablePPO, RecurrentPPO
from stable_baselines3 import PPO

from sb3_explain.agents.agent import Agent
from sb3_explain.common.errors import ExplainError
from sb3_explain.explainers.perturbation.greydanus import Greydanus
from sb3_explain.explainers.perturbation.lime import Lime
from sb3_explain.explainers.perturbation.occlusion import Occlusion
from sb3_explain.explainers.perturbation.rise import Rise
from sb3_explain.explainers.perturbation.sarfa import Sarfa
from sb3_explain.states.batch import StateBatch
from tests.agents.loading.models import (
    IMAGE,
    LSTM,
    MIXED,
    ON_POLICY,
    ONE_OF_FOUR,
    TINY_CNN,
    Case,
    make_model,
)
from tests.explainers.known import SIDE, known_agent, known_states
from tests.explainers.looking import REGION, images, region_agent, smooth_agent

FAST = {Rise: {"n_masks": 70}, Lime: {"n_samples": 60}}
ALL = [Greydanus, Sarfa, Occlusion, Rise, Lime]
OF_IMAGES = [Greydanus, Sarfa, Occlusion, Rise]


def make(method, agent, **settings):
    return method(agent, **FAST.get(method, {}), **settings)


@pytest.fixture(scope="module")
def models():
    """An agent of Dict observations, one with a lstm_states, and one with action masks."""
    recurrent = {**LSTM, **TINY_CNN}
    cases = {
        "dict": Case("ppo", PPO, MIXED, ONE_OF_FOUR, {}, "MultiInputPolicy", ON_POLICY),
        "lstm": Case("ppo_lstm", RecurrentPPO, IMAGE, ONE_OF_FOUR, recurrent, "CnnLstmPolicy"),
        "masked": Case(
            "maskable_ppo", MaskablePPO, IMAGE, ONE_OF_FOUR, TINY_CNN, "CnnPolicy", ON_POLICY
        ),
    }
    return {name: Agent.from_model(make_model(case)) for name, case in cases.items()}


@pytest.mark.parametrize("method", ALL)
@pytest.mark.parametrize(
    ("shape", "n_stack"), [((1, 23, 31), 1), ((3, 20, 17), 1), ((6, 11, 40), 2), ((4, 84, 84), 4)]
)
def test_images_of_any_size_and_stack(method, shape, n_stack):
    agent, seen = smooth_agent(shape, n_stack=n_stack), images(3, shape)
    explainer = make(method, agent)
    attributions = explainer.attribute(seen)
    assert (
        attributions.shape == seen.shape
        and attributions.dtype == torch.float32
        and attributions.isfinite().all()
    )
    assert attributions.abs().max() > 0
    # a pixel is perturbed in all channels of all frames at once
    assert torch.equal(attributions, attributions[:, :1].expand_as(attributions))


@pytest.mark.parametrize("method", ALL)
@pytest.mark.parametrize("shape", [(2, 23, 31), (2, 84, 84)])
def test_passes_are_those_that_are_stated(method, shape):
    agent = smooth_agent(shape)
    explainer = make(method, agent)
    for n in (1, 3, 5):
        before = agent.forwards
        explainer.attribute_batch(StateBatch(agent, images(n, shape), target=1))
        assert agent.forwards - before == n * explainer.forwards_per_state
    before = agent.forwards
    explainer.attribute_all(images(2, shape))
    assert agent.forwards - before <= 2 * (explainer.forwards_per_state + 1)


@pytest.mark.parametrize("method", [Rise, Occlusion, Lime, Greydanus])
def test_box_actions(method):
    agent = smooth_agent(actions=spaces.Box(-9, 9, (3,)))
    explainer, seen = make(method, agent), images(2, (2, 23, 31))
    before = agent.forwards
    attributions = explainer.attribute(seen, 2)
    assert agent.forwards - before == 2 * explainer.forwards_per_state
    assert attributions.isfinite().all() and attributions.std() > 0


@pytest.mark.parametrize("method", ALL)
def test_less_memory_gives_the_same_maps(method):
    agent, seen = smooth_agent(), images(4, (2, 23, 31))
    small = make(method, agent, max_batch_bytes=7 * 4 * seen[0].numel())
    read, scores = [], agent.scores
    agent.scores = lambda rows, **policy_inputs: (
        read.append(len(rows)) or scores(rows, **policy_inputs)
    )
    parts = small.attribute_all(seen)
    del agent.scores
    # the target is found by a pass of all states
    assert max(read[1:]) <= 7
    torch.testing.assert_close(parts, make(method, agent).attribute_all(seen), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("method", ALL)
def test_maps_of_all_targets_are_those_of_each(method):
    agent, seen = smooth_agent(), images(3, (2, 23, 31))
    explainer = make(method, agent)
    every = explainer.attribute_all(seen)
    for action in range(4):
        torch.testing.assert_close(every[:, action], explainer.attribute(seen, action))
    if method is Greydanus:
        assert torch.equal(every, every[:, :1].expand_as(every))


@pytest.mark.parametrize("method", ALL)
def test_a_map_does_not_depend_on_its_batch(method):
    agent, seen = smooth_agent(), images(3, (2, 23, 31))
    explainer = make(method, agent)
    together = explainer.attribute(seen, torch.tensor([2, 0, 1]))
    for state, target, expected in zip(seen, (2, 0, 1), together, strict=True):
        alone = explainer.attribute(state[None], target)[0]
        torch.testing.assert_close(alone, expected, atol=1e-6, rtol=1e-5)


# --- other keys and policy_inputs are held ------------------------------------------------


@pytest.mark.parametrize("method", OF_IMAGES)
def test_other_keys_are_held_and_get_nothing(method, models):
    agent = models["dict"]
    seen = {
        "image": images(3, (1, 36, 36)),
        "kind": torch.tensor([0.0, 2.0, 1.0]),
        "vector": torch.linspace(-1, 1, 12).reshape(3, 4),
    }
    explainer = make(method, agent)
    before = agent.forwards
    attributions = explainer.attribute(seen, 1)
    assert agent.forwards - before == 3 * explainer.forwards_per_state
    assert {name: part.shape for name, part in attributions.items()} == {
        n: e.shape for n, e in seen.items()
    }
    assert (
        attributions["image"].std() > 0
        and not attributions["vector"].any()
        and not attributions["kind"].any()
    )
    other = {**seen, "vector": seen["vector"].flip(0)}
    assert not torch.allclose(explainer.attribute(other, 1)["image"], attributions["image"])
    every = explainer.attribute_all(seen)
    torch.testing.assert_close(every["image"][:, 1], attributions["image"])
    assert every["vector"].shape == (3, 4, 4) and not every["vector"].any()


def test_lime_explains_every_key(models):
    agent = models["dict"]
    seen = {
        "image": images(2, (1, 36, 36)),
        "kind": torch.tensor([2.0, 1.0]),
        "vector": torch.tensor([[1.0, 0.2, -1.0, 0.5]] * 2),
    }
    attributions = make(Lime, agent).attribute(seen, 1)
    assert {name: part.shape for name, part in attributions.items()} == {
        n: e.shape for n, e in seen.items()
    }
    assert all(part.abs().max() > 1e-6 for part in attributions.values())


def test_lime_finds_the_feature_and_the_corner_that_a_dict_agent_reads():
    agent = known_agent("dict")
    seen = known_states(agent, 12).observations(range(12))
    squares = np.arange(16).reshape(4, 4).repeat(4, axis=0).repeat(4, axis=1)
    attributions = Lime(agent, segments=lambda picture: squares).attribute_all(seen)
    feature, corner = attributions["a.b/vector"][:, 1].abs(), attributions["the image"][:, 0].abs()
    assert (feature[:, 2] / feature.sum(dim=1)).min() >= 0.9
    assert (corner[..., :4, :4].sum(dim=(1, 2, 3)) / corner.sum(dim=(1, 2, 3))).min() >= 0.9


@pytest.mark.parametrize("method", ALL)
def test_the_memory_of_a_recurrent_agent_is_held(method, models):
    agent, seen = models["lstm"], images(3, IMAGE.shape)
    lstm_states = agent.initial_lstm_states(3)
    lstm_states = 2 * torch.randn(lstm_states.shape, generator=torch.Generator().manual_seed(0))
    explainer = make(method, agent)
    attributions = explainer.attribute(seen, 1, policy_inputs={"lstm_states": lstm_states})
    assert attributions.std() > 0
    for i in range(3):
        alone = explainer.attribute(
            seen[i : i + 1], 1, policy_inputs={"lstm_states": lstm_states[i : i + 1]}
        )
        torch.testing.assert_close(alone[0], attributions[i], atol=1e-6, rtol=1e-4)
    assert not torch.allclose(explainer.attribute(seen, 1), attributions, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("method", [Sarfa, Rise, Lime])
def test_forbidden_actions_stay_forbidden(method, models):
    agent, seen = models["masked"], images(2, IMAGE.shape)
    masks = torch.tensor([[1, 1, 0, 1], [0, 1, 0, 1]])
    every = make(method, agent).attribute_all(seen, policy_inputs={"action_masks": masks})
    assert every.isfinite().all()
    assert every[:, 2].abs().max() < 1e-6 and every[1, 0].abs().max() < 1e-6
    assert every[:, 1].abs().amax(dim=(1, 2, 3)).min() > 1e-4
    free = make(method, agent).attribute_all(seen)
    assert not torch.allclose(free[:, 1], every[:, 1], atol=1e-6, rtol=1e-4)


# --- known pixels ----------------------------------------------------------------------


def widened(margin):
    """(84, 84) 1 on the region that the agent looks at and ``margin`` pixels around."""
    inside = torch.zeros(84, 84)
    rows, columns = (slice(max(0, side.start - margin), side.stop + margin) for side in REGION)
    inside[rows, columns] = 1
    return inside


def share(attributions, inside):
    return (attributions.abs() * inside).sum(dim=(1, 2, 3)) / attributions.abs().sum(dim=(1, 2, 3))


#: the standard deviation of a gaussian with the stride of the grid, or the side of a patch
@pytest.mark.parametrize(("method", "margin"), [(Greydanus, 10), (Sarfa, 10), (Occlusion, 5)])
def test_the_mass_is_where_the_agent_looks(method, margin):
    agent = region_agent()
    attributions = method(agent).attribute(images(5, (2, 84, 84)))
    assert share(attributions, widened(margin)).min() >= 0.9


def test_limes_mass_is_where_the_agent_looks():
    """In the superpixels that reach into the region, of an agent that is nearly linear."""
    agent, seen = region_agent(gain=0.5), images(5, (2, 84, 84))
    explainer = Lime(agent)
    region = widened(0)
    for state, attributions in zip(seen, explainer.attribute(seen), strict=True):
        parts = explainer.find_superpixels("", state)[0]
        reached = torch.isin(parts, parts[region == 1].unique()).float()
        assert reached.mean() < 0.2
        assert share(attributions[None], reached).item() >= 0.9


def test_rises_highest_pixels_are_where_the_agent_looks():
    """Everywhere else its map is the mean probability, so that mass means nothing."""
    agent, seen = region_agent(), images(5, (2, 84, 84))
    attributions = Rise(agent).attribute(seen)[:, :1]
    n_pixels = int(widened(0).sum())
    lowest = attributions.flatten(1).sort(dim=1, descending=True).values[:, n_pixels - 1]
    highest = (attributions >= lowest[:, None, None, None]).float()
    # a cell of the masks is 12 pixels wide
    assert share(highest, widened(12)).min() >= 0.9


@pytest.mark.parametrize("method", [Greydanus, Sarfa, Occlusion])
def test_the_corner_that_a_dict_agent_reads(method):
    agent = known_agent("dict")
    seen = known_states(agent, 12).observations(range(12))
    attributions = method(agent, **({"stride": 2} if method is not Occlusion else {})).attribute(
        seen, 0
    )
    assert not attributions["a.b/vector"].any()
    inside = torch.zeros(SIDE, SIDE)
    inside[:14, :14] = 1
    mass = attributions["the image"].abs().sum(dim=(1, 2, 3))
    assert (share(attributions["the image"], inside)[mass > 0] >= 0.9).all() and (mass > 0).any()


@pytest.mark.parametrize("method", OF_IMAGES)
def test_agents_without_images_are_told(method):
    with pytest.raises(ExplainError, match=f"{method.name} does not support .* observes none"):
        method(known_agent("discrete"))


@pytest.mark.parametrize("method", ALL)
def test_nothing_is_changed_or_drawn(method):
    agent, seen = smooth_agent(), images(2, (2, 23, 31))
    fingerprint, before = agent.fingerprint(), seen.clone()
    state = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    first = make(method, agent).attribute(seen, 0)
    assert torch.equal(first, make(method, agent).attribute(seen, 0))
    assert torch.equal(torch.get_rng_state(), state[0])
    assert np.array_equal(np.random.get_state()[1], state[1])  # noqa: NPY002
    assert agent.fingerprint() == fingerprint and torch.equal(seen, before)
    assert not first.requires_grad
