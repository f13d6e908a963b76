"""study.html: what participants see and are asked, in one file that opens offline.

It holds no truth: the questions are given without their right answers, arms by letters.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sb3_explain.report.overlay import Frame
from sb3_explain.report.page import encode_data_uri
from sb3_explain.report.page_template import render_page
from sb3_explain.report.target_attributions import encode_png
from sb3_explain.report.viewer.bundle import join_scripts

HERE = Path(__file__).parent
SCRIPTS = HERE / "js"
VENDOR = HERE / "vendor"
#: jsPsych and its plugin of questions with buttons, in the order in which they run
LIBRARIES = ("jspsych-8.3.0.min.js", "jspsych-plugin-html-button-response-2.1.0.min.js")
_SOURCE_MAP = re.compile(r"^//# sourceMappingURL=.*\n?", re.MULTILINE)

CONSENT = (
    "You are asked to take part in a study of pictures that explain what an artificial player of "
    "a game does. It takes about {minutes} minutes.",
    "Taking part is voluntary. You may stop at any time by closing this window; nothing is saved "
    "or sent then.",
    "No name, no address and no other personal data are asked for or stored: only your answers, "
    "how long each took, and a random number in place of your name.",
    "At the end you save your answers to a file{sending}.",
)
INSTRUCTIONS = (
    "You will see moments of a game that an artificial agent plays, and be asked what it does "
    "next. A small picture shows the moment before, where there is one.",
    "Sometimes a map lies over the picture. It is meant to show what matters to the agent. Maps "
    "come from different sources, and not all of them are good: use what helps you.",
    "There is no time limit, and nobody knows all answers: please answer each question as well "
    "as you can. The keys Tab and Enter work as well as the mouse.",
)


@dataclasses.dataclass(frozen=True)
class Scene:
    """Pictures of one state.

    :param now: (h, w, 3) the game
    :param before: the game a moment before; ``None`` at the start of an episode
    :param overlays: the game under the map of each arm that has one, by the arm's letter
    :param numbered: the game with numbered regions; ``None`` for a state without
    :param action: words for what the agent does, where it is shown
    """

    now: Frame
    before: Frame | None
    overlays: Mapping[str, Frame]
    numbered: Frame | None = None
    action: str = ""


@dataclasses.dataclass(frozen=True)
class PageQuestion:
    """A question as the page asks it, without its answer.

    :param name: name of the question
    :param task: ``"predict"``, ``"region"``, ``"opinion"``, ``"agent"`` or ``"check"``
    :param options: words of the buttons
    :param arms: letter of each group's arm; ``None`` for a group that is not asked
    :param scene: pictures of its state; ``None`` for a check
    :param after: name of the question of the same state that it follows
    :param text: words of a check
    """

    name: str
    task: str
    options: Sequence[str]
    arms: Sequence[str | None]
    scene: Scene | None = None
    after: str = ""
    text: str = ""


class Pictures:
    """The pictures of a page by their names, each once."""

    def __init__(self) -> None:
        self.by_name: dict[str, str] = {}
        self._names: dict[str, str] = {}

    def add(self, picture: Frame | None) -> str | None:
        """Add a picture, and return its name."""
        if picture is None:
            return None
        source = encode_data_uri(encode_png(picture), "image/png")
        if source not in self._names:
            self._names[source] = f"p{len(self._names)}"
            self.by_name[self._names[source]] = source
        return self._names[source]


def describe_scene(scene: Scene, pictures: Pictures, *, acts: bool) -> dict[str, Any]:
    """Describe the pictures of a state in plain data.

    :param scene: the pictures
    :param pictures: where they are added
    :param acts: whether the page says what the agent does
    """
    described: dict[str, Any] = {
        "now": pictures.add(scene.now),
        "before": pictures.add(scene.before),
        "overlays": {letter: pictures.add(each) for letter, each in scene.overlays.items()},
    }
    if scene.numbered is not None:
        described["numbered"] = pictures.add(scene.numbered)
    return described | ({"action": scene.action} if acts else {})


def write_study_page(
    *,
    study: str,
    title: str,
    questions: Sequence[PageQuestion],
    groups: int,
    signed: Sequence[str] = (),
    examples: Sequence[Sequence[Scene]] = (),
    about: str = "",
    post: str = "",
) -> str:
    """Write the page.

    :param study: hash of the study's plan, which the answers carry
    :param title: title of the page
    :param questions: all questions
    :param groups: number of groups, of which a participant is drawn into one
    :param signed: letters of the arms whose maps have a sign
    :param examples: scenes of each of two agents, for questions which of them acts
    :param about: what participants should know of the game, before the instructions
    :param post: address that answers are sent to; only saved when not given
    """
    from markupsafe import Markup

    pictures = Pictures()
    asked = []
    for one in questions:
        described: dict[str, Any] = {
            "name": one.name,
            "task": one.task,
            "options": list(one.options),
        }
        described |= {"arms": list(one.arms), "after": one.after, "text": one.text}
        if one.scene is not None:
            acts = one.task in ("opinion", "agent")
            described |= describe_scene(one.scene, pictures, acts=acts)
        asked.append(described)
    shown = [[describe_scene(one, pictures, acts=True) for one in row] for row in examples]
    longest = max(count_steps(questions, group) for group in range(groups))
    sending = ", and they are sent to whoever runs the study" if post else ""
    description = {
        "id": study,
        "groups": groups,
        "signed": list(signed),
        "consent": [
            text.format(minutes=max(2, round(longest / 5)), sending=sending) for text in CONSENT
        ],
        "instructions": [*([about] if about else []), *INSTRUCTIONS],
        "questions": asked,
        "examples": shown,
        "pictures": pictures.by_name,
        "post": post,
    }
    return render_page(
        "study/study.html.j2",
        styles=[(HERE / "study.css").read_text(encoding="utf-8")],
        scripts=[*map(read_library, LIBRARIES), join_scripts("study.js", SCRIPTS)],
        asks=find_origin(post),
        title=title,
        description=Markup(json.dumps(description).replace("<", "\\u003c")),
    )


def read_library(name: str) -> str:
    """Read a library without the address of its source map, which developer tools would fetch."""
    return _SOURCE_MAP.sub("", (VENDOR / name).read_text(encoding="utf-8"))


def count_steps(questions: Sequence[PageQuestion], group: int) -> int:
    """Count what a participant of a group clicks: four times for a prediction, else once."""
    asked = (one for one in questions if one.task == "check" or one.arms[group] is not None)
    return sum(4 if one.task == "predict" else 1 for one in asked)


def find_origin(address: str) -> str:
    """Return the origin of an address, which the page's policy lets it send to."""
    return "/".join(address.split("/")[:3])
