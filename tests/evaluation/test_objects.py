"""Attention per object, and objects that leave the picture and the game."""

import gymnasium as gym
import numpy as np
import pytest
from scipy import stats
from stable_baselines3 import PPO

from sb3_explain import Agent, Constant, ExplainError, Gradient, collect_objects, demo_agent
from sb3_explain.evaluation.objects import (
    REMOVALS,
    correlate,
    object_agreement,
    object_attention,
    play_on,
    remove_from_picture,
)

BALL = (236, 236, 236)


@pytest.fixture(scope="module")
def object_states():
    return collect_objects(demo_agent(), n_states=3, every=30)


def test_attention_equals_a_loop_over_pixels(object_states):
    explainer = Gradient(object_states.player.agent)
    shares = object_attention(explainer, object_states).shares["Enemy"]
    attributions = np.abs(explainer.attribute(object_states.observations).numpy()).astype(float)
    for index, state in enumerate(object_states.objects):
        inside = 0.0
        for frame, objects in enumerate(state):
            boxes = [each for each in objects if each.category == "Enemy"]
            for row, column in np.ndindex(84, 84):
                y, x, height, width = row * 2.5, column * 160 / 84, 2.5, 160 / 84
                inside += attributions[index, frame, row, column] * any(
                    box.y < y + height and y < box.y + box.height
                    and box.x < x + width and x < box.x + box.width
                    for box in boxes
                )  # fmt: skip
        assert shares[index] == pytest.approx(inside / attributions[index].sum(), rel=1e-5)


def test_a_map_that_is_the_same_everywhere_prefers_nothing(object_states):
    attention = object_attention(Constant(object_states.player.agent), object_states)
    assert np.nanmean(attention.ratios["Player"]) == pytest.approx(1, abs=1e-5)


def test_what_leaves_the_picture_leaves_nothing_else_changed(object_states):
    without = remove_from_picture(object_states, "Ball")
    changed = (without != object_states.observations).flatten(1).sum(dim=1)
    shows = [any(e.category == "Ball" for frame in s for e in frame) for s in object_states.objects]
    assert any(shows) and all((changed > 0).numpy() == shows) and changed.max() < 4 * 40
    court = without[:, -1, 14:77, 10:70]
    assert court.float().std() < object_states.observations[:, -1, 14:77, 10:70].float().std()


def test_what_leaves_the_game_is_not_on_the_screen(object_states):
    play_on(object_states.player, object_states.snapshots[0], 5, REMOVALS["Pong"]["Ball"])
    court = object_states.player.ale.getScreenRGB()[34:194, 20:140]
    assert not (court == BALL).all(axis=2).any()
    play_on(object_states.player, object_states.snapshots[0], 5, REMOVALS["Pong"]["Player"])
    assert (
        not (object_states.player.ale.getScreenRGB()[34:194, 140:144] == (92, 186, 92))
        .all(axis=2)
        .any()
    )


def test_the_same_game_is_played_from_a_state_twice(object_states):
    frames = []
    for _ in range(2):
        play_on(object_states.player, object_states.snapshots[1], 8, {})
        frames.append(object_states.player.ale.getScreenRGB())
    assert np.array_equal(*frames)


def test_the_agreement_is_spearmans_correlation():
    rng = np.random.default_rng(0)
    claims = rng.random((20, 3))
    effects = claims + rng.random((20, 3))
    claims[0, 1] = np.nan
    result = correlate(claims, effects, seed=0, n_resamples=100)
    known = ~np.isnan(claims)
    assert result.mean == pytest.approx(stats.spearmanr(claims[known], effects[known]).statistic)
    assert result.low < result.mean < result.high
    assert np.isnan(correlate(claims, np.zeros((20, 3)), seed=0, n_resamples=10).mean)


def test_bad_input_is_told_in_one_line(object_states, monkeypatch):
    model = PPO("MlpPolicy", gym.make("CartPole-v1"), n_steps=64, device="cpu")
    with pytest.raises(ExplainError, match="observes no picture"):
        collect_objects(Agent.from_model(model))
    monkeypatch.setattr("sb3_explain.evaluation.objects.REMOVALS", {"Breakout": {}})
    with pytest.raises(ExplainError, match="only Breakout can be played without"):
        object_agreement({}, object_states)
    explainer = Constant(object_states.player.agent)
    assert list(object_agreement({"one": explainer}, object_states, n_steps=0)["one"]) == [
        "picture"
    ]
