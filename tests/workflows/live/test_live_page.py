"""The live page in Chromium: what is clicked and typed is fetched, shown and explained."""

import re

import pytest
import torch

from sb3_explain.report.live_page import write_live_page
from sb3_explain.report.wording import Wording


@pytest.fixture
def look(browser):
    """Open a page of a server; the test fails at a console message or a request elsewhere."""
    said, pages = [], []

    def open_address(address, *, width=1280, dark=False):
        page = browser.new_page(
            viewport={"width": width, "height": 900}, color_scheme="dark" if dark else "light"
        )
        page.set_default_timeout(30_000)
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        origin = address.partition("#")[0].partition("?")[0]
        page.on(
            "request",
            lambda request: (
                request.url.startswith((origin, "data:", "blob:")) or said.append(request.url)
            ),
        )
        pages.append(page)
        page.goto(address)
        page.wait_for_selector("#viewer[data-ready=yes] .asking")
        return page

    yield open_address
    for page in pages:
        page.close()
    assert not said


@pytest.fixture
def parts(monkeypatch):
    """Parts of 16 steps."""
    monkeypatch.setattr("sb3_explain.workflows.live.chunks.PART_STEPS", 16)
    monkeypatch.setattr("sb3_explain.workflows.live.chunks.BLOCK", 8)


def wait_for(page, text, where=".where"):
    said = "([where, text]) => document.querySelector(where)?.textContent.includes(text)"
    page.wait_for_function(said, arg=[where, text])


def read_pixels(page, canvas):
    return page.evaluate(
        """name => {
          const canvas = document.querySelector(`canvas.${name}`);
          const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
          return data.reduce((sum, one, i) => (sum * 31 + one * (i % 97)) % 1000003, 7);
        }""",
        canvas,
    )


def test_episodes_and_parts_are_fetched_as_they_are_asked_for(dots, serve, look, parts):
    page = look(serve(*dots).address)
    assert page.locator(".count").inner_text() == "Episodes 0 to 5 of 6"
    rows = page.locator(".all-episodes tbody tr")
    assert rows.count() == 6
    assert "so far" in rows.nth(5).inner_text()
    wait_for(page, "episode 0, step 0")
    assert page.locator(".part").inner_text() == "steps 0 to 15 of 40"
    first = read_pixels(page, "seen")
    rows.nth(3).locator("button").click()
    wait_for(page, "episode 3, step 0")
    page.wait_for_selector(".all-episodes tr[data-number='3'][aria-current]")
    assert rows.nth(0).get_attribute("aria-current") is None
    assert read_pixels(page, "seen") != first
    page.locator(".next-part").click()
    wait_for(page, "episode 3, step 16")
    page.locator(".previous-part").click()
    wait_for(page, "episode 3, step 15")
    page.fill(".jump .number", "4")
    page.fill(".jump .step", "39")
    page.locator(".jump button:not([type])").click()
    wait_for(page, "episode 4, step 39")
    assert page.locator(".next-part").is_disabled()
    assert page.url.endswith("#4-39")
    page.go_back()
    wait_for(page, "episode 3, step 15")


def test_an_episode_whose_numbers_come_late_is_not_shown_under_the_name_of_another(
    dots, serve, look, parts
):
    page = look(f"{serve(*dots).address}#1-0")
    wait_for(page, "episode 1, step 0")
    held = []
    page.route("**/chunks/0/0/0", lambda route: route.continue_() if held else held.append(route))
    rows = page.locator(".all-episodes tbody tr")
    rows.nth(0).locator("button").click()
    page.wait_for_function("() => document.querySelector('[aria-busy]')")
    while not held:
        page.wait_for_timeout(20)
    rows.nth(2).locator("button").click()
    wait_for(page, "episode 2, step 0")
    held[0].continue_()
    page.wait_for_timeout(300)
    assert "episode 2, step 0" in page.locator(".where").inner_text()
    assert rows.nth(2).get_attribute("aria-current") is not None
    assert rows.nth(0).get_attribute("aria-current") is None
    rows.nth(0).locator("button").click()
    wait_for(page, "episode 0, step 0")


def test_the_address_keeps_the_step(dots, serve, look, parts):
    page = look(f"{serve(*dots).address}#2-14")
    wait_for(page, "episode 2, step 14")
    page.locator(".after").click()
    wait_for(page, "episode 2, step 15")
    page.wait_for_function("() => location.hash === '#2-15'")


def test_an_address_of_a_step_opens_there_and_playing_goes_on_to_the_next_part(
    dots, serve, look, parts
):
    page = look(f"{serve(*dots).address}#2-14")
    wait_for(page, "episode 2, step 14")
    page.select_option(".speed", "0.25")
    page.select_option(".style", "contour")
    page.locator(".play").click()
    page.wait_for_function(
        "() => Number(/step (\\d+)/.exec(document.querySelector('.where').textContent)?.[1]) > 16"
    )
    page.locator(".play").click()
    assert page.locator(".part").inner_text() == "steps 16 to 31 of 40"
    assert page.locator(".style").input_value() == "contour"  # what was chosen stays
    assert page.locator(".speed").input_value() == "0.25"


def test_a_map_is_computed_when_it_is_asked_for(dots, serve, look):
    server = serve(*dots)
    page = look(f"{server.address}#1-3")
    wait_for(page, "episode 1, step 3")
    page.select_option(".explainer", label="Occlusion")
    assert "was not asked" in page.locator(".age").inner_text()
    before = read_pixels(page, "seen")
    page.locator(".ask-one").click()
    page.wait_for_function(
        "() => /explained in/.test(document.querySelector('.asked').textContent)"
    )
    page.wait_for_function("() => /^map of step/.test(document.querySelector('.age').textContent)")
    assert read_pixels(page, "seen") != before
    removal = page.locator(".removal").inner_text()
    assert re.match(r"Removal check of step 3(, without the brightest region:|: the map)", removal)
    # hovering says what it does without the region there
    page.locator("canvas.seen").hover()
    assert page.locator(".looked-at").inner_text().startswith("Step 3, without this region")
    page.mouse.move(0, 0)
    # of the next step there is none
    page.locator(".after").click()
    wait_for(page, "episode 1, step 4")
    assert "was not asked" in page.locator(".age").inner_text()
    page.locator(".ask-all").click()
    page.wait_for_function("() => /^map of step/.test(document.querySelector('.age').textContent)")
    page.keyboard.press("Tab")
    for step in ("5", "6"):
        page.locator(".after").click()
        wait_for(page, f"episode 1, step {step}")
        assert page.locator(".age").inner_text().startswith(f"map of step {step}")


def test_features_get_their_strip(poles, serve, look):
    page = look(serve(*poles).address)
    strip = "() => document.querySelector('canvas.strip').toDataURL()"
    before = page.evaluate(strip)
    page.select_option(".explainer", label="Feature ablation")
    page.locator(".ask-all").click()
    page.wait_for_function(
        "() => /explained in/.test(document.querySelector('.asked').textContent)"
    )
    page.wait_for_function("() => /^map of step/.test(document.querySelector('.age').textContent)")
    assert page.evaluate(strip) != before


def test_stop_ends_the_computation(dots, serve, look, monkeypatch):
    agent, folder = dots
    server = serve(agent, folder)

    def endless(question):
        while True:
            agent.scores(torch.zeros(1, 2, 24, 24))

    monkeypatch.setattr(server.queue, "_answer", endless)
    page = look(server.address)
    page.locator(".ask-one").click()
    page.wait_for_function(
        "() => /forward passes/.test(document.querySelector('.asked').textContent)"
    )
    assert page.locator(".ask-one").inner_text() == "Stop"
    page.locator(".ask-one").click()
    assert page.locator(".asked").inner_text() == "stopped"
    with server.queue.changed:
        assert server.queue.changed.wait_for(lambda: not server.queue._jobs, 10)


def test_what_is_not_there_is_said_on_the_page(dots, serve, browser):
    page = browser.new_page()
    page.goto(f"{serve(*dots).address}#77-0")
    page.wait_for_function("() => document.querySelector('.failure').textContent !== ''")
    assert page.locator(".failure").inner_text() == "there is no episode 77"
    page.fill(".jump .number", "1")
    page.locator(".jump button:not([type])").click()
    page.wait_for_selector("#viewer[data-ready=yes]")
    assert page.locator(".failure").is_hidden()
    page.close()


def test_the_token_goes_from_the_address_into_a_cookie(dots, serve, look):
    server = serve(*dots, host="0.0.0.0")
    address = f"http://127.0.0.1:{server.guard.port}/"
    page = look(f"{address}?token={server.guard.token}")
    assert page.url == address
    page.reload()
    page.wait_for_selector("#viewer[data-ready=yes]")


@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_is_wider_than_the_screen(poles, serve, look, width):
    page = look(serve(*poles).address, width=width, dark=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("dark", [False, True])
def test_axe_finds_nothing_on_the_live_page(dots, serve, look, dark):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    page = look(serve(*dots).address, dark=dark)
    found = axe.Axe().run(page).response["violations"]
    assert not [(one["id"], one["nodes"][0]["html"][:200]) for one in found]


def test_names_that_are_no_names_are_text(browser, tmp_path):
    evil = "</script><script>document.title='got in'</script>\u202e\"'"
    given = {"n_steps": 64, "title": evil, "provenance": {evil: {"a": evil}}}
    live = write_live_page(Wording(), **given)
    assert b"<script>document.title" not in live.html
    path = tmp_path / "page.html"
    path.write_bytes(live.html)
    page = browser.new_page()
    page.goto(path.as_uri())
    assert page.locator("h1").inner_text().startswith("</script><script>")
    assert page.title() != "got in"
    page.close()
