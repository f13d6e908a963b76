"""Why: regions of a known agent's state, from its states and explainers to files."""

import numpy as np
import pandas as pd
import pytest
import torch
from gymnasium import spaces
from torch import nn

from sb3_explain.agents.agent import Agent
from sb3_explain.common.errors import ExplainError
from sb3_explain.explainers.base import Explainer
from sb3_explain.explainers.perturbation.feature_ablation import FeatureAblation
from sb3_explain.explainers.perturbation.rise import Rise
from sb3_explain.states.dataset import StateDataset
from sb3_explain.workflows.why import describe_order, prepare_explainer, why
from tests.toys import SIZE, dot_agent, dot_states


class Bright(Explainer):
    """Marks the bright cells of the newest frame that the agent counts for the target."""

    name = "bright"

    def explain(self, batch):
        images = batch.observations
        attributions = torch.zeros_like(images)
        for row, target in enumerate(batch.target.tolist()):
            third = slice(target * SIZE // 6, (target + 1) * SIZE // 6)
            attributions[row, -1, :, third] = torch.relu(images[row, -1, :, third] / 255 - 0.5)
        return {"": attributions}


@pytest.fixture
def state():
    """The agent, its states, and one in which the whole dot speaks for its action."""
    agent = dot_agent()
    states = dot_states(agent, n=60)
    scores = agent.scores(agent.tensor(states.observations(np.arange(60))))
    position = int((scores.amax(dim=1) - scores.sum(dim=1)).argmax())
    return agent, states, position


def test_without_the_dot_the_agent_has_no_reason_left(state):
    agent, states, position = state
    answer = why(states, position, Bright(agent))
    found = answer.counterfactual
    assert len(found.regions) == 1
    ys, xs = np.nonzero(states.frames([position])[0, 0].numpy() == 255)
    assert found.regions[0].where() == f"rows {ys.min()}-{ys.max()}, columns {xs.min()}-{xs.max()}"
    # what is inpainted is as dark as the noise round it: the scores are all 0
    np.testing.assert_allclose(found.alone[0].probabilities, 1 / 3, atol=0.01)
    assert answer.picture.before.picture.max() == 255
    assert answer.picture.alone[0].picture.max() < 130
    where = f"episode {states.episode[position]}, step {states.steps[position]} (state {position})"
    assert answer.picture.caption == where
    black = why(states, position, Bright(agent), baseline="black")
    np.testing.assert_allclose(black.counterfactual.alone[0].probabilities, 1 / 3, atol=1e-6)


def test_a_contrast_takes_what_speaks_for_the_one_and_not_the_other(state):
    agent, states, position = state
    target = int(states.greedy[position])
    other = (target + 1) % 3
    answer = why(states, position, Bright(agent), instead=other)
    assert answer.picture.contrasted == agent.action_names[other]
    assert answer.picture.signed
    assert answer.picture.before.other == pytest.approx(
        answer.counterfactual.before.probabilities[other]
    )
    assert answer.picture.attribution.max() == 1


def test_actions_are_named(state):
    agent, states, position = state
    target = int(states.greedy[position])
    other = (target + 1) % 3
    names = agent.action_names
    by_name = why(states, position, Bright(agent), target=names[target], instead=names[other])
    by_index = why(states, position, Bright(agent), target=target, instead=other)
    pd.testing.assert_frame_equal(by_name.counterfactual.table(), by_index.counterfactual.table())
    with pytest.raises(ExplainError, match="unknown action 'sdtay'; did you mean 'stay'"):
        why(states, position, Bright(agent), instead="sdtay")
    with pytest.raises(ExplainError, match="value is no action: give one of left, stay, right"):
        why(states, position, Bright(agent), target="value")


def test_it_prints_as_a_short_table_and_a_notebook_has_the_figure(state):
    agent, states, position = state
    answer = why(states, position, Bright(agent))
    said = str(answer).splitlines()
    assert said[0] == answer.picture.caption and said[1].startswith("Why ")
    assert len(said) == 6 and max(map(len, said[:5])) < 90 and said[5].startswith("Ordered by")
    assert "\n" not in repr(answer) and len(repr(answer)) < 200 and "array" not in repr(answer)
    assert "data:image/png;base64," in answer._repr_html_()
    assert "array" not in repr(answer.picture)


def test_files_are_written(state, tmp_path):
    agent, states, position = state
    answer = why(states, position, Bright(agent))
    figure, table = answer.save(tmp_path / "why" / "state")
    assert figure.read_bytes()[:4] == b"\x89PNG"
    read = pd.read_csv(table)
    assert read["removed"].tolist() == ["nothing", "alone", "together"]


@pytest.fixture
def linear():
    """An agent of three features, and two states whose mean is (1, 0.5, 2)."""
    module = nn.Linear(3, 2, bias=False)
    with torch.no_grad():
        module.weight.copy_(torch.tensor([[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]]))
    agent = Agent.from_module(module, spaces.Box(-9, 9, (3,), np.float32), spaces.Discrete(2))
    frames = torch.tensor([[3.0, 1.0, 2.0], [-1.0, 0.0, 2.0]])
    return agent, StateDataset.from_arrays(frames, [0, 0], [0, 1])


def test_features_become_their_mean(linear):
    agent, states = linear
    answer = why(states, 0, prepare_explainer(agent, "input_x_gradient", None, states))
    scores = [removal.scores.tolist() for removal in answer.counterfactual.alone]
    assert scores[:2] == [[2.0, 2.0], [3.5, 2.0]]  # means are 1 and 0.5
    assert answer.picture.frame is None
    assert answer.picture.names[0] == "feature 0"


def test_targets_by_name_or_number_and_mistakes(state, tmp_path):
    agent, states, _ = state
    assert agent.find_target("RIGHT") == 2 and agent.find_target("1") == 1
    with pytest.raises(ExplainError, match="did you mean 'left'"):
        agent.find_target("lefft")
    with pytest.raises(ExplainError, match="there is no state 60"):
        why(states, 60, Bright(agent))
    with pytest.raises(ExplainError, match="holds no visionmask: fit one first"):
        prepare_explainer(agent, "visionmask", tmp_path, states)


def test_features_are_explained_against_the_mean_that_they_are_removed_to(linear):
    agent, states = linear
    explainer = prepare_explainer(agent, "kernel_shap", None, states)
    mean = states.frames_by_key()[""].float().mean(dim=0, keepdim=True)
    assert explainer.attribute(mean, 0).abs().max() < 1e-5


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (Bright, "They are of the logit; the probability may have another order."),
        (Rise, "highest first."),
    ],
)
def test_it_says_by_what_the_regions_are_ordered(state, given, said):
    agent, states, position = state
    answer = why(states, position, given(agent))
    order = f"Ordered by the attributions of {'RISE' if given is Rise else 'bright'}, highest first"
    assert order in str(answer) and str(answer).endswith(said)


def test_of_a_box_action_it_says_what_a_change_is():
    box = spaces.Box(-1, 1, (1,), np.float32)
    layer = nn.Linear(2, 1)
    agent = Agent.from_module(layer, spaces.Box(-9, 9, (2,), np.float32), box)
    said = describe_order(Bright(agent))
    assert said.endswith("The action changes where it moves by more than a 20th of its range.")


def test_its_order_is_that_of_the_logits_where_the_probability_has_another():
    """Both actions lose by the first feature, which is why the probability hardly changes."""
    layer = nn.Linear(2, 2, bias=False)
    layer.weight.data = torch.tensor([[5.0, 2.0], [5.0, -2.0]])
    agent = Agent.from_module(layer, spaces.Box(-9, 9, (2,)), spaces.Discrete(2))
    vectors = np.array([[1.0, 1.0], [-1.0, -1.0]], np.float32)
    scores = agent.scores(agent.tensor(vectors)).numpy()
    states = StateDataset.from_arrays(vectors, np.zeros(2, int), scores.argmax(1), scores=scores)
    answer = why(states, 0, FeatureAblation(agent, baseline="mean", states=states))
    first, second = answer.counterfactual.alone
    assert [region.where() for region in answer.counterfactual.regions] == [
        "feature 0",
        "feature 1",
    ]
    assert first.preference > 0.9 and second.preference == pytest.approx(0.5)
    assert "They are of the logit" in answer.picture.note
