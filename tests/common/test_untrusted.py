"""What every reader of untrusted files shares: limits, regular files, JSON, and one-line errors."""

import json
import os
import socket
import sys

import pytest

from sb3_explain.common.errors import MAX_CHARACTERS, ExplainError, make_printable
from sb3_explain.common.untrusted import (
    LIMIT_NAME,
    MAX_DEPTH,
    max_bytes,
    measure_depth,
    parse_json,
    quote,
    read_bounded,
    require_regular_file,
    require_within_limit,
)


@pytest.mark.parametrize(
    "text",
    [
        "two\nlines\r\nand\ta tab",
        "a\x1b[31mred\x00 null\x07 bell\x9b31m",
        "right\u202eto left\u2028line\u2029paragraph\x85next",
        os.fsdecode(b"caf\xe9.zip"),
        "x" * 10_000_000,
        "\x01" * 5_000_000,
        " " * 5_000_000 + "end",
        "\U000e0001tag\ufeffmark\u200b",
    ],
    ids=range(8),
)
def test_every_message_is_one_line_of_printable_characters(text):
    message = str(ExplainError(f"{text}: give another file"))
    assert message.isprintable() and len(message) <= MAX_CHARACTERS
    assert message.endswith("give another file")
    message.encode("utf-8")


def test_a_message_that_is_short_and_clean_stays_as_it_is():
    text = "unknown explainer 'rize'; did you mean 'rise'? (é, π, 漢)"
    assert str(ExplainError(text)) == text
    assert str(ExplainError("x" * MAX_CHARACTERS)) == "x" * MAX_CHARACTERS


def test_a_long_message_keeps_its_beginning_and_its_end():
    message = make_printable("begin " + "x" * 1000 + " end", 50)
    assert len(message) <= 50
    assert message.startswith("begin x") and message.endswith("x end")


LONG = {
    "text": "a" * 10**6,
    "control characters": "\n\x1b" * 999,
    "digits": 10**5000,
    "nested": [[["x" * 500] * 9] * 9] * 9,
}


@pytest.mark.parametrize("kind", LONG)
def test_quoted_values_are_short(kind):
    assert len(quote(LONG[kind])) <= 120 and quote(LONG[kind]).isprintable()


def test_the_limit_can_be_raised(monkeypatch):
    assert max_bytes() == 2**28
    with pytest.raises(ExplainError, match=rf"w\.zip would .* set {LIMIT_NAME}=300000000"):
        require_within_limit(300_000_000, "w.zip")
    monkeypatch.setenv(LIMIT_NAME, "300000000")
    require_within_limit(300_000_000, "w.zip")
    with pytest.raises(ExplainError, match=f"set {LIMIT_NAME}=300000004"):
        require_within_limit(75_000_001, "w.zip", share=1 / 4)


@pytest.mark.parametrize("text", ["", "0", "-1", "1e9", "many", "9" * 400, "1\n2", "٣"])
def test_a_limit_that_is_no_number_is_said(monkeypatch, text):
    monkeypatch.setenv(LIMIT_NAME, text)
    with pytest.raises(ExplainError, match=LIMIT_NAME):
        max_bytes()


def make_fifo(path):
    os.mkfifo(path)


def make_socket(path):
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(path))


@pytest.mark.skipif(sys.platform == "win32", reason="has no such files")
@pytest.mark.parametrize(
    "make",
    [
        make_fifo,
        make_socket,
        lambda path: path.mkdir(),
        lambda path: path.symlink_to("/dev/zero"),
        lambda path: path.symlink_to(path),
        lambda path: None,
    ],
    ids=["fifo", "socket", "folder", "device", "circle", "nothing"],
)
def test_what_is_no_regular_file_is_refused_at_once(tmp_path, monkeypatch, make):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "states.json"
    make(path)
    for read in (require_regular_file, lambda path: read_bounded(path, 10)):
        with pytest.raises(ExplainError, match=r"states\.json"):
            read(path)


@pytest.mark.parametrize("name", ["a\x00b", "x" * 5000])
def test_names_that_no_file_can_have_are_refused(tmp_path, name):
    with pytest.raises(ExplainError):
        require_regular_file(tmp_path / name)


def test_a_large_file_is_refused_before_it_is_read(tmp_path):
    with (tmp_path / "sparse.yml").open("wb") as file:
        file.truncate(60 * 2**30)
    with pytest.raises(ExplainError, match="larger than 1000 bytes"):
        read_bounded(tmp_path / "sparse.yml", 1000)


JSON = {
    "open": b"{",
    "bytes": b"\xff\xfe\x00",
    "deep lists": b"[" * 50_000 + b"]" * 50_000,
    "deeper than the reader": b"[" * 200 + b"]" * 200,
    "deep objects": b'{"a":' * 600 + b"1" + b"}" * 600,
    "many lists": b"[" + b"[]," * 2_100_000 + b"[]]",
    "digits": b"[" + b"9" * 5000 + b"]",
    "twice": b'{"a": {"b": 1, "c": 2, "b": 3}}',
}


@pytest.mark.parametrize("kind", JSON)
def test_json_that_nobody_writes_is_refused(kind):
    with pytest.raises(ExplainError, match=r"run\.json"):
        parse_json(JSON[kind], "run.json")


def test_json_is_read_as_python_reads_it():
    data = {"a": [1, 2.5, None, True, {"b": "x,[{:"}], "": {}, "é\n": [[]]}
    assert parse_json(json.dumps(data).encode(), "run.json") == data


def test_depth():
    assert [measure_depth(data) for data in (1, [], [1], {"a": [1, (2,)]})] == [0, 1, 1, 3]
    deep = []
    for _ in range(5000):
        deep = [deep]
    assert measure_depth(deep) == 5001 > MAX_DEPTH


def test_a_long_message_is_cut_between_words():
    names = [f"method_{number}" for number in range(100)]
    message = make_printable(f"unknown: {', '.join(names)}: give one of them", 200)
    assert len(message) <= 200
    beginning, end = message.split(" ... ")
    assert set(beginning.removeprefix("unknown: ").rstrip(",").split(", ")) <= set(names)
    assert end.endswith(": give one of them")
    assert set(end.removesuffix(": give one of them").split(", ")) <= set(names)
