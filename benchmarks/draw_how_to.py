"""Run the how-to pages as they are written, and keep the pictures that they make.

Run it with the root of the repository as the working folder, for all pages or for those named::

    python -m benchmarks.draw_how_to
    python -m benchmarks.draw_how_to custom_environment recurrent
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from PIL import Image

from tests.pages import ROOT, list_pictures, read_code, run_script

#: largest width in pixels, and number of colors: a palette is a quarter of the size
WIDTH, COLORS = 1200, 128


def draw_page(page: Path) -> None:
    """Run the code of one page, and store its pictures where the page shows them."""
    with tempfile.TemporaryDirectory() as folder:
        print(run_script(read_code(page), Path(folder), timeout=1200))
        for picture in list_pictures(page):
            with Image.open(Path(folder) / picture.name) as made:
                shown = made.convert("RGB")
            shown.thumbnail((WIDTH, WIDTH), Image.Resampling.LANCZOS)
            small = shown.quantize(COLORS, dither=Image.Dither.NONE)
            small.save(picture, optimize=True)
            print(picture.relative_to(ROOT), picture.stat().st_size)


if __name__ == "__main__":
    pages = {path.stem: path for path in sorted((ROOT / "docs" / "how_to").glob("*.md"))}
    del pages["index"]
    for name in sys.argv[1:] or pages:
        draw_page(pages[name])
