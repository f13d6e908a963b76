"""Baselines against what their names say, computed another way."""

import numpy as np
import pytest
import torch
from scipy import ndimage, stats

from sb3_explain.common.errors import ExplainError
from sb3_explain.states.baselines import (
    BASELINES,
    fit_to_frames,
    make_baseline,
)
from sb3_explain.states.blends import blend
from sb3_explain.states.blur import gaussian_blur
from tests.toys import dot_agent, dot_states

RNG = np.random.default_rng(0)
FRAMES = torch.from_numpy(RNG.integers(0, 5, (300, 2, 6, 7)).astype(np.uint8))
STACKED = torch.from_numpy(RNG.integers(0, 256, (4, 6, 6, 7)).astype(np.float32))


def test_background_is_the_mode_of_every_cell():
    expected = stats.mode(FRAMES.numpy(), axis=0).mode
    np.testing.assert_array_equal(make_baseline("background", FRAMES).frame, expected)


def test_most_frequent_is_one_value_a_channel():
    frame = make_baseline("most_frequent", FRAMES).frame
    for channel in range(2):
        expected = np.bincount(FRAMES[:, channel].numpy().ravel()).argmax()
        assert (frame[channel] == expected).all()


def test_most_frequent_of_other_values_is_their_median():
    frames = torch.rand(51, 2, 3, 5, generator=torch.Generator().manual_seed(0))
    frame = make_baseline("most_frequent", frames).frame
    for channel in range(2):
        assert (frame[channel] == float(np.median(frames[:, channel].numpy()))).all()
    vectors = frames[:, 0, 0]
    median = np.median(vectors.numpy(), axis=0)
    np.testing.assert_array_equal(make_baseline("most_frequent", vectors).frame, median)


def test_mean_black_and_stacks():
    mean = make_baseline("mean", FRAMES)(STACKED)
    assert mean.shape == STACKED.shape
    for layer in range(6):  # three frames of two channels
        expected = FRAMES[:, layer % 2].numpy().mean()
        np.testing.assert_allclose(mean[0, layer], expected, rtol=1e-6)
    assert not make_baseline("black", FRAMES)(STACKED).any()


def test_below_is_what_adding_one_before_the_mask_comes_to():
    """(s + 1) m - 1, with s in [0, 1], is the blend with the baseline."""
    masks = torch.rand(STACKED.shape, generator=torch.Generator().manual_seed(0))
    below = make_baseline("below", FRAMES)(STACKED)
    expected = ((STACKED / 255 + 1) * masks - 1) * 255
    torch.testing.assert_close(blend(STACKED, masks, below), expected, rtol=1e-4, atol=1e-3)


def test_below_of_other_ranges():
    """As far below the least value as the greatest is above it: of each feature, or of an image."""
    vectors = torch.tensor([[-1.0, 5.0], [1.0, 6.0], [0.0, 8.0]])
    assert make_baseline("below", vectors)(vectors)[0].tolist() == [-3.0, 2.0]
    images = torch.linspace(-1, 3, 24).reshape(2, 1, 3, 4)
    assert (make_baseline("below", images)(images) == -5).all()


@pytest.mark.parametrize("size", [(84, 84), (50, 45)])
def test_blur_equals_scipy(size):
    """Kernel 39 is radius 19; scipy's "mirror" is torch's "reflect"."""
    images = RNG.random((2, 3, *size)).astype(np.float32) * 255
    ours = make_baseline("blur", None)(torch.from_numpy(images))
    theirs = ndimage.gaussian_filter(
        images.astype(np.float64), sigma=(0, 0, 15, 15), mode="mirror", radius=(0, 0, 19, 19)
    )
    np.testing.assert_allclose(ours, theirs, rtol=1e-4)


def test_blur_of_an_image_smaller_than_the_kernel_keeps_a_constant():
    image = torch.full((1, 1, 9, 8), 7.0)
    torch.testing.assert_close(gaussian_blur(image, 39, 15.0), image)


def test_vectors_have_baselines_too():
    vectors = torch.from_numpy(RNG.normal(size=(101, 3)).astype(np.float32))
    observations = vectors[:2]
    np.testing.assert_allclose(
        make_baseline("background", vectors)(observations)[0], np.median(vectors, axis=0)
    )
    np.testing.assert_allclose(
        make_baseline("mean", vectors)(observations)[1], vectors.mean(0), rtol=1e-5
    )


@pytest.mark.parametrize("name", list(BASELINES))
def test_state_is_enough_to_restore(name):
    fitted, blank = make_baseline(name, FRAMES), make_baseline(name, None)
    blank.restore(fitted.state())
    assert torch.equal(fitted(STACKED), blank(STACKED))
    assert blank.name == name


def test_blend_is_eq_1():
    masks, baseline = torch.rand(STACKED.shape), torch.rand(STACKED.shape)
    torch.testing.assert_close(
        blend(STACKED, masks, baseline), STACKED * masks + baseline * (1 - masks)
    )


def test_unknown_baseline():
    with pytest.raises(ExplainError, match="did you mean 'background'"):
        make_baseline("backgruond", FRAMES)


def test_a_function_is_a_baseline():
    def sky(observations):
        return torch.full_like(observations, 104)

    baseline = make_baseline(sky, FRAMES)
    assert torch.equal(baseline(STACKED), torch.full(STACKED.shape, 104.0))
    assert baseline.name == "sky" and not baseline.state()
    assert make_baseline(baseline, None) is baseline
    with pytest.raises(ExplainError, match="register it with") as caught:
        _ = baseline.saved_as
    assert "\n" not in str(caught.value)


def test_a_function_replaces_what_stands_under_every_key():
    baselines = fit_to_frames(torch.zeros_like, {"screen": FRAMES, "speed": torch.ones(3, 2)})
    assert not baselines["screen"](STACKED).any() and not baselines["speed"](torch.ones(1, 2)).any()
    assert {baseline.name for baseline in baselines.values()} == {"zeros_like"}


def test_a_registered_function_is_saved_by_its_name(monkeypatch):
    monkeypatch.setattr(BASELINES, "_by_name", dict(BASELINES.items()))
    inverse = BASELINES.register("negative_image")(lambda observations: 255 - observations)
    for baseline in (make_baseline("negative_image", FRAMES), make_baseline(inverse, None)):
        assert torch.equal(baseline(STACKED), 255 - STACKED)
        assert baseline.saved_as == "negative_image"
    assert make_baseline("black", None).saved_as == "black"


def test_a_function_that_returns_another_shape_is_refused():
    with pytest.raises(ExplainError, match="gives \\(4,\\) for observations \\(4, 6, 6, 7\\)"):
        make_baseline(lambda observations: observations.mean(dim=(1, 2, 3)), None)(STACKED)


def test_states_are_no_baseline():
    states = dot_states(dot_agent(), 8)
    with pytest.raises(
        ExplainError, match=r"one of background, .*, mean, .*; states go to states="
    ):
        make_baseline(states, None)
    with pytest.raises(ExplainError, match=r"baseline=3: give one of .*, or a function") as refused:
        make_baseline(3, None)
    assert all(name in str(refused.value) for name in BASELINES)
