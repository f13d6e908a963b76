"""The training loop: a hand-written loop as oracle, resume, early stopping, two processes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn

from sb3_explain.common.errors import ExplainError
from sb3_explain.common.training import TrainingOptions, schedule, train_network

RNG = np.random.default_rng(0)
X = torch.tensor(RNG.normal(size=(64, 3)), dtype=torch.float32)
Y = X @ torch.tensor([[1.0], [-2.0], [0.5]])
OPTIONS = TrainingOptions(
    epochs=4, batch_size=8, learning_rate=0.05, precision="no", progress=False, min_delta=0.0
)


def losses(network, positions):
    return {"loss": ((network(X[positions]) - Y[positions]) ** 2).mean()}


def linear() -> nn.Module:
    torch.manual_seed(0)
    return nn.Linear(3, 1)


def fit(network, options=OPTIONS, folder=None, train=losses, validation=losses):
    return train_network(
        network, train, 64, validation, 64, options, device=torch.device("cpu"), folder=folder
    )


def test_equals_a_loop_written_by_hand():
    network, expected = linear(), linear()
    fit(network)
    optimizer = torch.optim.AdamW(expected.parameters(), lr=1.0, weight_decay=1e-4)
    best, best_loss = None, float("inf")
    for step in range(32):
        order = np.random.default_rng([0, step // 8]).permutation(64)
        optimizer.param_groups[0]["lr"] = 0.05 * schedule(step / 32, 0.05)
        loss = losses(expected, order[8 * (step % 8) : 8 * (step % 8) + 8])["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 8 == 7 and (value := float(losses(expected, np.arange(64))["loss"])) < best_loss:
            best_loss = value
            best = [p.detach().clone() for p in expected.parameters()]
    for ours, theirs in zip(network.parameters(), best, strict=True):
        torch.testing.assert_close(ours.detach(), theirs, rtol=1e-6, atol=1e-7)


def test_schedule_rises_and_falls():
    values = [schedule(t / 100, 0.1) for t in range(100)]
    assert values[0] < 0.02 and max(values) == pytest.approx(1, abs=0.01) and values[-1] < 0.01
    assert np.argmax(values) == 10


def test_stops_early_and_keeps_the_best_weights():
    """A validation loss that is best at its second time."""
    network, seen = linear(), []
    script = iter([3.0, 1.0, 2.0, 2.0, 2.0, 0.0])

    def scripted(model, positions):
        seen.append([p.detach().clone() for p in model.parameters()])
        return {"loss": torch.tensor(next(script))}

    options = TrainingOptions(epochs=6, batch_size=64, patience=3, precision="no", progress=False)
    state = train_network(network, losses, 64, scripted, 1, options, device=torch.device("cpu"))
    assert state.finished and state.step == 5 and state.best_loss == 1.0
    for ours, theirs in zip(network.parameters(), seen[1], strict=True):
        assert torch.equal(ours, theirs)


class Killed(BaseException):
    pass


@pytest.mark.parametrize("at", [3, 8, 9, 20, 31])
def test_goes_on_after_a_kill_to_the_same_bits(tmp_path, at):
    whole = linear()
    unbroken = fit(whole)
    options = TrainingOptions(**{**OPTIONS.__dict__, "checkpoint_every": 3})
    calls = 0

    def dying(model, positions):
        nonlocal calls
        calls += 1
        if calls > at:
            raise Killed
        return losses(model, positions)

    with pytest.raises(Killed):
        fit(linear(), options, tmp_path, train=dying)
    resumed = nn.Linear(3, 1)
    state = fit(resumed, options, tmp_path)
    for ours, theirs in zip(resumed.parameters(), whole.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    assert state.history == unbroken.history
    assert fit(nn.Linear(3, 1), options, tmp_path).step == 32  # finished: nothing more to do


def test_scalars_can_be_read_in_tensorboard(tmp_path):
    fit(linear(), folder=tmp_path)
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert {"train/loss", "validation/loss"} <= set(events.Tags()["scalars"])
    assert [event.step for event in events.Scalars("validation/loss")] == [8, 16, 24, 32]


def test_mistakes_are_one_line(tmp_path):
    fit(linear(), folder=tmp_path)
    other = TrainingOptions(**{**OPTIONS.__dict__, "learning_rate": 0.1})
    with pytest.raises(ExplainError, match=r"other settings \(learning_rate\)"):
        fit(linear(), other, tmp_path)
    (tmp_path / "best.safetensors").unlink()
    with pytest.raises(ExplainError, match=r"best.safetensors does not exist"):
        fit(linear(), folder=tmp_path)
    (tmp_path / "last.safetensors").write_bytes(b"nonsense")
    with pytest.raises(ExplainError, match="is damaged"):
        fit(linear(), folder=tmp_path)

    def nan(model, positions):
        return {"loss": (model(X[positions]) * float("nan")).mean()}

    with pytest.raises(ExplainError, match="the loss is nan at step 0"):
        fit(linear(), train=nan)
    with pytest.raises(ExplainError, match="the loss is nan at step 8"):
        fit(linear(), validation=nan)
    with pytest.raises(ExplainError, match="at least 1"):
        TrainingOptions(epochs=0)
    with pytest.raises(ExplainError, match="positive rate"):
        TrainingOptions(learning_rate=-1.0)
    with pytest.raises(ExplainError, match="unknown precision"):
        fit(linear(), TrainingOptions(precision="fp8"))


def test_a_run_that_failed_leaves_the_network_in_full_precision():
    def fails(model, positions):
        raise Killed

    network = linear()
    with pytest.raises(Killed):
        fit(network, TrainingOptions(**{**OPTIONS.__dict__, "precision": "bf16"}), train=fails)
    assert torch.equal(network(X), X @ network.weight.T + network.bias)


def test_mixed_precision_leaves_a_network_in_full_precision():
    network = linear()
    fit(network, TrainingOptions(**{**OPTIONS.__dict__, "precision": "bf16"}))
    assert network(X).dtype == torch.float32
    assert torch.equal(network(X), X @ network.weight.T + network.bias)


SCRIPT = """
import sys, json, torch
from tests.common.test_training import fit, linear, OPTIONS
from accelerate import PartialState
network = linear()
fit(network, OPTIONS)
if PartialState().is_main_process:
    weights = [p.detach().flatten().tolist() for p in network.parameters()]
    print("RESULT", json.dumps([PartialState().num_processes, weights]))
"""


def test_two_processes_equal_one(tmp_path):
    """Two CPU processes that share every batch: the same weights, up to rounding."""
    script = tmp_path / "job.py"
    script.write_text(SCRIPT)
    run = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", str(script)],
        capture_output=True, text=True, timeout=300, cwd=Path(__file__).parents[2],
        env={
            **os.environ, "PYTHONPATH": ".", "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true",
        },
    )  # fmt: skip
    lines = [line for line in run.stdout.splitlines() if line.startswith("RESULT")]
    assert lines, run.stderr[-2000:]
    alone = linear()
    fit(alone)
    n_processes, weights = json.loads(lines[0][7:])
    assert n_processes == 2
    for ours, theirs in zip(weights, alone.parameters(), strict=True):
        np.testing.assert_allclose(ours, theirs.detach().flatten(), rtol=1e-4, atol=1e-5)
