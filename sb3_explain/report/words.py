"""The wording of reports: labels of explainers and metrics, formats of numbers."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal

from sb3_explain.common.controls import split_control
from sb3_explain.report.wording import Wording

#: a share of the observation in the name of a metric
SHARE = re.compile(r"[01](\.\d{1,9})?")

#: shown where a number is missing
MISSING = "\N{EN DASH}"

#: a metric of an explainer: ``{"mean", "low", "high", "n"}``
Estimate = Mapping[str, Any]
#: the ``explainers`` of metrics.json: explainer -> metric -> estimate
Table = Mapping[str, Mapping[str, Estimate]]


@dataclasses.dataclass(frozen=True)
class MetricWords:
    """How a metric is presented.

    :param label: head of its column
    :param text: what it measures, for a reader who does not know it
    :param better: whether higher (``"up"``) or lower (``"down"``) is better; ``None`` if neither
    :param faithful: whether it tests the map against the agent, so that a map has to beat the
        controls
    """

    label: str
    text: str
    better: Literal["up", "down"] | None = None
    faithful: bool = False

    @property
    def arrow(self) -> str:
        """The better direction, as an arrow."""
        return {"up": "↑", "down": "↓", None: ""}[self.better]


#: by name; metrics at a share of the observation by what precedes the share. What stands in braces
#: depends on the kind of agent, see :class:`~sb3_explain.report.wording.Wording`
METRIC_WORDS: Mapping[str, MetricWords] = {
    "accuracy": MetricWords(
        "Accuracy",
        "Share of states in which the agent, shown only what the mask keeps, {same}.",
        "up",
        True,
    ),
    "accuracy@": MetricWords(
        "Accuracy at {share}",
        "Accuracy with every map reduced to {part} that it marks highest, so that "
        "methods that show much and methods that show little are comparable.",
        "up",
        True,
    ),
    "accuracy_clear": MetricWords(
        "Accuracy, clear winner",
        "Accuracy on the states where one action is clearly ahead; elsewhere a change of action "
        "may mean little.",
        "up",
        True,
    ),
    "mask_area": MetricWords(
        "Area shown",
        "Mean of the explained map: the share of the observation that the mask keeps. "
        "Accuracy is worth little without it, since a mask that keeps everything is always right.",
        "down",
    ),
    "insertion": MetricWords(
        "Insertion",
        "The observation is revealed from the most important features to the least, while the "
        "{outcome} is recorded: area under that curve. High if the map ranks first what "
        "{explained} depends on.",
        "up",
        True,
    ),
    "deletion": MetricWords(
        "Deletion",
        "The observation is removed from the most important features to the least: area under the "
        "same curve. Low if the map ranks first what {explained} depends on.",
        "down",
        True,
    ),
    "policy_preservation": MetricWords(
        "Policy preservation",
        "How far the agent's policy on what is revealed is from that on the whole observation, in "
        "nats: area under that curve. Low if the map shows what the agent used, and not what "
        "would make it surer.",
        "down",
        True,
    ),
    "policy_preservation@": MetricWords(
        "Policy preservation at {share}",
        "The same distance where nothing is shown but {part} that the map marks highest.",
        "down",
        True,
    ),
    "value_preservation": MetricWords(
        "Value preservation",
        "How far {explained} is, on what is revealed, from what it is on the whole observation, in "
        "its own unit: area under that curve. Low if the map shows what {explained} depends on.",
        "down",
        True,
    ),
    "specificity": MetricWords(
        "Specificity",
        "Insertion by the map of the state minus insertion by that of another state{alike}. "
        "0 if the map knows nothing of the state.",
        "up",
    ),
    "policy_specificity": MetricWords(
        "Specificity, policy",
        "By how much the policy is better preserved by the map of the state than by the map of "
        "another state{alike}.",
        "up",
    ),
    "forced_action": MetricWords(
        "Forced action",
        "How often the map of an action that the agent would not take{whichever} makes the agent "
        "take it, where nothing is shown but {tenth} that it marks highest. Low if maps show "
        "evidence and do not make it.",
        "down",
    ),
    "local_lipschitz": MetricWords(
        "Local Lipschitz",
        "How much the map changes, at most, for a slight change of the observation, relative to "
        "that change. Low if similar states get similar maps. A map that never changes scores 0, "
        "so this says something only of maps that are faithful.",
        "down",
    ),
    "max_sensitivity": MetricWords(
        "Max-sensitivity",
        "How much of the map changes, at most, under slight noise. Low if the map is "
        "stable. A map that never changes scores 0, so this says something only of maps "
        "that are faithful.",
        "down",
    ),
    "pixel_flipping": MetricWords(
        "{flipped} flipping",
        "Deletion with {flipped_to} in place of what is removed, in small steps: area under the "
        "curve of the {outcome}. Low if the map ranks first what {explained} depends on.",
        "down",
        True,
    ),
    "sparseness": MetricWords(
        "Sparseness",
        "Gini index of the map, from 0 (everything equally important) to 1 (a single feature). "
        "High if the map is concentrated; this does not mean that the map is right.",
    ),
    "masked_return": MetricWords(
        "Masked return",
        "Mean return of the agent when it plays seeing only its masked observations.",
        "up",
        True,
    ),
    "parameter_randomization": MetricWords(
        "Parameter randomization",
        "Similarity of the maps before and after the agent's weights are replaced by random ones. "
        "Low if the map depends on what the agent has learned.",
        "down",
    ),
    "relevance_mass": MetricWords(
        "Relevance mass",
        "Share of the map on known objects, relative to the objects' share of the observation. "
        "Above 1 if the map prefers objects; whether the agent uses them is another question.",
        "up",
    ),
}
_EXPLAINER_LABELS = {
    "visionmask": "VisionMask",
    "stalder": "Explainer (Stalder)",
    "empty": "Empty mask",
    "constant": "Constant mask",
    "random": "Random map",
    "gradient": "Plain gradient",
    "greydanus": "Greydanus",
    "occlusion": "Occlusion",
    "rise": "RISE",
    "lime": "LIME",
    "sarfa": "SARFA",
    "ssinet": "SSINet",
    "smoothgrad": "SmoothGrad",
    "input_x_gradient": "Input x gradient",
    "integrated_gradients": "Integrated gradients",
    "guided_backprop": "Guided backpropagation",
    "grad_cam": "Grad-CAM",
    "guided_grad_cam": "Guided Grad-CAM",
    "feature_ablation": "Feature ablation",
    "kernel_shap": "Kernel SHAP",
}
#: own controls within a sentence about their explainer
_OWN_CONTROLS_IN_TEXT = {
    "template": "the mean map of the action",
    "swapped": "another state's map",
}


def get_metric_words(
    name: str, given: Mapping[str, MetricWords] | None = None, wording: Wording | None = None
) -> MetricWords:
    """Get the presentation of a metric; an unknown one keeps its name and has no direction.

    ``"insertion donor"`` is a metric with other options, and presented as that metric;
    ``"accuracy@0.05"`` is one at another share.

    :param name: name of the metric
    :param given: presentation of further metrics, or in place of the package's own
    :param wording: words for the kind of agent; for one of pictures when not given
    """
    wording = wording or Wording()
    known = {**METRIC_WORDS, **(given or {})}
    if name in (given or {}):
        return known[name]
    base, _, more = name.partition(" ")
    metric, at, _ = base.partition("@")
    size = read_share(name)
    said = known.get(base) or (known.get(metric + at) if size is not None else None)
    if said is None:
        return MetricWords(name.replace("_", " ").capitalize(), "")
    return dataclasses.replace(
        said,
        label=", ".join([wording.fill(said.label, size), *([more] if more else [])]),
        text=wording.fill(said.text, size),
    )


def read_share(name: str) -> float | None:
    """Read the share of the observation in the name of a metric; ``None`` if it has none."""
    share = name.partition(" ")[0].partition("@")[2]
    return float(share) if SHARE.fullmatch(share) else None


def get_explainer_label(name: str) -> str:
    """Get the label of an explainer, for people."""
    explainer, own_control = split_control(name)
    if own_control:
        return f"{get_explainer_label(explainer)}, {own_control}"
    return _EXPLAINER_LABELS.get(name, name.replace("_", " "))


def to_finite(value: Any) -> float | None:
    """Convert to a float, or ``None`` if the value is missing, NaN or infinite."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return float(value) if number and math.isfinite(value) else None


def format_number(value: Any) -> str:
    """Format a metric with three significant digits, or as a dash if there is none."""
    value = to_finite(value)
    if value is None:
        return MISSING
    if abs(value) < 1e-12:  # what rounding leaves of zero
        return "0.000"
    if 0.001 <= abs(value) < 10:
        return f"{value:.3f}"
    if 10 <= abs(value) < 1e6:
        return f"{value:,.{max(0, 2 - int(math.log10(abs(value))))}f}"
    return f"{value:.2e}"


def format_percent(value: float) -> str:
    """Format a share in percent, with one decimal near 0 and 100 %."""
    share = value * 100
    digits = 1 if 0 < share < 3 or 99 <= share < 100 else 0
    # no line break before the sign
    return f"{share:.{digits}f}\N{NO-BREAK SPACE}%"


def list_metric_names(table: Table) -> list[str]:
    """List the metrics of a table in the order of their first appearance, without the costs."""
    return list(dict.fromkeys(name for row in table.values() for name in row if name != "cost"))


def read_bounds(estimate: Estimate | None) -> tuple[float, float, float] | None:
    """Read mean, low and high; missing bounds become the mean, a missing mean ``None``."""
    mean = to_finite((estimate or {}).get("mean"))
    if estimate is None or mean is None:
        return None
    low, high = to_finite(estimate.get("low")), to_finite(estimate.get("high"))
    return mean, mean if low is None else low, mean if high is None else high


def has_interval(estimate: Estimate | None) -> bool:
    """Tell whether both bounds of an estimate are known."""
    return all(to_finite((estimate or {}).get(bound)) is not None for bound in ("low", "high"))


def beats(one: Estimate | None, other: Estimate | None, better: str | None) -> bool | None:
    """Tell whether the interval of one estimate lies wholly on the better side of the other's.

    Without intervals no difference is shown.

    :param one: first estimate
    :param other: second estimate
    :param better: ``"up"``, ``"down"`` or ``None``
    :return: ``None`` if an estimate is missing or the metric has no better direction
    """
    a, b = read_bounds(one), read_bounds(other)
    if a is None or b is None or better is None:
        return None
    if not (has_interval(one) and has_interval(other)):
        return False
    return a[1] > b[2] if better == "up" else a[2] < b[1]


def join_words(words: Sequence[str]) -> str:
    """Join words as ``a``, ``a and b`` or ``a, b and c``."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def name_in_text(name: str, controls: Collection[str]) -> str:
    """Name an explainer within a sentence: a control with its article, others by their label."""
    own_control = split_control(name)[1]
    if own_control:
        return _OWN_CONTROLS_IN_TEXT[own_control]
    label = get_explainer_label(name)
    return f"the {label[0].lower()}{label[1:]}" if name in controls and label else label
