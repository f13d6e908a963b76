"""The robot study's benchmark: table 6, success rates, resuming; drawn where MuJoCo can draw."""

import json

import numpy as np
import pandas as pd
import pytest

from sb3_explain import SGQN, load_agent
from sb3_explain.cli import main
from sb3_explain.common.errors import ExplainError
from sb3_explain.workflows.pixel_training import run_robot
from sb3_explain.workflows.pixel_training.suites import DMC, ROBOT, find_suite, read_published
from sb3_explain.workflows.pixel_training.table import write_table

TINY = [
    "--settings", "learning_starts:4", "warmup_updates:0", "batch_size:4",
    "--policy-kwargs", "n_layers:4", "n_filters:4", "features_dim:8", "net_arch:[16]",
]  # fmt: skip


def test_the_papers_figures_are_there():
    figures = read_published(ROBOT)
    assert len(figures) == 40 and not figures.duplicated(["task", "mode", "algo"]).any()
    known = figures.set_index(["task", "mode", "algo"])["mean"].unstack("mode")
    # table 6 of Bertoin et al. (2022), whose averages are those of its rows
    assert known.loc[("reach", "sgqn"), "test2"] == 31.0
    means = known[["test1", "test2", "test3"]].mean(axis=1)
    assert (means - known["average"]).abs().max() <= 0.11


def test_the_table_has_success_rates_and_the_average_of_the_tests():
    rows = [
        ("reach", mode, "sgqn", seed, value + seed, 0.5 + 0.1 * seed)
        for mode, value in (("train", 30.0), ("test1", 10.0), ("test2", 20.0), ("test3", 36.0))
        for seed in (0, 1)
    ]
    rows += [("reach", "train", "svea", 0, 31.26, 1.0)]
    results = pd.DataFrame(rows, columns=["task", "mode", "algo", "seed", "return", "success"])
    lines = write_table(results, ROBOT).splitlines()
    assert lines[0] == "| mode | task | | svea | sgqn |"
    assert lines[2] == "| train | reach | ours | 31.3 | 30.5 ± 0.5 |"
    assert lines[3] == "| | | successes | 100 % | 55 ± 5 % |"
    assert lines[4] == "| | | *paper* | *32.2 ± 0* | *31.8 ± 1* |"
    assert lines[-3] == "| average | reach | ours |  | 22.5 ± 0.5 |"
    assert lines[-1] == "| | | *paper* | *-6.1 ± 23* | *24.9 ± 6* |"
    # of two tests of three there is no average
    assert "average" not in write_table(results[results["mode"] != "test3"], ROBOT)


def test_an_environment_has_the_settings_of_its_study():
    assert find_suite("ROBOT/reach-train-v0") is ROBOT and find_suite("DMCGB/a-train-v0") is DMC
    assert find_suite("Pendulum-v1") is None


def test_mistakes_are_said_before_anything_is_trained(tmp_path, capsys):
    for options, message in (
        ({"tasks": ["push"]}, "unknown task 'push'"),
        ({"modes": ["test4"]}, "unknown mode 'test4'; did you mean 'test"),
        ({"assets": tmp_path / "none"}, "folder of meshes and textures is missing"),
    ):
        pytest.importorskip("mujoco")
        with pytest.raises(ExplainError, match=message):
            run_robot(tmp_path, **options)
    assert main(["benchmark", "robot", "--backgrounds", "dmcgb", "-o", str(tmp_path)]) == 2
    assert "benchmark robot has no --backgrounds: leave it out" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def draws() -> None:
    """Skip where nothing can be drawn."""
    from sb3_explain.envs.robot.environment import RobotEnv

    try:
        env = RobotEnv("reach", size=8)
        env.reset(seed=0)
    except ExplainError as error:
        pytest.skip(str(error))
    env.close()


@pytest.mark.usefixtures("draws")
def test_a_small_study_by_the_command_line_and_again(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("sb3_explain.envs.robot.tasks.N_DECISIONS", 10)
    command = [
        "benchmark", "robot", "--algos", "sac", "sgqn", "--tasks", "reach", "--seeds", "0",
        "--modes", "train", "test2", "--n-episodes", "1", "-n", "12", "--part", "6",
        "-o", str(tmp_path), "--no-progress", "--env-kwargs", "size:32", *TINY,
    ]  # fmt: skip
    assert main(command) == 0
    said = capsys.readouterr().out
    assert "| test2 | reach | ours |" in said and "*-21.9 ± 14* | *31.0 ± 3*" in said
    assert "random convolutions. The paper: 250000 timesteps" in said
    rows = pd.read_csv(tmp_path / "returns.csv")
    assert len(rows) == 4 and rows["success"].between(0, 1).all()
    result = tmp_path / "results" / "sgqn-reach-0-test2.json"
    stored = json.loads(result.read_text())
    assert len(stored["successes"]) == 1
    row = rows.query("algo == 'sgqn' and mode == 'test2'")
    assert np.mean(stored["returns"]) == pytest.approx(row["return"].item())
    changed = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("model.zip")}
    result.unlink()
    assert main(command) == 0
    assert json.loads(result.read_text()) == stored
    assert all(path.stat().st_mtime_ns == time for path, time in changed.items())
    # the agent has the study's settings, and is loaded with its environment
    model = SGQN.load(tmp_path / "runs" / "sgqn-reach-0" / "model.zip")
    assert model.strong_augmentation == "convolution" and model.n_stack == 1
    assert model.consistency_coef == 1
    agent = load_agent(
        "sgqn", "ROBOT/reach-train-v0", folder=tmp_path / "runs" / "sgqn-reach-0",
        env_kwargs={"size": 32},
    )  # fmt: skip
    assert agent.n_stack == 1 and agent.action_names == ("x", "y")
