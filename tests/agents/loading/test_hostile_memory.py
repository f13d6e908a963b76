"""Files that ask for memory or time: refused by the command line within 2 GiB and 20 seconds."""

import contextlib
import io
import json
import os
import pickle
import shutil
import socket
import sys
import zipfile

import gymnasium as gym
import numpy as np
import pytest
import torch
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from tests.agents.loading.models import write_config
from tests.agents.loading.spoilt import Folder, require_refusal, run_commands, torch_bytes
from tests.agents.loading.test_hostile_weights import inner_zip, overlap_records

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="bounds memory as Linux does"),
    pytest.mark.slow,  # gigabytes are written
]

POLICY = "mlp_extractor.policy_net"


def outer_products(folder):
    """Six layers of 30,000 outputs, 0.7 MB on disk, which would make 18 GB."""
    wide = {f"{POLICY}.{2 * i}.weight": torch.zeros(30_000, 1) for i in range(6)}
    folder.change_weights(lambda w: w.update(wide))


def two_wide_layers(folder):
    wide = {f"{POLICY}.{2 * i}.weight": torch.zeros(100_000, 1) for i in range(2)}
    folder.change_weights(lambda w: w.update(wide))


def no_numbers(folder):
    folder.change_weights(lambda w: w.update({f"{POLICY}.0.weight": torch.zeros(10**8, 0)}))


def many_layers(folder):
    deep = {f"{POLICY}.{2 * i}.weight": torch.zeros(1, 1) for i in range(4000)}
    folder.change_weights(lambda w: w.update(deep))


def one_storage(folder):
    base = torch.zeros(2**21)
    folder.change_weights(lambda w: w.update({f"w{i}": base for i in range(3000)}))


def wide_extractor(folder):
    wide = {
        "features_extractor.cnn.0.weight": torch.zeros(32, 1, 8, 8),
        "features_extractor.linear.0.weight": torch.zeros(10**7, 1),
    }
    folder.change_weights(lambda w: w.update(wide))


def overlapping_records(folder):
    def add_body(records):
        records["data/99999"] = bytes(600_000)

    folder.change_member("policy.pth", overlap_records(inner_zip(add_body), 6000))


def large_weights(folder):
    folder.change_member("policy.pth", torch_bytes({"w": torch.zeros(70_000_000)}))


def weights_within_the_limit(folder):
    """They are read whole before it turns out that they fit no policy."""
    folder.change_member("policy.pth", torch_bytes({"w": torch.zeros(65_000_000)}))


def sparse_file(folder):
    with folder.zip.open("r+b") as file:
        file.truncate(60 * 2**30)


def sparse_file_within_the_limit(folder):
    with folder.zip.open("r+b") as file:
        file.truncate(2**31 - 1)


def large_directory(folder):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for i in range(50_000):
            archive.writestr(f"{i:06}", b"")
    folder.zip.write_bytes(buffer.getvalue())


def large_data(folder):
    folder.change_member("data", b'{"a": "' + b"x" * 100_000_000 + b'"}')


def many_values(folder):
    folder.change_member("data", b'{"a": [' + b"[]," * 20_000_000 + b"[]]}")


def many_names(folder):
    folder.change_member("data", b"{" + b",".join(b'"%d":0' % i for i in range(3_000_000)) + b"}")


def frame_stack(folder):
    write_config(folder.run, {"frame_stack": 10**6, "normalize": True})


def wide_text(folder):
    """One sign of four bytes makes all others take four bytes in Python's memory."""
    text = "\U0001f600" + "x" * 70_000_000
    folder.change_member("data", json.dumps({"a": text}, ensure_ascii=False))


def spoil_statistics(folder, change):
    env = VecNormalize(DummyVecEnv([lambda: gym.make("CartPole-v1")]))
    change(env)
    folder.statistics.write_bytes(pickle.dumps(env, 4))


def shared_statistics(folder):
    """One array of bytes under a hundred keys, each of which would become float64 anew."""

    def change(env):
        flat = np.zeros(10_000_000, bool)
        env.obs_rms.mean = env.obs_rms.var = flat
        env.norm_obs_keys = None
        env.obs_rms = {f"k{i}": env.obs_rms for i in range(100)}

    spoil_statistics(folder, change)


def wide_statistics(folder):
    def change(env):
        env.obs_rms.mean = env.obs_rms.var = np.zeros(60_000_000, bool)

    spoil_statistics(folder, change)


def sparse_statistics(folder):
    with folder.statistics.open("r+b") as file:
        file.truncate(60 * 2**30)


def put_in_place(path, make):
    path.unlink()
    make(path)


def make_socket(path):
    with socket.socket(socket.AF_UNIX) as server, contextlib.chdir(path.parent):
        server.bind(path.name)  # which is short, as the name of a socket has to be


FILES = [
    "CartPole-v1.zip",
    *(f"CartPole-v1/{name}" for name in ("config.yml", "args.yml", "vecnormalize.pkl")),
]
KINDS = {
    "pipe": os.mkfifo,
    "folder": os.mkdir,
    "device": lambda path: path.symlink_to("/dev/zero"),
    "terminal": lambda path: path.symlink_to("/dev/stdin"),
    "socket": make_socket,
}
CASES = {
    case.__name__: case
    for case in (
        outer_products, two_wide_layers, no_numbers, many_layers, one_storage, wide_extractor,
        overlapping_records, large_weights, weights_within_the_limit, sparse_file,
        sparse_file_within_the_limit,
        large_directory, large_data, many_values, many_names, frame_stack, shared_statistics,
        wide_statistics, sparse_statistics, wide_text,
    )
} | {
    f"{kind} as {name}": lambda folder, name=name, make=make: put_in_place(folder.run / name, make)
    for name in FILES
    for kind, make in KINDS.items()
}  # fmt: skip


@pytest.fixture(scope="module")
def outcomes(saved, tmp_path_factory):
    """What the command line said of each case; all run in one process."""
    root = tmp_path_factory.mktemp("spoilt")
    commands = {}
    for i, (name, spoil) in enumerate(CASES.items()):
        shutil.copytree(saved, root / str(i))
        folder = Folder(root / str(i), root / "canary")
        spoil(folder)
        commands[name] = [
            "collect", "--algo", "ppo", "--env", "CartPole-v1", "-f", folder.root, "-n", 10,
            "-o", root / f"out{i}", "--no-progress",
        ]  # fmt: skip
    said = dict(zip(commands, run_commands(commands.values()), strict=True))
    assert not (root / "canary").exists()
    return {
        name: {**said[name], "wrote": (root / f"out{i}").exists()} for i, name in enumerate(CASES)
    }


def test_one_line_within_the_limits(outcomes, subtests):
    """One test, so that one of pytest-xdist's processes alone makes all outcomes."""
    for case, outcome in outcomes.items():
        with subtests.test(case):
            require_refusal(outcome)
            assert not outcome["wrote"]
