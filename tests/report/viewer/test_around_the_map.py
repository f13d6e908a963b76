"""What stands around the map: the play bar, keys, moments, legends, counts, and a phone's order."""

import dataclasses

import numpy as np
import pytest

from sb3_explain.report import TargetAttributions, write_report
from sb3_explain.report.method_attributions import MethodAttributions
from sb3_explain.report.viewer.playback import Explained, StepAttributions
from tests.report.viewer.driving import (
    METRICS,
    K,
    T,
    choose,
    explain_some,
    go,
    is_hot,
    make_playback,
    pixel,
    position,
    read,
    settle,
    squares,
    until,
)


def make_scaled():
    """Maps of three strengths: as they are, weak, and empty; the second is of one scale."""
    whole = make_playback()
    scaled = [
        Explained(
            f"times {factor}", f"times {factor}",
            [StepAttributions(factor * squares([1] * T), k) for k in range(K)],
            common=factor == 1,
        )
        for factor in (1, 0.125, 0)
    ]  # fmt: skip
    rendered = np.zeros((T, 60, 40, 3), np.uint8)
    rendered[...] = (200, 80, 20)
    return dataclasses.replace(whole, explained=scaled, rendered=rendered)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    playback = make_playback()
    return write_report(tmp_path_factory.mktemp("page"), metrics=METRICS, playbacks=[playback])


@pytest.fixture(scope="module")
def scaled_path(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scaled")
    return write_report(folder, metrics=METRICS, playbacks=[make_scaled()])


@pytest.fixture
def page(open_page, path):
    return open_page(path)


@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_moves_from_step_to_step(open_page, tmp_path, width):
    playback = explain_some(make_playback(), "first", [0, 10, 34])
    page = open_page(write_report(tmp_path, metrics=METRICS, playbacks=[playback]), width=width)
    places = set()
    # steps with a map of their own and with an older one, actions taken and hardly trained
    for step, target in (
        (0, "the action taken"),
        (5, "the action taken"),
        (34, "the action taken"),
        (36, "wait"),
    ):
        go(page, step)
        choose(page, "target", target)
        places.add(tuple(page.evaluate(
            """() => [".transport", ".timeline", ".said"].map(
              (name) => document.querySelector(name).getBoundingClientRect().top + scrollY)"""
        )))  # fmt: skip
    assert len(places) == 1


def test_keys_work_wherever_the_focus_is_while_the_pictures_are_in_view(page):
    page.evaluate("document.querySelector('.panes').scrollIntoView()")
    page.wait_for_timeout(200)
    page.focus("table.episodes button.sort >> nth=0")
    page.evaluate("document.querySelector('.panes').scrollIntoView()")
    page.wait_for_timeout(200)
    page.keyboard.press("ArrowRight")
    until(page, lambda page: position(page) == 1)
    page.keyboard.press("t")  # a letter is the player's alone where that has the focus
    settle(page)
    assert page.input_value(".choices .target") == ""
    page.focus(".choices .target")
    page.keyboard.press("ArrowDown")  # which is the list's own
    settle(page)
    assert position(page) == 1 and page.input_value(".choices .target") == "0"
    page.focus(".play")
    page.keyboard.press("t")
    settle(page)
    assert page.input_value(".choices .target") == "1"
    # a list that a pointer has changed leaves the keys to the player
    page.dispatch_event(".choices .style", "pointerdown")
    page.select_option(".choices .style", "contour")
    page.keyboard.press("ArrowRight")
    until(page, lambda page: position(page) == 2)
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    page.set_viewport_size({"width": 1280, "height": 300})
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    page.wait_for_timeout(300)
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("ArrowRight")  # the pictures are out of view
    page.wait_for_timeout(200)
    assert position(page) == 2
    assert "while the pictures are in view" in page.locator(".keys").text_content()


def test_a_click_elsewhere_brings_the_pictures_into_view(page):
    page.set_viewport_size({"width": 1280, "height": 500})
    for click in ("table.episodes >> text=episode 2", ".value-plot"):
        page.evaluate("scrollTo(0, 0)")
        page.click(click)
        page.wait_for_timeout(200)
        top = page.evaluate("document.querySelector('.panes').getBoundingClientRect().top")
        assert 0 <= top <= 250, click
    assert page.inner_text(".bookmarks button") == "a moment · episode 2, step 30"
    above = [page.locator(name).bounding_box()["y"] for name in (".bookmarks", ".panes")]
    assert above == sorted(above)


def test_the_shown_step_is_marked_among_all(page):
    go(page, 39)  # the highest value, and the lowest return
    settle(page)
    place = page.evaluate(
        """() => {
          const [mark, box] = [".value-mark", ".value-plot"].map(
            (name) => document.querySelector(name).getBoundingClientRect());
          return [(mark.x + mark.width / 2 - box.x) / box.width,
            (mark.y + mark.height / 2 - box.y) / box.height];
        }"""
    )
    assert place == pytest.approx([30 / 320, 30 / 320], abs=0.01)


def test_the_game_keeps_its_colors_under_heat(open_page, scaled_path):
    page = open_page(scaled_path)
    red, green, blue = pixel(page, "game", 0.25, 0.25)  # where the map is 0
    assert red == pytest.approx(140, abs=2) and (green, blue) == pytest.approx((56, 14), abs=2)
    for style in ("heat", "contour", "spotlight"):
        choose(page, "style", style)
        choose(page, "explainer", "times 0.125")
        strength = page.inner_text(".age").partition(" · ")[2]
        assert strength == "at most 0.13 of the largest over all targets"
        choose(page, "explainer", "times 0")
        assert "empty map" in page.inner_text(".age")
        assert pixel(page, "game", 0.25, 0.25) == [200, 80, 20]  # as it is
        choose(page, "explainer", "times 1")
        assert page.inner_text(".age") == "map of step 0"


def test_a_map_is_drawn_up_to_its_own_largest_value_or_that_of_all_targets(open_page, scaled_path):
    page = open_page(scaled_path)
    hot = pixel(page, "seen", 0.75, 0.25)
    assert is_hot(hot)
    choose(page, "scale", "all targets")
    assert pixel(page, "seen", 0.75, 0.25) == hot  # of one scale in all steps
    choose(page, "explainer", "times 0.125")
    assert not is_hot(pixel(page, "seen", 0.75, 0.25))
    assert "weak map: at most 0.13 of the scale" in page.inner_text(".age")
    assert "1 is its largest value over all targets shown" in page.inner_text(".legend")
    choose(page, "scale", "this map")
    assert pixel(page, "seen", 0.75, 0.25) == hot
    assert "Each map has its own scale" in page.inner_text(".legend")


def test_a_strip_is_drawn_by_the_same_scale(open_page, tmp_path):
    values = np.tile([0.1, 0.05, 0], (T, 1))
    played = dataclasses.replace(
        make_playback(), rendered=None, observed=None, removal=None, features=values,
        feature_names=list("abc"),
        explained=[Explained("first", "first", [StepAttributions(values)])],
    )  # fmt: skip
    page = open_page(write_report(tmp_path, metrics=METRICS, playbacks=[played]))

    def read_first():
        """Color of the first feature, at the right of the line."""
        return page.evaluate(
            """() => {
              const strip = document.querySelector(".pane .strip");
              const copy = new OffscreenCanvas(strip.width, strip.height).getContext("2d");
              copy.drawImage(strip, 0, 0);
              const { data } = copy.getImageData(strip.width - 3, 12, 1, 1);
              return [...data].slice(0, 3);
            }"""
        )

    assert is_hot(read_first())
    assert "at most 0.10 of the largest" in page.inner_text(".age")
    choose(page, "scale", "all targets")
    assert not is_hot(read_first())


def test_a_still_opens_its_step_or_says_that_it_cannot(open_page, tmp_path):
    frame = np.zeros((20, 20, 3), np.uint8)
    still = TargetAttributions(
        frame, np.ones((3, 8, 8)), ["left", "right", "wait"], [0.2, 0.3, 0.5], 2,
        caption="episode 2, step 12", positions={"episode 2, step 12": 17},
    )  # fmt: skip
    methods = MethodAttributions(
        frame, {"second": np.ones((8, 8))}, positions={"episode 0, step 3": 3}
    )
    shown = {"metrics": METRICS, "playbacks": [make_playback()]}
    stills = {"examples": [still], "methods": [methods]}
    page = open_page(write_report(tmp_path / "in", **shown, **stills, in_player=True))
    page.click("img[alt='Map by second']")
    until(page, lambda page: position(page) == 3)
    assert page.input_value(".choices .explainer") == "1"
    page.click("img[alt^='Map of right']")
    until(page, lambda page: position(page) == 17)
    assert page.input_value(".choices .explainer") == "0"
    assert page.input_value(".choices .target") == "1"
    assert page.locator(".panes").bounding_box()["y"] < 600
    page.click("text=Open episode 0, step 3 in the player")
    until(page, lambda page: position(page) == 3)
    elsewhere = open_page(write_report(tmp_path / "out", **shown, **stills))
    assert elsewhere.locator("text=Of an episode that is not in the player.").count() == 2
    assert elsewhere.locator("a[data-position]").count() == 0


def test_steps_asked_for_within_a_frame_are_drawn_once(page):
    drawn = page.evaluate(
        """async () => {
          const [viewer, scrub] = [".viewer", ".scrub"].map((name) => document.querySelector(name));
          const positions = [];
          const watcher = new MutationObserver(() => positions.push(viewer.dataset.position));
          watcher.observe(viewer, { attributeFilter: ["data-position"] });
          for (let step = 1; step <= 20; step++) {
            scrub.value = step;
            scrub.dispatchEvent(new Event("input"));
          }
          await new Promise((done) => setTimeout(done, 300));
          return positions;
        }"""
    )
    assert drawn == ["20"]


def test_the_legend_says_range_and_scale(open_page, scaled_path):
    page = open_page(scaled_path)
    said = " ".join(page.inner_text(".legend").split())
    assert said == "0 1 The scale is the same in every step."
    choose(page, "explainer", "times 0.125")
    assert "Each map has its own scale" in page.inner_text(".legend")
    choose(page, "style", "contour")
    assert page.inner_text(".legend").startswith("lines at 0.25")
    choose(page, "style", "no map")
    assert page.locator(".legend").is_hidden()


def test_removals_are_counted_over_all_maps(page):
    # of left the map is hot in region 0, of right, which is taken from step 30 on, in region 1,
    # and only without region 1 of 4 the most probable action changes
    assert read(page, ".checks") == (
        "Removing the brightest region changes the most probable action in 10 of 40 maps (25 %); "
        "a region at random does in 25 %."
    )
    choose(page, "target", "right")
    assert "in 40 of 40 maps (100 %)" in read(page, ".checks")
    choose(page, "target", "the action taken")
    go(page, 12)
    settle(page)
    colors = page.evaluate(
        """() => {
          const canvas = document.querySelector(".check-strip canvas");
          const { data } = canvas.getContext("2d").getImageData(0, 9, canvas.width, 1);
          return Array.from({ length: canvas.width }, (_, i) => data[4 * i]);
        }"""
    )
    assert colors == [0x8A] * 20 + [0xD9] * 10  # steps 10 to 39
    strip = page.locator(".check-strip canvas")
    strip.click(position={"x": strip.bounding_box()["width"] - 2, "y": 5})
    until(page, lambda page: position(page) == T - 1)


def test_plots_are_aligned_and_bookmarks_have_names(page):
    go(page, 20)
    settle(page)
    boxes = page.evaluate(
        """() => [...document.querySelectorAll(".timeline .u-over, .check-strip")].map((one) => {
          const { left, right } = one.getBoundingClientRect();
          return [Math.round(left), Math.round(right)].join();
        })"""
    )
    assert len(boxes) == 6 and len(set(boxes)) == 1
    ticks = page.locator(".timeline .tick")
    assert ticks.count() == 5
    assert ticks.first.get_attribute("title") == "a moment · 30"
    left, right = map(int, boxes[0].split(","))
    box = ticks.first.bounding_box()  # of steps 5 to 34
    assert box["x"] + box["width"] / 2 == pytest.approx(left + 25 / 29 * (right - left), abs=2)
    ticks.first.click()
    until(page, lambda page: position(page) == 35)


def test_the_line_of_the_taken_action_stands_out(page):
    def count_full(step):
        """Count the pixels of two lines that are drawn in full, not faded."""
        go(page, step)
        page.wait_for_timeout(400)  # it is drawn once the steps rest
        return page.evaluate(
            """() => {
              const chart = [...document.querySelectorAll(".timeline canvas")].at(-2);
              const { width, height } = chart;
              const copy = new OffscreenCanvas(width, height).getContext("2d");
              copy.drawImage(chart, 0, 0);
              const { data } = copy.getImageData(0, 0, width, height);
              const found = { "217,114,11": 0, "58,134,209": 0 };
              for (let i = 0; i < data.length; i += 4) {
                const color = [...data.slice(i, i + 3)].join();
                if (color in found && data[i + 3] === 255) found[color] += 1;
              }
              return found;
            }"""
        )

    left = count_full(20)
    right = count_full(35)
    assert left["217,114,11"] > 50 > right["217,114,11"]  # left is taken most, and drawn first
    assert right["58,134,209"] > 50 > left["58,134,209"]


def test_metrics_are_one_line_that_opens(page):
    line = page.locator(".trust-line")
    assert line.inner_text().startswith("Metrics: clearly better than the best control in 1 of 1")
    assert page.locator(".trust").is_hidden()
    line.click()
    assert page.locator(".trust").is_visible()
    assert page.locator(".to-table a").get_attribute("href") == "#metrics"
    choose(page, "explainer", "second")
    assert "in 0 of 1" in line.inner_text()


def test_a_phone_has_the_sentence_under_the_picture_and_scrubs_by_its_width(open_page, path):
    page = open_page(path, width=390)
    game, removal, seen = (
        page.locator(f".pane {name}").bounding_box() for name in (".game", ".removal", ".seen")
    )
    assert game["width"] > 300 and seen["width"] > 300
    assert game["y"] + game["height"] < removal["y"] < seen["y"]
    assert removal["y"] - game["y"] - game["height"] < 120
    assert page.locator(".scrub").bounding_box()["width"] > 320
    controls = page.locator(".transport > button, .transport .where")
    boxes = [one.bounding_box() for one in controls.all()]
    middles = [box["y"] + box["height"] / 2 for box in boxes]
    assert max(middles) - min(middles) < 12
    page.evaluate("document.querySelector('.removal').scrollIntoView({ block: 'end' })")
    bar = page.locator(".transport").bounding_box()
    assert bar["y"] + bar["height"] <= page.locator(".removal").bounding_box()["y"]
    assert page.locator(".sideways").is_visible()
