"""scikit-learn, which only some workflows need."""

from __future__ import annotations

import importlib
from typing import Any

from sb3_explain.common.errors import ExplainError


def find_sklearn(part: str, user: str) -> Any:
    """Return a part of scikit-learn.

    :param part: name of a module of it
    :param user: name of the function that needs it, for the error message
    :raises ExplainError: if scikit-learn is not installed
    """
    try:
        return importlib.import_module(f"sklearn.{part}")
    except ImportError as error:
        raise ExplainError(f"{user} needs scikit-learn: pip install 'sb3_explain[tree]'") from error
