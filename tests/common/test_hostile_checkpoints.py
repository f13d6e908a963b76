"""Damaged checkpoints of a training: resumed right, or refused in one line."""

import json
import os
import shutil
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import nn

from sb3_explain.common.errors import ExplainError
from sb3_explain.common.training import train_network, training_options
from tests.limits import refuse_within
from tests.mutations import FEW, MANY, fuzz, require_line

DATA = torch.linspace(-1, 1, 64)[:, None]


def losses(network, positions):
    return {"loss": (network(DATA[positions]) - DATA[positions].square()).square().mean()}


def train(folder, epochs=1):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(1, 4), nn.ReLU(), nn.Linear(4, 1))
    options = training_options(
        {"epochs": epochs, "batch_size": 16, "checkpoint_every": 1, "progress": False,
         "precision": "no"}
    )  # fmt: skip
    return train_network(
        network, losses, 64, losses, 64, options,
        device=torch.device("cpu"), folder=folder, identity={"what": "a line"},
    )  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("training") / "run"
    train(folder)
    return folder


@pytest.fixture
def folder(trained, tmp_path):
    return Path(shutil.copytree(trained, tmp_path / "run"))


def resume(folder):
    """Resume in a copy, since a training that goes on writes."""
    again = folder.parent / "again"
    shutil.rmtree(again, ignore_errors=True)
    again.mkdir()
    for name in ("last", "best"):
        os.link(folder / f"{name}.safetensors", again / f"{name}.safetensors")
    train(again)


@pytest.mark.parametrize("name", ["last", "best"])
def test_mutations_are_resumed_or_refused(folder, name):
    counts = fuzz(folder / f"{name}.safetensors", lambda: resume(folder), FEW)
    assert counts["refused"] > FEW / 4


@pytest.mark.slow
@pytest.mark.parametrize("name", ["last", "best"])
def test_many_mutations_are_resumed_or_refused(folder, name):
    fuzz(folder / f"{name}.safetensors", lambda: resume(folder), MANY, seed=1)


#: what becomes of the state of training
STATES = {
    "a step of 10^18": {"step": 10**18},
    "a step below 0": {"step": -1},
    "a step of half": {"step": 0.5},
    "a history of numbers": {"history": [1]},
    "finished as a text": {"finished": "no"},
    "seconds as a text": {"seconds": "1"},
    "bad validations of none": {"bad_validations": None},
}


@pytest.mark.parametrize("case", STATES)
def test_a_state_that_is_none_is_refused(folder, case):
    path = folder / "last.safetensors"
    with safetensors.safe_open(path, "pt") as file:
        metadata = file.metadata()
    state = {**json.loads(metadata["state"]), **STATES[case]}
    tensors = safetensors.torch.load_file(path)
    safetensors.torch.save_file(tensors, path, {**metadata, "state": json.dumps(state)})
    before = path.read_bytes()
    with pytest.raises(ExplainError, match=r"\(state\) is damaged .* delete it to train anew") as e:
        train(folder)
    require_line(str(e.value))
    assert path.read_bytes() == before


#: what becomes of the tensors
TENSORS = {
    "weights of another shape": ("network.0.weight", lambda t: t.T),
    "weights in double precision": ("network.0.weight", lambda t: t.double()),
    "weights that are missing": ("network.0.weight", lambda t: None),
    "an average of another shape": ("optimizer.0.exp_avg", lambda t: t[:1]),
    "an average that is missing": ("optimizer.0.exp_avg_sq", lambda t: None),
    "a step of many": ("optimizer.0.step", lambda t: torch.zeros(3)),
    "an average that is not finite": ("optimizer.0.exp_avg", lambda t: t * float("inf")),
    "one of no parameter": ("optimizer.9.exp_avg", lambda t: torch.zeros(1)),
    "one of no name": ("optimizer.x", lambda t: torch.zeros(1)),
    "one too many": ("network.9.weight", lambda t: torch.zeros(1)),
}


@pytest.mark.parametrize("case", TENSORS)
def test_tensors_that_do_not_fit_are_refused(folder, case):
    name, change = TENSORS[case]
    path = folder / "last.safetensors"
    with safetensors.safe_open(path, "pt") as file:
        metadata = file.metadata()
    tensors = safetensors.torch.load_file(path)
    new = change(tensors.get(name))
    changed = {n: t for n, t in {**tensors, name: new}.items() if t is not None}
    changed = {n: t.clone().contiguous() for n, t in changed.items()}
    safetensors.torch.save_file(changed, path, metadata)
    with pytest.raises(ExplainError, match="delete it to train anew"):
        train(folder)


@pytest.mark.parametrize("name", ["last", "best"])
@pytest.mark.parametrize(("make", "said"), [(Path.mkdir, "a folder"), (os.mkfifo, "a pipe")])
def test_folders_and_pipes_in_the_place_of_files_are_said(folder, name, make, said):
    path = folder / f"{name}.safetensors"
    path.unlink()
    make(path)
    assert said in refuse_within(lambda: train(folder), seconds=10)
