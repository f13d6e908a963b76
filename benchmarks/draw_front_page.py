"""Draw what a reader sees first: the moving picture of the README, and the quickstart's pictures.

The README shows the first picture of the quickstart, whose code is the same.

Run it with the root of the repository as the working folder::

    python -m benchmarks.draw_front_page
"""

from __future__ import annotations

import tempfile
from itertools import islice
from pathlib import Path

from PIL import Image

from benchmarks.draw_how_to import draw_page, make_palette
from sb3_explain import demo_agent, play
from sb3_explain.report.video import read_frames
from tests.pages import ROOT

MOVING = ROOT / "docs" / "images" / "episode.gif"
#: steps of the episode that are shown: the agent returns the ball, and scores
FIRST, LAST = 140, 212
#: pixels, and number of colors of the palette
WIDTH, COLORS = 560, 160
#: a frame stands for so many milliseconds
DURATION = 110


def draw_episode() -> list[Image.Image]:
    """Play an episode of the demo agent, and return its frames with what speaks for each action."""
    with tempfile.TemporaryDirectory() as folder:
        video = play(
            demo_agent(), "sarfa", path=Path(folder) / "episode.mp4", n_steps=LAST, height=420
        )
        frames = [Image.fromarray(one) for one in islice(read_frames(video), FIRST, LAST)]
    height = round(frames[0].height * WIDTH / frames[0].width)
    return [frame.resize((WIDTH, height), Image.Resampling.LANCZOS) for frame in frames]


def write_gif(frames: list[Image.Image], path: Path) -> None:
    """Write frames with one palette, so that what stands still costs nothing."""
    strip = Image.new("RGB", (frames[0].width, frames[0].height * 6))
    for place, frame in enumerate(frames[:: max(1, len(frames) // 6)][:6]):
        strip.paste(frame, (0, place * frame.height))
    palette = make_palette(strip, COLORS)
    small = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    small[0].save(
        path, save_all=True, append_images=small[1:], duration=DURATION, loop=0, optimize=True
    )


if __name__ == "__main__":
    write_gif(draw_episode(), MOVING)
    print(MOVING.relative_to(ROOT), MOVING.stat().st_size)
    draw_page(ROOT / "docs" / "quickstart.md")
