"""What action masks forbid is said where it is explained."""

import numpy as np
import pytest
import torch
from gymnasium import spaces
from sb3_contrib import MaskablePPO

from sb3_explain import Agent, ExplainError, Gradient, StateBatch, compare, counterfactual, plot
from sb3_explain.explainers.forbidden import describe_forbidden, describe_masks, list_all_forbidden
from sb3_explain.states.baselines import Black

SAID = "The action masks forbid left: its score is the same whatever is observed."


@pytest.fixture(scope="module")
def explainer():
    model = MaskablePPO("MlpPolicy", "CartPole-v1", n_steps=8, batch_size=8, seed=0, device="cpu")
    return Gradient(Agent.from_model(model))


def notes_of(figure):
    """All texts under a figure."""
    return " ".join(text.get_text() for text in figure.findobj(lambda a: hasattr(a, "get_text")))


def test_what_masks_forbid_is_listed_for_every_state():
    agent = Agent.from_model(
        MaskablePPO("MlpPolicy", "CartPole-v1", n_steps=8, batch_size=8, seed=0, device="cpu")
    )
    masks = torch.tensor([[0, 1], [1, 1], [1, 0]])
    scores = agent.scores(torch.ones(3, 4), action_masks=masks)
    assert list_all_forbidden(agent.action_space, scores) == [[0], [], [1]]
    box = spaces.Box(-1, 1, (2,))
    assert list_all_forbidden(box, torch.full((2, 2), -1e9)) == [[], []]


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
    assert "masks forbid" not in notes_of(explainer.show(observation, "right", policy_inputs=given))
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


def test_a_figure_names_what_is_forbidden_in_its_state(explainer):
    given = {"action_masks": torch.tensor([[0, 1]])}
    for figure in (
        explainer.show(torch.ones(1, 4), policy_inputs=given),
        explainer.show(torch.ones(1, 4), "value", policy_inputs=given),
        plot(explainer.agent, torch.ones(1, 4), policy_inputs=given),
        compare(explainer.agent, torch.ones(1, 4), ["gradient", "lime"], policy_inputs=given),
    ):
        assert figure.get_suptitle().endswith("\nforbidden here: left")
    assert "here" not in notes_of(explainer.show(torch.ones(1, 4)))  # no masks are known


def test_each_of_several_observations_has_its_own(explainer):
    given = {"action_masks": torch.tensor([[0, 1], [1, 1]])}
    for figure in (
        explainer.show(torch.ones(2, 4), policy_inputs=given),
        compare(explainer.agent, torch.ones(2, 4), ["gradient"], policy_inputs=given),
    ):
        said = notes_of(figure)
        assert "forbidden here: left" in said and "no action is forbidden here" in said


def scorer(space, n_scores):
    module = torch.nn.Linear(4, n_scores)
    return Agent.from_module(module, spaces.Box(-1, 1, (4,), np.float32), space)


@pytest.mark.parametrize(
    ("space", "masks", "said"),
    [
        (spaces.Discrete(3), [1, 0, 1], "forbidden here: action 1"),
        (spaces.Discrete(3), [0, 1, 0], "allowed here: only action 1"),
        (spaces.Discrete(3), [1, 1, 1], "no action is forbidden here"),
        (spaces.Discrete(20), [0] * 10 + [1] * 10, "action 6, action 7 and 2 more"),
        (spaces.Discrete(20), [0] * 19 + [1], "allowed here: only action 19"),
        (spaces.MultiDiscrete([2, 3]), [1, 1, 0, 1, 1], "forbidden here: NAME"),
    ],
)
def test_what_masks_leave(space, masks, said):
    agent = scorer(space, len(masks))
    given = {"action_masks": torch.tensor([masks])}
    batch = StateBatch(agent, torch.ones(1, 4), None, given)
    names = agent.target_names
    assert describe_masks(batch, 0).endswith(said.replace("NAME", names[2]))
