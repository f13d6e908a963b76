"""``sb3-explain behavior``: a map of whole episodes, one line for a mistake."""

from sb3_explain.cli import main
from tests.cli.zoo_agent import ENV, save_cartpole


def test_behavior_plays_draws_and_prints(tmp_path, capsys):
    save_cartpole(tmp_path / "logs")
    out = tmp_path / "out"
    arguments = [
        "behavior", "--algo", "ppo", "--env", ENV, "-f", str(tmp_path / "logs"), "-o", str(out),
        "-n", "150", "--no-progress",
    ]  # fmt: skip
    assert main([*arguments, "--n-clusters", "2", "--n-examples", "1"]) == 0
    shown = capsys.readouterr().out
    assert "150 states of" in shown and "in 2 clusters" in shown
    assert (out / "behavior.html").exists() and (out / "behavior.png").exists()
    assert main([*arguments, "--layer", "action_nett"]) == 2
    assert "unknown layer 'action_nett'; did you mean 'action_net'" in capsys.readouterr().err
