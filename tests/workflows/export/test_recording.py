"""Recordings for Rerun, read back by its own SDK."""

import sys

import numpy as np
import pytest
import torch

from sb3_explain import export, make_explainer
from sb3_explain.common.errors import ExplainError
from sb3_explain.states.dataset import StateDataset
from tests.workflows.export.toys import make_dots


@pytest.fixture(scope="module")
def dots(tmp_path_factory):
    return make_dots(tmp_path_factory.mktemp("dots"))


def test_without_the_sdk(dots, tmp_path, monkeypatch):
    agent, folder = dots
    monkeypatch.setitem(sys.modules, "rerun", None)
    with pytest.raises(ExplainError, match=r"pip install 'sb3-explain\[rerun\]'"):
        export(agent, folder, tmp_path / "a.rrd", explainer="gradient", progress=False)
    assert not list(tmp_path.iterdir())


def read_columns(path):
    """Read a recording: (entity, component) -> rows by step, or those of no time."""
    chunk = pytest.importorskip("rerun.chunk", reason="pip install rerun-sdk")
    found = {}
    for each in chunk.RrdReader(path).stream():
        batch = each.to_record_batch().to_pydict()
        steps = batch.pop("step", [None] * each.num_rows)
        for component, rows in batch.items():
            if ":" in component:
                row = found.setdefault((each.entity_path, component), {})
                row.update(zip(steps, rows, strict=True))
    return found


def test_the_sdk_reads_back_what_the_store_has(dots, tmp_path):
    pytest.importorskip("rerun", reason="pip install rerun-sdk")
    agent, folder = dots
    path = tmp_path / "dots.rrd"
    made = export(agent, folder, path, explainer="gradient", n_steps=6, progress=False)
    states, numbers = StateDataset.open(folder / "episodes"), made.steps.numbers.tolist()
    found = read_columns(path)
    at = made.steps.positions
    for entity, column in (("/value", "values"), ("/reward", "rewards")):
        rows = found[entity, "Scalars:scalars"]
        assert list(rows) == numbers
        assert np.allclose([value for (value,) in rows.values()], states.column(column)[at])
    probabilities = torch.from_numpy(states.column("scores")[at]).softmax(dim=1).numpy()
    rows = found["/probability", "Scalars:scalars"]
    assert np.allclose([rows[number] for number in numbers], probabilities, atol=1e-5)
    names = found["/probability", "SeriesLines:names"]
    assert names[None] == list(agent.target_names)
    actions = torch.as_tensor(states.actions[at])
    expected = make_explainer("gradient", agent).attribute(states.observations(at), actions)
    maps = found["/map", "Tensor:data"]
    for row, number in enumerate(numbers):
        (tensor,) = maps[number]
        read = np.reshape(tensor["buffer"], tensor["shape"])
        assert np.allclose(read, expected[row].numpy())
    for entity in ("/game", "/overlay"):
        assert list(found[entity, "EncodedImage:blob"]) == numbers
