"""Figures of a study's results, from rows of plain numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sb3_explain.report.figures import TITLE, get_theme, plain_fonts, render_png, style_axes
from sb3_explain.report.palette import Style, Theme, ThemeName, assign_styles
from sb3_explain.report.words import get_explainer_label

Row = Mapping[str, Any]
#: arms that are drawn gray, as controls are
GRAY = ("no_map", "random_map", "randomized_agent")
#: p-value below which a difference is drawn as found
LEVEL = 0.05
#: titles of the panels, by the outcome
TITLES = {
    "before": "Next action, before",
    "after": "Next action, after",
    "region": "Region that decides",
    "agent": "Which agent acts",
}


@plain_fonts
def opinion_figure(rows: Sequence[Row], *, theme: ThemeName = "light") -> bytes:
    """Draw the number of responses and of positive ones of each question, a panel for each arm.

    This is the form of figure 3 of the VisionMask paper (Zuo et al., 2025). Above each pair stand
    the share and its Wilson interval.

    :param rows: rows with ``arm``, ``question``, ``responses``, ``positive``, ``share``, ``low``
        and ``high``; those of the question ``"all"`` go into titles, unless there are no others
    :param theme: ``"light"`` or ``"dark"``
    """
    look = get_theme(theme)
    arms = list(dict.fromkeys(row["arm"] for row in rows))
    drawn = assign_styles(arms, GRAY)
    n = max(sum(row["arm"] == arm for row in rows) for arm in arms)
    figure = Figure(figsize=(max(7.2, 0.75 * n), 2.9 * len(arms)), layout="constrained")
    panels = figure.subplots(len(arms), 1, squeeze=False, sharey=True)[:, 0]
    for axes, arm in zip(panels, arms, strict=True):
        own = [row for row in rows if row["arm"] == arm]
        _draw_opinions(axes, arm, own, drawn[arm], look)
    panels[0].legend(frameon=False, fontsize=9.5, labelcolor=look.ink, ncols=2, loc="lower right",
                     bbox_to_anchor=(1, 1))  # fmt: skip
    panels[-1].set_xlabel("question")
    return render_png(figure, look)


def _draw_opinions(axes: Axes, arm: str, rows: Sequence[Row], style: Style, look: Theme) -> None:
    each = [row for row in rows if row["question"] != "all"] or list(rows)
    whole = next((row for row in rows if row["question"] == "all"), None)
    places = np.arange(len(each))
    total, positive = (np.array([row[name] for row in each]) for name in ("responses", "positive"))
    axes.bar(places - 0.2, total, 0.38, color=look.grid, edgecolor=look.faint, label="responses")
    axes.bar(places + 0.2, positive, 0.38, color=style.color, label="positive")
    for place, row in zip(places, each, strict=True):
        axes.text(float(place), row["responses"],
                  f"{row['share']:.0%}\n{row['low']:.0%} to {row['high']:.0%}",
                  ha="center", va="bottom", fontsize=8, color=look.faint)  # fmt: skip
    said = "" if whole is None else f": {whole['positive']} of {whole['responses']} positive"
    axes.set_title(f"{get_explainer_label(arm)}{said}", color=look.ink, **TITLE)
    axes.set_ylim(0, 1.3 * max(total))
    if len(each) < 3:  # few bars are no wider than many
        axes.set_xlim(-1.2, len(each) + 0.2)
    axes.set_ylabel("number")
    style_axes(axes, look)
    axes.grid(visible=False, axis="x")
    axes.set_xticks(places, [str(row["question"]).rpartition("-")[2] for row in each])


@plain_fonts
def right_figure(rows: Sequence[Row], arms: Sequence[str], *, theme: ThemeName = "light") -> bytes:
    """Draw the share of right answers of each arm with both intervals, a panel for each task.

    :param rows: rows with ``outcome``, ``arm``, ``mean``, ``low``, ``high``, ``low_both`` and
        ``high_both``
    :param arms: names of the arms, from the top
    :param theme: ``"light"`` or ``"dark"``
    """
    look = get_theme(theme)
    outcomes = [name for name in TITLES if any(row["outcome"] == name for row in rows)]
    drawn = assign_styles(arms, GRAY)
    figure = Figure(
        figsize=(1.6 + 2.6 * len(outcomes), 1.5 + 0.45 * len(arms)), layout="constrained"
    )
    panels = figure.subplots(1, len(outcomes), squeeze=False, sharey=True)[0]
    for axes, outcome in zip(panels, outcomes, strict=True):
        for row in rows:
            if row["outcome"] == outcome:
                place = len(arms) - 1 - list(arms).index(row["arm"])
                _draw_bounds(axes, place, row, drawn[row["arm"]])
        axes.set_title(TITLES[outcome], color=look.ink, **{**TITLE, "fontsize": 11.5})
        axes.set_xlim(0, 1)
        axes.set_xlabel("share right")
        style_axes(axes, look)
    panels[0].set_yticks(range(len(arms)), [get_explainer_label(arm) for arm in reversed(arms)])
    panels[0].set_ylim(-0.6, len(arms) - 0.4)
    return render_png(figure, look)


def _draw_bounds(axes: Axes, place: float, row: Row, style: Style) -> None:
    """Draw a mean, its interval over participants (thick), and that over states too (thin)."""
    axes.hlines(place, row["low_both"], row["high_both"], color=style.color, linewidth=1.4)
    axes.hlines(place, row["low"], row["high"], color=style.color, linewidth=5, alpha=0.45)
    axes.plot(row["mean"], place, marker="o", markersize=6, color=style.color)


@plain_fonts
def gain_figure(rows: Sequence[Row], *, theme: ThemeName = "light") -> bytes:
    """Draw the differences between arms in the gain of predictions, with their intervals.

    :param rows: rows with ``arm``, ``other``, ``difference``, ``low``, ``high`` and ``p_holm``
    :param theme: ``"light"`` or ``"dark"``
    """
    look = get_theme(theme)
    drawn = assign_styles(dict.fromkeys(row["arm"] for row in rows), GRAY)
    figure = Figure(figsize=(7.2, 1.4 + 0.42 * len(rows)), layout="constrained")
    axes = figure.subplots()
    for number, row in enumerate(rows):
        place, color = len(rows) - 1 - number, drawn[row["arm"]].color
        low, high = 100 * row["low"], 100 * row["high"]
        axes.hlines(place, low, high, color=color, linewidth=5, alpha=0.45)
        filled = color if row["p_holm"] < LEVEL else look.paper
        axes.plot(100 * row["difference"], place, marker="o", markersize=7, color=color,
                  markerfacecolor=filled)  # fmt: skip
    axes.axvline(0, color=look.faint, linewidth=1)
    axes.set_title("Gain in right predictions, difference", color=look.ink, **TITLE)
    axes.set_xlabel(f"points (filled: p < {LEVEL} after Holm's adjustment)")
    style_axes(axes, look)
    pairs = [(get_explainer_label(row["arm"]), get_explainer_label(row["other"])) for row in rows]
    labels = [f"{one} over {other}" for one, other in pairs]
    axes.set_yticks(range(len(rows)), labels[::-1])
    axes.set_ylim(-0.6, max(len(rows), 1) - 0.4)
    return render_png(figure, look)
