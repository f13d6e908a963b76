"""Counterfactuals of agents whose reasons are known, by hand and by slow loops."""

import numpy as np
import pytest
import torch
from gymnasium import spaces
from scipy.ndimage import label
from skimage.restoration import inpaint_biharmonic
from stable_baselines3 import PPO, SAC
from torch import nn

from sb3_explain.agents.agent import Agent
from sb3_explain.common.errors import ExplainError
from sb3_explain.explainers.counterfactual import contrast, counterfactual
from sb3_explain.explainers.regions import find_image_regions, inpaint
from sb3_explain.states.baselines import Black, FunctionBaseline, fit_to_frames

SIDE = 12


class Halves(nn.Module):
    """Scores left, right and stay by the brightness of each half, and 1."""

    def forward(self, images):
        left = images[:, :, :, : SIDE // 2].sum(dim=(1, 2, 3))
        right = images[:, :, :, SIDE // 2 :].sum(dim=(1, 2, 3))
        return torch.stack([left, right, torch.ones_like(left)], dim=1)


@pytest.fixture
def halves():
    space = spaces.Box(0, 255, (1, SIDE, SIDE), np.uint8)
    names = ["left", "right", "stay"]
    return Agent.from_module(Halves(), space, spaces.Discrete(3), action_names=names)


@pytest.fixture
def picture():
    """Nine bright pixels on the left; four on the right, two of which touch at a corner."""
    picture = torch.zeros(1, 1, SIDE, SIDE)
    picture[0, 0, 2:5, 1:4] = 1.0
    for y, x in ((7, 8), (8, 9), (8, 10), (9, 8)):
        picture[0, 0, y, x] = 2.0
    return picture


def softmax(*scores):
    exponentials = np.exp(np.array(scores, dtype=float))
    return exponentials / exponentials.sum()


def test_by_hand(halves, picture):
    """9 left against 8 right: left, until the left blob has gone."""
    found = counterfactual(halves, picture, picture, baseline=Black(), instead=1)
    assert found.target == 0
    assert [region.mass for region in found.regions] == [9.0, 8.0]
    assert found.regions[0].where() == "rows 2-4, columns 1-3"
    assert found.regions[1].where() == "rows 7-9, columns 8-10"
    without_left, without_right = found.alone
    first, both = found.together
    np.testing.assert_allclose(found.before.probabilities, softmax(9, 8, 1), atol=1e-6)
    np.testing.assert_allclose(without_left.probabilities, softmax(0, 8, 1), atol=1e-6)
    np.testing.assert_allclose(without_right.probabilities, softmax(9, 0, 1), atol=1e-6)
    np.testing.assert_allclose(first.probabilities, softmax(0, 8, 1), atol=1e-6)
    np.testing.assert_allclose(both.probabilities, softmax(0, 0, 1), atol=1e-6)
    assert [found.action(r) for r in (found.before, *found.alone, *found.together)] == [
        "left", "right", "left", "right", "stay"]  # fmt: skip
    assert [r.changed for r in (found.before, *found.alone, *found.together)] == [
        False, True, False, True, True]  # fmt: skip
    table = found.table()
    assert table["regions"].tolist() == ["", "1", "2", "1", "1, 2"]
    assert table["p(left)"].tolist()[1] == pytest.approx(softmax(0, 8, 1)[0], rel=1e-4)
    assert table["p(right)"].tolist()[2] == pytest.approx(softmax(9, 0, 1)[1], rel=1e-4)
    assert table["p(action)"].tolist()[4] == pytest.approx(softmax(0, 0, 1)[2], rel=1e-4)


def test_the_target_need_not_be_what_the_agent_does(halves, picture):
    found = counterfactual(halves, picture, picture, 1, baseline=Black())
    assert found.before.changed and found.action(found.before) == "left"
    assert found.alone[0].preference == pytest.approx(softmax(0, 8, 1)[1], rel=1e-4)
    assert not found.alone[0].changed


def test_regions_are_the_connected_groups_of_the_highest_share():
    """Against scipy's labels of the cells at or above the quantile."""
    generator = torch.Generator().manual_seed(0)
    attribution = torch.rand(4, 30, 40, generator=generator)
    regions = find_image_regions("", attribution, 0.2)
    pixels = attribution.numpy().max(axis=0)
    salient = pixels >= np.sort(pixels.ravel())[-240]
    labels, n = label(salient, structure=np.ones((3, 3)))
    expected = sorted((pixels[labels == i].sum(), (labels == i).sum()) for i in range(1, n + 1))
    found = sorted((region.mass, region.mask.sum()) for region in regions)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_only_positive_pixels_make_regions_and_labels_may_be_given():
    attribution = torch.tensor([[[3.0, -1.0, 0.0, 2.0]]])
    assert [r.mass for r in find_image_regions("", attribution, 1.0)] == [3.0, 2.0]
    labels = np.array([[1, 1, 2, 0]])
    (region,) = find_image_regions("", attribution, 0.1, labels)
    assert region.mass == 3.0
    assert region.mask.tolist() == [[True, True, False, False]]
    with pytest.raises(ExplainError, match="regions of"):
        find_image_regions("", attribution, 0.1, labels[:, :2])


def test_the_greatest_regions_come_first_and_not_more_than_asked_for(halves):
    observation = torch.zeros(1, 1, SIDE, SIDE)
    for n, x in enumerate((0, 3, 6, 9), start=1):
        observation[0, 0, :n, x] = 1.0
    found = counterfactual(halves, observation, observation, baseline=Black(), n_regions=3)
    assert [region.mass for region in found.regions] == [4.0, 3.0, 2.0]
    found = counterfactual(halves, observation, observation, baseline=Black(), min_mass=0.75)
    assert [region.mass for region in found.regions] == [4.0, 3.0]


def test_every_layer_of_the_stack_is_removed():
    space = spaces.Box(0, 255, (2, SIDE, SIDE), np.uint8)
    agent = Agent.from_module(Halves(), space, spaces.Discrete(3), n_stack=2)
    observation = torch.ones(1, 2, SIDE, SIDE)
    attributions = torch.zeros_like(observation)
    attributions[0, 1, 4, 4] = 1.0
    found = counterfactual(agent, observation, attributions, baseline=Black())
    gone = observation - found.alone[0].observation[""]
    assert gone[0, :, 4, 4].tolist() == [1.0, 1.0]
    assert gone.sum() == 2


def test_inpainting_fills_each_layer_from_its_surroundings():
    generator = torch.Generator().manual_seed(0)
    image = 255 * torch.rand(1, 3, 16, 16, generator=generator)
    removed = np.zeros((16, 16), dtype=bool)
    removed[5:9, 6:8] = True
    filled = inpaint(image, removed)
    for layer, original in zip(filled[0].numpy(), image[0].numpy(), strict=True):
        expected = inpaint_biharmonic(original.astype(float) / 255, removed) * 255
        np.testing.assert_allclose(layer, expected, atol=1e-3)
    assert torch.equal(filled[0][:, ~removed], image[0][:, ~removed])
    plain = torch.full((1, 1, 16, 16), 87.0)
    plain[0, 0, 5:9, 6:8] = 236.0
    assert (inpaint(plain, removed) - 87).abs().max() < 0.01


def test_inpainting_is_the_default(halves, picture):
    found = counterfactual(halves, picture, picture)
    assert found.alone[0].observation[""].max() == 2.0
    assert found.alone[0].observation[""][..., :6].max() < 0.01
    assert found.action(found.alone[0]) == "right"


# --- other observations and actions -----------------------------------------------------------


def test_features_go_one_by_one():
    """Against a loop that zeroes them by hand."""
    weight = torch.tensor([[1.0, 2.0, -1.0, 0.0], [0.5, 0.0, 0.0, 3.0]])
    module = nn.Linear(4, 2, bias=False)
    with torch.no_grad():
        module.weight.copy_(weight)
    agent = Agent.from_module(module, spaces.Box(-5, 5, (4,), np.float32), spaces.Discrete(2))
    observation = torch.tensor([[1.0, 2.0, 3.0, 0.5]])
    attributions = observation * weight[0]  # 1, 4, -3, 0
    found = counterfactual(agent, observation, attributions, 0, baseline=Black())
    # feature 3, which the map does not mark, is no region
    assert [region.where() for region in found.regions] == ["feature 1", "feature 0", "feature 2"]
    seen = observation[0].clone()
    for feature, alone, together in zip((1, 0, 2), found.alone, found.together, strict=True):
        single = observation[0].clone()
        single[feature] = seen[feature] = 0
        for removal, left in ((alone, single), (together, seen)):
            expected = softmax(*(weight @ left).tolist())
            np.testing.assert_allclose(removal.probabilities, expected, atol=1e-6)
            assert removal.changed == bool(expected.argmax() != 0)
    with pytest.raises(ExplainError, match="cannot replace the features"):
        counterfactual(agent, observation, attributions)
    with pytest.raises(ExplainError, match="no attribution is above 0"):
        counterfactual(agent, observation, 0 * attributions, baseline=Black())


def test_features_have_their_names():
    space = spaces.Dict(
        wheels=spaces.Box(-5, 5, (4,), np.float32), battery=spaces.Box(0, 1, (2,), np.float32)
    )

    class Sums(nn.Module):
        def forward(self, observed):
            parts = [observed[key].float().sum(dim=1) for key in ("wheels", "battery")]
            return torch.stack([sum(parts), -sum(parts)], dim=1)

    # two frames of the wheels are stacked; the battery has no names
    agent = Agent.from_module(
        Sums(), space, spaces.Discrete(2), n_stack=2, feature_names={"wheels": ["left", "right"]}
    )
    observed = {"wheels": torch.tensor([[1.0, 2, 3, 4]]), "battery": torch.tensor([[0.5, 0.0]])}
    found = counterfactual(agent, observed, observed, 0, baseline=Black())
    assert found.table()["where"].tolist()[1:6] == [
        "right", "left", "right, t - 1", "left, t - 1", "feature 0",
    ]  # fmt: skip


def test_a_category_is_one_feature():
    class Table(nn.Module):
        def forward(self, observations):
            return torch.tensor([[1.0, 0.0], [0.0, 3.0]])[observations.long()]

    agent = Agent.from_module(Table(), spaces.Discrete(2), spaces.Discrete(2))
    pixel = torch.tensor([1])
    found = counterfactual(agent, pixel, torch.ones(1), baseline=Black())
    assert found.action(found.before) == "action 1" and found.action(found.alone[0]) == "action 0"
    assert found.regions[0].where() == "feature 0"


class Both(nn.Module):
    def forward(self, observations):
        bright = observations["camera"].sum(dim=(1, 2, 3))
        return torch.stack([bright, observations["speed"][:, 0]], dim=1)


def test_images_and_features_of_a_dict():
    space = spaces.Dict(
        camera=spaces.Box(0, 255, (1, 8, 8), np.uint8), speed=spaces.Box(0, 9, (2,), np.float32)
    )
    agent = Agent.from_module(Both(), space, spaces.Discrete(2))
    camera = torch.zeros(1, 1, 8, 8)
    camera[0, 0, 3, 3] = 7.0
    observation = {"camera": camera, "speed": torch.tensor([[5.0, 1.0]])}
    attributions = {"camera": camera, "speed": torch.tensor([[-5.0, 0.5]])}
    baselines = {
        "camera": "inpaint",
        **fit_to_frames("mean", {"speed": torch.tensor([[4.0, 1.0]])}),
    }
    found = counterfactual(agent, observation, attributions, baseline=baselines)
    assert [(r.key, r.mass) for r in found.regions] == [
        ("camera", 7.0), ("speed", 0.5), ("speed", -5.0)]  # fmt: skip
    assert [r.scores.round(2).tolist() for r in found.alone] == [[0, 5], [7, 5], [7, 4]]
    assert [r.scores.round(2).tolist() for r in found.together] == [[0, 5], [0, 5], [0, 4]]
    assert torch.equal(observation["camera"], camera) and camera[0, 0, 3, 3] == 7
    assert "camera" in found.table()["key"].tolist()


def test_of_several_sub_actions_only_the_targets_own_counts():
    class Groups(nn.Module):
        def forward(self, x):
            return torch.stack([x[:, 0], x[:, 1], 9 * x[:, 1], x[:, 0], 0 * x[:, 0]], dim=1)

    space = spaces.Box(-5, 5, (2,), np.float32)
    agent = Agent.from_module(Groups(), space, spaces.MultiDiscrete([2, 3]))
    observation = torch.tensor([[2.0, 1.0]])
    found = counterfactual(agent, observation, observation, 0, baseline=Black())
    # without feature 0 the first sub-action is its second choice, whatever the others score
    assert found.alone[0].outcome == 1 and found.alone[0].changed
    assert found.alone[1].outcome == 0 and not found.alone[1].changed


def test_a_box_action_changes_when_its_dimension_moves():
    class Steer(nn.Module):
        def forward(self, x):
            return torch.stack([x[:, 0] + 0.05 * x[:, 1], x[:, 1]], dim=1)

    agent = Agent.from_module(
        Steer(),
        spaces.Box(-5, 5, (2,), np.float32),
        spaces.Box(-1, 1, (2,), np.float32),
        action_names=["steer", "gas"],
    )
    observation = torch.tensor([[0.5, 0.4]])
    found = counterfactual(agent, observation, observation, 0, baseline=Black())
    assert [r.changed for r in found.alone] == [True, False]
    assert found.action(found.before) == "steer +0.52"
    assert found.action(found.alone[0]) == "steer +0.02"
    assert found.before.probabilities is None
    assert "p(action)" not in found.table()
    assert found.alone[0].preference < found.alone[1].preference < 1
    assert str(found).startswith("Why steer +0.52?") and "steer like before" in str(found)
    # what moves the dimension down is as much a part of it
    down = counterfactual(agent, observation, -observation, 0, baseline=Black())
    assert [r.mass for r in down.regions] == [r.mass for r in found.regions]


def test_what_is_not_allowed_stays_so():
    agent = Agent.from_module(nn.Identity(), spaces.Box(0, 9, (3,), np.float32), spaces.Discrete(3))
    observation = torch.tensor([[5.0, 4.0, 1.0]])
    policy_inputs = {"action_masks": torch.tensor([[1, 0, 1]])}
    found = counterfactual(
        agent, observation, observation, policy_inputs=policy_inputs, baseline=Black()
    )
    assert found.alone[0].outcome == 2


def test_it_prints_as_a_short_table():
    agent = Agent.from_module(
        nn.Identity(), spaces.Box(0, 9, (3,), np.float32), spaces.Discrete(3),
        action_names=["a", "b", "c"], feature_names=["one", "two", "three"],
    )  # fmt: skip
    observation = torch.tensor([[5.0, 4.0, 1.0]])
    found = counterfactual(
        agent, observation, torch.tensor([[5.0, 4.0, 0.0]]), instead=1, baseline=Black()
    )
    assert str(found).splitlines() == [
        "Why a and not b?",
        "                 the agent does  p(a)  p(b)",
        "with everything  a               72 %  27 %",
        "without 1 (one)  b               2 %   94 %  changes",
        "without 2 (two)  a               98 %  1 %",
        "without 1 to 2   c               21 %  21 %  changes",
    ]
    assert repr(found) == (
        "Counterfactual: Why a and not b? 2 regions; the action changes without 1 alone (print it "
        "for a table)"
    )
    assert found._repr_html_().count("<tr>") == 5
    assert "tensor" not in repr(found.alone) + repr(found.regions)


# --- contrast, mistakes -----------------------------------------------------------------------


def test_contrast_by_hand():
    left, right = torch.tensor([[4.0, 1.0], [0.0, 0.0]]), torch.tensor([[2.0, 2.0], [0.0, 0.0]])
    assert contrast(left, right).tolist() == [[0.5, -0.25], [0.0, 0.0]]
    # keys share a scale, and opposite signs are no more than 1 apart
    both = contrast({"a": left[:1], "b": -8 * left[:1]}, {"a": right[:1], "b": right[:1]})
    torch.testing.assert_close(both["a"], torch.tensor([[2 / 34, -1 / 34]]))
    torch.testing.assert_close(both["b"], torch.tensor([[-1.0, -10 / 34]]))


def test_mistakes_are_named(halves, picture):
    with pytest.raises(ExplainError, match="one at a time"):
        counterfactual(halves, picture.repeat(2, 1, 1, 1), picture)
    with pytest.raises(ExplainError, match="no attribution is above 0"):
        counterfactual(halves, picture, torch.zeros_like(picture))
    with pytest.raises(ExplainError, match="share=0"):
        counterfactual(halves, picture, picture, share=0)
    with pytest.raises(ExplainError, match="left is what is explained"):
        counterfactual(halves, picture, picture, instead=0)
    with pytest.raises(ExplainError, match="no target"):
        counterfactual(halves, picture, picture, instead=3)


def test_agent_and_arrays_are_left_as_they_were(halves, picture):
    before, fingerprint = picture.clone(), halves.fingerprint()
    counterfactual(halves, picture, picture)
    assert torch.equal(picture, before) and halves.fingerprint() == fingerprint


def test_a_box_action_beyond_its_range_is_compared_as_it_is_received():
    class Doubled(nn.Module):
        def forward(self, x):
            return 2 * x

    low, high = np.float32([-1, -0.5]), np.float32([1, 0.5])
    agent = Agent.from_module(
        Doubled(), spaces.Box(-5, 5, (2,), np.float32), spaces.Box(low, high),
        action_names=["left knee", "gas"],
    )  # fmt: skip
    observation = torch.tensor([[1.03, 0.1]])
    # 2.06 becomes 1.4: the environment receives 1 both times
    hidden = FunctionBaseline(lambda observed: torch.tensor([[0.7, 0.1]]).expand_as(observed))
    found = counterfactual(agent, observation, observation, 0, baseline=hidden)
    clipped = np.clip(2 * np.array([[1.03, 0.1], [0.7, 0.1]]), low, high)
    assert clipped[:, 0].tolist() == [1, 1]
    removals = found.before, found.alone[0]
    for removal, expected in zip(removals, clipped, strict=True):
        np.testing.assert_allclose(removal.received, expected)
    assert not found.alone[0].changed and found.alone[0].scores[0] == pytest.approx(1.4)
    assert "+1.00" in str(found) and "2.06" not in str(found) and "p(" not in str(found)
    table = found.table()
    assert table["received"].tolist()[:2] == [1, 1] and "similarity" in table
    assert not [column for column in table if column.startswith("p(")]
    # from beyond the range into it by 0.3 of its extent of 2
    inside = FunctionBaseline(lambda observed: torch.tensor([[0.2, 0.1]]).expand_as(observed))
    assert counterfactual(agent, observation, observation, 0, baseline=inside).alone[0].changed


@pytest.mark.parametrize("model_class", [PPO, SAC])
def test_what_a_box_action_is_agrees_with_predict(model_class):
    model = model_class("MlpPolicy", "Pendulum-v1", seed=0, device="cpu")
    agent = Agent.from_model(model)
    if model_class is PPO:
        model.policy.action_net.bias.data += 2.5  # beyond the range of 2
        agent = Agent.from_model(model)
    observation = np.float32([[0.6, -0.8, 3.0]])
    found = counterfactual(
        agent, torch.from_numpy(observation), torch.ones(1, 3), 0, baseline=Black()
    )
    for removal in (found.before, *found.alone, *found.together):
        seen = removal.observation[""].numpy()
        taken = model.predict(seen, deterministic=True)[0]
        np.testing.assert_allclose(removal.received, taken[0], atol=1e-5)
        own = model.predict(observation, deterministic=True)[0]
        assert removal.changed == (abs(taken - own)[0, 0] > 0.05 * 4)
