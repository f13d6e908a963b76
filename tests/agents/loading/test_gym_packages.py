"""gym_packages: modules that the user names are imported; those that a file names are not."""

import sys

import gymnasium as gym
import pytest
from stable_baselines3 import PPO

from sb3_explain import ExplainError, load_agent
from sb3_explain.cli import main
from tests.states.live_envs import Field

MODULE = """
import gymnasium as gym
gym.register("OwnField-v0", entry_point="tests.states.live_envs:Field")
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An agent of an environment that a module registers, which is not imported yet."""
    run = tmp_path / "logs" / "ppo" / "OwnField-v0_1"
    (run / "OwnField-v0").mkdir(parents=True)
    PPO("MlpPolicy", Field(), n_steps=8, batch_size=8, device="cpu").save(run / "OwnField-v0.zip")
    (run / "OwnField-v0" / "args.yml").write_text("gym_packages: [own_fields]")
    (tmp_path / "own_fields.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path / "logs"
    gym.registry.pop("OwnField-v0", None)
    sys.modules.pop("own_fields", None)


def test_the_users_packages_are_imported(folder):
    with pytest.raises(ExplainError, match="own_fields"):
        load_agent("ppo", "OwnField-v0", folder=folder)
    assert "own_fields" not in sys.modules  # the file alone has nothing imported
    agent = load_agent("ppo", "OwnField-v0", folder=folder, gym_packages="own_fields")
    assert agent.recipe.packages[0] == "own_fields"
    assert agent.recipe.make().observation_space.shape == (4,)


def test_on_the_command_line(folder, tmp_path, capsys):
    flags = ["--algo", "ppo", "--env", "OwnField-v0", "-f", str(folder), "-o", str(tmp_path / "o")]
    small = ["-n", "8", "--no-render", "--no-progress"]
    assert main(["collect", *flags, *small]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert main(["collect", *flags, *small, "--gym-packages", "own_fields"]) == 0


@pytest.mark.parametrize(
    ("packages", "says"),
    [
        ("no_such_module", "'no_such_module' cannot be imported"),
        (["own_fields", "no_such_module"], "is it installed, or its folder in PYTHONPATH"),
        (7, "gym_packages=7: give a list of names"),
    ],
)
def test_what_cannot_be_imported_is_one_line(folder, packages, says):
    with pytest.raises(ExplainError, match=says) as error:
        load_agent("ppo", "OwnField-v0", folder=folder, gym_packages=packages)
    assert "\n" not in str(error.value)
