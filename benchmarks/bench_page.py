"""The page of the demo agent: its size, how long it takes to write, and how fast it is in Chromium.

1,000 steps of whole episodes, 6 targets, 3 explainers whose passes serve all targets or are few.
Without a browser (the package ``chromium``, or ``CHROMIUM``) only the first figures are measured.
"""

import os
import shutil
import tempfile
import time
from pathlib import Path

from sb3_explain import demo_agent
from sb3_explain.explainers.make import make_explainer
from sb3_explain.report import write_report
from sb3_explain.workflows.playback import make_playback
from sb3_explain.workflows.whole_episodes import play_whole_episodes

STEPS, NAMES = 1000, ("sarfa", "gradient", "grad_cam")


def run(record) -> None:
    agent = demo_agent()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        states = play_whole_episodes(agent, folder / "episodes", 3200, progress=False)
        explainers = {name: make_explainer(name, agent, states=states) for name in NAMES}
        began = time.perf_counter()
        playback = make_playback(
            states, explainers, agent=agent, limit=STEPS, budget=400_000, progress=False
        )
        explained = time.perf_counter()
        metrics = {"agent": agent.describe(), "states": {}, "explainers": {}}
        page = write_report(folder, metrics=metrics, playbacks=[playback])
        written = time.perf_counter()
        assert len(playback) == STEPS
        record("page.megabytes", page.stat().st_size / 1e6, "MB", "<= 25")
        share = (written - began) / (explained - began)
        record("page.time_of_page_by_explaining", share, "ratio", "<= 1.2")
        browser = os.environ.get("CHROMIUM") or shutil.which("chromium")
        if browser is None:
            print("no browser: install the package chromium, or set CHROMIUM to its path")
            return
        measure_in_browser(record, page, browser)


def measure_in_browser(record, page: Path, browser: str) -> None:
    """Open the page and scrub through it, drawing every step before the next one is asked for."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        shown = launched.new_page(viewport={"width": 1280, "height": 900})
        began = time.perf_counter()
        shown.goto(page.as_uri(), wait_until="commit")
        shown.wait_for_selector("#viewer[data-ready=yes]", timeout=60_000)
        record("page.first_frame", time.perf_counter() - began, "s", "<= 1.5")
        rate = shown.evaluate(
            """async (steps) => {
              const scrub = document.querySelector(".scrub");
              const viewer = document.querySelector("#viewer");
              const drawn = (position) => new Promise((done) => {
                const look = () => (viewer.dataset.position === String(position)
                  ? done() : requestAnimationFrame(look));
                look();
              });
              const began = performance.now();
              for (let i = 1; i <= steps; i++) {
                const position = (i * 7) % 1000;
                scrub.value = position;
                scrub.dispatchEvent(new Event("input"));
                await drawn(position);
              }
              return steps / ((performance.now() - began) / 1000);
            }""",
            120,
        )
        record("page.scrubbing", rate, "frames/s", ">= 30")
        launched.close()
