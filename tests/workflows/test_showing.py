"""One call from a model to a picture, and methods side by side."""

import numpy as np
import pytest
from stable_baselines3 import PPO

from sb3_explain import EXPLAINERS, Agent, ExplainError, compare, plot
from sb3_explain.explainers.gradients.gradient import Gradient
from tests.agents.reading import row_reader
from tests.toys import dot_agent, dot_states

AGENT = dot_agent()
STATES = dot_states(AGENT, 60)


@pytest.fixture(scope="module")
def model():
    return PPO("MlpPolicy", "CartPole-v1", n_steps=32, seed=0, device="cpu")


@pytest.mark.parametrize("form", ["reset of a VecEnv", "one", "gymnasium's reset"])
def test_a_model_is_drawn_without_more_ado(model, form):
    observations = model.get_env().reset()
    given = {
        "reset of a VecEnv": observations,
        "one": observations[0],
        "gymnasium's reset": (observations[0], {}),
    }[form]
    figure = plot(model, given, "input_x_gradient")
    expected = EXPLAINERS["input_x_gradient"](Agent.from_model(model)).attribute(observations)
    bars = [bar.get_width() for bar in figure.axes[0].patches]
    np.testing.assert_allclose(bars, expected[0], rtol=1e-5)


def test_methods_are_compared_in_rows():
    named = {"ours": Gradient(AGENT), "theirs": "input_x_gradient"}
    figure = compare(AGENT, STATES.observations([0, 1]), named, frames="all", target="stay")
    headings = [axes.get_title(loc="left") for axes in figure.axes if axes.images]
    assert headings == [
        *["frame t - 1", "observation"] * 2,
        *["ours\nframe t - 1", "ours"] * 2,
        *["theirs\nframe t - 1", "theirs"] * 2,
    ]
    assert "stay" in figure.get_suptitle()


def test_agents_are_compared_in_rows(model):
    other = PPO("MlpPolicy", "CartPole-v1", n_steps=32, seed=1, device="cpu")
    observations = model.get_env().reset()
    agents = {"one": model, "other": Agent.from_model(other)}
    figure = compare(agents, observations, ["gradient", "input_x_gradient"], target="value")
    drawn = [axes for axes in figure.axes if axes.patches]
    for number, each in enumerate((model, other)):
        agent = Agent.from_model(each)
        expected = EXPLAINERS["input_x_gradient"](agent).attribute(observations, "value")
        bars = [bar.get_width() for bar in drawn[2 * number + 1].patches]
        np.testing.assert_allclose(bars, expected[0], rtol=1e-5)
    headings = [axes.get_title(loc="left") for axes in drawn]
    assert headings[0].startswith("one: ") and headings[2].startswith("other: ")
    assert [line.split(":")[0] for line in figure.get_suptitle().splitlines()] == ["one", "other"]


def test_agents_with_the_same_perturbations_share_no_forward_passes():
    observations = STATES.observations([0])
    agents = {"one": AGENT, "other": dot_agent()}
    agents["other"].view.policy.gain.data.fill_(5.0)
    together = compare(agents, observations, ["sarfa"], target="stay")
    alone = compare(agents["other"], observations, ["sarfa"], target="stay")
    maps = [[axes.images[-1].get_array() for axes in figure.axes if axes.images]
            for figure in (together, alone)]  # fmt: skip
    np.testing.assert_array_equal(maps[0][-1], maps[1][-1])


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: plot("ppo", np.zeros(4)), "agent must be of class Agent, not str"),
        (lambda: plot(AGENT, STATES.observations([0]), "rize"), "did you mean 'rise'"),
        (lambda: plot(AGENT, STATES.observations([0]), "visionmask"), "learns: give states="),
        (lambda: plot(AGENT, STATES.observations([0]), "rise", n_maks=3), "'n_masks'"),
        (lambda: plot(AGENT, STATES.observations([0]), Gradient(AGENT), n=3), "when you make"),
        (lambda: compare(AGENT, STATES.observations([0]), []), "nothing to compare"),
        (lambda: compare({}, STATES.observations([0]), ["rise"]), "nothing to compare"),
        (lambda: compare(AGENT, STATES.observations([0]), ["rise", "rise"]), "the same name"),
        (lambda: compare(AGENT, STATES.observations([0]), [3]), "must be of class Explainer"),
        (
            lambda: plot(row_reader(), np.zeros((9, 9, 1), np.int8), Gradient(AGENT)),
            "explains another agent",
        ),
    ],
)
def test_what_cannot_be_drawn_is_refused_in_one_line(call, said):
    with pytest.raises(ExplainError) as error:
        call()
    assert said in str(error.value) and "\n" not in str(error.value)


def test_without_a_name_a_method_that_supports_the_agent_is_chosen(model):
    assert plot(model, model.get_env().reset()).get_suptitle() == "Feature ablation"
    assert plot(AGENT, STATES.observations([0])).get_suptitle() == "SARFA"
