"""Controls of explainers that learn in a grid, where there is something in their way."""

import json

import numpy as np
import torch

from sb3_explain.common.controls import CONTROLS
from sb3_explain.states.dataset import StateDataset
from tests.workflows import benchmark_agents
from tests.workflows.test_benchmark import HERE, grid


def test_what_cannot_learn_of_an_agent_has_no_controls(tmp_path):
    found = grid(
        tmp_path, {"vectors": f"{HERE}:of_vectors", "bad": f"{HERE}:broken"}, ["ssinet"],
        ["sparseness"], seeds=[0],
    )  # fmt: skip
    assert (
        list(found.join_seeds()["vectors"])
        == list(found.join_seeds()["bad"])
        == ["ssinet", *CONTROLS]
    )
    assert len(found.failures()) == 1


def test_a_target_of_no_training_state_has_no_template(tmp_path):
    """It does not count, and no job has to run again."""
    agent = benchmark_agents.of_vectors()
    with torch.no_grad():
        agent.view.policy.weight.copy_(torch.eye(2, 4))
    vectors = np.random.default_rng(0).random((60, 4)).astype(np.float32)
    vectors[:, 0] += 2
    _, _, test = StateDataset.from_arrays(vectors, np.arange(60) // 6, [0] * 60).split(seed=0)
    vectors[test.indices[0], 1] = 5  # the only state with the second action
    states = StateDataset.from_arrays(vectors, np.arange(60) // 6, vectors[:, :2].argmax(axis=1))
    arguments = {"mine": (agent, states)}, ["visionmask"], ["sparseness"]
    found = grid(tmp_path, *arguments, seeds=[0])
    assert not found.failures()
    table = found.table().set_index("explainer")
    assert (table["note"] == "").all()
    n = table["n"]
    assert n["visionmask template"] == n["visionmask"] - 1 == n["visionmask swapped"] - 1
    about = json.loads((grid(tmp_path, *arguments, seeds=[0]).output / "about.json").read_text())
    assert about["run"]["run now"] == 0
