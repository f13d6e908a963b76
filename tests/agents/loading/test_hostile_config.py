"""Configurations that would run code or crash a careless reader: one line for each."""

import pytest

from sb3_explain.agents.loading import load_agent
from sb3_explain.common.errors import ExplainError
from tests.agents.loading.models import write_config

YAML_CODE = [
    "!!python/object/apply:os.system ['touch {canary}']",
    "!!python/object/new:os.system ['touch {canary}']",
    "normalize: !!python/object/apply:os.system ['touch {canary}']",
    "!!python/object/apply:collections.OrderedDict\n"
    "- - - policy\n    - !!python/object/apply:subprocess.call [[touch, '{canary}']]",
    "x: !!python/name:os.system",
    "x: !!python/module:os",
    "!!python/object/apply:collections.OrderedDict\nargs: [[[a, 1]]]",
    "!!python/object/apply:collections.OrderedDict [1, 2]",
    "!!python/object/apply:collections.OrderedDict [[[[1], 2]]]",
    "[a, b]",
    "just text",
    "{canary: [",
    "? [a, b]\n: c",
    "a: &a [*a]",
    "1: 2",
    "\x00",
]


@pytest.mark.parametrize("file", ["config.yml", "args.yml", "env_kwargs.yml"])
@pytest.mark.parametrize("text", YAML_CODE)
def test_tags_and_shapes_that_are_no_configuration(folder, file, text):
    (folder.stored / file).write_text(text.replace("{canary}", str(folder.canary)))
    folder.refused(file)


def test_yaml_bombs_are_refused(folder):
    laughs = ["a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]"]
    laughs += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 10)]
    for text in ["\n".join(laughs), "[" * 50_000, "a: " + "x" * 300_000, "{a: " * 5000]:
        (folder.stored / "config.yml").write_text(text)
        folder.refused("config.yml")


EXPRESSIONS = [
    "__import__('os').system('touch {canary}')",
    "dict(net_arch=__import__('os').system('touch {canary}'))",
    "dict(activation_fn=lambda: 1)",
    "dict(activation_fn=nn.Module.__init__.__globals__)",
    "().__class__.__bases__[0].__subclasses__()",
    "[x for x in (1, 2)]",
    "{{x: 1 for x in 'ab'}}",
    "f'{{1}}'",
    "(x := 5)",
    "dict(**{{'a': 1}})",
    "dict([('a', 1)])",
    "eval('1')",
    "nn",
    "nn.Module",
    "os.system",
    "'a' * 10**9",
    "[0] * 10**9",
    "9**9**9**9",
    "1 / 0",
    "{{1, 2}}",
    "...",
    "b'bytes'",
    "1j",
    "*a,",
    "not True",
    "a if b else c",
    "dict(a=1)(2)",
    "'unterminated",
    "",
    "(" * 5000 + ")" * 5000,
    "(" * 90 + ")" * 90,
    "-" * 3000 + "1",
    "[" * 60 + "]" * 60,
    "1" * 4500,
    "x" * 5000,
]


@pytest.mark.parametrize("key", ["policy_kwargs", "normalize"])
@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_expressions_are_read_and_never_evaluated(folder, key, expression):
    text = expression.replace("{canary}", str(folder.canary)).replace("{{", "{").replace("}}", "}")
    write_config(folder.run, {"normalize": True, key: text})
    folder.refused(key if text else "")


@pytest.fixture
def evil_module(folder, tmp_path, monkeypatch):
    """A module whose import creates the canary."""
    (tmp_path / "evil_wrappers.py").write_text(
        f"open({str(folder.canary)!r}, 'w').close()\nfrom gymnasium import Wrapper as Wrapper\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    return "evil_wrappers"


@pytest.mark.parametrize(
    "wrapper",
    [
        "evil_wrappers.Wrapper",
        ["evil_wrappers.Wrapper"],
        [{"evil_wrappers.Wrapper": {"a": 1}}],
        ["stable_baselines3.common.atari_wrappers.AtariWrapper", "evil_wrappers.Wrapper"],
        "os.system",
        "subprocess.Popen",
        "builtins.exec",
        "gymnasium.utils.play.pygame",
        "gymnasium.envs.registration.importlib",
        "stable_baselines3.common.save_util.load_from_pkl",
        "stable_baselines3.common.save_util.pickle.loads",
        "stable_baselines3.nothing.Here",
        "stable_baselines3..x",
        "../evil_wrappers.Wrapper",
        "gymnasium",
        5,
        [{"gymnasium.Wrapper": [1]}],
        [{"a": {}, "b": {}}],
    ],
)
@pytest.mark.usefixtures("evil_module")
def test_wrappers_of_strangers_are_not_imported(folder, wrapper):
    write_config(folder.run, {"env_wrapper": wrapper})
    folder.refused()


@pytest.mark.usefixtures("evil_module")
def test_the_users_word_allows_a_wrapper(folder):
    write_config(folder.run, {"env_wrapper": "evil_wrappers.Wrapper"})
    agent = load_agent("ppo", "CartPole-v1", folder=folder.root, trusted=["evil_wrappers"])
    assert folder.canary.exists()
    assert agent.recipe.trusted == ("evil_wrappers",)


@pytest.mark.usefixtures("evil_module")
def test_packages_of_strangers_are_not_imported(folder):
    (folder.stored / "args.yml").write_text("gym_packages: [evil_wrappers]")
    assert folder.load().n_scores == 2  # CartPole is there already: the package is not needed
    zip_path = folder.zip
    for env, says in [("Evil-v0", "evil_wrappers"), ("evil_wrappers:CartPole-v1", "evil_wrappers")]:
        stored = folder.run / env
        folder.stored.rename(stored)
        folder.stored = stored
        with pytest.raises(ExplainError, match=says) as error:
            load_agent("ppo", env, folder=zip_path)
        assert "\n" not in str(error.value)
        assert not folder.canary.exists()


@pytest.mark.parametrize(
    "config",
    [{"frame_stack": 10**9}, {"frame_stack": "4"}, {"env_kwargs": [1]}, {"policy": "Evil"}],
)
def test_settings_that_make_no_sense_are_refused(folder, config):
    write_config(folder.run, config)
    folder.refused()


def test_missing_statistics_are_said(folder):
    folder.statistics.unlink()
    folder.refused("vecnormalize.pkl")
