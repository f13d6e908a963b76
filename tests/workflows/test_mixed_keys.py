"""What explains a Dict of pictures and numbers explains both, or says what it leaves out."""

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from sb3_explain import compare
from sb3_explain.agents.agent import Agent
from sb3_explain.common.errors import ExplainError
from sb3_explain.explainers import EXPLAINERS
from sb3_explain.explainers.gradients.grad_cam import GradCAM
from sb3_explain.explainers.gradients.integrated_gradients import IntegratedGradients
from sb3_explain.explainers.make import default_explainer
from sb3_explain.explainers.requirements import find_alternative
from sb3_explain.report import write_report
from sb3_explain.states.dataset import StateDataset
from sb3_explain.workflows.chosen_explainers import list_defaults
from sb3_explain.workflows.feature_pictures import picture_importance
from sb3_explain.workflows.pictures import make_examples
from sb3_explain.workflows.side_by_side import describe_keys, show_methods
from tests.explainers.kinds import agent_of, states_of

MIXED = ("image and vector", "image, vector, category")


@pytest.mark.parametrize("kind", MIXED)
def test_the_defaults_explain_every_key(kind):
    agent = agent_of(kind)
    names = list_defaults(agent)
    left_out = [set(EXPLAINERS[name](agent).left_out) for name in names]
    assert not set.intersection(*left_out) and names[0] == default_explainer(agent)
    assert "image" not in left_out[0] and "vector" not in left_out[0]


def test_a_mixed_agent_has_two_maps_of_its_picture_and_no_advice_that_leaves_it_out(monkeypatch):
    agent = agent_of(MIXED[0])
    monkeypatch.setattr(GradCAM, "flat_keys", ["image"])
    assert list_defaults(agent) == ["integrated_gradients", "occlusion"]
    with pytest.raises(ExplainError, match="; integrated_gradients explains it"):
        EXPLAINERS["sarfa"](agent).attribute(states_of(MIXED[0]).observations([0]), "0 - 1")
    for gradients in (True, False):
        name = find_alternative(agent, gradients=gradients)
        assert not EXPLAINERS[name](agent).left_out


def test_a_page_has_bars_of_the_numbers_beside_a_picture():
    kind = MIXED[0]
    agent = agent_of(kind)
    states = states_of(kind)
    given = states.observations(np.arange(len(states)))
    scores = agent.scores(given).numpy()
    arrays = {key: each.numpy() for key, each in given.items()}
    states = StateDataset.from_arrays(
        arrays, states.episode, scores.argmax(1), scores=scores, actions=scores.argmax(1)
    )
    explainer = IntegratedGradients(agent, n_steps=5)
    examples = make_examples(states, explainer)
    sample = states.spread(30)
    found = explainer.attribute_all(states.batch(agent, sample))
    strongest = found["image"].abs().flatten(2).max(dim=2).values.mean(dim=0).max()
    assert f"strongest pixel of image has {strongest:.2g} on" in examples["importance"].caption
    on_image = found["image"].abs().sum() / sum(each.abs().sum() for each in found.values())
    said = f"{float(on_image):.0%} of what Integrated gradients marks is on image; of the features "
    assert examples["importance"].finding.startswith(f"{said}in vector, ")
    ablation = EXPLAINERS["feature_ablation"](agent)
    assert "does not explain image." in picture_importance(states, ablation)["importance"].finding
    assert "state_0" in examples and not picture_importance(states, GradCAM(agent))
    both = {"integrated_gradients": explainer, "grad_cam": GradCAM(agent)}
    assert len(show_methods(agent, states, both)) == 1  # one figure, with pictures and bars


def test_a_page_says_which_keys_are_not_explained(tmp_path):
    agent = agent_of(MIXED[0])
    both = {name: EXPLAINERS[name](agent) for name in ("integrated_gradients", "grad_cam")}
    said = " ".join(describe_keys(agent, both))
    assert "maps above are of image alone, not of vector" in said
    assert "Grad-CAM does not explain vector" in said and "Nothing" not in said
    alone = " ".join(describe_keys(agent, {"grad_cam": both["grad_cam"]}))
    assert "Nothing on this page explains vector." in alone and "Figures" not in alone
    assert alone in write_report(tmp_path, metrics={}, remarks=[alone]).read_text()
    assert not describe_keys(agent_of("image"), {"sarfa": EXPLAINERS["sarfa"](agent_of("image"))})


@pytest.mark.parametrize(("side", "flat"), [(8, True), (12, False)])
def test_a_uniform_map_of_grad_cam_is_said(side, flat):
    torch.manual_seed(0)
    n = (side - 7) ** 2
    layers = nn.Sequential(nn.Conv2d(1, 4, 8), nn.Flatten(), nn.Linear(4 * n, 3))
    space = spaces.Box(0, 255, (1, side, side), np.uint8)
    agent = Agent.from_module(layers, space, spaces.Discrete(3))
    explainer = GradCAM(agent)
    observations = torch.rand(4, 1, side, side) * 255
    maps = torch.cat([explainer.attribute(observations, target) for target in range(3)])
    assert bool((maps.flatten(1).std(dim=1) > 1e-6).any()) == (not flat)
    assert ("layer has 1 x 1 positions" in explainer.remark) == flat
    assert ("grad_cam" in list_defaults(agent)) == (not flat)
    figure = explainer.show(observations[:1])
    assert any("1 x 1" in text.get_text() for text in figure.texts) == flat


def test_methods_are_compared_under_the_picture_in_its_colors():
    agent, states = agent_of(MIXED[0]), states_of(MIXED[0])
    observations = states.observations([0, 1])
    figure = compare(agent, observations, ["gradient", "grad_cam"])
    drawn = [np.asarray(axes.images[0].get_array()) for axes in figure.axes if axes.images]
    of_observation = drawn[:2]  # the first row; bars have no picture, and no place there
    for shown, observed in zip(of_observation, observations["image"].numpy(), strict=True):
        height, width = observed.shape[1:]
        small = shown[:: len(shown) // height, :: shown.shape[1] // width][:height, :width]
        np.testing.assert_allclose(small, observed.transpose(1, 2, 0), atol=1)
