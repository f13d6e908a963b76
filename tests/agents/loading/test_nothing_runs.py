"""Whatever is loaded, no unpickler, evaluator or unsafe YAML loader is called; none is in sight."""

import ast
import builtins
import pickle
from pathlib import Path

import cloudpickle
import numpy as np
import pytest
import torch
import yaml
from gymnasium import spaces
from stable_baselines3 import DQN, SAC

import sb3_explain
from sb3_explain.agents.loading import load_agent
from tests.agents.loading.models import CASES, Noise, make_model, zoo_folder

SOURCES = sorted(Path(sb3_explain.__file__).parent.rglob("*.py"))
FORBIDDEN_MODULES = {"pickle", "_pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}
FORBIDDEN_CALLS = {"eval", "exec"}
FORBIDDEN_ATTRIBUTES = {
    "Unpickler", "UnsafeLoader", "FullLoader", "unsafe_load", "full_load", "load_from_pkl",
}  # fmt: skip


@pytest.fixture
def nothing_may_run(monkeypatch):
    """After this, every way to run what a file says fails the test."""

    def forbid(owner, name):
        def forbidden(*args, **kwargs):
            pytest.fail(f"{name} was called")

        monkeypatch.setattr(owner, name, forbidden)

    def arm():
        for owner, name in [
            (pickle, "load"), (pickle, "loads"), (pickle, "Unpickler"), (pickle, "_Unpickler"),
            (cloudpickle, "load"), (cloudpickle, "loads"), (builtins, "eval"), (builtins, "exec"),
            (yaml, "unsafe_load"), (yaml, "full_load"), (yaml, "load"), (yaml, "UnsafeLoader"),
            (yaml, "FullLoader"), (yaml, "Loader"),
        ]:  # fmt: skip
            forbid(owner, name)
        load = torch.load

        def careful_load(*args, **kwargs):
            assert kwargs.get("weights_only") is True, "torch.load without weights_only=True"
            return load(*args, **kwargs)

        monkeypatch.setattr(torch, "load", careful_load)

    return arm


@pytest.mark.parametrize("name", ["ppo", "ppo-dict", "ppo_lstm", "crossq", "ars-linear", "tqc"])
def test_zips_and_zoo_folders(name, tmp_path, nothing_may_run):
    case = CASES[name]
    model = make_model(case)
    given = {"observation_space": model.observation_space, "action_space": model.action_space}
    folder = zoo_folder(case, model, tmp_path)
    zip_path = folder / case.algo / "Noise-v0_1" / "Noise-v0.zip"
    for arm in (lambda: None, nothing_may_run):  # the first time round, modules are imported
        arm()
        load_agent(case.algo, "Noise-v0", folder=folder, **given)
        load_agent(case.algo, None, folder=zip_path, **given)


def test_environments_and_statistics(saved, tmp_path, nothing_may_run):
    for arm in (lambda: None, nothing_may_run):
        arm()
        agent = load_agent("ppo", "CartPole-v1", folder=saved)
        assert "" in agent.recipe.normalizers


def test_wrappers_and_frame_stacks(tmp_path, nothing_may_run):
    pytest.importorskip("ale_py")
    env_id = "PongNoFrameskip-v4"
    run = tmp_path / "dqn" / f"{env_id}_1"
    (run / env_id).mkdir(parents=True)
    space = spaces.Box(0, 255, (4, 84, 84), np.uint8)
    DQN("CnnPolicy", Noise(space, spaces.Discrete(6)), buffer_size=1).save(run / env_id)
    (run / env_id / "config.yml").write_text(
        "frame_stack: 4\nenv_wrapper: [stable_baselines3.common.atari_wrappers.AtariWrapper]\n"
        "policy: CnnPolicy\n"
    )
    for arm in (lambda: None, nothing_may_run):
        arm()
        agent = load_agent("dqn", env_id, folder=tmp_path)
    assert agent.action_names == ("NOOP", "FIRE", "RIGHT", "LEFT", "RIGHTFIRE", "LEFTFIRE")
    assert agent.observation_space == space
    assert agent.n_stack == 4


def test_hindsight_agents(tmp_path, nothing_may_run):
    run = tmp_path / "her" / "Goal-v0_1"
    (run / "Goal-v0").mkdir(parents=True)
    space = spaces.Dict({key: spaces.Box(-1, 1, (2,)) for key in ("observation", "desired_goal")})
    model = SAC("MultiInputPolicy", Noise(space, spaces.Box(-1, 1, (1,))), buffer_size=1)
    model.save(run / "Goal-v0")
    (run / "Goal-v0" / "args.yml").write_text("algo: sac\n")
    for arm in (lambda: None, nothing_may_run):
        arm()
        given = {"observation_space": space, "action_space": model.action_space}
        agent = load_agent("her", "Goal-v0", folder=tmp_path, **given)
    assert agent.algo == "her"
    assert "sac" in agent.provenance["notes"][0]


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
def test_the_sources_name_nothing_that_runs_code(source):
    for node in ast.walk(ast.parse(source.read_text())):
        match node:
            case ast.Import(names=names):
                modules = {name.name.partition(".")[0] for name in names}
                assert not modules & FORBIDDEN_MODULES
            case ast.ImportFrom(module=str() as module, names=names):
                assert module.partition(".")[0] not in FORBIDDEN_MODULES
                assert not {name.name for name in names} & FORBIDDEN_ATTRIBUTES
            case ast.Call(func=ast.Name(id=name)):
                assert name not in FORBIDDEN_CALLS
            case ast.Call(func=ast.Attribute(value=ast.Name(id="yaml"), attr=name)):
                assert name not in ("load", "load_all")
            case ast.Call(func=ast.Attribute(value=ast.Name(id="torch"), attr="load")):
                safe = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
                assert safe.get("weights_only") == "True"
            case ast.Attribute(attr=name):
                assert name not in FORBIDDEN_ATTRIBUTES


def test_the_guard_itself_bites(nothing_may_run):
    nothing_may_run()
    with pytest.raises(pytest.fail.Exception, match="loads was called"):
        pickle.loads(pickle.dumps(1))
