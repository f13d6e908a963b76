"""The scripts for the environments of the VisionMask paper, in their small mode."""

import json
import re

import pytest
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_atari_env
from stable_baselines3.common.vec_env import VecFrameStack

from sb3_explain import StateDataset
from tests.test_examples import run


def shown(folder):
    """What a script leaves for people, and what it measured."""
    assert (folder / "report.html").stat().st_size > 10_000
    assert list((folder / "attributions").glob("*.png"))
    metrics = json.loads((folder / "metrics.json").read_text())
    return metrics["explainers"]["visionmask"]


def accuracy_printed(said: str) -> float:
    return float(re.search(r"^accuracy +([\d.]+)", said, re.MULTILINE)[1])


@pytest.mark.slow
def test_highway(tmp_path):
    pytest.importorskip("highway_env", reason="needs the extra highway")
    said = run("highway.py", "--small", "-o", str(tmp_path))
    assert "no agent was given: trained a small DQN" in said and "98.1" in said
    measured = shown(tmp_path)
    assert accuracy_printed(said) == pytest.approx(100 * measured["accuracy"]["mean"], abs=0.06)
    states = StateDataset.open(tmp_path / "states")
    assert states.observations([0]).shape == (1, 4, 128, 64)
    assert states.rendered([0]).shape == (1, 512, 256, 3)


@pytest.mark.slow
def test_vizdoom(tmp_path):
    pytest.importorskip("vizdoom", reason="needs the extra vizdoom")
    said = run("doom.py", "--small", "-o", str(tmp_path))
    assert "trained a small PPO on VizdoomBasic-v1" in said and "87.8" in said
    measured = shown(tmp_path)
    assert accuracy_printed(said) == pytest.approx(100 * measured["accuracy"]["mean"], abs=0.06)
    observation = StateDataset.open(tmp_path / "states").observations([0])
    assert {name: tuple(observed.shape[1:]) for name, observed in observation.items()} == {
        "screen": (3, 60, 80),
        "gamevariables": (1,),
    }


@pytest.mark.slow
def test_atari_agent_of_the_zoo_on_its_playfield(tmp_path):
    pytest.importorskip("ale_py", reason="needs the extra atari")
    env_id = "SeaquestNoFrameskip-v4"
    envs = VecFrameStack(make_atari_env(env_id, n_envs=1, seed=0), 4)
    run_folder = tmp_path / "logs" / "ppo" / f"{env_id}_1"
    (run_folder / env_id).mkdir(parents=True)
    PPO("CnnPolicy", envs, n_steps=8, batch_size=8, seed=0).save(run_folder / f"{env_id}.zip")
    envs.close()
    (run_folder / env_id / "config.yml").write_text(
        "frame_stack: 4\n"
        "env_wrapper: [stable_baselines3.common.atari_wrappers.AtariWrapper]\n"
        "policy: CnnPolicy\n"
    )
    said = run(
        "atari.py", "--small", "--env", env_id, "-f", str(tmp_path / "logs"),
        "-o", str(tmp_path / "out"),
    )  # fmt: skip
    # rows 56 to 188 of 210 and columns 8 to 160 of 160, in 84ths
    assert "masked, in cells (top, left, height, width): (22, 4, 53, 80)" in said
    assert "trained a small" not in said and "99.6" in said
    shown(tmp_path / "out")
    fitted = json.loads((tmp_path / "out" / "visionmask" / "visionmask.json").read_text())
    assert fitted["settings"]["content"] == [22, 4, 53, 80]
