from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import zarr

from sb3_explain.states.episodes import read_episodes, unpack
from sb3_explain.states.store import BLOCK, Buffers, EpisodeWriter, pack


def test_columns_come_out_of_one_array_as_they_went_in():
    columns = {
        "starts": np.array([True, False, False]),
        "scores": np.random.default_rng(0).normal(size=(3, 6)).astype(np.float32),
        "actions": np.array([3, 1, 2]),
        "lstm_states": np.ones((3, 2, 2), np.float16),
    }
    rows, fields = pack(columns)
    again = unpack(rows, fields)
    assert rows.shape == (3, 1 + 24 + 8 + 8) and list(again) == list(columns)
    for name, column in columns.items():
        assert again[name].dtype == column.dtype
        np.testing.assert_array_equal(again[name], column)


@pytest.mark.parametrize("length", [1, BLOCK, BLOCK + 1, 2 * BLOCK + 5])
def test_zarr_reads_the_blocks_that_were_put_where_the_specification_has_them(tmp_path, length):
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 255, (2 * BLOCK + 5, 1, 20, 30), dtype=np.uint8)
    with ThreadPoolExecutor(1) as executor:
        writer = EpisodeWriter(tmp_path, 0, executor, Buffers())
        for number, frame in enumerate(frames):
            writer.add({"frames": frame, "greedy": number, "starts": number == 0})
            writer.add_outcome("rewards", np.float32(number / 2))
        writer.commit(cut=False, length=length).result()
    group = zarr.open_group(tmp_path / "episode_000000", mode="r")
    np.testing.assert_array_equal(group["frames"][:], frames[:length])
    np.testing.assert_array_equal(
        group["frames"][length // 2 : length], frames[length // 2 : length]
    )
    columns, episodes = read_episodes([tmp_path / "episode_000000"])
    assert [episode.length for episode in episodes] == [length]
    np.testing.assert_array_equal(columns["frames"], frames[:length])
    np.testing.assert_array_equal(columns["greedy"], np.arange(length))
    np.testing.assert_array_equal(columns["rewards"], np.arange(length) / 2)
    n_files = len(list((tmp_path / "episode_000000" / "frames" / "c").iterdir()))
    assert n_files == -(-length // BLOCK)


def test_an_episode_that_waits_keeps_its_last_block_from_the_next_one_of_its_environment(tmp_path):
    rng = np.random.default_rng(0)
    lengths = (BLOCK + 7, 9)
    frames = [rng.integers(0, 255, (n, 1, 20, 30), dtype=np.uint8) for n in lengths]
    with ThreadPoolExecutor(1) as executor:
        buffers = Buffers()  # of one environment
        writers = [EpisodeWriter(tmp_path, number, executor, buffers) for number in range(2)]
        for writer, episode in zip(writers, frames, strict=True):
            for frame in episode:
                writer.add({"frames": frame, "starts": False})
            writer.hand_over()
        for writer, length in zip(writers, lengths, strict=True):
            writer.commit(cut=False, length=length).result()
    for number, episode in enumerate(frames):
        group = zarr.open_group(tmp_path / f"episode_{number:06d}", mode="r")
        np.testing.assert_array_equal(group["frames"][:], episode)


def test_an_episode_that_is_shorter_than_a_block_takes_no_whole_one(tmp_path):
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 255, (5, 1, 20, 30), dtype=np.uint8)
    with ThreadPoolExecutor(1) as executor:
        writer = EpisodeWriter(tmp_path, 0, executor, Buffers())
        for frame in frames:
            writer.add({"frames": frame, "starts": False, "greedy": 1})
        writer.commit(cut=True, length=3).result()  # the store needed three of the five
    array = zarr.open_group(tmp_path / "episode_000000", mode="r")["frames"]
    assert array.shape[0] == 3 and array.chunks[0] == 5
    np.testing.assert_array_equal(array[:], frames[:3])
    columns, _ = read_episodes([tmp_path / "episode_000000"])
    np.testing.assert_array_equal(columns["frames"], frames[:3])
