"""The viewer as a widget: its state is that of the page, and widgets of one page keep apart."""

import base64
import json

import numpy as np
import pytest

from sb3_explain.report.viewer.playback import Episode, Explained, Playback, StepAttributions
from sb3_explain.report.viewer.write import write_viewer
from sb3_explain.report.wording import Wording

pytest.importorskip("anywidget", reason="pip install anywidget")

T = 24
HOST = """<!DOCTYPE html><html lang="en"><title>host</title>
<style>table { color: rgb(1, 2, 3); }</style>
<h1>A notebook</h1><div id="first"></div><div id="second"></div><table><tr><td>own</td></tr></table>
"""
#: what a notebook does with a widget; blobs begin at odd places of their buffers, as in messages
SHOW = """async ([place, esm, state, blobs]) => {
  const views = {};
  for (const name in blobs) {
    const text = blobs[name];
    const binary = atob(text);
    const bytes = new Uint8Array(binary.length + 1);
    for (let i = 0; i < binary.length; i++) bytes[i + 1] = binary.charCodeAt(i);
    views[name] = new DataView(bytes.buffer, 1);
  }
  const values = { ...state, blobs: views };
  const model = { get: (name) => values[name], on() {}, off() {}, set() {}, save_changes() {} };
  const url = URL.createObjectURL(new Blob([esm], { type: "text/javascript" }));
  const { default: widget } = await import(url);
  const close = await widget.render({ model, el: document.getElementById(place) });
  (window.closing ??= {})[place] = close;
}"""
PIXEL = """([place, name, x, y]) => {
  const tree = document.querySelector(`#${place} > div`).shadowRoot;
  const canvas = tree.querySelector(`.pane .${name}`);
  const at = [Math.floor(x * canvas.width), Math.floor(y * canvas.height)];
  return [...canvas.getContext("2d").getImageData(...at, 1, 1).data].slice(0, 3);
}"""


def make_playback(first=40):
    """Frames that are as bright as their number says, and a map of the left half."""
    levels = (first + 4 * np.arange(T)).astype(np.uint8)
    hot = np.zeros((T, 8, 8))
    hot[:, :, :4] = 1
    return Playback(
        name="the agent",
        episodes=[Episode(0, 0, 10, 1.0, "ended"), Episode(1, 10, T, 2.0, "ended")],
        shares=np.tile([0.75, 0.25], (T, 1)),
        taken=np.zeros(T, int),
        target_names=["left", "</script>right"],
        columns={"value": np.linspace(0, 1, T), "reward": np.ones(T)},
        rendered=np.broadcast_to(levels[:, None, None, None], (T, 20, 20, 3)).copy(),
        observed=np.broadcast_to(levels[:, None, None], (T, 16, 16)).copy(),
        explained=[Explained("gradient", "Gradient", [StepAttributions(hot)])],
    )


@pytest.fixture(scope="module")
def make_widget():
    from sb3_explain.report.widget import make_widget

    return make_widget


def test_the_state_is_that_of_the_page(make_widget):
    widget = make_widget([make_playback()], Wording())
    page = write_viewer([make_playback()], Wording())
    assert widget.blobs == {name: base64.b64decode(text) for name, text in page.blobs.items()}
    assert json.loads(widget.description) == json.loads(page.description)
    state = widget.get_state()
    assert set(state["blobs"]) == set(page.blobs)
    assert all(isinstance(content, bytes) for content in state["blobs"].values())
    assert "</script>right" in state["description"]  # JSON that no page has to hold
    for style in page.styles:
        assert style in state["styles"]
    assert state["_esm"].rstrip().endswith("export default { render };")


@pytest.fixture
def notebook(browser, tmp_path):
    """A page that shows widgets; the test fails where the browser says anything."""
    said = []
    path = tmp_path / "host.html"
    path.write_text(HOST)
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(path.as_uri())

    def show(place, widget):
        state = widget.get_state()
        blobs = {name: base64.b64encode(one).decode() for name, one in state.pop("blobs").items()}
        plain = {name: one for name, one in state.items() if isinstance(one, str)}
        page.evaluate(SHOW, [place, plain.pop("_esm"), plain, blobs])
        page.wait_for_selector(f"#{place} .viewer[data-ready=yes]")

    page.show = show
    yield page
    page.close()
    assert not said


def go(page, place, to):
    page.locator(f"#{place} .scrub").fill(str(to))
    page.wait_for_selector(f"#{place} .viewer[data-position='{to}']")


def test_widgets_of_one_page_are_independent(notebook, make_widget):
    notebook.show("first", make_widget([make_playback()], Wording()))
    notebook.show("second", make_widget([make_playback(100)], Wording()))
    for place in ("first", "second"):
        notebook.select_option(f"#{place} .style", label="no map")
    go(notebook, "first", 17)
    go(notebook, "second", 3)
    for place, level in (("first", 40 + 4 * 17), ("second", 100 + 4 * 3)):
        for name in ("game", "seen"):
            assert notebook.evaluate(PIXEL, [place, name, 0.2, 0.5]) == [level] * 3
    notebook.select_option("#second .style", label="heat")
    notebook.wait_for_timeout(200)
    red, _, blue = notebook.evaluate(PIXEL, ["second", "seen", 0.2, 0.5])
    assert red > blue + 40
    assert notebook.evaluate(PIXEL, ["first", "seen", 0.2, 0.5]) == [40 + 4 * 17] * 3
    # a pointer over a chart moves no cursor of the other widget
    chart = notebook.locator("#first .timeline .u-over").first
    chart.hover(position={"x": 50, "y": 20})
    step = notebook.locator("#second .timeline .u-legend .u-value").first
    assert step.inner_text() == "3"
    # nor does either touch the page
    table = notebook.locator("table", has_text="own").last
    assert table.evaluate("table => getComputedStyle(table).color") == "rgb(1, 2, 3)"
    assert notebook.evaluate("getComputedStyle(document.body).backgroundColor") in (
        "rgba(0, 0, 0, 0)", "rgb(255, 255, 255)",
    )  # fmt: skip


def test_keys_are_the_players_and_a_closed_view_is_gone(notebook, make_widget):
    notebook.show("first", make_widget([make_playback()], Wording()))
    notebook.evaluate("document.addEventListener('keydown', () => { window.heard = true; })")
    notebook.locator("#first .player").focus()
    notebook.keyboard.press("ArrowRight")
    notebook.wait_for_selector("#first .viewer[data-position='1']")
    notebook.keyboard.press("x")
    assert notebook.evaluate("window.heard") is None
    head = notebook.locator("#first table.episodes button.sort", has_text="Return")
    head.click()
    rows = notebook.locator("#first table.episodes tbody th").all_inner_texts()
    assert [row.split()[:2] for row in rows] == [["episode", "1"], ["episode", "0"]]
    notebook.evaluate("window.gone = document.querySelector('#first > div').shadowRoot")
    assert notebook.evaluate("gone.querySelectorAll('.uplot').length") > 0
    notebook.evaluate("closing.first()")
    assert notebook.evaluate("document.getElementById('first').childElementCount") == 0
    # the window would keep charts that are not destroyed, and with them the whole view
    assert notebook.evaluate("gone.querySelectorAll('.uplot').length") == 0


def test_a_widget_after_another_leaves_nothing_at_the_window(notebook, make_widget):
    notebook.evaluate(
        """() => {
          window.listening = 0;
          for (const [name, by] of [["addEventListener", 1], ["removeEventListener", -1]]) {
            const call = window[name];
            window[name] = (...given) => {
              if (["resize", "scroll", "dppxchange"].includes(given[0])) listening += by;
              call.apply(window, given);
            };
          }
        }"""
    )
    listening = []
    for _ in range(3):
        notebook.show("first", make_widget([make_playback()], Wording()))
        notebook.evaluate("closing.first()")
        listening.append(notebook.evaluate("listening"))
    assert 0 < listening[0] == listening[1] == listening[2]
