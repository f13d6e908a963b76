"""RISE that stops at a reliability, against the same masks without a stop, and a plain loop."""

from itertools import islice

import numpy as np
import pytest
import torch

from sb3_explain.common.errors import ExplainError
from sb3_explain.common.reliability import bound_reliability
from sb3_explain.explainers.perturbation.rise import CHECK_EVERY, Rise
from sb3_explain.states.batch import StateBatch
from tests.explainers.looking import images, smooth_agent

SHAPE, TARGET = (2, 23, 31), 1


def count_masks(explainer, image, target=TARGET):
    """Masks that one image was given, and its attributions."""
    before = explainer.agent.forwards
    if target is None:
        found = explainer.attribute_all(image[None])
    else:
        found = explainer.attribute(image[None], target)
    return explainer.agent.forwards - before, found


def first_masks(explainer, n_blocks):
    """The same explainer without a stop, of whose masks only the first blocks are there."""
    make_masks = explainer.make_masks
    explainer.make_masks = lambda image, chunk: islice(make_masks(image, chunk), n_blocks)
    return explainer


@pytest.mark.parametrize("variant", ["paper", "centered"])
def test_a_stopped_run_is_the_first_masks_of_one_that_is_not(variant):
    agent, seen = smooth_agent(SHAPE), images(2, SHAPE)
    settings = {"n_masks": 1500, "variant": variant}
    explainer = Rise(agent, **settings, reliability=0.8)
    together = explainer.attribute(seen, TARGET)
    blocks = list(explainer.make_masks(seen, explainer.rows(seen)))
    for one, expected in zip(seen, together, strict=True):
        n_masks, found = count_masks(explainer, one)
        n_blocks = n_masks // len(blocks[0])
        unstopped = first_masks(Rise(agent, **settings), n_blocks)
        assert torch.equal(found, unstopped.attribute(one[None], TARGET))
        assert torch.equal(found[0], expected)

        # every other block is one half; the look before this one did not suffice, and this one does
        masks = [block.double().numpy() for block in blocks[:n_blocks]]
        read = [p_of(agent, one, block) for block in blocks[:n_blocks]]
        bounds = []
        for last in (n_blocks - CHECK_EVERY // len(blocks[0]), n_blocks):
            halves = [
                half_map(np.concatenate(read[k:last:2]), np.concatenate(masks[k:last:2]), variant)
                for k in (0, 1)
            ]
            bounds.append(bound_reliability(*halves, 49))
        assert bounds[0] < 0.8 <= bounds[1]


def p_of(agent, image, masks):
    copies = StateBatch(agent, image * masks)
    return copies.preferences(image * masks, torch.arange(len(masks)))[:, TARGET].double().numpy()


def half_map(p, masks, variant):
    p = p - p.mean() if variant == "centered" else p
    return np.einsum("n,nchw->hw", p, masks).ravel()


def test_all_masks_are_the_limit():
    agent, seen = smooth_agent(SHAPE), images(2, SHAPE)
    before = agent.forwards
    found = Rise(agent, n_masks=600, reliability=0.999).attribute(seen, TARGET)
    assert agent.forwards - before == 2 * 600
    assert torch.equal(found, Rise(agent, n_masks=600).attribute(seen, TARGET))


def test_all_targets_wait_for_the_last():
    agent, (one,) = smooth_agent(SHAPE), images(1, SHAPE)
    explainer = Rise(agent, n_masks=1500, variant="centered", reliability=0.6)
    each = [count_masks(explainer, one, target)[0] for target in range(4)]
    n_masks, every = count_masks(explainer, one, None)
    assert min(each) < max(each) == n_masks
    last = int(np.argmax(each))
    assert torch.equal(every[:, last], explainer.attribute(one[None], last))


@pytest.mark.parametrize("settings", [{"reliability": 1.0}, {"reliability": 0.5, "grid": 1}])
def test_a_reliability_that_is_none_is_one_line(settings):
    with pytest.raises(ExplainError, match="give a reliability between 0 and 1"):
        Rise(smooth_agent(SHAPE), **settings)


def test_a_centered_map_is_the_formula_with_p_less_its_mean():
    agent, (one,) = smooth_agent(SHAPE), images(1, SHAPE)
    explainer = Rise(agent, n_masks=60, keep=0.4, variant="centered")
    masks = torch.cat(list(explainer.make_masks(one[None], 64)))
    p = p_of(agent, one, masks)
    expected = np.einsum("n,nchw->hw", p - p.mean(), masks.double().numpy()) / (60 * 0.4)
    found = explainer.attribute(one[None], TARGET)[0]
    np.testing.assert_allclose(found, np.broadcast_to(expected, found.shape), atol=1e-5)
