"""``sb3-explain objects``: figures on the terminal equal the functions', files in the folder."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

import sb3_explain
from sb3_explain import collect_objects, demo_agent, make_explainer, object_attention
from sb3_explain.cli import main
from sb3_explain.evaluation.objects import change_policy, correlate
from tests.cli.zoo_agent import ENV, save_cartpole

DEMO = Path(sb3_explain.__file__).parent / "agents" / "demo"


def test_attention_and_agreement_are_printed_and_saved(tmp_path, capsys):
    arguments = ["objects", "-o", str(tmp_path / "out"), "--algo", "ppo", "--no-progress"]
    pong = ["--env", "PongNoFrameskip-v4", "-f", str(DEMO), "-n", "2", "--every", "12"]
    assert main([*arguments, *pong, "--explainers", "gradient", "--n-steps", "0"]) == 0
    shown = capsys.readouterr().out
    agent = demo_agent()
    states = collect_objects(agent, n_states=2, every=12)
    shares = object_attention(make_explainer("gradient", agent), states).shares
    assert f"gradient: Ball {np.nanmean(shares['Ball']):.1%} of the map (" in shown
    folder = tmp_path / "out" / "objects"
    assert (folder / "objects.txt").read_text() in shown
    found = json.loads((folder / "objects.json").read_text())["explainers"]["gradient"]
    categories = states.list_categories()
    claims = np.stack([shares[name] for name in categories], axis=1)
    expected = correlate(claims, change_policy(states, categories), 0)
    assert found["agreement"].keys() == {"picture"}
    assert np.isclose(found["agreement"]["picture"]["mean"], expected.mean)
    with Image.open(folder / "objects.png") as drawn:
        assert drawn.size == (2 * 480, 630)
    save_cartpole(tmp_path / "logs")
    assert main([*arguments, "--env", ENV, "-f", str(tmp_path / "logs")]) == 2
    assert "observes no picture" in capsys.readouterr().err
