"""Atomic writes: whole or not there."""

import errno
import json

import pytest

from sb3_explain.common.errors import ExplainError
from sb3_explain.common.files import (
    atomic_folder,
    atomic_path,
    clear_temporary,
    read_json,
    write_json,
    writing_to,
)


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "new" / "file.txt"
    with atomic_path(path) as temporary:
        temporary.write_text("old")

    def fails() -> None:
        with atomic_path(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fails()
    assert path.read_text() == "old"
    assert [row.name for row in path.parent.iterdir()] == ["file.txt"]


def test_a_folder_is_whole_or_as_it_was(tmp_path):
    path = tmp_path / "new" / "folder"
    for content in ("old", "new"):
        with atomic_folder(path) as temporary:
            (temporary / "file.txt").write_text(content)
        assert (path / "file.txt").read_text() == content

    def fails() -> None:
        with atomic_folder(path) as temporary:
            (temporary / "file.txt").write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fails()
    assert (path / "file.txt").read_text() == "new"
    assert [row.name for row in path.parent.iterdir()] == ["folder"]


def test_what_killed_processes_left_is_deleted(tmp_path):
    (tmp_path / ".model.zip.17.tmp").write_text("half")
    (tmp_path / ".checkpoint-50.17.tmp").mkdir()
    for name in (".lock", "model.zip"):
        (tmp_path / name).write_text("stored")
    clear_temporary(tmp_path)
    assert {row.name for row in tmp_path.iterdir()} == {".lock", "model.zip"}


def test_json_has_null_for_nan(tmp_path):
    data = {"a": float("nan"), "b": [1.5, float("inf") * 0], 3: (True, None)}
    write_json(tmp_path / "x.json", data)
    assert json.loads((tmp_path / "x.json").read_text()) == {
        "a": None, "b": [1.5, None], "3": [True, None],
    }  # fmt: skip


@pytest.mark.parametrize("content", ["{", "[" * 100_000])
def test_damaged_json_is_one_line(tmp_path, content):
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(ExplainError, match="is damaged"):
        read_json(tmp_path / "x.json")
    with pytest.raises(ExplainError, match="does not exist"):
        read_json(tmp_path / "y.json")


@pytest.mark.parametrize(
    ("number", "said"), [(errno.ENOSPC, "disk is full"), (errno.EROFS, "cannot be written")]
)
def test_the_operating_system_s_no_is_told_in_one_line(tmp_path, number, said):
    with pytest.raises(ExplainError, match=said), writing_to(tmp_path):
        raise OSError(number, "no")
