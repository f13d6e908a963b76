"""What action masks forbid is said where it is explained."""

import pytest
import torch
from sb3_contrib import MaskablePPO

from sb3_explain import Agent, ExplainError, Gradient, StateBatch, compare, counterfactual
from sb3_explain.explainers.forbidden import describe_forbidden
from sb3_explain.states.baselines import Black

SAID = "The action masks forbid left: its score is the same whatever is observed."


@pytest.fixture(scope="module")
def explainer():
    model = MaskablePPO("MlpPolicy", "CartPole-v1", n_steps=8, batch_size=8, seed=0, device="cpu")
    return Gradient(Agent.from_model(model))


def notes_of(figure):
    """All texts under a figure."""
    return " ".join(text.get_text() for text in figure.findobj(lambda a: hasattr(a, "get_text")))


def test_a_figure_says_why_it_is_empty(explainer):
    observation, given = torch.ones(1, 4), {"action_masks": torch.tensor([[0, 1]])}
    assert not explainer.attribute(observation, "left", policy_inputs=given).any()
    assert SAID in notes_of(explainer.show(observation, "left", policy_inputs=given))
    assert SAID in notes_of(
        compare(
            explainer.agent,
            observation,
            ["gradient", "input_x_gradient"],
            "left",
            policy_inputs=given,
        )
    )
    assert "forbid" not in notes_of(explainer.show(observation, "right", policy_inputs=given))
    with pytest.raises(ExplainError, match="forbid left"):
        counterfactual(
            explainer.agent, observation, torch.zeros(1, 4), "left", policy_inputs=given,
            baseline=Black(),
        )  # fmt: skip


def test_of_several_observations_those_are_named(explainer):
    masks = torch.tensor([[0, 1], [1, 1], [0, 1]])
    batch = StateBatch(explainer.agent, torch.ones(3, 4), 0, {"action_masks": masks})
    assert "left in observations 1, 3: its" in describe_forbidden(batch)
    assert not describe_forbidden(batch.with_target("value"))
