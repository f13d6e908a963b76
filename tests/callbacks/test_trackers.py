"""Open runs of W&B and Trackio are given what TensorBoard is, once."""

import sys

import pytest

from sb3_explain.callbacks import MetricsCallback, SaliencyCallback
from sb3_explain.callbacks.trackers import find_trackers
from tests.callbacks.learning import learn, make
from tests.callbacks.tracker_modules import Media, install_trackio, install_wandb

PICTURES = {"saliency/monitor": ".png", "saliency/fresh": ".png", "saliency/video": ".mp4"}
INSTALL = {"wandb": install_wandb, "trackio": install_trackio}


def callbacks(folder, every=100):
    common = {"every": every, "folder": str(folder), "budget": None, "on_error": "raise"}
    return [
        SaliencyCallback("gradient", n_states=2, n_frames=4, **common),
        MetricsCallback(["gradient"], ["sparseness"], n_states=2, **common),
    ]


def gather(rows):
    """All values by name, with the step of each."""
    found = {}
    for step, row in rows:
        for name, value in row.items():
            found.setdefault(name, []).append((step, value))
    return found


@pytest.mark.parametrize("package", ["wandb", "trackio"])
def test_pictures_videos_and_scalars_are_logged_at_their_timesteps(
    package, tmp_path, monkeypatch, caplog
):
    module = INSTALL[package](monkeypatch)
    saliency, metrics = callbacks(tmp_path)
    learn(make("ppo"), 128, [saliency, metrics])
    found = gather(module.rows)
    for name, kind in PICTURES.items():
        assert [step for step, _ in found[name]] == [100, 128]
        stored = [
            (saliency.folder / f"{name.partition('/')[2]}_{step}{kind}").read_bytes()
            for step in (100, 128)
        ]
        assert [media.content for _, media in found[name]] == stored
        assert all(isinstance(media, Media) and media.kind == kind for _, media in found[name])
    desired = metrics.measured[128].rows["gradient"].intervals["sparseness"].mean
    assert found["metrics/gradient/sparseness"][-1] == (128, pytest.approx(desired))
    assert [step for step, _ in found["saliency/seconds"]] == [100, 128]
    assert "without TensorBoard" not in caplog.text
    if package == "wandb":
        assert {value for _, value in found["global_step"]} == {100, 128}


def test_steps_that_are_past_are_not_lost(tmp_path, monkeypatch):
    wandb = install_wandb(monkeypatch)
    wandb.run.step = 1000  # the training counts its own steps
    learn(make("ppo"), 64, callbacks(tmp_path, every=None)[0])
    found = gather(wandb.rows)
    assert found["saliency/fresh"][0][0] == 1000
    assert found["global_step"][0] == (1000, 64)


def test_nothing_is_logged_twice_where_wandb_reads_tensorboard(tmp_path, monkeypatch):
    wandb = install_wandb(monkeypatch, sync_tensorboard=True)
    model = make("ppo", tensorboard_log=str(tmp_path / "tb"))
    model.learn(64, callback=callbacks(tmp_path, every=None))
    assert wandb.rows == []
    learn(make("ppo"), 64, callbacks(tmp_path, every=None))  # writes no TensorBoard
    found = gather(wandb.rows)
    assert PICTURES.keys() <= found.keys()
    assert {step for step, _ in wandb.rows} == {None}  # where it counts itself
    assert {value for _, value in found["global_step"]} == {64}


def test_runs_that_are_not_open_are_left_alone(monkeypatch):
    for package in INSTALL:
        monkeypatch.delitem(sys.modules, package, raising=False)
    monkeypatch.delitem(sys.modules, "trackio.context_vars", raising=False)
    assert find_trackers(tensorboard=False) == []
    assert not INSTALL.keys() & sys.modules.keys()  # nothing has been imported
    install_wandb(monkeypatch, run=False)
    install_trackio(monkeypatch, run=False)
    assert find_trackers(tensorboard=False) == []


def test_both_are_logged_to(monkeypatch):
    install_wandb(monkeypatch)
    install_trackio(monkeypatch)
    assert [each.package for each in find_trackers(tensorboard=True)] == ["wandb", "trackio"]


def test_a_tracker_that_fails_does_not_end_the_training(tmp_path, monkeypatch, caplog):
    wandb = install_wandb(monkeypatch)

    def fail(*_, **__):
        raise ConnectionError("the server is away")

    wandb.log = fail
    model = make("ppo")
    callback = SaliencyCallback("gradient", None, 2, str(tmp_path), n_frames=0, budget=None)
    learn(model, 64, callback)
    assert model.num_timesteps == 64
    assert "ConnectionError: the server is away; the training goes on" in caplog.text
    assert (tmp_path / "saliency" / "monitor_64.png").exists()
