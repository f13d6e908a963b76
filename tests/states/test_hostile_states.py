"""Damaged and hostile stores of states: read right, or refused in one line."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from numcodecs import Zstd

from sb3_explain.common.errors import ExplainError
from sb3_explain.states.collection import collect
from sb3_explain.states.dataset import StateDataset
from sb3_explain.states.store import resume_store
from tests.limits import refuse_within
from tests.mutations import FEW, MANY, fuzz, require_line
from tests.toys import dot_agent

EPISODE = Path("episode_000001")
FILES = {
    "settings": Path("states.json"),
    "group": EPISODE / "zarr.json",
    "columns": EPISODE / "columns" / "zarr.json",
    "frames": EPISODE / "frames" / "zarr.json",
    "pictures": EPISODE / "rgb" / "zarr.json",
    "block of columns": EPISODE / "columns" / "c" / "0" / "0",
    "block of frames": EPISODE / "frames" / "c" / "0" / "0" / "0" / "0",
    "block of pictures": EPISODE / "rgb" / "c" / "0" / "0" / "0" / "0",
}


@pytest.fixture(scope="module")
def collected(tmp_path_factory):
    folder = tmp_path_factory.mktemp("store") / "states"
    collect(dot_agent(), n_states=30, folder=folder, max_per_episode=10, n_envs=2, progress=False)
    return folder


@pytest.fixture
def store(collected, tmp_path):
    return Path(shutil.copytree(collected, tmp_path / "states"))


def read(folder):
    """Everything that is in a store."""
    states = StateDataset.open(folder)
    assert len(states) == 30
    everything = np.arange(len(states))
    states.observations(everything)
    states.rendered(everything)
    states.policy_inputs(everything)
    return states.greedy, states.column("scores"), states.steps


def refuses(folder, said="damaged"):
    with pytest.raises(ExplainError, match=said) as refused:
        read(folder)
    require_line(str(refused.value))


def change(path, **values):
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


@pytest.mark.parametrize("name", FILES)
def test_mutations_are_read_or_refused(store, name):
    counts = fuzz(store / FILES[name], lambda: read(store), FEW)
    assert counts["refused"] > FEW / 4


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_many_mutations_are_read_or_refused(store, name):
    fuzz(store / FILES[name], lambda: read(store), MANY, seed=1)


#: what is changed in states.json, and what the line says of it
SETTINGS = {
    "n_stack of a million": ({"n_stack": 10**6}, "n_stack is 1000000, not a whole number from 1"),
    "n_stack of none": ({"n_stack": 0}, "n_stack is 0"),
    "n_stack that is true": ({"n_stack": True}, "n_stack is True"),
    "n_stack as a text": ({"n_stack": "2"}, "n_stack is '2'"),
    "n_stack of 400 digits": ({"n_stack": 10**400}, "a number is of 1329 bits"),
    "rendered as a number": ({"rendered": 1}, "rendered is 1, not true or false"),
    "an agent that is a text": ({"agent": "mine"}, "agent is 'mine', not a dict"),
    "a hash that is a list": ({"agent": {"weights_sha256": [1]}}, "weights_sha256"),
    "another format": ({"format": 2}, "format is 2, not 1"),
    "a seed of none": ({"seed": -1}, "seed is -1"),
    "no environments": ({"n_envs": 0}, "n_envs is 0"),
    "no probability": ({"epsilon": 1e308}, "epsilon"),
}


@pytest.mark.parametrize("case", SETTINGS)
def test_settings_that_are_none_are_named(store, case):
    values, said = SETTINGS[case]
    change(store / "states.json", **values)
    refuses(store, said)


def test_content_that_is_no_description_is_refused(store):
    for content in (b"", b"[]", b"7", b"\xff\xfe{", b'{"n_stack": 1, "n_stack": 1}', b"[" * 10**5):
        (store / "states.json").write_bytes(content)
        refuses(store, "states.json is damaged")


#: what is changed in the metadata of the frames, and what the line says of it
FRAMES = {
    "format 2": ({"zarr_format": 2}, "zarr_format is 2, not 3"),
    "a group": ({"node_type": "group"}, "node_type is 'group'"),
    "codecs that unpickle": (
        {"codecs": [{"name": "vlen-utf8"}, {"name": "numcodecs.pickle"}]},
        "codecs other than bytes and zstd",
    ),
    "more codecs": ({"codecs": [{"name": "bytes"}, {"name": "zstd"}, {"name": "gzip"}]}, "codecs"),
    "no compression": ({"codecs": [{"name": "bytes"}]}, "codecs"),
    "a codec of no name": ({"codecs": [{}, {"name": "zstd"}]}, "name is missing"),
    "big-endian": (
        {"codecs": [{"name": "bytes", "configuration": {"endian": "big"}}, {"name": "zstd"}]},
        "not little-endian",
    ),
    "objects": ({"data_type": "object"}, "data_type is 'object'"),
    "texts": ({"data_type": "string"}, "data_type"),
    "a type with a path": ({"data_type": "../../x"}, "data_type"),
    "shape of no states": ({"shape": [0, 1, 24, 24]}, r"shape\[0\] is 0"),
    "shape of text": ({"shape": "large"}, "shape"),
    "shape of fractions": ({"shape": [10.5, 1, 24, 24]}, r"shape\[0\] is 10.5"),
    "shape of 10^18": ({"shape": [10, 1, 10**9, 10**9]}, "blocks of shape|limit"),
    "shape of many dimensions": ({"shape": [10] + [1] * 40}, "shape"),
    "more states than the others": ({"shape": [11, 1, 24, 24]}, "another length"),
    "blocks of part of a state": (
        {"chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [64, 1, 12, 24]}}},
        "blocks of shape",
    ),
    "blocks of no state": (
        {"chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [0, 1, 24, 24]}}},
        "chunk_shape",
    ),
    "irregular blocks": ({"chunk_grid": {"name": "rectilinear"}}, "chunk_grid.name"),
    "names of blocks with dots": (
        {"chunk_key_encoding": {"name": "default", "configuration": {"separator": "."}}},
        "separator",
    ),
    "storage transformers": ({"storage_transformers": [{"name": "sharding"}]}, "storage_trans"),
}


@pytest.mark.parametrize("case", FRAMES)
def test_arrays_of_another_form_are_refused(store, case):
    values, said = FRAMES[case]
    change(store / EPISODE / "frames" / "zarr.json", **values)
    refuses(store, said)


#: the fields of the small columns
FIELDS = {
    "an object": [["greedy", "|O", []]],
    "a text": [["greedy", "<U1000000", []]],
    "a time": [["greedy", "<M8[ns]", []]],
    "two of one name": [["greedy", "<i8", []], ["greedy", "<i8", []]],
    "no shape": [["greedy", "<i8"]],
    "a shape of 10^9": [["greedy", "<i8", [10**9]]],
    "fewer bytes": [["greedy", "<i8", []]],
    "a name that is none": [[None, "<i8", []]],
    "none": [],
    "a number": 3,
}


@pytest.mark.parametrize("case", FIELDS)
def test_fields_that_are_none_are_refused(store, case):
    change(store / EPISODE / "columns" / "zarr.json", attributes={"fields": FIELDS[case]})
    refuses(store)


def test_arrays_of_version_2_are_never_opened(store):
    """numcodecs up to 0.16.5 unpickles what has these filters."""
    frames = store / EPISODE / "frames"
    (frames / "zarr.json").unlink()
    filters = [{"id": "vlen-utf8"}, {"id": "pickle"}]
    (frames / ".zarray").write_text(json.dumps({"zarr_format": 2, "filters": filters}))
    (frames / ".zattrs").write_text("{}")
    (frames / "0").write_bytes(b"cos\nsystem\n(S'touch ran'\ntR.")
    refuses(store, "zarr.json does not exist")


def test_consolidated_metadata_replace_none(store):
    """What a group says of its arrays is not looked at."""
    path = store / EPISODE / "zarr.json"
    array = json.loads((store / EPISODE / "frames" / "zarr.json").read_text())
    evil = {**array, "codecs": [{"name": "numcodecs.pickle"}]}
    change(path, consolidated_metadata={"kind": "inline", "metadata": {"frames": evil}})
    read(store)


def test_states_that_do_not_belong_together_are_refused(store):
    columns = store / EPISODE / "columns"
    fields = json.loads((columns / "zarr.json").read_text())["attributes"]["fields"]
    renamed = [["other" if n == "rewards" else n, *rest] for n, *rest in fields]
    change(columns / "zarr.json", attributes={"fields": renamed})
    refuses(store, "episode_000001 has other arrays than episode_000000")
    for episode in store.glob("episode_*"):
        change(episode / "columns" / "zarr.json", attributes={"fields": renamed})
    states = StateDataset.open(store)
    with pytest.raises(ExplainError, match="no column 'rewards'"):
        states.column("rewards")
    without = [["x" if n == "greedy" else n, *rest] for n, *rest in fields]
    for episode in store.glob("episode_*"):
        change(episode / "columns" / "zarr.json", attributes={"fields": without})
    refuses(store, "lacks columns")


def test_missing_parts_are_refused(store):
    for part in ("frames", "columns", "rgb"):
        (store / EPISODE / part).rename(store / "away")
        refuses(store, "collect again")
        (store / "away").rename(store / EPISODE / part)
    block = store / FILES["block of frames"]
    block.rename(store / "away")
    refuses(store, "does not exist")


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(
    ("make", "said"), [(Path.mkdir, "there is a folder in its place"), (os.mkfifo, "a pipe")]
)
def test_folders_and_pipes_in_the_place_of_files_are_said(store, name, make, said):
    (store / FILES[name]).unlink()
    make(store / FILES[name])
    assert said in refuse_within(lambda: read(store), seconds=10)
    if name == "settings":
        agent = dot_agent()
        line = refuse_within(lambda: collect(agent, n_states=30, folder=store, progress=False))
        assert said in line


def test_links_to_devices_are_not_read(store):
    path = store / FILES["block of frames"]
    path.unlink()
    path.symlink_to("/dev/zero")
    assert "device in its place" in refuse_within(lambda: read(store), seconds=10)


def test_a_store_as_long_as_it_likes_fills_no_memory(store):
    """Ten episodes say that they have 5 * 10^7 states; blocks of zeros are a few bytes."""
    length = 5 * 10**7
    for episode in store.glob("episode_*"):
        change(episode / "zarr.json", attributes={"length": length, "cut": False})
        for name in ("columns", "frames", "rgb"):
            array = json.loads((episode / name / "zarr.json").read_text())
            chunks = {"chunk_shape": [length, *array["shape"][1:]]}
            change(
                episode / name / "zarr.json",
                shape=[length, *array["shape"][1:]],
                chunk_grid={"name": "regular", "configuration": chunks},
            )
    line = refuse_within(lambda: read(store))
    assert "above the limit of" in line and "SB3_EXPLAIN_MAX_BYTES=" in line


def test_many_episodes_within_the_limit_of_one_fill_no_memory(store):
    """Each array is small enough, and together they are not."""
    for episode in store.glob("episode_*"):
        change(episode / "zarr.json", attributes={"length": 2 * 10**6, "cut": False})
        for name in ("columns", "frames", "rgb"):
            array = json.loads((episode / name / "zarr.json").read_text())
            change(episode / name / "zarr.json", shape=[2 * 10**6, *array["shape"][1:]])
    line = refuse_within(lambda: read(store))
    assert "above the limit of" in line


@pytest.mark.parametrize("n_zeros", [2**24, 2**28])
def test_a_block_of_zeros_without_end_is_not_decoded(store, n_zeros):
    bomb = Zstd(1).encode(np.zeros(n_zeros, np.uint8))
    assert len(bomb) < n_zeros / 10_000
    for name in ("block of frames", "block of columns", "block of pictures"):
        path = store / FILES[name]
        whole = path.read_bytes()
        path.write_bytes(bomb)
        line = refuse_within(lambda: read(store), n_bytes=2**27)
        assert "no block of" in line or "is larger than" in line
        path.write_bytes(whole)
    read(store)


def test_a_block_that_says_its_size_and_has_another_is_refused(store):
    path = store / FILES["block of frames"]
    size = 64 * 24 * 24
    small = Zstd(1).encode(np.zeros(size - 256 * 100, np.uint8))
    path.write_bytes(small)
    refuses(store, "no block of")
    path.write_bytes(Zstd(1).encode(np.zeros(size, np.uint8)) * 2)  # a second frame
    read_or_refused(store)
    path.write_bytes(b"\x28\xb5\x2f\xfd\x00" + bytes(20))  # does not say
    refuses(store, "no block of")


def test_states_that_would_not_be_read_again_are_not_played(tmp_path):
    with pytest.raises(ExplainError, match="100000000 states would take"):
        collect(dot_agent(), n_states=10**8, folder=tmp_path / "states", progress=False)
    assert not list(tmp_path.iterdir())


def read_or_refused(folder):
    try:
        read(folder)
    except ExplainError as error:
        require_line(str(error))


def test_bytes_that_are_neither_true_nor_false_are_one_of_them(store):
    columns = store / EPISODE / "columns"
    described = json.loads((columns / "zarr.json").read_text())
    rows = np.full(described["shape"], 7, np.uint8)
    (columns / "c" / "0" / "0").write_bytes(Zstd(1).encode(rows))
    starts = StateDataset.open(store)._starts
    assert starts.dtype == bool and set(starts.view(np.uint8)) <= {0, 1}


def test_leftovers_that_are_links_are_deleted_and_what_they_lead_to_stays(store, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "words").write_text("words")
    (store / ".episode_000007").symlink_to(tmp_path / "mine")
    (store / ".episode_000008").write_text("a file")
    assert resume_store(store, 30) == [10, 10, 10]
    assert not list(store.glob(".episode_*"))
    assert (tmp_path / "mine" / "words").read_text() == "words"


def test_a_store_is_not_resumed_if_it_is_damaged(store):
    agent = dot_agent()
    for name in ("settings", "group"):
        path = store / FILES[name]
        whole = path.read_bytes()
        path.write_bytes(whole[:-20])
        before = {p: p.read_bytes() for p in store.rglob("*") if p.is_file() and p.suffix}
        with pytest.raises(ExplainError, match="is damaged"):
            collect(agent, n_states=60, folder=store, max_per_episode=10, progress=False)
        assert {p: p.read_bytes() for p in before} == before
        path.write_bytes(whole)
