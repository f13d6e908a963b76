"""The viewer as a widget of a notebook, by anywidget: in Jupyter, Colab, VS Code and marimo."""

from __future__ import annotations

from collections.abc import Sequence

import anywidget
import traitlets

from sb3_explain.report.page_template import join_styles, render_part
from sb3_explain.report.viewer.bundle import join_module
from sb3_explain.report.viewer.playback import Playback
from sb3_explain.report.viewer.write import describe_viewer, read_styles
from sb3_explain.report.wording import Wording


class PlaybackWidget(anywidget.AnyWidget):
    """Playbacks that a notebook plays.

    What is shown is that of a page: the description is JSON, and blobs are bytes by the names that
    it gives them. A saved notebook keeps both, so that it plays without a kernel.
    """

    _esm = join_module()
    description = traitlets.Unicode().tag(sync=True)
    blobs = traitlets.Dict().tag(sync=True)
    elements = traitlets.Unicode().tag(sync=True)
    styles = traitlets.Unicode().tag(sync=True)


def make_widget(playbacks: Sequence[Playback], wording: Wording) -> PlaybackWidget:
    """Make a widget of playbacks.

    :param playbacks: the first is played, others can be shown beside it
    :param wording: words for the kind of agent
    """
    description, blobs = describe_viewer(playbacks, wording)
    return PlaybackWidget(
        description=description,
        blobs=blobs,
        elements=render_part("viewer/viewer.html.j2"),
        styles=join_styles(read_styles()),
    )
