"""Templates of pages: one file, whose policy lets nothing in but what was written into it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sb3_explain.report.viewer.bundle import hash_of

STYLE = Path(__file__).parent / "page.css"


def render_page(
    name: str,
    *,
    styles: Sequence[str] = (),
    scripts: Sequence[str] = (),
    asks: bool = False,
    **values: Any,
) -> str:
    """Render a page's template, which escapes all values.

    :param name: name of the template's file
    :param styles: further style sheets
    :param scripts: scripts, which run in this order
    :param asks: whether the page may ask the server that it comes from
    :param values: what the template shows
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=PackageLoader("sb3_explain.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.tests["mapping_like"] = lambda value: isinstance(value, Mapping)
    environment.tests["list_like"] = lambda value: isinstance(value, (list, tuple))
    style = join_styles(styles)
    return environment.get_template(name).render(
        style=Markup(style),
        scripts=[Markup(script) for script in scripts],
        policy=make_policy(style, scripts, asks=asks),
        **values,
    )


def join_styles(styles: Sequence[str]) -> str:
    """Join the style sheet of all pages and further ones."""
    return "\n".join([STYLE.read_text(encoding="utf-8"), *styles])


def make_policy(style: str, scripts: Sequence[str], *, asks: bool = False) -> str:
    """Return a content security policy: data URIs, and the texts given, by their hashes.

    :param style: the style sheet
    :param scripts: scripts
    :param asks: whether the page may ask the server that it comes from
    """
    allowed = {"img-src": "data:", "style-src": hash_of(style)}
    if scripts:
        allowed["script-src"] = " ".join(map(hash_of, scripts))
    if asks:
        allowed["connect-src"] = "'self'"
    rules = [f"{kind} {sources}" for kind, sources in allowed.items()]
    return "; ".join(["default-src 'none'", *rules])
