"""An agent whose files a test spoils: whatever they hold, nothing runs and one line says so."""

import io
import json
import os
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path

import gymnasium as gym
import pytest
import torch
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from sb3_explain.agents.loading import load_agent
from sb3_explain.common.errors import MAX_CHARACTERS, ExplainError

ROOT = Path(__file__).parents[3]


class Payload:
    """Creates the canary when unpickled."""

    def __init__(self, canary):
        self.canary = canary

    def __reduce__(self):
        return os.system, (f"touch {self.canary}",)


class Folder:
    """A copy of the agent that a test spoils, and the canary that nothing may create."""

    def __init__(self, root, canary):
        self.root, self.canary = root, canary
        self.run = root / "ppo" / "CartPole-v1_1"
        self.zip = self.run / "CartPole-v1.zip"
        self.stored = self.run / "CartPole-v1"
        self.statistics = self.stored / "vecnormalize.pkl"

    def members(self):
        with zipfile.ZipFile(self.zip) as archive:
            return {name: archive.read(name) for name in archive.namelist()}

    def write_zip(self, members, compression=zipfile.ZIP_STORED):
        with zipfile.ZipFile(self.zip, "w", compression) as archive:
            for name, content in members.items():
                archive.writestr(name, content)

    def change_member(self, name, content, compression=zipfile.ZIP_STORED):
        self.write_zip({**self.members(), name: content}, compression)

    def change_weights(self, change):
        weights = torch.load(io.BytesIO(self.members()["policy.pth"]), weights_only=True)
        change(weights)
        self.change_member("policy.pth", torch_bytes(weights))

    def change_data(self, **rows):
        data = json.loads(self.members()["data"])
        self.change_member("data", json.dumps({**data, **rows}))

    def load(self, **arguments):
        try:
            return load_agent("ppo", "CartPole-v1", folder=self.root, **arguments)
        finally:
            assert not self.canary.exists(), "a file ran code"

    def refused(self, says="", **arguments):
        with pytest.raises(ExplainError) as error:
            self.load(**arguments)
        text = str(error.value)
        assert text and text.isprintable() and len(text) <= MAX_CHARACTERS, text
        assert says in text, text
        return text


def torch_bytes(value, **options):
    buffer = io.BytesIO()
    torch.save(value, buffer, **options)
    return buffer.getvalue()


def spoil(folder, change, protocol=2):
    """Rewrite the statistics after ``change``, which gets the attributes of VecNormalize."""
    env = VecNormalize(DummyVecEnv([lambda: gym.make("CartPole-v1")]))
    change(env)
    folder.statistics.write_bytes(pickle.dumps(env, protocol))


def run_commands(commands):
    """Run commands in one process that may take 2 GiB; what each said, its exit code, its time."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.agents.loading.run_limited"],
        input=json.dumps([list(map(str, command)) for command in commands]),
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=30 * len(commands) + 60,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def require_refusal(outcome, says=""):
    """One printable line of at most 300 characters, exit code 2, at most 2 GiB and 20 seconds."""
    line = outcome["said"].removesuffix("\n")
    assert outcome["code"] == 2, outcome
    assert line.isprintable() and 0 < len(line) <= 300, line
    assert says in line, line
    assert outcome["seconds"] <= 20 and outcome["peak"] <= 2 * 2**30, outcome
