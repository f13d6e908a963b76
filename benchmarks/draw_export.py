"""Draw the pictures of docs/export.md: an exported GIF, and one step as files for a paper."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from sb3_explain import demo_agent, export
from sb3_explain.workflows.whole_episodes import EPISODES, play_whole_episodes

FOLDER = Path(__file__).parents[1] / "docs" / "images" / "export"
#: number of played states, as `explain` plays them for a first page, and the step that is shown
PLAYED, STEP = 600, 542
#: height of each picture of the step, and the gap between them, in pixels
HEIGHT, GAP = 420, 8


def main() -> None:
    """Draw both pictures."""
    agent = demo_agent()
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        output = Path(temporary)
        play_whole_episodes(agent, output / EPISODES, PLAYED)
        export(agent, output, FOLDER / "pong.gif", explainer="sarfa", n_steps=60)
        shown = []
        for style in ("heat", "contour", "spotlight"):
            folder = output / style
            export(
                agent, output, folder, explainer="sarfa", start=STEP, n_steps=1, style=style,
                height=HEIGHT,
            )  # fmt: skip
            if not shown:
                shown.append(Image.open(folder / f"step_{STEP:06d}.png"))
            shown.append(Image.open(folder / f"step_{STEP:06d}_overlay.png"))
        levels = np.asarray(Image.open(folder / f"step_{STEP:06d}_map.png"))
        alone = Image.fromarray((levels >> 8).astype(np.uint8)).convert("RGB")
        shown.append(alone.resize((shown[0].height, shown[0].height), Image.Resampling.NEAREST))
        width = sum(picture.width for picture in shown) + GAP * (len(shown) - 1)
        row = Image.new("RGB", (width, shown[0].height), "white")
        left = 0
        for picture in shown:
            row.paste(picture, (left, 0))
            left += picture.width + GAP
        row.save(FOLDER / "frames.png", optimize=True)


if __name__ == "__main__":
    main()
