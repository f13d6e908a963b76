"""Names of the controls of a table: explainers that are known to explain nothing."""

from __future__ import annotations

from collections.abc import Iterable

#: the explainers that any useful one must beat
CONTROLS = ("empty", "constant", "random", "gradient")

#: controls of an explainer that learns, whose names follow its own: ``"visionmask template"``
OWN_CONTROLS = ("template", "swapped")


def list_controls(names: Iterable[str]) -> list[str]:
    """List the names of a table that are controls, those of an explainer's own among them."""
    return [n for n in names if n in CONTROLS or n.partition(" ")[2] in OWN_CONTROLS]
