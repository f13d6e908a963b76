"""DiagnosisCallback: a planted fault is warned of once, and what is logged is what was found."""

import json
import logging

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3 import PPO

from sb3_explain import DiagnosisCallback, ExplainError, diagnose
from tests.callbacks.learning import read_back


class Degrees(gym.Env):
    """The second of two features is beyond its bounds."""

    observation_space = spaces.Box(-3.0, 3.0, (2,), np.float32)
    action_space = spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        return self.draw(), {}

    def draw(self):
        return np.float32([self.np_random.uniform(-1, 1), self.np_random.uniform(50, 60)])

    def step(self, action):
        self.steps += 1
        return self.draw(), 1.0, self.steps == 20, False, {}


def test_a_planted_fault_is_warned_of_once_and_logged(tmp_path, caplog):
    callback = DiagnosisCallback(
        ["observations", "noise"], every=80, n_states=90, budget=None, on_error="raise"
    )
    options = {"n_steps": 64, "seed": 0, "policy_kwargs": {"net_arch": [4]}}
    model = PPO("MlpPolicy", Degrees(), tensorboard_log=str(tmp_path), **options)
    with caplog.at_level(logging.WARNING):
        model.learn(192, callback=callback)
    (warned,) = [one.getMessage() for one in caplog.records if "Diagnosis" in one.getMessage()]
    assert "after 80 timesteps: what is observed of feature 1 lies out of the bounds" in warned
    events = read_back(tmp_path / "PPO_1")
    logged = {n: [e.value for e in events.Scalars(f"diagnosis/{n}")] for n in callback.checks}
    assert logged["observations"] == [1, 1, 1]
    assert events.Tags()["images"] == ["diagnosis/evidence"]
    history = json.loads((callback.folder / "history.json").read_text())
    assert [one["timesteps"] for one in history] == [80, 160, 192]
    for one, *found in zip(history, *logged.values(), strict=True):
        assert len(one["findings"]) == sum(found)
    # the page is that of the final agent and of the last states
    states = callback.recent.states(callback.take_agent())
    report = diagnose(model, states, checks=callback.checks, play=False, progress=False)
    assert report.to_dict()["findings"] == history[-1]["findings"]
    assert report.findings[0].said[1:40] in (callback.folder / "diagnosis.html").read_text()


def test_a_check_is_known_before_the_training_and_nothing_is_played_without_states():
    with pytest.raises(ExplainError, match="did you mean 'layers'"):
        DiagnosisCallback(["layer"])
    with pytest.raises(ExplainError, match="play=False: give states"):
        diagnose(PPO("MlpPolicy", Degrees()), play=False)
