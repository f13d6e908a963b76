"""The spaces of a saved model, from the readable text of its ``data``; no pickle is read.

Stable-Baselines3 writes the attributes of a space beside its pickle, as JSON or as their text. That
text has been written by gym and gymnasium of many versions, and it may be shortened: what cannot be
read for certain is left open, and the user is asked.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from sb3_explain.agents.loading.space_texts import Call, Pair, read_text
from sb3_explain.common.untrusted import quote

Space = spaces.Space[Any]

#: elements of a space and of its one-hot code; a color frame of 1920 x 1080 has 6.2 million
MAX_ELEMENTS = 2**23
MAX_KEYS = 1000
DTYPES = (
    "float16", "float32", "float64", "uint8", "uint16", "uint32", "uint64", "int8", "int16",
    "int32", "int64", "bool",
)  # fmt: skip


def read_space(attributes: object) -> Space | None:
    """A space of ``data``: Box, Discrete, MultiDiscrete, MultiBinary or a Dict of these.

    >>> text = {":type:": "<class 'gym.spaces.discrete.Discrete'>", "n": 3}
    >>> read_space(text)
    Discrete(3)

    :param attributes: value of ``observation_space`` or ``action_space`` in the JSON ``data``
    :return: the space; ``None`` if the text is missing, shortened or of another kind
    """
    if not isinstance(attributes, Mapping):
        return None
    kind = re.fullmatch(
        r"<class 'gym(?:nasium)?\.spaces\.\w+\.(\w+)'>", str(attributes.get(":type:"))
    )
    try:
        return _READERS[kind[1]](attributes) if kind is not None and kind[1] in _READERS else None
    # a text that is damaged, or not one of those that the libraries write
    except (ValueError, TypeError, KeyError, IndexError, OverflowError, AssertionError):
        return None


def quote_attributes(attributes: object) -> str:
    """What ``data`` says of a space that could not be read, in one line."""
    if not isinstance(attributes, Mapping):
        return "nothing"
    names = (":type:", "spaces", "shape", "_shape", "dtype", "n", "nvec", "low", "high")
    said = {name.strip(":"): attributes[name] for name in names if attributes.get(name) is not None}
    return ", ".join(f"{name} {quote(value)}" for name, value in said.items()) or "nothing"


def describe_space(space: Space) -> str:
    """A space in a few words, with its dtype and bounds: ``Box uint8 (4, 84, 84) in [0, 255]``."""
    if isinstance(space, spaces.Dict):
        parts = [f"{quote(key)}: {describe_space(part)}" for key, part in space.spaces.items()]
        return f"Dict {{{', '.join(parts[:8])}{', ...' if len(parts) > 8 else ''}}}"
    if isinstance(space, spaces.Box):
        bounds = f" in [{space.low.min():g}, {space.high.max():g}]" if space.low.size else ""
        return f"Box {space.dtype} {space.shape}{bounds}"
    if isinstance(space, spaces.Discrete):
        return f"Discrete {space.n}" + (f" from {space.start}" if space.start else "")
    if isinstance(space, spaces.MultiDiscrete):
        return f"MultiDiscrete {quote(space.nvec.tolist())}"
    return f"{type(space).__name__} {space.shape or ''}".strip()


def _read_box(attributes: Mapping[str, Any]) -> Space:
    shape = _read_shape(attributes.get("_shape", attributes.get("shape")))
    low, high = (_read_side(attributes, side) for side in ("low", "high"))
    return _make_box(low, high, shape, attributes["dtype"])


def _read_side(attributes: Mapping[str, Any], side: str) -> Any:
    """The lower or upper bounds: one number for all where the text has it, else the array's."""
    short = attributes.get(f"{side}_repr")
    value = read_text(short) if isinstance(short, str) else None
    if value is None or isinstance(value, list):
        value = attributes[side]
    return read_text(value) if isinstance(value, str) else value


def _make_box(low: Any, high: Any, shape: tuple[int, ...], dtype: object) -> Space:
    match = re.search(r"(\w+?)(?:'>)?$", str(dtype))
    if match is None or match[1] not in DTYPES:
        raise ValueError(f"dtype {dtype}")
    kind = np.dtype(match[1])
    return spaces.Box(
        _read_bounds(low, shape, kind), _read_bounds(high, shape, kind), shape, kind.type
    )


def _read_bounds(value: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """An array of bounds; of a long one, whose text has its corners only, if these are alike."""
    shown = _flatten(value)
    if ... in shown:
        shown = list({number for number in shown if number is not ...})
        if len(shown) != 1:
            raise ValueError("bounds that are shortened and differ")
    if not all(type(number) in (int, float, bool) for number in shown):
        raise ValueError("bounds that are no numbers")
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        if not all(limits.min <= number <= limits.max for number in shown):
            raise ValueError("bounds outside of the dtype")
    array = np.array(shown, dtype=object).astype(dtype)
    return np.full(shape, array[0], dtype) if len(shown) == 1 else array.reshape(shape)


def _flatten(value: Any) -> list[Any]:
    if not isinstance(value, list):
        return [value]
    return [part for member in value for part in _flatten(member)]


def _read_shape(value: Any) -> tuple[int, ...]:
    shape = tuple(_read_whole(size) for size in value)
    if len(shape) > 8 or math.prod(max(size, 1) for size in shape) > MAX_ELEMENTS:
        raise ValueError(f"shape {shape}")
    return shape


def _read_whole(value: Any, minimum: int = 0) -> int:
    number = read_text(value) if isinstance(value, str) else value
    if type(number) is not int or not minimum <= number <= MAX_ELEMENTS:
        raise ValueError(f"{value} is no size")
    return number


def _read_discrete(attributes: Mapping[str, Any]) -> Space:
    start = attributes.get("start", 0)
    return spaces.Discrete(_read_whole(attributes["n"], 1), start=_read_whole(start, -MAX_ELEMENTS))


def _read_multi_discrete(attributes: Mapping[str, Any]) -> Space:
    sizes, starts = (
        np.array(read_text(value) if isinstance(value, str) else value, dtype=np.int64)
        for value in (attributes["nvec"], attributes.get("start", 0))
    )
    if not 0 < sizes.size <= MAX_KEYS * 10 or not 0 < sizes.sum() <= MAX_ELEMENTS:
        raise ValueError("sizes of a MultiDiscrete")
    return spaces.MultiDiscrete(sizes, start=np.broadcast_to(starts, sizes.shape))


def _read_multi_binary(attributes: Mapping[str, Any]) -> Space:
    sizes = read_text(attributes["n"]) if isinstance(attributes["n"], str) else attributes["n"]
    if isinstance(sizes, list | tuple):
        return spaces.MultiBinary(list(_read_shape(sizes)))
    return spaces.MultiBinary(_read_whole(sizes, 1))


def _read_dict(attributes: Mapping[str, Any]) -> Space:
    """The keys stand in the order in which the policy concatenates them."""
    content = attributes["spaces"]
    if isinstance(content, str):
        content = read_text(content)
    if isinstance(content, Call) and content.name == "OrderedDict":
        (content,) = content.arguments
    pairs = [(part.key, part.value) if isinstance(part, Pair) else tuple(part) for part in content]
    parts = [(key, _read_part(part)) for key, part in pairs]
    names = [key for key, _ in parts]
    elements = sum(math.prod(part.shape or (1,)) for _, part in parts)
    if not all(isinstance(key, str) for key in names) or len(set(names)) != len(names):
        raise ValueError("keys of a Dict")
    if not 0 < len(names) <= MAX_KEYS or elements > MAX_ELEMENTS:
        raise ValueError("a Dict that is empty or too large")
    return spaces.Dict(parts)


def _read_part(part: Any) -> Space:
    """A space inside a Dict, as its ``repr`` has it."""
    if not isinstance(part, Call):
        raise TypeError(f"{part} is no space")
    given = [argument for argument in part.arguments if not isinstance(argument, Pair)]
    named = {
        pair.key.name: pair.value
        for pair in part.arguments
        if isinstance(pair, Pair) and isinstance(pair.key, Call)
    }
    if part.name == "Box":
        if len(given) < 3 and all(type(size) is int for size in given):
            # gym before 0.18 wrote the shape alone: of a vector, that is all a policy has to know
            return _make_box(-math.inf, math.inf, _read_shape(given), "float32")
        low, high, shape, dtype = given
        return _make_box(low, high, _read_shape(shape), dtype.name)
    if part.name == "Discrete":
        return _read_discrete({"n": given[0], **named})
    if part.name == "MultiDiscrete":
        return _read_multi_discrete({"nvec": given[0], **named})
    if part.name == "MultiBinary":
        return _read_multi_binary({"n": given[0]})
    raise ValueError(f"{part.name} in a Dict")


_READERS = {
    "Box": _read_box,
    "Discrete": _read_discrete,
    "MultiDiscrete": _read_multi_discrete,
    "MultiBinary": _read_multi_binary,
    "Dict": _read_dict,
}
