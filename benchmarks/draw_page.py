"""Draw the page of ``explain``: an agent of pictures, one of numbers, two in step, and a GIF.

Run it with the root of the repository as the working folder; it needs Chromium and Playwright::

    python -m benchmarks.draw_page
"""

from __future__ import annotations

import io
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image
from stable_baselines3 import PPO

from benchmarks.draw_front_page import write_gif
from benchmarks.draw_how_to import save_small
from sb3_explain import Agent, EnvRecipe, demo_agent, explain
from tests.pages import ROOT

IMAGES = ROOT / "docs" / "images" / "page"
SIZES = {"desk": (1280, 960), "phone": (390, 844)}
#: steps of the GIF, and its width in pixels
STEPS, WIDTH = 45, 720


def make_pages(folder: Path) -> dict[str, Path]:
    """Explain the demo agent, and two agents of CartPole after a short and a longer training."""
    explain(demo_agent(), folder / "pictures", progress=False)
    model = PPO("MlpPolicy", "CartPole-v1", n_steps=512, seed=0, device="cpu")
    recipe = EnvRecipe("CartPole-v1")
    early = Agent.from_model(model.learn(2_000), recipe=recipe)
    later = Agent.from_model(model.learn(18_000), recipe=recipe)
    explain(later, folder / "numbers", progress=False)
    explain(
        early, folder / "two", beside={"after 20,000 steps": later}, n_shown=300, progress=False
    )
    return {name: folder / name / "report.html" for name in ("pictures", "numbers", "two")}


def draw(browser: Any, name: str, page: Path) -> None:
    """Draw one page on a desk and on a phone, in light and dark."""
    for size, (width, height) in SIZES.items():
        for theme in ("light", "dark"):
            shown = open_page(browser, page, width, height, theme)
            if name == "two":
                shown.select_option(".compare", label="after 20,000 steps")
            shown.click(".bookmarks button >> nth=0")
            # on a desk, features over time stand below the game and what is said of it
            top = ".player" if name == "pictures" or size == "phone" else ".panes"
            # the bar with Play stays in view above them
            above = 8 if top == ".player" else 72
            shown.evaluate(f"scrollTo(0, document.querySelector('{top}').offsetTop - {above})")
            shown.wait_for_timeout(400)
            path = IMAGES / f"{name}_{size}_{theme}.png"
            save_small(Image.open(io.BytesIO(shown.screenshot())).convert("RGB"), path)
            print(path.relative_to(ROOT), path.stat().st_size)
            shown.close()


def open_page(browser: Any, page: Path, width: int, height: int, theme: str) -> Any:
    """Open a page, and wait for its first frame."""
    shown = browser.new_page(viewport={"width": width, "height": height}, color_scheme=theme)
    shown.goto(page.as_uri())
    shown.wait_for_selector("#viewer[data-ready=yes]", timeout=60_000)
    return shown


def draw_gif(browser: Any, page: Path) -> None:
    """Let the demo agent play some steps, with what is under its map."""
    shown = open_page(browser, page, 1120, 900, "light")
    shown.evaluate("scrollTo(0, document.querySelector('.player').offsetTop - 8)")
    frames = []
    for _ in range(STEPS):
        shown.click(".after")
        shown.wait_for_timeout(60)
        box = shown.locator(".player").bounding_box()
        clip = {"x": box["x"], "y": max(0, box["y"]), "width": box["width"], "height": 780}
        frame = Image.open(io.BytesIO(shown.screenshot(clip=clip))).convert("RGB")
        height = round(frame.height * WIDTH / frame.width)
        frames.append(frame.resize((WIDTH, height), Image.Resampling.LANCZOS))
    write_gif(frames, IMAGES / "page.gif")
    print((IMAGES / "page.gif").relative_to(ROOT), (IMAGES / "page.gif").stat().st_size)
    shown.close()


if __name__ == "__main__":
    from playwright.sync_api import sync_playwright

    IMAGES.mkdir(exist_ok=True)
    path = os.environ.get("CHROMIUM") or shutil.which("chromium")
    with tempfile.TemporaryDirectory() as temporary, sync_playwright() as playwright:
        pages = make_pages(Path(temporary))
        launched = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        for name, page in pages.items():
            draw(launched, name, page)
        draw_gif(launched, pages["pictures"])
        launched.close()
