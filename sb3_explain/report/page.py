"""report.html: all results of one explained agent, in a single file that opens offline."""

from __future__ import annotations

import base64
import dataclasses
import io
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image

from sb3_explain.common.controls import list_controls
from sb3_explain.common.errors import unknown_name
from sb3_explain.common.files import write_text
from sb3_explain.report.comparison import compare_methods
from sb3_explain.report.figures import Curves, curve_figure, metric_figure
from sb3_explain.report.method_attributions import MethodAttributions
from sb3_explain.report.page_template import render_page
from sb3_explain.report.palette import assign_styles
from sb3_explain.report.siblings import list_siblings
from sb3_explain.report.summary import describe_caution, describe_own_outcome, summarize
from sb3_explain.report.tables import format_costs, make_metric_rows
from sb3_explain.report.target_attributions import TargetAttributions, encode_png
from sb3_explain.report.viewer.playback import Playback
from sb3_explain.report.viewer.trust import describe_trust
from sb3_explain.report.viewer.write import write_viewer
from sb3_explain.report.wording import Wording
from sb3_explain.report.words import (
    MetricWords,
    Table,
    get_explainer_label,
    get_metric_words,
    has_interval,
    join_words,
    list_metric_names,
)


@dataclasses.dataclass(frozen=True)
class Picture:
    """A finished figure of a page.

    :param png: content of a PNG file
    :param caption: text under the figure
    :param alt: description of the figure for those who cannot see it
    :param positions: positions of the states that are shown, by their names, among all given ones
    :param finding: what it shows, in a sentence for the top of the page; empty for nothing
    :param dark: the same figure for dark screens; empty if there is none
    """

    png: bytes
    caption: str
    alt: str = ""
    positions: Mapping[str, int] = dataclasses.field(default_factory=dict)
    finding: str = ""
    dark: bytes = b""

    @classmethod
    def draw(cls, draw: Callable[..., bytes], caption: str, **rest: Any) -> Picture:
        """Draw a figure for light screens and for dark ones.

        :param draw: draws it as a PNG in the theme ``theme``
        :param caption: text under the figure
        :param rest: the other fields
        """
        return cls(draw(theme="light"), caption, dark=draw(theme="dark"), **rest)


@dataclasses.dataclass(frozen=True)
class Point:
    """One thing that was found.

    :param said: what was found, in a sentence
    :param details: its evidence and what follows, in sentences
    """

    said: str
    details: Sequence[str] = ()


@dataclasses.dataclass(frozen=True)
class Section:
    """A section of a page.

    :param anchor: name of the section in addresses, which no other section has
    :param heading: heading
    :param summary: sentences that stand first
    :param points: what was found, the most important first
    :param pictures: finished figures
    :param facts: folded facts: their title, and what is said of each thing by its name
    :param rules: folded lines, whose breaks are kept
    :param page: relative address of the page that says it all; empty for none
    """

    anchor: str
    heading: str
    summary: Sequence[str]
    points: Sequence[Point] = ()
    pictures: Sequence[Picture] = ()
    facts: tuple[str, Mapping[str, Any]] | None = None
    rules: str = ""
    page: str = ""


#: how algorithms are written that are not simply in capitals, by their names in the zoo
NAMES = {
    "crossq": "CrossQ", "drq": "DrQ", "maskable_ppo": "MaskablePPO", "pixelsac": "PixelSAC",
    "ppo_lstm": "RecurrentPPO",
}  # fmt: skip


def write_report(
    path: str | Path,
    *,
    metrics: Mapping[str, Any],
    curves: Curves | None = None,
    examples: Sequence[TargetAttributions | Picture] = (),
    methods: Sequence[MethodAttributions | Picture] = (),
    playbacks: Sequence[Playback] = (),
    remarks: Sequence[str] = (),
    gallery: Sequence[Picture] = (),
    sections: Sequence[Section] = (),
    in_player: bool = False,
    explainer: str | None = None,
    title: str | None = None,
    date: str = "",
    provenance: Mapping[str, Any] | None = None,
    controls: Collection[str] | None = None,
    words: Mapping[str, MetricWords] | None = None,
    interval: str = "95 % bootstrap interval",
) -> Path:
    """Write the report; the file appears only when it is complete.

    :param path: a folder, or a file that ends in ``.html``
    :param metrics: metrics.json: ``{"agent": {..}, "states": {..}, "explainers": {name: {metric:
        {"mean", "low", "high", "n"}, "cost": {"forwards", "seconds", "fit_seconds"}}}}``;
        missing values, ``None`` and NaN are shown as a dash
    :param curves: ``{explainer: {"insertion": [..], "deletion": [..]}}``, values in [0, 1]; of a
        quantity such as the value ``{explainer: {"value_preservation": [..]}}``, in its own unit
    :param examples: states with the maps of all actions, or finished figures
    :param methods: states with the maps of every method, or finished figures
    :param playbacks: steps of the agent that can be played on the page, and of others beside it
    :param remarks: sentences on what the maps leave out
    :param gallery: contact sheets of states that were searched for
    :param sections: what other workflows have found about the agent
    :param in_player: whether ``examples`` and ``methods`` show steps of the first playback, so that
        they open these
    :param explainer: explainer that the summary is about; by default the first that is no control
    :param title: title of the page; by default the algorithm and the environment
    :param date: date of the evaluation, as it is shown
    :param provenance: further plain data for the last section: seeds, versions, command
    :param controls: names of the controls, which are set apart; when not given, those of the table
    :param words: presentation of further metrics
    :param interval: description of what ``low`` and ``high`` are
    :return: path of the file
    :raises ExplainError: if ``explainer`` is not in the table
    """
    path = Path(path)
    path = path if path.suffix.lower() in (".html", ".htm") else path / "report.html"
    table: Table = metrics.get("explainers") or {}
    controls = list_controls(table) if controls is None else controls
    explained = [name for name in table if name not in controls]
    if explainer is not None and explainer not in table:
        raise unknown_name("explainer", explainer, table)
    chosen = explainer or next(iter(explained or table), "")
    others = [name for name in explained if name != chosen]
    agent, states = metrics.get("agent") or {}, metrics.get("states") or {}
    names = list_metric_names(table)
    wording = Wording.read(states)
    words = {name: get_metric_words(name, words, wording) for name in names}
    drawn = assign_styles(table, controls)
    if wording.continuous:  # the share of the whole observation is 1, and no probability
        states = {name: said for name, said in states.items() if name != "own_probability"}
    described = {
        name: summarize(table, name, controls=controls, words=words, wording=wording)
        for name in (chosen, *others)
    }
    trust = {name: describe_trust(table, name, controls, words) for name in explained}
    compared = compare_methods(table, states) or described[chosen]
    findings = [each.finding for each in examples if isinstance(each, Picture) and each.finding]
    viewer = write_viewer(playbacks, wording, trust)
    page = render_page(
        "page.html.j2",
        styles=viewer.styles,
        scripts=viewer.scripts,
        viewer=viewer,
        remarks=remarks,
        siblings=list_siblings(path),
        title=title or make_title(agent),
        date=date,
        subject=get_explainer_label(chosen),
        several=bool(others),
        in_player=in_player and bool(playbacks),
        subjects=join_words([get_explainer_label(name) for name in (chosen, *others) if name]),
        description=read_description(agent),
        verdict=[*compared[:1], *findings, *compared[1:]],
        caution=describe_caution(states, table),
        described=[*described.values(), describe_own_outcome(states, table)],
        methods=[_encode_methods(each) for each in methods],
        examples=[_encode_example(example) for example in examples],
        gallery=[encode_figure(picture) for picture in gallery],
        sections=[(one, [encode_figure(each) for each in one.pictures]) for one in sections],
        metrics=words,
        wording=wording,
        rows=make_metric_rows(table, names, controls, words),
        colors={name: style.color for name, style in drawn.items()},
        curves=_curve_figures(curves or {}, list(table) or None, controls, wording.outcome),
        panels=_metric_figures(table, names, controls, words),
        interval=interval,
        has_intervals=any(has_interval(row.get(name)) for row in table.values() for name in names),
        costs={
            get_explainer_label(name): format_costs(row.get("cost") or {})
            for name, row in table.items()
        },
        provenance=drop_repeated({"Agent": agent, "States": states, **(provenance or {})}),
    )
    write_text(path, page)
    return path


def drop_repeated(data: Mapping[str, Any], shown: list[Any] | None = None) -> dict[str, Any]:
    """Drop every part of plain data that equals a part that comes before it.

    :param data: plain data; parts are mappings within it that are not empty
    :param shown: parts that came before
    """
    shown = [] if shown is None else shown
    unique: dict[str, Any] = {}
    for name, each in data.items():
        if not isinstance(each, Mapping) or not each:
            unique[name] = each
        elif each not in shown:
            shown.append(each)
            unique[name] = drop_repeated(each, shown)
    return unique


def encode_data_uri(content: bytes, kind: str) -> str:
    """Encode the content of a file of a MIME type as a data URI."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def make_title(agent: Mapping[str, Any]) -> str:
    """Make a title of the algorithm and the environment, as far as they are known."""
    environment = agent.get("environment") or agent.get("env") or ""
    if isinstance(environment, Mapping):
        environment = environment.get("env_id", "")
    algo = str(agent.get("algo", "agent"))
    algo = NAMES.get(algo, algo.upper() if algo.islower() and len(algo) <= 5 else algo)
    return f"{algo} on {environment}" if environment else algo


def read_description(agent: Mapping[str, Any]) -> str:
    """Read who the agent is and what its actions do, in words; empty where nobody said it."""
    described = agent.get("description")
    return described if isinstance(described, str) else ""


def encode_figure(picture: Picture) -> dict[str, Any]:
    """Encode a finished figure for a page, with the width at which its letters have their size.

    :param picture: the figure
    :return: what the pages' templates take; ``width`` is in CSS pixels, of which an inch has 96,
        and 0 where the PNG does not say how many of its own an inch has
    """
    with Image.open(io.BytesIO(picture.png)) as opened:
        dpi = opened.info.get("dpi")
        width = round(opened.width / dpi[0] * 96) if dpi and dpi[0] > 0 else 0
    return {
        "caption": picture.caption,
        "alt": picture.alt or picture.caption,
        "light": encode_data_uri(picture.png, "image/png"),
        "dark": encode_data_uri(picture.dark, "image/png") if picture.dark else "",
        "width": width,
        "panels": [],
        "positions": picture.positions,
    }


def _encode_methods(example: MethodAttributions | Picture) -> dict[str, Any]:
    if isinstance(example, Picture):
        return encode_figure(example)
    panels = [
        {
            "name": label,
            "source": encode_data_uri(encode_png(picture), "image/png"),
            "empty": example.is_empty(label),
            "probability": "",
            "chosen": False,
        }
        for label, picture in example.pictures()
    ]
    game = encode_data_uri(encode_png(example.game()), "image/png")
    return {
        "caption": example.caption,
        "panels": panels,
        "game": game,
        "signed": bool(example.signed),
        "positions": example.positions,
    }


def _encode_example(example: TargetAttributions | Picture) -> dict[str, Any]:
    if isinstance(example, Picture):
        return encode_figure(example)
    panels = [
        {
            "name": name,
            "source": encode_data_uri(encode_png(picture), "image/png"),
            "probability": example.probability(action),
            "share": float(example.probabilities[action]) if len(example.probabilities) else None,
            "chosen": example.is_chosen(action),
            "empty": example.is_empty(action),
            "target": action if len(example.probabilities) else None,
        }
        for action, (name, picture) in enumerate(
            zip(example.action_names, example.pictures(), strict=True)
        )
    ]
    game = encode_data_uri(encode_png(example.game()), "image/png")
    return {
        "caption": example.caption,
        "panels": panels,
        "game": game,
        "signed": example.signed,
        "positions": example.positions,
    }


def _curve_figures(
    curves: Curves, explainers: list[str] | None, controls: Collection[str], outcome: str
) -> Iterator[dict[str, Any]]:
    for kind in ("insertion", "deletion", "value_preservation"):
        if any(row.get(kind) for row in curves.values()):
            draw = partial(
                curve_figure,
                curves,
                [kind],
                explainers=explainers,
                controls=controls,
                outcome=outcome,
            )
            alt = (
                f"{get_metric_words(kind).label} curves of "
                f"{', '.join(map(get_explainer_label, curves))}; the areas under them are in the "
                "legend and in the table."
            )
            yield encode_figure(Picture.draw(draw, "", alt=alt))


def _metric_figures(
    table: Table,
    names: Sequence[str],
    controls: Collection[str],
    words: Mapping[str, MetricWords] | None,
) -> Iterator[dict[str, Any]]:
    for name in names:
        alt = (
            f"{get_metric_words(name, words).label} of every explainer with its interval; "
            "the same numbers are in the table."
        )
        draw = partial(metric_figure, table, [name], controls=controls, words=words)
        yield encode_figure(Picture.draw(draw, "", alt=alt))
