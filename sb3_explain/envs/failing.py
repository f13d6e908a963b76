"""Failures of an environment that the user wrote, told in one line that names it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sb3_explain.common.errors import ExplainError
from sb3_explain.common.failures import describe_failure

#: what Gymnasium asks of an environment, for those that were written for gym
ASKED = (
    "reset returns (observation, info) in Gymnasium, and step (observation, reward, terminated, "
    "truncated, info)"
)


class FailedEnvError(ExplainError):
    """An environment raised an error while it was played, or gave what no environment gives."""


@contextmanager
def running_env(name: str, doing: str) -> Iterator[None]:
    """Turn whatever a user's environment raises into one line; the error stays as its cause.

    :param name: name of the environment
    :param doing: what it was asked to do, for example ``"step 21"``
    :raises FailedEnvError: in place of any error that is not the package's own
    """
    try:
        yield
    except ExplainError:
        raise
    except Exception as error:  # the user's code may fail in any way
        said = describe_failure(error)
        hint = f": {ASKED}" if isinstance(error, ValueError) and "to unpack" in said else ""
        raise FailedEnvError(f"{name} raised in {doing}: {said}{hint}") from error


def read_reset(name: str, answer: Any) -> Any:
    """The observation in what ``reset`` returned.

    :param name: name of the environment
    :param answer: what it returned
    :raises FailedEnvError: if it is no pair of an observation and a dict
    """
    if isinstance(answer, tuple) and len(answer) == 2 and isinstance(answer[1], dict):
        return answer[0]
    raise FailedEnvError(f"{name} returns no info from reset: {ASKED}")


def read_picture(name: str, drawn: Any, shape: tuple[int, ...] | None) -> NDArray[np.uint8]:
    """Check what an environment drew.

    :param name: name of the environment
    :param drawn: what ``render`` returned
    :param shape: (h, w, 3) shape of the pictures before; ``None`` for the first
    :raises FailedEnvError: if it is no RGB picture, or one of another size
    """
    remedy = "mend render, or play without frames: render=False (on the command line: --no-render)"
    if not isinstance(drawn, np.ndarray):
        raise FailedEnvError(f"{name} renders {type(drawn).__name__}, no array: {remedy}")
    if drawn.dtype != np.uint8 or drawn.ndim != 3 or drawn.shape[2] != 3 or not drawn.size:
        raise FailedEnvError(
            f"{name} renders {drawn.dtype} of shape {drawn.shape}, not (h, w, 3) uint8: {remedy}"
        )
    if shape is not None and drawn.shape != shape:
        raise FailedEnvError(f"{name} renders {drawn.shape} after {shape}: {remedy}")
    return drawn
