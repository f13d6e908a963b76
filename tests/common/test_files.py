"""Atomic writes: whole or not there."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sb3_explain.common.errors import ExplainError
from sb3_explain.common.files import (
    atomic_folder,
    atomic_path,
    clear_temporary,
    sole_writer,
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


def test_an_earlier_folder_comes_back_where_the_new_one_cannot_be_put(tmp_path, monkeypatch):
    path = tmp_path / "folder"
    path.mkdir()
    (path / "file.txt").write_text("old")
    rename = Path.rename

    def refuse(self, target):
        if target == path and not self.name.endswith(".old.tmp"):
            raise OSError(errno.EIO, "no")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(ExplainError, match="cannot be written"), atomic_folder(path) as temporary:
        (temporary / "file.txt").write_text("new")
    assert (path / "file.txt").read_text() == "old"
    assert [row.name for row in tmp_path.iterdir()] == ["folder"]


def test_what_killed_processes_left_is_deleted(tmp_path):
    (tmp_path / ".model.zip.17.tmp").write_text("half")
    (tmp_path / ".checkpoint-50.17.tmp").mkdir()
    for name in (".lock", "model.zip"):
        (tmp_path / name).write_text("stored")
    clear_temporary(tmp_path)
    assert {row.name for row in tmp_path.iterdir()} == {".lock", "model.zip"}


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_the_next_write_deletes_what_a_killed_one_left(tmp_path, kind):
    killed = subprocess.Popen([sys.executable, "-c", ""])
    killed.wait()
    for name in (f"{killed.pid}.tmp", f"{killed.pid}.old.tmp", f"{os.getppid()}.tmp"):
        (tmp_path / f".out.{name}").mkdir()
    (tmp_path / f".other.{killed.pid}.tmp").write_text("of another file")
    if kind == "file":
        with atomic_path(tmp_path / "out") as temporary:
            temporary.write_text("new")
    else:
        with atomic_folder(tmp_path / "out") as temporary:
            (temporary / "file.txt").write_text("new")
    others = {f".out.{os.getppid()}.tmp", f".other.{killed.pid}.tmp"}
    assert {row.name for row in tmp_path.iterdir()} == {"out", *others}


def test_json_has_null_for_nan(tmp_path):
    data = {"a": float("nan"), "b": [1.5, float("inf") * 0], 3: (True, None)}
    write_json(tmp_path / "x.json", data)
    assert json.loads((tmp_path / "x.json").read_text()) == {
        "a": None, "b": [1.5, None], "3": [True, None],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("make", "said"), [(Path.mkdir, "a folder, not a file"), (os.mkfifo, "a pipe")]
)
def test_what_is_no_file_is_left_in_its_place(tmp_path, make, said):
    make(tmp_path / "states.json")
    with pytest.raises(ExplainError, match=said):
        write_json(tmp_path / "states.json", {})
    assert [path.name for path in tmp_path.iterdir()] == ["states.json"]


def test_a_lock_that_is_a_link_empties_no_file(tmp_path):
    (tmp_path / "mine").write_text("words")
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / ".lock").symlink_to(tmp_path / "mine")
    with pytest.raises(ExplainError, match="is a link"), sole_writer(tmp_path / "store"):
        pass
    assert (tmp_path / "mine").read_text() == "words"


def test_a_refusal_leaves_no_folder_that_was_not_there(tmp_path):
    with pytest.raises(ExplainError, match="no"), sole_writer(tmp_path / "a" / "b"):
        raise ExplainError("no")
    assert not list(tmp_path.iterdir())


def test_a_refusal_keeps_what_is_there(tmp_path):
    with pytest.raises(ExplainError, match="no"), sole_writer(tmp_path / "empty"):
        (tmp_path / "empty" / "written").write_text("words")
        raise ExplainError("no")
    assert (tmp_path / "empty" / "written").read_text() == "words"
    (tmp_path / "there").mkdir()
    with pytest.raises(ExplainError, match="no"), sole_writer(tmp_path / "there"):
        raise ExplainError("no")
    assert not list((tmp_path / "there").iterdir())


@pytest.mark.parametrize(
    ("number", "said"), [(errno.ENOSPC, "disk is full"), (errno.EROFS, "cannot be written")]
)
def test_the_operating_system_s_no_is_told_in_one_line(tmp_path, number, said):
    with pytest.raises(ExplainError, match=said), writing_to(tmp_path):
        raise OSError(number, "no")
