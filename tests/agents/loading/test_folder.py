"""Which files make an agent."""

import os

import pytest
from stable_baselines3 import PPO

from sb3_explain.agents.loading import load_agent
from sb3_explain.agents.loading.folder import ModelSelection, find_files
from sb3_explain.common.errors import ExplainError


@pytest.fixture
def zoo(tmp_path):
    for name in [
        "ppo/CartPole-v1_1/CartPole-v1.zip",
        "ppo/CartPole-v1_1/CartPole-v1/config.yml",
        "ppo/CartPole-v1_2/CartPole-v1.zip",
        "ppo/CartPole-v1_10/CartPole-v1.zip",
        "ppo/CartPole-v1_10/best_model.zip",
        "ppo/CartPole-v1_10/rl_model_500_steps.zip",
        "ppo/CartPole-v1_10/rl_model_1000_steps.zip",
        "ppo/CartPole-v1_10/rl_model_vecnormalize_500_steps.pkl",
        "ppo/CartPole-v1_10/CartPole-v1/config.yml",
        "ppo/CartPole-v1_10/CartPole-v1/args.yml",
        "ppo/CartPole-v1_10/CartPole-v1/vecnormalize.pkl",
        "ppo/ALE-Pong-v5_1/ALE-Pong-v5.zip",
        "a2c/Acrobot-v1.zip",
        "dqn/Acrobot-v1_1/Acrobot-v1.zip",
        "trpo/Acrobot-v1_1/Acrobot-v1.zip",
        "bare/model.zip",
    ]:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path


def find(folder, algo="ppo", env="CartPole-v1", exp_id=0, **selection):
    files = find_files(folder, algo, env, exp_id, ModelSelection(**selection))
    return files, str(files.model.relative_to(files.model.parents[2]))


def test_the_newest_run_is_the_one_of_the_highest_number(zoo):
    files, model = find(zoo)
    assert model == "ppo/CartPole-v1_10/CartPole-v1.zip"
    assert (files.run, files.config.name, files.args.name) == (10, "config.yml", "args.yml")
    assert files.statistics.name == "vecnormalize.pkl"
    assert files.env_kwargs is None


def test_a_run_by_its_number_by_its_folder_and_by_its_zip(zoo):
    by_number, model = find(zoo, exp_id=1)
    assert model == "ppo/CartPole-v1_1/CartPole-v1.zip"
    run = zoo / "ppo" / "CartPole-v1_1"
    assert find(run)[0] == by_number
    assert find(run / "CartPole-v1.zip")[0] == by_number


def test_best_model_and_checkpoints(zoo):
    run = "ppo/CartPole-v1_10"
    assert find(zoo, best=True)[1] == f"{run}/best_model.zip"
    assert find(zoo, last_checkpoint=True)[1] == f"{run}/rl_model_1000_steps.zip"
    files, model = find(zoo, checkpoint=500)
    assert model == f"{run}/rl_model_500_steps.zip"
    assert files.statistics.name == "rl_model_vecnormalize_500_steps.pkl"
    assert files.run == 10


def test_slashes_and_runs_without_a_number(zoo):
    assert find(zoo, env="ALE/Pong-v5")[1] == "ppo/ALE-Pong-v5_1/ALE-Pong-v5.zip"
    assert find(zoo, algo="a2c", env="Acrobot-v1")[0].model == zoo / "a2c" / "Acrobot-v1.zip"


def test_a_bare_zip_has_nothing_beside_it(zoo):
    files, _ = find(zoo / "bare" / "model.zip", env=None)
    assert (files.config, files.statistics, files.run) == (None, None, None)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"exp_id": 3}, "no run 3 of ppo on CartPole-v1 .*there are: 1, 2, 10"),
        ({"env": "CartPole-v0"}, "did you mean 'ppo/CartPole-v1'"),
        ({"algo": "dqn"}, r"did you mean 'ppo/CartPole-v1'\?"),
        ({"env": "Acrobot-v2"}, r"'ppo/Acrobot-v2'; did you mean 'trpo/Acrobot-v1' or 'dqn/Acr"),
        ({"algo": "dqn", "env": "Acrobot-v2"}, r"did you mean 'dqn/Acrobot-v1'\? \(known: dqn/A"),
        ({"checkpoint": 7}, "no rl_model_7_steps.zip .*there is: CartPole-v1.zip, best_model.zip"),
        ({"exp_id": 2, "best": True}, "no best_model.zip .*there is: CartPole-v1.zip"),
        ({"exp_id": 2, "last_checkpoint": True}, r"no rl_model_\*_steps.zip"),
        ({"best": True, "last_checkpoint": True}, "give one of load_best"),
        ({"env": None}, "give env="),
    ],
)
def test_what_is_not_there_is_said_with_what_is(zoo, arguments, says):
    with pytest.raises(ExplainError, match=says):
        find(zoo, **arguments)


def test_an_empty_folder_and_none(tmp_path):
    with pytest.raises(ExplainError, match=r"there is no agent in .*: give folder= a .zip"):
        find(tmp_path)
    (tmp_path / "others").mkdir()
    (tmp_path / "others" / "stranger.zip").touch()
    with pytest.raises(ExplainError, match=r"there is no folder .*logs': give folder= a") as error:
        find(tmp_path / "logs")
    assert "stranger" not in str(error.value)


# --- names as people have them ------------------------------------------------------------------


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """What ``model.save``, EvalCallback, CheckpointCallback and a clone of the Hub leave behind."""
    root = tmp_path_factory.mktemp("models")
    model = PPO("MlpPolicy", "CartPole-v1", n_steps=8, batch_size=8, device="cpu")
    for name in (
        "many/best_model.zip",
        "many/ppo_v1.0",
        "many/ppo_v1.0.1.zip",
        "many/named.pth",
        "many/rl_model_8_steps.zip",
        "many/rl_model_16_steps.zip",
        "one/whatever.zip",
        "clone/ppo-CartPole-v1.zip",
        "clone/replay.zip",
        "suffixless.zip",
    ):
        path = root / name
        path.parent.mkdir(exist_ok=True)
        with path.open("wb") as file:
            model.save(file)
    for name in ("config.yml", "args.yml", "env_kwargs.yml", "vec_normalize.pkl"):
        (root / "clone" / name).touch()
    (root / "one" / "config.yml").touch()  # of another program
    (root / "one" / "vec_normalize.pkl").touch()
    (root / "suffixless").mkdir()
    model.policy.save(root / "one" / "policy.pth")
    return root


@pytest.mark.parametrize(
    ("folder", "arguments", "expected"),
    [
        ("many/best_model", {}, "many/best_model.zip"),
        ("many/ppo_v1.0", {}, "many/ppo_v1.0"),  # the file itself comes first
        ("many/ppo_v1.0.1", {}, "many/ppo_v1.0.1.zip"),
        ("many/named.pth", {}, "many/named.pth"),  # a model, whatever its name
        ("many", {"best": True}, "many/best_model.zip"),
        ("many", {"checkpoint": 8}, "many/rl_model_8_steps.zip"),
        ("many", {"last_checkpoint": True}, "many/rl_model_16_steps.zip"),
        ("many", {"best": True, "env": None}, "many/best_model.zip"),
        ("one", {}, "one/whatever.zip"),
        ("one", {"env": None}, "one/whatever.zip"),
        ("clone", {}, "clone/ppo-CartPole-v1.zip"),
        ("suffixless", {}, "suffixless.zip"),
    ],
)
def test_names_as_people_have_them(models, folder, arguments, expected):
    files, _ = find(models / folder, **arguments)
    assert files.model == models / expected


def test_models_without_their_suffix_load(models):
    for name in ("many/best_model", "many/ppo_v1.0", "many/ppo_v1.0.1", "many/named.pth"):
        assert load_agent("ppo", "CartPole-v1", folder=models / name).n_scores == 2


def test_a_clone_of_the_hub_brings_its_files(models):
    files, _ = find(models / "clone")
    names = (files.config.name, files.args.name, files.env_kwargs.name, files.statistics.name)
    assert names == ("config.yml", "args.yml", "env_kwargs.yml", "vec_normalize.pkl")
    assert find(models / "clone" / "ppo-CartPole-v1.zip")[0] == files
    other, _ = find(models / "clone" / "replay.zip")
    assert (other.config, other.statistics.name) == (None, "vec_normalize.pkl")
    assert find(models / "one")[0].config is None


@pytest.mark.parametrize(
    ("folder", "arguments", "says"),
    [
        ("one/policy.pth", {}, "holds weights only, not a model.*whatever.zip"),
        ("one/vec_normalize.pkl", {}, "holds statistics or another pickle only"),
        ("many", {}, "there is: best_model.zip, ppo_v1.0.1.zip, rl_model_16_steps.zip"),
        ("many", {"env": None}, "give env=.*best_model.zip"),
        ("many", {"checkpoint": 9}, "no rl_model_9_steps.zip .*rl_model_8_steps.zip"),
        ("one", {"best": True}, r"no agent in .*\(there is: whatever.zip\)"),
        ("nothing", {}, "there is no folder and no .zip .*suffixless.zip"),
        ("nothing.zip", {}, "there is no file .*suffixless.zip"),
        ("mny", {}, "did you mean '.*many'"),
        ("x" * 3000, {}, "cannot be read"),
    ],
)
def test_the_models_that_are_there_are_listed(models, folder, arguments, says):
    with pytest.raises(ExplainError, match=says):
        find(models / folder, **arguments)


def test_the_only_zip_is_not_that_of_another_environment(zoo):
    with pytest.raises(ExplainError, match="there is no agent"):
        find(zoo / "a2c", algo="a2c")
    (zoo / "stray.zip").touch()
    with pytest.raises(ExplainError, match="did you mean 'ppo/CartPole-v1'"):
        find(zoo, env="CartPole-v0")


@pytest.mark.parametrize("name", ["somewhere:CartPole-v1_1", "CartPole-v1_1"])
def test_the_module_before_an_id_may_stand_in_the_folders_name(tmp_path, name):
    run = tmp_path / "ppo" / name
    (run / name[:-2]).mkdir(parents=True)
    (run / f"{name[:-2]}.zip").touch()
    files, _ = find(tmp_path, env="somewhere:CartPole-v1")
    assert files.model == run / f"{name[:-2]}.zip"


def test_other_things_in_the_place_of_files_are_said(tmp_path):
    os.mkfifo(tmp_path / "pipe.zip")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder.zip").mkdir()
    for name, says in [
        ("pipe.zip", "pipe, socket or device"),
        ("pipe", "pipe, socket or device"),
        ("folder.zip", "is a folder, not a .zip"),
    ]:
        with pytest.raises(ExplainError, match=says):
            find(tmp_path / name)


@pytest.mark.parametrize("name", ["config.yml", "args.yml", "vecnormalize.pkl"])
def test_a_folder_in_the_place_of_a_setting_is_not_taken_for_none(zoo, name):
    stored = zoo / "ppo" / "CartPole-v1_10" / "CartPole-v1"
    (stored / name).unlink()
    (stored / name).mkdir()
    files, _ = find(zoo)
    assert stored / name in (files.config, files.args, files.statistics)
