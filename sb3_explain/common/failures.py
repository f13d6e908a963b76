"""Failures of one part of a long computation, which the other parts survive."""

from __future__ import annotations

import torch

from sb3_explain.common.errors import ExplainError
from sb3_explain.common.untrusted import one_line

#: how torch's allocators say that memory is used up, in errors of no class of their own
OUT_OF_MEMORY = ("can't allocate memory", "out of memory")


def describe_failure(error: Exception) -> str:
    """Return why a part failed, in one line; what no other part would survive is raised again.

    >>> from sb3_explain.common.failures import describe_failure
    >>> describe_failure(IndexError("index 13 is out of range"))
    'IndexError: index 13 is out of range'

    :param error: what was raised
    :raises MemoryError: or torch's own error, if memory is used up
    """
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)) or (
        isinstance(error, RuntimeError) and any(said in str(error) for said in OUT_OF_MEMORY)
    ):
        raise error
    line = one_line(error)
    name = type(error).__name__
    return line if isinstance(error, ExplainError) or line == name else f"{name}: {line}"
