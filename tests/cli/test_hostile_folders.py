"""Commands that read an output folder which somebody has damaged: one line, and exit code 2."""

import json
import os
import shutil
from pathlib import Path

import pytest

from sb3_explain.cli import main
from tests.cli.zoo_agent import ENV, save_cartpole
from tests.mutations import require_line


@pytest.fixture(scope="module")
def explained(tmp_path_factory):
    """A folder of agents, and what `explain` has written about one of them."""
    root = tmp_path_factory.mktemp("root")
    save_cartpole(root / "logs")
    assert main(command("explain", root, "-n", "200", "--max-per-episode", "10", "--epochs", "1",
                        "--n-evaluated", "10", "--metrics", "sparseness")) == 0  # fmt: skip
    return root


def command(name, root, *flags):
    return [
        name, "--algo", "ppo", "--env", ENV, "-f", str(root / "logs"), "-o", str(root / "out"),
        "--no-progress", *flags,
    ]  # fmt: skip


def swap(**values):
    return lambda path: path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def drop(name):
    def change(path):
        described = json.loads(path.read_text())
        del described[name]
        path.write_text(json.dumps(described))

    return change


def cut(path):
    path.write_bytes(path.read_bytes()[:-30])


def replace(make):
    def change(path):
        path.unlink()
        make(path)

    return change


EPISODE = Path("states", "episode_000000")
#: the command, the file, what becomes of it, and what the line says
CASES = {
    "collect": ("states/states.json", swap(n_stack=10**6), "n_stack is 1000000"),
    "fit": (EPISODE / "zarr.json", swap(zarr_format=2), "zarr_format is 2"),
    "evaluate": (EPISODE / "rgb" / "zarr.json", replace(Path.mkdir), "a folder in its place"),
    "report": ("metrics.json", swap(explainers=3), "explainers is 3"),
    "report ": ("curves.json", replace(os.mkfifo), "a pipe"),
    "evaluate ": ("visionmask/visionmask.json", swap(settings=[]), "settings is []"),
    "explain": ("visionmask/visionmask.safetensors", cut, "is damaged"),
    "explain ": ("states/states.json", replace(Path.mkdir), "a folder in its place"),
    "explain  ": ("episodes/states.json", drop("n_stack"), "n_stack is missing"),
    "report  ": ("episodes/states.json", swap(rendered=1), "rendered is 1, not true or false"),
    "export": ("episodes/states.json", cut, "episodes/states.json is damaged"),
}


@pytest.mark.parametrize("case", CASES)
def test_damage_is_one_line_and_exit_code_2(explained, tmp_path, capsys, case):
    root = Path(shutil.copytree(explained, tmp_path / "root"))
    path, change, said = CASES[case]
    change(root / "out" / path)
    before = read_files(root)
    flags = (
        ["-n", "200", "--max-per-episode", "10"] if case.strip() in ("explain", "collect") else []
    )
    flags += ["--epochs", "1"] if case.strip() in ("explain", "fit") else []
    flags += ["--frames"] if case.strip() == "export" else []
    assert main(command(case.strip(), root, *flags)) == 2
    line = capsys.readouterr().err.strip().splitlines()[-1]
    require_line(line.removeprefix("sb3-explain: "))
    assert said in line
    assert read_files(root) == before


def read_files(folder):
    return {
        path: path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".lock" and "tensorboard" not in path.parts
    }
