"""Weights that torch would make into something else than numbers of the file: one line for each."""

import io
import pickle
import struct
import sys
import zipfile
from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch import nn

from sb3_explain.agents.loading import load_agent
from sb3_explain.agents.loading.weights import read_weights
from sb3_explain.common.errors import ExplainError
from tests.agents.loading.models import CASES, make_model
from tests.agents.loading.spoilt import torch_bytes

#: where a state dict of the agent has a weight of two dimensions
NAME = "mlp_extractor.policy_net.0.weight"


def quantized():
    return torch.quantize_per_tensor(torch.zeros(4, 4), 0.1, 0, torch.qint8)


def few_bits(name):
    """A tensor of a type of few bits, made of bytes."""
    dtype = getattr(torch, name, None)
    if dtype is None:
        pytest.skip(f"this torch has no {name}")
    return torch.zeros(4, 4, dtype=torch.uint8).view(dtype)


class Subclass(torch.Tensor):
    pass


STRANGE = {
    "meta": lambda: torch.empty(4, 4, device="meta"),
    "nested": lambda: torch.nested.nested_tensor([torch.zeros(2), torch.zeros(3)]),
    "sparse": lambda: torch.eye(4).to_sparse(),
    "sparse rows": lambda: torch.eye(4).to_sparse_csr(),
    "quantized": quantized,
    "complex": lambda: torch.zeros(4, 4, dtype=torch.complex64),
    "conjugate": lambda: torch.zeros(4, 4, dtype=torch.complex64).conj(),
    "subclass": lambda: torch.zeros(4, 4).as_subclass(Subclass),
    "storage": lambda: torch.zeros(4, 4).untyped_storage(),
    "dtype": lambda: torch.float32,
    "array": lambda: np.zeros((4, 4), np.float32),
    "module": lambda: nn.Linear(2, 2),
    "size": lambda: torch.Size([4, 4]),
    "text": lambda: "x" * 10_000,
    "nothing": lambda: None,
    **{
        name: lambda name=name: few_bits(name)
        for name in (
            "float8_e4m3fn", "float8_e5m2", "float8_e8m0fnu", "float4_e2m1fn_x2", "bits8",
            "bits4x2", "bits1x8",
        )
    },
    **{
        name: lambda name=name: torch.zeros(4, 4, dtype=getattr(torch, name))
        for name in ("uint16", "uint32", "uint64")
    },
}  # fmt: skip


@pytest.mark.parametrize("kind", STRANGE)
def test_tensors_of_other_kinds_are_refused(folder, kind, recwarn):
    strange = STRANGE[kind]()
    folder.change_weights(lambda weights: weights.update({NAME: strange}))
    recwarn.clear()
    folder.refused("'policy.pth' in CartPole-v1.zip")
    assert not recwarn.list


@pytest.mark.parametrize("dtype", ["int8", "uint8", "bool", "int16", "int32", "int64"])
def test_whole_numbers_in_the_place_of_weights_are_refused(folder, dtype):
    folder.change_weights(lambda w: w.update({NAME: w[NAME].to(getattr(torch, dtype))}))
    folder.refused(f"{NAME} holds torch.{dtype}")


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_weights_of_another_precision_load(folder, dtype):
    expected = folder.load()
    folder.change_weights(
        lambda w: w.update({n: t.to(getattr(torch, dtype)) for n, t in w.items()})
    )
    observation = torch.ones(1, 4)
    torch.testing.assert_close(
        folder.load().scores(observation), expected.scores(observation), atol=0.02, rtol=0.02
    )


@pytest.mark.parametrize("shape", [(), (4,), (1,), (0, 4), (4, 0), (10**8, 0), (4, 4, 1), (1,) * 9])
def test_shapes_that_fit_no_layer_are_refused(folder, shape):
    for name in (NAME, "mlp_extractor.value_net.0.weight", "action_net.weight", "value_net.bias"):
        members = folder.members()
        folder.change_weights(lambda w, n=name: w.update({n: torch.zeros(shape)}))
        if not (name == "value_net.bias" and shape == (1,)):
            folder.refused("weights")
        folder.write_zip(members)


def test_no_more_parameters_are_made_than_the_file_holds(folder):
    """Two widths, of which the file holds a column each, would make 3.6 GB."""
    wide = {f"mlp_extractor.policy_net.{i}.weight": torch.zeros(30_000, 1) for i in (0, 2)}
    folder.change_weights(lambda weights: weights.update(wide))
    folder.refused("weights, of which the file holds")


FLAT = [
    ("ppo-cnn", "features_extractor.linear.0.weight"),
    ("ppo-dict", "features_extractor.extractors.image.linear.0.weight"),
    ("ppo_lstm", "lstm_actor.weight_hh_l0"),
    ("sgqn", "critic.features_extractor.cnn.0.weight"),
    ("sgqn", "decoder.layers.0.weight"),
    ("sgqn", "critic.features_extractor.projection.0.weight"),
    ("soda", "soda_predictor.0.weight"),
    ("sac-gsde", "actor.log_std"),
    ("crossq", "critic.qf0.0.ra_mean"),
    ("qrdqn", "quantile_net.quantile_net.0.weight"),
]


@pytest.fixture(scope="module")
def zips(tmp_path_factory):
    """The zip of each model, made once."""
    made = {}

    def save(name):
        if name not in made:
            path = tmp_path_factory.mktemp("models") / f"{name}.zip"
            model = make_model(CASES[name])
            model.save(path)
            spaces_of = {
                "observation_space": model.policy.observation_space,
                "action_space": model.action_space,
            }
            made[name] = path.read_bytes(), spaces_of
        return made[name]

    return save


@pytest.mark.parametrize("shape", [(), (3,)])
@pytest.mark.parametrize(("case", "name"), FLAT)
def test_weights_of_fewer_axes_than_are_read_are_refused(zips, tmp_path, case, name, shape):
    content, both = zips(case)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {member: archive.read(member) for member in ("data", "policy.pth")}
    weights = torch.load(io.BytesIO(members["policy.pth"]), weights_only=True)
    found = [key for key in weights if key == name or key.endswith("." + name)]
    for key in found or [name]:
        weights[key] = torch.zeros(shape)
    path = tmp_path / "m.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data", members["data"])
        archive.writestr("policy.pth", torch_bytes(weights))
    with pytest.raises(ExplainError) as error:
        load_agent(CASES[case].algo, None, folder=path, **both)
    assert str(error.value).isprintable()


# --- the format before torch 1.6 ------------------------------------------------------------------


class Skimmer(pickle.Unpickler):
    """Passes over a pickle and makes nothing of it."""

    def find_class(self, module, name):
        return OrderedDict if name == "OrderedDict" else lambda *_: None

    def persistent_load(self, said):
        return None


class Stream:
    """The parts of a file in the older format, each of which a test may spoil."""

    def __init__(self, weights):
        stream = io.BytesIO(torch_bytes(weights, _use_new_zipfile_serialization=False))
        self.magic, self.protocol, self.system = (Skimmer(stream).load() for _ in range(3))
        start = stream.tell()
        Skimmer(stream).load()
        self.object = stream.getvalue()[start : stream.tell()]
        self.keys = Skimmer(stream).load()
        self.numbers = stream.read()

    def write(self):
        parts = [pickle.dumps(part, 2) for part in (self.magic, self.protocol, self.system)]
        return b"".join([*parts, self.object, pickle.dumps(self.keys, 2), self.numbers])


@pytest.fixture
def stream():
    return Stream({"a": torch.arange(6.0).reshape(2, 3), "b": torch.ones(2)})


def test_the_older_format_is_read_as_torch_reads_it(stream):
    content = stream.write()
    expected = torch.load(io.BytesIO(content), weights_only=True)
    found = read_weights(content, "w.pth")
    assert list(found) == ["a", "b"]
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def empty_storages(stream):
    stream.keys, stream.numbers = [], b""


def one_storage_too_few(stream):
    del stream.keys[-1]


def one_storage_twice(stream):
    stream.keys = [stream.keys[0]] * 2


def a_storage_that_nothing_uses(stream):
    stream.keys.append("stranger")


def keys_that_are_no_list(stream):
    stream.keys = dict.fromkeys(stream.keys)


def keys_that_are_no_names(stream):
    stream.keys = [0, [1]]


def no_numbers(stream):
    stream.numbers = b""


def fewer_numbers(stream):
    stream.numbers = stream.numbers[:-1]


def a_size_that_is_another(stream):
    stream.numbers = struct.pack("<q", 10**12) + stream.numbers[8:]


def big_endian(stream):
    stream.system["little_endian"] = False


def another_magic(stream):
    stream.magic += 1


def another_protocol(stream):
    stream.protocol = 10**4000


def no_system(stream):
    stream.system = None


@pytest.mark.parametrize(
    "spoil",
    [
        empty_storages,
        one_storage_too_few,
        one_storage_twice,
        a_storage_that_nothing_uses,
        keys_that_are_no_list,
        keys_that_are_no_names,
        no_numbers,
        fewer_numbers,
        a_size_that_is_another,
        big_endian,
        another_magic,
        another_protocol,
        no_system,
    ],
)
def test_no_memory_becomes_weights_that_nothing_filled(stream, spoil):
    spoil(stream)
    with pytest.raises(ExplainError, match=r"w\.pth is damaged"):
        read_weights(stream.write(), "w.pth")


def test_a_storage_of_another_size_in_the_object(stream):
    content = stream.write().replace(b"K\x06N", b"J\xff\xff\xff\x7fN")
    assert content != stream.write()
    with pytest.raises(ExplainError):
        read_weights(content, "w.pth")


# --- the zip of torch -----------------------------------------------------------------------------


def inner_zip(change, weights=None):
    """The zip of torch with other records; ``change`` gets them by name."""
    with zipfile.ZipFile(io.BytesIO(torch_bytes(weights or {"a": torch.ones(3)}))) as archive:
        records = {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}
    change(records)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in records.items():
            archive.writestr(name if name.startswith("/") else f"archive/{name}", content)
    return buffer.getvalue()


def test_the_records_are_read_as_torch_reads_them():
    base = torch.arange(24.0)
    weights = {
        "plain": torch.randn(3, 2),
        "view": base[4:16].reshape(3, 4),
        "transposed": base.reshape(4, 6).T,
        "same": base,
        "number": torch.tensor(2.5),
        "flag": torch.tensor([True, False]),
        "half": torch.ones(2, dtype=torch.bfloat16),
        "parameter": nn.Parameter(torch.ones(2, 2)),
    }
    content = torch_bytes(weights)
    expected = torch.load(io.BytesIO(content), weights_only=True)
    found = read_weights(content, "w.pth")
    assert list(found) == list(expected)
    for name, tensor in expected.items():
        assert torch.equal(found[name], tensor) and found[name].dtype == tensor.dtype
        assert found[name].stride() == tensor.stride()


SPOILT_RECORDS = {
    "no pickle": lambda records: records.pop("data.pkl"),
    "no numbers": lambda records: records.pop("data/0"),
    "no record": lambda records: records.clear(),
    "fewer numbers": lambda records: records.update({"data/0": records["data/0"][:-1]}),
    "more numbers": lambda records: records.update({"data/0": records["data/0"] * 2}),
    "big-endian": lambda records: records.update({"byteorder": b"big"}),
    "empty pickle": lambda records: records.update({"data.pkl": b""}),
    "cut pickle": lambda records: records.update({"data.pkl": records["data.pkl"][:-9]}),
    "text": lambda records: records.update({"data.pkl": b"\x80\x02X\x03\x00\x00\x00abc."}),
    "code": lambda records: records.update({"data.pkl": b"cos\nsystem\n(S'touch x'\ntR."}),
    "extension": lambda records: records.update({"data.pkl": b"\x80\x02\x82\x01."}),
    "another class": lambda records: records.update(
        {"data.pkl": records["data.pkl"].replace(b"FloatStorage", b"QInt8Storage")}
    ),
    "another function": lambda records: records.update(
        {"data.pkl": records["data.pkl"].replace(b"_rebuild_tensor_v2", b"_rebuild_qtensor")}
    ),
}


@pytest.mark.parametrize("kind", SPOILT_RECORDS)
def test_spoilt_records_are_refused(kind):
    assert read_weights(inner_zip(lambda records: None), "w.pth")["a"].tolist() == [1.0, 1.0, 1.0]
    with pytest.raises(ExplainError, match=r"w\.pth"):
        read_weights(inner_zip(SPOILT_RECORDS[kind]), "w.pth")


def overlap_records(content, n):
    """A zip whose directory names the last record ``n`` times more."""
    end = content.rindex(b"PK\x05\x06")
    size, start = struct.unpack_from("<II", content, end + 12)
    directory = content[start : start + size]
    last = directory[directory.rindex(b"PK\x01\x02") :]
    name = last[46 : 46 + struct.unpack_from("<H", last, 28)[0]]
    more = b"".join(
        last.replace(name, name[: -len(str(i))] + str(i).encode()) for i in range(10, 10 + n)
    )
    tail = bytearray(content[end:])
    total = struct.unpack_from("<H", tail, 10)[0] + n
    struct.pack_into("<HHII", tail, 8, total, total, size + len(more), start)
    return content[:start] + directory + more + bytes(tail)


def test_records_over_one_body_are_not_read():
    def add_body(records):
        records["data/99999"] = bytes(2**20)

    content = overlap_records(inner_zip(add_body), 6000)
    with pytest.raises(ExplainError, match=r"w\.pth"):
        read_weights(content, "w.pth")


def test_a_directory_of_many_records_is_not_read():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for i in range(30_000):
            archive.writestr(f"archive/data/{i}", b"")
    with pytest.raises(ExplainError, match="its directory is too large"):
        read_weights(buffer.getvalue(), "w.pth")


def test_many_tensors_over_one_storage_are_counted_together(monkeypatch):
    monkeypatch.setenv("SB3_EXPLAIN_MAX_BYTES", str(13 * 2**20))
    base = torch.zeros(2**20)
    content = torch_bytes({f"w{i}": base for i in range(3)})
    assert len(read_weights(content, "w.pth")) == 3
    content = torch_bytes({f"w{i}": base for i in range(3)} | {"w": torch.zeros(1), "v": base})
    with pytest.raises(ExplainError, match="set SB3_EXPLAIN_MAX_BYTES=16777220"):
        read_weights(content, "w.pth")


def test_more_tensors_than_a_policy_has():
    content = torch_bytes({f"w{i}": torch.zeros(1) for i in range(5001)})
    with pytest.raises(ExplainError, match=r"w\.pth"):
        read_weights(content, "w.pth")


VIEWS = {
    "wide": lambda: torch.zeros(2).expand(10**9, 2),
    "overlapping": lambda: torch.zeros(100).as_strided((50, 50), (1, 1)),
    "high": lambda: torch.zeros(1).expand((1,) * 9 + (10**6,)),
}


@pytest.mark.parametrize("kind", VIEWS)
def test_views_that_show_a_number_twice_are_refused(kind):
    with pytest.raises(ExplainError, match="'a'"):
        read_weights(torch_bytes({"a": VIEWS[kind]()}), "w.pth")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"K\x00K\x03\x85", b"K\x01K\x03\x85"),  # an offset behind which numbers are missing
        (b"K\x00K\x03\x85", b"K\x00\x88\x85"),  # True as a length
        (b"K\x00K\x03\x85", b"K\x00J\xff\xff\xff\xff\x85"),  # a length of -1
        (b"K\x00K\x03\x85", b"K\x00N\x85"),
        (b"K\x00K\x03\x85", b"K\x00)"),
        (b"K\x00K\x03\x85", b"K\x00K\x03"),
        (b"K\x00K\x03\x85", b"\x8a\x09\xff\xff\xff\xff\xff\xff\xff\xff\x7fK\x03\x85"),
        (b"K\x03tq", b"J\xff\xff\xff\x7ftq"),  # a storage of 2^31 numbers
        (b"K\x03tq", b"\x89tq"),
        (b"X\x03\x00\x00\x00cpu", b"K\x05"),  # the device is not asked for
    ],
)
def test_sizes_that_are_none(old, new):
    def change(records):
        assert old in records["data.pkl"]
        records["data.pkl"] = records["data.pkl"].replace(old, new)

    try:
        assert read_weights(inner_zip(change), "w.pth")["a"].tolist() == [1.0, 1.0, 1.0]
        assert new == b"K\x05"
    except ExplainError as error:
        assert "'a'" in str(error) or "storage" in str(error)


def test_reading_weights_imports_nothing(stream):
    before = set(sys.modules)
    read_weights(stream.write(), "w.pth")
    assert set(sys.modules) == before
