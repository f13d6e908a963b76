"""Templates of pages: one file, whose policy lets nothing in but what was written into it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sb3_explain.report.viewer.bundle import hash_of, join_scripts

if TYPE_CHECKING:
    from jinja2 import Environment

    from sb3_explain.report.siblings import Sibling

STYLE = Path(__file__).parent / "page.css"


def render_page(
    name: str,
    *,
    styles: Sequence[str] = (),
    scripts: Sequence[str] = (),
    asks: str = "",
    siblings: Sequence[Sibling] = (),
    **values: Any,
) -> str:
    """Render a page's template, which escapes all values.

    :param name: name of the template's file
    :param styles: further style sheets
    :param scripts: scripts, which run in this order; one that sorts tables when there are none
    :param asks: where the page may send requests: ``"'self'"`` for the server that it comes from,
        or an origin; nowhere when not given
    :param siblings: pages and pictures of the same folder, which the page links to
    :param values: what the template shows
    """
    from markupsafe import Markup

    style, scripts = join_styles(styles), scripts or [join_scripts("sorting.js")]
    return (
        make_environment()
        .get_template(name)
        .render(
            style=Markup(style),
            scripts=[Markup(script) for script in scripts],
            policy=make_policy(style, scripts, asks=asks),
            siblings=siblings,
            **values,
        )
    )


def render_part(name: str) -> str:
    """Render a template that needs no values.

    :param name: name of the template's file
    """
    return make_environment().get_template(name).render()


def make_environment() -> Environment:
    """Make the environment in which templates are rendered."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("sb3_explain.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.tests["mapping_like"] = lambda value: isinstance(value, Mapping)
    environment.tests["list_like"] = lambda value: isinstance(value, (list, tuple))
    return environment


def join_styles(styles: Sequence[str]) -> str:
    """Join the style sheet of all pages and further ones."""
    return "\n".join([STYLE.read_text(encoding="utf-8"), *styles])


def make_policy(style: str, scripts: Sequence[str], *, asks: str = "") -> str:
    """Return a content security policy: data URIs, and the texts given, by their hashes.

    :param style: the style sheet
    :param scripts: scripts
    :param asks: where the page may send requests, as :func:`render_page` takes it
    """
    allowed = {"img-src": "data:", "style-src": hash_of(style)}
    if scripts:
        allowed["script-src"] = " ".join(map(hash_of, scripts))
    if asks:
        allowed["connect-src"] = asks
    rules = [f"{kind} {sources}" for kind, sources in allowed.items()]
    return "; ".join(["default-src 'none'", *rules])
