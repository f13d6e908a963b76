"""Run Stable-Baselines3's own tests of SAC with this package's pixel algorithms in SAC's place.

The tests are those of the installed version's source distribution, which pip downloads. Each test
passes, is skipped, is refused in one line (an ``ExplainError``), or fails, which is a fault. A
refusal is right where observations are no pictures.

``python benchmarks/sb3_sac_tests.py [SGQN PixelSAC DrQ]``
"""

from __future__ import annotations

import collections
import os
import subprocess
import sys
import tarfile
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar

import pytest
import stable_baselines3

import sb3_explain
from sb3_explain import ExplainError

ALGORITHMS = ("SGQN", "PixelSAC", "DrQ")
CHOSEN = "SB3_EXPLAIN_IN_PLACE_OF_SAC"
#: small networks
SMALL = {"n_layers": 4, "n_filters": 8}
#: SB3's tests have single frames, and expect that every update moves everything
SETTINGS = {"n_stack": 1, "buffer_size": 1000, "policy_delay": 1, "warmup_updates": 0}


def stand_in(name: str) -> type:
    """Make a class with SAC's names of policies; its target CNN moves by ``tau``, as SAC's does."""
    base: Any = getattr(sb3_explain, name)
    policy = base.policy_aliases["CnnPolicy"]

    class SAC(base):  # type: ignore[misc]
        policy_aliases: ClassVar = dict.fromkeys(
            ("CnnPolicy", "MlpPolicy", "MultiInputPolicy"), policy
        )

        def __init__(self, policy: Any, env: Any, *args: Any, **kwargs: Any) -> None:
            networks = dict(kwargs.pop("policy_kwargs", None) or {})
            # the same wish in the words of the pixel policies
            networks |= networks.pop("features_extractor_kwargs", {})
            kwargs = {**SETTINGS, "policy_kwargs": {**SMALL, **networks}, **kwargs}
            super().__init__(policy, env, *args, **kwargs)

        @property
        def encoder_tau(self) -> float:
            return float(self.tau)

        @encoder_tau.setter
        def encoder_tau(self, value: float) -> None:
            pass

    return SAC


class Outcomes:
    """Pytest plugin that tells refusals from faults.

    :param output: file to which a line per test is written
    """

    def __init__(self, output: Path) -> None:
        self.output = output

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_makereport(self, item: Any, call: Any) -> Any:
        outcome = yield
        report = outcome.get_result()
        if call.when != "call" and not report.skipped:
            return
        error = call.excinfo.value if call.excinfo is not None else None
        what = report.outcome
        if isinstance(error, ExplainError):
            what = f"refused\t{error}"
        elif report.failed:
            what = f"fault\t{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        with self.output.open("a") as file:
            file.write(f"{item.nodeid}\t{what}\n")


def run_in_place(name: str, tests: Path, output: Path) -> None:
    """Run the tests in this process, which no other run may share: SAC is replaced in it."""
    SAC = stand_in(name)
    stable_baselines3.SAC = SAC  # type: ignore[misc]
    options = [
        str(tests),
        "-q",
        "-k",
        "SAC or sac",
        "-p",
        "no:cacheprovider",
        "--no-header",
        "-W",
        "ignore",
    ]
    pytest.main(options, plugins=[Outcomes(output)])


def main(names: list[str]) -> int:
    """Run all tests for each algorithm, and print what came of them; 1 if there was a fault."""
    n_faults = 0
    with tempfile.TemporaryDirectory() as folder:
        package = f"stable-baselines3=={version('stable-baselines3')}"
        pip = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "-q",
            "--no-deps",
            "--no-binary",
            ":all:",
            package,
        ]
        subprocess.run([*pip, "-d", folder], check=True)
        (archive,) = Path(folder).glob("*.tar.gz")
        with tarfile.open(archive) as source:
            source.extractall(folder, filter="data")
        (tests,) = Path(folder).glob("*/tests")
        for name in names or ALGORITHMS:
            output = Path(folder) / f"{name}.txt"
            subprocess.run(
                [sys.executable, __file__], env={**os.environ, CHOSEN: f"{name}:{tests}:{output}"},
                cwd=folder, stdout=subprocess.DEVNULL, check=True,
            )  # fmt: skip
            lines = [line.split("\t", 1) for line in output.read_text().splitlines()]
            counted = collections.Counter(what for _, what in lines)
            print(f"\n{name}: {len(lines)} tests")
            for what, n in counted.most_common():
                print(f"{n:5d}  {what}".replace("\t", ": "))
            faults = [test for test, what in lines if what.startswith("fault")]
            print(*(f"       fault in {test}" for test in faults), sep="\n")
            n_faults += len(faults)
    return int(n_faults > 0)


if __name__ == "__main__":
    if CHOSEN in os.environ:
        chosen, folder, file = os.environ[CHOSEN].split(":")
        run_in_place(chosen, Path(folder), Path(file))
    else:
        sys.exit(main(sys.argv[1:]))
