"""Frames for a paper: pictures, maps and numbers are those of the store and of the explainer."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from stable_baselines3 import PPO

from sb3_explain import Agent, EnvRecipe, export, make_explainer
from sb3_explain.common.errors import ExplainError
from sb3_explain.states.dataset import StateDataset
from tests.workflows.export.toys import make_dots, make_folder


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Six steps of an agent of pictures: the agent, its states, the steps and their folder."""
    agent, output = make_dots(tmp_path_factory.mktemp("dots"))
    folder = output / "frames"
    made = export(agent, output, folder, explainer="gradient", n_steps=6, height=96, progress=False)
    return agent, StateDataset.open(output / "episodes"), made.steps, folder


def test_pictures_are_those_of_the_store(exported):
    _, states, steps, folder = exported
    for position, number in zip(steps.positions, steps.numbers, strict=True):
        with Image.open(folder / f"step_{number:06d}.png") as picture:
            shown = np.asarray(picture)
        (rendered,) = states.rendered([position])
        assert (shown == rendered.repeat(2, 0).repeat(2, 1)).all()
        with Image.open(folder / f"step_{number:06d}_overlay.png") as overlay:
            assert overlay.size == picture.size and (np.asarray(overlay) != shown).any()


def test_maps_are_those_of_the_explainer(exported):
    agent, states, steps, folder = exported
    explainer = make_explainer("gradient", agent)
    actions = torch.as_tensor(states.actions[steps.positions])
    expected = explainer.attribute(states.observations(steps.positions), actions)
    for row, number in enumerate(steps.numbers):
        with np.load(folder / f"step_{number:06d}.npz", allow_pickle=False) as arrays:
            assert arrays.files == ["attributions"]
            assert np.array_equal(arrays["attributions"], expected[row].numpy())
        with Image.open(folder / f"step_{number:06d}_map.png") as picture:
            levels = np.asarray(picture).astype(np.float64)
        newest = expected[row, -1].numpy().astype(np.float64)
        peak = np.abs(newest).max() or 1.0
        assert levels.max() > 60_000  # in 16 bits
        assert np.abs(levels / 65535 - newest / peak).max() < 1e-4


def test_numbers_are_those_of_the_store(exported):
    agent, states, steps, folder = exported
    table = pd.read_csv(folder / "steps.csv")
    assert table["step"].tolist() == list(range(34, 40))
    assert table["position"].tolist() == steps.positions.tolist()
    assert set(table["episode"]) == {steps.episode}
    at = steps.positions
    assert np.allclose(table["reward"], states.column("rewards")[at])
    assert np.allclose(table["value"], states.column("values")[at])
    assert (table["action"] == states.actions[at]).all()
    probabilities = torch.from_numpy(states.column("scores")[at]).softmax(dim=1).numpy()
    for i, name in enumerate(agent.target_names):
        assert np.allclose(table[f"probability: {name}"], probabilities[:, i], atol=1e-5)
    assert table["explained"].tolist() == [agent.target_names[i] for i in states.actions[at]]
    advantage = table["reward"][:-1] + 0.99 * table["value"][1:].to_numpy() - table["value"][:-1]
    assert np.allclose(table["advantage"][:-1], advantage, atol=1e-5)


def test_it_says_what_was_exported(exported):
    agent, _, steps, folder = exported
    said = json.loads((folder / "export.json").read_text())
    assert said["agent"]["weights_sha256"] == agent.fingerprint()
    assert said["explainer"]["name"] == "gradient"
    assert said["steps"] == [34, 39] and said["episode"]["number"] == steps.episode
    assert said["target"] == "the action taken" and said["map_range"] == [0, 1]


def test_maps_with_a_sign_are_around_the_middle(exported, tmp_path):
    agent, _, _, folder = exported
    export(
        agent, folder.parent, tmp_path / "signed", explainer="input_x_gradient",
        target="right - left",
        n_steps=40, progress=False,
    )  # fmt: skip
    extremes = []
    for path in (tmp_path / "signed").glob("*_map.png"):
        with Image.open(path) as picture:
            levels = np.asarray(picture).astype(np.float64)
        with np.load(path.with_name(path.name.replace("_map.png", ".npz"))) as arrays:
            newest = arrays["attributions"][-1]
        peak = np.abs(newest).max() or 1.0
        assert np.abs((levels - 32768) / 32767 - newest / peak).max() < 1e-4
        extremes += [newest.min(), newest.max()]
    assert min(extremes) < 0
    said = json.loads((tmp_path / "signed" / "export.json").read_text())
    assert said["map_range"] == [-1, 1] and said["target"] == "right - left"


def test_features_of_vectors_are_in_the_table(tmp_path):
    model = PPO("MlpPolicy", "CartPole-v1", n_steps=8, batch_size=8, seed=0, device="cpu")
    agent = Agent.from_model(model, recipe=EnvRecipe("CartPole-v1"))
    output = make_folder(tmp_path / "out", agent, n=30, render=False)
    made = export(agent, output, tmp_path / "f", explainer="gradient", n_steps=5, progress=False)
    states = StateDataset.open(output / "episodes")
    table = pd.read_csv(tmp_path / "f" / "steps.csv")
    observations = states.observations(made.steps.positions)
    actions = torch.as_tensor(states.actions[made.steps.positions])
    attributions = make_explainer("gradient", agent).attribute(observations, actions)
    for i, name in enumerate(agent.feature_names[""]):
        assert np.allclose(table[f"feature: {name}"], observations[:, i], atol=1e-5)
        assert np.allclose(table[f"attribution: {name}"], attributions[:, i], atol=1e-5)


def test_an_earlier_export_is_replaced_and_nothing_else(exported, tmp_path):
    agent, _, _, folder = exported
    again = tmp_path / "frames"
    for n in (4, 2):
        export(agent, folder.parent, again, explainer="gradient", n_steps=n, progress=False)
        assert len(list(again.glob("*.npz"))) == n
    (again / "notes.txt").write_text("mine")
    with pytest.raises(ExplainError, match=r"holds other files \(notes.txt\)"):
        export(agent, folder.parent, again, explainer="gradient", n_steps=1, progress=False)
    assert (again / "notes.txt").read_text() == "mine" and len(list(again.glob("*.npz"))) == 2
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ExplainError, match="is a file: give a folder"):
        export(agent, folder.parent, tmp_path / "file", explainer="gradient")
