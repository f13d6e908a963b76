"""Which features matter to which action: mean attributions of many states with intervals."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from sb3_explain.common.bootstrap import confidence_interval, make_clusters
from sb3_explain.common.errors import ExplainError
from sb3_explain.report.figures import TITLE, get_theme, plain_fonts, render_png, style_axes
from sb3_explain.report.palette import Theme, ThemeName, assign_styles
from sb3_explain.report.words import get_explainer_label

#: inches for a letter of a feature's name, and of the remark under it
_NAME_LETTER, _REMARK_LETTER = 0.085, 0.066


@dataclasses.dataclass(frozen=True)
class Importance:
    """Mean magnitude of the attribution of every feature to every target, with intervals.

    :param mean: (C, M) at least 0, in the unit of the scores
    :param low: (C, M) lower bounds
    :param high: (C, M) upper bounds
    """

    mean: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


def feature_importance(
    attributions: ArrayLike,
    episodes: ArrayLike,
    *,
    n_resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Importance:
    """Compute the mean magnitude of attributions over states, with bootstrap intervals.

    :param attributions: (n, C, M) attributions of M features to C targets, as
        :meth:`sb3_explain.Explainer.attribute_all` gives them for vectors
    :param episodes: (n,) number of each state's episode, which are resampled; blocks of states
        are resampled where episodes are few (:func:`sb3_explain.make_clusters`)
    :param n_resamples: number of bootstrap resamples
    :param confidence: confidence level of the intervals, in (0, 1)
    :param seed: random seed of the bootstrap
    :raises ExplainError: if the shapes do not fit
    """
    magnitudes = np.abs(np.asarray(attributions, dtype=np.float64))
    clusters = make_clusters(episodes)
    if magnitudes.ndim != 3 or len(magnitudes) != len(clusters):
        raise ExplainError(
            f"attributions of shape {magnitudes.shape} for {len(clusters)} states: give "
            "(states, targets, features)"
        )
    bounds = np.apply_along_axis(
        lambda values: confidence_interval(
            values, clusters, n_resamples=n_resamples, confidence=confidence, seed=seed
        )[:3],
        0,
        magnitudes,
    )
    return Importance(*bounds)


def rank_correlations(
    importances: Mapping[str, Importance],
) -> dict[tuple[str, str], NDArray[np.float64]]:
    """Compute Spearman's rank correlation of the features' means, for each pair of explainers.

    :param importances: explainer -> importance, of the same targets and features
    :return: pair of explainers -> (C,) rank correlation of each target, in [-1, 1]
    """
    from scipy import stats

    return {
        (one, other): np.array(
            [
                stats.spearmanr(a, b).statistic
                for a, b in zip(importances[one].mean, importances[other].mean, strict=True)
            ]
        )
        for one, other in combinations(importances, 2)
    }


@plain_fonts
def importance_figure(
    importances: Mapping[str, Importance],
    features: Sequence[str],
    targets: Sequence[str],
    *,
    title: str = "",
    theme: ThemeName = "light",
    remarks: Sequence[str] = (),
) -> bytes:
    """Draw every feature's importance by every explainer with its interval, in a panel per target.

    :param importances: explainer -> importance
    :param features: names of the M features
    :param targets: names of the C targets
    :param title: title of the figure, in one or more lines
    :param theme: ``"light"`` or ``"dark"``
    :param remarks: what stands under each feature's name, such as its value; nothing by default
    :return: PNG
    :raises ExplainError: if there is nothing to draw, or the numbers of names and values differ
    """
    shape = (len(targets), len(features))
    shapes = {importance.mean.shape for importance in importances.values()}
    if shapes != {shape}:
        raise ExplainError(
            f"{len(targets)} targets and {len(features)} features do not fit importances of shape "
            f"{' or '.join(map(str, sorted(shapes))) or 'none'}"
        )
    look, drawn = get_theme(theme), assign_styles(importances, ())
    # One line for each explainer within a feature, and a gap before the next.
    lines = max(len(importances) + 1, 3 if remarks else 0)
    height = 0.16 * lines * len(features) + 1.4 + 0.25 * len(title.splitlines())
    words = max((len(remark) for remark in remarks), default=0)
    names = max((len(name) for name in features), default=0)
    left = max(1.6, _NAME_LETTER * names + 0.2, _REMARK_LETTER * words + 0.2)
    figure = Figure(figsize=(left + 2.3 * len(targets), height), layout="constrained")
    panels = figure.subplots(1, len(targets), squeeze=False, sharey=True, sharex=True)[0]
    offsets = (np.arange(len(importances)) - (len(importances) - 1) / 2) / (len(importances) + 1)
    marks: dict[str, Any] = {}
    for i, axes in enumerate(panels):
        for offset, (name, importance) in zip(offsets, importances.items(), strict=True):
            rows = np.arange(len(features)) + offset
            color, marker = drawn[name].color, drawn[name].marker
            axes.hlines(
                rows, importance.low[i], importance.high[i], color=color, linewidth=4, alpha=0.45
            )
            (mark,) = axes.plot(
                importance.mean[i], rows, marker, color=color, markersize=5, linestyle="",
                clip_on=False,  # a mark at 0 is whole
            )  # fmt: skip
            marks[get_explainer_label(name)] = mark
        axes.set_title(targets[i], color=look.ink, **TITLE)
        style_axes(axes, look)
        axes.grid(visible=False, axis="y")
    panels[0].set_xlim(left=0)
    panels[0].set_ylim(len(features) - 0.5, -0.5)
    panels[0].set_yticks(range(len(features)), list(features))
    if remarks:
        _add_remarks(panels[0], remarks, look)
    figure.supxlabel("mean magnitude of the attribution", color=look.faint, fontsize=10.5)
    figure.legend(
        marks.values(), marks.keys(), loc="outside upper left", ncols=len(marks), frameon=False,
        fontsize=10, labelcolor=look.ink, title=title or None, alignment="left",
        title_fontproperties={"size": 12, "weight": "bold"},
    ).get_title().set_color(look.ink)  # fmt: skip
    return render_png(figure, look)


def _add_remarks(axes: Axes, remarks: Sequence[str], look: Theme) -> None:
    """Write a remark under the name of each feature, in a second column of smaller letters."""
    for label in axes.get_yticklabels():
        label.set_verticalalignment("bottom")
    beside = axes.secondary_yaxis("left")
    beside.set_yticks(np.arange(len(remarks)) + 0.05, list(remarks))  # clear of descenders
    beside.tick_params(length=0, pad=6, labelsize=8.5, labelcolor=look.faint)
    for label in beside.get_yticklabels():
        label.set_verticalalignment("top")
    beside.spines["left"].set_visible(False)
