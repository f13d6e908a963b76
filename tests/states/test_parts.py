"""Parts of a store: what is read of an episode is what reading everything gives."""

import json

import numpy as np
import pytest
import torch

from sb3_explain import ExplainError, StateDataset, collect
from sb3_explain.states.parts import Part, StoreReader
from tests.toys import dot_agent


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("store") / "states"
    collect(dot_agent(3), n_states=140, folder=folder, max_per_episode=0, n_envs=1, progress=False)
    return folder


@pytest.mark.parametrize(
    "parts",
    [
        [Part(0, 0, 40)],
        [Part(1, 0, 1)],
        [Part(2, 7, 9)],
        [Part(2, 1, 5)],  # the stack goes beyond its first frame
        [Part(3, 10, 20), Part(0, 39, 40), Part(1, 0, 2)],
    ],
)
def test_a_part_is_what_reading_all_gives(store, parts):
    everything = StateDataset.open(store)
    positions = np.concatenate([
        np.flatnonzero(everything.episode == part.episode)[part.start : part.stop]
        for part in parts
    ])  # fmt: skip
    read = StoreReader(store).read(parts)
    here = np.arange(len(positions))
    assert torch.equal(read.observations(here), everything.observations(positions))
    assert (read.rendered(here) == everything.rendered(positions)).all()
    for name in ("scores", "values", "rewards", "actions", "greedy", "episode", "ended"):
        assert (read.column(name) == everything.column(name)[positions]).all(), name


def test_the_columns_of_an_episode_have_no_frames(store):
    everything = StateDataset.open(store)
    columns = StoreReader(store).read_columns(2)
    assert (columns.column("rewards") == everything.column("rewards")[80:120]).all()
    assert columns.frames_by_key() == {}


def test_a_sample_comes_from_all_over_the_store(store):
    sample = StoreReader(store).sample(n_parts=3, n_steps=5)
    assert len(sample) == 15
    assert sorted(set(sample.episode)) == [0, 1, 3]
    everything = StateDataset.open(store)
    assert torch.equal(sample.observations([0, 1]), everything.observations([0, 1]))
    assert torch.equal(sample.observations([14]), everything.observations([139]))


def test_an_episode_that_came_later_is_read(tmp_path):
    agent = dot_agent()
    folder = tmp_path / "states"
    options = {"folder": folder, "max_per_episode": 0, "n_envs": 1, "progress": False}
    collect(agent, n_states=40, **options)
    reader = StoreReader(folder)
    assert reader.count() == 1
    collect(agent, n_states=80, **options)
    assert reader.count() == 2
    assert len(reader.read([Part(1, 0, 40)])) == 40


@pytest.mark.parametrize(
    ("part", "said"),
    [
        (Part(4, 0, 1), "no episode 4"),
        (Part(-1, 0, 1), "no episode -1"),
        (Part(0, 0, 41), "no such steps"),
        (Part(0, 5, 5), "no such steps"),
        (Part(0, -1, 5), "no such steps"),
    ],
)
def test_what_is_not_there_is_one_line(store, part, said):
    with pytest.raises(ExplainError, match=said):
        StoreReader(store).read([part])


def change_json(path, **values):
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda one: change_json(one / "zarr.json", attributes={"length": 41, "cut": False}),
         "length"),
        (lambda one: change_json(one / "columns" / "zarr.json", attributes={"fields": []}),
         "fields"),
        (lambda one: (one / "frames" / "c" / "0" / "0" / "0" / "0").write_bytes(b"no block"),
         "damaged"),
        (lambda one: change_json(one / "rgb" / "zarr.json", data_type="float32"), "rgb"),
        (lambda one: change_json(one / "frames" / "zarr.json", data_type="int8"), "other arrays"),
    ],
)  # fmt: skip
def test_a_damaged_episode_is_one_line_and_the_others_are_read(tmp_path, damage, said):
    folder = tmp_path / "states"
    collect(dot_agent(), n_states=80, folder=folder, max_per_episode=0, progress=False)
    damage(folder / "episode_000001")
    reader = StoreReader(folder)
    assert len(reader.read([Part(0, 0, 40)])) == 40
    with pytest.raises(ExplainError, match=said):
        reader.read([Part(1, 0, 40)])


def test_a_folder_without_episodes_is_one_line(tmp_path):
    with pytest.raises(ExplainError, match="holds no states"):
        StoreReader(tmp_path)
    (tmp_path / "states.json").write_text('{"agent": null, "n_stack": 1, "rendered": false}')
    with pytest.raises(ExplainError, match="no whole episode"):
        StoreReader(tmp_path)
