"""Statistics that would run code or exhaust memory if they were unpickled: one line for each."""

import os
import pickle

import numpy as np
import pytest

from sb3_explain.agents.loading.pickled_statistics import read_statistics
from tests.agents.loading.spoilt import Payload, spoil


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


@pytest.mark.parametrize(
    "shape",
    [
        b"K\x00\x8a\x09\x00\x00\x00\x00\x00\x00\x00\x80\x00\x86",  # (0, 2^63)
        b"\x88K\x04\x86",  # (True, 4)
        b"J\xff\xff\xff\xff\x85",  # (-1,)
        b"K\x00J\xff\xff\xff\x7f\x86",  # no numbers beside a width of 2^31
        b"N\x85",
        b"(" + b"K\x01" * 40 + b"K\x04t",  # more axes than an array can have
    ],
)
def test_shapes_that_are_none_are_refused(folder, shape):
    spoil(folder, lambda env: None, 2)
    content = folder.statistics.read_bytes()
    assert b"K\x04\x85" in content
    folder.statistics.write_bytes(content.replace(b"K\x04\x85", shape))
    folder.refused("was not unpickled")


def test_elements_are_counted_before_and_in_total(folder, monkeypatch):
    def one_array_under_many_keys(env):
        env.obs_rms.mean = env.obs_rms.var = np.zeros(1000, bool)
        env.obs_rms = {f"k{i}": env.obs_rms for i in range(100)}
        env.norm_obs_keys = None

    spoil(folder, one_array_under_many_keys, 4)
    monkeypatch.setenv("SB3_EXPLAIN_MAX_BYTES", str(10**6))
    folder.refused("set SB3_EXPLAIN_MAX_BYTES=")
    monkeypatch.setenv("SB3_EXPLAIN_MAX_BYTES", str(10**7))
    assert len(read_statistics(folder.statistics)) == 100
