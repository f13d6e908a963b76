"""``sb3-explain tree``: the tree on the terminal and in the folder, one line for a mistake."""

import json

from sb3_explain.cli import main
from tests.cli.zoo_agent import ENV, save_cartpole


def test_tree_prints_and_saves_what_it_found(tmp_path, capsys):
    save_cartpole(tmp_path / "logs")
    arguments = [
        "tree", "--algo", "ppo", "--env", ENV, "-f", str(tmp_path / "logs"),
        "-o", str(tmp_path / "out"), "--n-rounds", "1", "--n-episodes", "2", "--n-evaluated", "5",
        "--max-steps", "30", "--no-progress",
    ]  # fmt: skip
    assert main([*arguments, "--max-leaves", "4"]) == 0
    shown = capsys.readouterr().out
    assert "for PPO on CartPole-v1" in shown and "of the states, as the agent in" in shown
    saved = json.loads((tmp_path / "out" / "tree.json").read_text())
    assert saved["features"][0] == "cart position" and len(saved["nodes"]["feature"]) <= 7
    assert (tmp_path / "out" / "tree.html").exists()
    assert main([*arguments, "--max-leaves", "1"]) == 2
    assert "--max-leaves 1: give a whole number of at least 2" in capsys.readouterr().err
    assert main([*arguments, "--weights", "gaps"]) == 2
    assert "unknown weights 'gaps'; did you mean 'gap'?" in capsys.readouterr().err
