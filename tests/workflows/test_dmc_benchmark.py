"""The benchmark of generalisation: tables, resuming, mistakes; drawn where MuJoCo can draw."""

import json
from functools import partial

import imageio.v3 as imageio
import numpy as np
import pandas as pd
import pytest
import torch

from sb3_explain import RAD, SGQN
from sb3_explain.cli import main
from sb3_explain.common.errors import ExplainError
from sb3_explain.envs.dmc.environment import DMCGeneralizationEnv
from sb3_explain.sgqn.overlays import draw_textures
from sb3_explain.workflows.pixel_training import run_dmc, saliency_pictures
from sb3_explain.workflows.pixel_training.suites import DMC, read_published
from sb3_explain.workflows.pixel_training.table import write_table
from tests.envs.test_dmc import write_video
from tests.pixels import SIZE, SMALL, PointEnv


def test_the_papers_figures_are_there():
    figures = read_published(DMC)
    assert len(figures) == 100 and not figures.duplicated(["task", "mode", "algo"]).any()
    known = figures.set_index(["task", "mode", "algo"])["mean"]
    # tables 1 and 2 of Bertoin et al. (2022)
    assert known["walker_walk", "video_hard", "sgqn"] == 739
    assert known["cartpole_swingup", "video_easy", "svea"] == 702
    assert known["ball_in_cup_catch", "train", "sac_saliency"] == 967
    means = known.unstack("algo").loc[pd.IndexSlice[:, "video_easy"], :].mean()
    # the averages that the paper prints
    assert round(means["drq"]) in (543, 551) and round(means["sgqn"]) == 828


def test_the_table_has_ours_above_the_papers():
    rows = [("cartpole_swingup", "video_hard", "sgqn", seed, value)
            for seed, value in ((0, 500.0), (1, 540.0))]  # fmt: skip
    rows += [("cartpole_swingup", "video_hard", "drq", 0, 100.4)]
    results = pd.DataFrame(rows, columns=["task", "mode", "algo", "seed", "return"])
    lines = write_table(results, DMC).splitlines()
    assert lines[0] == "| mode | task | | drq | sgqn |"
    assert lines[2] == "| video_hard | cartpole_swingup | ours | 100 | 520 ± 20 |"
    assert lines[3] == "| | | *paper* | *128 ± 19* | *526 ± 41* |"
    assert len(lines) == 4


def test_mistakes_are_said_before_anything_is_trained(tmp_path):
    for options, message in (
        ({"algos": ["sqgn"]}, "unknown algorithm 'sqgn'; did you mean 'sgqn'"),
        ({"tasks": ["walker"]}, "unknown task 'walker'"),
        ({"modes": ["video"]}, "unknown mode 'video'"),
        ({"seeds": []}, "name an algorithm, a task, a seed"),
    ):
        with pytest.raises(ExplainError, match=message):
            run_dmc(tmp_path, **options)
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def backgrounds(tmp_path_factory):
    pytest.importorskip("dm_control")
    try:
        DMCGeneralizationEnv("cartpole_swingup", size=8).reset(seed=0)
    except ExplainError as error:
        pytest.skip(str(error))
    folder = tmp_path_factory.mktemp("backgrounds")
    write_video(folder / "video_hard" / "video0.mp4", [(220, 20, 20), (20, 20, 220)])
    return folder


def test_missing_videos_are_said_before_anything_is_trained(backgrounds, tmp_path):
    with pytest.raises(ExplainError, match=r"no videos in .*video_easy"):
        run_dmc(tmp_path, backgrounds=backgrounds)
    assert not list(tmp_path.iterdir())


@pytest.fixture
def short(monkeypatch):
    """Episodes last a second in place of ten."""
    suite = pytest.importorskip("dm_control.suite")
    monkeypatch.setattr(suite, "load", partial(suite.load, task_kwargs={"time_limit": 1}))


@pytest.mark.usefixtures("short")
def test_a_small_benchmark_by_the_command_line_and_again(backgrounds, tmp_path, capsys):
    command = [
        "benchmark", "dmc", "--algos", "drq", "sgqn", "--tasks", "cartpole_swingup",
        "--seeds", "0", "--modes", "train", "video_hard", "--backgrounds", str(backgrounds),
        "--n-episodes", "2", "-n", "12", "--part", "6", "-o", str(tmp_path), "--no-progress",
        "--env-kwargs", "action_repeat:20", "size:32",
        "--settings", "learning_starts:4", "warmup_updates:0", "batch_size:4",
        "--policy-kwargs", "n_layers:4", "n_filters:4", "features_dim:8", "net_arch:[16]",
    ]  # fmt: skip
    assert main(command) == 0
    said = capsys.readouterr().out
    assert "| video_hard | cartpole_swingup | ours |" in said and "*128 ± 19*" in said
    names = {path.name for path in tmp_path.iterdir()}
    assert names >= {"returns.csv", "table.md", "curves.png", "saliency_cartpole_swingup.png"}
    rows = pd.read_csv(tmp_path / "returns.csv")
    assert len(rows) == 4
    result = tmp_path / "results" / "sgqn-cartpole_swingup-0-train.json"
    stored = json.loads(result.read_text())
    assert np.mean(stored["returns"]) == pytest.approx(
        rows.query("algo == 'sgqn' and mode == 'train'")["return"].item()
    )
    assert imageio.imread(tmp_path / "saliency_cartpole_swingup.png").shape[2] >= 3
    # what is there is taken, what is missing is played: with the same seeds, the same returns
    changed = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("model.zip")}
    result.unlink()
    assert main(command) == 0
    assert json.loads(result.read_text()) == stored
    assert all(path.stat().st_mtime_ns == time for path, time in changed.items())


def test_train_by_the_command_line(tmp_path, capsys):
    networks = [f"{name}:{value}" for name, value in SMALL.items()]
    command = [
        "train", "--algo", "sgqn", "--env", "unknown.package:Point-v0", "-o", str(tmp_path),
        "-n", "20", "--part", "10", "--no-progress", "--settings", "learning_starts:10",
        "batch_size:4", "warmup_updates:0", "--policy-kwargs", *networks,
    ]  # fmt: skip
    assert main(command) == 2
    assert "is unknown and was not imported" in capsys.readouterr().err
    command[4] = "Point-v0"
    assert main(command) == 0
    assert (tmp_path / "model.zip").exists()


def test_pictures_show_what_each_network_sees(monkeypatch):
    """RAD looks at the middle; who has not learned to predict a map shows none; zero is said."""
    backgrounds = draw_textures(4, (SIZE, SIZE), seed=0).numpy()
    monkeypatch.setattr(saliency_pictures, "make_env", lambda *_: PointEnv(backgrounds))
    common = {"env": PointEnv(), "buffer_size": 50}
    models = {
        "rad": RAD("PixelPolicy", policy_kwargs={**SMALL, "size": 24}, **common),
        "sgqn": SGQN("SGQNPolicy", policy_kwargs=SMALL, **common),
        "sac_consistency": SGQN("SGQNPolicy", policy_kwargs=SMALL, n_aux=0, **common),
    }
    with torch.no_grad():
        for weights in models["rad"].critic.features_extractor.parameters():
            weights.normal_(0, 0.2)  # the first ones pass a quarter of the pixels at most
        models["sac_consistency"].critic.q_networks[0][-1].weight.zero_()
    rows = saliency_pictures.draw_saliency_rows(models, DMC, "walker_walk", ["train"], {}, seed=0)
    assert list(rows) == [
        "rad: state", "rad: true", "rad: mask",
        "sgqn: state", "sgqn: true", "sgqn: mask", "sgqn: predicted",
        "sac_consistency: state", "sac_consistency: true (zero)", "sac_consistency: mask",
    ]  # fmt: skip
    for name, pictures in rows.items():
        side = 24 if name.startswith("rad") else SIZE
        assert [picture.shape for picture in pictures] == [(side, side, 3)] * 4
    # a 20th of what the network sees is kept as it is; the rest is an eighth of it, and lifted
    state, mask = (np.stack(rows[f"rad: {name}"]) for name in ("state", "mask"))
    assert (state == mask).all(-1).mean() == pytest.approx(0.05, abs=0.005)
