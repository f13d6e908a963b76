"""A video, an export to shap and reprs in one call, from a model made before."""

import io
import sys
import types

import gymnasium as gym
import numpy as np
import pytest
from PIL import Image
from stable_baselines3 import PPO

from sb3_explain import (
    Agent,
    ExplainError,
    FeatureAblation,
    Gradient,
    KernelSHAP,
    VisionMask,
    collect,
    evaluate,
    play,
    plot,
    to_shap,
)
from sb3_explain.explainers.make import make_explainer
from sb3_explain.report.bar_strip import LABELS, BarStrip
from sb3_explain.report.captions import CHOSEN, EXPLAINED
from sb3_explain.report.video import read_frames
from tests.agents.reading import row_reader
from tests.states.live_envs import Field, make_model
from tests.toys import dot_agent, dot_states

IMAGES = dot_agent()
STATES = dot_states(IMAGES, 60)


@pytest.fixture(scope="module")
def model():
    return PPO("MlpPolicy", "CartPole-v1", n_steps=64, seed=0, device="cpu")


def test_an_episode_of_a_vector_agent_has_bars_beside_the_game(model, tmp_path):
    path = play(
        model, "input_x_gradient", path=tmp_path / "a.mp4", n_steps=4, height=200, progress=False
    )
    frames = list(read_frames(path))
    assert 1 <= len(frames) <= 4
    bars = frames[0][:180, -200:].astype(int)
    assert (np.ptp(bars, axis=2) > 60).any()  # colors, where the game has none


@pytest.mark.parametrize("target", ["value", "left - right"])
def test_an_episode_of_any_target(model, tmp_path, target):
    options = {"target": target, "n_steps": 3, "progress": False}
    paths = [
        play(each, "gradient", path=tmp_path / f"{number}.mp4", **options)
        for number, each in enumerate((model, IMAGES))
    ]
    assert all(len(list(read_frames(path))) == 3 for path in paths)
    with pytest.raises(ExplainError, match="sarfa explains actions, not value"):
        play(IMAGES, "sarfa", target="value", path=tmp_path / "c.mp4", progress=False)


def find_color(frame, color, distance=40):
    """Whether a video's frame has a color, as far as the encoder leaves it."""
    return (np.abs(frame.astype(int) - color).max(axis=2) < distance).sum() > 20


def test_the_footer_says_which_target_is_explained(model, tmp_path):
    footers = {}
    for target in (None, "left", "right", "value"):
        path = tmp_path / f"{target}.mp4"
        play(model, "gradient", target=target, path=path, n_steps=2, progress=False)
        footers[target] = next(read_frames(path))
    assert not find_color(footers[None], EXPLAINED)
    assert all(find_color(footers[name], EXPLAINED) for name in ("left", "right", "value"))
    assert all(find_color(footer, CHOSEN) for footer in footers.values())
    # heights of the bars' frames: left is above right, and the value has none
    marked = {
        name: np.flatnonzero(
            (np.abs(footer[:, footer.shape[1] // 2 :].astype(int) - EXPLAINED).max(axis=2) < 40)
            .sum(axis=1) > 60
        )
        for name, footer in footers.items()
    }  # fmt: skip
    assert marked["left"].max() < marked["right"].min() and not len(marked["value"])


def test_of_a_box_action_the_dimension_that_was_asked_for_alone_stands_out(tmp_path):
    box = PPO("MlpPolicy", "Pendulum-v1", n_steps=64, seed=0, device="cpu")
    path = tmp_path / "box.mp4"
    play(box, "gradient", target="torque", path=path, n_steps=2, progress=False)
    frame = next(read_frames(path))
    # the heights of the footer, which is below the frame of the game
    assert find_color(frame[-240:], EXPLAINED) and not find_color(frame[-240:], CHOSEN)


def test_an_episode_of_pictures_is_one_episode(tmp_path):
    path = play(IMAGES, "gradient", path=tmp_path / "a.mp4", n_steps=60, height=96, progress=False)
    assert len(list(read_frames(path))) == 40  # an episode of Dot-v0


def test_an_environment_that_draws_nothing_shows_what_the_agent_observes(tmp_path):
    model = make_model(PPO, Field("picture"))
    path = play(model, "gradient", path=tmp_path / "a.mp4", n_steps=3, height=72, progress=False)
    assert len(list(read_frames(path))) == 3


def test_an_episode_that_nothing_can_be_shown_of_is_refused_before_anything_is_fitted(tmp_path):
    model, said = (
        make_model(PPO, Field()),
        "without render_mode='rgb_array': make it with that argument; .*",
    )
    states = collect(Agent.from_model(model), n_states=20, render=False, progress=False)
    with pytest.raises(ExplainError, match=f"{said}plot.agent, observation.") as refused:
        play(model, "visionmask", states=states, path=tmp_path / "b.mp4", progress=False)
    assert "render=False" not in str(refused.value)


def test_an_episode_may_be_a_gif(tmp_path):
    path = play(
        IMAGES, "gradient", path=tmp_path / "a.gif", n_steps=6, height=96, fps=10, progress=False
    )
    assert [each.name for each in tmp_path.iterdir()] == ["a.gif"]
    with Image.open(path) as shown:
        assert shown.format == "GIF" and shown.info["duration"] == 100
        first = np.asarray(shown.convert("RGB"), dtype=int)
        shown.seek(shown.n_frames - 1)
        assert shown.n_frames <= 6 and (np.asarray(shown.convert("RGB"), dtype=int) != first).any()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"path": "episode"}, "a path that ends in .mp4"),
        ({"n_steps": 0}, "give a positive number"),
        ({"explainer": "gradeint"}, "did you mean 'gradient'"),
    ],
)
def test_what_cannot_be_played_is_refused_before_anything_is_played(arguments, said):
    with pytest.raises(ExplainError, match=said):
        play(IMAGES, **{"explainer": "gradient", "progress": False, **arguments})


def test_bars_of_all_frames_have_one_scale():
    attributions = np.array([[1.0, 0.0, -2.0], [0.5, 0.0, 4.0]])
    strip = BarStrip(["a", "b", "c"], attributions, 120)
    assert strip.scale.peak == 4 and strip.shown.tolist() == [0, 1, 2]
    shown = strip.draw(np.zeros(3), attributions[0]).astype(int)
    assert shown.shape == (120, 320, 3)
    # zero stands a third of the way from -2 to 4, so that bars begin near the names
    zero = round(LABELS * 320 + 0.97 * (1 - LABELS) * 320 / 3)
    for rows, columns, strong in (
        (slice(0, 30), slice(zero + 2, 320), 0),
        (slice(60, 90), slice(0, zero - 2), 2),
    ):
        bar = shown[rows, columns]
        assert (bar[..., strong] > bar[..., 2 - strong] + 60).any()
    quarter = round(0.97 * (1 - LABELS) * 320 / 6)  # pixels of 1
    orange = shown[15, :, 0] > shown[15, :, 2] + 60
    assert orange.sum() == pytest.approx(quarter, abs=2) and orange[zero + 2]
    titled = BarStrip(["a", "b", "c"], attributions, 120, title="SARFA of the action taken")
    assert titled.row_height == 24 and titled.draw(np.zeros(3), attributions[0])[:24].max() > 200
    legend = titled.draw(np.zeros(3), attributions[0])[-24:].astype(int)
    assert (legend[..., 0] > legend[..., 2] + 100).any(), "the colors are shown"
    assert (legend[..., 2] > legend[..., 0] + 100).any()
    assert BarStrip([str(i) for i in range(99)], np.ones((1, 99)), 100).shown.size < 10


def test_a_long_name_loses_its_end_and_never_its_value():
    names = ["pole angular velocity", "the angle between the upper and the lower arm of the robot"]
    strip = BarStrip(names[:1], np.ones((1, 1)), 400)
    assert strip.label(0, -0.0415) == "pole angular velocity = -0.0415"
    said = BarStrip(names, np.ones((1, 2)), 400).label(1, -0.00123)
    assert said.startswith("the angle") and said.endswith("… = -0.00123")


def explain_as_shap(values, base_values=None, data=None, feature_names=None, output_names=None):
    """Stands in for shap.Explanation, which takes long to import, and checks what plots ask of it.

    ``test_shap_export.py`` draws with shap itself.
    """
    assert values.ndim == 2 and values.shape == data.shape
    assert base_values.shape == (len(values),) and len(feature_names) == values.shape[1]
    assert all(part.dtype == np.float64 for part in (values, base_values, data))
    assert isinstance(output_names, str)
    return types.SimpleNamespace(
        values=values, base_values=base_values, data=data, feature_names=feature_names
    )


def test_shap_values_and_base_values_add_up_to_the_score(model, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "shap", types.SimpleNamespace(Explanation=explain_as_shap))
    agent = Agent.from_model(model)
    states = collect(agent, n_states=40, folder=tmp_path, render=False, progress=False)
    explainer = make_explainer("kernel_shap", agent, states, baseline="mean")
    made = to_shap(agent, states, explainer, target=1)
    observed = states.observations(range(40))
    np.testing.assert_allclose(made.data, observed, rtol=1e-6)
    np.testing.assert_allclose(made.values, explainer.attribute(observed, 1), atol=1e-6)
    scores = agent.scores(observed)[:, 1].detach().numpy()
    np.testing.assert_allclose(made.values.sum(axis=1) + made.base_values, scores, atol=1e-5)
    # Shapley values add up to the difference from the baseline, which is the same for all states
    baseline = observed.mean(dim=0, keepdim=True)
    expected = float(agent.scores(baseline)[0, 1])
    np.testing.assert_allclose(made.base_values, expected, atol=1e-4)


def test_pictures_are_not_exported_to_shap():
    with pytest.raises(ExplainError, match="is a picture: plot"):
        to_shap(IMAGES, STATES.observations([0]), "gradient")


def test_without_shap_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "shap", None)
    with pytest.raises(ExplainError, match=r"pip install 'sb3_explain\[shap\]'"):
        to_shap(row_reader(), np.zeros((9, 9, 1), np.int8), FeatureAblation(row_reader()))


def test_reprs_say_what_there_is(model):
    agent = Agent.from_model(model)
    assert repr(agent) == "Agent of ppo in CartPole-v1 with 2 targets"
    shown = agent._repr_html_()
    assert "CartPole-v1" in shown and "left, right" in shown and "(4,)" in shown
    explainer = KernelSHAP(agent)
    assert repr(explainer) == f"KernelSHAP({agent!r})" and "Agent of ppo" in explainer._repr_html_()
    assert "not yet" in VisionMask(IMAGES)._repr_html_()


def test_states_show_some_of_their_pictures():
    assert repr(STATES) == "StateDataset of 60 states of 3 episodes"
    strip = Image.open(io.BytesIO(STATES._repr_png_()))
    assert strip.size == (8 * 100 - 4, 96)
    newest = np.asarray(strip)[:, :96, 0].astype(int)
    frame = STATES.frames_by_key([0])[""][0, 0].numpy()
    row, column = np.argwhere(frame == 255)[4]  # the middle of the dot
    assert newest[row * 4 + 2, column * 4 + 2] > 240
    assert "data:image/png" in STATES._repr_html_() and "60" in STATES._repr_html_()


def test_states_of_vectors_have_no_picture(model, tmp_path):
    states = collect(
        Agent.from_model(model), n_states=20, folder=tmp_path, render=False, progress=False
    )
    assert states._repr_png_() is None and "<img" not in states._repr_html_()


def test_an_evaluation_is_a_table_of_explainers_by_metrics_and_a_figure():
    metrics = {"insertion": {"steps": 3}, "sparseness": {}}
    evaluation = evaluate(
        IMAGES, STATES, [Gradient(IMAGES)], metrics, n_evaluated=6, n_resamples=50
    )
    table = evaluation.pivot()
    assert list(table.columns) == ["insertion", "sparseness"] and "gradient" in table.index
    mean = evaluation.rows["gradient"].intervals["sparseness"].mean
    assert table.loc["gradient", "sparseness"].startswith(f"{mean:.3g}")
    shown = evaluation._repr_html_()
    assert shown.count("<tr>") == 1 + len(evaluation.rows) and f"{mean:.3g}" in shown
    figure = evaluation.plot()
    assert len(figure.axes) == 2 and figure.image().size[0] > 300
    assert len(evaluation.plot(["sparseness"]).axes) == 1
    with pytest.raises(ExplainError, match="did you mean 'sparseness'"):
        evaluation.plot(["sparsenes"])


def test_a_live_gymnasium_observation_is_drawn_in_one_line(model):
    observation = gym.make("CartPole-v1").reset(seed=1)
    assert plot(model, observation, "gradient").image().size[0] > 200


def test_a_target_in_the_place_of_the_explainer_is_told(model):
    observation, _ = gym.make("CartPole-v1").reset(seed=0)
    for name in ("left", "value", "left - right"):
        with pytest.raises(ExplainError, match=f"'{name}' is no explainer but a target: give targ"):
            plot(model, observation, name)
    with pytest.raises(ExplainError, match="unknown explainer 'saliancy'"):
        plot(model, observation, "saliancy")
