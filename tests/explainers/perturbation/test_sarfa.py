"""SARFA against a loop written from its formulas, in the target's own group of actions."""

import numpy as np
import pytest
import torch
from gymnasium import spaces
from scipy.special import softmax
from scipy.stats import entropy
from torch import nn

from sb3_explain.agents.agent import Agent
from sb3_explain.common.errors import ExplainError
from sb3_explain.explainers.perturbation.greydanus import Greydanus
from sb3_explain.explainers.perturbation.sarfa import Sarfa
from sb3_explain.states.batch import StateBatch
from sb3_explain.states.cache import ForwardCache
from tests.explainers.looking import images, region_agent, smooth_agent
from tests.explainers.perturbation import local_blur_loop


def saliency(z, moved, target, direction):
    """The score of one place, from scores of one group of actions."""
    p, q = softmax(z), softmax(moved)
    dp = p[target] - q[target]
    if dp <= 0:
        return 0.0
    rest, moved_rest = (np.delete(x, target) / np.delete(x, target).sum() for x in (p, q))
    if direction == "reverse":
        rest, moved_rest = moved_rest, rest
    K = 1 / (1 + entropy(rest, moved_rest))
    return 2 * K * dp / (K + dp)


def slow(agent, image, target, group, direction="forward", to_group=lambda z: z):
    def read(s):
        return to_group(agent.scores(s)[0].detach().numpy().astype(np.float64)[group])

    z, found = local_blur_loop.outputs(read, image)
    scores = {point: saliency(z, moved, target, direction) for point, moved in found.items()}
    return np.broadcast_to(local_blur_loop.upsample(scores, image.shape[1:]), image.shape)


@pytest.mark.parametrize("direction", ["forward", "reverse"])
def test_it_is_the_formula(direction):
    agent, seen = smooth_agent(), images(2, (2, 23, 31))
    explainer = Sarfa(agent, direction=direction)
    every = explainer.attribute_all(seen)
    assert every.min() == 0 and 0.01 < every.max() <= 1
    for target in range(4):
        expected = np.stack([slow(agent, s, target, slice(0, 4), direction) for s in seen])
        np.testing.assert_allclose(explainer.attribute(seen, target), expected, atol=1e-5)
        np.testing.assert_allclose(every[:, target], expected, atol=1e-5)


def test_the_two_directions_differ():
    agent, seen = smooth_agent(), images(2, (2, 23, 31))
    forward, reverse = (Sarfa(agent, direction=d).attribute(seen) for d in ("forward", "reverse"))
    assert (forward - reverse).abs().max() > 1e-4


def test_sub_actions_are_compared_within_their_group():
    agent, seen = smooth_agent(actions=spaces.MultiDiscrete([3, 2])), images(1, (2, 23, 31))
    for target, group in ((1, slice(0, 3)), (4, slice(3, 5))):
        expected = slow(agent, seen[0], target - group.start, group)
        np.testing.assert_allclose(Sarfa(agent).attribute(seen, target)[0], expected, atol=1e-5)


def test_bits_are_off_or_on():
    agent, seen = smooth_agent(actions=spaces.MultiBinary(2)), images(1, (2, 23, 31))
    for target in range(4):
        # softmax(0, z) is the probability of a bit of logit z
        group = slice(target // 2, target // 2 + 1)
        expected = slow(agent, seen[0], target % 2, group, to_group=lambda z: np.array([0.0, z[0]]))
        np.testing.assert_allclose(Sarfa(agent).attribute(seen, target)[0], expected, atol=1e-5)


def test_forbidden_actions_do_not_count():
    """With action masks, it is as if the forbidden actions were not there."""
    agent, seen = smooth_agent(), images(2, (2, 23, 31))
    policy_inputs = {"action_masks": torch.tensor([[1, 0, 1, 1], [1, 0, 1, 1]])}
    attributions = Sarfa(agent).attribute(seen, 2, policy_inputs=policy_inputs)
    expected = np.stack([slow(agent, s, 1, [0, 2, 3]) for s in seen])
    np.testing.assert_allclose(attributions, expected, atol=1e-5)
    alone = {"action_masks": torch.tensor([[0, 0, 1, 0]] * 2)}
    assert not Sarfa(agent).attribute(seen, 2, policy_inputs=alone).any()


def test_an_only_action_has_no_saliency():
    agent = smooth_agent(actions=spaces.Discrete(1))
    assert not Sarfa(agent).attribute(images(1, (2, 23, 31))).any()


def test_it_shares_the_passes_of_greydanus():
    agent, seen = smooth_agent(), images(3, (2, 23, 31))
    batch = StateBatch(agent, seen, target=0, cache=ForwardCache())
    greydanus, sarfa = Greydanus(agent), Sarfa(agent)
    greydanus.attribute_batch(batch)
    assert agent.forwards == 3 * greydanus.forwards_per_state
    shared = sarfa.attribute_batch(batch)[""]
    assert agent.forwards == 3 * greydanus.forwards_per_state
    assert batch.cache.saved.forwards == 3 * sarfa.forwards_per_state
    torch.testing.assert_close(shared, sarfa.attribute(seen, 0))
    Sarfa(agent, radius=4.0).attribute_batch(batch)
    assert agent.forwards == 9 * greydanus.forwards_per_state


def test_whom_it_cannot_serve():
    image = spaces.Box(0, 255, (2, 23, 31), np.uint8)
    layers = nn.Sequential(nn.Flatten(), nn.Linear(2 * 23 * 31, 2))
    driver = Agent.from_module(layers, image, spaces.Box(-1, 1, (2,)))
    with pytest.raises(ExplainError, match=r"sarfa does not support this agent: .*\(Box\)"):
        Sarfa(driver)
    blind = Agent.from_module(nn.Linear(3, 2), spaces.Box(-1, 1, (3,)), spaces.Discrete(2))
    with pytest.raises(ExplainError, match="observes none"):
        Sarfa(blind)
    with pytest.raises(ExplainError, match="unknown direction 'backward'"):
        Sarfa(region_agent(), direction="backward")
