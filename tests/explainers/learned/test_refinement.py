"""Refinement by itself: each state goes its own way, and the network is passed once."""

import functools

import numpy as np
import pytest
import torch

from sb3_explain.explainers.learned.objectives.patch_masks import average_patches
from sb3_explain.explainers.learned.objectives.refinement import AT_ONCE, COPIES, refine
from sb3_explain.explainers.learned.visionmask import VisionMask
from tests.explainers.known import known_agent, known_states
from tests.toys import dot_agent, dot_states

DOTS = dot_agent()
STATES = dot_states(DOTS, 80)


@functools.cache
def ready(**settings):
    """A VisionMask whose network has its first weights; all that refinement asks for."""
    explainer = VisionMask(DOTS, baseline="black", **settings)
    explainer.fit(STATES.subset(range(60)), STATES.subset(range(60, 80)), epochs=1,
                  precision="no", progress=False)  # fmt: skip
    return explainer


def test_no_step_leaves_the_network_s_own_masks():
    explainer = ready(refine_steps=0)
    batch = STATES.batch(DOTS, np.arange(4))
    (found,) = refine(explainer, batch)
    torch.testing.assert_close(found[""], explainer.attribute_batch(batch)[""])


def test_a_state_s_mask_does_not_depend_on_the_states_beside_it():
    explainer = ready(refine_steps=3)
    n = AT_ONCE + 3
    together = explainer.attribute_batch(STATES.batch(DOTS, np.arange(n)))[""]
    for position in (0, AT_ONCE - 1, AT_ONCE, n - 1):
        alone = explainer.attribute_batch(STATES.batch(DOTS, [position]))[""][0]
        torch.testing.assert_close(together[position], alone, atol=1e-4, rtol=1e-3)


def test_the_network_is_passed_once_whatever_the_number_of_targets():
    explainer = ready(refine_steps=2)
    passed = []
    hook = explainer.network.register_forward_hook(lambda *_: passed.append(1))
    before = DOTS.forwards
    explainer.attribute_all(STATES.observations(np.arange(5)))
    hook.remove()
    assert len(passed) == 1
    # the states and what is hidden of them once, and the copies of each step for each of 3 targets
    assert DOTS.forwards - before == 5 * (2 + 3 * 2 * COPIES)


def test_targets_one_after_the_other_are_those_of_each_by_itself():
    explainer = ready(refine_steps=3)
    batch = STATES.batch(DOTS, np.arange(4))
    targets = [torch.full((4,), target) for target in range(3)]
    every = refine(explainer, batch, targets)
    for target, found in enumerate(every):
        (alone,) = refine(explainer, batch.with_target(target))
        assert torch.equal(found[""], alone[""])


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_it_has_gradients_whatever_its_caller_has_switched_off(mode):
    explainer = ready(refine_steps=3)
    batch = STATES.batch(DOTS, np.arange(3))
    (expected,) = refine(explainer, batch)
    with mode():
        (found,) = refine(explainer, STATES.batch(DOTS, np.arange(3)))
    assert torch.equal(found[""], expected[""])
    assert all(parameter.grad is None for parameter in explainer.network.parameters())


def test_what_is_added_varies_from_patch_to_patch():
    """The masks' logits less the network's are means of patches, connected linearly."""
    steps, own = ready(refine_steps=3, patch_size=6), ready(refine_steps=0, patch_size=6)
    batch = STATES.batch(DOTS, np.arange(3))
    logits = [torch.logit(one.attribute_batch(batch)[""].double()) for one in (steps, own)]
    added = (logits[0] - logits[1])[:, :1]
    assert added.abs().max() > 0.1
    corner = added[..., :3, :3]  # nearer to the border than the first patch's center: one number
    torch.testing.assert_close(corner, corner[..., :1, :1].expand_as(corner), atol=1e-2, rtol=1e-2)
    assert average_patches(added[:, None].float(), 6).shape == (3, 1, 1, 24, 24)


def test_features_that_may_not_be_hidden_stay_so():
    explainer = ready(refine_steps=3, content=(4, 6, 10, 12))
    found = explainer.attribute_batch(STATES.batch(DOTS, np.arange(3)))[""]
    inside = torch.zeros(24, 24, dtype=torch.bool)
    inside[4:14, 6:18] = True
    assert (found[..., ~inside] == 0).all() and (found[..., inside] > 0).all()


def test_steps_lower_the_loss_of_vectors():
    agent = known_agent("discrete")
    states = known_states(agent, 200)
    explainer = VisionMask(agent, max_area=0.25, refine_steps=40)
    explainer.fit(states.subset(range(150)), states.subset(range(150, 200)), epochs=1,
                  precision="no", progress=False)  # fmt: skip
    batch = states.batch(agent, np.arange(30))
    (found,) = refine(explainer, batch)
    read = found[""][:, [0, 1]].mean()  # the actions read these two features
    assert read > 2 * found[""][:, 2:].mean()
