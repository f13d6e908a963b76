"""``sb3-explain outcomes``: returns on the terminal, files in the folder, mistakes in a line."""

from sb3_explain.cli import main
from tests.cli.zoo_agent import ENV, save_cartpole


def test_outcomes_are_printed_and_saved(tmp_path, capsys):
    save_cartpole(tmp_path / "logs")
    arguments = [
        "outcomes", "--algo", "ppo", "--env", ENV, "-f", str(tmp_path / "logs"), "-o",
        str(tmp_path / "out"), "--no-render", "--no-progress", "--max-steps", "5",
    ]  # fmt: skip
    assert main([*arguments, "--step", "3", "--actions", "0", "right"]) == 0
    shown = capsys.readouterr().out
    assert "step 3 of episode 0" in shown and shown.count("return") == 2
    assert (tmp_path / "out" / "outcomes" / "outcomes.json").exists()
    assert main(arguments) == 2
    assert "give --step" in capsys.readouterr().err
    assert main([*arguments, "--step", "600"]) == 2
    assert "give a step below that" in capsys.readouterr().err
