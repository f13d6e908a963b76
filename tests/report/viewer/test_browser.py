"""The page in Chromium: what is clicked, moved and pressed changes what is seen."""

import dataclasses

import numpy as np
import pytest

from sb3_explain.report import write_report
from sb3_explain.report.viewer.playback import Bookmark, Explained, StepAttributions
from tests.report.viewer.driving import (
    METRICS,
    K,
    T,
    choose,
    go,
    is_hot,
    make_playback,
    pixel,
    position,
    read,
    settle,
    until,
)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    return write_report(
        folder, metrics=METRICS, playbacks=[make_playback(), make_playback("another agent", 150)]
    )


@pytest.fixture
def page(open_page, path):
    return open_page(path)


def test_what_is_shown_is_the_frame_of_the_step(page):
    choose(page, "style", "no map")
    for step in (0, 17, 39):
        go(page, step)
        settle(page)
        level = step * 4 + 40
        assert pixel(page, "game", 0.5, 0.5) == [level, level, 200]
        assert pixel(page, "seen", 0.5, 0.5) == [level] * 3


def test_keys_do_nothing_where_there_is_no_explainer(open_page, tmp_path):
    played = dataclasses.replace(make_playback(), explained=[])
    page = open_page(write_report(tmp_path, metrics=METRICS, playbacks=[played]))
    go(page, 3)
    page.locator(".player").focus()
    for key in ("e", "t", "o"):
        page.keyboard.press(key)
    settle(page)
    go(page, 5)
    settle(page)
    assert position(page) == 5


def test_what_is_not_a_number_is_unknown(open_page, tmp_path):
    played = make_playback()
    removed = played.removal.shares.copy()
    removed[3] = np.nan
    shares = played.shares.copy()
    shares[7] = np.nan
    played = dataclasses.replace(
        played, shares=shares, removal=dataclasses.replace(played.removal, shares=removed)
    )
    page = open_page(write_report(tmp_path, metrics=METRICS, playbacks=[played]))
    for step, texts, n_best in ((6, ["60 %", "30 %", "10 %"], 1), (7, ["unknown"] * 3, 0)):
        go(page, step)
        settle(page)
        bars = page.locator(".shares").first
        assert [text.replace("\N{NO-BREAK SPACE}", " ") for text in
                bars.locator("span").all_inner_texts()] == texts  # fmt: skip
        assert bars.inner_text().count("\N{BLACK UP-POINTING TRIANGLE}") == n_best
    for step in (3, 7):
        go(page, step)
        settle(page)
        assert read(page, ".removal").endswith("unknown, the agent's output is not a number.")
    assert f"of {T - 2} maps" in read(page, ".checks")


def test_paper_is_light_where_the_screen_is_dark(open_page, path):
    page = open_page(path, dark=True)
    darkest = """() => {
      const plot = document.querySelector(".value-plot");
      const copy = new OffscreenCanvas(plot.width, plot.height);
      const context = copy.getContext("2d", { willReadFrequently: true }); // or the browser warns
      context.drawImage(plot, 0, 0);
      const { data } = context.getImageData(0, 0, plot.width, plot.height);
      const reds = data.filter((_, i) => i % 4 === 0 && data[i + 3] > 250);
      return [getComputedStyle(document.body).color, Math.min(...reds)];
    }"""
    ink, red = page.evaluate(darkest)
    assert ink == "rgb(233, 235, 240)" and red > 100
    page.emulate_media(media="print")
    until(page, lambda page: page.evaluate(darkest)[1] < 60)
    assert page.evaluate(darkest)[0] == "rgb(29, 32, 38)"
    scheme = "getComputedStyle(document.documentElement).colorScheme"  # of the paper itself
    assert page.evaluate(scheme) == "light"


def test_what_masks_forbid_is_struck_out(open_page, tmp_path):
    forbidden = np.zeros((T, K), bool)
    forbidden[17, 2] = True
    played = dataclasses.replace(make_playback(), forbidden=forbidden, value_note="In thalers.")
    page = open_page(write_report(tmp_path, metrics=METRICS, playbacks=[played]))
    assert "In thalers." in page.inner_text(".value-note")
    for step in (16, 17):
        go(page, step)
        settle(page)
        struck = page.eval_on_selector_all(
            ".shares b", "all => all.map((one) => getComputedStyle(one).textDecorationLine)"
        )
        texts = page.eval_on_selector_all(
            ".shares span", "all => all.map((one) => one.textContent)"
        )
        assert struck == ["none", "none", "line-through" if step == 17 else "none"]
        texts = [text.replace("\N{NO-BREAK SPACE}", " ") for text in texts]
        assert texts == ["60 %", "30 %", "forbidden" if step == 17 else "10 %"]


@pytest.mark.parametrize(
    ("explainer", "style", "low", "high", "cold"),
    [
        ("first", "heat", "against it", "for it", True),
        ("second", "heat", "does not matter", "matters most", False),
        ("second", "no map", "lowest value of the feature", "highest", True),
    ],
)
def test_the_strip_says_what_its_colors_are(open_page, tmp_path, explainer, style, low, high, cold):
    values = np.tile(np.linspace(-1, 1, 5), (T, 1))
    explained = [
        Explained("first", "first", [StepAttributions(values)], signed=True),
        Explained("second", "second", [StepAttributions(np.abs(values))]),
    ]
    played = dataclasses.replace(
        make_playback(), rendered=None, observed=None, removal=None, explained=explained,
        features=values, feature_names=list("abcde"),
    )  # fmt: skip
    page = open_page(write_report(tmp_path, metrics=METRICS, playbacks=[played]))
    choose(page, "choices .explainer", explainer)
    choose(page, "style", style)
    assert page.inner_text(".pane .strip-legend .low") == low
    assert page.inner_text(".pane .strip-legend .high") == high
    pixels = page.evaluate(
        """() => {
          const ramp = document.querySelector(".pane .ramp");
          return [...ramp.getContext("2d").getImageData(0, 0, ramp.width, 1).data];
        }"""
    )
    assert is_hot(pixels[-4:-1]) and (pixels[2] > pixels[0] + 40) == cold


def test_a_strip_of_more_rows_than_a_canvas_takes_is_drawn(open_page, tmp_path):
    values = np.tile(np.linspace(-1, 1, 1400), (T, 1))
    played = dataclasses.replace(
        make_playback(), rendered=None, observed=None, removal=None, explained=[],
        features=values, feature_names=[f"f{i}" for i in range(1400)],
    )  # fmt: skip
    page = open_page(write_report(tmp_path, metrics=METRICS, playbacks=[played]))
    drawn = page.evaluate(
        """() => {
          const strip = document.querySelector(".pane canvas.strip");
          const pixels = strip.getContext("2d").getImageData(5, 0, 1, strip.height).data;
          return [strip.height, strip.clientHeight, pixels.some((one) => one > 0)];
        }"""
    )
    assert drawn == [32000, 24 * 1400, True]


def test_steps_keys_and_the_clock(page):
    page.click(".after")
    page.click(".after")
    settle(page)
    assert position(page) == 2
    assert page.inner_text(".where") == "episode 0, step 2"
    page.click(".before")
    settle(page)
    assert position(page) == 1
    page.focus(".player")
    page.keyboard.press("Shift+ArrowRight")
    settle(page)
    assert position(page) == 11
    assert page.inner_text(".where") == "episode 2, step 6"  # its first 5 steps are not shown
    page.keyboard.press("End")
    settle(page)
    assert position(page) == T - 1
    go(page, 0)
    page.select_option(".speed", "4")
    page.click(".play")
    assert page.inner_text(".play") == "Pause"
    page.wait_for_selector(f"#viewer[data-position='{T - 1}']", timeout=20_000)
    assert page.inner_text(".play") == "Play"


def test_the_map_is_that_of_the_target_and_the_explainer(page):
    quarters = [(0.25, 0.25), (0.75, 0.25), (0.25, 0.75), (0.75, 0.75)]

    def hot():
        return [is_hot(pixel(page, "seen", x, y)) for x, y in quarters]

    assert hot() == [True, False, False, False]  # of the action taken, left
    choose(page, "target", "right")
    assert hot() == [False, True, False, False]
    choose(page, "explainer", "second")
    assert hot() == [False, False, False, True]
    choose(page, "explainer", "first")
    choose(page, "target", "the action taken")
    go(page, 35)
    settle(page)
    assert hot() == [False, True, False, False]  # there it takes right


def test_a_map_is_drawn_as_heat_contour_or_spotlight(page):
    inside, outside = (0.25, 0.25), (0.75, 0.75)
    plain = 40
    assert is_hot(pixel(page, "seen", *inside))
    choose(page, "style", "spotlight")
    assert pixel(page, "seen", *inside) == [plain] * 3
    assert pixel(page, "seen", *outside)[0] < plain // 2
    choose(page, "style", "contour")
    assert pixel(page, "seen", *inside) == [plain] * 3
    assert pixel(page, "seen", *outside) == [plain] * 3
    assert any(pixel(page, "seen", x, 0.25)[0] > plain + 40 for x in np.linspace(0.4, 0.6, 41))
    choose(page, "style", "heat")
    page.evaluate(
        """() => { const slider = document.querySelector(".opacity"); slider.value = 0;
          slider.dispatchEvent(new Event("input")); }"""
    )
    settle(page)
    assert pixel(page, "seen", *inside) == [plain] * 3


def test_a_frame_of_the_stack(page):
    choose(page, "style", "no map")
    go(page, 17)
    choose(page, "back", "1 frame earlier")
    assert pixel(page, "seen", 0.5, 0.5) == [16 * 4 + 40] * 3
    assert pixel(page, "game", 0.5, 0.5)[0] == 17 * 4 + 40


def test_a_bookmark_and_an_episode_lead_to_their_steps(page):
    page.click("text=a moment")
    page.wait_for_selector("#viewer[data-position='35']")
    page.click("table.episodes >> text=episode 0")
    page.wait_for_selector("#viewer[data-position='0']")
    rows = page.locator("table.episodes tbody tr").all_inner_texts()
    assert "steps 5 to 34 shown" in rows[2] and "not on this page" in rows[1]
    assert (
        "loses at step 3, 34" in rows[2] and "loses 4 times, first at step 2, last at 29" in rows[1]
    )
    assert "loses" not in rows[0]
    assert page.locator("table.episodes tbody tr[aria-current]").count() == 1


def test_a_hovered_region_says_what_the_agent_does_without_it(page):
    seen = page.locator(".pane .seen")
    box = seen.bounding_box()
    seen.hover(position={"x": 0.75 * box["width"], "y": 0.25 * box["height"]})
    until(page, lambda page: "without this" in read(page, ".looked-at"))
    assert read(page, ".looked-at") == (
        "Step 0, without this region: left (taken, most probable) 60 % \u2192 8 %; "
        "the most probable action is then right (30 % \u2192 72 %)."
    )
    assert "30 % \u2192 72 %" in read(page, ".shares")
    page.hover("#look")
    until(page, lambda page: "Point at" in read(page, ".looked-at"))
    # the map of left is brightest in region 0, without which nothing changes
    assert read(page, ".removal") == (
        "Removal check of step 0, without the brightest region: left (taken, most probable) "
        "stays at 60 %; it stays the most probable action."
    )


def test_trust_stands_under_the_map(page):
    page.click(".pane .trust-line")
    trust = page.inner_text(".pane .trust")
    assert "0.700 (0.600 to 0.800)" in trust
    assert "best control, random map: 0.300 (0.200 to 0.400)" in trust
    assert page.inner_text(".pane .remark") == ""
    choose(page, "target", "wait")
    assert "hardly trained" in page.inner_text(".pane .remark")


def test_two_explainers_and_two_agents_in_step(page):
    choose(page, "compare", "second")
    assert is_hot(pixel(page, "seen", 0.25, 0.25, pane=0))
    assert is_hot(pixel(page, "seen", 0.75, 0.75, pane=1))
    assert not is_hot(pixel(page, "seen", 0.75, 0.75, pane=0))
    choose(page, "compare", "another agent")
    choose(page, "style", "no map")
    go(page, 20)
    settle(page)
    assert pixel(page, "game", 0.5, 0.5, pane=0) == [120, 120, 200]
    assert pixel(page, "game", 0.5, 0.5, pane=1) == [120, 120, 50]
    # what was measured is of the first agent
    assert "0.700" in page.locator(".trust").nth(0).text_content()
    assert page.locator(".trust-fold").nth(1).is_hidden()
    choose(page, "compare", "nothing")
    assert page.locator(".pane").count() == 1


def test_the_numbers_of_the_step_stand_in_the_legends(page):
    go(page, 39)
    settle(page)
    values = page.locator(".timeline .u-legend").first.locator(".u-value")
    assert values.all_inner_texts() == ["34", "1", "0"]  # step, value, return to come
    chart = page.locator(".timeline .u-over").first
    box = chart.bounding_box()
    chart.click(position={"x": box["width"] * 0.5, "y": box["height"] * 0.5})
    until(page, lambda page: abs(position(page) - 25) < 3)


def test_the_value_is_compared_with_the_return_on_one_scale_or_not(page, open_page, tmp_path):
    assert page.inner_text(".value-note") == "On the line it is right."
    canvas = page.locator(".value-plot")
    canvas.click(position={"x": 30, "y": 30})  # the lowest return, at the highest value
    until(page, lambda page: position(page) > T - 4)
    playback = make_playback()
    columns = {**playback.columns, "return_to_come": np.linspace(0, 300, T) ** 2}
    scaled = dataclasses.replace(playback, columns=columns, one_scale=False)
    other = open_page(write_report(tmp_path, metrics=METRICS, playbacks=[scaled]))
    assert other.inner_text(".value-note") == "Value and return have axes of their own."


def test_a_table_sorts(page):
    table = page.locator("section[aria-labelledby=metrics] table").first
    head = table.locator("thead th button", has_text="Insertion")
    first = table.locator("tbody tr:not(.divider) th").first
    head.click()
    assert "First" in first.inner_text() or "first" in first.inner_text()
    head.click()
    assert "First" not in first.inner_text() and "first" not in first.inner_text()
    assert head.locator("xpath=..").get_attribute("aria-sort") == "ascending"


@pytest.mark.parametrize("dark", [False, True])
def test_a_phone_needs_no_sideways_scroll(open_page, path, dark):
    page = open_page(path, width=390, dark=dark)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    back = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, back[4:-1].split(","))) < 200) == dark


@pytest.mark.parametrize("dark", [False, True])
def test_axe_finds_nothing(page, open_page, path, dark):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    shown = open_page(path, dark=True) if dark else page
    for width in (1280, 390):
        shown.set_viewport_size({"width": width, "height": 900})
        found = axe.Axe().run(shown).response["violations"]
        assert [(one["id"], [node["html"][:200] for node in one["nodes"]]) for one in found] == []


INJECTED = [
    "<script>document.title='broken'</script>",
    "\"'><img src=x>",
    "\u202egnp",
    "x" * 10_000,
]


def test_names_are_text(open_page, tmp_path):
    playback = make_playback(name=INJECTED[0])
    names = INJECTED[:3]
    named = dataclasses.replace(
        playback,
        target_names=names,
        bookmarks=[Bookmark(3, INJECTED[3]), Bookmark(4, INJECTED[0])],
        explained=[
            dataclasses.replace(one, label=f"{one.label} {INJECTED[1]}")
            for one in playback.explained
        ],
    )
    metrics = {**METRICS, "agent": {"algo": INJECTED[1], "environment": INJECTED[3]}}
    page = open_page(
        write_report(tmp_path, metrics=metrics, playbacks=[named], provenance={INJECTED[0]: names})
    )
    assert "broken" not in page.title()
    assert page.locator("img[src=x], main script:not([type])").count() == 0
    rows = page.locator(".pane .shares b").all_inner_texts()
    assert rows == names
    said = page.locator(".bookmarks button").nth(1).inner_text()
    assert said == f"{INJECTED[0]} \u00b7 episode 0, step 4"
    assert page.locator(".explainer option").first.inner_text().endswith(INJECTED[1])
    for width in (1280, 390):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
