"""Which explainers a report shows, and what is refused before anything is played."""

import re
from pathlib import Path

import numpy as np
import pytest
from gymnasium import spaces
from torch import nn

from sb3_explain.agents.agent import Agent
from sb3_explain.common.errors import ExplainError
from sb3_explain.explainers import EXPLAINERS
from sb3_explain.explainers.base import FittedExplainer
from sb3_explain.explainers.gradients.grad_cam import GradCAM
from sb3_explain.explainers.gradients.gradient import Gradient
from sb3_explain.explainers.make import default_explainer
from sb3_explain.workflows.chosen_explainers import (
    choose_explainers,
    list_defaults,
    list_fitted,
)
from sb3_explain.workflows.pipeline import explain
from tests.explainers.kinds import agent_of
from tests.toys import dot_agent


def vector_agent():
    return Agent.from_module(
        nn.Linear(4, 2), spaces.Box(-1, 1, (4,), np.float32), spaces.Discrete(2)
    )


@pytest.mark.parametrize("agent", [dot_agent(), vector_agent()], ids=["pictures", "vectors"])
def test_the_defaults_need_no_fit_and_support_the_agent(agent, tmp_path):
    names = list_defaults(agent)
    assert names[0] == default_explainer(agent) and len(names) == 2
    for name in names:
        assert EXPLAINERS[name].unsupported(agent) is None
        assert not issubclass(EXPLAINERS[name], FittedExplainer)
    assert list(choose_explainers(agent, tmp_path).explainers) == names
    for target in ("value", "left - right"):
        for name in list_defaults(agent, target if agent.n_targets == 3 else "0 - 1"):
            assert not EXPLAINERS[name].actions_only


def test_the_docs_say_which_methods_are_the_defaults(monkeypatch):
    monkeypatch.setattr(GradCAM, "flat_keys", [])
    text = Path("docs/cli.md").read_text()
    said = text[text.index("The methods are `sarfa`") :]
    agents = [agent_of(kind) for kind in ("image", "image and vector", "vector")]
    said, expected = re.findall(r"`([a-z_]+)`", said)[:6], [list_defaults(each) for each in agents]
    assert said == [name for names in expected for name in names]
    text = Path("docs/pictures.md").read_text()
    said = re.findall(r"`([a-z_]+)`", text[text.index("`plot` explains with") :])[1:4]
    assert said == [default_explainer(each) for each in agents]


def test_explainers_may_be_made_or_named(tmp_path):
    agent = vector_agent()
    made = Gradient(agent)
    chosen = choose_explainers(agent, tmp_path, {"mine": made, "other": "kernel_shap"})
    assert chosen.explainers["mine"] is made and chosen.by_name == {"other"}
    assert not chosen.learns and choose_explainers(agent, tmp_path, made).explainers
    assert choose_explainers(agent, tmp_path, fit="visionmask").learns


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"explainers": "sarfa"}, "sarfa does not support this agent"),
        ({"explainers": ["gradient", "gradient"]}, "two explainers have the same name"),
        ({"explainers": ["gradeint"]}, "did you mean 'gradient'"),
        ({"explainers": [3]}, "must be of class Explainer, not int"),
        ({"explainers": ["visionmask"]}, "was not fitted: give fit='visionmask'"),
        ({"fit": "gradient"}, "gradient needs no fit"),
        ({"fit": "visionmsk"}, "did you mean 'visionmask'"),
        ({"target": "lft"}, "unknown target 'lft'"),
        ({"fit_kwargs": {"epoch": 1}}, "epoch"),
        ({"explainer_kwargs": {"max_aria": 1}}, "max_area"),
        ({"metrics": ["insertoin"]}, "did you mean 'insertion'"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_cannot_work_is_refused_before_anything_is_played(tmp_path, arguments, says):
    with pytest.raises(ExplainError, match=says):
        explain(vector_agent(), tmp_path / "out", **arguments)
    assert not (tmp_path / "out").exists()


def test_another_agents_explainer_is_refused(tmp_path):
    with pytest.raises(ExplainError, match="explains another agent"):
        choose_explainers(vector_agent(), tmp_path, Gradient(vector_agent()))


def test_what_was_fitted_is_found(tmp_path):
    assert list_fitted(tmp_path) == []
    (tmp_path / "stalder").mkdir()
    (tmp_path / "stalder" / "stalder.json").write_text("{}")
    assert list_fitted(tmp_path) == ["stalder"]
    with pytest.raises(ExplainError, match="damaged"):
        choose_explainers(vector_agent(), tmp_path)
