"""The step's own words: removal, how actions are drawn, of which step a map is, regions chosen."""

import dataclasses

import numpy as np
import pytest

from sb3_explain.report import write_report
from tests.report.viewer.driving import (
    METRICS,
    choose,
    explain_some,
    go,
    make_playback,
    pixel,
    read,
    settle,
    until,
)

SAY = """([shares, without, taken, shown, group, continuous]) => sayRemoval({
  names: ["a", "b", "c"], shares, without, taken, shown, group,
  words: { continuous, best: "most probable", best_action: "most probable action" },
})"""


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    # the first of every 4 steps of both episodes, and the bookmarked one
    positions = [0, 4, 8, 10, 14, 18, 22, 26, 30, 34, 35, 38]
    playback = explain_some(make_playback(), "first", positions)
    playback = dataclasses.replace(
        playback,
        drawn="Actions are drawn from these probabilities.",
        removal=dataclasses.replace(playback.removal, filled="background (some words)"),
    )
    return write_report(tmp_path_factory.mktemp("page"), metrics=METRICS, playbacks=[playback])


@pytest.fixture
def page(open_page, path):
    return open_page(path)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        # what is taken is not the most probable, before nor after: nothing changes
        (
            ([0.2, 0.5, 0.3], [0.2, 0.45, 0.35], 0, 0, [0, 3], False),
            "a (taken) stays at 20 %; the most probable action stays b (50 % → 45 %).",
        ),
        (
            ([0.6, 0.3, 0.1], [0.59, 0.31, 0.1], 0, 0, [0, 3], False),
            "a (taken, most probable) 60 % → 59 %, a small change; it stays the most probable "
            "action.",
        ),
        (
            ([0.6, 0.3, 0.1], [0.2, 0.7, 0.1], 0, 0, [0, 3], False),
            "a (taken, most probable) 60 % → 20 %; the most probable action is then b "
            "(30 % → 70 %).",
        ),
        (
            ([0.2, 0.5, 0.3], [0.25, 0.25, 0.5], 0, 0, [0, 3], False),
            "a (taken) 20 % → 25 %; the most probable action changes from b (50 % → 25 %) to c "
            "(30 % → 50 %).",
        ),
        # two that are alike change places
        (
            ([0.41, 0.4, 0.19], [0.4, 0.41, 0.19], 0, 0, [0, 3], False),
            "a (taken, most probable) 41 % → 40 %, a small change; the most probable action is "
            "then b (40 % → 41 %), nearly as much before and after.",
        ),
        (
            ([0.2, 0.5, 0.3], [0.25, 0.5, 0.25], 0, 0, [0, 3], False),
            "a (taken) 20 % → 25 %; the most probable action stays b (50 %).",
        ),
        # a tie is no change
        (
            ([0.4, 0.4, 0.2], [0.39, 0.41, 0.2], 0, 0, [0, 3], False),
            "a (taken, most probable) 40 % → 39 %, a small change; it stays the most probable "
            "action.",
        ),
        # another part of the action has a most probable target of its own
        (
            ([0.9, 0.8, 0.2], [0.1, 0.7, 0.3], 1, 1, [1, 3], False),
            "b (taken, most probable) 80 % → 70 %; it stays the most probable action.",
        ),
        (
            ([0.5, 0.2, 0.5], [0.1, 0.2, 0.5], 1, 0, [0, 3], True),
            "a 50 % → 10 % of its range.",
        ),
        (
            ([0.5, 0.2, 0.5], [0.49, 0.6, 0.5], 1, 0, [0, 3], True),
            "a 50 % → 49 % of its range, a small change; b moves most, 20 % → 60 %.",
        ),
    ],
)
def test_like_is_compared_with_like(page, given, said):
    assert page.evaluate(SAY, list(given)).replace("\N{NO-BREAK SPACE}", " ") == said


def test_taken_and_most_probable_are_marked_and_how_it_is_drawn_is_said(page):
    marks = page.locator(".pane .shares .marks")
    assert marks.all_inner_texts() == ["●▲", "", ""]
    go(page, 35)  # there it takes right, though left is the most probable
    settle(page)
    assert marks.all_inner_texts() == ["▲", "●", ""]
    assert page.inner_text(".pane .drawn") == (
        "● taken · ▲ most probable · Actions are drawn from these probabilities."
    )


def test_an_older_map_is_faded_and_says_its_step(page):
    go(page, 14)
    settle(page)
    assert page.inner_text(".age") == "map of step 9"
    own = pixel(page, "seen", 0.25, 0.25)
    go(page, 17)
    settle(page)
    assert page.inner_text(".age") == "map of step 9, 3 steps before"
    assert "Removal check of step 9, 3 steps before" in page.inner_text(".removal")
    choose(page, "style", "no map")
    plain = pixel(page, "seen", 0.25, 0.25)
    choose(page, "style", "heat")
    older = pixel(page, "seen", 0.25, 0.25)
    assert plain[0] < older[0] < own[0]
    # which a frame says, too
    orange = [217, 114, 11]
    assert pixel(page, "seen", 0.5, 0) == pixel(page, "game", 0, 0.5) == orange
    assert "the map is of an earlier step" in page.inner_text(".marks-legend")
    assert "the region that the removal check removes" in page.inner_text(".marks-legend")
    go(page, 14)
    settle(page)
    assert pixel(page, "seen", 0.75, 0) != orange
    # an episode begins with a map of its own: none is held over from the one before
    go(page, 10)
    settle(page)
    assert page.inner_text(".age") == "map of step 5"


def test_buttons_and_keys_lead_to_steps_with_a_map_of_their_own(page):
    go(page, 31)
    settle(page)
    page.click(".later-map")
    page.wait_for_selector("#viewer[data-position='34']")
    page.keyboard.press("m")
    page.wait_for_selector("#viewer[data-position='35']")  # which is bookmarked
    page.keyboard.press("Shift+M")
    page.keyboard.press("Shift+M")  # within a frame, perhaps
    page.wait_for_selector("#viewer[data-position='30']")
    go(page, 38)
    settle(page)
    assert page.locator(".later-map").is_disabled()
    choose(page, "explainer", "second")  # which explains all steps
    assert page.locator(".later-map").is_hidden()
    assert page.locator(".of-older").is_hidden()


def test_the_removed_square_is_marked_and_what_replaces_it_said(page):
    def read_border(step):
        """Colors along the upper border of the hot quarter of what the agent sees."""
        go(page, step)
        settle(page)
        return [pixel(page, "seen", x, 0.012) for x in np.linspace(0.02, 0.48, 60)]

    on_border = read_border(4)  # dashes, and the gaps between them
    assert any(min(color) > 180 for color in on_border)
    assert any(max(color) < 50 for color in on_border)
    choose(page, "style", "no map")
    assert read_border(4) == [[56] * 3] * 60
    assert page.inner_text(".filled") == "What is removed is replaced by: background (some words)."


def test_a_tap_pins_a_region_and_a_second_one_releases_it(browser, path):
    context = browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True)
    page = context.new_page()
    page.goto(path.resolve().as_uri())
    page.wait_for_selector("#viewer[data-ready=yes]")
    assert "Point at, or tap, a region" in read(page, ".looked-at")
    assert page.locator(".release").is_hidden()
    seen = page.locator(".pane .seen")
    assert seen.evaluate("(canvas) => getComputedStyle(canvas).cursor") == "crosshair"
    box = seen.bounding_box()
    place = {"x": 0.75 * box["width"], "y": 0.25 * box["height"]}
    seen.tap(position=place)
    pinned = "without the pinned region in row 1, column 2: left"
    until(page, lambda page: pinned in read(page, ".looked-at"))
    page.tap("#look")
    settle(page)
    assert pinned in read(page, ".looked-at")  # it stays
    assert "without the brightest region" in page.inner_text(".removal")  # which is still said
    seen.tap(position=place)
    until(page, lambda page: "Point at" in read(page, ".looked-at"))
    seen.tap(position=place)
    until(page, lambda page: pinned in read(page, ".looked-at"))
    page.tap(".release")
    until(page, lambda page: "Point at" in read(page, ".looked-at"))
    assert page.locator(".release").is_hidden()
    context.close()


def test_arrow_keys_choose_a_region_of_the_picture_that_has_the_focus(page):
    page.focus(".pane .seen")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")  # from the first region to the one at its right
    page.wait_for_timeout(100)
    until(
        page,
        lambda page: "left (taken, most probable) 60 % → 8 %" in read(page, ".looked-at"),
    )
    assert page.get_attribute("#viewer", "data-position") == "0"  # no step was made
    page.keyboard.press("Escape")
    until(page, lambda page: "Point at" in read(page, ".looked-at"))
    assert "picture" in page.locator(".keys").text_content()
