"""Copies of live policies, so that an agent does not change when its model trains further."""

from __future__ import annotations

import copy
import functools
import types
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from sb3_explain.common.errors import ExplainError
from sb3_explain.common.untrusted import one_line, quote


def snapshot(module: nn.Module) -> Any:
    """Deep copy of a policy, without its optimizers and the graph of its last forward pass.

    What a network or one of SB3's distributions keeps of its last pass, such as an attention map to
    look at, has a graph, which cannot be copied: the numbers are copied alone.

    :param module: the policy to copy, which is left as it is
    :return: a module of the same class, with weights of its own
    :raises ExplainError: if it is no module, has parameters without numbers, or holds something
        that cannot be copied, such as an open file
    """
    if not isinstance(module, nn.Module):
        what = module.__name__ if isinstance(module, type) else type(module).__name__
        raise ExplainError(
            f"give an instance of torch.nn.Module, not {what}: wrap it in a module whose forward "
            "calls it"
        )
    # what torch.compile returned holds the module that it was given
    module = getattr(module, "_orig_mod", module)
    for name, tensor in (*module.named_parameters(), *module.named_buffers()):
        if is_lazy(tensor) or tensor.is_meta:
            raise ExplainError(
                f"{type(module).__name__} has no numbers in {quote(name)} yet: load its weights, "
                "or call it once on an observation"
            )
    try:
        with torch.no_grad():  # weights of TorchScript are copied by operations with a graph
            return copy.deepcopy(module, _copy_without_graph(module))
    # an attribute of a stranger's class may refuse in any way
    except Exception as error:
        raise ExplainError(
            f"{type(module).__name__} cannot be copied ({one_line(error)}): keep files, locks and "
            "environments outside of the policy"
        ) from error


def _copy_without_graph(module: nn.Module) -> dict[int, Any]:
    """Copies, by ``id``, of all that a deep copy of the module should not copy itself."""
    copies: dict[int, Any] = {}
    seen: dict[int, Any] = {}
    unread: deque[Any] = deque([module])
    while unread:
        value = unread.popleft()
        if id(value) in seen:
            continue
        seen[id(value)] = value
        if isinstance(value, torch.optim.Optimizer):
            copies[id(value)] = None
        elif isinstance(value, Tensor):
            if not value.is_leaf:
                copies[id(value)] = value.detach().clone()
        elif isinstance(value, torch.Generator):
            copies[id(value)] = value.clone_state()
        else:
            unread.extend(_list_parts(value))
    return copies


def _list_parts(value: object) -> Iterable[object]:
    """What a deep copy of a value would copy with it."""
    if isinstance(value, type | types.ModuleType | types.FunctionType):
        return ()
    if isinstance(value, types.MethodType):
        return (value.__self__,)
    if isinstance(value, functools.partial):
        return (value.func, value.args, value.keywords)
    inside: Iterable[object] = value.values() if isinstance(value, Mapping) else ()
    if isinstance(value, list | tuple | set | frozenset | deque):
        inside = value
    return (*inside, *getattr(value, "__dict__", {}).values())
