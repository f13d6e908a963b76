"""Training in parts: killed and gone on equals unbroken; mistakes are one line."""

import json
import multiprocessing
import os
import signal
import time

import numpy as np
import pytest
import torch

from sb3_explain.common.errors import ExplainError
from sb3_explain.common.files import sole_writer
from sb3_explain.workflows.pixel_training import RECIPES, train
from tests.pixels import SMALL

SETTINGS = {"policy_kwargs": SMALL, "learning_starts": 30, "warmup_updates": 0, "batch_size": 8}
RUN = {"timesteps": 100, "part": 25, "settings": SETTINGS, "progress": False, "seed": 4}


def weights(model):
    return model.policy.state_dict()


def killed(folder, options=RUN):
    """A run that dies by SIGKILL after 64 timesteps."""

    def run():
        torch.set_num_threads(1)
        from sb3_explain.sgqn import DrQ

        update = DrQ._update

        def dying(self, batch):
            if self.num_timesteps == 64:
                os.kill(os.getpid(), signal.SIGKILL)
            return update(self, batch)

        DrQ._update = dying
        train("drq", "Point-v0", folder, **options)

    process = multiprocessing.get_context("fork").Process(target=run)
    process.start()
    process.join(120)
    assert process.exitcode == -signal.SIGKILL


def test_a_run_that_was_killed_goes_on_to_the_same_end(tmp_path):
    unbroken = train("drq", "Point-v0", tmp_path / "unbroken", **RUN)
    killed(tmp_path / "killed")
    left = {path.name for path in (tmp_path / "killed").iterdir()}
    assert {"checkpoint-50", "frames.bin", "run.json"} <= left and "model.zip" not in left
    (tmp_path / "killed" / ".checkpoint-75.1.tmp").mkdir()  # as a kill in its middle leaves it
    resumed = train("drq", "Point-v0", tmp_path / "killed", **RUN)
    assert resumed._n_updates == unbroken._n_updates == 70
    for name, tensor in weights(unbroken).items():
        assert torch.equal(tensor, weights(resumed)[name]), name
    for folder in ("unbroken", "killed"):
        left = {path.name for path in (tmp_path / folder).iterdir()} - {".lock"}
        assert left == {"model.zip", "run.json"}
    curves = [
        [(row["steps"], row["return"]) for row in json.loads(path.read_text())["curve"]]
        for path in (tmp_path / "unbroken/run.json", tmp_path / "killed/run.json")
    ]
    assert curves[0] == curves[1] and [steps for steps, _ in curves[0]] == [25, 50, 75, 100]


def test_a_full_buffer_and_a_moved_folder_change_nothing(tmp_path):
    run = {**RUN, "settings": {**SETTINGS, "buffer_size": 100}, "part": 20}
    unbroken = train("drq", "Point-v0", tmp_path / "unbroken", **run)
    killed(tmp_path / "killed", run)
    (tmp_path / "killed").rename(tmp_path / "moved")
    resumed = train("drq", "Point-v0", tmp_path / "moved", **run)
    for name, tensor in weights(unbroken).items():
        assert torch.equal(tensor, weights(resumed)[name]), name
    with pytest.raises(ExplainError, match="buffer_size=70 is too small for checkpoints of 20"):
        train("drq", "Point-v0", tmp_path / "small", **{**run, "settings": {"buffer_size": 70}})


def test_two_processes_do_not_train_into_one_folder(tmp_path):
    with sole_writer(tmp_path), pytest.raises(ExplainError, match="another process is writing"):
        train("drq", "Point-v0", tmp_path, **RUN)


def test_damage_is_one_line(tmp_path):
    killed(tmp_path)
    buffer = tmp_path / "checkpoint-50" / "replay_buffer.pkl"
    buffer.write_bytes(buffer.read_bytes()[:-100])
    with pytest.raises(ExplainError, match=r"checkpoint-50 is damaged \(.*truncated.*\): delete"):
        train("drq", "Point-v0", tmp_path, **RUN)


def test_a_finished_run_is_loaded(tmp_path):
    first = train("drq", "Point-v0", tmp_path, **RUN)
    begin = time.perf_counter()
    again = train("drq", "Point-v0", tmp_path, **RUN)
    assert time.perf_counter() - begin < 2
    observation = np.zeros((9, 32, 32), np.uint8)
    assert np.array_equal(again.predict(observation, deterministic=True)[0],
                          first.predict(observation, deterministic=True)[0])  # fmt: skip


def test_a_folder_of_another_run_is_refused(tmp_path):
    train("drq", "Point-v0", tmp_path, **{**RUN, "timesteps": 25})
    with pytest.raises(ExplainError, match=r"training with other settings \(timesteps, seed\)"):
        train("drq", "Point-v0", tmp_path, **{**RUN, "seed": 5})


@pytest.mark.parametrize("algo", RECIPES)
def test_every_recipe_trains(algo, tmp_path):
    if RECIPES[algo].size == 100:
        settings = {**SETTINGS, "policy_kwargs": {**SMALL, "size": 28}}
    else:
        settings = SETTINGS
    model = train(algo, "Point-v0", tmp_path, timesteps=34, part=34,
                  settings=settings, progress=False)  # fmt: skip
    assert model._n_updates == 4


def test_mistakes(tmp_path):
    with pytest.raises(ExplainError, match="unknown algorithm 'sqgn'; did you mean 'sgqn'"):
        train("sqgn", "Point-v0", tmp_path)
    with pytest.raises(ExplainError, match="environment 'Pint-v0' cannot be made"):
        train("sgqn", "Pint-v0", tmp_path)
    for settings, line in (
        ({"sliency_quantile": 0.9}, "unknown setting 'sliency_quantile'; did you mean 'saliency_q"),
        ({"policy_kwargs": {"n_filter": 4}}, "unknown setting of the networks 'n_filter'; did you"),
        ({"seed": 3}, "unknown setting 'seed'"),
        ({"learning_rate": lambda progress: progress}, "cannot be saved with a run"),
    ):
        with pytest.raises(ExplainError, match=line):
            train("sgqn", "Point-v0", tmp_path, settings=settings)
    with pytest.raises(ExplainError, match=r"cannot be made .*backgroundz"):
        train("sgqn", "Point-v0", tmp_path, env_kwargs={"backgroundz": 1})
