"""Read Zarr 3 arrays of the one form that the package writes, which may be damaged or hostile.

zarr-python believes what the metadata of an array says: it makes codecs by name, decodes as many
bytes as a block likes, and takes missing blocks for zeros. Here format, codecs, shapes and sizes
are compared with a short list and with one another first, and only zstd decodes.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sb3_explain.common.errors import ExplainError
from sb3_explain.common.schema import (
    Kind,
    anything,
    array,
    exactly,
    one_of,
    optional,
    read_document,
    record,
    table,
    text,
    whole,
)
from sb3_explain.common.untrusted import read_bounded, require_within_limit

Array = NDArray[Any]

#: what to do about damaged files
REMEDY = "delete the folder of its states and collect again"
#: size limit of the metadata of an array or a group, in bytes
MAX_METADATA = 2**20
#: names of types of Zarr
TYPES = (
    "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16",
    "float32", "float64",
)  # fmt: skip
#: first bytes of a zstd frame
ZSTD_MAGIC = bytes.fromhex("28b52ffd")

_CHUNKS = record(
    {
        "name": exactly("regular"),
        "configuration": record({"chunk_shape": array(whole(1), shortest=1, longest=16)}),
    }
)
_KEYS = record({"name": exactly("default")}, {"configuration": table(exactly("/"))})
_CODEC = record({"name": text(20)}, {"configuration": optional(table(anything))})
_ARRAY = record(
    {
        "zarr_format": exactly(3),
        "node_type": exactly("array"),
        "shape": array(whole(1), shortest=1, longest=16),
        "data_type": one_of(*TYPES),
        "chunk_grid": _CHUNKS,
        "chunk_key_encoding": _KEYS,
        "codecs": array(_CODEC, 2, 2),
    },
    {"storage_transformers": array(anything, longest=0), "attributes": record({})},
)


class StoredArray(NamedTuple):
    """An array on disk whose metadata has been checked.

    :param folder: folder of the array
    :param shape: shape of the array
    :param dtype: type of its elements
    :param n_rows: number of rows of a block, which has whole rows
    :param attributes: plain data that is stored with the array
    """

    folder: Path
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    n_rows: int
    attributes: dict[str, Any]

    @property
    def row_bytes(self) -> int:
        """Number of bytes of a row."""
        return math.prod(self.shape[1:]) * self.dtype.itemsize

    def read(self, low: int, high: int) -> Array:
        """Read the rows from ``low`` to ``high``, the latter excluded.

        :raises ExplainError: if a block is missing or damaged
        """
        rows = np.empty((high - low, *self.shape[1:]), self.dtype)
        for number in range(low // self.n_rows, math.ceil(high / self.n_rows)):
            first = number * self.n_rows
            block = self._read_block(number)[max(low - first, 0) : high - first]
            rows[max(first - low, 0) :][: len(block)] = block
        return rows

    def take(self, numbers: Array) -> Array:
        """Read single rows, with one block at a time in memory.

        :param numbers: (n,) numbers of the rows, in any order
        :raises ExplainError: if a block is missing or damaged
        """
        rows = np.empty((len(numbers), *self.shape[1:]), self.dtype)
        of_block = numbers // self.n_rows
        for number in np.unique(of_block):
            chosen = of_block == number
            rows[chosen] = self._read_block(int(number))[numbers[chosen] % self.n_rows]
        return rows

    def _read_block(self, number: int) -> Array:
        from numcodecs import Zstd

        path = self.folder.joinpath("c", str(number), *["0"] * (len(self.shape) - 1))
        size = self.n_rows * self.row_bytes
        try:
            content = read_bounded(path, size + size // 100 + 1000)
        except ExplainError as error:
            raise ExplainError(f"{self.folder}: {error} ({REMEDY})") from error
        if read_content_size(content) == size:
            block = np.empty(size, np.uint8)
            try:
                Zstd().decode(content, out=block)
            except (RuntimeError, ValueError):
                pass
            else:
                if self.dtype == bool:  # any other byte than 0 and 1 would be neither
                    block = (block != 0).view(np.uint8)
                return block.view(self.dtype).reshape(self.n_rows, *self.shape[1:])
        raise ExplainError(f"{path} is damaged (it is no block of {size} bytes): {REMEDY}")


def open_array(folder: Path) -> StoredArray:
    """Read and check the metadata of an array.

    :param folder: folder of the array
    :raises ExplainError: if it is damaged, of another form than the package writes, or too large
    """
    path = folder / "zarr.json"
    described = _read_metadata(path, _ARRAY)
    shape, name = tuple(described["shape"]), described["data_type"]
    chunks = tuple(described["chunk_grid"]["configuration"]["chunk_shape"])
    odd = None
    if [codec["name"] for codec in described["codecs"]] != ["bytes", "zstd"]:
        odd = "codecs other than bytes and zstd"
    elif (described["codecs"][0].get("configuration") or {}).get("endian", "little") != "little":
        odd = "numbers that are not little-endian"
    elif chunks[1:] != shape[1:]:
        odd = f"blocks of shape {list(chunks)[:16]}"
    if odd is not None:
        raise ExplainError(f"{path} has {odd}, which the package does not write: {REMEDY}")
    dtype = np.dtype(name).newbyteorder("<")
    stored = StoredArray(folder, shape, dtype, chunks[0], described.get("attributes", {}))
    # a block at a time is in memory; whoever reads all rows asks first
    require_within_limit(chunks[0] * stored.row_bytes, f"a block of {folder}")
    return stored


def read_attributes(folder: Path, kind: Kind) -> dict[str, Any]:
    """Read the attributes of a group.

    :param folder: folder of the group
    :param kind: what the attributes have to hold
    :raises ExplainError: if they are damaged, or the folder holds no group of Zarr 3
    """
    group = record({"zarr_format": exactly(3), "node_type": exactly("group"), "attributes": kind})
    attributes: dict[str, Any] = _read_metadata(folder / "zarr.json", group)["attributes"]
    return attributes


def _read_metadata(path: Path, kind: Kind) -> dict[str, Any]:
    described: dict[str, Any] = read_document(path, kind, REMEDY, limit=MAX_METADATA)
    return described


def read_content_size(frame: bytes) -> int | None:
    """Read how many bytes a zstd frame says that it decodes to (RFC 8878, section 3.1.1.1).

    :param frame: the compressed bytes
    :return: ``None`` if it does not say, or is no such frame
    """
    if frame[:4] != ZSTD_MAGIC or len(frame) < 6:
        return None
    descriptor = frame[4]
    single_segment = bool(descriptor & 0x20)
    n_bytes = [int(single_segment), 2, 4, 8][descriptor >> 6]
    start = 5 + (not single_segment) + [0, 1, 2, 4][descriptor & 3]
    if n_bytes == 0:
        return None
    return int.from_bytes(frame[start : start + n_bytes], "little") + (256 if n_bytes == 2 else 0)
