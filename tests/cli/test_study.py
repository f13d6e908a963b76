"""``sb3-explain study``: from an agent in the zoo's layout to the page of results."""

from pathlib import Path

import pytest

from sb3_explain.cli import main
from sb3_explain.workflows.study.simulation import write_simulated
from tests.cli.zoo_agent import save_dot


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output folder of a study of a small agent of pictures."""
    folder = tmp_path_factory.mktemp("logs")
    save_dot(folder)
    output = tmp_path_factory.mktemp("out")
    given = ["--algo", "ppo", "--env", "Dot-v0", "-f", str(folder), "-o", str(output)]
    asked = ["--explainer", "gradient", "--n-states", "4", "--n-played", "300", "--no-progress"]
    assert main(["study", "export", *given, *asked]) == 0
    return output


def test_from_the_page_to_the_results(exported, tmp_path, capsys):
    paths = write_simulated(exported, tmp_path / "answers", 12, {"gradient": 0.3})
    assert len(paths) == 12
    assert main(["study", "analyze", "-o", str(exported), str(tmp_path / "answers")]) == 0
    shown = capsys.readouterr().out
    assert "By the map of Plain gradient, predictions" in shown and "results.html" in shown
    names = {each.name for each in (exported / "study").iterdir()}
    assert {"study.html", "plan.json", "key.csv", "results.html", "results.csv"} <= names
    assert (exported / "agent.json").exists()


def test_power_needs_no_agent(capsys):
    assert main(["study", "power", "--participants", "20", "--n-states", "8"]) == 0
    shown = capsys.readouterr()
    assert shown.out.startswith("power 0.") and not shown.err


@pytest.mark.parametrize("words", [[], ["analyse"], ["power"], ["expert"]])
def test_what_is_missing_is_said(words, capsys):
    with pytest.raises(SystemExit):
        main(["study", *words])
    assert "study" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["export", "--words", "left"], "give ACTION:WORDS"),
        (["analyse", "missing.json"], "missing.json does not exist"),
        (["power", "--participants", "1"], "--participants 1: give a whole number of at least 2"),
        (["export", "--n-states", "500"], "ask for fewer (--n-states"),
    ],
)
def test_mistakes_are_one_line(exported, words, said, capsys):
    output = [] if words[0] == "power" else ["-o", str(exported), "--no-progress"]
    assert main(["study", *words, *output]) == 2
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert line.startswith("sb3-explain: ") and said in line
