"""What a page needs to show playbacks: styles, scripts, a description and blobs."""

from __future__ import annotations

import base64
import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from sb3_explain.common.errors import ExplainError
from sb3_explain.report.viewer.bundle import UPLOT, UPLOT_STYLE, join_scripts
from sb3_explain.report.viewer.encode import Trust, describe_palette, describe_playback
from sb3_explain.report.viewer.playback import Playback
from sb3_explain.report.wording import SOFTMAX, Wording

STYLE = Path(__file__).parent / "viewer.css"
#: size of what the page carries, in MB, at most
LIMIT = 30
#: steps that a player shows in a second
FPS = 15


@dataclasses.dataclass(frozen=True)
class Viewer:
    """The parts of a page that shows playbacks; all empty where there are none.

    :param styles: style sheets
    :param scripts: scripts, which run in this order
    :param description: JSON, escaped for a page
    :param blobs: base64 by the name that the description gives it
    """

    styles: Sequence[str] = ()
    scripts: Sequence[str] = ()
    description: Any = ""
    blobs: Mapping[str, str] = dataclasses.field(default_factory=dict)


def write_viewer(
    playbacks: Sequence[Playback],
    wording: Wording,
    trust: Trust = MappingProxyType({}),
    *,
    start: int = 0,
) -> Viewer:
    """Write playbacks as the parts of a page.

    :param playbacks: the first is played, others can be shown beside it
    :param wording: words for the kind of agent
    :param trust: how far each explainer of the first playback can be trusted, as texts by its name
    :param start: position of the step that is shown first
    :raises ExplainError: if all this is too large for a page
    """
    if not playbacks:
        return Viewer()
    from markupsafe import Markup

    text, contents = describe_viewer(playbacks, wording, trust, start=start)
    blobs = {name: base64.b64encode(content).decode() for name, content in contents.items()}
    # in a script element, nothing may end the element
    return Viewer(
        read_styles(),
        [UPLOT.read_text(encoding="utf-8"), join_scripts()],
        Markup(text.replace("<", "\\u003c")),
        blobs,
    )


def describe_viewer(
    playbacks: Sequence[Playback],
    wording: Wording,
    trust: Trust = MappingProxyType({}),
    *,
    start: int = 0,
) -> tuple[str, dict[str, bytes]]:
    """Describe playbacks for a viewer: JSON, and the blobs by the names that it gives them.

    :param playbacks: playbacks as :func:`write_viewer` takes them
    :param wording: words for the kind of agent
    :param trust: how far each explainer can be trusted, as texts by its name
    :param start: position of the step that is shown first
    :raises ExplainError: if all this is too large for a page
    """
    blobs: dict[str, bytes] = {}

    def keep(content: bytes) -> str:
        name = f"blob-{len(blobs)}"
        blobs[name] = content
        return name

    # what was measured is of the first agent alone
    described = [
        describe_playback(one, keep, {} if number else trust)
        for number, one in enumerate(playbacks)
    ]
    size = sum(map(len, blobs.values())) * 4 / 3 / 2**20  # as base64
    if size > LIMIT:
        raise ExplainError(
            f"the page would take {size:.0f} MB, and {LIMIT} are the limit: play fewer steps "
            "(n_shown=, or n_steps= of view), explain one target (target=) or name fewer explainers"
        )
    description = {
        "format": 1,
        "fps": FPS,
        "start": start,
        "palette": describe_palette(),
        "words": describe_words(wording),
        "playbacks": described,
    }
    return json.dumps(description, allow_nan=False), blobs


def read_styles() -> list[str]:
    """Read the style sheets of a viewer, which a page's own comes before."""
    return [UPLOT_STYLE.read_text(encoding="utf-8"), STYLE.read_text(encoding="utf-8")]


def describe_words(wording: Wording) -> dict[str, Any]:
    """Return the words of a viewer for one kind of agent."""
    by_value = wording.measure == SOFTMAX
    return {
        "value": "value",
        "reward": "reward",
        "advantage": "advantage of the step: r + \N{GREEK SMALL LETTER GAMMA} V(s') - V(s)",
        "entropy": "entropy of the policy, in nats",
        "shares": wording.shares,
        "taken": "the dimension farthest out" if wording.continuous else "the action taken",
        "region": "this region",
        "continuous": wording.continuous,
        "best": "highest value" if by_value else "most probable",
        "best_action": "action of the highest value" if by_value else "most probable action",
    }
