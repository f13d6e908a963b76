"""Native resolution: against OpenCV, finite differences, and the agents' own observations."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from sb3_explain import VisionMask, collect, evaluate
from sb3_explain.agents.agent import Agent
from sb3_explain.agents.demo import demo_agent
from sb3_explain.agents.native import (
    AtariPreprocessing,
    MarioPreprocessing,
    area_weights,
    as_frames,
    color_agent,
    gray,
    native_agent,
)
from sb3_explain.common.errors import ExplainError
from sb3_explain.states.dataset import StateDataset
from sb3_explain.states.labels import agreement, native_states
from tests.toys import SIZE, dot_agent

RNG = np.random.default_rng(0)
SIZES = [(210, 160), (240, 256), (250, 161)]
BOTH = [AtariPreprocessing(), MarioPreprocessing()]
#: of the dot's environment: it draws its pictures twice as large as its observations
HALF = AtariPreprocessing((SIZE, SIZE))


def pictures(size, n=2):
    """(n, H, W, 3): noise over blocks, so that there are edges and flat parts."""
    blocks = RNG.integers(0, 256, (n, size[0] // 10 + 1, size[1] // 10 + 1, 3))
    large = blocks.repeat(10, axis=1).repeat(10, axis=2)[:, : size[0], : size[1]]
    noise = RNG.integers(-40, 40, large.shape) * (RNG.random(large.shape) < 0.3)
    return np.clip(large + noise, 0, 255).astype(np.uint8)


def batch_of(images):
    """One observation of all images, as frames."""
    return torch.from_numpy(images).permute(0, 3, 1, 2)[None]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("preprocessing", BOTH, ids=lambda p: type(p).__name__)
def test_frames_equal_opencv(size, preprocessing):
    cv2 = pytest.importorskip("cv2")
    images = pictures(size)
    ours = preprocessing(batch_of(images))[0].numpy()
    area = isinstance(preprocessing, AtariPreprocessing)
    how = cv2.INTER_AREA if area else cv2.INTER_LINEAR
    theirs = np.stack(
        [cv2.resize(cv2.cvtColor(i, cv2.COLOR_RGB2GRAY), (84, 84), interpolation=how)
         for i in images]
    )  # fmt: skip
    difference = np.abs(ours - theirs)
    assert difference.max() <= 1
    assert (difference == 0).mean() > (0.998 if area else 0.8)


def test_grey_equals_opencv_in_every_pixel():
    cv2 = pytest.importorskip("cv2")
    image = RNG.integers(0, 256, (500, 500, 3)).astype(np.uint8)
    ours = gray(batch_of(image[None]))[0, 0]
    np.testing.assert_array_equal(ours, cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))


@pytest.mark.parametrize(("n_in", "n_out"), [(210, 84), (160, 84), (7, 3), (5, 5)])
def test_area_weights_average_equal_shares(n_in, n_out):
    """Cut every cell into n_out pieces: each result is then the mean of n_in whole pieces."""
    pixels = RNG.random(n_in)
    expected = pixels.repeat(n_out).reshape(n_out, n_in).mean(axis=1)
    np.testing.assert_allclose(area_weights(n_in, n_out).numpy() @ pixels, expected, rtol=1e-6)


@pytest.mark.parametrize("preprocessing", BOTH, ids=lambda p: type(p).__name__)
def test_gradient_passes_the_rounding(preprocessing):
    """Far steps, as the function is linear but for its rounding."""
    frames = torch.from_numpy(RNG.uniform(60, 190, (1, 2, 3, 210, 160))).float()
    direction = torch.from_numpy(RNG.random(frames.shape)).float()
    weights = torch.from_numpy(RNG.random((1, 2, 84, 84))).float()
    gradient = torch.autograd.functional.jvp(
        lambda x: (weights * preprocessing(x)).double().sum(), frames, direction
    )[1]
    step = 50.0
    ahead, behind = (
        (weights * preprocessing(frames + sign * step * direction)).double().sum()
        for sign in (1, -1)
    )
    assert float(gradient) == pytest.approx(float(ahead - behind) / (2 * step), rel=1e-3)
    assert torch.equal(preprocessing(frames), preprocessing(frames).round())


def test_wrong_frames_are_one_line():
    with pytest.raises(ExplainError, match="give \\(batch, frames, 3, height, width\\)"):
        HALF(torch.zeros(2, 4, 84, 84))
    with pytest.raises(ExplainError, match="cannot enlarge 40 pixels to 84"):
        AtariPreprocessing()(torch.zeros(1, 1, 3, 40, 90))
    with pytest.raises(ExplainError, match="choose its size"):
        native_agent(dot_agent(), AtariPreprocessing(), (210, 160))


@pytest.fixture(scope="module")
def dots(tmp_path_factory):
    agent = dot_agent()
    folder = tmp_path_factory.mktemp("native") / "states"
    return agent, collect(agent, n_states=160, folder=folder, max_per_episode=8, progress=False)


def test_native_states_stack_the_rendered_frames(dots):
    agent, states = dots
    some = states.subset([3, 8, 9, 30])  # 8 begins an episode
    native = native_states(native_agent(agent, HALF, (2 * SIZE, 2 * SIZE)), some)
    rendered = [np.asarray(states.rendered([i]))[0].transpose(2, 0, 1) for i in range(31)]
    blank = np.zeros_like(rendered[0])
    stacks = [(rendered[2], rendered[3]), (blank, rendered[8]), (rendered[8], rendered[9]),
              (rendered[29], rendered[30])]  # fmt: skip
    expected = np.stack([np.concatenate(stack) for stack in stacks])
    np.testing.assert_array_equal(native.observations(np.arange(4)), expected)
    np.testing.assert_array_equal(native.rendered([1])[0], states.rendered([8])[0])
    np.testing.assert_array_equal(native.actions, some.actions)


def test_native_agent_is_the_agent_on_preprocessed_frames(dots):
    agent, states = dots
    native = native_agent(agent, HALF, (2 * SIZE, 2 * SIZE))
    shown = native_states(native, states)
    observations = shown.observations(np.arange(20))
    scores, values = native.scores_and_values(observations)
    seen = HALF(as_frames(observations))
    torch.testing.assert_close(scores, agent.scores(seen))
    torch.testing.assert_close(values, agent.values(seen))
    assert native.fingerprint() == agent.fingerprint() and native.n_stack == 2
    np.testing.assert_array_equal(shown.greedy[:20], agent.greedy(seen))
    assert (shown.greedy == states.greedy).mean() == agreement(agent, states, HALF)


def test_agreement_counts_equal_actions(dots):
    """A preprocessing that moves the picture by a third of the field changes what the agent does"""
    agent, states = dots

    def moved(frames):
        return HALF(frames.roll(SIZE // 3, dims=4))

    native, expected = states.native(), 0
    for i in range(len(states)):
        seen = moved(as_frames(native.observations([i])))
        expected += int(agent.greedy(seen)) == states.greedy[i]
    assert agreement(agent, states, moved) == expected / len(states) < 0.9
    assert agreement(agent, states, HALF) == 1


def test_states_without_rendered_frames_are_one_line(dots):
    agent, states = dots
    bare = StateDataset.from_arrays(states.frames(), states.episode, states.greedy, n_stack=2)
    with pytest.raises(ExplainError, match="collect with render=True"):
        agreement(agent, bare, HALF)


def test_visionmask_at_native_pixels(dots):
    agent, states = dots
    native = native_agent(agent, HALF, (2 * SIZE, 2 * SIZE))
    train, validation, test = native_states(native, states).split((0.6, 0.2, 0.2))
    explainer = VisionMask(native, content=(0, 0, 2 * SIZE, SIZE))
    explainer.fit(train, validation, epochs=1, progress=False)
    masks = explainer.attribute(test.observations([0, 1]))
    assert masks.shape == (2, 6, 2 * SIZE, 2 * SIZE)
    assert masks[..., :SIZE].min() > 0 and not masks[..., SIZE:].any()
    assert torch.equal(masks[:, 0], masks[:, 2])  # one mask for the three colours of a frame
    table = evaluate(native, test, [explainer], ["accuracy"], n_evaluated=4, progress=False).table()
    assert table["mean"].between(0, 1).all()


def test_pong_is_seen_as_it_was_and_the_agent_agrees(tmp_path):
    pytest.importorskip("ale_py")
    agent = demo_agent()
    states = collect(
        agent, n_states=60, folder=tmp_path / "states", max_per_episode=20, progress=False
    )
    seen = AtariPreprocessing()(as_frames(states.native().observations(np.arange(60))))
    own = states.observations(np.arange(60))
    assert (seen == own).float().mean() > 0.999 and (seen - own).abs().max() <= 1
    assert agreement(agent, states, AtariPreprocessing()) == 1


def test_mario_s_frames_are_those_of_opencv():
    """The expert sees the maximum of two frames, of which the store has the last."""
    cv2 = pytest.importorskip("cv2")
    data = Path(os.environ.get("SB3_EXPLAIN_AGENTS", "")) / "super_mario_1_1" / "states.npz"
    if not data.exists():
        pytest.skip("SB3_EXPLAIN_AGENTS names no folder with super_mario_1_1")
    rgb = np.load(data, allow_pickle=False)["rgb"][:40]
    ours = MarioPreprocessing()(batch_of(rgb))[0].numpy()
    theirs = np.stack([cv2.resize(cv2.cvtColor(i, cv2.COLOR_RGB2GRAY), (84, 84)) for i in rgb])
    assert np.abs(ours - theirs).max() <= 1
    assert (ours == theirs).mean() > 0.95


def test_an_agent_that_is_shown_colours_plays_as_it_did(tmp_path):
    agent = demo_agent()
    colored = color_agent(agent)
    assert colored.observation_space.shape == (12, 84, 84)
    options = {
        "n_states": 60,
        "behavior": "greedy",
        "n_envs": 1,
        "render": False,
        "progress": False,
    }
    own = collect(agent, folder=tmp_path / "own", **options)
    seen = collect(colored, folder=tmp_path / "colored", **options)
    frames = seen.frames()
    assert frames.shape == (60, 3, 84, 84)
    # red, green and blue are not the same: the paddles have colours
    assert (frames.float().std(dim=1) > 10).any()
    levels = gray(seen.frames()[:, None].float())[:, 0]
    same = own.greedy == seen.greedy
    assert same.mean() >= 0.9
    first = int(np.argmin(same)) if not same.all() else 60
    apart = (levels[:first] - own.frames()[:first, 0].float()).abs()
    assert apart.max() <= 2  # two roundings, in another order
    with pytest.raises(ExplainError, match="behind SB3's AtariWrapper"):
        space = spaces.Box(0, 255, (1, 2, 2), np.uint8)
        color_agent(Agent.from_module(nn.Flatten(), space, spaces.Discrete(4)))
