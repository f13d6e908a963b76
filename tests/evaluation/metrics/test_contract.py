"""What every metric in the registry keeps to, whichever it is."""

import inspect

import numpy as np
import pytest
import torch

from sb3_explain.common.errors import ExplainError
from sb3_explain.evaluation.changing import Changing, change_in_order
from sb3_explain.evaluation.metrics import METRICS, bind_options, list_options, needs
from sb3_explain.evaluation.targets import OF_QUANTITIES
from sb3_explain.states.batch import StateBatch


def call(metric, inputs, rows=slice(None)):
    fed = {}
    for name in needs(metric):
        value = getattr(inputs, name)
        if isinstance(value, torch.Tensor):
            value = value[rows]
        elif isinstance(value, StateBatch):
            known = value.positions[rows]
            explained = value.scalar or value.target[rows]
            value = StateBatch(value.agent, value.observations[rows], explained)
            value.positions = known
        fed[name] = value
    return metric(**fed)


@pytest.fixture
def inputs(inputs, request):
    """The inputs of a metric, of a target that it measures."""
    if request.node.callspec.params.get("name") in OF_QUANTITIES:
        positions = inputs.batch.positions
        inputs.batch = inputs.batch.with_target("entropy")
        inputs.batch.positions = positions
    return inputs


@pytest.mark.parametrize("name", METRICS)
def test_one_value_or_curve_per_state(name, inputs):
    result = call(METRICS[name], inputs)
    assert result.dim() in (1, 2)
    assert len(result) == len(inputs.batch)
    assert not result.requires_grad


@pytest.mark.parametrize("name", METRICS)
def test_arrays_and_agent_are_left_as_they_were(name, inputs):
    inputs.observations, inputs.target = inputs.batch.observations, inputs.batch.target
    before = {
        key: value.clone() for key, value in vars(inputs).items() if isinstance(value, torch.Tensor)
    }
    fingerprint = inputs.agent.fingerprint()
    random_state = torch.get_rng_state()
    call(METRICS[name], inputs)
    for key, value in before.items():
        assert torch.equal(getattr(inputs, key), value), key
    assert inputs.agent.fingerprint() == fingerprint
    assert torch.equal(torch.get_rng_state(), random_state)


@pytest.mark.parametrize("name", METRICS)
def test_values_do_not_depend_on_the_batch(name, inputs):
    together = call(METRICS[name], inputs)
    inputs.rng = np.random.default_rng(0)
    apart = torch.cat([call(METRICS[name], inputs, slice(i, i + 1)) for i in range(len(together))])
    torch.testing.assert_close(apart, together, atol=1e-6, rtol=1e-5, equal_nan=True)


def test_options_are_bound_by_name():
    metrics = bind_options({"insertion": {"steps": 7}, "sparseness": {}})
    assert metrics["insertion"].keywords == {"steps": 7}
    assert needs(metrics["insertion"]) == needs(METRICS["insertion"])
    assert set(bind_options(None)) == set(METRICS)
    assert set(bind_options("deletion")) == {"deletion"}


def test_options_that_several_metrics_share_are_theirs():
    changing = Changing.__annotations__.keys()
    assert list_options(METRICS["insertion"]) == {"steps", "cap", *changing}
    assert list_options(METRICS["policy_specificity"]) == {"steps", *changing}
    every = inspect.signature(change_in_order).parameters.values()
    named = {one.name for one in every if one.kind is one.KEYWORD_ONLY}
    assert changing == named - {"reveal", "steps"}


def test_a_share_in_the_name_is_the_option():
    metrics = bind_options(["accuracy@0.1", "accuracy@0.05", "policy_preservation@0.2 donor"])
    assert [metric.keywords for metric in metrics.values()] == [{}, {"share": 0.05}, {"share": 0.2}]
    assert metrics["accuracy@0.05"].func is METRICS["accuracy@0.1"]
    assert bind_options({"accuracy@0.05": {"share": 0.3}})["accuracy@0.05"].keywords["share"] == 0.3


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("accuracy@2", "give a share of the features in"),
        ("accuracy@", "give a share of the features in"),
        ("policy_preservation@nan", "such as 'policy_preservation@0.1'"),
        ("policy_preservation@ten", "such as 'policy_preservation@0.1'"),
        ("insertion@0.1", "did you mean 'insertion'"),
        ("acuracy@0.1", "did you mean 'accuracy@0.1'"),
    ],
)
def test_a_share_that_is_none_is_one_line(name, said):
    with pytest.raises(ExplainError, match=said) as refusal:
        bind_options([name])
    assert "\n" not in str(refusal.value)


def test_unknown_metrics_and_options_are_named_with_the_nearest():
    with pytest.raises(ExplainError, match="did you mean 'insertion'"):
        bind_options(["insertoin"])
    with pytest.raises(ExplainError, match="did you mean 'steps'"):
        bind_options({"insertion": {"step": 3}})
    with pytest.raises(ExplainError, match="did you mean 'patch_size'"):
        bind_options({"specificity": {"patchsize": 3}})
    with pytest.raises(ExplainError, match="unknown option of insertion 'baseline'"):
        bind_options({"insertion": {"baseline": "black"}})  # what a metric is fed is no option


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("insertion", {"steps": 0}),
        ("deletion", {"fraction": 1.5}),
        ("insertion", {"patch_size": 4}),
        ("insertion", {"perturb_func": "blank"}),
        ("deletion", {"segmentation_method": "slick"}),
        ("deletion", {"perturb_baseline": "donor"}),
        ("policy_preservation", {"noise": -1, "perturb_func": "inpaint"}),
        ("policy_preservation@0.1", {"share": -0.1}),
        ("specificity", {"patch_size": 2}),
        ("policy_specificity", {"perturb_func": "blank"}),
        ("forced_action", {"share": 1.5}),
        ("forced_action", {"rank": 1}),
        ("pixel_flipping", {"features_in_step": 0}),
        ("local_lipschitz", {"n": 0}),
        ("local_lipschitz", {"sigma": 0.0}),
        ("max_sensitivity", {"n": 0}),
        ("max_sensitivity", {"radius": -1.0}),
        ("accuracy@0.1", {"share": 1.5}),
        ("saliency_iou", {"quantile": 1.0}),
    ],
)
def test_an_impossible_option_is_one_line(name, options, inputs):
    with pytest.raises(ExplainError, match=next(iter(options))) as refusal:
        call(bind_options({name: options})[name], inputs)
    assert "\n" not in str(refusal.value)
