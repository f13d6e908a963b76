"""Every wrapper and package that a file may name without the user's word."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sb3_explain.common.errors import ExplainError
from sb3_explain.envs.known_wrappers import KNOWN_WRAPPERS, check_arguments
from sb3_explain.envs.recipe import EnvRecipe, import_wrapper

WALK = Path(__file__).with_name("walk_known_wrappers.py")
ROOT = WALK.parents[2]
MONITOR = "stable_baselines3.common.monitor.Monitor"


def run_walk(folder):
    """Standard output of the walk, in a process of its own that works in ``folder``."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, str(WALK)], cwd=folder, env=environment, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.splitlines()


def test_nothing_that_is_known_writes_a_file_or_starts_a_process(tmp_path):
    """All is imported, and wrappers are made with what a file may give them, under an audit hook.

    It takes long since it imports all packages of environments that are installed.
    """
    lines = [line for line in run_walk(tmp_path) if "no minigrid" not in line]
    if not importlib.util.find_spec("ale_py"):
        atari = ("Atari", "atari", "Fire", "EpisodicLife", "Noop", "Colo")
        lines = [line for line in lines if not any(word in line for word in atari)]
    (last,) = lines
    assert last.startswith("at the end: [\"open 'canary' 'w'\"") and "os.system" in last
    assert [path.name for path in tmp_path.iterdir()] == ["canary"]


@pytest.mark.parametrize(
    ("name", "kwargs"),
    [
        ("stable_baselines3.common.atari_wrappers.AtariWrapper", {"frame_skip": 2}),
        ("rl_zoo3.wrappers.HistoryWrapper", {"horizon": 2}),
        ("gymnasium.wrappers.FrameStackObservation", {"stack_size": 4}),
        ("gymnasium.wrappers.transform_observation.GrayscaleObservation", {"keep_dim": True}),
        ("minigrid.wrappers.FlatObsWrapper", {}),
        (MONITOR, {}),
    ],
)
def test_the_zoos_wrappers_are_known(name, kwargs):
    check_arguments(name, kwargs, ())


@pytest.mark.parametrize(
    ("name", "kwargs", "says"),
    [
        (
            MONITOR,
            {"filename": "x"},
            "'filename': 'x'.* a file may give it allow_early_resets only",
        ),
        (
            "gymnasium.wrappers.RecordVideo",
            {"video_folder": "v"},
            "is unknown .*trusted=.'gymnasium",
        ),
        ("gymnasium.wrappers.HumanRendering", {}, "is unknown"),
        ("gymnasium.wrappers.FrameStackObservation", {"stack_size": 10**7}, "from 1 to 100"),
        ("gymnasium.wrappers.FrameStackObservation", {"stack_size": True}, "a whole number"),
        ("gymnasium.wrappers.FrameStackObservation", {"padding_type": "x"}, "one of reset, zero"),
        ("gymnasium.wrappers.ResizeObservation", {"shape": [10**5, 10**5]}, "from 1 to 1024"),
        ("gymnasium.wrappers.ResizeObservation", {"shape": [1] * 9}, "one or two whole numbers"),
        ("gymnasium.wrappers.RescaleAction", {"min_action": float("nan")}, "a finite number"),
        ("gymnasium.wrappers.RescaleAction", {"min_action": "0"}, "a finite number"),
        ("gymnasium.wrappers.RescaleAction", {"min_action": 10**4000}, "a finite number"),
        ("gymnasium.wrappers.FilterObservation", {"filter_keys": ["a"] * 99}, "a list of names"),
        ("gymnasium.wrappers.FilterObservation", {"filter_keys": "a"}, "a list of names"),
        ("gymnasium.wrappers.GrayscaleObservation", {"keep_dim": 1}, "True or False"),
        ("sb3_explain.envs.wrappers.PooledScreen", {"key": "x" * 99}, "a short name"),
        ("sb3_contrib.common.wrappers.ActionMasker", {"action_mask_fn": "close"}, "action_masks"),
        ("stable_baselines3.common.vec_env.VecVideoRecorder", {}, "is unknown"),
        ("rl_zoo3.benchmark.X", {}, "is unknown .*trusted=.'rl_zoo3.benchmark.X"),
        ("Box2D.examples.framework.X", {}, "is unknown"),
        ("mujoco.experimental.studio.viewer.X", {}, "is unknown"),
        ("sb3_explain.workflows.pipeline.write_all", {}, "is unknown"),
    ],
)
def test_other_wrappers_and_arguments_need_the_users_word(name, kwargs, says):
    with pytest.raises(ExplainError, match=says) as error:
        check_arguments(name, kwargs, ())
    assert name in str(error.value)
    for trusted in ([name], [name.partition(".")[0]]):
        check_arguments(name, kwargs, trusted)
    if name not in KNOWN_WRAPPERS:
        with pytest.raises(ExplainError, match="is unknown"):
            import_wrapper(name)


def test_a_long_call_is_cut():
    with pytest.raises(ExplainError) as error:
        check_arguments(f"a.{'b' * 50}", {f"key_{i}": "x" * 500 for i in range(500)}, ())
    assert len(str(error.value)) < 300 and "trusted=['a.b" in str(error.value)


def test_the_users_own_recipe_may_give_a_known_wrapper_any_argument(tmp_path):
    wrappers = ((MONITOR, {"filename": str(tmp_path / "own")}),)
    EnvRecipe("CartPole-v1", wrappers=wrappers).make().close()
    assert [path.name for path in tmp_path.iterdir()] == ["own.monitor.csv"]
