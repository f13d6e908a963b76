"""Files whose environment would start, import, read or overwrite something, or fill the memory."""

import logging
import os
import sys

import pytest
import yaml

from sb3_explain.agents.loading import load_agent
from sb3_explain.agents.loading.environment import read_recipe, read_wrappers
from sb3_explain.common.errors import MAX_CHARACTERS, ExplainError
from sb3_explain.envs.known_wrappers import check_arguments
from sb3_explain.envs.registered import register_environments
from sb3_explain.envs.trust import is_trusted, read_trusted
from tests.agents.loading.models import write_config

EVIL = {
    "a program": {"vizdoom_path": "evil"},
    "a program, spelled otherwise": {"VizdoomPath": "evil"},
    "a program in a list": {"command": ["evil"]},
    "a configuration": {"scenario_config_file": "evil.cfg"},
    "a configuration by number": {"config_file": 5},
    "a game's file": {"doom_game_path": "evil"},
    "arguments of a program": {"game_args": "+exec evil"},
    "a module": {"config": {"other_vehicles_type": "evil_module.X"}},
    "a module, deep": {"config": {"a": [{"b": [{"type": "evil_module:X"}]}]}},
    "a class": {"entry_point": "evil_module"},
    "a path": {"anything": "/etc/passwd"},
    "a path upwards": {"anything": ".."},
    "a path of Windows": {"anything": "C:evil"},
    "a home": {"anything": "~root"},
    "a file by its suffix": {"anything": "model.xml"},
    "an address": {"anything": "http://evil"},
    "two lines": {"map_name": "4x4\nvizdoom_path=evil"},
    "a huge number": {"size": 10**7},
    "a huge number of digits": {"size": 10**4000},
    "no number": {"size": float("nan")},
    "an infinite number": {"size": float("inf")},
    "bytes": {"data": b"evil"},
    "a set": {"data": {1, 2}},
    "a long text": {"map_name": "x" * 10**5},
    "many values": {"desc": ["SFFF"] * 2000},
    "many nested values": {"a": [[0] * 100] * 100},
    "deep nesting": {"a": {"a": {"a": {"a": {"a": {"a": {"a": 1}}}}}}},
    "a name that is none": {"x y": 1},
    "a number for a name": {"a": {1: 2}},
    "a long name": {"x" * 100: 1},
}


@pytest.mark.parametrize("place", ["config.yml", "args.yml", "env_kwargs.yml"])
@pytest.mark.parametrize("kwargs", EVIL.values(), ids=EVIL.keys())
def test_arguments_that_name_more_than_a_value_are_refused(kwargs, place):
    in_config, in_args, alone = (
        {"env_kwargs": kwargs} if place == "config.yml" else {},
        {"env_kwargs": kwargs} if place == "args.yml" else {},
        kwargs if place == "env_kwargs.yml" else {},
    )
    with pytest.raises(ExplainError) as error:
        read_recipe("CartPole-v1", in_config, in_args, alone, {}, ())
    text = str(error.value)
    assert "env_kwargs" in text and text.isprintable() and len(text) <= MAX_CHARACTERS
    (name,) = kwargs
    own = {name: None}  # what the user gives stands in its place
    assert read_recipe("CartPole-v1", in_config, in_args, alone, {}, (), own_kwargs=own)[0]


@pytest.mark.parametrize(
    ("env_id", "kwargs"),
    [
        ("VizdoomBasic-v1", {"vizdoom_path": None}),
        ("VizdoomBasic-v1", {"doom_config_path": False}),
        ("VizdoomBasic-v1", {"console_enabled": True}),
        ("VizdoomBasic-v1", {"viz_doom_path": "evil"}),
        ("highway-v0", {"config": {"observation": {"grid_size": [[-900, 900]], "type": "x"}}}),
        ("highway-v0", {"config": {"observation": {"grid_step": [1e-9, 1]}}}),
        ("highway-v0", {"config": {"observation": {"stack_size": 1000}}}),
        ("highway-v0", {"config": {"vehicles_count": 5000}}),
        ("highway-v0", {"config": {"other_vehicles_type": "highway_env.envs.X"}}),
        ("HalfCheetah-v5", {"xml_file": "../evil.xml"}),
        ("HalfCheetah-v5", {"xml_file": "/evil.xml"}),
    ],
)
def test_arguments_of_a_family_are_refused(env_id, kwargs):
    for package, sign in (("vizdoom", "Vizdoom"), ("highway_env", "highway")):
        if sign in env_id:
            pytest.importorskip(package)
    with pytest.raises(ExplainError, match="was not used"):
        read_recipe(env_id, {}, {}, kwargs, {}, ())


@pytest.mark.parametrize(
    ("env_id", "kwargs"),
    [
        ("FrozenLake-v1", {"map_name": "8x8", "is_slippery": False, "desc": None}),
        ("FrozenLake-v1", {"desc": ["SFFF", "FHFH", "FFFH", "HFFG"]}),
        ("LunarLander-v3", {"gravity": -9.8, "wind_power": 1e-3, "continuous": True}),
        ("CartPole-v1", {"max_episode_steps": 10**6, "text": "version 1.5"}),
        ("HalfCheetah-v5", {"xml_file": "half_cheetah.xml", "healthy_z_range": [0.2, 1.0]}),
        ("VizdoomBasic-v1", {"frame_skip": 4, "max_buttons_pressed": 1, "doom_skill": 3}),
        (
            "highway-v0",
            {
                "config": {
                    "other_vehicles_type": "highway_env.vehicle.behavior.IDMVehicle",
                    "observation": {
                        "type": "OccupancyGrid",
                        "features": ["presence", "x"],
                        "grid_size": [[-50, 50], [-50, 50]],
                        "grid_step": [5, 5],
                    },
                    "action": {"type": "DiscreteMetaAction"},
                    "duration": 40,
                    "reward_speed_range": (20, 30),
                }
            },
        ),
    ],
)
def test_plain_arguments_are_taken(env_id, kwargs):
    recipe, _ = read_recipe(env_id, {}, {}, kwargs, {}, ())
    assert recipe.env_kwargs == kwargs


@pytest.mark.parametrize(
    "trusted",
    ["env_kwargs", ["env_kwargs.config"], ("other", "env_kwargs.config.other_vehicles_type")],
)
def test_the_users_word_allows_an_argument(trusted):
    kwargs = {"config": {"other_vehicles_type": "mine.Vehicle"}}
    recipe, _ = read_recipe("CartPole-v1", {}, {}, kwargs, {}, read_trusted(trusted))
    assert recipe.env_kwargs == kwargs
    with pytest.raises(ExplainError, match=r"trusted=.'env_kwargs\.config\.other_vehicles"):
        read_recipe("CartPole-v1", {}, {}, kwargs, {}, ("env_kwargs.config.other", "mine"))


def test_a_program_of_doom_is_not_started(folder, tmp_path):
    pytest.importorskip("vizdoom")
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\ntouch {folder.canary}\n")
    program.chmod(0o755)
    scenario = tmp_path / "evil.cfg"
    scenario.write_text(f"vizdoom_path = {program}\n")
    doom = "VizdoomBasic-v1"
    folder.stored = folder.stored.rename(folder.run / doom)
    for kwargs in ({"vizdoom_path": str(program)}, {"scenario_config_file": str(scenario)}):
        (folder.stored / "env_kwargs.yml").write_text(yaml.safe_dump(kwargs))
        with pytest.raises(ExplainError, match="was not used"):
            load_agent("ppo", doom, folder=folder.zip)
        assert not folder.canary.exists()


def test_a_monitor_overwrites_nothing(folder, tmp_path):
    for name in ("own.monitor.csv", "new"):
        victim = tmp_path / name
        victim.write_text("precious")
        wrapper = {"stable_baselines3.common.monitor.Monitor": {"filename": str(victim)}}
        write_config(folder.run, {"env_wrapper": wrapper})
        folder.refused("trusted=['stable_baselines3.common.monitor.Monitor']")
        assert victim.read_text() == "precious"
    assert not list(tmp_path.glob("new.*"))


SCRIPTS = ["rl_zoo3.benchmark", "rl_zoo3.train", "Box2D.examples.framework", "rl_zoo3.import_envs"]


@pytest.mark.parametrize("module", [*SCRIPTS, "mujoco.experimental.studio.viewer", "gymnasium.x"])
def test_scripts_inside_known_packages_are_not_imported(folder, module):
    before = sys.modules.get(module)
    write_config(folder.run, {"env_wrapper": f"{module}.X"})
    folder.refused("is unknown and was not imported")
    with pytest.raises(ExplainError, match="is unknown and was not imported"):
        register_environments("Nothing-v0", [module])
    with pytest.raises(ExplainError, match="is unknown and was not imported"):
        register_environments(f"{module}:Nothing-v0")
    assert sys.modules.get(module) is before


# --- the user's word ------------------------------------------------------------------------


@pytest.fixture
def scaled(tmp_path, monkeypatch):
    """A package of wrappers whose import writes a line."""
    (tmp_path / "scaled").mkdir()
    (tmp_path / "scaled" / "__init__.py").touch()
    (tmp_path / "scaled" / "rewards.py").write_text(
        "from gymnasium import Wrapper\nclass Half(Wrapper):\n    pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield "scaled.rewards.Half"
    for name in ("scaled", "scaled.rewards"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize(
    "trusted", ["scaled", ["scaled"], ("scaled.rewards",), ["scaled.rewards.Half"]]
)
def test_trust_is_of_a_package_a_module_or_a_name(folder, scaled, trusted, caplog):
    write_config(folder.run, {"env_wrapper": scaled})
    with caplog.at_level(logging.WARNING):
        agent = folder.load(trusted=trusted)
        assert agent.recipe.make().unwrapped
    # once, before the import
    assert [r.getMessage() for r in caplog.records if scaled in r.getMessage()] == [
        f"the wrapper {scaled} is imported, because you trust it"
    ]


@pytest.mark.parametrize("trusted", ["scal", ["scaled.rewards.Hal"], "scaledrewards", ["s"], ""])
def test_trust_is_not_of_what_only_begins_alike(folder, scaled, trusted):
    write_config(folder.run, {"env_wrapper": scaled})
    folder.refused(f"give trusted=['{scaled}']", trusted=trusted)
    assert "scaled" not in sys.modules


def test_a_text_is_one_name_and_not_its_letters():
    assert read_trusted("abc") == ("abc",)
    assert not is_trusted("a", "abc")
    with pytest.raises(ExplainError, match="give a list of names"):
        read_trusted([os])
    with pytest.raises(ExplainError, match="give a list of names"):
        load_agent("ppo", "CartPole-v1", trusted=5)


# --- names of older versions ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("utils.wrappers.HistoryWrapper", "rl_zoo3.wrappers.HistoryWrapper"),
        ("utils.wrappers.TimeFeatureWrapper", "sb3_contrib.common.wrappers.TimeFeatureWrapper"),
        ("utils.wrappers.DoneOnSuccessWrapper", "rl_zoo3.wrappers.TruncatedOnSuccessWrapper"),
        ("gym.wrappers.TimeLimit", "gymnasium.wrappers.TimeLimit"),
        (
            "gym.wrappers.gray_scale_observation.GrayScaleObservation",
            "gymnasium.wrappers.GrayscaleObservation",
        ),
        (
            "gymnasium.wrappers.resize_observation.ResizeObservation",
            "gymnasium.wrappers.ResizeObservation",
        ),
        ("gym_minigrid.wrappers.FlatObsWrapper", "minigrid.wrappers.FlatObsWrapper"),
    ],
)
def test_old_names_are_todays(old, new):
    assert read_wrappers(old) == ((new, {}),)
    check_arguments(new, {}, ())


@pytest.mark.parametrize(("shape", "read"), [(64, (64, 64)), ([48, 64], (48, 64))])
def test_shapes_of_yaml_are_those_of_gymnasium(shape, read):
    name = "gym.wrappers.resize_observation.ResizeObservation"
    config = {"env_wrapper": {name: {"shape": shape}}}
    recipe, _ = read_recipe("CarRacing-v3", config, {}, {}, {}, ())
    assert recipe.wrappers == (("gymnasium.wrappers.ResizeObservation", {"shape": read}),)
