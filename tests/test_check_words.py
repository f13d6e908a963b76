"""The check of the words finds what is planted, and lets exceptions pass."""

import subprocess
import sys

import pytest

from tests.check_words import ROOT, Hit, Table, check_file, check_tree

TABLE = """
[[word]]
say = "pixels"
names = ["dots"]
parts = ["cells"]
phrases = ["state of the dots"]

[[word]]
say = "steps"
where = ["docs/*"]
parts = ["moments"]

[[exception]]
words = ["stem_cells"]
line = "import"
where = ["sb3_explain/*"]
reason = "biology's"
"""


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "docs" / "words.toml"
    path.parent.mkdir()
    path.write_text(TABLE)
    return Table(path)


def found(table, text, path="sb3_explain/module.py"):
    """(line, word) of all hits."""
    return [(hit.line, hit.found) for hit in check_file(path, text, table)]


def test_names_and_their_parts_in_code(table):
    code = "dots = 1\ndotsy = n_cells = 2\nclass CellsOfMaps: ...\nx.to_cells(dots=3)\n"
    assert found(table, code) == [
        (1, "dots"), (2, "n_cells"), (3, "CellsOfMaps"), (4, "dots"), (4, "to_cells"),
    ]  # fmt: skip
    assert found(table, "cellular = excells = DOTS = dot_s = 1\n") == []


@pytest.mark.parametrize(
    "text",
    ['"dots"', "'''Of ``dots``.'''", 'f"{dots}"', '"give --n-cells"', '"in n_cells"', "# `dots`"],
)
def test_text_that_stands_for_code(table, text):
    assert len(found(table, f"\nx = 1; {text}\n")) == 1


def test_prose_may_have_words_that_names_may_not(table):
    assert found(table, '"""The dots and the cells."""\nx = "the cells"  # dots\n') == []


def test_phrases_in_docstrings_go_over_lines(table):
    code = 'def f():\n    """Of the State\n    of the dots.\n    """\n# the state of\n# the dots\n'
    assert found(table, code) == [(2, "state of the dots"), (5, "state of the dots")]
    assert found(table, '"""A restate of the dots; the state of the dotsy."""\n') == []


def test_the_name_of_a_test_is_a_sentence(table):
    assert found(table, "def test_all_cells_are_dots(): ...\n") == []
    assert found(table, "def test_the_state_of_the_dots(): ...\n") == [(1, "state of the dots")]


def test_pages_have_text_and_code(table):
    page = "The dots: `dots`.\n\n```python\nx = 1\nn = cells  # the dots\n```\n\nThe n_cells.\n"
    assert found(table, page, "docs/page.md") == [(1, "dots"), (5, "cells"), (8, "n_cells")]


def test_rows_may_be_for_some_paths(table):
    assert found(table, "moments = 1\n") == []
    assert found(table, "moments = 1\n", "docs/conf.py") == [(1, "moments")]


def test_exceptions_are_for_their_paths_and_lines(table):
    code = "from biology import stem_cells\nstem_cells()\n"
    assert found(table, code) == [(2, "stem_cells")]
    assert table.exceptions[0].uses == 1
    assert found(table, code, "tests/test_x.py") == [(1, "stem_cells"), (2, "stem_cells")]


def test_an_exception_of_all_words(tmp_path, table):
    text = TABLE.replace('"stem_cells"', '"*"').replace('line = "import"\n', "")
    (tmp_path / "words.toml").write_text(text)
    every = Table(tmp_path / "words.toml")
    assert found(every, "dots = n_cells = 1  # the state of the dots\n") == []
    assert found(every, "dots = 1\n", "tests/test_x.py") == [(1, "dots")]


def test_an_exception_needs_a_reason(tmp_path):
    (tmp_path / "words.toml").write_text(TABLE.replace('reason = "biology\'s"', ""))
    with pytest.raises(KeyError, match="reason"):
        Table(tmp_path / "words.toml")


def test_a_tree_is_searched_and_idle_exceptions_are_told(tmp_path, table):
    (tmp_path / "sb3_explain" / "room").mkdir(parents=True)
    (tmp_path / "sb3_explain" / "room" / "new.py").write_text("dots = 1\n")
    (tmp_path / "docs" / "page.md").write_text("`dots`\n")
    (tmp_path / "CHANGELOG.md").write_text("`dots` are pixels now\n")
    hits, idle = check_tree(tmp_path)
    assert hits == [
        Hit("docs/page.md", 1, "dots", "pixels"),
        Hit("sb3_explain/room/new.py", 1, "dots", "pixels"),
    ]
    assert [each.say for each in idle] == ["biology's"]


def test_the_command_says_where(tmp_path, table):
    (tmp_path / "README.md").write_text("\n`dots`\n")
    command = "import sys; from pathlib import Path; from tests import check_words as c\n"
    command += "c.ROOT = Path(sys.argv[1]); sys.exit(c.main())"
    done = subprocess.run(
        [sys.executable, "-c", command, str(tmp_path)], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 1, done.stderr
    assert "README.md:2: 'dots': say pixels\n" in done.stdout
    assert "nothing needs the exception for ['stem_cells']" in done.stdout
