"""Whoever uses a name of version 0.1 is told, in one line, what it is called now."""

import pytest

import sb3_explain
from sb3_explain import EXPLAINERS, METRICS, ExplainError, Rise, VisionMask, collect, evaluate
from sb3_explain.callbacks import VisionMaskCallback
from sb3_explain.cli import main
from sb3_explain.common.renamed import RENAMED, find_new_name
from tests.toys import dot_agent, dot_states


@pytest.fixture(scope="module")
def agent():
    return dot_agent()


@pytest.mark.parametrize(
    ("use", "new"),
    [
        (lambda agent: EXPLAINERS["explainer"], "stalder"),
        (lambda agent: METRICS["localisation"], "relevance_mass"),
        (lambda agent: METRICS["noise_sensitivity"], "max_sensitivity"),
        (lambda agent: Rise(agent, reference="black"), "baseline"),
        (lambda agent: Rise(agent, memory=2**20), "max_batch_bytes"),
        (lambda agent: Rise(agent, frames={}), "states"),
        (lambda agent: VisionMask(agent, reference="black"), "baseline"),
        (lambda agent: collect(agent, n=10, folder="nowhere"), "n_states"),
        (lambda agent: evaluate(agent, dot_states(agent, 40), [], reference="mean"), "baseline"),
        (lambda agent: VisionMaskCallback(training={}), "fit_kwargs"),
    ],
)
def test_the_new_name_is_said(agent, use, new):
    with pytest.raises(ExplainError) as refusal:
        use(agent)
    assert f"is called {new!r} now" in str(refusal.value) and "\n" not in str(refusal.value)


def test_a_public_name():
    with pytest.raises(ImportError, match="is called BASELINES now"):
        sb3_explain.REFERENCES  # noqa: B018


def test_a_flag(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["evaluate", "--algo", "ppo", "--env", "E-v0", "-o", "out", "--reference", "black"])
    assert stop.value.code == 2
    assert "--reference is called --baseline now" in capsys.readouterr().err


def test_both_spellings_of_input_x_gradient():
    assert EXPLAINERS["gradient_x_input"] is EXPLAINERS["input_x_gradient"]
    assert "gradient_x_input" not in list(EXPLAINERS)


def test_an_old_name_is_told_apart_by_where_it_is_used():
    assert find_new_name("memory", {"lstm_states"}) == "lstm_states"
    assert find_new_name("memory", {"max_batch_bytes", "agent"}) == "max_batch_bytes"
    assert find_new_name("memory", {"agent"}) is None
    assert not {new for names in RENAMED.values() for new in names} & (
        RENAMED.keys() - {"n_states"}
    )


def test_a_metric_that_asks_for_an_old_input(agent):
    def old(maps):
        return maps

    METRICS.register("old")(old)
    try:
        with pytest.raises(ExplainError, match="'maps' is called 'attributions' now"):
            evaluate(agent, dot_states(agent, 40), [], ["old"])
    finally:
        del METRICS._by_name["old"]
