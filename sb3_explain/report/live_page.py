"""The viewer's page of a store that is too large for one file: a server fills it on request."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from sb3_explain.report.page_template import join_styles, make_policy, render_page
from sb3_explain.report.viewer.bundle import HERE, UPLOT, UPLOT_STYLE, join_scripts
from sb3_explain.report.viewer.encode import describe_palette
from sb3_explain.report.viewer.write import FPS, STYLE, describe_words
from sb3_explain.report.wording import Wording

LIVE_STYLE = HERE / "live.css"


@dataclasses.dataclass(frozen=True)
class LivePage:
    """A page and the policy that it is served with.

    :param html: the page
    :param policy: content security policy
    """

    html: bytes
    policy: str


def write_live_page(
    wording: Wording, *, n_steps: int, title: str, provenance: Mapping[str, Any]
) -> LivePage:
    """Write the page that asks its server for episodes and maps.

    :param wording: words for the kind of agent
    :param n_steps: number of steps of a part of an episode
    :param title: title of the page
    :param provenance: plain data for the last section
    """
    from markupsafe import Markup

    styles = [path.read_text(encoding="utf-8") for path in (UPLOT_STYLE, STYLE, LIVE_STYLE)]
    scripts = [UPLOT.read_text(encoding="utf-8"), join_scripts("live.js")]
    description = {
        "fps": FPS,
        "n_steps": n_steps,
        "palette": describe_palette(),
        "words": describe_words(wording),
    }
    page = render_page(
        "viewer/live.html.j2",
        styles=styles,
        scripts=scripts,
        asks="'self'",
        description=Markup(json.dumps(description).replace("<", "\\u003c")),
        title=title,
        date="",
        provenance=provenance,
    )
    policy = make_policy(join_styles(styles), scripts, asks="'self'")
    return LivePage(page.encode(errors="backslashreplace"), f"{policy}; frame-ancestors 'none'")
