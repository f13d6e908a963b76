"""A callback leaves the training as it is without it, bit for bit."""

import random

import numpy as np
import pytest
import torch
from stable_baselines3.common.logger import Logger, TensorBoardOutputFormat

from sb3_explain.callbacks import (
    DiagnosisCallback,
    MetricsCallback,
    SaliencyCallback,
    StateGeneratorCallback,
    VisionMaskCallback,
)
from tests.callbacks.learning import Rows, learn, make
from tests.callbacks.tracker_modules import install_trackio, install_wandb

pytestmark = pytest.mark.usefixtures("few_candidates")

SHORT = {"epochs": 1, "batch_size": 8}
CALLBACKS = {
    "default saliency": lambda folder: SaliencyCallback(folder=folder, on_error="raise"),
    "saliency": lambda folder: SaliencyCallback(
        "occlusion", every=100, n_states=2, n_frames=3, folder=folder, budget=None, on_error="raise"
    ),
    "metrics": lambda folder: MetricsCallback(
        {"gradient": {}, "rise": {"n_masks": 100}}, every=96, n_states=4, folder=folder,
        budget=None, on_error="raise",
    ),
    "diagnosis": lambda folder: DiagnosisCallback(
        every=96, n_states=60, folder=folder, budget=None, on_error="raise"
    ),
    "visionmask": lambda folder: VisionMaskCallback(
        every=130, n_states=120, folder=folder, n_shown=2,
        explainer_kwargs={"refine_steps": 1, "network_options": {"width": 8}},
        fit_kwargs=SHORT, budget=None, on_error="raise",
    ),
    "generator": lambda folder: StateGeneratorCallback(
        n_states=120, targets=["value_low"], n_samples=4, folder=folder, fit_kwargs=SHORT,
        generator_kwargs={"latent": 4}, probe_kwargs={"steps": 3}, budget=None, on_error="raise",
    ),
}  # fmt: skip
#: every callback on two kinds of algorithms; for maps and PPO see the trackers below
PAIRS = [
    ("default saliency", "ppo"), ("default saliency", "sac"),
    ("saliency", "dqn"), ("saliency", "sac"), ("metrics", "dqn"), ("metrics", "ppo"),
    ("diagnosis", "ppo"),
    ("visionmask", "sac"), ("visionmask", "ppo"), ("generator", "dqn"), ("generator", "sac"),
]  # fmt: skip
#: of the clock, which no two trainings share
CLOCK = ("time/fps", "time/time_elapsed")


def curves(rows, own=()):
    """What SB3 has logged, without the clock and without what a callback adds."""
    return [
        (step, {k: v for k, v in row.items() if k not in CLOCK})
        for step, row in rows
        if not any(key.startswith(own) for key in row)
    ]


def outcome(model, rows, own=()):
    weights = {k: v.clone() for k, v in model.policy.state_dict().items()}
    chance = torch.get_rng_state(), np.random.get_state()[1], random.getstate()  # noqa: NPY002
    return weights, curves(rows, own), chance


@pytest.fixture(scope="module")
def alone():
    """Trainings without a callback, by algorithm."""
    results = {}
    for algo in ("ppo", "dqn", "sac"):
        model = make(algo)
        results[algo] = outcome(model, learn(model, 256))
    return results


@pytest.mark.parametrize(("name", "algo"), PAIRS)
def test_learning_is_bit_equal(name, algo, alone, tmp_path):
    model = make(algo)
    callback = CALLBACKS[name](str(tmp_path))
    rows = learn(model, 256, callback)
    assert callback.worked[-1] == 256
    weights, logged, chance = outcome(model, rows, ("metrics/", "saliency/", "diagnosis/"))
    desired, wanted_log, wanted_chance = alone[algo]
    assert weights.keys() == desired.keys()
    assert all(torch.equal(weights[key], desired[key]) for key in desired)
    assert len(logged) > 2
    assert str(logged) == str(wanted_log)
    assert torch.equal(chance[0], wanted_chance[0])
    assert np.array_equal(chance[1], wanted_chance[1])
    assert chance[2] == wanted_chance[2]


@pytest.mark.parametrize("tensorboard", [False, True])
def test_learning_is_bit_equal_with_open_trackers(tensorboard, alone, tmp_path, monkeypatch):
    """Whose packages draw random numbers of their own."""
    wandb, trackio = install_wandb(monkeypatch), install_trackio(monkeypatch)
    model = make("ppo")
    stored = Rows()
    outputs = [stored, TensorBoardOutputFormat(str(tmp_path))] if tensorboard else [stored]
    model.set_logger(Logger(str(tmp_path), outputs))
    saliency = SaliencyCallback(None, 100, 2, str(tmp_path), n_frames=3, on_error="raise")
    model.learn(256, callback=saliency, log_interval=1)
    assert saliency.worked[0] == 100 and wandb.rows and trackio.rows
    weights, logged, chance = outcome(model, stored.rows, ("saliency/",))
    desired, wanted_log, wanted_chance = alone["ppo"]
    assert all(torch.equal(weights[key], desired[key]) for key in desired)
    assert str(logged) == str(wanted_log)
    assert torch.equal(chance[0], wanted_chance[0])
    assert np.array_equal(chance[1], wanted_chance[1])
    assert chance[2] == wanted_chance[2]


def test_the_comparison_would_see_a_difference(alone):
    model = make("ppo")

    def drawing(*_):
        torch.rand(1)
        return True

    weights, _, _ = outcome(model, learn(model, 256, drawing))
    assert any(not torch.equal(weights[key], alone["ppo"][0][key]) for key in weights)
