"""Faulty explainers, settings and targets end in one line that says what to give."""

from typing import Any

import numpy as np
import pytest
import torch

from sb3_explain.agents.agent import Agent
from sb3_explain.agents.targets.scalars import ScalarTarget
from sb3_explain.common.errors import ExplainError, unknown_name
from sb3_explain.explainers import EXPLAINERS
from sb3_explain.explainers.base import Explainer
from sb3_explain.explainers.make import make_unfitted
from sb3_explain.explainers.named import name_explainer, name_explainers
from tests.toys import dot_agent


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (None, "must be of class Explainer, not NoneType: give its name, such as 'gradient'"),
        (EXPLAINERS["rise"], "not Rise: give its name, such as 'rise'"),
        ("", "unknown explainer ''"),
        ([], "0 explainers are given"),
        ({}, "0 explainers are given"),
        (["gradient", "occlusion"], "2 explainers are given"),
    ],
)
def test_what_is_no_explainer_is_refused(given, said):
    with pytest.raises(ExplainError) as error:
        name_explainer(dot_agent(), given)
    assert said in str(error.value)


def test_none_among_several_is_refused():
    with pytest.raises(ExplainError, match="Explainer, not NoneType"):
        name_explainers(dot_agent(), ["gradient", None])


@pytest.mark.parametrize("wrong", ["a", [1], True, 1.5])
def test_a_whole_number_is_asked_for(wrong):
    with pytest.raises(ExplainError, match=r"n_samples=.*: give a whole number"):
        make_unfitted("smoothgrad", dot_agent(), n_samples=wrong)


@pytest.mark.parametrize("given", [np.int64(3), 3.0, "3"])
def test_whole_numbers_are_read_as_calls_read_them(given):
    made = make_unfitted("smoothgrad", dot_agent(), n_samples=given, max_batch_bytes=1e6)
    assert (made.n_samples, made.max_batch_bytes) == (3, 10**6)
    assert type(made.max_batch_bytes) is int


def test_explainers_of_others_are_checked_as_well():
    class Own(Explainer):
        def __init__(self, agent: Agent, strength: float = 1.0, **options: Any) -> None:
            super().__init__(agent, **options)
            self.strength = strength

        def explain(self, batch):
            return batch.by_key

    assert Own(dot_agent(), "0.5").strength == 0.5
    with pytest.raises(ExplainError, match="strength='a': give a number"):
        Own(dot_agent(), strength="a")
    with pytest.raises(ExplainError, match=r"max_batch_bytes=1\.5: give a whole number"):
        Own(dot_agent(), max_batch_bytes=1.5)
    with pytest.raises(ExplainError, match=r"^Own: missing a required arg.*; it is Own\(agent"):
        Own()


@pytest.mark.parametrize("target", [lambda: 1, int, torch.nn.Linear(2, 2), lambda outputs: 1 / 0])
def test_a_target_that_raises_is_named(target):
    with pytest.raises(ExplainError, match="the target mine raised") as error:
        ScalarTarget("mine", target)(object(), 1)
    assert error.value.__cause__ is not None


def test_a_name_with_other_spaces_or_another_case_says_so():
    assert "did you mean 'go left'? (its spaces differ)" in str(
        unknown_name("action", "go  left", ["go left"])
    )
    assert "did you mean 'sarfa'? (its case differs)" in str(
        unknown_name("explainer", "SARFA", ["sarfa"])
    )
