"""The examples on Super Mario, on an expert with random weights in the format of the real ones."""

import importlib
import json
import os
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import safetensors.torch
import torch

from sb3_explain.workflows.splitting import split_states
from tests.test_examples import EXAMPLES, run


@pytest.fixture
def super_mario(monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    yield importlib.import_module("super_mario")
    sys.modules.pop("super_mario")


def write_mario(folder: Path, n_episodes: int = 6, length: int = 16) -> Path:
    """An expert with random weights, and pictures in which blocks move; each state is another."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    layers = {f"conv{i}": torch.nn.Conv2d(n, 32, 3) for i, n in enumerate((4, 32, 32, 32), 1)}
    layers |= {
        "linear": torch.nn.Linear(1152, 512),
        "actor_linear": torch.nn.Linear(512, 7),
        "critic_linear": torch.nn.Linear(512, 1),
    }
    weights = torch.nn.ModuleDict(layers).state_dict()
    safetensors.torch.save_file(weights, folder / "policy.safetensors")
    episode = np.repeat(np.arange(n_episodes), length)
    rgb = np.full((len(episode), 240, 256, 3), 100, np.uint8)
    for step, picture in enumerate(rgb):
        top, left = 60 + 4 * (step // 60), step % 60
        picture[top : top + 20, left : left + 20] = (255, left, 0)
    np.savez(folder / "states.npz", rgb=rgb, gray=rgb[:, 40:124, :84, 0], episode=episode)
    return folder


@pytest.mark.parametrize(
    "folder, options, world",
    [
        ("super_mario_4_1", [], "4-1"),
        ("mario-1-2-states", [], "1-2"),
        ("super_mario_4_1", ["--world", "8-4"], "8-4"),
        ("run_2026_11_29", [], None),
        ("mario_9_1", [], None),
    ],
)
def test_the_world_is_that_of_the_option_or_of_the_folder(
    super_mario, tmp_path, folder, options, world
):
    data = write_mario(tmp_path / folder, 3, 2)
    given = super_mario.read_world(options[1]) if options else None
    agent, _ = super_mario.load(data, given)
    assert agent.recipe.env_id == (f"SuperMarioBros-{world}" if world else super_mario.UNKNOWN)
    title = super_mario.make_title(given or super_mario.find_world(data))
    assert title == "Super Mario Bros " + world if world else "unknown world" in title


@pytest.mark.parametrize("text", ["1", "4.1", "9-1", "4-5", "41", "4-1 "])
def test_what_is_no_world_is_refused(super_mario, text, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["super_mario.py", "--data", ".", "--world", text])
    with pytest.raises(SystemExit):
        super_mario.main()
    assert "is no world: give one such as 1-1 or 4-2" in capsys.readouterr().err


def test_twelve_episodes_leave_five_to_test_on(super_mario, tmp_path, caplog):
    data = write_mario(tmp_path / "super_mario_4_1", 12, 80)
    agent, states = super_mario.load(data)
    train, _, test = split_states(states, 0)
    assert len(np.unique(test.episode)) == 5 and len(test) >= 300
    assert len(train) >= len(states) / 3 and not test.n_duplicates and not caplog.records
    np.testing.assert_array_equal(
        agent.scores(states.observations([0])).argmax(1), states.greedy[:1]
    )


@pytest.mark.slow
def test_an_expert_of_another_world(tmp_path):
    data = write_mario(tmp_path / "super_mario_4_1")
    said = run(
        "super_mario.py", "--data", str(data), "-o", str(tmp_path / "out"),
        "--epochs", "1", "--n-evaluated", "4", "--refine-steps", "1",
    )  # fmt: skip
    assert "Super Mario Bros 4-1: 96 states of 6 episodes" in said and "1-1" not in said
    assert "states to learn from: 64 of 4 episode(s)" in said
    assert "there are no intervals with 4 states where 300 are needed and 1 episode(s)" in said
    assert "SuperMarioBros-4-1" in (tmp_path / "out" / "report.html").read_text()
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    own = metrics["states"]["own_probability"]
    assert f"the agent's own mean probability of its actions: {100 * own:.1f}" in said
    preserved = metrics["explainers"]["visionmask"]["policy_preservation"]["mean"]
    assert f"policy_preservation, nats {preserved:19.2f}" in said


@pytest.mark.slow
def test_the_real_expert(tmp_path):
    data = Path(os.environ.get("SB3_EXPLAIN_AGENTS", "")) / "super_mario_1_1"
    if not (data / "policy.safetensors").exists():
        pytest.skip("SB3_EXPLAIN_AGENTS names no folder with super_mario_1_1")
    said = run(
        "super_mario.py", "--data", str(data), "-o", str(tmp_path),
        "--n-states", "500", "--epochs", "1", "--n-evaluated", "4", "--refine-steps", "1",
    )  # fmt: skip
    assert "Super Mario Bros 1-1, %" in said and "paper" in said and "sparseness" in said
    assert (tmp_path / "report.html").exists()


SEGMENTATION = """
from torch import nn

class Small(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.backbone = nn.Sequential()
        self.backbone.conv1 = nn.Conv2d(3, 4, 7)
        self.classifier = nn.Sequential(nn.Upsample(size=84), nn.Conv2d(4, num_classes, 1))

    def forward(self, images):
        return {"out": self.classifier(self.backbone(images))}

def fcn_resnet50(weights, weights_backbone, num_classes):
    return Small(num_classes)

deeplabv3_resnet50 = fcn_resnet50
"""


def write_torchvision(folder: Path, *, works: bool) -> Path:
    """A package that stands for torchvision, on a machine with it or without."""
    models = folder / "torchvision" / "models"
    (models / "segmentation").mkdir(parents=True)
    (models / "segmentation" / "__init__.py").write_text(SEGMENTATION)
    (models / "__init__.py").write_text("from torchvision.models import segmentation\n")
    start = "" if works else "raise ImportError('no torchvision here')\n"
    (folder / "torchvision" / "__init__.py").write_text(start)
    return folder


@pytest.mark.slow
def test_the_same_command_makes_what_is_missing_of_the_ablation(tmp_path):
    write_mario(tmp_path, 6, 8)
    output = tmp_path / "ablation"
    arguments = ("--data", str(tmp_path), "-o", str(output), "--small", "--only")
    arguments += ("base", "area=minmax", "network=fcn_resnet50")
    without = write_torchvision(tmp_path / "without", works=False)
    said = run("ablation.py", *arguments, packages=without)
    assert "base: fitting on" in said and "area=minmax: fitting on" in said
    assert "network=fcn_resnet50: not run: this mask network needs torchvision" in said
    table = pd.read_csv(output / "table.csv")
    ours = table.query("run == 'area=minmax'").set_index("metric")
    assert ours["mean"].notna().all() and ours.loc["sparseness", "paper"] == 0.738
    assert {"policy_preservation", "specificity", "policy_specificity"} <= {*ours.index}
    n_metrics = len(ours)
    assert table.groupby("part").size().to_dict() == {
        "loss": n_metrics, "area": 2 * n_metrics, "component": n_metrics,
        "max_area": n_metrics, "network": 2 * n_metrics, "baseline": n_metrics,
    }  # fmt: skip
    fcn = table.query("run == 'network=fcn_resnet50'")
    assert fcn["not_run"].str.contains("no torchvision here").all() and fcn["mean"].isna().all()
    assert "not run / 94.2" in (output / "table.md").read_text()

    # where torchvision is, and after a run was killed while it was measured
    killed = output / "base" / "result.json"
    before = json.loads(killed.read_text())
    killed.unlink()
    said = run("ablation.py", *arguments, packages=write_torchvision(tmp_path / "with", works=True))
    assert "area=minmax: fitting on" not in said and "network=fcn_resnet50: fitting on" in said
    after = json.loads(killed.read_text())
    assert after["intervals"] == before["intervals"] and after["minutes"] == before["minutes"]
    again = pd.read_csv(output / "table.csv")
    assert again["mean"].notna().all() and again["not_run"].isna().all()
    pd.testing.assert_frame_equal(
        again.query("run != 'network=fcn_resnet50'")[["run", "metric", "mean"]],
        table.query("run != 'network=fcn_resnet50'")[["run", "metric", "mean"]],
    )

    # without torchvision again, its line stays; other settings are not mixed in
    said = run("ablation.py", *arguments, packages=without)
    assert "fitting on" not in said and "not run" not in said
    with pytest.raises(AssertionError, match="base holds a run with other settings"):
        run("ablation.py", *arguments, "--seed", "1", packages=without)
