"""VisionMask learns where the decision is, and survives being saved, killed and misused."""

import numpy as np
import pytest
import torch

from sb3_explain.agents.agent import Agent
from sb3_explain.common.errors import ExplainError
from sb3_explain.explainers.learned.visionmask import VisionMask
from sb3_explain.states.baselines import BASELINES
from sb3_explain.states.blends import blend
from tests.toys import SIZE, ThirdsNet, dot_agent, dot_states

FAST = {"epochs": 4, "learning_rate": 5e-3, "progress": False, "precision": "no"}


@pytest.fixture(scope="module")
def fitted():
    agent = dot_agent()
    states = dot_states(agent, 800)
    train, validation, test = states.split((0.7, 0.15, 0.15))
    explainer = VisionMask(agent, max_area=0.05, **VisionMask.PAPER)
    explainer.fit(train, validation, **FAST)
    return agent, explainer, test


def test_masks_keep_the_action_and_are_small(fitted):
    agent, explainer, test = fitted
    observations = test.observations(np.arange(len(test)))
    target = torch.from_numpy(test.greedy)
    masks = explainer.attribute(observations)
    shown = blend(observations.float(), masks, explainer.baseline(observations))
    assert (agent.greedy(shown) == target).float().mean() >= 0.95
    assert masks.mean() < 0.12


def test_masks_lie_where_the_decision_is(fitted):
    """Only the left half of the newest frame matters to this agent."""
    _, explainer, test = fitted
    masks = explainer.attribute(test.observations(np.arange(100)))
    assert masks.shape == (100, 2, SIZE, SIZE)
    share = masks[:, 1, :, : SIZE // 2].sum() / masks.sum()
    assert share > 0.75  # a quarter of the cells


def test_shapes_ranges_and_the_default_target(fitted):
    agent, explainer, test = fitted
    observations = test.observations(np.arange(5))
    attributions = explainer.attribute_all(observations)
    assert attributions.shape == (5, 3, 2, SIZE, SIZE)
    assert attributions.min() >= 0 and attributions.max() <= 1
    default = explainer.attribute(observations)
    torch.testing.assert_close(
        default, explainer.attribute(observations, agent.greedy(observations))
    )
    chosen = explainer.attribute(observations, torch.tensor([0, 1, 2, 0, 1]))
    torch.testing.assert_close(chosen[2], attributions[2, 2])


def test_losses_equal_the_definition_state_by_state(fitted):
    """One state and one mask at a time, from eq. 1, against the batched loss."""
    agent, explainer, test = fitted
    total = explainer.losses(explainer.network, test, np.arange(4))
    scores, complements = torch.zeros(4, 3, 3), torch.zeros(4, 3, 3)
    observations = test.observations(np.arange(4)).float()
    with torch.no_grad():
        attributions = explainer.attribute_all(observations)
        for b in range(4):
            s, r = observations[b : b + 1], explainer.baseline(observations[b : b + 1])
            for i in range(3):
                m = attributions[b, i][None]
                scores[b, i] = agent.scores(s * m + r * (1 - m))[0]
                complements[b, i] = agent.scores(s * (1 - m) + r * m)[0]
    from sb3_explain.explainers.learned import losses as loss

    target = torch.from_numpy(test.greedy[:4])
    torch.testing.assert_close(total["contrastive"].detach(), loss.contrastive(scores, target))
    torch.testing.assert_close(
        total["negative_entropy"].detach(), loss.negative_entropy(complements)
    )
    torch.testing.assert_close(total["area"].detach(), loss.area(attributions, 0.05))
    weighted = total["contrastive"] + total["negative_entropy"] + total["area"]
    torch.testing.assert_close(total["loss"], weighted)


def test_the_temperature_divides_the_scores(fitted):
    agent, explainer, test = fitted
    sharp = VisionMask(agent, max_area=0.05, temperature=0.5, **VisionMask.PAPER)
    sharp.network.load_state_dict(explainer.network.state_dict())
    sharp.baselines = explainer.baselines
    torch.nn.init.constant_(agent.view.policy.gain, 120.0)
    doubled = explainer.losses(explainer.network, test, np.arange(4))
    torch.nn.init.constant_(agent.view.policy.gain, 60.0)
    halved = sharp.losses(sharp.network, test, np.arange(4))
    for name in doubled:
        torch.testing.assert_close(halved[name], doubled[name])


def test_save_and_load_give_the_same_maps(fitted, tmp_path):
    agent, explainer, test = fitted
    explainer.save(tmp_path / "vm")
    loaded = VisionMask.load(tmp_path / "vm", agent)
    observations = test.observations(np.arange(8))
    assert torch.equal(loaded.attribute_all(observations), explainer.attribute_all(observations))
    assert torch.equal(loaded.baseline(observations), explainer.baseline(observations))
    assert loaded.settings == explainer.settings and loaded.training == explainer.training


def test_another_agent_and_damaged_files_are_refused(fitted, tmp_path):
    agent, explainer, _ = fitted
    explainer.save(tmp_path / "vm")
    net = ThirdsNet()
    torch.nn.init.constant_(net.gain, 2.0)
    other = Agent.from_module(net, agent.observation_space, agent.action_space, recipe=agent.recipe)
    with pytest.raises(ExplainError, match="another agent"):
        VisionMask.load(tmp_path / "vm", other)
    weights = tmp_path / "vm" / "visionmask.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(ExplainError, match="fit it again"):
        VisionMask.load(tmp_path / "vm", agent)
    with pytest.raises(ExplainError, match="fit one first"):
        VisionMask.load(tmp_path / "nowhere", agent)


def test_one_mask_for_all_frames_and_colours():
    agent = dot_agent(n_stack=4)
    explainer = VisionMask(agent, per_frame=False)
    states = dot_states(agent, 120)
    train, validation, _ = states.split((0.6, 0.2, 0.2))
    explainer.fit(train, validation, **{**FAST, "epochs": 1})
    masks = explainer.attribute(states.observations(np.arange(3)))
    assert masks.shape == (3, 4, SIZE, SIZE)
    assert torch.equal(masks[:, 0], masks[:, 3])


def test_outside_the_content_nothing_is_masked():
    agent = dot_agent()
    explainer = VisionMask(agent, content=(4, 6, 10, 12))
    train, validation, test = dot_states(agent, 120).split((0.6, 0.2, 0.2))
    explainer.fit(train, validation, **{**FAST, "epochs": 1})
    masks = explainer.attribute(test.observations(np.arange(3)))
    inside = masks[:, :, 4:14, 6:18]
    assert inside.min() > 0
    assert masks.sum() == pytest.approx(float(inside.sum()), rel=1e-5)


def test_training_leaves_the_agent_and_global_chance_alone():
    agent = dot_agent()
    train, validation, _ = dot_states(agent, 200).split((0.6, 0.2, 0.2))
    before = agent.fingerprint()
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    VisionMask(agent).fit(train, validation, **{**FAST, "epochs": 1})
    assert torch.equal(torch.rand(3), expected)
    assert agent.fingerprint() == before
    assert not any(p.requires_grad for p in agent.view.policy.parameters())


def test_the_same_seed_gives_the_same_bits():
    agent = dot_agent()
    train, validation, test = dot_states(agent, 200).split((0.6, 0.2, 0.2))
    observations = test.observations(np.arange(4))
    attributions = []
    for seed in (0, 0, 1):
        explainer = VisionMask(agent, seed=seed)
        explainer.fit(train, validation, **{**FAST, "epochs": 2, "seed": seed})
        attributions.append(explainer.attribute_all(observations))
    assert torch.equal(attributions[0], attributions[1]) and not torch.equal(
        attributions[0], attributions[2]
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"network": "compcat"}, "did you mean 'compact'"),
        ({"baseline": "blakc"}, "did you mean 'black'"),
        ({"max_aera": 0.1}, "did you mean 'max_area'"),
        ({"area": "l1"}, "unknown area term"),
        ({"temperature": 0.0}, "must be above 0"),
        ({"network": "unet", "network_options": {"widht": 8}}, "mask network unet: .*widht"),
    ],
)
def test_bad_settings_are_one_line(settings, message):
    with pytest.raises(ExplainError, match=message):
        VisionMask(dot_agent(), **settings)


def half_bright(observations):
    return torch.full_like(observations, 128)


def test_a_function_as_baseline_is_saved_by_its_name_alone(tmp_path, monkeypatch):
    agent = dot_agent()
    train, validation, test = dot_states(agent, 120).split((0.6, 0.2, 0.2))
    explainer = VisionMask(agent, baseline=half_bright)
    with pytest.raises(ExplainError, match="half_bright is a function without a name"):
        explainer.fit(train, validation, folder=tmp_path / "training", **{**FAST, "epochs": 1})
    explainer.fit(train, validation, **{**FAST, "epochs": 1})
    with pytest.raises(ExplainError, match="half_bright is a function without a name"):
        explainer.save(tmp_path / "vm")
    assert not (tmp_path / "vm").exists()
    monkeypatch.setattr(BASELINES, "_by_name", dict(BASELINES.items()))
    BASELINES.register("half_bright")(half_bright)
    explainer.save(tmp_path / "vm")
    loaded = VisionMask.load(tmp_path / "vm", agent)
    observations = test.observations([0])
    assert (loaded.baseline(observations) == 128).all()
    assert torch.equal(loaded.attribute(observations), explainer.attribute(observations))
    assert loaded.plain_settings() == explainer.plain_settings()
    del BASELINES._by_name["half_bright"]
    with pytest.raises(ExplainError, match="unknown baseline 'half_bright'"):
        VisionMask.load(tmp_path / "vm", agent)


def test_a_network_s_own_options(tmp_path):
    agent = dot_agent()
    train, validation, _ = dot_states(agent, 120).split((0.6, 0.2, 0.2))
    explainer = VisionMask(agent, network="unet", network_options={"width": 4})
    explainer.fit(train, validation, **{**FAST, "epochs": 1})
    explainer.save(tmp_path)
    loaded = VisionMask.load(tmp_path, agent)
    assert loaded.network.images[0].head.in_channels == 4
    assert loaded.settings == explainer.settings


def test_use_before_fitting():
    agent = dot_agent()
    with pytest.raises(ExplainError, match="has not been fitted"):
        VisionMask(agent).attribute(dot_states(agent, 20).observations([0]))


def test_too_few_states_and_unknown_options():
    agent = dot_agent()
    states = dot_states(agent, 60)
    few = states.subset(np.arange(5))
    with pytest.raises(ExplainError, match="too few for batches of 16"):
        VisionMask(agent).fit(few, few, **FAST)
    with pytest.raises(ExplainError, match="did you mean 'epochs'"):
        VisionMask(agent).fit(states, states, epoch=3)
