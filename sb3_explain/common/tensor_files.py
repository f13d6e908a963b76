"""Safetensors files that may be damaged: the header is checked before anything is read."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import safetensors.torch
import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter

from sb3_explain.common.errors import ExplainError
from sb3_explain.common.schema import (
    array,
    parse_document,
    record,
    require_form,
    table,
    text,
    whole,
)
from sb3_explain.common.untrusted import quote, require_regular_file, require_within_limit

#: name of the safetensors format for each type that the package writes
TYPES = {
    "BOOL": torch.bool, "U8": torch.uint8, "I8": torch.int8, "I16": torch.int16,
    "I32": torch.int32, "I64": torch.int64, "F16": torch.float16, "BF16": torch.bfloat16,
    "F32": torch.float32, "F64": torch.float64,
}  # fmt: skip
#: size limit of a header, in bytes
MAX_HEADER = 2**23
#: size limit of a dimension
LONGEST = 2**31
#: bytes of the header's length, with which a file begins
LENGTH = 8

_TENSOR = record(
    {"dtype": text(8), "shape": array(whole(), longest=16), "data_offsets": array(whole(), 2, 2)}
)
_HEADER = record({}, {"__metadata__": table(text(MAX_HEADER))})


class Header(NamedTuple):
    """What a file says of its tensors.

    :param metadata: texts by name
    :param shapes: shapes by the tensors' names
    :param types: types by the tensors' names
    """

    metadata: dict[str, str]
    shapes: dict[str, tuple[int, ...]]
    types: dict[str, torch.dtype]

    @property
    def n_elements(self) -> int:
        """Number of elements of all tensors."""
        return sum(map(math.prod, self.shapes.values()))


def read_header(path: Path, remedy: str, allowed: int = 0) -> Header:
    """Read the header of a safetensors file, and compare it with the size of the file.

    :param path: path of the file
    :param remedy: what the user can do about a damaged file, for the error message
    :param allowed: number of bytes that it may have whatever the limit is
    :raises ExplainError: if it is no such file, or larger than the limit
    """
    try:
        size = require_regular_file(path)
        if size > allowed:
            require_within_limit(size, str(path))
    except ExplainError as error:
        raise ExplainError(f"{error} ({remedy})") from error
    with path.open("rb") as file:
        length = int.from_bytes(file.read(LENGTH), "little")
        content = file.read(length) if length <= min(MAX_HEADER, size - LENGTH) else b""
    described = parse_document(content, _HEADER, str(path), remedy)
    metadata = described.pop("__metadata__", {})
    require_form(described, table(_TENSOR), str(path), remedy)
    places = sorted((t["data_offsets"], name, t) for name, t in described.items())
    end = 0
    for (start, stop), name, tensor in places:  # without a gap
        kind = TYPES.get(tensor["dtype"])
        beyond = max(tensor["shape"], default=0) > LONGEST  # where another dimension is 0
        n_bytes = math.prod(tensor["shape"]) * (0 if kind is None else kind.itemsize)
        if kind is None or start != end or stop != start + n_bytes or beyond:
            raise ExplainError(f"{path} is damaged ({quote(name)} has no place in it): {remedy}")
        end = stop
    if end != size - LENGTH - length:
        raise ExplainError(f"{path} is damaged (it has another length than it says): {remedy}")
    shapes = {name: tuple(tensor["shape"]) for name, tensor in described.items()}
    types = {name: TYPES[tensor["dtype"]] for name, tensor in described.items()}
    return Header(metadata, shapes, types)


def read_tensors(
    path: Path, remedy: str, *, finite: bool = True, allowed: int = 0
) -> tuple[Header, dict[str, Tensor]]:
    """Read a safetensors file.

    :param path: path of the file
    :param remedy: what the user can do about a damaged file, for the error message
    :param finite: whether all numbers have to be finite
    :param allowed: number of bytes that it may have whatever the limit is
    :return: the header, and the tensors by name
    :raises ExplainError: if the file is missing or damaged
    """
    header = read_header(path, remedy, allowed)
    try:
        tensors = safetensors.torch.load_file(path)
    except (OSError, RuntimeError, safetensors.SafetensorError) as error:
        raise ExplainError(f"{path} is damaged: {remedy}") from error
    for name, tensor in tensors.items() if finite else ():
        if not bool(torch.isfinite(tensor).all()):
            raise ExplainError(f"{path} is damaged ({quote(name)} is not finite): {remedy}")
    return header, tensors


def require_fit(
    tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor], source: str, remedy: str
) -> None:
    """Check names, shapes and types of tensors.

    :param tensors: tensors that were read
    :param expected: tensors of the right names, shapes and types
    :param source: where the tensors come from, for the error message
    :param remedy: what the user can do about it, for the error message
    :raises ExplainError: if a tensor is missing, too many, or of another shape or type
    """
    for name in sorted({*tensors, *expected}):
        found, described = (_describe(some.get(name)) for some in (tensors, expected))
        if found != described:
            raise ExplainError(
                f"{source} is damaged ({quote(name)} is {found}, not {described}): {remedy}"
            )


def _describe(tensor: Tensor | None) -> str:
    if tensor is None:
        return "absent"
    return f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"


class TooManyParametersError(RuntimeError):
    """Networks that are built have more parameters than a file that is to fill them."""


@contextmanager
def limit_parameters(limit: int) -> Iterator[None]:
    """Refuse networks with more parameters than a file holds, before their memory is filled.

    The settings of a network stand in a file beside that of its weights, and may say any size.

    :param limit: number of elements, of all networks that this thread builds in the block
    :raises TooManyParametersError: as soon as there are more
    """
    n_built, thread = 0, threading.get_ident()

    def count(module: nn.Module, name: str, parameter: Any) -> None:
        nonlocal n_built
        # a lazy module's parameter has no size yet
        sized = parameter is not None and not isinstance(parameter, UninitializedParameter)
        if threading.get_ident() == thread and sized:
            n_built += parameter.numel()
            if n_built > limit:
                raise TooManyParametersError(f"{name}: more parameters than the {limit} saved")

    hook = torch.nn.modules.module.register_module_parameter_registration_hook(count)
    try:
        yield
    finally:
        hook.remove()
