"""Damaged and hostile files of fitted explainers and generators: read right, or refused."""

import json
import os
import shutil
from pathlib import Path

import pytest
import safetensors.torch
import torch

from sb3_explain.common.errors import ExplainError
from sb3_explain.explainers.learned.visionmask import VisionMask
from sb3_explain.probing import StateGenerator
from tests.limits import refuse_within
from tests.mutations import FEW, MANY, fuzz, require_line
from tests.toys import dot_agent, dot_states

KINDS = (VisionMask, StateGenerator)
FILES = [(kind, end) for kind in KINDS for end in ("json", "safetensors")]
IDS = [f"{kind.name}.{end}" for kind, end in FILES]


@pytest.fixture(scope="module")
def agent():
    return dot_agent()


@pytest.fixture(scope="module")
def saved(agent, tmp_path_factory):
    """A folder with both, fitted."""
    folder = tmp_path_factory.mktemp("fitted")
    train, validation, _ = dot_states(agent, n=120, length=10).split(seed=0)
    for made in (VisionMask(agent), StateGenerator(agent, latent=4)):
        made.fit(train, validation, epochs=1, batch_size=32, precision="no", progress=False)
        made.save(folder)
    return folder


@pytest.fixture
def folder(saved, tmp_path):
    return Path(shutil.copytree(saved, tmp_path / "fitted"))


def read(kind, folder, agent):
    """Load it, and use it once."""
    observations = torch.zeros(2, 2, 24, 24)
    made = kind.load(folder, agent)
    if made.fitted and kind is VisionMask:
        assert torch.isfinite(made.attribute(observations)).all()
    elif made.fitted:
        assert made.sample(2).shape == observations.shape
        made.reconstruct(observations)


def refuses(kind, folder, agent, said):
    with pytest.raises(ExplainError, match=said) as refused:
        read(kind, folder, agent)
    require_line(str(refused.value))


@pytest.mark.parametrize(("kind", "end"), FILES, ids=IDS)
def test_mutations_are_read_or_refused(folder, agent, kind, end):
    counts = fuzz(folder / f"{kind.name}.{end}", lambda: read(kind, folder, agent), FEW)
    assert counts["refused"] > FEW / 4


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "end"), FILES, ids=IDS)
def test_many_mutations_are_read_or_refused(folder, agent, kind, end):
    fuzz(folder / f"{kind.name}.{end}", lambda: read(kind, folder, agent), MANY, seed=1)


#: what is changed in the JSON: the part, its new values, and what the line says
CHANGES = {
    "format of tomorrow": (VisionMask, "format", 2, "of format 2: update"),
    "format as a text": (VisionMask, "format", "1", "format is '1', not a whole number"),
    "no agent": (VisionMask, "agent", None, "agent is None, not a dict"),
    "a hash that is a number": (VisionMask, "agent", {"weights_sha256": 5}, "weights_sha256 is 5"),
    "settings as a list": (VisionMask, "settings", [], r"settings is \[\]"),
    "a setting of no name": (VisionMask, "settings", {"wide": 1}, "unknown setting of visionmask"),
    "a network of no name": (VisionMask, "settings", {"network": "../x"}, "unknown mask network"),
    "a baseline of no name": (VisionMask, "settings", {"baseline": 5}, "fit it again"),
    "content outside": (VisionMask, "settings", {"content": [0, 0, 10**6, 10**6]}, "fit it again"),
    "temperature of 1e308": (StateGenerator, "settings", {"lambda_kl": "x"}, "lambda_kl='x'"),
    "no latent": (StateGenerator, "settings", {"latent": 0}, "latent must be at least 1"),
    "another latent": (StateGenerator, "settings", {"latent": 5}, "fit it again"),
    "a weighting to be fitted": (
        StateGenerator, "settings", {"weighting": "visionmask"}, "fit it again",
    ),
    "history of texts": (VisionMask, "training", {"history": ["a"]}, r"history\[0\] is 'a'"),
    "seconds below 0": (VisionMask, "training", {"seconds": -1}, "seconds is -1"),
    "seconds of 1e308": (VisionMask, "training", {"seconds": 1e308}, "seconds is 1e.308"),
    "a loss of 400 digits": (VisionMask, "training", {"best_loss": 10**400}, "1329 bits"),
    "learned from nothing": (VisionMask, "learned_from", {}, "train is missing"),
    "states that are a list": (VisionMask, "learned_from", {"train": []}, "train is"),
}  # fmt: skip


@pytest.mark.parametrize("case", CHANGES)
def test_what_is_wrong_is_named(folder, agent, case):
    kind, part, values, said = CHANGES[case]
    path = folder / f"{kind.name}.json"
    described = json.loads(path.read_text())
    new = {**described[part], **values} if isinstance(values, dict) and values else values
    path.write_text(json.dumps({**described, part: new}))
    refuses(kind, folder, agent, said)


#: settings of networks that would fill the memory: 8 GB and more
WIDE = {
    "a code of a million": (StateGenerator, {"latent": 10**6}),
    "a code of 10^9": (StateGenerator, {"latent": 10**9}),
    "a wide network": (VisionMask, {"network_options": {"width": 30_000}}),
    "a network as wide as a number may be": (VisionMask, {"network_options": {"width": 2**62}}),
    "a wide U-Net": (VisionMask, {"network": "unet", "network_options": {"width": 5000}}),
    "a million branches": (VisionMask, {"network_options": {"rates": [1] * 10**6}}),
}


@pytest.mark.parametrize("case", WIDE)
def test_networks_larger_than_their_file_are_not_made(folder, agent, case):
    kind, settings = WIDE[case]
    path = folder / f"{kind.name}.json"
    described = json.loads(path.read_text())
    path.write_text(json.dumps({**described, "settings": {**described["settings"], **settings}}))
    assert "fit it again" in refuse_within(lambda: read(kind, folder, agent))


#: what becomes of the weights' tensors
TENSORS = {
    "in double precision": lambda tensors: {n: t.double() for n, t in tensors.items()},
    "in half precision": lambda tensors: {n: t.half() for n, t in tensors.items()},
    "as whole numbers": lambda tensors: {n: t.long() for n, t in tensors.items()},
    "as truths": lambda tensors: {n: t.bool() for n, t in tensors.items()},
    "of 8 bits": lambda tensors: {
        n: t.to(torch.float8_e4m3fn) if t.is_floating_point() else t for n, t in tensors.items()
    },
    "without one": lambda tensors: dict(list(tensors.items())[1:]),
    "without any": lambda tensors: {},
    "with another": lambda tensors: {**tensors, "autoencoder.more": torch.zeros(1)},
    "of one dimension": lambda tensors: {n: t.flatten() for n, t in tensors.items()},
    "of no size": lambda tensors: {n: torch.zeros(0, 10**8) for n, t in tensors.items()},
    "not finite": lambda tensors: {
        n: t * float("nan") if t.is_floating_point() else t for n, t in tensors.items()
    },
    "codes without spread": lambda tensors: {
        n: t for n, t in tensors.items() if n != "codes.log_std"
    },
    "codes of other numbers": lambda tensors: {
        n: t[:-1].contiguous() if n == "codes.mean" else t for n, t in tensors.items()
    },
}


@pytest.mark.parametrize("case", TENSORS)
def test_weights_that_do_not_fit_are_refused(folder, agent, case):
    path = folder / "generator.safetensors"
    tensors = TENSORS[case](safetensors.torch.load_file(path))
    safetensors.torch.save_file(tensors, path)
    refuses(StateGenerator, folder, agent, "fit it again")


@pytest.mark.parametrize("shape", [(), (1,), (1, 24), (3, 24, 24), (1, 25, 24), (0, 24, 24)])
def test_a_baseline_that_does_not_fit_is_refused(folder, agent, shape):
    path = folder / "visionmask.safetensors"
    tensors = safetensors.torch.load_file(path)
    (name,) = (name for name in tensors if name.startswith("baseline"))
    safetensors.torch.save_file({**tensors, name: torch.zeros(shape)}, path)
    if shape == ():  # one value for all pixels, as of a category
        read(VisionMask, folder, agent)
    else:
        refuses(VisionMask, folder, agent, "fit it again")


def write_header(path, header, content=b""):
    said = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(said).to_bytes(8, "little") + said + content)


def tensor(dtype, shape, *offsets):
    """The header of a single tensor."""
    return {"a": {"dtype": dtype, "shape": shape, "data_offsets": list(offsets)}}


#: headers of safetensors, and the bytes after them
HEADERS = {
    "more than there is": (tensor("F32", [10**12], 0, 4 * 10**12), b""),
    "overlapping": (
        {n: {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]} for n in "ab"}, bytes(8),
    ),
    "a gap": (tensor("F32", [1], 4, 8), bytes(8)),
    "bytes that belong to nothing": (tensor("U8", [1], 0, 1), bytes(8)),
    "another shape": (tensor("F32", [3], 0, 8), bytes(8)),
    "a type of no name": (tensor("F4", [2], 0, 1), bytes(1)),
    "a shape below 0": (tensor("U8", [-1], 0, 1), bytes(1)),
    "a shape of fractions": (tensor("U8", [1.0], 0, 1), bytes(1)),
    "no shape": ({"a": {"dtype": "U8", "data_offsets": [0, 1]}}, bytes(1)),
    "metadata that are numbers": ({"__metadata__": {"a": 5}}, b""),
    "not JSON": (b"{", b""),
    "a list": ([], b""),
    "deep": (b'{"a": ' + b"[" * 10**5 + b"]" * 10**5 + b"}", b""),
    "two of a name": (b'{"a": {}, "a": {}}', b""),
}  # fmt: skip


@pytest.mark.parametrize("case", HEADERS)
def test_headers_that_lie_are_refused(folder, agent, case):
    write_header(folder / "generator.safetensors", *HEADERS[case])
    assert "fit it again" in refuse_within(lambda: read(StateGenerator, folder, agent))


@pytest.mark.parametrize("length", [0, 1, 2**63, 2**64 - 1])
def test_headers_of_another_length_are_refused(folder, agent, length):
    (folder / "generator.safetensors").write_bytes(length.to_bytes(8, "little") + b"{}")
    refuses(StateGenerator, folder, agent, "fit it again")


def test_a_file_without_end_is_not_read(folder, agent):
    with (folder / "generator.safetensors").open("r+b") as file:
        file.truncate(60 * 2**30)  # sparse
    line = refuse_within(lambda: read(StateGenerator, folder, agent), seconds=10)
    assert "above the limit" in line
    with (folder / "generator.json").open("r+b") as file:
        file.truncate(3 * 2**30)
    line = refuse_within(lambda: read(StateGenerator, folder, agent), seconds=10)
    assert "is larger than" in line


@pytest.mark.parametrize(("kind", "end"), FILES, ids=IDS)
@pytest.mark.parametrize(
    ("make", "said"), [(Path.mkdir, "there is a folder in its place"), (os.mkfifo, "a pipe")]
)
def test_folders_and_pipes_in_the_place_of_files_are_said(folder, agent, kind, end, make, said):
    path = folder / f"{kind.name}.{end}"
    path.unlink()
    make(path)
    assert said in refuse_within(lambda: read(kind, folder, agent), seconds=10)
