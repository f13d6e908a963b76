"""Metrics of attributions: one file each, entered in the registry by its decorator.

A metric is a function whose parameters without a default are its inputs, by name:

- ``batch``: the states with their targets, which asks the agent about perturbed copies (see
  :class:`sb3_explain.StateBatch`); ``batch.observations`` (B, ...) are float32 in raw range, and
  (B, N), all keys side by side, for Dict observations
- ``explainer``: the explainer itself, for metrics that explain other observations
- ``attributions``: (B, ...) of the observations' shape
- ``masks``: (B, ...) the attributions again, of explainers whose attributions are masks
  (``gives_masks``); the metric does not apply to others
- ``ordering``: (B, N) indices of the features from the highest attribution to the lowest (of Box
  actions by magnitude), of explainers that order the features (``ranks_features``); the metric does
  not apply to others
- ``baseline``: (B, ...) what a removed feature becomes, see :mod:`sb3_explain.states.baselines`
- ``boxes``: (B, H, W), true where a pixel of the newest frame lies in the box of an object, where
  :func:`sb3_explain.evaluate` has been given boxes
- ``attribution``: (B, C, H, W) attributions of Q1(s, pi(s)) to the pixels, of an agent of SGQN or
  one of its baselines; the metric does not apply to others
- ``others``: other evaluated states for each state, see :class:`sb3_explain.OtherStates`
- ``rng``: a NumPy generator, which starts alike for every explainer

A feature is one number of an observation: of an image, one channel of one pixel. A metric returns
(B,) values, NaN for a state that does not count, or (B, P) curves, whose area is then the value.
Parameters with a default are its options, and so are the fields of a ``TypedDict`` that it takes as
``**options: Unpack[...]``; ``attributions`` and ``others`` may be optional inputs, with the default
``None``, which are given where they are known. A metric draws and computes state
by state, so that its values do not depend on how the states are batched.
"""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, get_args, get_type_hints

from torch import Tensor

from sb3_explain.common.errors import ExplainError, unknown_name
from sb3_explain.common.registry import Registry

#: metrics by name
METRICS: Registry[Callable[..., Tensor]] = Registry("metric", __name__)

Metric = Callable[..., Tensor]

#: inputs that a metric may also do without
OPTIONAL = frozenset({"attributions", "others"})


def needs(metric: Metric) -> set[str]:
    """Return the names of a metric's inputs: its parameters without a default."""
    parameters = inspect.signature(metric).parameters.values()
    return {
        parameter.name
        for parameter in parameters
        if parameter.default is parameter.empty and parameter.kind is not parameter.VAR_KEYWORD
    }


def takes(metric: Metric) -> set[str]:
    """Return the names of a metric's inputs, with those that it may do without."""
    return needs(metric) | (OPTIONAL & inspect.signature(metric).parameters.keys())


def list_options(metric: Metric) -> set[str]:
    """Return the names of a metric's options."""
    options: set[str] = set()
    for parameter in inspect.signature(metric).parameters.values():
        if parameter.kind is parameter.VAR_KEYWORD:
            shared = get_args(get_type_hints(metric)[parameter.name])
            options |= shared[0].__annotations__.keys() if shared else set()
        else:
            options.add(parameter.name)
    return options - takes(metric)


def bind_options(
    metrics: str | Iterable[str] | Mapping[str, Mapping[str, Any]] | None,
) -> dict[str, Metric]:
    """Return metrics by name, with their options bound to them.

    A metric may be there more than once, under names that say more after a space:
    ``{"insertion": {}, "insertion donor": {"perturb_baseline": "donor"}}``. Those at a share of the
    features may be there at several: ``["accuracy@0.05", "accuracy@0.2"]``.

    :param metrics: a name, names, or options by name; all metrics when not given
    :raises ExplainError: for an unknown metric or option; the nearest is suggested
    """
    names = METRICS if metrics is None else [metrics] if isinstance(metrics, str) else metrics
    if not isinstance(names, Iterable):
        raise ExplainError(f"metrics={names!r}: give a name, a list of names, or options by name")
    options = metrics if isinstance(metrics, Mapping) else {str(name): {} for name in names}
    chosen: dict[str, Metric] = {}
    for name, keywords in options.items():
        metric = METRICS[find_base(name)]
        known = list_options(metric)
        if not isinstance(keywords, Mapping):
            raise ExplainError(f"options of {name} are a dict, not {keywords!r}: {{}} for none")
        for keyword in keywords:
            if keyword not in known:
                raise unknown_name(f"option of {name}", keyword, known)
        chosen[name] = functools.partial(metric, **{**read_share(name), **keywords})
    return chosen


def find_base(name: str) -> str:
    """Return the name of the metric in the name that it has in a table.

    That is what precedes a space, and of a metric at another share the one that is registered.
    """
    base = name.partition(" ")[0]
    metric, at, _ = base.partition("@")
    if not at or base in METRICS:
        return base
    return next((known for known in METRICS if known.startswith(f"{metric}@")), base)


def read_share(name: str) -> dict[str, float]:
    """Read the share in the name of a metric that is not the registered one, as its option.

    :raises ExplainError: if it is no number in [0, 1]
    """
    base = name.partition(" ")[0]
    if base == find_base(name):
        return {}
    try:
        share = float(base.partition("@")[2])
    except ValueError:
        share = math.nan
    if not 0 <= share <= 1:
        raise ExplainError(
            f"{name!r}: give a share of the features in [0, 1] after the @, such as "
            f"{find_base(name)!r}"
        )
    return {"share": share}


def list_metrics() -> list[str]:
    """Return the names of all metrics.

    >>> from sb3_explain import list_metrics
    >>> {"insertion", "deletion", "sparseness"} <= set(list_metrics())
    True
    """
    return list(METRICS)
