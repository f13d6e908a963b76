"""Draw every explainer's attributions of a picture, a vector, a board and a Dict on one sheet.

The agents are small and untrained: the sheet shows how attributions are drawn, not what agents
attend to. Run it with the root of the repository as the working folder::

    python -m benchmarks.draw_contact_sheet
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from sb3_explain import EXPLAINERS, Agent, StateDataset
from sb3_explain.explainers.showing import Look, describe_target, list_panels
from sb3_explain.report.captions import load_font, truncate
from sb3_explain.report.explanation_figure import explanation_figure
from tests.agents.reading import random_states, row_reader
from tests.explainers.kinds import agent_of, quick, states_of

SHEET = Path(__file__).parents[1] / "docs" / "images" / "contact_sheet.png"
DPI = 72
LABEL, HEAD = 150, 28
#: heading -> width of its column in pixels
COLUMNS = {"picture": 255, "vector": 410, "board": 255, "Dict of picture and vector": 660}
ROW = 235


def make_cases() -> dict[str, tuple[Agent, StateDataset]]:
    """Make the agents, and states of each to fit explainers on."""
    board = row_reader()
    return {
        "picture": (agent_of("image"), states_of("image")),
        "vector": (agent_of("vector"), states_of("vector")),
        "board": (board, random_states(board)),
        "Dict of picture and vector": (agent_of("image and vector"), states_of("image and vector")),
    }


def make_observation(kind: str, agent: Agent, states: StateDataset) -> Any:
    """Make an observation of which a person sees what is where: pictures hold a bright square."""
    observed = states.observations([0])
    by_key = observed if isinstance(observed, dict) else {"": observed}
    for key in agent.layout.pictures:
        picture = by_key[key].clone()
        height, width = picture.shape[-2:]
        ramp = np.linspace(20, 90, width)[None].repeat(height, axis=0)
        ramp[height // 5 : height // 2, width // 4 : width // 2] = 230
        picture[:] = picture.new_tensor(ramp)
        by_key = {**by_key, key: picture}
    return by_key.get("", by_key)


def draw_case(name: str, kind: str, agent: Agent, states: StateDataset) -> Image.Image:
    """Draw what one explainer says of one observation, or why it says nothing."""
    size = (COLUMNS[kind], ROW)
    tile = Image.new("RGB", size, "white")
    pen, face = ImageDraw.Draw(tile), load_font(12)
    reason = EXPLAINERS[name].unsupported(agent)
    if reason is not None:
        pen.text((8, 8), truncate("not supported:", face, size[0] - 12), font=face, fill="gray")
        for line, words in enumerate(_wrap(reason, face, size[0] - 16)):
            pen.text((8, 26 + 16 * line), words, font=face, fill="gray")
        return tile
    # as many sets as determine the values of a board's 81 features
    settings = {"n_samples": 200} if name == "kernel_shap" else {}
    explainer = quick(name, agent, states, **settings)
    batch = explainer.read_batch(make_observation(kind, agent, states))
    panels = list_panels(
        batch, explainer.attribute_batch(batch), 0, Look(), heading=describe_target(batch, 0)
    )
    measure = "mask" if explainer.gives_masks else "attribution"
    shown = explanation_figure([panels], measure=measure).image(DPI)
    shown.thumbnail(size, Image.Resampling.LANCZOS)
    tile.paste(shown)
    return tile


def _wrap(text: str, face: Any, width: float) -> list[str]:
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        lines = [*lines[:-1], longer] if face.getlength(longer) <= width else [*lines, word]
    return lines


def draw_sheet() -> Image.Image:
    """Draw the whole sheet."""
    cases = make_cases()
    sheet = Image.new("RGB", (LABEL + sum(COLUMNS.values()), HEAD + ROW * len(EXPLAINERS)), "white")
    pen = ImageDraw.Draw(sheet)
    lefts = LABEL + np.cumsum([0, *COLUMNS.values()])
    for kind, left in zip(COLUMNS, lefts, strict=False):
        pen.text((left + 4, 6), kind, font=load_font(13, bold=True), fill="black")
    for row, name in enumerate(EXPLAINERS):
        if name == "sgqn":  # it explains agents that were trained with SGQN alone
            cases["picture"] = (agent_of("sgqn"), states_of("sgqn"))
        elif cases["picture"][0] is agent_of("sgqn"):
            cases = make_cases()
        top = HEAD + ROW * row
        pen.line((0, top, sheet.width, top), fill="lightgray")
        pen.text(
            (4, top + 8), truncate(name, load_font(13), LABEL - 8), font=load_font(13), fill="black"
        )
        for (kind, (agent, states)), left in zip(cases.items(), lefts, strict=False):
            sheet.paste(draw_case(name, kind, agent, states), (int(left), top + 2))
        print(name, flush=True)
    return sheet


if __name__ == "__main__":
    # A palette is a quarter of the size, and these pictures have few colors.
    draw_sheet().quantize(128, dither=Image.Dither.NONE).save(SHEET, optimize=True)
