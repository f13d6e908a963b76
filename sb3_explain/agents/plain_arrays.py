"""Arrays of users as plain NumPy arrays: numbers, dense, writable, in native byte order."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sb3_explain.common.errors import ExplainError


def read_array(value: Any, which: str, advice: str) -> NDArray[Any]:
    """Read an array or a tensor of any layout, or nested lists, as a plain array.

    :param value: what a user gave
    :param which: what it is, for messages
    :param advice: what to give instead, for messages
    :raises ExplainError: if it holds no numbers, or not as many in each row
    """
    if isinstance(value, Tensor):
        value = read_dense(value, which).detach().cpu()
        value = (value.float() if value.dtype == torch.bfloat16 else value).numpy()
    try:
        array = np.asarray(value)
    except Exception as error:
        raise ExplainError(f"{which} is no array, its rows differ in shape: {advice}") from error
    if array.dtype.kind not in "biuf":
        raise ExplainError(f"{which} is of class {type(value).__name__}: {advice}")
    if array.dtype.kind == "f" and array.dtype.itemsize > 8:
        array = array.astype(np.float64)  # torch has no longer one
    plain = array.dtype.newbyteorder("=")
    flags = array.flags
    if not (flags.writeable and array.dtype == plain and flags.c_contiguous):
        array = np.array(array, dtype=plain, order="C")
    return array


def read_dense(tensor: Tensor, which: str) -> Tensor:
    """The values of a tensor that may be sparse.

    :raises ExplainError: for a tensor on the device "meta", which has none
    """
    if tensor.is_meta:
        raise ExplainError(f"{which} is a tensor on the device 'meta', without values: give values")
    return tensor if tensor.layout == torch.strided else tensor.to_dense()
