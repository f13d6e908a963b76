"""Read the statistics of VecNormalize off its pickle, without unpickling it."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from sb3_explain.agents.loading.pickle_records import (
    DamagedPickleError,
    Record,
    Symbol,
    read_records,
)
from sb3_explain.common.errors import ExplainError
from sb3_explain.common.untrusted import one_line, quote, read_bounded, require_within_limit
from sb3_explain.envs.recipe import Normalizer

T = TypeVar("T")
MAX_BYTES = 64 * 2**20
#: the share of the limit of bytes that all statistics of a file may take as float64
SHARE = 1 / 2
VEC_NORMALIZE = Symbol("stable_baselines3.common.vec_env.vec_normalize", "VecNormalize")
RUNNING_MEAN_STD = Symbol("stable_baselines3.common.running_mean_std", "RunningMeanStd")
#: numpy's own ways to pickle; numpy 2 moved ``numpy.core`` to ``numpy._core``
RECONSTRUCT = {"numpy.core.multiarray._reconstruct", "numpy._core.multiarray._reconstruct"}
FROM_BUFFER = {"numpy.core.numeric._frombuffer", "numpy._core.numeric._frombuffer"}
SCALAR = {"numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar"}
DTYPE = {"numpy.dtype"}
#: how protocols 0 to 2 write bytes
ENCODE = {"_codecs.encode"}
RECONSTRUCTOR = {"copyreg._reconstructor", "copy_reg._reconstructor"}
ORDERED_DICT = {"collections.OrderedDict"}

#: packages named by the spaces and random states that stand beside the statistics
KNOWN_PACKAGES = {
    "_codecs", "collections", "copy_reg", "copyreg", "gym", "gymnasium", "numpy", "rl_zoo3",
    "sb3_contrib", "stable_baselines3",
}  # fmt: skip
KNOWN_BUILTINS = {
    "bytearray",
    "bytes",
    "dict",
    "float",
    "int",
    "list",
    "object",
    "set",
    "slice",
    "tuple",
}


def read_statistics(path: Path, trusted: Iterable[str] = ()) -> dict[str, Normalizer]:
    """Normalizers per key of a Dict observation, or under ``""`` for any other observation.

    :param path: path of a file that ``VecNormalize.save`` wrote
    :param trusted: top-level packages besides the known ones that the file may name; nothing is
        imported either way, but an unknown name is an error
    :return: empty if the observations were not normalized
    :raises ExplainError: if the file is anything else, or holds no finite statistics
    """
    return _read_file(path, trusted, _read_normalizers)


def read_reward_scale(path: Path, trusted: Iterable[str] = ()) -> float | None:
    """Read by what VecNormalize divided rewards when it was saved.

    :param path: path of a file that ``VecNormalize.save`` wrote
    :param trusted: as for :func:`read_statistics`
    :return: ``None`` if rewards were not normalized
    :raises ExplainError: as :func:`read_statistics` does
    """
    return _read_file(path, trusted, _read_reward_scale)


def _read_file(path: Path, trusted: Iterable[str], read: Callable[[Any], T]) -> T:
    content = read_bounded(path, MAX_BYTES)
    try:
        root, symbols = read_records(content)
        for symbol in sorted(symbols, key=str):
            if not _is_known(symbol, trusted):
                raise DamagedPickleError(
                    f"it names {quote(str(symbol))}, which statistics do not need"
                )
        return read(root)
    except DamagedPickleError as error:
        raise ExplainError(
            f"{path.name} does not hold the statistics of VecNormalize and was not unpickled "
            f"({error})"
        ) from error
    # text that is no bytes, shapes that NumPy cannot have: whatever malformed arguments lead to
    except (ValueError, TypeError, OverflowError) as error:
        raise ExplainError(
            f"{path.name} does not hold the statistics of VecNormalize and was not unpickled "
            f"({one_line(error)})"
        ) from error


def _is_known(symbol: Symbol, trusted: Iterable[str]) -> bool:
    package = symbol.module.partition(".")[0]
    if package in ("builtins", "__builtin__"):
        return symbol.name in KNOWN_BUILTINS
    return package in KNOWN_PACKAGES or package in trusted


def _read_normalizers(root: Any) -> dict[str, Normalizer]:
    state = _read_state(root, VEC_NORMALIZE)
    if not state.get("norm_obs", True):
        return {}
    statistics = state.get("obs_rms")
    if isinstance(statistics, Record) and _is_call(statistics, ORDERED_DICT):
        statistics = statistics.items
    if not isinstance(statistics, dict):
        statistics = {"": statistics}
    # None where VecNormalize is older than its list of keys, or the observation is no dict
    keys = state.get("norm_obs_keys") or list(statistics)
    if not isinstance(keys, list) or not all(
        isinstance(key, str) and key in statistics for key in keys
    ):
        raise DamagedPickleError("no statistics for each of norm_obs_keys")
    epsilon, clip = _read_number(state.get("epsilon")), _read_number(state.get("clip_obs"))
    if not (epsilon >= 0 and clip > 0):
        raise DamagedPickleError(f"epsilon {epsilon} and clip_obs {clip}")
    normalizers: dict[str, Normalizer] = {}
    size = 0
    for key in keys:  # of which all may name one array, and each gets numbers of its own
        normalizers[key] = made = _read_normalizer(statistics[key], epsilon, clip)
        size += made.mean.nbytes + made.var.nbytes
        require_within_limit(size, "the statistics of VecNormalize", share=SHARE)
    return normalizers


def _read_reward_scale(root: Any) -> float | None:
    state = _read_state(root, VEC_NORMALIZE)
    if not state.get("norm_reward", True) or state.get("ret_rms") is None:
        return None
    made = _read_normalizer(state["ret_rms"], _read_number(state.get("epsilon")), 1.0)
    scale = np.sqrt(made.var + made.epsilon)
    if scale.size != 1 or not 0 < scale.item() < math.inf:
        raise DamagedPickleError("a scale of rewards that is no number above 0")
    return float(scale.item())


def _read_normalizer(record: Any, epsilon: float, clip: float) -> Normalizer:
    state = _read_state(record, RUNNING_MEAN_STD)
    mean, var = _read_array(state.get("mean")), _read_array(state.get("var"))
    if mean.shape != var.shape:
        raise DamagedPickleError(
            f"a mean of shape {mean.shape} beside a variance of shape {var.shape}"
        )
    if not (np.isfinite(mean).all() and np.isfinite(var).all() and (var >= 0).all()):
        raise DamagedPickleError("a mean or variance that is NaN, infinite or negative")
    return Normalizer(mean, var, epsilon, clip)


def _read_state(record: Any, expected: Symbol) -> dict[str, Any]:
    """The attributes of a record, if it is of the expected class."""
    if not isinstance(record, Record):
        raise DamagedPickleError(f"{quote(type(record).__name__)} in place of {expected.name}")
    callee = record.callee
    # Protocols 0 and 1 make every object through one function.
    if _is_call(record, RECONSTRUCTOR):
        callee = next(iter(record.arguments), None)
    if callee != expected:
        found = str(callee) if isinstance(callee, Symbol) else type(callee).__name__
        raise DamagedPickleError(f"{quote(found)} in place of {expected.name}")
    if not isinstance(record.state, dict):
        raise DamagedPickleError(f"{expected.name} without attributes")
    return record.state


def _is_call(value: Any, names: set[str]) -> bool:
    # Only a symbol is turned into text: a record may hold itself, or share its parts endlessly.
    return (
        isinstance(value, Record)
        and isinstance(value.callee, Symbol)
        and str(value.callee) in names
    )


def _read_number(value: Any) -> float:
    if _is_call(value, SCALAR):
        value = _read_array(value).item()
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise DamagedPickleError("a setting that is no number")
    try:
        number = float(value)
    except OverflowError as error:
        raise DamagedPickleError("a setting that is too large") from error
    if math.isnan(number):
        raise DamagedPickleError("a setting that is NaN")
    return number


def _read_array(value: Any) -> NDArray[np.float64]:
    """The array of a record, in float64."""
    return read_array(value).astype(np.float64)


def read_array(value: Any) -> NDArray[Any]:
    """The array that NumPy's functions would have made of a record.

    :param value: what :func:`~sb3_explain.agents.loading.pickle_records.read_records` returned
    :raises DamagedPickleError: if it is no array of plain numbers
    """
    if _is_call(value, RECONSTRUCT) and isinstance(value.state, tuple) and len(value.state) == 5:
        _, shape, dtype, fortran, content = value.state
        array = _make_array(_read_bytes(content), dtype, shape, "F" if fortran else "C")
    elif _is_call(value, FROM_BUFFER) and len(value.arguments) >= 4:
        content, dtype, shape, order = value.arguments[:4]
        array = _make_array(_read_bytes(content), dtype, shape, order)
    elif _is_call(value, SCALAR) and len(value.arguments) == 2:
        array = _make_array(_read_bytes(value.arguments[1]), value.arguments[0], (), "C")
    else:
        raise DamagedPickleError("statistics that are no plain array")
    return array


def _make_array(content: bytes, dtype: Any, shape: Any, order: Any) -> NDArray[Any]:
    kind = _read_dtype(dtype)
    # numpy writes a one-dimensional shape as a number in some versions
    sizes = (shape,) if isinstance(shape, int) else shape
    if not isinstance(sizes, tuple) or not all(type(n) is int and 0 <= n < 2**31 for n in sizes):
        raise DamagedPickleError("an array without a shape")
    n_elements = math.prod(sizes)
    if len(sizes) > 32 or n_elements * kind.itemsize != len(content):
        raise DamagedPickleError("an array whose bytes do not fill its shape")
    require_within_limit(n_elements * 8, "an array of the statistics", share=SHARE)
    return np.frombuffer(content, kind).reshape(sizes, order="F" if order == "F" else "C")


def _read_dtype(value: Any) -> np.dtype[Any]:
    """The dtype in a record, if it is of numbers or booleans, in its byte order."""
    code = value.arguments[0] if _is_call(value, DTYPE) and value.arguments else None
    if not isinstance(code, str) or not re.fullmatch(r"f[248]|[iu][1248]|b1", code):
        raise DamagedPickleError("an array that holds no plain numbers")
    byte_order = value.state[1] if isinstance(value.state, tuple) and len(value.state) > 1 else "|"
    return np.dtype((byte_order if byte_order in ("<", ">") else "") + code)


def _read_bytes(value: Any) -> bytes:
    if _is_call(value, ENCODE) and value.arguments and isinstance(value.arguments[0], str):
        return value.arguments[0].encode("latin-1")
    if not isinstance(value, bytes | bytearray):
        raise DamagedPickleError("an array without bytes")
    return bytes(value)
