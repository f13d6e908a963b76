"""``sb3-explain critical``: words on the terminal, files in the folder, mistakes in a line."""

from sb3_explain.cli import main
from tests.cli.zoo_agent import ENV, save_cartpole


def test_critical_steps_are_printed_and_saved(tmp_path, capsys):
    save_cartpole(tmp_path / "logs")
    arguments = [
        "critical", "--algo", "ppo", "--env", ENV, "-f", str(tmp_path / "logs"), "-o",
        str(tmp_path / "out"), "--no-render", "--no-progress", "--n-timesteps", "64",
        "--n-episodes", "2", "--max-steps", "20",
    ]  # fmt: skip
    assert main(arguments) == 0
    shown = capsys.readouterr().out
    assert "most critical steps:" in shown and "as they went" in shown
    assert "outcomes -o" in shown and "--episode 0 --seed 1000000 --step " in shown
    left = {path.name for path in (tmp_path / "out" / "critical").iterdir()}
    written = {"critical.png", "critical.json", "critical.txt", "fidelity.txt"}
    assert left >= written | {"last.safetensors"}
