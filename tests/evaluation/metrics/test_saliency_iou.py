"""Saliency IoU, by hand and through evaluate()."""

import numpy as np
import pytest
import torch
from captum.attr import GuidedBackprop
from torch import nn

from sb3_explain import evaluate
from sb3_explain.common.errors import ExplainError
from sb3_explain.evaluation.metrics.saliency_iou import saliency_iou
from sb3_explain.explainers import EXPLAINERS
from tests.explainers.kinds import agent_of, states_of


class Frames:
    """As much of a batch as the metric reads."""

    class agent:  # noqa: N801
        n_stack = 2


def test_by_hand():
    truth, found = torch.zeros(3, 2, 4, 5), torch.zeros(3, 2, 4, 5)
    # two of the 20 pixels of each frame are above zero, and so is the quantile from 0.9 on
    truth[:, 0, 0, :2] = torch.tensor([-3.0, 1.0])
    truth[:, 1, 3, 3:] = torch.tensor([2.0, 2.0])
    found[0] = -truth[0]
    found[1, 0, 0, 1:3] = 5  # one of two, and one that is wrong; the other frame is right
    found[1, 1] = truth[1, 1]
    found[2, :, 2, :2] = 1
    assert saliency_iou(Frames, found, truth, quantile=0.9).tolist() == [1, 3 / 5, 0]


def test_a_quantile_that_is_none_is_refused():
    with pytest.raises(ExplainError, match="saliency_quantile is 2"):
        saliency_iou(Frames, torch.ones(1, 2, 3, 3), torch.ones(1, 2, 3, 3), quantile=2)


@pytest.mark.filterwarnings("ignore:Setting backward hooks on ReLU")
def test_the_truth_is_guided_backpropagation_of_q1_of_the_agents_own_action():
    agent, states = agent_of("sgqn"), states_of("sgqn")
    results = evaluate(agent, states, [EXPLAINERS["sgqn"](agent)], ["saliency_iou"])
    policy = agent.view.policy
    images = states.batch(agent, np.arange(len(states))).observations
    actions = agent.scores(images).detach()

    class FirstQ(nn.Module):
        def __init__(self):
            super().__init__()
            self.critic = policy.critic

        def forward(self, x):
            return self.critic(x, actions)[0]

    truth = GuidedBackprop(FirstQ()).attribute(images.clone().requires_grad_())
    _, predicted = policy.predict_saliency(images)
    expected = saliency_iou(states.batch(agent, np.arange(len(states))), predicted, truth).mean()
    assert results.rows["sgqn"].values["saliency_iou"].mean() == pytest.approx(float(expected))


def test_it_does_not_apply_to_other_agents():
    agent, states = agent_of("image"), states_of("image")
    results = evaluate(
        agent,
        states,
        [EXPLAINERS["gradient"](agent)],
        ["saliency_iou", "sparseness"],
        n_evaluated=4,
    )
    assert set(results.rows["gradient"].values) == {"sparseness"}
