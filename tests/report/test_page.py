"""report.html: complete, offline, safe to open, and honest about what is missing."""

import io
import os
import re
import shutil
import subprocess
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from sb3_explain.common.errors import ExplainError
from sb3_explain.report import (
    MetricWords,
    Picture,
    TargetAttributions,
    write_report,
)
from sb3_explain.report.page import drop_repeated, encode_data_uri, encode_figure, make_title
from sb3_explain.report.page_template import render_page
from sb3_explain.report.palette import THEMES
from sb3_explain.report.target_attributions import encode_png
from sb3_explain.report.viewer.bundle import hash_of

EVIL = "<script>alert('x')</script>\"' onerror=\"alert(1)"


def record(mean, half=0.01, n=1000):
    return {"mean": mean, "low": mean - half, "high": mean + half, "n": n}


METRICS = {
    "agent": {
        "algo": "ppo",
        "environment": {"env_id": "PongNoFrameskip-v4", "wrappers": [["a.B", {"c": None}]]},
        "weights_sha256": "0123abcd",
    },
    "states": {
        "n": 1000,
        "seed": 7,
        "share": float("nan"),
        "own_probability": 0.62,
        "note": "the interval is too narrow: 4 episode(s)",
    },
    "explainers": {
        "visionmask": {
            "accuracy": record(0.97),
            "mask_area": record(0.112),
            "insertion": record(0.42),
            "deletion": record(0.18),
            "sparseness": record(0.7),
            "cost": {"forwards": 123456, "seconds": 12.5, "fit_seconds": 300.25},
        },
        "rise": {
            "insertion": record(0.415),
            "deletion": record(0.28),
            "sparseness": {"mean": float("nan"), "low": float("nan"), "high": None, "n": 0},
            "fresh_metric": record(5.0),
        },
        "empty": {"accuracy": record(0.31), "mask_area": record(0.0, 0.0)},
        "random": {"insertion": record(0.29), "deletion": record(0.27), "sparseness": record(0.33)},
    },
}
CURVES = {
    "visionmask": {"insertion": [0.1, 0.5, 0.6], "deletion": [0.6, 0.2, 0.1]},
    "random": {"insertion": [0.1, 0.3, 0.6], "deletion": [0.6, 0.3, 0.1]},
}
# attributes through which a page can reach for something
REACHING = {"src", "href", "srcset", "poster", "action", "data", "background", "xlink:href"}


class Page(HTMLParser):
    """What a browser would make of the page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text, self.rows, self._cell = [], [], [], None
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self._cell = []

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self.rows[-1].append("".join(self._cell).strip())
            self._cell = None

    def handle_data(self, data):
        self.text.append(data)
        if self._cell is not None:
            self._cell.append(data)

    def row(self, label):
        return next(row for row in self.rows if row and row[0] == label)

    def having(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def example(name="RIGHT"):
    frame = np.zeros((21, 16, 3), dtype=np.uint8)
    return TargetAttributions(frame, np.ones((2, 8, 8)), ["LEFT", name], [0.25, 0.75], 1, "Step 12")


def test_the_gradient_that_was_asked_for_is_no_control(tmp_path):
    known = METRICS["explainers"]
    controls = {name: known["random"] for name in ("empty", "constant", "random")}
    lines = {}
    for name, table in {
        "asked": {"gradient": known["rise"], "visionmask": known["visionmask"], **controls},
        "added": {"visionmask": known["visionmask"], **controls, "gradient": known["rise"]},
    }.items():
        path = write_report(tmp_path / name, metrics={"explainers": table})
        page = path.read_text(encoding="utf-8")
        assert ("Insertion of Plain gradient is" in page) == (name == "asked")
        lines[name] = re.findall(
            r'<tr( class="control")?><th scope="row">.*?</svg>(.*?)</th>', page
        )
    assert dict(map(reversed, lines["asked"]))["Plain gradient"] == ""
    assert dict(map(reversed, lines["added"]))["Plain gradient"]
    assert all(dict(map(reversed, each))["Random map"] for each in lines.values())


def gray_square():
    return encode_png(np.full((4, 4, 3), 99, dtype=np.uint8))


OWN_FIGURE = Picture(
    gray_square(),
    "A figure of one's own",
    "a grey square",
    finding="By LIME, the ball matters most.",
)


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    return write_report(
        tmp_path_factory.mktemp("report"),
        metrics=METRICS,
        curves=CURVES,
        examples=[example(), OWN_FIGURE],
        date="1 May 2030",
        provenance={"Versions": {"torch": "2.8"}},
    )


@pytest.fixture(scope="module")
def page(full):
    return Page(full.read_text(encoding="utf-8"))


def test_nothing_is_fetched_from_anywhere(page, full):
    assert full.name == "report.html"
    assert [record.name for record in full.parent.iterdir()] == ["report.html"]
    for _, attributes in page.tags:
        for name in REACHING & set(attributes):
            assert attributes[name].startswith("data:"), attributes
    assert not {"link", "iframe", "object", "embed", "base"} & {t for t, _ in page.tags}
    text = full.read_text(encoding="utf-8")
    assert "http:" not in text and "https:" not in text and "@import" not in text
    assert "url(" not in text
    (policy,) = (a for a in page.having("meta") if a.get("http-equiv"))
    assert policy["content"].startswith("default-src 'none'")
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.S)
    assert "makeSortable" in script and hash_of(script) in policy["content"]


def test_pictures_are_inside(page):
    sources = [image["src"] for image in page.having("img")]
    # the state and two actions, one figure, two kinds of curves, one panel for each of six metrics
    assert len(sources) == 3 + 1 + 2 + 6
    assert all(image.get("alt") for image in page.having("img"))
    assert any(
        "RIGHT" in image["alt"] and "the agent's action" in image["alt"]
        for image in page.having("img")
    )


def test_every_explainer_and_metric_has_its_place(page):
    head = page.rows[0]
    for label in ("Accuracy ↑", "Area shown ↓", "Insertion ↑", "Deletion ↓", "Sparseness"):
        assert label in [pixel.replace("\u00a0", " ") for pixel in head]
    assert "Fresh metric" in head
    assert page.row("VisionMask")[1] == "0.9700.960\N{EN DASH}0.980"
    assert page.row("RISE")[1] == "\N{EN DASH}"
    assert page.row("RISE")[5] == "\N{EN DASH}"
    labels = [row[0] for row in page.rows if row]
    assert labels.index("Controls") < labels.index("Empty mask") < labels.index("Random map")
    assert labels.index("RISE") < labels.index("Controls")
    text = " ".join(page.text)
    assert "nan" not in text.lower().split() and "None" not in text.split()


def test_what_does_not_beat_a_baseline_is_marked(page):
    assert "†" in page.row("RISE")[4] and "†" not in page.row("VisionMask")[4]
    # bold are the best and what its interval reaches: two of insertion, one of deletion; where
    # only one method has a value there is nothing to be better than
    assert [a.get("class") for a in page.having("td")].count("best") == 3


def test_costs_and_provenance_are_told(page):
    costs = page.rows[[row[:2] for row in page.rows].index(["Explainer", "Forward passes"]) + 1]
    assert costs == ["VisionMask", "123,456", "12.5", "300.2"]
    text = " ".join(page.text)
    for fact in ("0123abcd", "PongNoFrameskip-v4", "2.8", "1 May 2030", "Step 12"):
        assert fact in text


def test_the_first_card_compares_the_methods_and_warns_as_the_table_does(full):
    page = full.read_text(encoding="utf-8")
    _, card, *rest = page.split("<section")
    assert card.startswith(' aria-labelledby="summary"')
    lead = re.search(r'<div class="lead"><p>(.*?)</p>', card).group(1)
    assert lead.startswith("Accuracy (higher is better): VisionMask")
    assert "clearly better than the empty mask (31" in lead
    assert "<li>Insertion (higher is better): VisionMask is best (0.420), not clearly" in card
    assert "<li>By LIME, the ball matters most.</li>" in card
    caution = '<p class="caution">The interval is too narrow: 4 episode(s).</p>'
    assert caution in card
    [table] = [one for one in rest if one.startswith(' aria-labelledby="metrics"')]
    assert table.index(caution) < table.index("<table")


def test_who_the_agent_is_stands_first(tmp_path):
    agent = {"algo": "ppo", "description": "It plays <left>."}
    path = write_report(tmp_path, metrics={**METRICS, "agent": agent})
    card = path.read_text(encoding="utf-8").split("<section")[1]
    assert "<p>It plays &lt;left&gt;.</p>" in card


def test_each_method_is_described_in_words(page):
    text = " ".join(" ".join(page.text).split())
    assert (
        "VisionMask keeps the agent's action in 97 % of the 1,000 states (interval 96.0 to 98.0 %)"
        " while showing it 11 % of the observation. Shown nothing at all, it takes the same action"
        " in 31 %." in text
    )
    assert "the mean probability of the agent's action is 0.620" in text
    assert "The interval is too narrow: 4 episode(s)." in text


def test_tables_and_sections_can_be_heard(page):
    heads = page.having("th")
    assert heads and all(head.get("scope") in ("col", "row") for head in heads)
    assert len(page.having("caption")) == len(page.having("table")) == 2
    ids = {attributes["id"] for _, attributes in page.tags if "id" in attributes}
    assert all(a["aria-labelledby"] in ids for a in page.having("section") if a)
    assert dict(page.tags[0][1])["lang"] == "en"


@pytest.mark.parametrize("place", ["action", "explainer", "metric", "agent", "everywhere else"])
def test_names_are_only_ever_text(tmp_path, place):
    metrics = {
        "agent": {"algo": EVIL} if place == "agent" else {},
        "explainers": {EVIL if place == "explainer" else "rise": {"accuracy": record(0.5)}},
    }
    extra = {}
    if place == "metric":
        metrics["explainers"]["rise"][EVIL] = record(0.5)
        extra["words"] = {EVIL: MetricWords(EVIL, EVIL, "up")}
    if place == "everywhere else":
        extra = {"title": EVIL, "date": EVIL, "interval": EVIL, "provenance": {EVIL: [EVIL]}}
    evil_action = EVIL if place == "action" else "LEFT"
    path = write_report(
        tmp_path / "page.html",
        metrics=metrics,
        examples=[example(evil_action), Picture(gray_square(), EVIL, EVIL)],
        **extra,
    )
    page = Page(path.read_text(encoding="utf-8"))
    assert len(page.having("script")) == 1  # which sorts tables
    assert not any("onerror" in attributes for _, attributes in page.tags)
    assert "alert" in " ".join(page.text)


def test_an_empty_result_is_still_a_page(tmp_path):
    page = Page(write_report(tmp_path / "a.html", metrics={}).read_text(encoding="utf-8"))
    assert not page.having("table")
    write_report(tmp_path / "b.html", metrics={"explainers": {"random": {}}}, curves={"random": {}})


def test_mistakes_are_told_and_leave_no_page(tmp_path):
    with pytest.raises(ExplainError, match="did you mean 'rise'"):
        write_report(tmp_path, metrics=METRICS, explainer="rize")
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not shutil.which("chromium"), reason="needs Chromium")
@pytest.mark.parametrize("width", [500, 1280])
def test_a_browser_shows_it(tmp_path, full, width):
    shot = tmp_path / "shot.png"
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
    command += [f"--user-data-dir={tmp_path / 'profile'}", f"--window-size={width},3000"]
    command += [f"--screenshot={shot}", full.as_uri()]
    subprocess.run(
        command,
        check=True,
        capture_output=True,
        timeout=120,
        env={**os.environ, "HOME": str(tmp_path)},
    )
    picture = np.asarray(Image.open(shot).convert("RGB")).astype(int)
    assert picture.shape[1] == width
    # cards on a page, letters, and no sideways overflow: the margins have one colour
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 100
    assert np.ptp(picture[:, -3:], axis=(0, 1)).max() == 0


def test_a_figure_keeps_the_size_of_its_letters():
    """An inch of a figure is 96 pixels of a page; where it is too wide it is scrolled."""
    square = Image.new("RGB", (1500, 30))
    known, unknown = io.BytesIO(), io.BytesIO()
    square.save(known, format="PNG", dpi=(150, 150))
    square.save(unknown, format="PNG")
    assert encode_figure(Picture(known.getvalue(), "wide"))["width"] == 960
    assert encode_figure(Picture(unknown.getvalue(), "wide"))["width"] == 0
    for content, said in (
        (known, '<img width="960" class="sheet"'),
        (unknown, '<img class="sheet"'),
    ):
        page = render_page(
            "probes.html.j2", title="t", date="", sentences=["s"], probed=[], columns=[],
            quality=[encode_figure(Picture(content.getvalue(), "wide"))], provenance={},
        )  # fmt: skip
        assert said in page
        assert "style=" not in page  # which the policy would not let in


def test_a_figure_is_drawn_for_both_themes_or_is_a_sheet_of_paper():
    drawn = {}

    def draw(theme):
        look, png = THEMES[theme], io.BytesIO()
        Image.new("RGB", (3, 3), look.paper).save(png, format="PNG")
        drawn[theme] = encode_data_uri(png.getvalue(), "image/png")
        return png.getvalue()

    both = Picture.draw(draw, "both", alt="a figure")
    page = render_page(
        "probes.html.j2", title="t", date="", sentences=["s"], probed=[], columns=[],
        quality=[encode_figure(one) for one in (both, Picture(both.png, "paper"))], provenance={},
    )  # fmt: skip
    dark = f'(prefers-color-scheme: dark)" srcset="{drawn["dark"]}"'
    assert drawn["light"] != drawn["dark"]
    assert page.count(dark) == 1
    assert page.count(f'<img src="{drawn["light"]}" alt="a figure">') == 1
    assert page.count(f'<img class="sheet" src="{drawn["light"]}" alt="paper">') == 1


def test_what_provenance_says_twice_is_shown_once():
    environment = {"env_id": "Pong", "wrappers": []}
    agent = {"algo": "ppo", "environment": environment}
    given = {
        "Agent": agent,
        "States": {"seed": 0, "agent": dict(agent), "environment": environment},
    }
    assert drop_repeated(given) == {"Agent": agent, "States": {"seed": 0}}
    different = {"Agent": agent, "States": {"agent": {**agent, "run": 2}, "notes": {}}}
    assert drop_repeated(different)["States"] == {"agent": {"algo": "ppo", "run": 2}, "notes": {}}


def test_empty_maps_are_named_in_place_of_pictures(tmp_path):
    attributions = np.zeros((3, 8, 8))
    attributions[1, 2:5, 2:5] = 1
    example = TargetAttributions(
        np.zeros((8, 8, 3), np.uint8), attributions, ["UP", "DOWN", "LEFT"], chosen=0,
        probabilities=[0.5, 0.3, 0.2],
    )  # fmt: skip
    page = write_report(tmp_path, metrics=METRICS, examples=[example]).read_text()
    assert "Empty map of: UP (50" in page and "LEFT (20" in page
    assert page.count('alt="Map of ') == 1 and 'alt="Map of DOWN' in page


def test_sparseness_has_no_better_direction(tmp_path):
    page = write_report(tmp_path, metrics=METRICS).read_text()
    assert ">Sparseness</th>" in page and "Sparseness\N{NO-BREAK SPACE}" not in page


def test_a_name_that_is_no_utf_8_is_written(tmp_path):
    """As of a file whose name is of other bytes."""
    name = b"agent-\xff.zip".decode(errors="surrogateescape")
    page = write_report(tmp_path, metrics=METRICS, provenance={"Agent": {"file": name}})
    assert r"agent-\udcff.zip" in page.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("algo", "written"),
    [("ppo", "PPO"), ("ppo_lstm", "RecurrentPPO"), ("qrdqn", "QRDQN"), ("module", "module")],
)
def test_algorithms_are_written_in_one_way_in_titles(algo, written):
    assert make_title({"algo": algo, "environment": "X-v0"}) == f"{written} on X-v0"
