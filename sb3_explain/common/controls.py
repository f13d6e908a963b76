"""Names of the controls of a table: explainers that are known to explain nothing."""

from __future__ import annotations

from collections.abc import Iterable

#: the explainers that any useful one must beat
CONTROLS = ("empty", "constant", "random", "gradient")

#: controls of an explainer that learns, whose names follow its own: ``"visionmask template"``
OWN_CONTROLS = ("template", "swapped")


def split_control(name: str) -> tuple[str, str]:
    """Split the name of an own control into that of its explainer and its own; others have none."""
    explainer, _, control = name.rpartition(" ")
    return (explainer, control) if explainer and control in OWN_CONTROLS else (name, "")


def list_controls(names: Iterable[str]) -> list[str]:
    """List the names of a table that are controls, those of an explainer's own among them."""
    return [name for name in names if name in CONTROLS or split_control(name)[1]]


def concerns(control: str, explainer: str) -> bool:
    """Tell whether a control is one of an explainer: own controls are those of theirs alone."""
    owner, own = split_control(control)
    return not own or owner == explainer
