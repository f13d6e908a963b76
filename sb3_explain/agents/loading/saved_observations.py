"""Read the observations that a saved model holds, without unpickling them."""

from __future__ import annotations

import base64
from typing import Any

from numpy.typing import NDArray

from sb3_explain.agents.loading.pickle_records import DamagedPickleError, Record, read_records
from sb3_explain.agents.loading.pickled_statistics import read_array
from sb3_explain.common.errors import ExplainError

#: longer texts are not read: a batch of images tells nothing that is looked for
MAX_CHARACTERS = 1_000_000


def read_observations(saved: Any) -> dict[str, NDArray[Any]]:
    """The arrays of an observation by key, ``""`` for one that is no dict; empty if none is there.

    :param saved: what the JSON of the algorithm's attributes has under a name
    """
    text = saved.get(":serialized:") if isinstance(saved, dict) else None
    if not isinstance(text, str) or len(text) > MAX_CHARACTERS:
        return {}
    try:
        root, _ = read_records(base64.b64decode(text, validate=True))
        parts = root.items if isinstance(root, Record) and root.items else root
        by_key = parts if isinstance(parts, dict) else {"": parts}
        return {str(key): read_array(part) for key, part in by_key.items()}
    # it only says something in passing: whatever else it holds is left alone
    except (DamagedPickleError, ExplainError, ValueError):
        return {}
