"""Known answers for pictures of any axes and for boards: every method that supports them."""

import numpy as np
import pytest
import torch
from gymnasium import spaces

from sb3_explain.agents.agent import Agent
from sb3_explain.common.errors import ExplainError
from sb3_explain.envs.spaces import split_keys
from sb3_explain.explainers import EXPLAINERS
from sb3_explain.explainers.base import FittedExplainer
from sb3_explain.explainers.controls import Constant, Empty, Random
from sb3_explain.explainers.gradients.grad_cam import GradCAM
from sb3_explain.explainers.make import list_explainers
from sb3_explain.explainers.perturbation.kernel_shap import KernelSHAP
from sb3_explain.explainers.perturbation.lime import Lime
from sb3_explain.states.dataset import StateDataset
from tests.agents.reading import AXES, CornerReader, corner_reader, random_states, row_reader
from tests.explainers.kinds import quick

CONTROLS = (Constant.name, Empty.name, Random.name)
#: settings for pictures of 16 x 20 pixels
SETTINGS = {
    "occlusion": {"patch": 2, "stride": 2},
    "greydanus": {"radius": 1.5, "stride": 2},
    "sarfa": {"radius": 1.5, "stride": 2},
    "rise": {"n_masks": 1000, "grid": 4},
    "lime": {"n_samples": 150, "baseline": "black"},
    "feature_ablation": {},
    "kernel_shap": {"n_samples": 512},
}
#: Grad-CAM does not tell where a channel is read; the others explain the features beside pictures
OTHERS = ("grad_cam", "feature_ablation", "kernel_shap")
N = 6


def explain(agent, name, n=N):
    """Attributions of some states by key, in their own axes."""
    states = random_states(agent)
    explainer = quick(name, agent, states, **SETTINGS.get(name, {}))
    observations = states.observations(np.arange(n))
    found = split_keys(explainer.attribute(observations))
    for key, observed in split_keys(observations).items():
        assert found[key].shape == observed.shape and found[key].isfinite().all()
    return found


def share(attribution, where):
    """Share of the magnitude at a place, where what is the same everywhere counts nothing."""
    apart = attribution.flatten(1)
    apart = (apart - apart.median(dim=1, keepdim=True).values).abs().view(attribution.shape)
    return float(apart[(slice(None), *where)].sum() / apart.sum())


def supporting(agent):
    return [
        name
        for name, kind in EXPLAINERS.items()
        if kind.unsupported(agent) is None and name not in CONTROLS
    ]


@pytest.mark.parametrize("beside", [False, True], ids=["alone", "beside a vector"])
@pytest.mark.parametrize("axes", AXES)
def test_every_method_finds_the_corner_that_the_agent_reads(axes, beside):
    agent = corner_reader(axes, beside=beside)
    where, key = AXES[axes][2], "screen" if beside else ""
    assert list(agent.layout.pictures) == [key]
    names = supporting(agent)
    assert {"occlusion", "greydanus", "sarfa", "rise", "lime", "grad_cam", "gradient"} <= {*names}
    for name in names:
        found = explain(agent, name)
        # the corner is a 20th of the picture
        if name not in OTHERS and not issubclass(EXPLAINERS[name], FittedExplainer):
            assert share(found[key], where) > 0.2, name


@pytest.mark.parametrize("axes", AXES)
def test_grad_cam_finds_the_bright_corner(axes):
    agent, where = corner_reader(axes), AXES[axes][2]
    picture = torch.zeros(1, *agent.observation_space.shape)
    picture[(0, *where)] = 1
    found = GradCAM(agent).attribute(picture, 0)
    assert found.shape == picture.shape
    assert share(found, where) > 0.4


@pytest.mark.parametrize("beside", [False, True], ids=["alone", "beside a score"])
@pytest.mark.parametrize("shape", [(9, 9, 1), (6, 7, 2), (5, 5)])
def test_every_method_finds_the_row_of_a_board(shape, beside):
    agent = row_reader(shape, beside=beside)
    assert not agent.layout.pictures
    names = supporting(agent)
    assert {"feature_ablation", "kernel_shap", "lime", "gradient"} <= {*names}
    assert not {"occlusion", "sarfa", "rise", "greydanus", "grad_cam"} & {*names}
    for name in names:
        found = explain(agent, name)["board" if beside else ""]
        if not issubclass(EXPLAINERS[name], FittedExplainer):
            assert share(found, (0,)) > 2 / shape[0], name


@pytest.mark.slow  # learns for half a minute; the layout is the same for all that learn
def test_learned_masks_find_the_corner_of_channel_last_pictures():
    agent = corner_reader("hwc")
    states = random_states(agent, 800)
    explainer = EXPLAINERS["stalder"](agent, baseline="mean")
    explainer.fit(*states.split((0.8, 0.2)), epochs=12, progress=False)
    found = explainer.attribute(states.observations(np.arange(20)))
    assert share(found, AXES["hwc"][2]) > 0.25


def test_the_batch_and_the_agent_s_own_axes():
    agent = corner_reader("hwc", beside=True)
    states = random_states(agent)
    batch = states.batch(agent, [0, 1])
    assert batch.by_key["screen"].shape == (2, 2, 16, 20)
    own = agent.scores({k: v.float() for k, v in states.observations([0, 1]).items()})
    assert torch.equal(batch.own_scores, own)
    assert torch.equal(batch.scores(batch.observations), own)
    restored = agent.layout.restore(batch.by_key)
    assert torch.equal(restored["screen"], states.observations([0, 1])["screen"])


@pytest.mark.parametrize("before", [None, lambda x: x], ids=["flattened", "read by a convolution"])
def test_bits_of_three_axes(before):
    space = spaces.MultiBinary([3, 6, 6])
    reader = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(108, 2))
    if before is not None:
        reader = CornerReader(before, 3, "")
    agent = Agent.from_module(reader, space, spaces.Discrete(2))
    assert bool(agent.layout.pictures) is (before is not None)
    found = Lime(agent, n_samples=50).attribute(np.ones((2, 3, 6, 6), np.int8))
    assert found.shape == (2, 3, 6, 6) and found.isfinite().all()


@pytest.mark.parametrize("name", ["stalder", "visionmask"])
def test_pictures_one_pixel_wide(name):
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 2, (3, 1)), torch.nn.Flatten(), torch.nn.Linear(14, 3)
    )
    agent = Agent.from_module(network, spaces.Box(0, 1, (3, 9, 1)), spaces.Discrete(3))
    frames = np.random.default_rng(0).random((40, 3, 9, 1), np.float32)
    greedy = agent.greedy(agent.tensor(frames)).numpy()
    states = StateDataset.from_arrays(frames, np.arange(40) // 4, greedy)
    explainer = EXPLAINERS[name](agent)
    explainer.fit(*states.split((0.5, 0.5)), epochs=1, progress=False)
    assert explainer.attribute(frames[:2]).isfinite().all()


def test_more_features_than_can_be_solved_for_are_refused_before_the_system_is_built():
    def flat(side):
        layers = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(side * side * 3, 2))
        return Agent.from_module(layers, spaces.Box(0, 1, (side, side, 3)), spaces.Discrete(2))

    assert "kernel_shap" not in list_explainers(flat(64))
    with pytest.raises(ExplainError, match="at most, and this agent observes 12288; feature_abl"):
        KernelSHAP(flat(64), n_samples=64)
    with pytest.raises(ExplainError, match="do not determine the values of 192 features"):
        KernelSHAP(flat(8), n_samples=64)


def test_kernel_shap_has_sets_enough_for_what_it_supports():
    weights = torch.zeros(2, 1100)
    weights[0, 700] = 2
    layer = torch.nn.Linear(1100, 2)
    layer.weight.data, layer.bias.data = weights, torch.zeros(2)
    agent = Agent.from_module(layer, spaces.Box(0, 1, (1100,)), spaces.Discrete(2))
    found = KernelSHAP(agent, baseline="black").attribute(torch.full((1, 1100), 0.5), 0)
    torch.testing.assert_close(found, weights[:1] / 2, atol=1e-4, rtol=0)
