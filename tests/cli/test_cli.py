"""The command line, as a user meets it: results, exit codes, one line for each mistake."""

import contextlib
import io
import json
import os
import re
import runpy
import signal
import sys
import time
from pathlib import Path

import pytest

from sb3_explain.cli import main
from sb3_explain.evaluation.metrics import METRICS
from sb3_explain.evaluation.targets import OF_QUANTITIES
from sb3_explain.explainers import EXPLAINERS
from sb3_explain.states.dataset import StateDataset
from sb3_explain.workflows.pipeline import FIRST_METRICS
from tests.cli.zoo_agent import save_dot
from tests.processes import start_in_fork


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small agent in the zoo's layout: a linear policy on the pictures of DotEnv."""
    logs = tmp_path_factory.mktemp("logs")
    save_dot(logs)
    return logs


def command(name: str, folder: Path, output: Path, *more: str) -> list[str]:
    return [
        name, "--algo", "ppo", "--env", "Dot-v0", "-f", str(folder), "-o", str(output),
        "--no-progress", *more,
    ]  # fmt: skip


SMALL = ["-n", "200", "--max-per-episode", "10"]
QUICK = ["--epochs", "1", "--precision", "no", "--visionmask", "refine_steps:1"]
#: each metric is two figures of the page
FEW = ["--metrics", "accuracy", "insertion", "deletion", "sparseness"]
EVALUATED = ["--n-evaluated", "16", *FEW]


@pytest.fixture(scope="module")
def explained(folder, tmp_path_factory):
    """The results of explain, and what it printed."""
    output = tmp_path_factory.mktemp("explained")
    with contextlib.redirect_stdout(io.StringIO()) as shown:
        asked = [*SMALL, *QUICK, *EVALUATED, "--explainer", "sarfa", "integrated_gradients"]
        assert main(command("explain", folder, output, *asked)) == 0
    return output, shown.getvalue()


def test_explain_makes_everything(explained):
    output, shown = explained
    metrics = json.loads((output / "metrics.json").read_text())
    assert set(metrics) >= {"agent", "states", "explainers"}
    assert set(metrics["explainers"]) == {
        "visionmask",
        "visionmask template",
        "visionmask swapped",
        "sarfa",
        "integrated_gradients",
        "empty",
        "constant",
        "random",
        "gradient",
    }
    ours = metrics["explainers"]["visionmask"]
    for name in ("accuracy", "insertion", "deletion", "sparseness"):
        assert set(ours[name]) == {"mean", "low", "high", "n"}
        assert 0 <= ours[name]["low"] <= ours[name]["mean"] <= ours[name]["high"] <= 1
    page = (output / "report.html").read_text()
    assert "Dot-v0" in page and '"explainers": [{"label": "VisionMask"' in page
    assert list((output / "attributions").glob("*.png"))
    # the page that needs no fit, then the better one in its place
    assert shown.count((output / "report.html").as_uri()) == 2
    assert shown.index("first page") < shown.index("accuracy")
    [asked] = re.findall(rf"next    sb3-explain why -o {output} --state (\d+)\n", shown)
    assert f"        state {asked}: step " in shown and int(asked) < 400


def test_explain_without_a_fit(folder, tmp_path, monkeypatch, capsys):
    """Two methods side by side, in a folder that is named after the agent."""
    monkeypatch.chdir(tmp_path)
    arguments = command("explain", folder, tmp_path, *SMALL, "--n-evaluated", "8")
    del arguments[arguments.index("-o") : arguments.index("-o") + 2]
    assert main(arguments) == 0
    output = Path("explained") / "ppo-Dot-v0"
    shown = capsys.readouterr()
    assert f"results: {output}" in shown.err
    assert f"next    sb3-explain explain -o {output} --fit visionmask" in shown.out
    assert not (output / "visionmask").exists()
    rows = json.loads((output / "metrics.json").read_text())["explainers"]
    assert list(rows)[:2] == ["sarfa", "integrated_gradients"]
    assert set(rows["sarfa"]) == {*FIRST_METRICS, "cost"} - OF_QUANTITIES
    page = (output / "report.html").read_text()
    assert "The same state by every method" in page and "Map by SARFA" in page
    # the next command needs no word of the agent, and may explain something else
    again = ["explain", "-o", str(output), "--no-progress", "--n-evaluated", "8"]
    again += ["--metrics", "sparseness"]
    assert main([*again, "--explainer", "gradient", "--target", "value"]) == 0
    measured = json.loads((output / "metrics.json").read_text())
    assert next(iter(measured["explainers"])) == "gradient"
    assert measured["states"]["target"] == "value"
    assert '"asked": "value"' in (output / "report.html").read_text()
    assert main(["report", "-o", str(output), "--no-progress"]) == 0
    assert '"asked": "value"' in (output / "report.html").read_text()
    capsys.readouterr()
    for flags, said in [
        (["--explainer", "visionmask"], "give --fit visionmask"),
        (["--fit", "sarfa"], "name it by --explainer sarfa"),
        (["--explainer", "sarfa", "sarfa"], "two explainers have the same name"),
        (["--target", "LEEFT"], "unknown target 'LEEFT'"),
    ]:
        assert main([*again, *flags]) == 2
        line = capsys.readouterr().err.strip().splitlines()[-1]
        assert said in line and line.startswith("sb3-explain: ")


def test_why(folder, tmp_path, capsys):
    assert main(command("collect", folder, tmp_path, *SMALL)) == 0
    asked = command("why", folder, tmp_path, "--state", "7")
    asked.remove("--no-progress")
    capsys.readouterr()
    assert main([*asked, "--explainer", "greydanus", "--regions", "2"]) == 0
    message = capsys.readouterr().out
    assert "the agent does" in message and "without 1 (" in message
    assert (tmp_path / "why" / "state_7_greydanus.png").exists()
    assert (tmp_path / "why" / "state_7_greydanus.csv").exists()
    greydanus = [*asked, "--explainer", "greydanus", "--regions", "1"]
    assert main([*greydanus, "--target", "1"]) == 0
    assert (tmp_path / "why" / "state_7_1_greydanus.png").exists()
    assert main([*greydanus, "--target", "value"]) == 2
    assert "value is no action: give one of" in capsys.readouterr().err
    assert main([*asked, "--explainer", "visionmask"]) == 2
    assert "holds no visionmask: fit one first" in capsys.readouterr().err
    assert main([*asked, "--regions", "1"]) == 0  # by a method that needs no fit
    assert (tmp_path / "why" / "state_7_sarfa.png").exists()
    assert main([*asked, "--instead", "jump"]) == 2
    assert "unknown target 'jump'" in capsys.readouterr().err
    assert main(command("fit", folder, tmp_path, *QUICK)) == 0
    greedy = int(StateDataset.open(tmp_path / "states").greedy[7])
    assert main([*asked, "--instead", str((greedy + 1) % 3)]) == 0
    assert (tmp_path / "why" / f"state_7_not_{(greedy + 1) % 3}.png").exists()
    assert "outcomes -o" in capsys.readouterr().out


def test_the_steps_one_by_one_equal_explain(folder, explained, tmp_path):
    whole, parts = explained[0], tmp_path
    assert main(command("collect", folder, parts, *SMALL)) == 0
    assert main(command("fit", folder, parts, *QUICK)) == 0
    assert main(command("evaluate", folder, parts, *EVALUATED)) == 0
    assert main(command("report", folder, parts)) == 0
    measured = [json.loads((path / "metrics.json").read_text()) for path in (whole, parts)]
    a, b = (each["explainers"] for each in measured)
    for explainer in a:
        a[explainer].pop("cost"), b[explainer].pop("cost")
    assert a == b
    assert (parts / "report.html").exists()


def test_a_grid_of_one_agent(folder, tmp_path, capsys):
    small = ["-n", "200", "--n-evaluated", "10", "--collecting", "max_per_episode:10"]
    chosen = ["--explainers", "gradient", "faint=constant", "--metrics", "insertion", "mask_area"]
    settings = ["--settings", "faint.area:0.3", "insertion.steps:2"]
    arguments = command("evaluate", folder, tmp_path, *small, *chosen, *settings)
    assert main([*arguments, "--seeds", "0", "1", "--threads", "1"]) == 0
    shown = capsys.readouterr().out
    assert "ppo:Dot-v0" in shown and "0.300" in shown and "benchmark.md" in shown
    results = sorted(path.name for path in tmp_path.glob("ppo-Dot-v0/seed_1/*.json"))
    names = ("constant", "empty", "faint", "gradient", "random")
    assert results == [f"{name}.json" for name in names]
    result = json.loads((tmp_path / "ppo-Dot-v0" / "seed_0" / "gradient.json").read_text())
    assert len(result["curves"]["insertion"]) == 3


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "--agents"),
        (["--algo", "ppo"], "--agents"),
        (["--agents", "demo", "--env", "Dot-v0"], "either by --agents"),
        (["--agents", "demo", "--settings", "insertion:5"], "NAME.KEY"),
        (["--agents", "demo", "--settings", "insertoin.steps:5"], "did you mean 'insertion'"),
        (["--agents", "demo", "--explainers", "rize"], "did you mean 'rise'"),
        (["--agents", "demo", "--seeds", "-1"], "-1 is below 0"),
        (["--agents", "demo", "--backend", "dask"], "unknown backend"),
        (["--agents", "pp0:Dot-v0"], "did you mean 'ppo'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_in_a_grid_is_one_line(tmp_path, capsys, arguments, said):
    try:
        code = main(["evaluate", *arguments, "-o", str(tmp_path / "out")])
    except SystemExit as stopped:
        code = stopped.code
    message = capsys.readouterr().err.strip().splitlines()
    assert code == 2 and len(message) == 1 and said in message[0], message
    assert not (tmp_path / "out").exists()


def test_list_names_everything(capsys):
    assert main(["list"]) == 0
    shown = capsys.readouterr().out
    for name in (*EXPLAINERS, *METRICS, "ppo_lstm"):
        assert name in shown


@pytest.mark.parametrize(
    "name", ["demo", "explain", "collect", "fit", "evaluate", "report", "list"]
)
def test_help_shows_an_example(name, capsys):
    with pytest.raises(SystemExit) as stopped:
        main([name, "--help"])
    assert stopped.value.code == 0
    assert f"sb3-explain {name}" in capsys.readouterr().out.split("example:")[1]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"--algo": "poo"}, "did you mean 'ppo'"),
        ({"--env": "Dott-v0"}, "Dot"),
        ({"--env": "CartPole-v1"}, "CartPole-v1"),
        ({"-f": "nowhere"}, "no .zip 'nowhere': give --folder a .zip"),
        ({"--exp-id": "7"}, "7"),
        ({"-n": "many"}, "is no whole number"),
        ({"-n": "0"}, "0 is below 1"),
        ({"--n-evaluated": "0"}, "0 is below 1"),
        ({"--max-area": "-3"}, "is no number from 0 to 1"),
        ({"--epochs": "0"}, "at least 1"),
        ({"--learning-rate": "-1"}, "positive rate"),
        ({"--epsilon": "7"}, "is no number from 0 to 1"),
        ({"-o": __file__}, "choose another folder"),
        ({"--visionmask": "content:(0,0,99,99)"}, "does not lie inside"),
        ({"--visionmask": "colour:1"}, "unknown setting of visionmask"),
        ({"--training": "patience"}, "is no KEY:VALUE"),
        ({"--behavior": "gredy"}, "invalid choice"),
        ({"-n": "40"}, "cannot be split"),
        ({"--baseline": "blurr"}, "did you mean 'blur'"),
        ({"--network": "compat"}, "did you mean 'compact'"),
        ({"--metrics": "insertoin"}, "did you mean 'insertion'"),
        ({"--precision": "fp8"}, "unknown precision"),
        ({"--device": "cuda:9"}, "cuda"),
    ],
    ids=lambda value: "=".join(next(iter(value.items()))) if isinstance(value, dict) else "",
)
def test_a_mistake_is_one_line_and_exit_code_2(folder, tmp_path, capsys, change, said):
    arguments = {
        "--algo": "ppo", "--env": "Dot-v0", "-f": str(folder), "-o": str(tmp_path / "out"),
        "-n": "200", "--epochs": "1", "--max-per-episode": "20", "--n-evaluated": "1", **change,
    }  # fmt: skip
    flat = [part for pair in arguments.items() for part in pair]
    try:
        code = main(["explain", *flat, "--no-progress", "--no-render"])
    except SystemExit as stopped:
        code = stopped.code
    message = capsys.readouterr().err.strip().splitlines()
    assert code == 2
    assert said in message[-1] and not any("sb3-explain" in line for line in message[:-1]), message
    assert len(message) == 1 or change == {"-n": "40"}  # a first page came with a warning


def test_what_cannot_work_fails_before_the_long_steps(folder, tmp_path, capsys):
    of_a_quantity = ["--fit", "visionmask", "--metrics", "insertion", "value_preservation"]
    for wrong in (["--metrics", "insertoin"], ["--network", "compat"], of_a_quantity):
        assert main(command("explain", folder, tmp_path / "out", *wrong)) == 2
        assert not (tmp_path / "out").exists()
    capsys.readouterr()


def test_ctrl_c_names_what_is_kept(folder, tmp_path):
    """The process is interrupted while it collects, and goes on when called again."""
    output = tmp_path / "collected"
    arguments = command("collect", folder, output, "-n", "200000", "--max-per-episode", "40")
    # as in a terminal: a job in the background would inherit that interrupts are ignored
    script = tmp_path / "script.py"
    script.write_text(
        "import signal, sys, tests.toys\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from sb3_explain.cli import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    process = start_in_fork(script, arguments, tmp_path)
    states = output / "states"
    deadline = time.monotonic() + 120
    while not (states / "episode_000003").exists():
        assert process.is_alive() and time.monotonic() < deadline
        time.sleep(0.1)
    os.kill(process.pid, signal.SIGINT)
    process.join(60)
    message = (tmp_path / "err").read_text()
    assert process.exitcode == 130
    assert "Traceback" not in message
    assert str(output) in message.strip().splitlines()[-1]
    assert json.loads((states / "states.json").read_text())["seed"] == 0


def test_export_needs_the_folder_alone(folder, tmp_path, capsys):
    """Names and number of the files, and what is printed of them."""
    assert main(command("collect", folder, tmp_path, "-n", "60", "--max-per-episode", "20")) == 0
    asked = ["export", "-o", str(tmp_path), "--no-progress", "--explainer", "gradient"]
    capsys.readouterr()
    assert main([*asked, "--gif", "--frames", "--episode", "1", "--n-steps", "4"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("steps 16 to 19 of episode 1 (return ")
    assert (tmp_path / "video.gif").exists() and not (tmp_path / "video.mp4").exists()
    names = {path.name for path in (tmp_path / "frames").glob("*.npz")}
    assert names == {f"step_{step:06d}.npz" for step in range(16, 20)}
    assert f"B  {tmp_path / 'video.gif'}\n" in shown
    assert main([*asked, "--gif", "--episode", "9"]) == 2
    assert "there is no episode 9: the folder holds 0 to 2" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["why"], "--algo and --env (or -o with the folder of an earlier command) and --state"),
        (["why", "-o", "out"], "give --state"),
        (["explain"], "--algo and --env"),
        (["explain", "--algo", "ppo"], "give --env"),
        (["evaluate"], "or --agents"),
        (["export"], "--algo and --env (or -o with the folder of an earlier command)"),
        (["hub"], "push|pull"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_bare_command_names_what_it_needs_in_one_line(capsys, arguments, said):
    try:
        code = main(arguments)
    except SystemExit as stopped:
        code = stopped.code
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert code == 2 and said in line and f"sb3-explain {arguments[0]} --help" in line


def test_a_bare_call_shows_the_commands(capsys):
    with pytest.raises(SystemExit) as stopped:
        main([])
    assert stopped.value.code == 0
    assert "highlights" in capsys.readouterr().out


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_completion_knows_commands_and_flags(shell, capsys):
    pytest.importorskip("shtab")
    with pytest.raises(SystemExit) as stopped:
        main(["--print-completion", shell])
    assert stopped.value.code == 0
    shown = capsys.readouterr().out
    assert "highlights" in shown and "print-completion" in shown
    assert shell == "tcsh" or "--importance" in shown


def test_completion_without_shtab_is_one_line(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert main(["--print-completion", "bash"]) == 2
    assert capsys.readouterr().err == "sb3-explain: completion needs shtab: pip install shtab\n"


def test_an_interrupted_command_without_output(monkeypatch, capsys):
    def interrupted(options):
        raise KeyboardInterrupt

    monkeypatch.setattr("sb3_explain.cli.listing.run_list", interrupted)
    assert main(["list"]) == 130
    assert "interrupted" in capsys.readouterr().err


def test_an_agent_beside_another(folder, tmp_path, capsys):
    """By its output folder, which names the agent."""
    few = ["-n", "60", "--n-evaluated", "4", "--metrics", "sparseness", "--explainer", "gradient"]
    assert main(command("collect", folder, tmp_path / "other", "-n", "20")) == 0
    arguments = command("explain", folder, tmp_path / "this", *few)
    assert main([*arguments, "--beside", str(tmp_path / "other")]) == 0
    assert '"name": "other"' in (tmp_path / "this" / "report.html").read_text()
    assert main([*arguments, "--beside", str(tmp_path)]) == 2
    assert "is no output folder of another agent" in capsys.readouterr().err


def test_without_rendered_frames_the_pictures_show_what_the_agent_sees(folder, tmp_path):
    evaluated = ["--n-evaluated", "8", "--no-render", "--metrics", "accuracy"]
    assert main(command("explain", folder, tmp_path, *SMALL, *QUICK, *evaluated)) == 0
    page = (tmp_path / "report.html").read_text()
    assert '"rendered": null' in page and '"observed": {' in page


def test_states_that_were_trained_on_are_never_tested_on(folder, tmp_path, capsys):
    assert main(command("collect", folder, tmp_path, *SMALL)) == 0
    assert main(command("fit", folder, tmp_path, *QUICK)) == 0
    assert main(command("fit", folder, tmp_path, *QUICK)) == 0  # finds it
    assert main(command("fit", folder, tmp_path, *QUICK, "--epochs", "2")) == 2
    assert "of other settings, training or states" in capsys.readouterr().err
    assert main(command("evaluate", folder, tmp_path, "--seed", "1")) == 2
    assert "another split" in capsys.readouterr().err
    assert main(command("collect", folder, tmp_path, "-n", "300", "--max-per-episode", "10")) == 0
    assert main(command("evaluate", folder, tmp_path)) == 2
    assert "another split" in capsys.readouterr().err


def test_the_package_runs_as_a_module(monkeypatch, capsys):
    """sb3_explain/__main__.py"""
    monkeypatch.setattr(sys, "argv", ["sb3-explain", "list"])
    with pytest.raises(SystemExit) as stopped:
        runpy.run_module("sb3_explain.__main__", run_name="__main__")
    assert stopped.value.code == 0
    assert "visionmask" in capsys.readouterr().out
