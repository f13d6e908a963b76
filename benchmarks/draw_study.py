"""Draw the pictures of docs/study.md: a question of the page, and what simulated people answered.

Run it with the root of the repository as the working folder; it needs Chromium and Playwright::

    python -m benchmarks.draw_study
"""

from __future__ import annotations

import io
import os
import shutil
import tempfile
from pathlib import Path

from PIL import Image

from benchmarks.draw_how_to import save_small
from sb3_explain import analyze_study, demo_agent, export_study
from sb3_explain.common.comparisons import bound_share
from sb3_explain.report import save
from sb3_explain.report.study.figures import opinion_figure
from sb3_explain.workflows.study.simulation import write_simulated
from tests.pages import ROOT

IMAGES = ROOT / "docs" / "images" / "study"
WORDS = {
    "NOOP": "wait", "FIRE": "wait", "RIGHT": "up", "RIGHTFIRE": "up", "LEFT": "down",
    "LEFTFIRE": "down",
}  # fmt: skip
EXPLAINER = "sarfa"
#: participants of the paper's study, and the smallest number of them that is over 89 %
PEOPLE, POSITIVE = 63, 57


def draw_question(page: Path) -> None:
    """Draw the first question of the arm of the explainer that shows its map."""
    from playwright.sync_api import sync_playwright

    path = os.environ.get("CHROMIUM") or shutil.which("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        shown = browser.new_page(viewport={"width": 1100, "height": 780})
        shown.goto(f"{page.as_uri()}?group=0")
        while "Here is a map" not in shown.locator("#study h2").inner_text():
            shown.locator("#study button").first.click()
            shown.wait_for_timeout(50)
        picture = Image.open(io.BytesIO(shown.screenshot())).convert("RGB")
        save_small(picture, IMAGES / "page.png")
        browser.close()


def draw_paper() -> None:
    """Draw what the paper reports, in the form of its figure 3."""
    low, high = bound_share(POSITIVE, PEOPLE)
    row = {
        "arm": "visionmask", "question": "all", "responses": PEOPLE, "positive": POSITIVE,
        "share": POSITIVE / PEOPLE, "low": low, "high": high,
    }  # fmt: skip
    save(IMAGES / "paper.png", opinion_figure([row]))


if __name__ == "__main__":
    IMAGES.mkdir(exist_ok=True)
    draw_paper()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        about = "The agent plays the green paddle on the right."
        study = export_study(
            demo_agent(), folder, EXPLAINER, words=WORDS, about=about,
            title="What does the Pong player do?", progress=False,
        )  # fmt: skip
        print(study)
        draw_question(study.page)
        files = write_simulated(folder, folder / "answers", PEOPLE, {EXPLAINER: 0.2})
        results = analyze_study(folder, files)
        print(results)
        results.save(folder / "study")
        for name in ("gain", "opinions"):
            with Image.open(folder / "study" / f"{name}.png") as drawn:
                save_small(drawn.convert("RGB"), IMAGES / f"{name}.png")
    for path in sorted(IMAGES.iterdir()):
        print(path.relative_to(ROOT), path.stat().st_size)
