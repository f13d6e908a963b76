"""One call from a model to a picture, and methods side by side."""

import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3 import PPO, SAC
from torch import nn

from sb3_explain import EXPLAINERS, Agent, ExplainError, compare, plot
from sb3_explain.explainers.gradients.gradient import Gradient
from tests.agents.loading.models import Noise
from tests.agents.reading import row_reader
from tests.toys import dot_agent, dot_states

METHODS = ["gradient", "input_x_gradient"]
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
        (
            lambda: plot("ppo", np.zeros(4)),
            "a model of Stable-Baselines3 will do",
        ),
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
    assert plot(model, model.get_env().reset()).get_suptitle().startswith("Feature ablation: ")
    assert plot(AGENT, STATES.observations([0])).get_suptitle().startswith("SARFA: stay (")


def read_ranges(figure):
    """Highest tick of each color bar, in rows."""
    bars = [axes for axes in figure.axes if axes.get_label() == "<colorbar>"]
    return [bar.get_yticklabels()[-1].get_text() for bar in bars]


def read_note(figure):
    return figure.get_supxlabel().replace("\n", " ")


def test_observations_of_a_method_have_one_scale_and_methods_have_not(model):
    rows = np.array([[0.1, 0.2, 0.05, 0.0], [2.0, -3.0, 0.1, 1.0]], np.float32)
    one, other = (EXPLAINERS[name](Agent.from_model(model)) for name in METHODS)
    figure = compare(model, rows, METHODS)
    for position, explainer in ((0, one), (2, other)):
        peak = f"{explainer.attribute(rows).abs().max():.2g}"
        assert read_ranges(figure)[position : position + 2] == [peak, peak]
    assert "compare along a row, not between rows" in read_note(figure)
    assert "do not compare between rows" in read_note(compare(model, rows[:1], METHODS))
    alone = plot(model, rows, METHODS[1])
    assert read_ranges(alone) == read_ranges(figure)[2:]
    assert read_note(alone) == "All observations have one scale."
    assert read_note(plot(model, rows[:1], METHODS[1])) == ""


@pytest.mark.parametrize(
    ("space", "said"),
    [
        (spaces.Box(-1, 1, (3,)), "Of the 3 dimensions of the action, the one farthest from the"),
        (spaces.MultiDiscrete([3, 2]), "Of the 2 parts of the action, the one that the agent is"),
        (spaces.Box(-1, 1, (1,)), ""),
        (spaces.Discrete(3), ""),
    ],
)
def test_a_figure_says_why_this_part_of_the_action_is_explained(space, said):
    n = sum(space.nvec) if isinstance(space, spaces.MultiDiscrete) else 3
    n = space.shape[0] if isinstance(space, spaces.Box) else n
    agent = Agent.from_module(nn.Linear(4, n), spaces.Box(-9, 9, (4,)), space)
    rows = np.random.default_rng(0).normal(size=(1, 4)).astype(np.float32)
    note = read_note(plot(agent, rows, "input_x_gradient"))
    assert note.startswith(said) and bool(note) == bool(said)
    both = read_note(compare(agent, rows, METHODS))
    assert both.startswith(said) and both.endswith("between rows.")
    if said:
        default = int(Gradient(agent).read_batch(rows, None).target[0])
        for asked in (default, agent.target_names[default], (default + 1) % agent.n_targets):
            assert read_note(plot(agent, rows, "input_x_gradient", target=asked)) == ""
            assert "is explained" not in read_note(compare(agent, rows, METHODS, target=asked))


def test_the_title_names_the_method_and_the_target_of_all_observations(model):
    rows = np.array([[0.1, 0.2, 0.05, 0.0], [2.0, -3.0, 0.1, 1.0]], np.float32)
    agent = Agent.from_model(model)
    figure = plot(agent, rows[:1], "feature_ablation", target="value")
    value = float(agent.values(agent.tensor(rows[:1])))
    assert figure.get_suptitle() == f"Feature ablation: value = {value:.3g}"
    assert figure.axes[0].get_title(loc="left") == ""
    several = plot(agent, rows, "feature_ablation", target="value")  # of different values
    assert several.get_suptitle() == "Feature ablation"
    assert several.axes[0].get_title(loc="left").startswith("value = ")


def test_a_long_title_is_as_wide_as_its_figure(model):
    named = Agent.from_model(model, action_names=["push the cart to the left " * 3, "right"])
    figure = plot(named, np.zeros((1, 4), np.float32), "gradient", target=0)
    figure.canvas.draw()
    title = figure._suptitle.get_window_extent()
    assert "\n" in figure.get_suptitle() and title.x1 <= figure.bbox.x1


def test_a_box_action_is_in_the_environments_unit():
    env = Noise(spaces.Box(-1, 1, (4,), np.float32), spaces.Box(-2, 2, (1,), np.float32))
    model = SAC("MlpPolicy", env, buffer_size=10, seed=3, device="cpu")
    observation = np.array([0.9, -0.8, 0.7, 0.6], np.float32)
    [received] = model.predict(observation, deterministic=True)[0]
    title = " ".join(plot(model, observation, "gradient").get_suptitle().split())
    assert f"= {received:.3g} (the policy's {received / 2:.3g}, explained here)" in title
