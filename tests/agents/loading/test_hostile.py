"""Files that would run code, exhaust memory or crash a careless loader: one line for each."""

import base64
import io
import json
import os
import pickle
import shutil
import struct
import zipfile
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from sb3_explain.agents.loading import load_agent
from sb3_explain.common.errors import ExplainError
from tests.agents.loading.models import write_config


class Payload:
    """Creates the canary when unpickled."""

    def __init__(self, canary):
        self.canary = canary

    def __reduce__(self):
        return os.system, (f"touch {self.canary}",)


class Folder:
    """A copy of the agent that a test spoils, and the canary that nothing may create."""

    def __init__(self, root, canary):
        self.root, self.canary = root, canary
        self.run = root / "ppo" / "CartPole-v1_1"
        self.zip = self.run / "CartPole-v1.zip"
        self.stored = self.run / "CartPole-v1"
        self.statistics = self.stored / "vecnormalize.pkl"

    def members(self):
        with zipfile.ZipFile(self.zip) as archive:
            return {name: archive.read(name) for name in archive.namelist()}

    def write_zip(self, members, compression=zipfile.ZIP_STORED):
        with zipfile.ZipFile(self.zip, "w", compression) as archive:
            for name, content in members.items():
                archive.writestr(name, content)

    def change_member(self, name, content, compression=zipfile.ZIP_STORED):
        self.write_zip({**self.members(), name: content}, compression)

    def change_weights(self, change):
        weights = torch.load(io.BytesIO(self.members()["policy.pth"]), weights_only=True)
        change(weights)
        self.change_member("policy.pth", torch_bytes(weights))

    def change_data(self, **rows):
        data = json.loads(self.members()["data"])
        self.change_member("data", json.dumps({**data, **rows}))

    def load(self, **arguments):
        try:
            return load_agent("ppo", "CartPole-v1", folder=self.root, **arguments)
        finally:
            assert not self.canary.exists(), "a file ran code"

    def refused(self, says="", **arguments):
        with pytest.raises(ExplainError) as error:
            self.load(**arguments)
        text = str(error.value)
        assert text and text == " ".join(text.split("\n")) and len(text) < 600, text
        assert says in text, text
        return text


@pytest.fixture
def folder(saved, tmp_path):
    shutil.copytree(saved, tmp_path / "agents")
    return Folder(tmp_path / "agents", tmp_path / "canary")


def torch_bytes(value, **options):
    buffer = io.BytesIO()
    torch.save(value, buffer, **options)
    return buffer.getvalue()


def test_the_unspoilt_agent_loads(folder):
    agent = folder.load()
    assert agent.recipe.normalizers[""].mean.shape == (4,)
    assert torch.isfinite(agent.scores(torch.zeros(3, 4))).all()


# --- the zip ----------------------------------------------------------------------------------


def serialized(folder):
    return {
        ":type:": "<class 'dict'>",
        ":serialized:": base64.b64encode(pickle.dumps(Payload(folder.canary))).decode(),
    }


@pytest.mark.parametrize(
    "row", ["policy_class", "policy_kwargs", "observation_space", "lr_schedule", "_last_obs"]
)
def test_pickles_in_data_are_never_looked_at(folder, row):
    folder.change_data(**{row: serialized(folder)})
    assert folder.load().n_scores == 2


def test_other_members_are_never_read(folder):
    pickled = pickle.dumps(Payload(folder.canary))
    for name in ("pytorch_variables.pth", "policy.optimizer.pth", "evil.pkl"):
        folder.change_member(name, pickled)
    assert folder.load().n_scores == 2


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("place", ["root", "value", "key"])
def test_code_in_the_weights_is_refused(folder, legacy, place):
    payload = Payload(folder.canary)
    value = {"root": payload, "value": {"w": payload}, "key": {"w": {"x": [payload]}}}[place]
    options = {"_use_new_zipfile_serialization": not legacy}
    folder.change_member("policy.pth", torch_bytes(value, **options))
    folder.refused("was not loaded")


def test_a_bare_pickle_as_weights_is_refused(folder):
    folder.change_member("policy.pth", pickle.dumps(Payload(folder.canary)))
    folder.refused("was not loaded")


@pytest.mark.parametrize("name", ["../../outside", "/etc/outside", "..\\outside", "C:\\outside"])
def test_members_outside_of_the_archive_are_refused(folder, name):
    folder.change_member(name, b"x")
    folder.refused("outside of the archive")
    assert not list(folder.root.parent.rglob("outside"))


def test_a_member_twice_is_refused(folder):
    with pytest.warns(UserWarning), zipfile.ZipFile(folder.zip, "a") as archive:
        archive.writestr("policy.pth", pickle.dumps(Payload(folder.canary)))
    folder.refused("one twice")


@pytest.mark.parametrize(("member", "size"), [("data", 2**27), ("policy.pth", 2**25)])
def test_zip_bombs_are_not_unpacked(folder, member, size):
    folder.change_member(member, bytes(size), zipfile.ZIP_DEFLATED)
    folder.refused("would unpack to")


def test_a_member_that_lies_about_its_size_is_damaged(folder):
    folder.change_member("data", bytes(2**21), zipfile.ZIP_DEFLATED)
    content = bytearray(folder.zip.read_bytes())
    # the sizes of "data" in the central directory, which readers trust
    row = content.index(b"data", content.index(b"PK\x01\x02")) - 46
    struct.pack_into("<I", content, row + 24, 1000)
    folder.zip.write_bytes(content)
    folder.refused("'data'")


def test_a_bomb_inside_the_weights_is_not_unpacked(folder):
    inner = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(folder.members()["policy.pth"])) as archive:
        names = archive.namelist()
        with zipfile.ZipFile(inner, "w", zipfile.ZIP_DEFLATED) as bomb:
            for name in names:
                big = bytes(2**26) if name.endswith("/data/0") else archive.read(name)
                bomb.writestr(name, big)
    folder.change_member("policy.pth", inner.getvalue())
    folder.refused("would unpack to")


def test_a_view_that_claims_more_than_it_holds_is_refused(folder):
    folder.change_weights(lambda w: w.update({"value_net.weight": torch.zeros(1).expand(10**9)}))
    folder.refused("not a plain tensor")


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_named(folder, bad):
    folder.change_weights(lambda w: w["action_net.weight"].fill_(bad))
    folder.refused("'action_net.weight'")


@pytest.mark.parametrize(
    "change",
    [
        lambda w: w.update({"action_net.weight": torch.zeros(2, 5)}),
        lambda w: w.update({"mlp_extractor.policy_net.0.weight": torch.zeros(4, 9)}),
        lambda w: w.pop("value_net.bias"),
        lambda w: w.update({"stranger\n" * 99: torch.zeros(1)}),
        lambda w: w.update({"mlp_extractor.policy_net.0.weight": torch.zeros(0, 4)}),
    ],
)
def test_weights_that_do_not_fit_are_refused(folder, change):
    folder.change_weights(change)
    folder.refused()


@pytest.mark.parametrize("value", [{}, [], 5, {"w": 1}, {1: torch.zeros(1)}, {"w": {"v": 1}}])
def test_weights_that_are_no_state_dict_are_refused(folder, value):
    folder.change_member("policy.pth", torch_bytes(value))
    folder.refused()


@pytest.mark.parametrize(
    "data", [b"", b"[1]", b"{", b"[" * 100_000, b'{"a":' * 100_000, b"\xff\xfe", b"1" * 5000]
)
def test_data_that_is_no_json_object_is_refused(folder, data):
    folder.change_member("data", data)
    folder.refused("'data'")


def test_a_missing_member_is_said_with_what_is_there(folder):
    members = folder.members()
    del members["policy.pth"]
    folder.write_zip(members)
    folder.refused("no 'policy.pth' (it has 'data'")


def test_a_class_of_ones_own_is_named(folder):
    policy_class = {
        ":type:": "<class 'abc.ABCMeta'>",
        ":serialized:": "",
        "__module__": "evil_policies",
        "forward": "<function EvilPolicy.forward at 0x7f00>",
    }
    folder.change_data(policy_class=policy_class)
    assert "evil_policies.EvilPolicy" in folder.refused("pass policy_class=")


def test_an_extractor_of_ones_own_is_named(folder):
    kwargs = {":serialized:": "", "features_extractor_class": "<class 'evil.Extractor'>"}
    folder.change_data(policy_kwargs=kwargs)
    assert "evil.Extractor" in folder.refused("policy_kwargs=")


@pytest.mark.parametrize(
    "kwargs",
    [
        5,
        {"activation_fn": 5},
        {"activation_fn": "<function <lambda> at 0x7f00>"},
        {"activation_fn": "nn.ReLU"},
        {"features_extractor_class": "os.system"},
        {"features_extractor_kwargs": [1]},
        {"lstm_kwargs": "__import__('os')"},
        {"x\n" * 1000: "<class 'y'>"},
    ],
)
def test_policy_arguments_that_make_no_sense(folder, kwargs):
    folder.change_data(policy_kwargs=kwargs)
    try:
        assert folder.load().n_scores == 2  # an argument that this policy does not take
    except ExplainError as error:
        assert "\n" not in str(error)


def test_sizes_in_the_files_cannot_ask_for_memory(folder):
    huge = {"net_arch": [10**7, 10**7], "features_extractor_kwargs": {"features_dim": 10**12}}
    folder.change_data(policy_kwargs=huge)
    write_config(folder.run, {"normalize": True, "policy_kwargs": str(huge)})
    assert folder.load().n_scores == 2 or folder.refused()


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.6, 0.9, 0.99, 0.999])
def test_a_truncated_zip_is_refused(folder, share):
    content = folder.zip.read_bytes()
    folder.zip.write_bytes(content[: int(share * len(content))])
    folder.refused("CartPole-v1.zip")


# --- configuration ------------------------------------------------------------------------------

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


# --- statistics ---------------------------------------------------------------------------------


def spoil(folder, change, protocol=2):
    """Rewrite the statistics after ``change``, which gets the attributes of VecNormalize."""
    env = VecNormalize(DummyVecEnv([lambda: gym.make("CartPole-v1")]))
    change(env)
    folder.statistics.write_bytes(pickle.dumps(env, protocol))


@pytest.mark.parametrize("protocol", range(6))
def test_a_call_in_the_statistics_is_not_made(folder, protocol):
    payload = Payload(folder.canary)
    for value in (payload, [payload], {"obs_rms": payload}):
        folder.statistics.write_bytes(pickle.dumps(value, protocol))
        folder.refused("was not unpickled")
    for attribute in ("obs_rms", "clip_obs", "epsilon", "ret_rms", "stranger"):
        spoil(folder, lambda env, a=attribute: setattr(env, a, payload), protocol)
        folder.refused("posix.system" if os.name == "posix" else "")


@pytest.mark.parametrize("protocol", range(6))
def test_every_protocol_is_read(folder, protocol):
    spoil(folder, lambda env: setattr(env.obs_rms, "mean", np.arange(4.0)), protocol)
    normalizer = folder.load().recipe.normalizers[""]
    np.testing.assert_array_equal(normalizer.mean, np.arange(4.0))
    assert (normalizer.clip, normalizer.epsilon) == (10.0, 1e-8)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("mean", np.full(4, np.nan)),
        ("mean", np.zeros(5)),
        ("mean", np.array(["a"] * 4)),
        ("mean", np.array([object()] * 4)),
        ("mean", [0.0] * 4),
        ("mean", None),
        ("var", -np.ones(4)),
        ("var", np.full(4, np.inf)),
    ],
)
def test_statistics_that_are_no_numbers_are_refused(folder, name, value):
    spoil(folder, lambda env: setattr(env.obs_rms, name, value))
    folder.refused("was not unpickled")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("clip_obs", None),
        ("clip_obs", -1.0),
        ("epsilon", float("nan")),
        pytest.param("epsilon", 10**400, id="huge"),
        ("norm_obs_keys", ["a"]),
        ("norm_obs_keys", 5),
        ("obs_rms", None),
        ("obs_rms", {"a": 1}),
    ],
)
def test_settings_of_the_statistics_that_make_no_sense_are_refused(folder, name, value):
    spoil(folder, lambda env: setattr(env, name, value))
    folder.refused("was not unpickled")


def test_statistics_of_another_shape_are_refused(folder):
    def change(env):
        env.obs_rms.mean, env.obs_rms.var = np.zeros(5), np.ones(5)

    spoil(folder, change)
    folder.refused("do not fit CartPole-v1")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"text",
        b"\x80\x04.",
        b"N.",
        b"(" * 1000,
        b"cposix\nsystem\n(S'touch canary'\ntR.",
        b"cbuiltins\neval\n(S'1'\ntR.",
        b"\x80\x02]" + b"\x85" * 150_000 + b".",
        b"\x80\x02}" + b")" + b"\x85" * 100_000 + b"K\x01s.",
        b"\x80\x02(" + b")" + b"\x85" * 100_000 + b"\x91.",
        b"\x80\x02]q\x00h\x00a.",
        b"\x80\x02" + b"K\x01" * 300_000 + b".",
        b"\x80\x08\x95\xff\xff\xff\xff\xff\xff\xff\xff.",
        b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.",
        b"I" + b"9" * 5000 + b"\n.",
        b"Pid\n.",
        b"\x82\x01.",
        b"\x80\x04]]\x93.",
    ],
)
def test_opcodes_that_are_no_statistics_are_refused(folder, content):
    folder.statistics.write_bytes(content)
    folder.refused("was not unpickled")


def test_damage_anywhere_is_one_line_or_harmless(folder):
    """Random damage to every file: an error of one line, or an agent that still works."""
    rng = np.random.default_rng(0)
    files = [folder.statistics] * 150 + [folder.zip] * 60
    files += [folder.stored / "config.yml", folder.stored / "args.yml"] * 30
    for path in files:
        good = path.read_bytes()
        bad = bytearray(good)
        for _ in range(rng.integers(1, 6)):
            bad[rng.integers(len(bad))] = rng.integers(256)
        path.write_bytes(bad[: rng.integers(len(bad))] if rng.random() < 0.3 else bad)
        try:
            agent = folder.load()
            agent.scores(torch.zeros(1, 4))
        except ExplainError as error:
            assert "\n" not in str(error)
        path.write_bytes(good)


# --- places ---------------------------------------------------------------------------------------


def test_files_that_are_no_files_are_refused(folder, tmp_path):
    folder.zip.unlink()
    folder.zip.mkdir()
    folder.refused()
    with pytest.raises(ExplainError, match="there is no file"):
        load_agent("ppo", "CartPole-v1", folder=tmp_path / "nothing.zip")
    with pytest.raises(ExplainError, match="there is no folder"):
        load_agent("ppo", "CartPole-v1", folder=tmp_path / "nothing")


def test_an_environment_whose_name_climbs_stays_inside(folder):
    outside = Path("../../../outside")
    with pytest.raises(ExplainError) as error:
        load_agent("ppo", str(outside / "CartPole-v1"), folder=folder.root)
    assert "\n" not in str(error.value)
