"""Stop a network before it is larger than the weights that it is made for."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

#: elements besides those of the weights: a class may make default networks and replace them
SPARE = 2**24
#: functions that layers make their parameters with, by sizes
MAKERS = frozenset({torch.empty, torch.zeros, torch.ones, torch.rand, torch.randn})


class ElementLimit(TorchFunctionMode):
    """While it is entered, tensors of more elements than the weights call for are not made.

    Two sizes of one row each stand in a file of a few bytes, and the layer between them may be
    larger than the memory.

    :param weights: state dict of the policy that is made
    """

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.held = sum(tensor.numel() for tensor in weights.values())
        self.made = 0

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if func in MAKERS:
            sizes = args[0] if args and isinstance(args[0], tuple | list) else args
            self.made += math.prod(size for size in sizes if isinstance(size, int))
            if self.made > 4 * self.held + SPARE:
                raise MemoryError(
                    f"it would have more than {self.made - 1} weights, of which the file holds "
                    f"{self.held}"
                )
        return func(*args, **(kwargs or {}))
