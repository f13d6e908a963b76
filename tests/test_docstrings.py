"""The example in the docstring of every public name runs, and says what it says.

An example may use ``model`` (a PPO on CartPole), ``agent`` and 200 ``states`` of it in parts
``train``, ``validation`` and ``test``; ``image_agent`` and ``image_states``, of small pictures;
``folder``, an empty folder; and ``np``, ``torch`` and ``gymnasium``.
"""

import doctest

import gymnasium
import numpy as np
import pytest
import torch
from stable_baselines3 import PPO

import sb3_explain
from tests.toys import dot_agent, dot_states

FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE | doctest.FAIL_FAST


@pytest.fixture(scope="module")
def names(tmp_path_factory):
    model = PPO("MlpPolicy", "CartPole-v1", n_steps=64, seed=0, device="cpu")
    agent = sb3_explain.Agent.from_model(model, recipe=sb3_explain.EnvRecipe("CartPole-v1"))
    folder = tmp_path_factory.mktemp("states")
    states = sb3_explain.collect(
        agent, n_states=200, folder=folder, max_per_episode=20, progress=False
    )
    train, validation, test = states.split()
    image_agent = dot_agent()
    image_states = dot_states(image_agent, 60)
    return locals() | {"np": np, "torch": torch, "gymnasium": gymnasium}


@pytest.mark.parametrize("name", sb3_explain.__all__)
def test_its_example_runs(name, names, tmp_path, monkeypatch):
    value = getattr(sb3_explain, name)
    if not (isinstance(value, type) or callable(value)):
        pytest.skip("a table of names")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # before the Hub is asked again
    globs = {**names, "folder": tmp_path}
    examples = doctest.DocTestFinder(recurse=False).find(value, name, globs=globs)
    assert examples and examples[0].examples, f"{name} has no example (>>>) in its docstring"
    said: list[str] = []
    failed, _ = doctest.DocTestRunner(optionflags=FLAGS).run(examples[0], out=said.append)
    assert not failed, "".join(said)
