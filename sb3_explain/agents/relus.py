"""The ReLUs of a forward pass, whether a network has them as modules or calls them as functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.module import register_module_forward_hook
from torch.overrides import TorchFunctionMode

#: what computes max(x, 0), in place or not; ``nn.ReLU`` calls one of them
RELUS = frozenset(
    {torch.relu, torch.relu_, Tensor.relu, Tensor.relu_, functional.relu, functional.relu_}
)
#: what computes max(x, 0) where its bounds say so
CLAMPS = frozenset(
    {
        *(torch.clamp, torch.clamp_, Tensor.clamp, Tensor.clamp_, torch.clip, Tensor.clip),
        *(torch.clamp_min, torch.clamp_min_, Tensor.clamp_min, Tensor.clamp_min_),
    }
)


class WatchReLUs(TorchFunctionMode):
    """Call a function with the output of every ReLU of the forward passes in the ``with`` block.

    A module that derives from ``nn.ReLU`` counts, whatever it calls, such as an operator with a
    gradient of its own. Outputs that have no gradient are left out. ReLUs inside of a compiled or
    scripted network are not seen.

    :param note: function of the output (B, ...) of a ReLU
    """

    def __init__(self, note: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.note = note
        self._last: Tensor | None = None

    def __enter__(self) -> Self:
        self._modules = register_module_forward_hook(self._see_module)
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)  # type: ignore[no-untyped-call]
        self._modules.remove()
        self._last = None

    def _see_module(self, module: nn.Module, inputs: Any, output: Any) -> None:
        # most modules call a function, whose output has been seen
        if isinstance(module, nn.ReLU) and output is not self._last:
            self._see(output)

    def _see(self, output: Any) -> None:
        if isinstance(output, Tensor) and output.requires_grad:
            self._last = output
            self.note(output)

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        output = func(*args, **kwargs)
        if func in RELUS or (func in CLAMPS and is_bounded_by_zero(args, kwargs)):
            self._see(output)
        return output


def is_bounded_by_zero(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
    """Return whether the arguments of a clamp are those of a ReLU: at least 0, with no upper bound.

    :param args: positional arguments: the tensor, the lower bound, the upper bound
    :param kwargs: the same by name
    """
    low = kwargs.get("min", args[1] if len(args) > 1 else None)
    high = kwargs.get("max", args[2] if len(args) > 2 else None)
    return isinstance(low, (int, float)) and low == 0 and high is None
