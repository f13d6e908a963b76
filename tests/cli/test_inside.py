"""``sb3-explain inside``: pictures of the states of an earlier command, one line for a mistake."""

import json

from sb3_explain.cli import main
from tests.cli.zoo_agent import ENV, save_cartpole


def test_inside_draws_what_an_earlier_command_has_collected(tmp_path, capsys):
    save_cartpole(tmp_path / "logs")
    out = str(tmp_path / "out")
    named = ["--algo", "ppo", "--env", ENV, "-f", str(tmp_path / "logs")]
    assert main(["inside", *named, "-o", out]) == 2
    assert "holds no states: collect some first" in capsys.readouterr().err
    collecting = ["-n", "240", "--max-per-episode", "20", "--no-render", "--no-progress"]
    assert main(["collect", *named, "-o", out, *collecting]) == 0
    layers = ["mlp_extractor.policy_net.1", "mlp_extractor.value_net.1"]
    capsys.readouterr()
    arguments = ["inside", "-o", out, "--no-progress", "--layers", *layers, "--n-sheets", "1"]
    assert main([*arguments, "--concepts", "value", "step"]) == 0
    shown = capsys.readouterr().out
    assert "  value: mlp_extractor." in shown and "step: in no layer" in shown, shown
    saved = json.loads((tmp_path / "out" / "inside.json").read_text())
    assert [layer["name"] for layer in saved["layers"]] == layers
    assert len(saved["probes"]) == 2 * 3
    made = {path.name for path in (tmp_path / "out" / "inside").iterdir()}
    assert {"layers.png", "linear_probes.png"} < made and len(made) == 3
    assert main([*arguments, "--concepts", "valu"]) == 2
    assert "unknown concept 'valu'; did you mean 'value'?" in capsys.readouterr().err
