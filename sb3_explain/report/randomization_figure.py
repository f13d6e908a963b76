"""Figure of the similarity of maps while the agent's layers are randomized, output first."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sb3_explain.common.controls import list_controls
from sb3_explain.common.errors import ExplainError
from sb3_explain.report.figures import TITLE, get_theme, plain_fonts, render_png, style_axes
from sb3_explain.report.palette import Style, Theme, ThemeName, assign_styles
from sb3_explain.report.words import get_explainer_label

#: explainer -> layer -> measure -> (mean, low, high, ...)
Similarities = Mapping[str, Mapping[str, Mapping[str, Sequence[float]]]]

MEASURES = {"ssim": "Structural similarity", "spearman": "Rank correlation"}


@plain_fonts
def randomization_figure(
    similarities: Similarities,
    layers: Sequence[str],
    *,
    controls: Collection[str] | None = None,
    theme: ThemeName = "light",
) -> bytes:
    """Draw means and intervals of all explainers against the layers, in a panel per measure.

    :param similarities: explainer -> layer -> measure -> mean, low, high; an explainer's name may
        be followed by a comma and a remark, and is then drawn thin and dashed in its color
    :param layers: names of the layers in the order in which they were randomized
    :param controls: names of the controls, which are drawn gray and dashed; when not given, those
        of the explainers
    :param theme: ``"light"`` or ``"dark"``
    :return: PNG
    :raises ExplainError: if there is nothing to draw
    """
    look = get_theme(theme)
    found = {m for row in similarities.values() for measured in row.values() for m in measured}
    measures = [measure for measure in MEASURES if measure in found]
    if not measures:
        raise ExplainError("no similarity to draw: run the parameter randomization first")
    known = list_controls(similarities) if controls is None else controls
    drawn = _assign_styles(similarities, known)
    figure = Figure(
        figsize=(5.2 * len(measures), 3.6 + 0.22 * len(similarities)), layout="constrained"
    )
    panels = figure.subplots(1, len(measures), squeeze=False, sharey=True)[0]
    for axes, measure in zip(panels, measures, strict=True):
        _draw(axes, similarities, layers, measure, drawn, look)
    values = [value for row in similarities.values() for m in row.values() for value in m.values()]
    lowest = np.nanmin([value[:2] for value in values])
    panels[0].set_ylim(min(0.0, lowest) - 0.05, 1.05)
    panels[0].set_ylabel("similarity to the agent's own map")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower left", ncols=3, frameon=False, fontsize=10,
                  labelcolor=look.ink)  # fmt: skip
    return render_png(figure, look)


def _assign_styles(names: Collection[str], controls: Collection[str]) -> dict[str, Style]:
    """Assign a color to each explainer; names with a remark have the same color, dashed."""
    drawn = assign_styles([name for name in names if ", " not in name], controls)
    for name in names:
        if ", " in name:
            drawn[name] = dataclasses.replace(drawn[name.split(", ")[0]], dashes=(3.0, 2.0))
    return drawn


def _draw(
    axes: Axes,
    similarities: Similarities,
    layers: Sequence[str],
    measure: str,
    drawn: Mapping[str, Style],
    look: Theme,
) -> None:
    for i, (name, row) in enumerate(similarities.items()):
        style, remark = drawn[name], ", " in name
        places = [at for at, layer in enumerate(layers) if measure in row.get(layer, {})]
        values = np.array([row[layers[at]][measure][:3] for at in places], dtype=float)
        if not len(values):
            continue
        mean, low, high = values.T
        # side by side, so that intervals do not hide each other
        x = np.array(places) + 0.05 * (i - (len(similarities) - 1) / 2)
        label, _, said = name.partition(", ")
        axes.plot(
            x,
            mean,
            color=style.color,
            marker=style.marker,
            markersize=5,
            linewidth=1.2 if remark else 2,
            linestyle=(0, style.dashes) if style.dashes else "-",
            label=", ".join(filter(None, (get_explainer_label(label), said))),
        )
        axes.vlines(x, low, high, color=style.color, linewidth=4, alpha=0.35)
    axes.axhline(0, color=look.faint, linewidth=0.8)
    axes.set_title(MEASURES[measure], color=look.ink, **TITLE)
    axes.set_xlabel("randomized, with all after it")
    style_axes(axes, look)
    # the last two parts of a layer's long name are enough to tell layers apart
    names = [".".join(layer.split(".")[-2:]) for layer in layers]
    axes.set_xticks(range(len(layers)), names, rotation=30, ha="right", fontsize=10)
