"""Which states are shown, and what stands in their pictures."""

import numpy as np
import torch
from gymnasium import spaces
from torch import nn

from sb3_explain.agents.agent import Agent
from sb3_explain.agents.observations import find_boards
from sb3_explain.envs.feature_names import list_feature_names
from sb3_explain.envs.picture_axes import PictureAxes
from sb3_explain.explainers.gradients.gradient import Gradient
from sb3_explain.explainers.perturbation.feature_ablation import FeatureAblation
from sb3_explain.report import Importance
from sb3_explain.states.dataset import StateDataset
from sb3_explain.workflows.feature_pictures import describe_values, name_empty, name_strongest
from sb3_explain.workflows.pictures import (
    choose_clear_states,
    compute_shares,
    find_taken_targets,
    get_pictures,
    make_examples,
    render_png,
    take_newest_frame,
)
from sb3_explain.workflows.saliency_video import write_saliency_video
from tests.agents.reading import corner_reader, random_states, row_reader
from tests.toys import dot_agent


def states(scores: np.ndarray) -> StateDataset:
    frames = np.arange(len(scores) * 4, dtype=np.uint8).reshape(len(scores), 1, 2, 2)
    return StateDataset.from_arrays(
        frames, np.zeros(len(scores), int), scores.argmax(axis=1), scores=scores
    )


def test_the_clearest_state_of_each_frequent_action_is_shown():
    scores = np.zeros((7, 3), np.float32)
    scores[:4, 0] = [1.0, 5.0, 2.0, 0.5]
    scores[4:6, 2] = [1.0, 3.0]
    scores[6, 1] = 9.0
    shown = states(scores)
    assert choose_clear_states(shown, dot_agent(), n=2) == [1, 5]
    assert choose_clear_states(shown, dot_agent(), n=3) == [1, 5, 6]


def test_without_rendered_frames_the_agent_s_own_are_shown():
    shown = states(np.eye(3, dtype=np.float32))
    pictures = get_pictures(shown, np.array([2, 0]), dot_agent())
    assert pictures.shape == (2, 2, 2, 3) and pictures.dtype == np.uint8
    np.testing.assert_array_equal(pictures[0, ..., 1], [[8, 9], [10, 11]])


def test_the_strongest_features_are_named_for_the_top_of_the_page():
    explainer = Gradient(agent_with(spaces.Discrete(2), 2))
    mean = np.array([[0.1, 0.0, 0.4, np.nan], [0.1, 0.0, 0.2, np.nan]])
    names = ["a", "b", "c", "d"]
    said = name_strongest(Importance(mean, mean, mean), names, explainer, 1200)
    assert said == (
        "By Plain gradient, c matters most (0.3 in the mean; then a, 0.1; magnitudes over 1,200 "
        "states)."
    )
    assert name_strongest(Importance(0 * mean, mean, mean), names, explainer, 3) == ""


def agent_with(space: spaces.Space, n_scores: int) -> Agent:
    return Agent.from_module(nn.Linear(4, n_scores), spaces.Box(-1, 1, (4,)), space)


def test_the_sub_action_taken_that_is_shown_is_the_surest():
    agent = agent_with(spaces.MultiDiscrete([2, 3]), 5)
    scores = torch.tensor([[0.0, 9.0, 0.0, 0.1, 0.0], [0.0, 0.1, 0.0, 9.0, 0.0]])
    taken = find_taken_targets(agent, np.array([[0, 2], [1, 0]]), scores)
    assert taken.tolist() == [0, 2]  # first group: its choice 0; second group: 2 + 0
    bits = agent_with(spaces.MultiBinary(2), 2)
    taken = find_taken_targets(bits, np.array([[1, 0]]), torch.tensor([[0.5, -4.0]]))
    assert taken.tolist() == [2]  # the second bit, off


def test_bars_are_probabilities_or_places_in_the_range():
    bits = agent_with(spaces.MultiBinary(1), 1)
    torch.testing.assert_close(compute_shares(bits, torch.zeros(1, 1)), torch.full((1, 2), 0.5))
    box = agent_with(spaces.Box(np.float32([-2, 0]), np.float32([2, 1])), 2)
    assert compute_shares(box, torch.tensor([[1.0, 3.0]])).tolist() == [[0.75, 1.0]]


def test_the_newest_frame_s_strongest_colour_is_shown():
    agent = dot_agent(n_stack=2)
    attributions = torch.zeros(1, 6, 2, 2)
    attributions[0, 4, 0, 0], attributions[0, 3, 0, 0], attributions[0, 0, 1, 1] = -3.0, 2.0, 9.0
    assert take_newest_frame(attributions, agent)[0].tolist() == [[-3.0, 0.0], [0.0, 0.0]]


def test_features_are_named_by_their_key():
    assert list_feature_names({"": 2}) == ["feature 0", "feature 1"]
    assert list_feature_names({"speed": 1, "angle": 2}) == ["speed 0", "angle 0", "angle 1"]


def test_an_agent_without_images_is_explained_by_its_features(tmp_path):
    agent = Agent.from_module(
        nn.Linear(3, 2), spaces.Box(-1, 1, (3,)), spaces.Discrete(2), action_names=["a", "b"]
    )
    vectors = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    scores = agent.scores(torch.from_numpy(vectors)).numpy()
    held = StateDataset.from_arrays(
        vectors,
        np.arange(40) // 10,
        scores.argmax(axis=1),
        scores=scores,
        values=np.full(40, np.nan),
        actions=scores.argmax(axis=1),
    )
    examples = make_examples(held, Gradient(agent))
    assert list(examples) == ["importance"]
    assert render_png(examples["importance"]).startswith(b"\x89PNG")
    assert "bars are 95 % intervals" in examples["importance"].caption
    assert "mean and standard deviation." in examples["importance"].caption
    alone = make_examples(held.subset(np.arange(10)), Gradient(agent))["importance"]
    assert "over 10 test states, of too few episodes for intervals" in alone.caption
    assert write_saliency_video(tmp_path / "v.mp4", held, Gradient(agent), np.arange(2)) is None


def test_values_and_what_replaces_them_stand_beside_the_features():
    agent = Agent.from_module(nn.Linear(2, 2), spaces.Box(-9, 9, (2,)), spaces.Discrete(2))
    held = random_states(agent)
    batch = held.batch(agent, [0, 1, 2])
    seen = held.observations([0, 1, 2]).double().numpy()
    alone = describe_values(batch, [""], {})
    assert alone == [f"{m:.3g} ± {s:.2g}" for m, s in zip(seen.mean(0), seen.std(0), strict=True)]
    replaced = describe_values(batch, [""], {"": lambda observed: torch.full_like(observed, 0.5)})
    assert replaced == [f"{one}, replaced by 0.5" for one in alone]


def test_targets_that_nothing_matters_to_are_named():
    means = np.array([[0.0, 0.0], [0.0, 0.1]])
    said = name_empty(Importance(means, means, means), "gradient", ["a", "b"])
    assert said == " By Plain gradient, no feature matters to a."


def test_boards_are_drawn_as_boards_and_features_beside_them_as_bars():
    agent = row_reader((6, 7, 2), beside=True)
    examples = make_examples(random_states(agent), FeatureAblation(agent))
    assert list(examples) == ["importance_board", "importance"]
    assert all(render_png(one).startswith(b"\x89PNG") for one in examples.values())
    assert "over 40 test states" in examples["importance_board"].caption
    assert find_boards(agent) == {"board": PictureAxes(3, rows=0, columns=1)}
    alone = row_reader((6, 7, 2))
    assert list(make_examples(random_states(alone), FeatureAblation(alone))) == ["importance"]


def test_channel_last_pictures_are_shown_as_they_are():
    agent = corner_reader("hwc")
    held = random_states(agent)
    pictures = get_pictures(held, np.array([0, 3]), agent)
    assert pictures.shape == (2, 16, 20, 3)
    gray = held.observations([0, 3])[..., -1].numpy()
    assert np.corrcoef(pictures[..., 0].ravel(), gray.ravel())[0, 1] > 0.999
