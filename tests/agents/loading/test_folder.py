"""Which files make an agent."""

import pytest

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
        ({"algo": "dqn"}, "did you mean 'ppo/CartPole-v1'"),
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
    with pytest.raises(ExplainError, match="there is no agent in"):
        find(tmp_path)
    with pytest.raises(ExplainError, match="there is no folder"):
        find(tmp_path / "nothing")
