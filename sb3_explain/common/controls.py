"""Names of the controls of a table: explainers that are known to explain nothing."""

from __future__ import annotations

from collections.abc import Iterable

#: the explainers that any useful one must beat, in the order in which they are added to a table
CONTROLS = ("empty", "constant", "random", "gradient")

#: the control that is a method, too: whoever asks for it wants to see it beside other methods
METHOD = "gradient"

#: controls of an explainer that learns, whose names follow its own: ``"visionmask template"``
OWN_CONTROLS = ("template", "swapped")


def split_control(name: str) -> tuple[str, str]:
    """Split the name of an own control into that of its explainer and its own; others have none."""
    explainer, _, control = name.rpartition(" ")
    return (explainer, control) if explainer and control in OWN_CONTROLS else (name, "")


def list_asked(names: Iterable[str]) -> list[str]:
    """List the rows of a table that were asked for; controls that were added stand last.

    :param names: names of all rows, in the table's order; without ``empty``, nothing was added
    """
    asked = [name for name in names if not split_control(name)[1]]
    rank = len(CONTROLS) if CONTROLS[0] in asked else 0
    while asked and asked[-1] in CONTROLS[:rank]:
        rank = CONTROLS.index(asked.pop())
    return asked


def list_controls(names: Iterable[str]) -> list[str]:
    """List the rows of a table that are controls, those of an explainer's own among them.

    :param names: names of all rows, in the table's order
    """
    names = list(names)
    methods = [name for name in list_asked(names) if name == METHOD or name not in CONTROLS]
    return [name for name in names if name not in methods]


def concerns(control: str, explainer: str) -> bool:
    """Tell whether a control is one of an explainer: own controls are those of theirs alone."""
    owner, own = split_control(control)
    return not own or owner == explainer
