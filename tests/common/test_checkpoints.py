"""Checkpoints: what is written comes back to the bit; another training's is refused."""

import pytest
import torch
from torch import nn

from sb3_explain.common.checkpoints import Checkpoints, TrainingState, copy_weights
from sb3_explain.common.errors import ExplainError


def trained() -> tuple[nn.Module, torch.optim.Optimizer]:
    network = nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.1)
    network(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    return network, optimizer


def test_weights_moments_and_progress_come_back(tmp_path):
    network, optimizer = trained()
    state = TrainingState(step=7, best_loss=0.5, history=[{"step": 7.0, "loss": 0.5}])
    Checkpoints(tmp_path, {"seed": 0}).write_last(network, optimizer, state)
    other, others = trained()
    assert Checkpoints(tmp_path, {"seed": 0}).restore(other, others) == state
    for name, tensor in copy_weights(network).items():
        assert torch.equal(tensor, other.state_dict()[name])
    ours, theirs = optimizer.state_dict()["state"], others.state_dict()["state"]
    for index, row in ours.items():
        for name, value in row.items():
            assert torch.equal(value, theirs[index][name])
    with pytest.raises(ExplainError, match=r"other settings \(seed\)"):
        Checkpoints(tmp_path, {"seed": 1}).restore(other, others)


def test_without_a_folder_there_is_nothing(tmp_path):
    network, optimizer = trained()
    none = Checkpoints(None, {})
    none.write_last(network, optimizer, TrainingState(step=3))
    none.write_best(copy_weights(network))
    assert none.restore(network, optimizer) == TrainingState()


def trained_large() -> tuple[nn.Module, torch.optim.Optimizer]:
    network = nn.Linear(300, 200)
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.1)
    network(torch.ones(1, 300)).sum().backward()
    optimizer.step()
    return network, optimizer


def test_a_network_larger_than_the_limit_of_files_is_resumed(tmp_path, monkeypatch):
    """What a network of 33 million parameters leaves is above 256 MiB, with Adam's averages."""
    network, optimizer = trained_large()
    Checkpoints(tmp_path, {}).write_last(network, optimizer, TrainingState(step=7))
    Checkpoints(tmp_path, {}).write_best(copy_weights(network))
    monkeypatch.setenv("SB3_EXPLAIN_MAX_BYTES", "100000")
    assert (tmp_path / "best.safetensors").stat().st_size > 100_000
    assert Checkpoints(tmp_path, {}).restore(*trained_large()).step == 7
    weights = Checkpoints(tmp_path, {}).read_best(network)
    assert all(torch.equal(weights[name], tensor) for name, tensor in network.state_dict().items())
    # a file that no training of this network leaves is refused before it is read
    for restore in (
        lambda: Checkpoints(tmp_path, {}).restore(*trained()),
        lambda: Checkpoints(tmp_path, {}).read_best(trained()[0]),
    ):
        with pytest.raises(ExplainError, match="above the limit of 100,000"):
            restore()
