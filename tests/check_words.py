"""Finds the words of ``docs/words.toml``, for which the field has a better one: ``make words``.

In code whole identifiers count, or their parts (``n_cells`` has the parts ``n`` and ``cells``). In
strings, comments and pages an identifier is what stands in backticks or braces, has an underscore,
is an option of the command line, or is the whole string. Phrases count everywhere. The name of a
test is a sentence, of which phrases alone are looked for.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
TABLE = "docs/words.toml"
#: what is searched, below the root of the repository
PLACES = (
    "*.md", "sb3_explain/**/*.py", "sb3_explain/**/*.j2", "sb3_explain/**/*.yml", "docs/*.md",
    "docs/*.rst", "docs/*.py", "docs/_templates/**/*.rst", "tests/**/*.py", "examples/**/*.py",
    "benchmarks/**/*.py",
)  # fmt: skip
#: the old words stand where they are looked for, and where their change is told
SKIPPED = {"CHANGELOG.md", "tests/check_words.py", "tests/test_check_words.py"}
#: what a benchmark writes is no part of the repository
WRITTEN = "benchmarks/output/"

#: a comment or a string, or else a name
TOKEN = re.compile(
    r"""(?P<text>\#[^\n]*|[rbuf]{0,2}(?:\"{3}(?:\\.|[^\\])*?\"{3}|'{3}(?:\\.|[^\\])*?'{3}"""
    r"""|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'))|[A-Za-z_]\w*""",
    re.DOTALL | re.IGNORECASE,
)
IDENTIFIER = re.compile(r"[A-Za-z_]\w*")
PART = re.compile(r"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])")
#: identifiers in text, and spans of text that are code
TELLING = re.compile(r"--[a-z][a-z-]+|[A-Za-z]\w*_\w+")
SPAN = re.compile(r"(?<!`)`{1,2}[^`]+`{1,2}(?!`)|\{[^{}\n]+\}|^\w?\"[\w-]+\"$|^\w?'[\w-]+'$")
PYTHON = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)


class Hit(NamedTuple):
    """A word that should not be there.

    :param path: of the file, relative to the root of the repository
    :param line: counted from 1
    :param found: the identifier or the phrase as it stands there
    :param say: the field's word
    """

    path: str
    line: int
    found: str
    say: str


@dataclass
class Rule:
    """A row of the table, or one of its exceptions.

    :param say: the field's word; of an exception its reason
    :param where: patterns of the paths to which it applies
    :param names: whole identifiers; of an exception what is allowed, in lower case
    :param parts: parts of identifiers, in lower case
    :param phrases: what finds phrases in text of lower case
    :param line: what the line of an exception has to hold
    :param uses: how often an exception was needed
    """

    say: str
    where: list[str]
    names: set[str]
    parts: set[str] = field(default_factory=set)
    phrases: list[re.Pattern[str]] = field(default_factory=list)
    line: str = ""
    uses: int = 0

    def applies(self, path: str) -> bool:
        """Whether a file is one that the rule is for."""
        return any(fnmatch(path, pattern) for pattern in self.where)


class Table:
    """The rows of ``docs/words.toml`` and its exceptions.

    :param path: of the file
    """

    def __init__(self, path: Path) -> None:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
        self.rows = [
            Rule(
                row["say"],
                row.get("where", ["*"]),
                names=set(row.get("names", [])),
                parts=set(row.get("parts", [])),
                phrases=[phrase_pattern(phrase) for phrase in row.get("phrases", [])],
            )
            for row in content["word"]
        ]
        self.exceptions = [
            Rule(
                row["reason"],
                row.get("where", ["*"]),
                names={word.lower() for word in row["words"]},
                line=row.get("line", ""),
            )
            for row in content.get("exception", [])
        ]
        self._forbidding: dict[str, list[Rule]] = {}

    def forbidding(self, name: str) -> list[Rule]:
        """The rows that have an identifier, or one of its parts: n and cells of ``n_cells``."""
        if name not in self._forbidding:
            parts = {part.lower() for part in PART.findall(name)}
            self._forbidding[name] = [
                row for row in self.rows if name in row.names or not parts.isdisjoint(row.parts)
            ]
        return self._forbidding[name]


def phrase_pattern(phrase: str) -> re.Pattern[str]:
    """Finds a phrase, in lower case, over the end of a line and in the name of a test."""
    words = r"(?:[\s#]+|_)".join(re.escape(word) for word in phrase.split())
    return re.compile(words + r"(?![a-z0-9])")


def names_in_text(text: str, start: int = 0) -> Iterator[tuple[int, str]]:
    """(position, identifier) of what stands for code in a string, a comment or a page.

    :param text: the string with its quotes, the comment or the page
    :param start: its own position
    """
    for match in TELLING.finditer(text):
        yield start + match.start(), match[0].lstrip("-").replace("-", "_")
    for span in SPAN.finditer(text):
        for word in IDENTIFIER.finditer(span[0]):
            yield start + span.start() + word.start(), word[0]


def names_in_python(source: str, start: int = 0) -> Iterator[tuple[int, str]]:
    """(position, identifier) of code, of its strings and of its comments.

    :param source: code
    :param start: its own position
    """
    for token in TOKEN.finditer(source):
        if token["text"]:
            yield from names_in_text(token["text"], start + token.start())
        elif not token[0].startswith("test_"):
            yield start + token.start(), token[0]


def names_in_page(text: str) -> Iterator[tuple[int, str]]:
    """(position, identifier) of a page: of its text, and of its blocks of Python."""
    yield from names_in_text(text)
    for block in PYTHON.finditer(text):
        yield from names_in_python(block[1], block.start(1))


def phrases_in(text: str, rows: list[Rule]) -> Iterator[tuple[int, str, Rule]]:
    """(position, phrase, its row) of all phrases in a text."""
    lowered = text.lower()
    for row in rows:
        for pattern in row.phrases:
            for match in pattern.finditer(lowered):
                if not lowered[match.start() - 1 : match.start()].isalnum():
                    yield match.start(), " ".join(re.split(r"[\s#_]+", match[0])), row


def check_file(path: str, text: str, table: Table) -> list[Hit]:
    """The words of one file that should not be there, in the order of its lines.

    :param path: relative to the root of the repository
    :param text: what is in the file
    :param table: the ``uses`` of its exceptions are counted
    """
    names = names_in_python(text) if path.endswith(".py") else names_in_page(text)
    found = [(position, name, row) for position, name in names for row in table.forbidding(name)]
    found.extend(phrases_in(text, table.rows))
    lines = text.splitlines()
    hits = set()
    for position, word, row in found:
        if row.applies(path):
            number = text.count("\n", 0, position)
            allowing = [
                each
                for each in table.exceptions
                if not each.names.isdisjoint({word.lower(), "*"})
                and each.line in lines[number]
                and each.applies(path)
            ]
            for each in allowing:
                each.uses += 1
            if not allowing:
                hits.add(Hit(path, number + 1, word, row.say))
    return sorted(hits)


def check_tree(root: Path) -> tuple[list[Hit], list[Rule]]:
    """The words below a folder that should not be there, and the exceptions that nothing needs.

    :param root: with ``docs/words.toml`` and the folders that are searched
    """
    table = Table(root / TABLE)
    hits = []
    for path in sorted({path for place in PLACES for path in root.glob(place)}):
        name = path.relative_to(root).as_posix()
        if name not in SKIPPED and not name.startswith(WRITTEN):
            hits += check_file(name, path.read_text(encoding="utf-8"), table)
    return hits, [each for each in table.exceptions if not each.uses]


def main() -> int:
    """The whole repository: a line for each hit, their numbers at the end; 1 if there are any."""
    hits, idle = check_tree(ROOT)
    for hit in hits:
        print(f"{hit.path}:{hit.line}: {hit.found!r}: say {hit.say}")
    for each in idle:
        print(f"{TABLE}: nothing needs the exception for {sorted(each.names)}: {each.say}")
    for say, n in Counter(hit.say for hit in hits).most_common():
        print(f"{n:5} say {say}")
    return 1 if hits or idle else 0


if __name__ == "__main__":
    sys.exit(main())
