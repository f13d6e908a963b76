"""`sb3-explain view`: one line where it cannot begin, and an end by Ctrl-C."""

import json
import os
import re
import shutil
import signal
import socket
import time
import urllib.request

import pytest

from sb3_explain.cli import main
from tests.cli.zoo_agent import ENV, save_cartpole
from tests.mutations import require_line
from tests.processes import start_in_fork


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A folder of agents, and what `collect` has written of one of them."""
    root = tmp_path_factory.mktemp("root")
    save_cartpole(root / "logs")
    given = ["--algo", "ppo", "--env", ENV, "-f", str(root / "logs"), "-o", str(root / "out")]
    assert main(["collect", *given, "-n", "60", "--no-render", "--no-progress"]) == 0
    return root


def test_ctrl_c_ends_it_with_one_line_and_frees_the_port(root, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import runpy, signal\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # it may be ignored
        "runpy.run_module('sb3_explain', run_name='__main__')\n"
    )
    running = start_in_fork(script, ["view", str(root / "out")], tmp_path)
    try:
        while not (said := read(tmp_path / "out")).endswith("\n"):
            assert running.is_alive(), read(tmp_path / "err")
            time.sleep(0.05)
        address = re.search(r"http://127\.0\.0\.1:(\d+)/", said)
        assert address, said
        port = int(address[1])
        listed = json.load(urllib.request.urlopen(f"{address[0]}episodes", timeout=30))
        assert listed["count"] >= 1
        # one that is open and waits does not hold it up
        with socket.create_connection(("127.0.0.1", port)):
            os.kill(running.pid, signal.SIGINT)
            running.join(60)
    finally:
        running.kill()
    assert running.exitcode == 0
    assert read(tmp_path / "out").removeprefix(said).strip() == "ended"
    assert "Traceback" not in read(tmp_path / "err")
    with socket.socket() as free:
        free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        free.bind(("127.0.0.1", port))


def read(path):
    return path.read_text() if path.exists() else ""


def damage_description(out):
    (out / "states" / "states.json").write_text("{}")


def damage_first_episode(out):
    (out / "states" / "episode_000000" / "zarr.json").write_text('{"zarr_format": 2}')


def damage_metrics(out):
    (out / "metrics.json").write_text('{"explainers": 3}')


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda out: shutil.rmtree(out), "give one that explain or collect has written"),
        (lambda out: shutil.rmtree(out / "states"), "holds no states"),
        (lambda out: shutil.rmtree(out / "states" / "episode_000000"), "no whole episode"),
        (lambda out: (out / "agent.json").unlink(), "give --algo, --env and --folder"),
        (damage_description, "states.json"),
        (damage_first_episode, "zarr_format is 2"),
        (damage_metrics, "explainers is 3"),
    ],
)  # fmt: skip
def test_a_folder_that_cannot_be_served_is_one_line(root, tmp_path, capsys, change, said):
    out = tmp_path / "out"
    shutil.copytree(root / "out", out)
    agent = json.loads((out / "agent.json").read_text())
    (out / "agent.json").write_text(json.dumps({**agent, "folder": str(root / "logs")}))
    change(out)
    assert main(["view", str(out)]) == 2
    complaint = capsys.readouterr().err.strip().splitlines()[-1]
    require_line(complaint)
    assert said in complaint


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--states", "episodes"], "episodes/"),
        (["--port", "70000"], "--port"),
        (["--host", "no.such.name.invalid"], "--host"),
        (["--target", "NOTHING"], "NOTHING"),
    ],
)
def test_flags_that_cannot_be_are_one_line(root, capsys, flags, said):
    assert main(["view", str(root / "out"), *flags]) == 2
    assert said in capsys.readouterr().err.strip().splitlines()[-1]
