"""``push_space``: the page of an agent as a static Space of the Hugging Face Hub."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from urllib.parse import unquote

import yaml

from sb3_explain.agents.loading.hub import Repository
from sb3_explain.common.errors import ExplainError, make_printable
from sb3_explain.common.signatures import check_arguments
from sb3_explain.report.measured import read_metrics
from sb3_explain.report.page import make_title
from sb3_explain.report.siblings import list_siblings

#: number of characters of a title, at most
TITLE = 100

_TEXT = """---
{header}---

# {title}

What an agent of Stable-Baselines3 does, what it attends to, and how far that can be trusted: a page
that [sb3_explain](https://pypi.org/project/sb3-explain/) wrote. It is one file, `index.html`, which
opens without a network, too.
"""


@check_arguments
def push_space(
    output: str | Path,
    repo_id: str,
    *,
    private: bool = False,
    revision: str | None = None,
    token: str | None = None,
) -> str:
    """Upload the page of an output folder as a static Space, in one commit.

    >>> from sb3_explain import push_space
    >>> push_space(folder, "somebody/pong")
    Traceback (most recent call last):
    sb3_explain.common.errors.ExplainError: ... holds no report.html yet: ...

    :param output: folder of :func:`explain`
    :param repo_id: ``organization/name`` of the Space, which is created if it does not exist
    :param private: whether a Space that is created is private
    :param revision: branch to commit to; the main branch when not given
    :param token: access token of an account; that of the logged-in account when not given
    :return: address of the Space
    :raises ExplainError: if there is no page, or if the upload fails for lack of a network, a token
        or a permission
    """
    page, measured = Path(output) / "report.html", Path(output) / "metrics.json"
    if not page.is_file():
        raise ExplainError(f"{output} holds no report.html yet: run `sb3-explain explain` first")
    repository = Repository(repo_id, revision, token, space_sdk="static")
    title = make_title(read_metrics(measured).get("agent") or {}) if measured.exists() else "agent"
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        copy_pages(page, folder)
        (folder / "README.md").write_text(write_space_card(title), encoding="utf-8")
        commit = repository.upload(folder, "Add the page", private=private)
    return commit.partition("/commit/")[0]


def copy_pages(page: Path, folder: Path) -> None:
    """Copy a page, as ``index.html``, and the files beside it that it links to.

    :param page: path of the page
    :param folder: folder to copy into
    """
    shutil.copyfile(page, folder / "index.html")
    text = page.read_text(encoding="utf-8")
    for one in list_siblings(page):
        if not one.address or f'<a href="{one.address}">' not in text:
            continue
        copied = folder / unquote(one.address)
        copied.parent.mkdir(exist_ok=True)
        shutil.copyfile(page.parent / unquote(one.address), copied)
        if copied.suffix == ".html":
            other = copied.read_text(encoding="utf-8")
            back = f'<a href="{page.name}">'
            copied.write_text(other.replace(back, '<a href="index.html">'), encoding="utf-8")


def write_space_card(title: str) -> str:
    """Return the content of ``README.md``, whose header says that the Space is a page.

    :param title: what the page is about, which may hold any text
    """
    title = make_printable(title, TITLE)
    header = {
        "title": title,
        "emoji": "\N{LEFT-POINTING MAGNIFYING GLASS}",
        "sdk": "static",
        "tags": ["sb3_explain", "stable-baselines3", "explainability", "reinforcement-learning"],
    }
    return _TEXT.format(header=yaml.safe_dump(header, sort_keys=False), title=title)
