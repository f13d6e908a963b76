"""The random states of a process, which a callback or a fit leaves as they are."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def preserve_random_state(device: torch.device) -> Iterator[None]:
    """Restore all global random states at the end of the context.

    :param device: device of the model
    """
    numpy_state, python_state = np.random.get_state(), random.getstate()  # noqa: NPY002
    threads = torch.get_num_threads()
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        try:
            yield
        finally:
            np.random.set_state(numpy_state)  # noqa: NPY002
            random.setstate(python_state)
            torch.set_num_threads(threads)
