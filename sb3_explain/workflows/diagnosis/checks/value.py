"""The value against the discounted return that came."""

from __future__ import annotations

import numpy as np

from sb3_explain.common.bootstrap import Interval, confidence_interval, make_clusters
from sb3_explain.common.errors import ExplainError
from sb3_explain.report.diagnosis_figure import Bars
from sb3_explain.workflows.diagnosis.evidence import Evidence
from sb3_explain.workflows.diagnosis.findings import BIAS, Finding, Look, NotLookedError
from sb3_explain.workflows.diagnosis.registry import CHECKS
from sb3_explain.workflows.step_columns import compute_columns

#: correlation below which a value does not follow the return
CORRELATION = 0.2
#: spread of the returns, in units of their size, below which a correlation says nothing
SPREAD = 0.25
#: number of bins of the figure, and of resamples of the correlation
BINS, RESAMPLES = 5, 500


@CHECKS.register("value")
def check_value(evidence: Evidence) -> Look:
    """The value against the discounted return: bias, slope and correlation over whole episodes."""
    evidence.require_values()
    try:
        for name in ("rewards", "values", "scores"):
            evidence.states.column(name)
    except ExplainError as error:
        raise NotLookedError(f"{error}; let diagnose play them") from error
    columns = compute_columns(evidence.agent, evidence.states)
    if "return_to_come" not in columns or "value" not in columns:
        raise NotLookedError("the values or rewards are NaN")
    known = np.isfinite(columns["value"]) & np.isfinite(columns["return_to_come"])
    value, came = columns["value"][known], columns["return_to_come"][known]
    if not known.any():
        raise NotLookedError("no return is known, since all episodes were cut")
    clusters = make_clusters(evidence.states.episode, evidence.states.steps)[known]
    size = float(np.sqrt(np.mean(came**2)))
    if size == 0:
        raise NotLookedError("no reward was earned in these states")
    bias = confidence_interval((value - came) / size, clusters, seed=evidence.seed)
    low, middle, high = correlate(value, came, clusters, evidence.seed)
    slope = float(np.cov(value, came)[0, 1] / value.var()) if value.var() > 0 else 0.0
    said = (
        f"value against the return of the {len(value)} states whose return is known: bias "
        f"{bias.mean:+.2g} of the returns' size, correlation {middle:.2f}, slope {slope:.2f}"
    )
    bars = draw(value, came)
    details = {"slope": slope, "correlation": [middle, low, high], "size": size}
    next_step = (
        "train the value longer (vf_coef, n_epochs), check gamma and the scale of rewards; "
        "values of a critic that is far off mislead the policy's training"
    )
    if abs(bias.mean) > BIAS and min(abs(bias.low), abs(bias.high)) > BIAS / 2:
        how = "too high" if bias.mean > 0 else "too low"
        finding = Finding(
            "value is biased", f"the value is {how}, by {abs(bias.mean):.0%} of the returns' size "
            f"(mean value {value.mean():.3g}, mean return {came.mean():.3g})",
            "warning", "very likely", bias, "of the returns' size is the bias", next_step,
            details=details, bars=bars,
        )  # fmt: skip
        return Look(said, (finding,), bars)
    if high < CORRELATION and came.std() > SPREAD * size:
        finding = Finding(
            "value does not follow the return",
            f"the value does not tell states apart that the return does (correlation {middle:.2f})",
            "warning", "very likely", Interval(middle, low, high, len(value)),
            "is the correlation of value and return", next_step, details=details, bars=bars,
        )  # fmt: skip
        return Look(said, (finding,), bars)
    return Look(said, (), bars)


def correlate(
    value: np.ndarray,
    came: np.ndarray,
    clusters: np.ndarray,
    seed: int,
) -> tuple[float, float, float]:
    """Correlation over the states with an interval by resampling clusters: low, middle, high."""
    rng = np.random.default_rng(seed)
    _, number = np.unique(clusters, return_inverse=True)
    n = number.max() + 1
    each = np.stack([value, came, value**2, came**2, value * came, np.ones_like(value)])
    sums = np.stack([np.bincount(number, weights=row, minlength=n) for row in each])
    draws = rng.multinomial(n, np.full(n, 1 / n), RESAMPLES)
    resampled = [_pearson(sums @ draw) for draw in draws]
    low, high = np.nanquantile(resampled, [0.025, 0.975])
    return float(low), _pearson(sums.sum(axis=1)), float(high)


def _pearson(sums: np.ndarray) -> float:
    x, y, xx, yy, xy = sums[:5] / sums[5]
    spread = (xx - x * x) * (yy - y * y)
    return float((xy - x * y) / np.sqrt(spread)) if spread > 1e-12 * xx * yy else 0.0


def draw(value: np.ndarray, came: np.ndarray) -> Bars:
    """Draw mean value and mean return of bins of equally many states, by value."""
    parts = np.array_split(np.argsort(value, kind="stable"), BINS)
    labels, values = [], []
    for number, part in enumerate(parts, start=1):
        if len(part):
            labels += [f"value, fifth {number}", f"return, fifth {number}"]
            values += [float(value[part].mean()), float(came[part].mean())]
    return Bars("Value and discounted return, by fifths of the value", "mean", labels, values)
