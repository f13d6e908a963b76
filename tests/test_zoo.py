"""rl-zoo3's own commands, as processes or called, with our callbacks and our algorithms."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from sb3_explain import VisionMask, cli, load_agent
from sb3_explain.cli.zoo import is_of_zoo
from sb3_explain.common.errors import ExplainError
from tests.processes import run_in_fork

pytest.importorskip("rl_zoo3")
SALIENCY = "sb3_explain.callbacks.SaliencyCallback"
METRICS = "sb3_explain.callbacks.MetricsCallback"
#: without a limit of time: these trainings take seconds
FREE = {"budget": None, "on_error": "raise"}


def run(folder, module, *arguments):
    """``python -m`` with a module and arguments, in ``folder`` and a process of its own."""
    script = folder / "command.py"
    script.write_text(f"import runpy\nrunpy.run_module({module!r}, None, '__main__', True)\n")
    run_in_fork(script, arguments, folder=folder, timeout=600)


def write(folder, env, **settings):
    (folder / "my.yml").write_text(yaml.safe_dump({env: settings}))


def events_below(folder):
    (path,) = Path(folder).rglob("events.out.tfevents.*")
    events = EventAccumulator(str(path.parent), size_guidance={"images": 0, "scalars": 0})
    events.Reload()
    return events


def test_ppo_on_cartpole(tmp_path):
    write(
        tmp_path, "CartPole-v1",
        policy="MlpPolicy", n_envs=2, n_timesteps=512, n_steps=64, batch_size=64, n_epochs=1,
        normalize=True,
        callback=[
            {SALIENCY: {"explainer": "gradient", "every": 200, "n_states": 2, **FREE}},
            {METRICS: {"explainers": ["gradient"], "metrics": ["sparseness"], "every": 200,
                       "n_states": 8, **FREE}},
            {"sb3_explain.callbacks.VisionMaskCallback": {
                "n_states": 400, "fit_kwargs": {"epochs": 1}, **FREE}},
        ],
    )  # fmt: skip
    run(tmp_path, "rl_zoo3.train", "--algo", "ppo", "--env", "CartPole-v1", "-conf", "my.yml",
        "-tb", "tb", "-f", "logs", "--eval-freq", "-1", "--seed", "0", "--device",
        "cpu")  # fmt: skip
    events = events_below(tmp_path / "tb")
    for tag in ("saliency/monitor", "saliency/fresh"):
        assert [event.step for event in events.Images(tag)] == [200, 400, 512]
    steps = [event.step for event in events.Scalars("metrics/gradient/sparseness")]
    assert steps == [200, 400, 512]
    results = tmp_path / "logs" / "ppo" / "CartPole-v1_1"
    assert (results / "saliency" / "monitor_512.png").exists()
    assert (results / "metrics" / "metrics.json").exists()
    # what was fitted explains the agent that the zoo saved
    agent = load_agent("ppo", "CartPole-v1", folder=tmp_path / "logs")
    explainer = VisionMask.load(results / "visionmask", agent)
    assert explainer.attribute(agent.tensor(np.zeros((1, 4), np.float32))).shape == (1, 4)


@pytest.mark.slow
def test_ppo_on_pong(tmp_path):
    pytest.importorskip("ale_py")
    write(
        tmp_path, "atari",
        policy="CnnPolicy", n_envs=2, n_timesteps=256, n_steps=64, batch_size=64, n_epochs=1,
        env_wrapper=["stable_baselines3.common.atari_wrappers.AtariWrapper"], frame_stack=4,
        callback=[
            {SALIENCY: {"every": 128, "n_states": 2, "n_frames": 8, **FREE}},
            {METRICS: {"every": 128, "n_states": 2, **FREE}},
        ],
    )  # fmt: skip
    run(tmp_path, "rl_zoo3.train", "--algo", "ppo", "--env", "PongNoFrameskip-v4", "-conf",
        "my.yml", "-tb", "tb", "--eval-freq", "-1", "--device", "cpu")  # fmt: skip
    events = events_below(tmp_path / "tb")
    for tag in ("saliency/monitor", "saliency/fresh", "saliency/video"):
        assert [event.step for event in events.Images(tag)] == [128, 256]
    for metric in ("insertion", "deletion", "sparseness", "accuracy@0.1"):
        (first, _) = events.Scalars(f"metrics/integrated_gradients/{metric}")
        assert 0 <= first.value <= 1


def test_every_trial_of_an_optimisation_has_its_folder(tmp_path, monkeypatch):
    from rl_zoo3.train import train

    write(
        tmp_path, "CartPole-v1",
        policy="MlpPolicy", n_timesteps=256, n_envs=1,
        callback=[{SALIENCY: {"explainer": "gradient", "every": 100, "n_states": 2,
                              "folder": "pictures", **FREE}}],
    )  # fmt: skip
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", [
        "rl_zoo3.train", "--algo", "a2c", "--env", "CartPole-v1", "-conf", "my.yml",
        "-optimize", "--n-trials", "2", "--n-evaluations", "1", "--eval-episodes", "1",
        "--sampler", "random", "--pruner", "none", "--no-optim-plots", "--seed", "0",
        "--device", "cpu",
    ])  # fmt: skip
    train()
    folders = sorted(path.name for path in (tmp_path / "pictures").iterdir())
    assert folders == ["saliency", "saliency_2"]
    assert all((tmp_path / "pictures" / name / "monitor_100.png").exists() for name in folders)


TINY = {
    "policy": "SGQNPolicy", "n_timesteps": 40, "learning_starts": 10, "batch_size": 4,
    "buffer_size": 200, "policy_kwargs": "dict(n_filters=4, n_layers=4, features_dim=8, "
    "net_arch=[8, 8], decoder_filters=[4, 4])",
}  # fmt: skip
CARTPOLE = "DMCGB/cartpole_swingup-train-v0"


@pytest.mark.slow
def test_sgqn_is_trained_tuned_and_played(tmp_path, monkeypatch, capsys):
    pytest.importorskip("dm_control")
    write(
        tmp_path, CARTPOLE, **TINY, env_kwargs={"action_repeat": 40},
        callback=[{SALIENCY: {"explainer": "sgqn", "every": 20, "n_states": 2, "n_frames": 4,
                              **FREE}}],
    )  # fmt: skip
    common = ["--algo", "sgqn", "--env", CARTPOLE, "-f", "logs", "--device", "cpu"]
    run(tmp_path, "sb3_explain", "train", *common, "-conf", "my.yml", "-tb", "tb",
        "--eval-freq", "-1")  # fmt: skip
    events = events_below(tmp_path / "tb")
    assert [event.step for event in events.Images("saliency/monitor")] == [20, 40]
    # an episode of 1000 steps of the simulator, forty for each decision
    monkeypatch.chdir(tmp_path)
    assert cli.main(["enjoy", *common, "--no-render", "-n", "30"]) == 0
    assert "Episode Length 25" in capsys.readouterr().out
    agent = load_agent("sgqn", CARTPOLE, folder=tmp_path / "logs")
    assert agent.n_stack == 3
    optimisation = [
        "-optimize", "--n-trials", "1", "--n-evaluations", "1", "--eval-episodes", "1",
        "--sampler", "random", "--pruner", "none", "--no-optim-plots", "-n", "12",
    ]  # fmt: skip
    assert cli.main(["train", *common, "-conf", "my.yml", *optimisation]) == 0
    (report,) = (tmp_path / "logs" / "sgqn").glob("report_*.csv")
    assert "params_saliency_quantile" in report.read_text()


def test_all_our_algorithms_have_settings_for_all_tasks():
    from sb3_explain import zoo
    from sb3_explain.envs.dmc.ids import TASKS, env_id
    from sb3_explain.envs.robot import ids as robot

    assert set(zoo.OURS) == {"drq", "pixelsac", "rad", "sgqn", "soda", "svea"}
    for algo, algorithm in zoo.OURS.items():
        settings = yaml.safe_load(zoo.find_hyperparameters(algo).read_text())
        for task in TASKS:
            observed = settings[env_id(task, "train")]
            assert observed["policy"] in algorithm.policy_aliases
            assert observed["n_timesteps"] == 500_000
            assert observed.get("env_kwargs", {}) == (
                {"size": 100} if algo in ("rad", "soda") else {}
            )
        for task in robot.TASKS:
            observed = settings[robot.env_id(task, "train")]
            assert observed["policy"] in algorithm.policy_aliases
            assert observed["n_timesteps"] == 250_000 and observed["n_stack"] == 1
            strong = "convolution" if algo in ("sgqn", "soda", "svea") else None
            assert observed.get("strong_augmentation") == strong
            assert observed.get("env_kwargs", {}).get("size") == (
                100 if algo in ("rad", "soda") else None
            )
        if algo == "sgqn":
            rho = {task: settings[env_id(task, "train")]["saliency_quantile"] for task in TASKS}
            assert rho == {
                "walker_walk": 0.95, "walker_stand": 0.95, "finger_spin": 0.95,
                "cartpole_swingup": 0.98, "ball_in_cup_catch": 0.98,
            }  # fmt: skip


@pytest.mark.parametrize(
    "words, algo",
    [
        (["--algo", "sgqn", "--env", "x"], "sgqn"), (["--env", "x", "--algo=drq"], "drq"),
        (["--al", "rad"], "rad"), (["--env", "x"], ""), (["--algo"], ""),
    ],
)  # fmt: skip
def test_the_algorithm_is_found_among_the_zoos_words(words, algo):
    from sb3_explain import zoo

    assert zoo.find_algo(words) == algo


@pytest.mark.parametrize("flag", ["-conf", "--conf-file", "--conf"])
def test_a_file_of_the_user_takes_the_place_of_ours(flag, tmp_path, monkeypatch):
    import rl_zoo3.train

    from sb3_explain import zoo

    monkeypatch.setattr(rl_zoo3.train, "ExperimentManager", Stop)
    with pytest.raises(Stop) as stopped:
        zoo.run("train", ["--algo", "sgqn", "--env", "CartPole-v1", flag, "my.yml"])
    assert stopped.value.args[0]["config"] == "my.yml"
    with pytest.raises(Stop) as stopped:
        zoo.run("train", ["--algo", "sgqn", "--env", "CartPole-v1"])
    assert stopped.value.args[0]["config"] == str(zoo.find_hyperparameters("sgqn"))


class Stop(Exception):  # noqa: N818 - no error
    """Says what the zoo would have done."""

    def __init__(self, *_, **options):
        super().__init__(options)
        raise self


def test_which_train_is_meant(capsys):
    assert is_of_zoo(["train", "--algo", "ppo", "-optimize"])
    assert not is_of_zoo(["train", "-oout"])
    assert not is_of_zoo(["train", "--output=out"])
    assert is_of_zoo(["enjoy", "-h"])
    with pytest.raises(SystemExit):
        cli.main(["train", "-h"])
    assert "python -m rl_zoo3.train -h" in " ".join(capsys.readouterr().out.split())


def test_what_is_sampled_is_what_is_converted_from_a_kept_trial():
    optuna = pytest.importorskip("optuna")
    from rl_zoo3.hyperparams_opt import HYPERPARAMS_CONVERTER, HYPERPARAMS_SAMPLER

    from sb3_explain import zoo

    trial = optuna.create_study().ask()
    sampled = HYPERPARAMS_SAMPLER["sgqn"](trial, 1, 1, {})
    assert HYPERPARAMS_CONVERTER["sgqn"](trial.params) == sampled
    assert sampled["batch_size"] in (32, 64, 128, 256)
    assert 0.95 <= sampled["gamma"] <= 0.997
    assert set(zoo.OURS) <= set(HYPERPARAMS_SAMPLER)


def test_mistakes_are_one_line(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["enjoy", "--algo", "sgqn", "--env", "CartPole-v1", "-f", "nowhere"]) == 2
    assert capsys.readouterr().err == "sb3-explain: The nowhere/sgqn folder was not found\n"
    assert cli.main(["train", "--algo", "ppo", "--env", "CartPol-v1"]) == 2
    assert "you maybe meant CartPole-v1?" in capsys.readouterr().err
    assert cli.main(["train", "--algo", "sgqn", "--env", "CartPole-v1"]) == 2
    assert "Hyperparameters not found for sgqn-CartPole-v1" in capsys.readouterr().err


def test_without_wandb_one_line(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "wandb", None)
    arguments = ["train", "--algo", "ppo", "--env", "CartPole-v1", "--track", "-n", "64"]
    assert cli.main(arguments) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "pip install wandb" in err


def test_without_rl_zoo3_one_line(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "rl_zoo3", None)
    monkeypatch.delitem(sys.modules, "sb3_explain.zoo", raising=False)
    monkeypatch.delattr("sb3_explain.zoo", raising=False)
    assert cli.main(["enjoy", "--algo", "sgqn"]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "pip install 'sb3-explain[zoo]'" in err
    with pytest.raises(ExplainError, match="rl-zoo3 is not installed"):
        importlib.import_module("sb3_explain.zoo")
