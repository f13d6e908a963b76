"""Occlusion against Captum's."""

import captum.attr
import pytest
import torch
from gymnasium import spaces

from sb3_explain.common.errors import ExplainError
from sb3_explain.explainers.perturbation.occlusion import Occlusion
from sb3_explain.states.dataset import StateDataset
from tests.explainers.looking import images, smooth_agent


def captum_attributions(agent, seen, target, patch, stride, baseline=0):
    window = (seen.shape[1], patch, patch)
    return captum.attr.Occlusion(agent.scores).attribute(
        seen,
        sliding_window_shapes=window,
        strides=(1, stride, stride),
        baselines=baseline,
        target=target,
        perturbations_per_eval=8,
    )


@pytest.mark.parametrize(
    ("shape", "patch", "stride"),
    [((2, 23, 31), 5, 5), ((3, 20, 30), 5, 5), ((1, 17, 24), 6, 4), ((4, 21, 13), 3, 1)],
)
def test_it_is_captums(shape, patch, stride):
    agent, seen, target = smooth_agent(shape), images(2, shape), torch.tensor([3, 1])
    ours = Occlusion(agent, patch=patch, stride=stride).attribute(seen, target)
    theirs = captum_attributions(agent, seen, target, patch, stride)
    assert theirs.abs().max() > 0.1
    torch.testing.assert_close(ours, theirs.float(), atol=1e-5, rtol=1e-5)


def test_another_baseline_is_captums_baseline():
    agent, seen = smooth_agent(), images(2, (2, 23, 31))
    baseline = seen.flip(3) * 0.3
    ours = Occlusion(agent, patch=4, stride=3, baseline=lambda s: s.flip(3) * 0.3)
    theirs = captum_attributions(agent, seen, 2, 4, 3, baseline).float()
    torch.testing.assert_close(ours.attribute(seen, 2), theirs, atol=1e-5, rtol=1e-5)


def test_a_baseline_is_fitted_on_states():
    agent, seen = smooth_agent(), images(2, (2, 23, 31))
    frames = torch.full((5, 2, 23, 31), 90, dtype=torch.uint8)
    states = StateDataset.from_arrays(frames, torch.zeros(5), torch.zeros(5))
    fitted = Occlusion(agent, baseline="background", states=states)
    theirs = captum_attributions(agent, seen, 2, 5, 5, 90).float()
    torch.testing.assert_close(fitted.attribute(seen, 2), theirs, atol=1e-5, rtol=1e-5)


def test_a_bit_that_is_off_falls_where_one_that_is_on_rises():
    agent, seen = smooth_agent(actions=spaces.MultiBinary(2)), images(1, (2, 23, 31))
    attributions = Occlusion(agent).attribute_all(seen)
    theirs = captum_attributions(agent, seen, 1, 5, 5).float()
    torch.testing.assert_close(attributions[:, 3], theirs / 2, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(attributions[:, 2], -theirs / 2, atol=1e-5, rtol=1e-5)


def test_a_patch_larger_than_the_image_hides_it_all():
    agent, seen = smooth_agent((1, 8, 9)), images(1, (1, 8, 9))
    explainer = Occlusion(agent, patch=12)
    fall = agent.scores(seen)[0, 1] - agent.scores(0 * seen)[0, 1]
    expected = torch.full((1, 1, 8, 9), fall.item())
    assert explainer.forwards_per_state == 2
    torch.testing.assert_close(explainer.attribute(seen, 1), expected)


def test_a_stride_beyond_the_patch_is_refused():
    with pytest.raises(ExplainError, match="at least 1 and at most the patch"):
        Occlusion(smooth_agent(), patch=4, stride=5)


def test_places_of_84_by_84():
    explainer = Occlusion(smooth_agent((1, 84, 84)))
    assert explainer.forwards_per_state == 290
    assert explainer.attribute(images(1, (1, 84, 84))).isfinite().all()
