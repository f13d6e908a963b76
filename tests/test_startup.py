"""Start-up: nothing heavy is imported before it is used, and every public name is found."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import sb3_explain

HOST = {"stable_baselines3", "tensorboard", "torch"}
HEAVY = {
    "accelerate", "captum", "imageio", "jinja2", "matplotlib", "moviepy", "pandas", "scipy",
    "skimage", "zarr",
}  # fmt: skip
COMMAND = "from sb3_explain.cli import main\ntry: main({!r})\nexcept SystemExit: pass"


def imported_by(code: str) -> set[str]:
    """The packages that a fresh interpreter has imported after some code."""
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys\nprint('imported', *sys.modules)"],
        cwd=Path(__file__).parents[1], capture_output=True, text=True, check=True,
    )  # fmt: skip
    return {name.partition(".")[0] for name in done.stdout.splitlines()[-1].split()[1:]}


@pytest.mark.parametrize(
    "code",
    ["import sb3_explain"]
    + [COMMAND.format([word]) for word in ("--help", "--version", "explian")]
    + [COMMAND.format([])],
)
def test_the_package_and_the_words_about_commands_are_light(code):
    imported = imported_by(code)
    assert "sb3_explain" in imported
    assert not imported & (HOST | HEAVY)


@pytest.mark.parametrize(
    "code",
    [
        "from sb3_explain import Agent, VisionMask, collect, evaluate, load_agent",
        "from sb3_explain import EXPLAINERS; EXPLAINERS['gradient']",
    ],
)
def test_names_bring_what_they_need_only(code):
    # scikit-image's packages are there but empty until one of their functions is asked for
    imported = imported_by(code)
    assert "torch" in imported
    assert not imported & (HEAVY - {"skimage"})


@pytest.mark.parametrize("order", ["sb3_explain, gymnasium", "gymnasium, sb3_explain"])
def test_the_environments_are_registered_in_either_order(order):
    imported_by(f"import {order}\ngymnasium.spec('DMCGB/walker_walk-video_hard-v0')")


def test_every_public_name_loads_and_is_listed():
    assert set(sb3_explain.__all__) <= set(dir(sb3_explain))
    for name in sb3_explain.__all__:
        assert getattr(sb3_explain, name) is not None
    assert sb3_explain.collect.__name__ == "collect"


def test_type_checkers_see_the_same_names_from_the_same_modules():
    """The table that is used at run time, and the imports that only type checkers see."""
    source = Path(sb3_explain.__file__).read_text(encoding="utf-8")
    (block,) = [node for node in ast.parse(source).body if isinstance(node, ast.If)]
    seen = {
        alias.asname: statement.module
        for statement in block.body
        if isinstance(statement, ast.ImportFrom)
        for alias in statement.names
    }
    assert seen == {name: f"sb3_explain.{module}" for name, module in sb3_explain._MODULES.items()}


def test_a_name_that_does_not_exist():
    with pytest.raises(AttributeError, match=r"'Agnet'; did you mean 'Agent'\?"):
        sb3_explain.Agnet  # noqa: B018
    with pytest.raises(ImportError, match="Agnet"):
        from sb3_explain import Agnet  # noqa: F401


def test_a_name_that_was_renamed_is_answered_with_the_new_one():
    with pytest.raises(ImportError, match="REFERENCES is called BASELINES now"):
        from sb3_explain import REFERENCES  # noqa: F401
