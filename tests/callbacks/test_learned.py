"""Callbacks that learn: a VisionMask and its masks, a generator and its page."""

import json

import gymnasium as gym
import numpy as np
import pytest
from PIL import Image
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import DummyVecEnv

from sb3_explain import StateGenerator, VisionMask
from sb3_explain.callbacks import (
    StateGeneratorCallback,
    VisionMaskCallback,
    sheets,
)
from sb3_explain.callbacks.training_states import take_snapshot
from sb3_explain.common.errors import ExplainError
from sb3_explain.report.explanation_figure import explanation_figure
from tests.callbacks.learning import learn, make, read_back

pytestmark = pytest.mark.usefixtures("few_candidates")

SHORT = {"epochs": 2, "batch_size": 8}


def test_the_visionmask_is_saved_and_is_this_agents(tmp_path):
    model = make("ppo")
    callback = VisionMaskCallback(
        every=150, n_states=150, folder=str(tmp_path), fit_kwargs=SHORT, n_shown=2, budget=None,
        on_error="raise",
    )  # fmt: skip
    rows = learn(model, 300, callback)
    assert not any(key.startswith("visionmask") for _, row in rows for key in row)
    agent = take_snapshot(model)
    loaded = VisionMask.load(tmp_path / "visionmask", agent)
    states = callback.states(agent)
    observations = agent.tensor(states.observations(np.arange(4)))
    assert (loaded.attribute(observations) == callback.explainer.attribute(observations)).all()
    on_the_way = [p.name for p in (tmp_path / "visionmask").iterdir() if p.is_dir()]
    assert on_the_way == ["150"]
    for timesteps in callback.worked:  # masks beside saliency maps
        sheet = Image.open(tmp_path / "visionmask" / f"masks_{timesteps}.png")
        assert np.ptp(np.asarray(sheet.convert("L"))) > 100


def test_masks_are_shown_beside_a_saliency_map_of_states_that_were_not_learned_from(
    tmp_path, monkeypatch
):
    drawn, fitted = [], []
    fit = VisionMask.fit

    def watched(self, train, validation, **options):
        fitted.append((train, validation))
        return fit(self, train, validation, **options)

    def draw(rows, **options):
        drawn.append((rows, options))
        return explanation_figure(rows, **options)

    monkeypatch.setattr(VisionMask, "fit", watched)
    monkeypatch.setattr(sheets, "explanation_figure", draw)
    model = make("ppo", tensorboard_log=str(tmp_path / "tb"))
    callback = VisionMaskCallback(
        n_states=150, folder=str(tmp_path), fit_kwargs=SHORT, n_shown=2, budget=None,
        on_error="raise", action_names=["go left", "stay", "go right"],
    )  # fmt: skip
    model.learn(192, callback=callback)
    ((rows, options),) = drawn
    assert options["title"] == "VisionMask after 192 timesteps"
    seen, mask, saliency = rows[0][:3]
    assert "go " in seen.heading or "stay" in seen.heading
    assert "step " in seen.heading and "return " in seen.heading
    assert (mask.heading, saliency.heading) == ("VisionMask", "Integrated gradients")
    (_, validation), position = fitted[0], fitted[0][1].spread(2)[:1]
    observations = callback.explainer.agent.tensor(validation.observations(position))
    desired = callback.explainer.attribute(observations)[0, -1].numpy()
    assert np.allclose(mask.attribution, desired, atol=1e-6)
    events = read_back(tmp_path / "tb" / "PPO_1")
    assert [event.step for event in events.Images("visionmask/masks")] == [192]


def test_a_fit_begins_with_the_weights_of_the_one_before(tmp_path, monkeypatch):
    started, ended = [], []
    fit = VisionMask.fit

    def watched(self, *arguments, **options):
        started.append({k: v.clone() for k, v in self.network.state_dict().items()})
        result = fit(self, *arguments, **options)
        ended.append({k: v.clone() for k, v in self.network.state_dict().items()})
        return result

    monkeypatch.setattr(VisionMask, "fit", watched)
    callback = VisionMaskCallback(
        every=160, n_states=150, folder=str(tmp_path), fit_kwargs=SHORT, budget=None, n_shown=0,
        on_error="raise",
    )  # fmt: skip
    learn(make("ppo"), 320, callback)  # once on the way, once at the end
    assert len(started) == 2
    assert all((started[1][key] == ended[0][key]).all() for key in ended[0])
    assert any((started[0][key] != ended[0][key]).any() for key in ended[0])


def test_the_generators_page_is_made_from_the_trainings_states(tmp_path):
    model = make("ppo")
    callback = StateGeneratorCallback(
        n_states=150, targets=["value_low", "value_high"], n_samples=4, folder=str(tmp_path),
        generator_kwargs={"latent": 4}, fit_kwargs=SHORT, probe_kwargs={"steps": 3}, budget=None,
        on_error="raise",
    )  # fmt: skip
    learn(model, 320, callback)
    folder = tmp_path / "generator"
    assert (folder / "probes.html").stat().st_size > 10_000
    assert sorted(p.stem for p in (folder / "probes").glob("*.png")) == ["value_high", "value_low"]
    assert not (folder / "states").exists()
    StateGenerator.load(folder / "generator", take_snapshot(model)).require_fitted()


def test_the_generator_takes_what_probing_takes(tmp_path):
    model = make("ppo", tensorboard_log=str(tmp_path / "tb"))
    targets = ["right", "entropy", "right - left", "T+"]
    callback = StateGeneratorCallback(
        n_states=150, targets=targets, n_samples=4, folder=str(tmp_path),
        generator_kwargs={"latent": 4}, fit_kwargs=SHORT, probe_kwargs={"steps": 3}, budget=None,
        on_error="raise", action_names=["left", "stay", "right"],
    )  # fmt: skip
    model.learn(192, callback=callback)
    folder = tmp_path / "generator"
    names = ["action:right", *targets[1:]]  # an action has one name, however it is given
    assert list(json.loads((folder / "probes.json").read_text())["targets"]) == names
    page = (folder / "probes.html").read_text()
    assert "right - left is high." in page and "entropy is high." in page
    events = read_back(tmp_path / "tb" / "PPO_1")
    shown = {
        "generator/action_right",
        "generator/entropy",
        "generator/right_-_left",
        "generator/T-plus",
    }
    assert set(events.Tags()["images"]) == shown


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("rihgt", "did you mean 'right'"),
        ("q:right", "needs Q-values"),
        ("critic1", "needs critics"),
    ],
)
def test_a_target_of_the_generator_is_checked_before_the_training(target, said, tmp_path):
    model = make("ppo")
    callback = StateGeneratorCallback(
        n_states=150, targets=["value_low", target], folder=str(tmp_path), on_error="raise",
        action_names=["left", "stay", "right"],
    )  # fmt: skip
    with pytest.raises(ExplainError, match=said):
        model.learn(192, callback=callback)
    assert model.num_timesteps == 0


def test_a_fit_that_comes_too_early_waits_for_states(tmp_path, caplog):
    callback = VisionMaskCallback(
        every=20, n_states=1000, folder=str(tmp_path), fit_kwargs=SHORT, budget=None, n_shown=0,
        explainer_kwargs={"network_options": {"width": 8}},
    )  # fmt: skip
    learn(make("ppo"), 128, callback)
    # a tenth of the states that are wanted is enough
    assert callback.worked[0] == 100
    assert caplog.text == ""


def test_long_episodes_are_split_by_pieces(tmp_path):
    env = DummyVecEnv([lambda: Endless()])
    model = PPO("MlpPolicy", env, n_steps=64, batch_size=64, n_epochs=1, seed=0)
    callback = VisionMaskCallback(
        n_states=150,
        folder=str(tmp_path),
        fit_kwargs=SHORT,
        budget=None,
        n_shown=0,
        on_error="raise",
    )
    learn(model, 192, callback)
    assert callback.explainer.fitted


class Endless(gym.Env):
    """Numbers, for ever."""

    observation_space = gym.spaces.Box(-1, 1, (3,), np.float32)
    action_space = gym.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.np_random.uniform(-1, 1, 3).astype(np.float32), {}

    def step(self, action):
        return self.np_random.uniform(-1, 1, 3).astype(np.float32), 1.0, False, False, {}


def test_few_states_are_said(tmp_path, caplog):
    short = {"folder": str(tmp_path), "fit_kwargs": SHORT, "n_shown": 0}
    callback = VisionMaskCallback(n_states=10_000, **short)
    learn(make("ppo"), 64, callback)
    assert callback.worked == [64]  # there is something to see whatever the budget
    assert "64 states in place of 10000 are few to learn from" in caplog.text
    caplog.clear()
    learn(make("dqn"), 40, VisionMaskCallback(**short))
    # said when the training begins, not at its end
    assert "40 timesteps give too few states to learn from: train for at least 64" in caplog.text
    assert not (tmp_path / "visionmask_2").exists()


def test_whole_rollouts_are_counted(tmp_path, caplog):
    callback = VisionMaskCallback(
        n_states=1100, folder=str(tmp_path), fit_kwargs=SHORT, budget=None, n_shown=0
    )
    learn(make("dqn", train_freq=60), 61, callback)  # which makes 120 steps
    assert callback.worked == [120]
    callback = VisionMaskCallback(
        n_states=1100, folder=str(tmp_path), fit_kwargs=SHORT, budget=None, n_shown=0
    )
    learn(make("dqn", train_freq=(3, "episode")), 61, callback)
    assert callback.worked == [120]  # an episode has 40 steps
    assert "too few" not in caplog.text


def test_a_fit_ends_when_its_share_of_the_time_is_over(tmp_path):
    callback = VisionMaskCallback(
        n_states=200, folder=str(tmp_path), fit_kwargs={"epochs": 10_000, "batch_size": 8},
        budget=0.8, n_shown=0, on_error="raise",
    )  # fmt: skip
    learn(make("ppo"), 1024, callback)
    assert callback.explainer.fitted
    assert callback.explainer.training.step < 10_000
    assert callback.spent / callback.training_seconds < 1.2


def test_fits_on_the_way_leave_time_for_the_one_of_the_end(tmp_path):
    callback = VisionMaskCallback(
        every=400, n_states=200, folder=str(tmp_path), budget=0.8, n_shown=0, on_error="raise",
        fit_kwargs={"epochs": 10_000, "batch_size": 8},
    )  # fmt: skip
    learn(make("ppo"), 1024, callback)
    assert callback.worked == [400, 800, 1024]
    assert (tmp_path / "visionmask" / "visionmask.json").exists()


def test_the_generator_keeps_to_its_share_of_the_time(tmp_path):
    callback = StateGeneratorCallback(
        n_states=200, targets=["value_low", "value_high"], n_samples=8, folder=str(tmp_path),
        generator_kwargs={"latent": 4}, fit_kwargs={"epochs": 10_000, "batch_size": 8},
        probe_kwargs={"steps": 100_000}, budget=1.5, on_error="raise",
    )  # fmt: skip
    learn(make("ppo"), 2048, callback)
    assert (tmp_path / "generator" / "probes.html").exists()
    # the page itself, its figures and the last validation take some seconds more; the searches
    # alone would take minutes
    assert callback.spent < 1.5 * callback.training_seconds + 10
