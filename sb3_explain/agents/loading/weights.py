"""Read the weights that ``torch.save`` wrote, in its zip or in the format before torch 1.6.

Both hold a pickle that names tensors, and the numbers of their storages. The pickle is read as data
(:mod:`sb3_explain.agents.loading.pickle_records`), the shapes are compared with the numbers that
are there, and only then tensors are made. ``torch.load`` would make sparse, quantized, nested and
empty tensors, and storages that nothing fills, before they could be looked at.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from sb3_explain.agents.loading.pickle_records import (
    DamagedPickleError,
    PersistentId,
    Record,
    Symbol,
    read_records,
)
from sb3_explain.agents.loading.zip_files import open_zip, read_member
from sb3_explain.common.errors import ExplainError
from sb3_explain.common.untrusted import quote, require_within_limit

Weights = dict[str, Tensor]

MAX_TENSORS = 5000
MAX_DIMENSIONS = 8
#: dtypes by the names of their storages; others have few bits, a scale, or no finite test
DTYPES = {
    "BFloat16Storage": torch.bfloat16, "BoolStorage": torch.bool, "ByteStorage": torch.uint8,
    "CharStorage": torch.int8, "DoubleStorage": torch.float64, "FloatStorage": torch.float32,
    "HalfStorage": torch.float16, "IntStorage": torch.int32, "LongStorage": torch.int64,
    "ShortStorage": torch.int16,
}  # fmt: skip
ORDERED_DICT = Symbol("collections", "OrderedDict")
TENSOR = Symbol("torch._utils", "_rebuild_tensor_v2")
PARAMETER = Symbol("torch._utils", "_rebuild_parameter")
#: what a state dict names, and nothing else
KNOWN = {ORDERED_DICT, TENSOR, PARAMETER, *(Symbol("torch", name) for name in DTYPES)}
#: the numbers with which the older format begins
MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001


def read_weights(content: bytes | bytearray, what: str) -> Weights:
    """The tensors of a state dict, on the CPU.

    :param content: bytes of the file
    :param what: what the file is, for error messages
    :raises ExplainError: if it is no state dict of plain tensors, or its numbers are missing, too
        many or not finite
    """
    try:
        records, numbers = (
            _read_zip(content, what) if content[:2] == b"PK" else _read_stream(content)
        )
        weights = _make_tensors(records, numbers, what)
    except DamagedPickleError as error:
        raise ExplainError(
            f"{what} is damaged or holds more than weights, and was not loaded ({error})"
        ) from error
    for name, tensor in weights.items():
        if not torch.isfinite(tensor).all():
            raise ExplainError(f"{quote(name)} in {what} holds NaN or infinite numbers")
    return weights


def _read_zip(content: bytes | bytearray, what: str) -> tuple[Any, dict[str, bytearray]]:
    """The object in a zip of ``torch.save``, and the bytes of each storage."""
    with open_zip(io.BytesIO(content), what) as archive:
        members = archive.infolist()
        size = sum(info.file_size for info in members)
        # torch compresses nothing; more than the file has would be one body under many names
        if size > len(content):
            raise ExplainError(f"{what} would unpack to {size:,} bytes from {len(content):,}")
        names = {info.filename.partition("/")[2]: info for info in members}
        if len(names) < len(members) or "data.pkl" not in names:
            raise DamagedPickleError("it has one record twice, or no data.pkl")
        order = names.get("byteorder")
        if order is not None and read_member(archive, order, what) != b"little":
            raise DamagedPickleError("its byte order is not little-endian")
        root = _read_object(io.BytesIO(read_member(archive, names["data.pkl"], what)))
        numbers = {
            name.removeprefix("data/"): read_member(archive, info, what)
            for name, info in names.items()
            if name.startswith("data/")
        }
    return root, numbers


def _read_stream(content: bytes | bytearray) -> tuple[Any, dict[str, bytearray]]:
    """The same of the older format: five pickles, and the storages in the order of the fifth."""
    stream = io.BytesIO(content)
    magic, protocol, system = (read_records(stream)[0] for _ in range(3))
    if (magic, protocol) != (MAGIC, PROTOCOL) or not isinstance(system, dict):
        raise DamagedPickleError("it does not begin as torch.save begins")
    if system.get("little_endian") is not True:
        raise DamagedPickleError("its byte order is not little-endian")
    root = _read_object(stream)
    keys, _ = read_records(stream)
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise DamagedPickleError("its list of storages is none")
    storages: dict[str, _Storage] = {}
    for record in _list_tensors(root).values():
        storage = _Storage(record.arguments[0])
        if storages.setdefault(storage.key, storage).size != storage.size:
            raise DamagedPickleError("two tensors differ about their storage")
    numbers: dict[str, bytearray] = {}
    for key in keys:
        # torch.save writes no storage that no tensor uses, and nothing would tell its size.
        if key not in storages or key in numbers:
            raise DamagedPickleError("its list of storages names one twice, or one unused")
        if int.from_bytes(stream.read(8), "little") != storages[key].n_elements:
            raise DamagedPickleError("a storage has another size than it says")
        numbers[key] = bytearray(stream.read(storages[key].size))
    return root, numbers


def _read_object(stream: io.BytesIO) -> Any:
    """The pickled object, if it names what a state dict needs and nothing else."""
    root, symbols = read_records(stream)
    for symbol in sorted(symbols - KNOWN, key=str):
        raise DamagedPickleError(f"it names {quote(str(symbol))}, which weights do not need")
    return root


def _list_tensors(root: Any) -> dict[str, Record]:
    """The records of a state dict's tensors by name."""
    items = root.items if isinstance(root, Record) and root.callee == ORDERED_DICT else root
    if not isinstance(items, dict) or not items:
        raise DamagedPickleError("it holds no state dict")
    if len(items) > MAX_TENSORS:
        raise DamagedPickleError(f"it holds more than {MAX_TENSORS} tensors")
    tensors = {}
    for name, value in items.items():
        if isinstance(value, Record) and value.callee == PARAMETER:
            value = next(iter(value.arguments), None)
        if (
            not isinstance(name, str)
            or not isinstance(value, Record)
            or value.callee != TENSOR
            or len(value.arguments) < 4
        ):
            raise DamagedPickleError(f"{quote(name)} is not a named tensor")
        tensors[name] = value
    return tensors


class _Storage:
    """What a tensor's record says of the storage that holds its numbers.

    :param record: first argument of the tensor
    :raises DamagedPickleError: if it is no storage of plain numbers
    """

    def __init__(self, record: Any) -> None:
        said = record.value if isinstance(record, PersistentId) else None
        if not isinstance(said, tuple) or len(said) not in (5, 6) or said[0] != "storage":
            raise DamagedPickleError("a tensor without a storage")
        _, kind, key, _, n_elements, *view = said
        if not isinstance(kind, Symbol) or kind.name not in DTYPES or view not in ([], [None]):
            raise DamagedPickleError("a storage of a kind that weights do not need")
        if not isinstance(key, str) or not _are_sizes((n_elements,)):
            raise DamagedPickleError("a storage without a name or a size")
        self.key = key
        self.n_elements: int = n_elements
        self.dtype = DTYPES[kind.name]
        self.size: int = n_elements * self.dtype.itemsize


def _are_sizes(values: Any) -> bool:
    return isinstance(values, tuple) and all(type(n) is int and 0 <= n < 2**48 for n in values)


def _make_tensors(root: Any, numbers: Mapping[str, bytearray], what: str) -> Weights:
    """The tensors, after their sizes are compared with the numbers that are there."""
    records = _list_tensors(root)
    views = {name: _read_view(name, record, numbers) for name, record in records.items()}
    # Several tensors may be views of one storage, and each is copied into the policy.
    sizes = (math.prod(shape) * storage.dtype.itemsize for storage, shape, _, _ in views.values())
    require_within_limit(sum(sizes), what)
    return {
        name: torch.frombuffer(numbers[storage.key], dtype=storage.dtype).as_strided(
            shape, strides, offset
        )
        for name, (storage, shape, strides, offset) in views.items()
    }


def _read_view(
    name: str, record: Record, numbers: Mapping[str, bytearray]
) -> tuple[_Storage, tuple[int, ...], tuple[int, ...], int]:
    """Storage, shape, strides and offset of a tensor, which lies within its storage."""
    storage = _Storage(record.arguments[0])
    offset, shape, strides = record.arguments[1:4]
    if not (_are_sizes((offset,)) and _are_sizes(shape) and _are_sizes(strides)):
        raise DamagedPickleError(f"{quote(name)} has no shape")
    if len(shape) != len(strides) or len(shape) > MAX_DIMENSIONS:
        raise DamagedPickleError(f"{quote(name)} has no shape")
    if len(numbers.get(storage.key, b"")) != storage.size:
        raise DamagedPickleError(f"the numbers of {quote(name)} are missing")
    # A view may claim any shape over one number, and a width beside a size of 0.
    n_elements = math.prod(shape)
    end = offset + 1 + sum((n - 1) * stride for n, stride in zip(shape, strides, strict=True))
    if not 0 < n_elements <= storage.n_elements or end > storage.n_elements:
        raise DamagedPickleError(f"{quote(name)} is not a plain tensor: it has other numbers")
    return storage, shape, strides, offset
