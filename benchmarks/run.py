"""Measure the figures of speed and quality: ``python benchmarks/run.py [name ...]``.

A benchmark is a file ``bench_<name>.py`` beside this one with a function ``run(record)`` that calls
:func:`record` for each figure. ``results.json`` holds the figures, ``machine.json`` says for each
where, when and with which versions it was measured, since some need another machine than the rest.
"""

import argparse
import importlib
import json
import math
import operator
import os
import platform
import sys
import traceback
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache, partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil
import torch

from sb3_explain.common.provenance import find_processor

HERE = Path(__file__).resolve().parent
COMPARISONS = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    ">": operator.gt,
    "<": operator.lt,
}
LIBRARIES = ("torch", "stable_baselines3", "sb3_contrib", "gymnasium", "numpy", "captum")

Row = dict[str, Any]


def record(
    id: str, value: float, unit: str, target: str | None = None, *, folder: Path = HERE
) -> None:
    """Print a measured figure and write it in place of an earlier one of the same name.

    :param id: name of the figure, unique among all benchmarks
    :param value: what was measured; finite
    :param unit: its unit, such as ``"frames/s"`` or ``"share"``
    :param target: a comparison that the value should satisfy, such as ``">= 0.95"``
    :param folder: where ``results.json`` and ``machine.json`` stand
    :raises ValueError: for a value that is not finite or a target that is no comparison
    """
    value = float(value)
    if not math.isfinite(value):
        raise ValueError(f"{id}: the measured value is {value}")
    met = None if target is None else is_met(value, target)
    row = {"id": id, "value": value, "unit": unit, "target": target, "met": met}
    date = datetime.now(UTC).isoformat(timespec="seconds")
    replace_row(folder / "results.json", row)
    replace_row(folder / "machine.json", {"id": id, "date": date, **environment()})
    verdict = {None: "", True: "met", False: "NOT MET"}[met]
    print(f"{id:<50} {value:>12.6g} {unit:<12} {target or '':<12} {verdict}", flush=True)


def is_met(value: float, target: str) -> bool:
    """Whether ``value`` satisfies a comparison such as ``">= 0.95"``."""
    try:
        comparison, bound = target.split()
        return bool(COMPARISONS[comparison](value, float(bound)))
    except (KeyError, ValueError):
        known = " ".join(COMPARISONS)
        raise ValueError(
            f"target {target!r} is not a comparison ({known}) and a number, such as '>= 0.95'"
        ) from None


def replace_row(path: Path, row: Row) -> None:
    """Put ``row`` where the list at ``path`` has one of the same id, else at its end; atomic."""
    rows: list[Row] = json.loads(path.read_text()) if path.exists() else []
    by_id = {old["id"]: old for old in rows} | {row["id"]: row}
    partial_file = path.with_name(path.name + ".partial")
    partial_file.write_text(json.dumps(list(by_id.values()), indent=1) + "\n")
    partial_file.replace(path)


@cache
def environment() -> Row:
    """The machine and the versions that a figure depends on."""
    machine = [
        find_processor(),
        f"{os.cpu_count()} CPUs",
        f"{psutil.virtual_memory().total >> 30} GiB",
    ]
    if torch.cuda.is_available():
        machine.append(torch.cuda.get_device_name())
    versions = {"python": platform.python_version(), **{name: version(name) for name in LIBRARIES}}
    return {"machine": ", ".join(machine), "versions": versions}


def main(arguments: Sequence[str] | None = None, folder: Path = HERE) -> int:
    """Run the benchmarks that were named, or all.

    :param arguments: the command line
    :param folder: where the benchmarks stand and the results go
    :return: exit code: 1 if a benchmark raised, whether or not targets are met
    """
    known = sorted(path.stem.removeprefix("bench_") for path in folder.glob("bench_*.py"))
    parser = argparse.ArgumentParser(
        description="Measure the figures in benchmarks/results.json.",
        epilog="example: python benchmarks/run.py " + (known[0] if known else ""),
    )
    parser.add_argument("names", nargs="*", help=f"benchmarks, of: {', '.join(known)}; default all")
    names = parser.parse_args(arguments).names or known
    for name in names:
        if name not in known:
            parser.error(f"unknown benchmark {name!r} (known: {', '.join(known)})")

    # some share a file with the tests
    sys.path[:0] = [str(folder), str(folder.parent)]
    failed = []
    for name in names:
        print(f"\n{name}", flush=True)
        try:
            importlib.import_module(f"bench_{name}").run(partial(record, folder=folder))
        except Exception:  # the other benchmarks are still worth their time
            traceback.print_exc()
            failed.append(name)
    if failed:
        print(f"\nfailed: {', '.join(failed)}", file=sys.stderr)
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
