"""Functions that are targets, and may be a user's: one line that names the one that fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor

from sb3_explain.agents.targets.outputs import Outputs
from sb3_explain.common.errors import ExplainError, unknown_name
from sb3_explain.common.failures import describe_failure


def name_function(function: object) -> str:
    """The name of a function, or of the class of what has none."""
    return str(getattr(function, "__name__", type(function).__name__))


@contextmanager
def running_target(name: str) -> Iterator[None]:
    """Turn whatever a target's function raises into one line; the error stays as its cause.

    :param name: name of the target
    :raises ExplainError: in place of any error that is not the package's own
    """
    try:
        yield
    except ExplainError:
        raise
    except AttributeError as error:
        if not isinstance(error.obj, Outputs):
            raise _describe_raised(name, error) from error
        fields = [field for field in dir(error.obj) if not field.startswith("_")]
        raise ExplainError(f"{name}: {unknown_name('output', error.name, fields)}") from error
    except Exception as error:  # the user's code may fail in any way
        raise _describe_raised(name, error) from error


def _describe_raised(name: str, error: Exception) -> ExplainError:
    return ExplainError(
        f"the target {name} raised {describe_failure(error)}: give a function of one argument, see "
        "sb3_explain.agents.targets"
    )


def run_target(
    outputs: Outputs, *, name: str, function: Callable[..., Any], **options: Any
) -> Tensor:
    """Return what a target's function makes of an agent's outputs.

    :param outputs: outputs for B states
    :param name: name of the target
    :param function: the function
    :param options: its other arguments
    :raises ExplainError: if it raises, or returns no tensor
    """
    with running_target(name):
        found = function(outputs, **options)
    if not isinstance(found, Tensor):
        raise ExplainError(
            f"the target {name} returned {type(found).__name__}: return a tensor with one number "
            "for each state"
        )
    return found
