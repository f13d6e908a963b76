"""The pictures of a study: the game, the game under a map, and the game with numbered regions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from sb3_explain.agents.observations import find_image
from sb3_explain.report.overlay import Frame, enlarge, lay_over
from sb3_explain.report.study.page import Scene
from sb3_explain.report.video import choose_factor
from sb3_explain.report.viewer.playback import bound_regions
from sb3_explain.workflows.pictures import get_pictures
from sb3_explain.workflows.removal import REGIONS
from sb3_explain.workflows.study.arms import Arms

#: approximate height of a picture in pixels, and of a region's number
HEIGHT, LETTERS = 420, 20
#: number of colors of a picture under a map, which makes its file small
COLORS = 128
BLACK, YELLOW = (0, 0, 0), (255, 221, 51)


def draw_scenes(
    arms: Arms,
    positions: NDArray[np.int64],
    letters: Mapping[str, str],
    words: Sequence[str],
    regions: Sequence[Sequence[int]] = (),
) -> tuple[list[Scene], set[str]]:
    """Draw the pictures of states.

    :param arms: what makes the maps
    :param positions: (n,) positions of the states
    :param letters: letter of each arm by its name
    :param words: words for what the agent does in each state
    :param regions: regions of each state in the order of their numbers, empty for none
    :return: the pictures, and the letters of the arms whose maps have a sign
    """
    if not len(positions):
        return [], set()
    agent, states = arms.agent, arms.states
    image = find_image(agent)
    assert image is not None
    frames = get_pictures(states, positions, agent, image)
    earlier = np.maximum(positions - max(1, agent.n_stack - 1), 0)
    starts = states.episode[earlier] != states.episode[positions]
    before = get_pictures(states, earlier, agent, image)
    drawn = arms.attribute(positions)
    signed = {name for name, each in drawn.items() if (each < 0).any()}
    factor = choose_factor(frames.shape[1], HEIGHT)
    scenes = []
    for row in range(len(positions)):
        game = enlarge(frames[row], factor)
        under = {
            letters[name]: reduce_colors(lay_over(game, each[row], signed=name in signed))
            for name, each in drawn.items()
        }
        asked = regions[row] if regions else ()
        scenes.append(
            Scene(
                now=game,
                before=None
                if starts[row] or earlier[row] == positions[row]
                else (enlarge(before[row], factor)),
                overlays=under,
                numbered=number_regions(game, asked) if len(asked) else None,
                action=words[row],
            )
        )
    return scenes, {letters[name] for name in signed}


def reduce_colors(picture: Frame) -> Frame:
    """Return a picture in :data:`COLORS` colors, which hardly shows."""
    return np.asarray(Image.fromarray(picture).quantize(COLORS).convert("RGB"))


def number_regions(game: Frame, regions: Sequence[int]) -> Frame:
    """Draw the outlines of regions with their numbers, from 1, inside of a corner.

    :param game: (h, w, 3) the game
    :param regions: numbers of regions of the grid, row after row
    """
    picture = Image.fromarray(game)
    draw = ImageDraw.Draw(picture)
    font: Any = ImageFont.load_default(LETTERS)
    rows, columns = (bound_regions(size, REGIONS) for size in game.shape[:2])
    for region in regions:
        row, column = divmod(region, REGIONS)
        box = [columns[column], rows[row], columns[column + 1] - 1, rows[row + 1] - 1]
        draw.rectangle(box, outline=BLACK, width=4)
        draw.rectangle(box, outline=YELLOW, width=2)
    # numbers lie over all outlines
    for number, region in enumerate(regions, start=1):
        row, column = divmod(region, REGIONS)
        left, top = int(columns[column]), int(rows[row])
        width = draw.textlength(str(number), font=font) + 6
        draw.rectangle([left, top, left + width, top + LETTERS], fill=YELLOW)
        draw.text((left + 3, top - 2), str(number), font=font, fill=BLACK)
    return np.asarray(picture)
