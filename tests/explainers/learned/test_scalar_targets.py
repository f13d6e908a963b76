"""Masks of the value: they lie where the value is read, and not where the action is."""

import functools
import json

import numpy as np
import pytest
import safetensors.torch
import torch
from gymnasium import spaces
from torch import nn

from sb3_explain.agents.agent import Agent
from sb3_explain.common.errors import ExplainError
from sb3_explain.evaluation.evaluate import evaluate
from sb3_explain.explainers import EXPLAINERS
from sb3_explain.explainers.learned.outcomes import ScalarOutcomes
from sb3_explain.explainers.learned.scalar_targets import measure_spread
from sb3_explain.explainers.learned.visionmask import VisionMask
from sb3_explain.states.batch import StateBatch
from tests.explainers.kinds import agent_of, states_of
from tests.explainers.known import PICTURE, corner_states, known_agent, known_states

QUIET = {"precision": "no", "progress": False}
#: pixels of the newest frame that the value reads, and those that the actions read, each widened by
#: what masks blur
OF_VALUE = (..., 1, slice(0, 13), slice(0, 13))
OF_ACTIONS = (..., 1, slice(11, 24), slice(11, 24))
#: settings and options with which a method finds what a small agent looks at, within seconds
METHODS = {
    "visionmask": ({"max_area": 81 / 1152, "per_frame": True, "baseline": "mean"}, {"epochs": 4}),
    "stalder": ({}, {"epochs": 4}),
    "ssinet": ({"baseline": "mean", "alpha": 0.05}, {"learning_rate": 1e-2, "epochs": 10}),
}


class TwoPatchesNet(nn.Module):
    """Its value is the brightness of one corner; its actions read the opposite one.

    Both are of the newest frame, seen by a convolution.
    """

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(12.0))
        self.convolution = nn.Conv2d(2, 2, 4, stride=2, padding=1, bias=False)
        kernels = torch.eye(2)[:, :, None, None].expand(2, 2, 4, 4) / 16
        self.convolution.weight = nn.Parameter(kernels.contiguous())

    def forward(self, observations):
        features = self.convolution(observations.float() / 255)[:, 1]
        left, right = (features[:, 8:, at : at + 2].mean((1, 2)) - 0.5 for at in (8, 10))
        value = features[:, :4, :4].mean((1, 2)) - 0.5
        scores = self.gain * torch.stack([left, right, torch.zeros_like(left)], dim=1)
        return scores, 50 * value + 7


AGENT = Agent.from_module(TwoPatchesNet(), PICTURE, spaces.Discrete(3), n_stack=2)
STATES = corner_states(AGENT, 500)
PARTS = STATES.split((0.7, 0.15, 0.15))


def fit(name, agent=AGENT, parts=PARTS, target="value", **more):
    settings, options = METHODS[name]
    explainer = EXPLAINERS[name](agent, target=target, **{**settings, **more})
    explainer.fit(*parts[:2], **QUIET, **options)
    return explainer


fitted = functools.cache(fit)


@pytest.fixture(params=METHODS)
def of_value(request):
    return fitted(request.param)


@pytest.fixture
def visionmask():
    return fitted("visionmask")


def shares(masks):
    return float(masks[OF_VALUE].sum() / masks.sum()), float(masks[OF_ACTIONS].sum() / masks.sum())


def test_a_mask_of_the_value_lies_where_the_value_is_read(of_value):
    test = PARTS[2]
    masks = of_value.attribute(test.observations(np.arange(len(test))))
    on_value, on_actions = shares(masks)
    assert on_value > 0.9 and on_actions < 0.05  # 15 % of the pixels each
    assert masks.mean() < 0.1
    batch = test.batch(AGENT, np.arange(len(test)), "value")
    shown = of_value.blend({"": masks[:, None]}, batch)[0][""][:, 0]
    change = (batch.values(shown) - batch.values(batch.observations)).abs().mean()
    assert change < 0.1 * of_value.spread


def test_a_mask_of_the_actions_does_not():
    explainer = fit("stalder", target=None)
    on_value, on_actions = shares(explainer.attribute(PARTS[2].observations(np.arange(50))))
    assert on_actions > 0.9 and on_value < 0.05


# --- the loss ----------------------------------------------------------------------------------


def test_what_is_preserved_and_lost_is_the_definition():
    batch = StateBatch(AGENT, STATES.observations(np.arange(8)), "value")
    rows, hidden = batch.observations * 0.7, torch.full_like(batch.observations, 90)
    outcomes = ScalarOutcomes(batch, {"": hidden}, spread=6.0)
    read = outcomes.read({"": rows}, torch.arange(8))
    for b in range(8):
        own, moved, blind = (
            float(AGENT.values(each[b : b + 1])) for each in (batch.observations, rows, hidden)
        )
        unit = max(abs(own - blind), 6.0)
        preserved, lost = (np.log1p(((moved - goal) / unit) ** 2) for goal in (own, blind))
        assert float(outcomes.keep(read)[b]) == pytest.approx(preserved, abs=1e-5)
        assert float(outcomes.lose(read)[b]) == pytest.approx(lost, abs=1e-5)
    assert len(set(outcomes.unit.tolist())) > 1 and float(outcomes.unit.min()) == 6.0


def test_the_loss_has_no_unit():
    """A value in other units, from another origin, has the same loss."""

    class Scaled(TwoPatchesNet):
        def forward(self, observations):
            scores, values = super().forward(observations)
            return scores, 1000 * values - 5

    other = Agent.from_module(Scaled(), PICTURE, spaces.Discrete(3), n_stack=2)
    for name in METHODS:
        losses = []
        for agent in (AGENT, other):
            explainer = EXPLAINERS[name](agent, target="value", baseline="black")
            explainer.spread = measure_spread(agent, explainer.own_target, STATES)
            losses.append(explainer.losses(explainer.network, STATES, np.arange(8)))
        for term, one in losses[0].items():
            torch.testing.assert_close(losses[1][term], one, atol=1e-4, rtol=1e-3)


def test_the_spread_is_a_standard_deviation():
    values = AGENT.values(STATES.observations(np.arange(len(STATES))))
    explainer = VisionMask(AGENT, target="value")
    found = measure_spread(AGENT, explainer.own_target, STATES)
    assert found == pytest.approx(float(values.std(correction=0)), rel=1e-5)


# --- what it gives -----------------------------------------------------------------------------


def test_there_is_one_mask_a_state(of_value):
    observations = PARTS[2].observations(np.arange(3))
    every = of_value.attribute_all(observations)
    assert every.shape == (3, 1, 2, 24, 24) and list(of_value.target_names) == ["value"]
    own = of_value.attribute(observations)
    torch.testing.assert_close(every[:, 0], own)
    torch.testing.assert_close(of_value.attribute(observations, "value"), own)


def test_it_is_saved_and_loaded(of_value, tmp_path):
    of_value.save(tmp_path)
    loaded = type(of_value).load(tmp_path, AGENT)
    observations = PARTS[2].observations(np.arange(3))
    assert torch.equal(loaded.attribute(observations), of_value.attribute(observations))
    assert loaded.spread == of_value.spread and loaded.settings.target == "value"
    weights = tmp_path / f"{of_value.name}.safetensors"
    tensors = safetensors.torch.load_file(weights)
    for spread in (torch.tensor(0.0), torch.tensor(torch.nan), torch.zeros(2), None):
        changed = {name: each for name, each in tensors.items() if name != "spread"}
        safetensors.torch.save_file(
            changed if spread is None else {**changed, "spread": spread}, weights
        )
        with pytest.raises(ExplainError, match="fit it again"):
            type(of_value).load(tmp_path, AGENT)
    safetensors.torch.save_file(tensors, weights)
    path = tmp_path / f"{of_value.name}.json"
    said = json.loads(path.read_text())
    for target in ("valeu", 3, "0"):
        path.write_text(json.dumps({**said, "settings": {**said["settings"], "target": target}}))
        with pytest.raises(ExplainError, match="fit it again"):
            type(of_value).load(tmp_path, AGENT)


def test_it_is_measured_by_how_far_the_value_is_preserved(visionmask):
    test = PARTS[2]
    found = evaluate(
        AGENT, test, [visionmask], target="value", train=PARTS[0], baseline="mean",
        metrics={"value_preservation": {"steps": 10}, "mask_area": {}}, n_resamples=100,
        n_evaluated=24,
    )  # fmt: skip
    means = {name: row["value_preservation"].mean for name, row in found.intervals.items()
             if "value_preservation" in row}  # fmt: skip
    assert means["visionmask"] < 0.5 * means["random"]
    assert set(found.rows) >= {"visionmask template", "visionmask swapped"}
    assert (
        all(np.isfinite(mean) for mean in means.values()) and not found.rows["visionmask"].failures
    )


def test_it_is_drawn(visionmask):
    from sb3_explain.workflows.showing import compare, plot

    observations = PARTS[2].observations([0])
    for figure in (
        visionmask.show(observations),
        plot(AGENT, observations, visionmask, "value"),
        compare(AGENT, observations, [visionmask, "occlusion"], "value"),
    ):
        said = " ".join(text.get_text() for text in figure.findobj() if hasattr(text, "get_text"))
        assert "value = " in said


@pytest.mark.parametrize("kind", ["vector", "image and vector", "Box", "recurrent", "action masks"])
def test_every_kind_of_agent_with_a_value_has_masks_of_it(kind):
    agent, states = agent_of(kind), states_of(kind)
    explainer = VisionMask(agent, target="value", refine_steps=2)
    explainer.fit(
        states.subset(range(24)), states.subset(range(24, 32)), epochs=1, batch_size=8, **QUIET
    )
    batch = states.batch(agent, np.arange(3), "value")
    before = agent.forwards
    found = explainer.attribute_batch(batch)
    assert agent.forwards - before == 3 * explainer.forwards_per_state
    for key, each in found.items():
        assert each.shape == batch.by_key[key].shape and each.min() >= 0 and each.max() <= 1


def test_other_quantities_may_be_learned():
    agent = known_agent("discrete")
    explainer = fit("visionmask", agent, known_states(agent, 600).split((0.7, 0.15, 0.15)),
                    "0 - 1", max_area=0.25, per_frame=False)  # fmt: skip
    found = explainer.attribute(known_states(agent, 20, seed=1).observations(np.arange(20)))
    assert found[:, [0, 1]].mean() > 4 * found[:, 2:].mean()  # the features of the two actions


# --- what makes no sense -----------------------------------------------------------------------


@pytest.mark.parametrize("name", METHODS)
def test_what_has_no_masks_is_refused_in_one_line(name):
    made = EXPLAINERS[name]
    for agent, settings, said in [
        (AGENT, {"target": "valeu"}, "did you mean 'value'"),
        (AGENT, {"target": "0"}, "masks of all actions are learned"),
        (AGENT, {"target": 1}, "give a name, such as target='value'"),
        (AGENT, {"target": lambda outputs: outputs.value}, "give a name"),
        (AGENT, {"target": "critic1"}, "needs critics"),
    ]:
        with pytest.raises(ExplainError, match=said) as error:
            made(agent, **settings)
        assert "\n" not in str(error.value)


def test_an_agent_without_a_value_is_refused():
    with pytest.raises(ExplainError, match="values"):
        VisionMask(known_agent("discrete"), target="value")


def test_the_paper_s_objective_is_of_actions():
    with pytest.raises(ExplainError, match="objective='contrast' compares actions"):
        VisionMask(AGENT, target="value", **VisionMask.PAPER)


@pytest.mark.parametrize("name", METHODS)
def test_a_constant_value_is_refused_when_it_is_fitted(name):
    class Constant(TwoPatchesNet):
        def forward(self, observations):
            scores, values = super().forward(observations)
            return scores, 0 * values + 3.25

    agent = Agent.from_module(Constant(), PICTURE, spaces.Discrete(3), n_stack=2)
    with pytest.raises(ExplainError, match=r"value is 3\.25 in all 340 training states") as error:
        fit(name, agent)
    assert "\n" not in str(error.value)


def test_other_targets_than_its_own_are_refused(visionmask):
    observations = PARTS[2].observations([0])
    for call in (
        lambda: visionmask.attribute(observations, 1),
        lambda: visionmask.attribute(observations, "entropy"),
        lambda: visionmask.attribute(observations, lambda outputs: outputs.value),
        lambda: visionmask.attribute_batch(StateBatch(AGENT, observations)),
        lambda: visionmask.show(observations, target="0 - 1"),
        lambda: evaluate(AGENT, PARTS[2], [visionmask]),
        lambda: evaluate(AGENT, PARTS[2], [visionmask], ["mask_area"], target="entropy"),
    ):
        with pytest.raises(
            ExplainError, match="explains value alone: give target='value'"
        ) as error:
            call()
        assert "\n" not in str(error.value)
    with pytest.raises(ExplainError, match="accuracy asks how probable an action is"):
        evaluate(AGENT, PARTS[2], [visionmask], ["accuracy"], target="value")


def test_one_of_the_actions_says_how_to_have_one_of_the_value():
    explainer = VisionMask(AGENT)
    with pytest.raises(ExplainError, match=r"explains actions, not value: .*made with target="):
        explainer.attribute(PARTS[2].observations([0]), "value")


def test_the_settings_of_masks_of_actions_are_as_they_were():
    """Runs that were begun before there was a choice go on."""
    assert "target" not in VisionMask(AGENT).plain_settings()
    assert VisionMask(AGENT, target="value").plain_settings()["target"] == "value"
