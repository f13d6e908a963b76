"""What fails in an evaluation is one line and NaN; what works stands."""

import json
import logging

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from sb3_explain.agents.agent import Agent
from sb3_explain.common.errors import ExplainError
from sb3_explain.common.failures import describe_failure
from sb3_explain.evaluation.evaluate import evaluate
from sb3_explain.evaluation.metrics import METRICS
from sb3_explain.explainers.base import Explainer
from sb3_explain.explainers.gradients.input_x_gradient import InputXGradient
from sb3_explain.report.page import write_report
from sb3_explain.states.dataset import StateDataset

N = 24


class Breaking(Explainer):
    """Magnitudes, until the first feature of a state is above a bound."""

    name = "breaking"
    gives_masks = True

    def __init__(self, agent, error=None, bound=-np.inf):
        super().__init__(agent)
        self.error = error or IndexError("index 13\nis out of range")
        self.bound = bound

    def explain(self, batch):
        if bool((batch.by_key[""][:, 0] > self.bound).any()):
            raise self.error
        return {"": batch.by_key[""].abs()}


@pytest.fixture(scope="module")
def agent():
    return Agent.from_module(nn.Linear(4, 2), spaces.Box(-1, 1, (4,)), spaces.Discrete(2))


@pytest.fixture(scope="module")
def states():
    vectors = np.random.default_rng(0).uniform(-1, 1, (N, 4)).astype(np.float32)
    return StateDataset.from_arrays(vectors, np.arange(N) // 4, np.zeros(N, dtype=np.int64))


@pytest.fixture
def broken_metric():
    """A metric that fails on the gradient's attributions alone."""

    @METRICS.register("broken")
    def broken(batch, explainer, attributions):
        if explainer.name == "gradient":
            raise ZeroDivisionError("division by zero")
        return attributions.sum(dim=1)

    yield
    del METRICS._by_name["broken"]


def read_failures(caplog):
    """What was said of failures; other lines speak of the few states."""
    return [r.getMessage() for r in caplog.records if r.name.endswith(".measuring")]


def test_an_explainer_that_fails_takes_nothing_else_along(agent, states, caplog):
    names = ["sparseness", "accuracy", "insertion"]
    alone = evaluate(agent, states, [InputXGradient(agent)], names)
    with caplog.at_level(logging.WARNING):
        both = evaluate(agent, states, [Breaking(agent), InputXGradient(agent)], names)
    (line,) = read_failures(caplog)
    assert "breaking failed (IndexError: index 13 is out of range)" in line and "\n" not in line
    assert list(both.rows["breaking"].values) == names
    assert all(np.isnan(values).all() for values in both.values["breaking"].values())
    assert all(len(values) == N for values in both.values["breaking"].values())
    for name, row in alone.rows.items():
        for metric, values in row.values.items():
            np.testing.assert_array_equal(values, both.values[name][metric], err_msg=name)


@pytest.mark.parametrize(
    "options", [{"patch_size": 7}, {"segmentation_method": "slic"}, {"perturb_func": "inpaint"}]
)
def test_regions_of_an_agent_without_images_are_one_line(agent, states, options, caplog):
    metrics = {
        "insertion": {"steps": 4}, "insertion regions": {"steps": 4, **options},
        "specificity": {"steps": 4, **options},
    }  # fmt: skip
    with caplog.at_level(logging.WARNING):
        evaluation = evaluate(agent, states, [InputXGradient(agent)], metrics)
    row = evaluation.rows["input_x_gradient"]
    assert set(row.failures) == {"insertion regions", "specificity"}
    for reason in row.failures.values():
        assert "need a single image, and these observations are none" in reason
        assert "use perturb_func='baseline' without regions" in reason
    assert row.intervals["insertion"].n == N  # the other one stands
    assert not any("\n" in record.getMessage() for record in caplog.records)
    with pytest.raises(ExplainError, match=r"nothing could be measured: .*need a single image"):
        evaluate(agent, states, [InputXGradient(agent)], {"deletion": options})


def test_it_fails_in_a_later_batch(agent, states, caplog):
    bound = float(states.observations(range(N))[:, 0].max()) - 1e-6
    done = evaluate(agent, states, [Breaking(agent, bound=bound)], ["sparseness"], batch_size=4)
    assert np.isnan(done.values["breaking"]["sparseness"]).all()
    assert len(done.values["breaking"]["sparseness"]) == N
    assert len(read_failures(caplog)) == 1


@pytest.mark.usefixtures("broken_metric")
def test_a_metric_that_fails_takes_nothing_else_along(agent, states, caplog):
    done = evaluate(agent, states, [], ["sparseness", "broken"], batch_size=5)
    assert np.isnan(done.values["gradient"]["broken"]).all()
    assert np.isfinite(done.values["gradient"]["sparseness"]).all()
    assert np.isfinite(done.values["random"]["broken"]).all()
    assert [said.partition(" (")[0] for said in read_failures(caplog)] == [
        "broken of gradient failed"
    ]


@pytest.mark.usefixtures("broken_metric")
def test_the_table_the_file_and_the_page_say_why(agent, states, tmp_path):
    done = evaluate(agent, states, [], ["sparseness", "broken"])
    table = done.table().set_index(["explainer", "metric"])
    assert (
        table.loc[("gradient", "broken"), "note"] == "failed: ZeroDivisionError: division by zero"
    )
    assert table.loc[("random", "broken"), "note"].startswith("intervals are too narrow with ")
    written = json.loads(json.dumps(done.to_dict(), allow_nan=False))
    assert written["explainers"]["gradient"]["broken"] == {
        "mean": None, "low": None, "high": None, "n": 0,
        "failed": "ZeroDivisionError: division by zero",
    }  # fmt: skip
    assert "failed" not in written["explainers"]["random"]["broken"]
    page = write_report(tmp_path, metrics=written).read_text()
    assert 'title="failed: ZeroDivisionError: division by zero">failed' in page
    assert "nan" not in page.partition("<tbody>")[2].partition("</tbody>")[0].lower()


def test_nothing_could_be_measured(agent, states):
    with pytest.raises(ExplainError, match=r"^nothing could be measured: n=0, .*neighbour"):
        evaluate(agent, states, [], {"max_sensitivity": {"n": 0}})


@pytest.mark.parametrize(
    "error",
    [
        KeyboardInterrupt(),
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_nothing_survives_is_raised(agent, states, error):
    with pytest.raises(type(error)):
        evaluate(agent, states, [Breaking(agent, error)], ["sparseness"])


def test_a_failure_is_one_short_line():
    assert describe_failure(ExplainError("give one")) == "give one"
    assert describe_failure(ValueError()) == "ValueError"
    assert len(describe_failure(ValueError("x\n" * 9999))) < 200
