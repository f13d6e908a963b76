"""What callbacks make of a training: pictures, scalars."""

import io
import json

import numpy as np
import pytest
from PIL import Image
from stable_baselines3 import A2C, PPO
from stable_baselines3.common.env_util import make_vec_env

from sb3_explain import evaluate
from sb3_explain.callbacks import (
    MetricsCallback,
    SaliencyCallback,
    VisionMaskCallback,
)
from sb3_explain.callbacks.training_states import take_snapshot
from sb3_explain.common.errors import ExplainError
from sb3_explain.explainers import EXPLAINERS
from sb3_explain.report.video import read_frames
from tests.callbacks.learning import learn, make, read_back

SHORT = {"epochs": 2, "batch_size": 8}


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """A training with pictures and scalars, and its folder."""
    folder = tmp_path_factory.mktemp("shown")
    model = make("ppo", tensorboard_log=str(folder / "tb"))
    saliency = SaliencyCallback(
        "gradient", every=100, n_states=3, n_frames=12, budget=None, on_error="raise"
    )
    metrics = MetricsCallback(
        ["gradient"], ["insertion", "sparseness"], every=100, n_states=5, budget=None,
        on_error="raise",
    )  # fmt: skip
    model.learn(256, callback=[saliency, metrics])
    return folder / "tb" / "PPO_1", model, saliency, metrics


def test_pictures_are_in_tensorboard(shown):
    folder, *_ = shown
    events = read_back(folder)
    assert set(events.Tags()["images"]) == {"saliency/monitor", "saliency/fresh", "saliency/video"}
    for tag in events.Tags()["images"]:
        assert [event.step for event in events.Images(tag)] == [100, 200, 256]
        picture = Image.open(io.BytesIO(events.Images(tag)[-1].encoded_image_string))
        assert np.ptp(np.asarray(picture.convert("L"))) > 100
    video = Image.open(io.BytesIO(events.Images("saliency/video")[-1].encoded_image_string))
    assert video.format == "GIF"
    assert video.n_frames == 12


def test_pictures_are_on_disk(shown):
    folder, *_ = shown
    stored = sorted(path.name for path in (folder / "saliency").glob("*_*"))
    assert stored == sorted(
        f"{kind}_{step}.{end}"
        for step in (100, 200, 256)
        for kind, end in (("monitor", "png"), ("fresh", "png"), ("video", "mp4"))
    )
    frames = list(read_frames(folder / "saliency" / "video_256.mp4"))
    assert len(frames) == 12
    assert len({frame.tobytes() for frame in frames}) > 10


def test_monitor_states_stay_and_fresh_ones_do_not(tmp_path):
    seen = {"monitor": [], "fresh": []}

    class Watched(SaliencyCallback):
        def draw_sheet(self, states, explainer, group):
            seen[group].append(states.observations(np.arange(len(states))).numpy().tobytes())
            return super().draw_sheet(states, explainer, group)

    callback = Watched("gradient", every=100, n_states=3, n_frames=12, folder=str(tmp_path),
                       budget=None, on_error="raise")  # fmt: skip
    learn(make("ppo"), 256, callback)
    assert len(seen["monitor"]) == 3 and len(set(seen["monitor"])) == 1
    assert len(seen["fresh"]) == 3 and len(set(seen["fresh"])) == 3


def test_going_on_all_monitor_states_are_met_before_the_first_work(tmp_path):
    model = make("ppo")
    learn(model, 192)
    sizes = []

    class Watched(MetricsCallback):
        def evaluate_states(self, agent, states):
            sizes.append(len(states))
            return super().evaluate_states(agent, states)

    callback = Watched(["gradient"], ["sparseness"], every=100, n_states=3, folder=str(tmp_path),
                       budget=None, on_error="raise")  # fmt: skip
    learn(model, 192, callback, reset_num_timesteps=False)
    assert callback.worked[0] == 200
    assert set(sizes) == {3}


def test_scalars_are_what_evaluate_says(shown):
    folder, model, _, metrics = shown
    events = read_back(folder)
    agent = take_snapshot(model)
    desired = evaluate(
        agent, metrics.monitor_states.states(agent), [EXPLAINERS["gradient"](agent)],
        ["insertion", "sparseness"],
    )  # fmt: skip
    for name in ("gradient", "random"):
        for metric in ("insertion", "sparseness"):
            last = events.Scalars(f"metrics/{name}/{metric}")
            assert [event.step for event in last] == [100, 200, 256]
            mean = desired.rows[name].intervals[metric].mean
            assert last[-1].value == pytest.approx(mean, rel=1e-6)
    stored = json.loads((folder / "metrics" / "metrics.json").read_text())
    assert [row["timesteps"] for row in stored] == [100, 200, 256]
    assert stored[-1]["explainers"]["gradient"]["insertion"] == pytest.approx(
        desired.to_dict()["explainers"]["gradient"]["insertion"]
    )


def test_without_tensorboard_pictures_are_on_disk_alone(tmp_path, caplog):
    model = make("ppo")
    rows = learn(model, 128, SaliencyCallback(
        "gradient", every=None, folder=str(tmp_path), budget=None, on_error="raise"
    ))  # fmt: skip
    assert not any("saliency" in key for _, row in rows for key in row)
    assert {path.suffix for path in (tmp_path / "saliency").glob("*_*")} == {".png", ".mp4"}
    (line,) = [record.getMessage() for record in caplog.records]
    assert "give the model tensorboard_log" in line


def test_an_agent_of_vectors_shows_the_importance_of_its_features(tmp_path):
    env = make_vec_env("CartPole-v1", n_envs=2, seed=0)
    model = A2C("MlpPolicy", env, seed=0, tensorboard_log=str(tmp_path))
    callback = SaliencyCallback("gradient", every=200, budget=None, on_error="raise")
    model.learn(400, callback=callback)
    events = read_back(tmp_path / "A2C_1")
    pictures = {"saliency/monitor", "saliency/fresh", "saliency/importance"}
    assert set(events.Tags()["images"]) == pictures


@pytest.mark.parametrize("target", ["value", "left - right", 1])
def test_callbacks_explain_any_target(tmp_path, target):
    env = make_vec_env("CartPole-v1", seed=0)
    model = PPO("MlpPolicy", env, n_steps=32, batch_size=32, n_epochs=1, seed=0)
    common = {"target": target, "folder": str(tmp_path), "budget": None, "on_error": "raise"}
    saliency = SaliencyCallback("gradient", every=None, n_states=2, **common)
    metrics = MetricsCallback(["gradient"], ["sparseness"], None, 4, **common)
    model.learn(32, callback=[saliency, metrics])
    for name in ("fresh", "importance"):
        assert (tmp_path / "saliency" / f"{name}_32.png").read_bytes()[:4] == b"\x89PNG"
    found = metrics.measured[32]
    assert found.states["target"] == ("right" if target == 1 else target)


def test_callbacks_of_pictures_explain_the_value(tmp_path):
    model = make("ppo")
    saliency = SaliencyCallback(
        "gradient", None, 2, str(tmp_path), target="value", n_frames=4, budget=None,
        on_error="raise",
    )  # fmt: skip
    model.learn(32, callback=saliency)
    assert list(tmp_path.glob("saliency/video_*.mp4"))


@pytest.mark.parametrize(
    ("callback", "said"),
    [
        (lambda **common: SaliencyCallback("gradient", target="LEEFT", **common), "did you mean"),
        (
            lambda **common: MetricsCallback(["gradient"], target="value", **common),
            "insertion asks how probable an action is, and value is none",
        ),
    ],
)
def test_a_target_that_cannot_be_explained_is_said_before_training(tmp_path, callback, said):
    model = PPO("MlpPolicy", make_vec_env("CartPole-v1", seed=0), n_steps=32, batch_size=32)
    with pytest.raises(ExplainError, match=said):
        model.learn(32, callback=callback(folder=str(tmp_path), on_error="raise"))


def test_an_explainer_that_does_not_serve_the_agent_is_one_line(tmp_path, caplog):
    env = make_vec_env("CartPole-v1", seed=0)
    model = PPO("MlpPolicy", env, n_steps=64, batch_size=64, n_epochs=1, seed=0)
    model.learn(64, callback=SaliencyCallback("rise", every=32, folder=str(tmp_path)))
    assert "SaliencyCallback: rise does not support this agent" in caplog.text
    assert "Traceback" not in caplog.text


def test_a_second_training_begins_anew(tmp_path):
    metrics = MetricsCallback(["gradient"], ["sparseness"], every=None, n_states=3,
                              folder=str(tmp_path), budget=None, on_error="raise")  # fmt: skip
    mask = VisionMaskCallback(
        n_states=150,
        folder=str(tmp_path),
        fit_kwargs=SHORT,
        budget=None,
        n_shown=0,
        on_error="raise",
    )
    learn(make("ppo"), 192, [metrics, mask])
    learn(make("sac"), 160, [metrics, mask])  # of other observations
    (row,) = json.loads((tmp_path / "metrics_2" / "metrics.json").read_text())
    assert row["timesteps"] == 160
    assert (tmp_path / "visionmask_2" / "visionmask.json").exists()
