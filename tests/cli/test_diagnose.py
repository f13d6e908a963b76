"""``sb3-explain diagnose``: findings on the terminal and in the folder, one line for a mistake."""

import json

from sb3_explain.cli import main
from tests.cli.zoo_agent import ENV, save_cartpole


def test_diagnose_prints_and_saves_its_findings(tmp_path, capsys):
    save_cartpole(tmp_path / "logs")
    arguments = [
        "diagnose", "--algo", "ppo", "--env", ENV, "-f", str(tmp_path / "logs"),
        "-o", str(tmp_path / "out"), "-n", "60", "--no-progress",
    ]  # fmt: skip
    assert main([*arguments, "--checks", "layers", "exploration", "--n-episodes", "5"]) == 0
    shown = capsys.readouterr().out
    assert "FAULT: all actions are equally probable in nearly every state" in shown
    assert "layers: " in shown and "not looked at" not in shown
    saved = json.loads((tmp_path / "out" / "diagnosis.json").read_text())
    assert [one["name"] for one in saved["findings"]] == ["prefers nothing"]
    assert (tmp_path / "out" / "diagnosis.html").exists()
    assert main([*arguments, "--checks", "layer"]) == 2
    assert "unknown check 'layer'; did you mean 'layers'?" in capsys.readouterr().err
