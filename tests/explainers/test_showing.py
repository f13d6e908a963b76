"""``show``: every method's attributions of every kind of observation are drawn."""

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from sb3_explain import compare
from sb3_explain.agents.agent import Agent
from sb3_explain.common.errors import ExplainError
from sb3_explain.explainers import EXPLAINERS
from sb3_explain.explainers.base import Explainer, FittedExplainer
from sb3_explain.explainers.gradients.gradient import Gradient
from sb3_explain.explainers.gradients.input_x_gradient import InputXGradient
from sb3_explain.explainers.showing import Look, list_panels
from sb3_explain.report.panels import BarPanel, BoardPanel, PicturePanel
from tests.agents.reading import row_reader
from tests.explainers.kinds import agent_of, quick, states_of
from tests.toys import dot_agent, dot_states

UNFITTED = [name for name, kind in EXPLAINERS.items() if not issubclass(kind, FittedExplainer)]
IMAGES = dot_agent()
STATES = dot_states(IMAGES, 60)


class Ramp(Explainer):
    """Attributions that are known: the number of each feature, from -2."""

    name = "ramp"

    def explain(self, batch):
        return {
            key: torch.arange(observed.numel(), dtype=torch.float32).reshape(observed.shape) - 2
            for key, observed in batch.by_key.items()
        }


def panels_of(explainer, observations, target=None, **look):
    batch = explainer.read_batch(observations, target)
    attributions = explainer.attribute_batch(batch)
    return attributions, list_panels(batch, attributions, 0, Look(**look))


@pytest.mark.parametrize("kind", ["image", "image and vector", "vector"])
@pytest.mark.parametrize("name", UNFITTED)
def test_every_map_that_is_not_empty_is_seen(name, kind):
    agent = agent_of(kind)
    if EXPLAINERS[name].unsupported(agent) is not None:
        pytest.skip("not supported")
    explainer = quick(name, agent, states_of(kind))
    attributions, panels = panels_of(explainer, states_of(kind).observations([0]))
    assert panels
    for panel in panels:
        if isinstance(panel, PicturePanel):
            colored = np.ptp(panel.render().astype(int), axis=2).max()
            plain = np.ptp(panel.picture.astype(int), axis=2).max()
            if np.abs(panel.attribution).max() > 0.1 * panel.scale.peak:
                assert colored > 60 or plain > 60
        else:
            assert len(panel.attributions) == sum(
                part[0].numel() for part in attributions.values() if part.dim() < 4
            )


def test_bars_have_names_values_and_the_attributions_that_attribute_gives():
    agent = agent_of("vector")
    observation = states_of("vector").observations([3])
    explainer = InputXGradient(agent)
    _, (bars,) = panels_of(explainer, observation)
    assert isinstance(bars, BarPanel)
    np.testing.assert_allclose(bars.attributions, explainer.attribute(observation)[0], rtol=1e-6)
    np.testing.assert_allclose(bars.values, observation[0], rtol=1e-6)
    assert list(bars.names) == [f"feature {i}" for i in range(len(observation[0]))]


def test_frames_of_a_stack_are_shown_by_choice():
    observation = STATES.observations([5])
    _, (newest,) = panels_of(Ramp(IMAGES), observation)
    _, both = panels_of(Ramp(IMAGES), observation, frames="all")
    _, (oldest,) = panels_of(Ramp(IMAGES), observation, frames=0)
    assert [panel.heading for panel in both] == ["frame t - 1", ""]
    np.testing.assert_array_equal(newest.attribution, both[1].attribution)
    np.testing.assert_array_equal(oldest.attribution, both[0].attribution)
    assert both[0].attribution[0, 0] == -2 and both[1].attribution[0, 0] == 24 * 24 - 2
    np.testing.assert_array_equal(newest.picture[..., 0], observation[0, 1])
    np.testing.assert_array_equal(oldest.picture[..., 0], observation[0, 0])
    assert both[0].scale == both[1].scale != newest.scale


def test_a_board_is_drawn_as_a_board():
    agent = row_reader((2, 3, 5))
    observation = (np.arange(30) % 3).astype(np.int8).reshape(1, 2, 3, 5)
    _, (board,) = panels_of(Ramp(agent), observation)
    assert isinstance(board, BoardPanel)
    expected = (np.arange(30).reshape(2, 3, 5) - 2.0).sum(axis=0)
    np.testing.assert_array_equal(board.attribution, expected)
    np.testing.assert_array_equal(board.squares, observation[0])


def test_one_observation_with_channels_last_is_explained_as_the_batch():
    batch = STATES.observations([5])
    expected = Gradient(IMAGES).attribute(batch)
    frames = batch[0].numpy().transpose(1, 2, 0)
    torch.testing.assert_close(Gradient(IMAGES).attribute(frames), expected)


def test_a_figure_names_the_target_and_its_probability():
    observations = STATES.observations([5, 6])
    figure = Gradient(IMAGES).show(observations, target="LEFT", theme="dark")
    share = IMAGES.probabilities(observations.float())[0, 0]
    assert f"left (probability {share:.0%})".replace("%", " %") in [
        axes.get_title(loc="left") for axes in figure.axes
    ]
    assert len([axes for axes in figure.axes if axes.images]) == 4  # two of two pictures


def test_a_map_may_be_laid_over_the_rendered_frame():
    rendered = np.full((50, 30, 3), 77, np.uint8)
    _, (panel,) = panels_of(Ramp(IMAGES), STATES.observations([0]), rendered=rendered)
    np.testing.assert_array_equal(panel.picture, rendered)
    for figure in (
        Ramp(IMAGES).show(STATES.observations([0]), rendered=rendered),
        compare(IMAGES, STATES.observations([0]), [Ramp(IMAGES)], rendered=rendered),
    ):
        assert figure.axes[0].get_title(loc="left") == "rendered game"
    plain = Ramp(IMAGES).show(STATES.observations([0]))
    assert plain.axes[0].get_title(loc="left") == "observation"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"style": "haet"}, "did you mean 'heat'"),
        ({"frames": 2}, "a number from 0 to 1"),
        ({"frames": "oldest"}, "give 'newest'"),
        ({"target": "leeft"}, "did you mean 'left'"),
        ({"rendered": np.zeros((4, 4))}, "give one frame"),
        ({"rendered": np.zeros((4, 4, 3))}, "rendered is float64 (4, 4, 3): give one frame"),
        ({"rendered": 3}, "rendered is 3: give one frame"),
        ({"teme": "dark"}, "did you mean 'theme'"),
        ({"theme": "drak"}, "did you mean 'dark'"),
    ],
)
def test_what_cannot_be_drawn_is_refused_in_one_line(arguments, said):
    with pytest.raises(ExplainError) as error:
        Ramp(IMAGES).show(STATES.observations([0]), **arguments)
    assert said in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("rendered", "said"),
    [(3, "rendered is 3"), (np.zeros((9, 9, 3), np.uint8), "observes no picture whose map")],
)
def test_no_frame_is_laid_under_the_bars_of_a_vector(rendered, said):
    agent = Agent.from_module(nn.Linear(3, 2), spaces.Box(-1, 1, (3,)), spaces.Discrete(2))
    with pytest.raises(ExplainError, match=said):
        Ramp(agent).show(np.zeros(3, np.float32), rendered=rendered)


def test_too_many_observations_are_refused():
    with pytest.raises(ExplainError, match="16 at most"):
        Ramp(IMAGES).show(STATES.observations(range(17)))
