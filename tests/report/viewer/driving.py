"""A small playback whose pixels are known, and what drives its page."""

import dataclasses

import numpy as np

from sb3_explain.report.viewer.playback import (
    Bookmark,
    Episode,
    Explained,
    Playback,
    Removal,
    StepAttributions,
)

T, K = 40, 3
NAMES = ["left", "right", "wait"]
#: region of a 2 x 2 grid in which the map of each target is hot, by explainer
HOT = {"first": [0, 1, 2], "second": [3, 3, 3]}


def squares(regions):
    """StepAttributions (T, 20, 20) that are 1 in one quarter, 0 elsewhere."""
    pictures = np.zeros((T, 20, 20))
    for i, region in enumerate(regions):
        row, column = divmod(region, 2)
        pictures[i, 10 * row : 10 * row + 10, 10 * column : 10 * column + 10] = 1
    return pictures


def make_playback(name="the agent", shift=0):
    """Frames that are as bright as their number says, and a share that falls without region 1."""
    levels = (np.arange(T) * 4 + 40).astype(np.uint8)
    shares = np.tile([0.6, 0.3, 0.1], (T, 1))
    taken = np.zeros(T, int)
    taken[30:] = 1
    removed = np.tile(shares[:, None], (1, 4, 1))
    removed[:, 1] = [0.08, 0.72, 0.2]
    rendered = np.broadcast_to(levels[:, None, None, None], (T, 60, 40, 3)).copy()
    rendered[..., 2] = 200 - shift
    return Playback(
        name=name,
        episodes=[
            Episode(0, 0, 10, 1.5, "ended"),
            Episode(1, 10, 10, 9.0, "time limit", first=30, length=30, losses=(2, 9, 11, 29)),
            Episode(2, 10, T, -2.0, "ended", first=5, length=35, losses=(3, 34)),
        ],
        shares=shares,
        taken=taken,
        target_names=NAMES,
        columns={
            "value": np.linspace(0, 1, T),
            "reward": np.ones(T),
            "return_to_come": np.linspace(1, 0, T),
            "advantage": np.linspace(-1, 1, T),
            "entropy": np.full(T, 0.5),
        },
        rendered=rendered,
        observed=np.broadcast_to(levels[:, None, None], (T, 20, 20)).copy(),
        n_stack=2,
        explained=[
            Explained(
                label,
                label,
                [StepAttributions(squares([HOT[label][k]] * T), k) for k in range(K)],
                untrained=[2] if label == "first" else [],
            )
            for label in HOT
        ],
        removal=Removal(removed, 2, 2),
        bookmarks=[Bookmark(35, "a moment")],
    )


def explain_some(playback, name, positions):
    """The same playback, of which one explainer explains some steps only."""
    explained = [
        one
        if one.name != name
        else dataclasses.replace(
            one,
            positions=np.array(positions),
            attributions=[
                dataclasses.replace(each, values=each.values[positions])
                for each in one.attributions
            ],
        )
        for one in playback.explained
    ]
    return dataclasses.replace(playback, explained=explained)


METRICS = {
    "agent": {"algo": "PPO", "environment": "Dot-v0"},
    "states": {},
    "explainers": {
        name: {"insertion": {"mean": mean, "low": mean - 0.1, "high": mean + 0.1, "n": 300}}
        for name, mean in {"first": 0.7, "second": 0.5, "random": 0.3, "empty": None}.items()
        if mean is not None
    },
}


def pixel(page, name, x, y, pane=0):
    """Color (r, g, b) of a canvas at shares of its width and height."""
    return page.evaluate(
        """([name, x, y, pane]) => {
          const canvas = document.querySelectorAll(`.pane .${name}`)[pane];
          const context = canvas.getContext("2d");
          const at = [Math.floor(x * canvas.width), Math.floor(y * canvas.height)];
          return [...context.getImageData(...at, 1, 1).data].slice(0, 3);
        }""",
        [name, x, y, pane],
    )


def read(page, selector):
    """The text of the first element, with ordinary spaces in place of those that break no line."""
    return page.locator(selector).first.inner_text().replace("\N{NO-BREAK SPACE}", " ")


def position(page):
    return int(page.get_attribute("#viewer", "data-position"))


def go(page, to):
    page.evaluate(
        """(to) => {
          const scrub = document.querySelector(".scrub");
          scrub.value = to;
          scrub.dispatchEvent(new Event("input"));
        }""",
        to,
    )
    page.wait_for_selector(f"#viewer[data-position='{to}']")


def settle(page):
    """Wait until what was asked for is drawn."""
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => setTimeout(done, 60)))")


def until(page, what):
    """Wait until ``what(page)`` is true; the policy forbids what Playwright waits with."""
    for _ in range(200):
        if what(page):
            return
        page.wait_for_timeout(50)
    raise AssertionError("waited for 10 s")


def choose(page, name, option):
    page.select_option(f".{name}", label=option)
    settle(page)


def is_hot(color):
    red, _, blue = color
    return red > blue + 40
