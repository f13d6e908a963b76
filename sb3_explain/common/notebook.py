"""What a notebook shows of an object: tables in HTML, whose texts are escaped."""

from __future__ import annotations

import base64
import html
import inspect
from collections.abc import Mapping, Sequence


def write_facts(title: str, facts: Mapping[str, str], *, png: bytes | None = None) -> str:
    """Write facts as a table in HTML, with a picture under it.

    >>> from sb3_explain.common.notebook import write_facts
    >>> "<b>Agent</b>" in write_facts("Agent", {"algorithm": "ppo"})
    True

    :param title: what the facts are about
    :param facts: value of each fact by its name; empty values are left out
    :param png: content of a PNG file
    """
    rows = [(name, value) for name, value in facts.items() if value]
    picture = ""
    if png is not None:
        encoded = base64.b64encode(png).decode()
        picture = f'<img alt="{html.escape(title)}" src="data:image/png;base64,{encoded}">'
    return f"<b>{html.escape(title)}</b>{write_table((), rows) if rows else ''}{picture}"


def write_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Write a table in HTML.

    :param header: heads of the columns; none for no line of heads
    :param rows: texts of each row
    """
    heads = "".join(f"<th>{html.escape(text)}</th>" for text in header)
    lines = [
        "<tr>"
        + "".join(f'<td style="text-align:left">{html.escape(t)}</td>' for t in row)
        + "</tr>"
        for row in rows
    ]
    return f"<table>{f'<tr>{heads}</tr>' if header else ''}{''.join(lines)}</table>"


def read_summary(documented: object) -> str:
    """Return the first sentence of a class's or function's docstring, on one line."""
    paragraph = (inspect.getdoc(documented) or "").split("\n\n")[0]
    return " ".join(paragraph.split())
