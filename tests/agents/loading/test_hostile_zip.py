"""Zips that would run code, exhaust memory or crash a careless loader: one line for each."""

import base64
import io
import os
import pickle
import shutil
import struct
import sys
import zipfile
from pathlib import Path

import pytest
import torch

from sb3_explain.agents.loading import load_agent
from sb3_explain.common.errors import ExplainError
from tests.agents.loading.models import write_config
from tests.agents.loading.spoilt import Payload, torch_bytes


def test_the_unspoilt_agent_loads(folder):
    agent = folder.load()
    assert agent.recipe.normalizers[""].mean.shape == (4,)
    assert torch.isfinite(agent.scores(torch.zeros(3, 4))).all()


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


@pytest.mark.skipif(sys.platform != "linux", reason="has no such names")
@pytest.mark.parametrize("name", [b"caf\xe9.zip", b"a\x1b[31m\nb.zip"])
def test_names_that_no_page_can_hold_are_made_printable(folder, tmp_path, name):
    path = tmp_path / os.fsdecode(name)
    shutil.copyfile(folder.zip, path)
    agent = load_agent("ppo", "CartPole-v1", folder=path, vec_normalize=folder.statistics)
    assert agent.provenance["file"].isprintable()
    path.write_bytes(b"PK")
    with pytest.raises(ExplainError) as error:
        load_agent("ppo", "CartPole-v1", folder=path)
    assert str(error.value).isprintable()
