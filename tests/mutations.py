"""Seeded mutations of files: bytes flipped, removed, inserted; values of JSON swapped by type."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from sb3_explain.common.errors import ExplainError

#: mutations of each file in the usual tests, and in the slow ones
FEW, MANY = 40, 160

DEEP: Any = []
for _ in range(700):
    DEEP = [DEEP]
#: what stands in a value's place
OTHERS: list[Any] = [
    None, True, False, 0, 1, -1, 2, 7, 10**6, 2**31, 2**63, 10**400, 0.5, -0.5, 1e308, -1e308,
    float("nan"), float("inf"), "", "a", "x" * 10**5, "\x1b[31m\n\r", "\udcff", "0" * 64, [], [0],
    [[]], [None] * 1000, {}, {"a": 1}, {"": None}, DEEP,
]  # fmt: skip


def list_places(data: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Paths of all values of plain data but the whole."""
    items = data.items() if isinstance(data, dict) else enumerate(data)
    for name, value in items:
        yield (*place, name)
        if isinstance(value, (dict, list)):
            yield from list_places(value, (*place, name))


def mutate_data(data: Any, rng: np.random.Generator) -> Any:
    """Plain data with one value swapped, removed, or put in under another name."""
    data = copy.deepcopy(data)
    places = list(list_places(data))
    if not places or rng.random() < 0.02:
        return OTHERS[rng.integers(len(OTHERS))]
    *above, name = places[rng.integers(len(places))]
    parent = data
    for step in above:
        parent = parent[step]
    way = rng.random()
    if way < 0.2:
        del parent[name]
    elif way < 0.3 and isinstance(parent, dict):
        parent[str(name)[:-1]] = parent.pop(name)
    else:
        parent[name] = OTHERS[rng.integers(len(OTHERS))]
    return data


def mutate_bytes(content: bytes, rng: np.random.Generator) -> bytes:
    """Bytes of which some are flipped, removed, doubled, inserted or cut off."""
    changed = bytearray(content)
    for _ in range(rng.integers(1, 4)):
        at = int(rng.integers(max(len(changed), 1)))
        n = int(2 ** rng.uniform(0, 6))
        way = rng.integers(5)
        if way == 0 and changed:
            changed[at] ^= 1 << rng.integers(8)
        elif way == 1:
            del changed[at : at + n]
        elif way == 2:
            changed[at:at] = rng.bytes(n)
        elif way == 3:
            changed[at:at] = changed[at : at + n]
        else:
            changed = changed[:at] if rng.random() < 0.3 else changed
    return bytes(changed)


def mutate_file(content: bytes, rng: np.random.Generator) -> bytes:
    """Bytes of JSON or safetensors, mutated as JSON or as bytes; of other files as bytes."""
    if rng.random() < 0.7:
        if content[:1] in b"{[":
            return json.dumps(mutate_data(json.loads(content), rng)).encode()
        length = int.from_bytes(content[:8], "little")
        if content[8:9] == b"{" and length < len(content):
            header = mutate_header(json.loads(content[8 : 8 + length]), rng)
            said = json.dumps(header).encode()
            return len(said).to_bytes(8, "little") + said + content[8 + length :]
    return mutate_bytes(content, rng)


def mutate_header(header: dict[str, Any], rng: np.random.Generator) -> Any:
    """The header of safetensors; where a text of its metadata is JSON, often that."""
    texts = [n for n, text in header.get("__metadata__", {}).items() if text[:1] == "{"]
    if texts and rng.random() < 0.5:
        name = texts[rng.integers(len(texts))]
        inner = json.dumps(mutate_data(json.loads(header["__metadata__"][name]), rng))
        return {**header, "__metadata__": {**header["__metadata__"], name: inner}}
    return mutate_data(header, rng)


def fuzz(path: Path, read: Callable[[], Any], n: int, seed: int = 0) -> dict[str, int]:
    """Read a file in ``n`` mutations, and put the whole one back.

    :param path: path of the file
    :param read: reads it; whatever it raises but a line for the user is an error of the package
    :return: number of mutations that were refused, and of those that were read
    """
    whole = path.read_bytes()
    counts = {"refused": 0, "read": 0}
    try:
        for number in range(n):
            rng = np.random.default_rng([seed, number])
            path.write_bytes(mutate_file(whole, rng))
            try:
                read()
            except ExplainError as error:
                require_line(str(error))
                counts["refused"] += 1
            except Exception as error:
                keep = os.environ.get("SB3_EXPLAIN_KEEP_MUTATION")
                if keep:
                    Path(keep).write_bytes(path.read_bytes())
                raise AssertionError(f"mutation {number} of {path.name}: {error!r}") from error
            else:
                counts["read"] += 1
    finally:
        path.write_bytes(whole)
    read()
    return counts


def require_line(text: str) -> None:
    """Check that an error is one line of at most 300 printable characters."""
    assert 0 < len(text) <= 300, len(text)
    assert text.isprintable(), text
