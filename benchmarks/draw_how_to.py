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

#: widths in pixels, of which the first whose file is small enough is taken
WIDTHS, BYTES = (1200, 1000, 800), 60_000
#: number of colors: a palette is a quarter of the size
COLORS = 128


def draw_page(page: Path) -> None:
    """Run the code of one page, and store its pictures where the page shows them."""
    with tempfile.TemporaryDirectory() as folder:
        print(run_script(read_code(page), Path(folder), timeout=1200))
        for picture in list_pictures(page):
            with Image.open(Path(folder) / picture.name) as made:
                save_small(made.convert("RGB"), picture)
            print(picture.relative_to(ROOT), picture.stat().st_size)


def save_small(shown: Image.Image, path: Path) -> None:
    """Store a picture in few colors, and narrower if it takes too many bytes."""
    for width in WIDTHS:
        narrow = shown.copy()
        narrow.thumbnail((width, 10 * width), Image.Resampling.LANCZOS)
        palette = make_palette(narrow, COLORS)
        narrow.quantize(palette=palette, dither=Image.Dither.NONE).save(path, optimize=True)
        if path.stat().st_size <= BYTES:
            return


def make_palette(picture: Image.Image, n_colors: int) -> Image.Image:
    """Choose a picture's colors: a third are its commonest, the others all that is between.

    Common colors alone would leave out what is small and bright, such as a ball, or a map's middle.
    """
    counted = picture.getcolors(picture.width * picture.height) or []
    common = [color for _, color in sorted(counted, reverse=True)[: n_colors // 3]]
    n_others = n_colors - len(common)
    others = picture.quantize(
        n_others, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE
    ).getpalette()
    assert others is not None
    palette = Image.new("P", (1, 1))
    palette.putpalette([channel for color in common for channel in color] + others[: 3 * n_others])
    return palette


if __name__ == "__main__":
    pages = {path.stem: path for path in sorted((ROOT / "docs" / "how_to").glob("*.md"))}
    del pages["index"]
    for name in sys.argv[1:] or pages:
        draw_page(pages[name])
