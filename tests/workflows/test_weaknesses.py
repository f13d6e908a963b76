"""The page of an agent's states of interest: what it does, keeps, shows and refuses."""

import json
import re
import shutil

import numpy as np
import pytest
import safetensors
import torch
from gymnasium import spaces
from stable_baselines3 import PPO
from torch import nn

from sb3_explain.agents.agent import Agent
from sb3_explain.agents.demo import demo_agent
from sb3_explain.agents.targets.energies import list_targets
from sb3_explain.cli import main
from sb3_explain.common.errors import ExplainError
from sb3_explain.envs.recipe import EnvRecipe
from sb3_explain.explainers.learned.visionmask import VisionMask
from sb3_explain.report.words import format_number
from sb3_explain.states.collection import collect
from sb3_explain.workflows.splitting import split_states
from sb3_explain.workflows.weaknesses import (
    find_weaknesses,
    load_or_fit_visionmask,
    make_filename,
)
from tests.toys import SIZE, dot_agent

pytestmark = pytest.mark.usefixtures("few_candidates")

SMALL = {
    "n_states": 120,
    "n_samples": 6,
    "collect_kwargs": {"max_per_episode": 10, "n_envs": 2},
    "generator_kwargs": {"latent": 4},
    "fit_kwargs": {"epochs": 1, "precision": "no"},
    "probe_kwargs": {"steps": 5},
    "explainer_kwargs": {"max_area": 0.2, "network_options": {"width": 4}, "refine_steps": 1},
    "progress": False,
}


def test_everything_is_made_once(tmp_path, monkeypatch):
    agent = dot_agent()
    page = find_weaknesses(agent, tmp_path, n_episodes=2, **SMALL)
    text = page.read_text()
    for words in ("action:left", "T+-", "uncertainty", "How far to trust the states"):
        assert words in text
    assert "http" not in text.replace("http-equiv", "")
    written = json.loads((tmp_path / "probes.json").read_text())
    assert set(written["targets"]) == set(list_targets(agent))
    assert [row["sees"] for row in written["goggles"]] == ["agent", "generator", "random"]
    sheets = {path.stem for path in (tmp_path / "probes").glob("*.png")}
    assert sheets == {make_filename(name) for name in list_targets(agent)}

    def never(*arguments, **options):
        raise AssertionError("what stands on disk is made again")

    monkeypatch.setattr("sb3_explain.workflows.weaknesses.probe", never)
    monkeypatch.setattr("sb3_explain.probing.generator.train_network", never)
    find_weaknesses(agent, tmp_path, **SMALL)
    assert json.loads((tmp_path / "probes.json").read_text())["targets"] == written["targets"]
    with pytest.raises(AssertionError):  # another search
        find_weaknesses(agent, tmp_path, **{**SMALL, "probe_kwargs": {"steps": 6}})
    with pytest.raises(ExplainError, match="generator of other settings"):
        find_weaknesses(agent, tmp_path, **{**SMALL, "generator_kwargs": {"latent": 5}})
    with pytest.raises(ExplainError, match="generator of other settings, training or states"):
        longer = {**SMALL["fit_kwargs"], "epochs": 2}
        find_weaknesses(agent, tmp_path, **{**SMALL, "fit_kwargs": longer})
    (tmp_path / "generator" / "generator.safetensors").write_bytes(b"damaged")
    with pytest.raises(ExplainError, match="run the same command again, the states stay"):
        find_weaknesses(agent, tmp_path, **SMALL)
    monkeypatch.undo()
    # with another generator, nothing of the old one's is shown
    shutil.rmtree(tmp_path / "generator")
    small = {**SMALL, "generator_kwargs": {"latent": 5}}
    find_weaknesses(agent, tmp_path, targets=["uncertainty"], attributions=False, **small)
    with safetensors.safe_open(tmp_path / "probes" / "uncertainty.safetensors", "pt") as file:
        assert file.get_tensor("codes").shape[1] == 5


def test_what_can_be_explained_can_be_searched_for(tmp_path):
    agent = dot_agent()
    targets = ["LEFT", "value", "right - left", "value_low"]
    names = ["action:left", *targets[1:]]
    page = find_weaknesses(agent, tmp_path, targets=targets, attributions=False, **SMALL)
    written = json.loads((tmp_path / "probes.json").read_text())
    assert list(written["targets"]) == names
    assert "right - left is high." in page.read_text()
    for name in names:
        assert (tmp_path / "probes" / f"{make_filename(name)}.png").exists()


def test_a_probe_comes_back_from_its_file_as_it_was(tmp_path):
    agent = dot_agent()
    find_weaknesses(agent, tmp_path, targets=["T-"], attributions=False, **SMALL)
    path = tmp_path / "probes" / "T-minus.safetensors"
    before = path.read_bytes()
    path.write_bytes(before[:100])  # cut: it is made anew
    find_weaknesses(agent, tmp_path, targets=["T-"], attributions=False, **SMALL)
    assert path.read_bytes() == before


def test_targets_of_each_kind_of_agent():
    names = [f"action:{name}" for name in ("left", "stay", "right")]
    assert list_targets(dot_agent()) == [*names, "T-", "T+", "T+-", "uncertainty"]
    space = spaces.Box(-1, 1, (4,), np.float32)
    q = Agent.from_module(nn.Linear(4, 2), space, spaces.Discrete(2), value_based=True)
    assert list_targets(q)[2:] == ["T-", "T+", "S-", "S+", "T+-", "uncertainty"]
    logits = Agent.from_module(nn.Linear(4, 2), space, spaces.Discrete(2))
    assert list_targets(logits)[2:] == ["T+-", "uncertainty"]
    box = Agent.from_module(nn.Linear(4, 1), space, spaces.Box(-1, 1, (1,)))
    assert list_targets(box) == [f"action:{box.target_names[0]}"]


def test_an_agent_of_vectors_and_continuous_actions(tmp_path):
    class Pulls(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(3, 1)

        def forward(self, observations):
            return torch.tanh(self.linear(observations)), observations[:, 2]

    space = spaces.Box(np.array([-1, -1, -8]), np.array([1, 1, 8]), dtype=np.float32)
    agent = Agent.from_module(
        Pulls(), space, spaces.Box(-2, 2, (1,)), recipe=EnvRecipe("Pendulum-v1")
    )
    page = find_weaknesses(agent, tmp_path, **SMALL)
    written = json.loads((tmp_path / "probes.json").read_text())["targets"]
    assert list(written) == [f"action:{agent.target_names[0]}", "T-", "T+"]
    assert "features unlike the nearest" in page.read_text()
    assert (tmp_path / "probes" / "T-plus.png").exists()


def test_a_vector_agents_page_speaks_of_features(tmp_path):
    model = PPO("MlpPolicy", "CartPole-v1", n_steps=64, seed=0, device="cpu")
    names = ["cart position (m)", "cart velocity (m/s)", "angle (rad)", "angular velocity (rad/s)"]
    agent = Agent.from_model(model, recipe=EnvRecipe("CartPole-v1"), feature_names=names)
    page = find_weaknesses(agent, tmp_path, targets=["T-", "uncertainty"], **SMALL)
    text = page.read_text()
    body = re.sub(r"<(style|script)>.*?</\1>", "", text, flags=re.S)
    body = re.sub(r'src="data:[^"]*"|srcset="data:[^"]*"|</?picture>', "", body)
    for word in ("pixel", "picture", "black", "image"):
        assert not re.search(word, body, re.I), word
    states = collect(
        agent, folder=tmp_path / "generator_states", n_states=120, behavior="epsilon", epsilon=0.1,
        progress=False, **SMALL["collect_kwargs"],
    )  # fmt: skip
    train, _, _ = split_states(states, 0)
    seen = train.observations(np.arange(len(train))).double()
    for name in ("T-minus", "uncertainty"):
        with safetensors.safe_open(tmp_path / "probes" / f"{name}.safetensors", "pt") as file:
            best = file.get_tensor("states.")[0].double()
        apart = (best - seen.mean(dim=0)) / seen.std(dim=0, correction=0)
        for feature, label in enumerate(names):
            assert f'<th scope="row">{label}</th>' in text
            assert f"<td>{format_number(float(best[feature]))}</td>" in text
            assert f"<td>{apart[feature]:+.1f} sd</td>" in text
    assert text.count('class="sortable"') == 3


def test_mistakes_show_before_anything_long_begins(tmp_path):
    agent = dot_agent()
    for targets, line in (
        (["T*"], "unknown target 'T\\*'"),
        (["uncertanty"], "did you mean 'uncertainty'"),
        (["leeft"], "did you mean 'left'"),
        (["left - lft"], "unknown target 'lft'"),
        (["action:up"], "unknown action 'up'"),
        (["disagreement"], "give the other one"),
    ):
        with pytest.raises(ExplainError, match=line):
            find_weaknesses(agent, tmp_path, targets=targets, **SMALL)
    for search, line in (
        ({"step": 4}, "unknown option of the search 'step'; did you mean 'steps'"),
        ({"steps": 0}, "steps=0, .* give whole numbers"),
    ):
        with pytest.raises(ExplainError, match=line):
            find_weaknesses(agent, tmp_path, **{**SMALL, "probe_kwargs": search})
    silent = Agent.from_module(
        nn.Flatten(), spaces.Box(0, 255, (1, SIZE, SIZE), np.uint8), spaces.Discrete(SIZE**2)
    )
    with pytest.raises(ExplainError, match="has no values: choose a target on its actions"):
        find_weaknesses(silent, tmp_path, targets=["value_low"], **SMALL)
    assert not list(tmp_path.iterdir())


def test_the_command_line(tmp_path, capsys, monkeypatch):
    made = {}

    def noted(agent, output, **options):
        made.update(agent=agent, output=output, **options)
        return output / "probes.html"

    monkeypatch.setattr("sb3_explain.cli.probe.find_weaknesses", noted)
    monkeypatch.setattr("sb3_explain.cli.probe.load_named_agent", lambda options: demo_agent())
    flags = "--algo ppo --env PongNoFrameskip-v4 --targets T- action:RIGHT --samples 8 --latent 20"
    more = "--generator lambda_kl:0.001 --epochs 3 --goggles 4 --no-maps --color -o"
    assert main(["probe", *flags.split(), *more.split(), str(tmp_path)]) == 0
    assert made["targets"] == ["T-", "action:RIGHT"] and made["n_samples"] == 8
    assert made["generator_kwargs"] == {"latent": 20, "lambda_kl": 0.001}
    assert (
        made["fit_kwargs"]["epochs"] == 3 and made["n_episodes"] == 4 and not made["attributions"]
    )
    assert made["agent"].observation_space.shape == (12, 84, 84)
    assert str(tmp_path / "probes.html") in capsys.readouterr().out


def test_files_of_targets_have_names_of_their_own():
    names = ["T-", "T+", "T+-", "S-", "S+", "action:UP", "action:right + A"]
    assert len({make_filename(name) for name in names}) == len(names)


def test_the_folder_of_explain_may_be_that_of_the_probes(tmp_path, monkeypatch):
    """Their states differ in who acts, and the VisionMask of explain is the one that is shown."""
    agent = dot_agent()
    collecting = {"n_states": 60, "progress": False, **SMALL["collect_kwargs"]}
    states = collect(agent, folder=tmp_path / "states", **collecting)
    small = {**SMALL, "n_states": 60, "n_samples": 2, "probe_kwargs": {"steps": 1}}
    find_weaknesses(agent, tmp_path, targets=["T-"], attributions=False, **small)
    for folder, behavior in [("states", "zoo"), ("generator_states", "epsilon")]:
        assert json.loads((tmp_path / folder / "states.json").read_text())["behavior"] == behavior
    (tmp_path / "visionmask").mkdir()
    (tmp_path / "visionmask" / "visionmask.json").touch()
    monkeypatch.setattr(VisionMask, "load", lambda folder, agent: folder)
    monkeypatch.setattr("sb3_explain.workflows.weaknesses.fit_visionmask", lambda *a, **k: a[2])
    options = {"seed": 0, "progress": False}
    shown = load_or_fit_visionmask(agent, tmp_path, states, {}, **options)
    assert shown == tmp_path / "visionmask"
    other = load_or_fit_visionmask(agent, tmp_path, states, {"max_area": 0.2}, **options)
    assert other == tmp_path / "probes" / "visionmask"
