"""A warning for whatever a built page would fetch from the network: the site opens offline."""

from __future__ import annotations

import re
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.util import logging

logger = logging.getLogger(__name__)

#: what a browser fetches by itself when it opens a page; links are for the reader to follow
FETCHED = re.compile(
    r"""<(?:script|img|iframe|video|audio|source|embed|link(?=[^>]*rel="(?:stylesheet|preload|icon)))"""
    r"""[^>]*?(?:src|href)="((?:https?:)?//[^"]*)"|@import\s+(?:url\()?["']?((?:https?:)?//[^"')]*)"""
    r"""|url\(["']?((?:https?:)?//[^"')]*)""",
    re.IGNORECASE,
)


def find_fetched(text: str) -> list[str]:
    """List the addresses that a page or a style sheet fetches from elsewhere.

    :param text: HTML or CSS
    """
    return [next(filter(None, found)) for found in FETCHED.findall(text)]


def check(app: Sphinx, exception: Exception | None) -> None:
    """Warn of each page and style sheet that needs the network."""
    if exception is not None or app.builder.format != "html":
        return
    for path in sorted(Path(app.outdir).rglob("*")):
        if path.suffix in (".html", ".css"):
            for address in find_fetched(path.read_text(encoding="utf-8")):
                logger.warning(
                    "%s fetches %s: keep a copy in docs/_static",
                    path.relative_to(app.outdir), address,
                )  # fmt: skip


def setup(app: Sphinx) -> dict[str, bool]:
    """Check what was built."""
    app.connect("build-finished", check)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
