"""Read Python expressions in configurations without evaluating them.

The zoo writes ``policy_kwargs`` and ``normalize`` as source, for example
``dict(net_arch=[400, 300], activation_fn=nn.ReLU)``; a model's zip holds classes as
``<class 'torch.nn.modules.activation.ReLU'>``. Both are looked up in one table of known names.
"""

from __future__ import annotations

import ast
import operator
import re
import warnings
from collections.abc import Callable, Collection
from typing import Any

import torch
from stable_baselines3.common.sb2_compat.rmsprop_tf_like import RMSpropTFLike
from stable_baselines3.common.torch_layers import CombinedExtractor, FlattenExtractor, NatureCNN
from torch import nn

from sb3_explain.common.errors import ExplainError
from sb3_explain.common.untrusted import quote

MAX_CHARACTERS = 4000
MAX_DEPTH = 32
#: whole numbers are smaller than this; Python refuses to write those of more than 4300 digits
MAX_INT = 10**100

ACTIVATIONS: tuple[type[nn.Module], ...] = (
    nn.CELU, nn.ELU, nn.GELU, nn.Hardsigmoid, nn.Hardswish, nn.Hardtanh, nn.Identity, nn.LeakyReLU,
    nn.LogSigmoid, nn.Mish, nn.PReLU, nn.ReLU, nn.ReLU6, nn.SELU, nn.Sigmoid, nn.SiLU, nn.Softplus,
    nn.Softsign, nn.Tanh,
)  # fmt: skip
OPTIMIZERS = tuple(
    value
    for value in vars(torch.optim).values()
    if isinstance(value, type) and issubclass(value, torch.optim.Optimizer)
)


def _list_known_names() -> dict[str, Any]:
    names: dict[str, Any] = {}
    for modules, classes in (
        (("nn", "th.nn", "torch.nn"), ACTIVATIONS),
        (("optim", "th.optim", "torch.optim"), OPTIMIZERS),
        (("",), (RMSpropTFLike, NatureCNN, FlattenExtractor, CombinedExtractor)),
    ):
        for known in classes:
            for module in (*modules, known.__module__):
                names[f"{module}.{known.__name__}".lstrip(".")] = known
    return names


#: names that an expression may use, and the classes that they stand for
KNOWN_NAMES = _list_known_names()

ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


def read_expression(text: str, where: str, skip: Collection[str] = ()) -> Any:
    """The value of a literal expression.

    It may hold numbers, strings, ``True``, ``False``, ``None``, lists, tuples, dicts,
    ``dict(...)``, sums, differences, products and quotients of numbers, and the names in
    :data:`KNOWN_NAMES`.

    :param text: source text of the expression
    :param where: place of the expression, for error messages
    :param skip: keys of the dict that are left out unread, whatever they hold
    :raises ExplainError: if the expression holds anything else
    """
    if len(text) > MAX_CHARACTERS:
        raise ExplainError(f"{where} is longer than {MAX_CHARACTERS} characters")
    text = text.strip()
    try:
        with warnings.catch_warnings():  # of a backslash in a string, beside our one line
            warnings.simplefilter("ignore")
            tree = ast.parse(text, mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ExplainError(f"{where}: {quote(text)} is not an expression") from error
    return _Reader(text, where).value(_leave_out(tree.body, skip), 0)


def _leave_out(node: ast.expr, skip: Collection[str]) -> ast.expr:
    """A dict without some of its keys; any other expression as it is."""
    if isinstance(node, ast.Call):
        node.keywords = [pair for pair in node.keywords if pair.arg not in skip]
    elif isinstance(node, ast.Dict):
        pairs = [
            (key, value)
            for key, value in zip(node.keys, node.values, strict=True)
            if not (isinstance(key, ast.Constant) and key.value in skip)
        ]
        node.keys, node.values = [key for key, _ in pairs], [value for _, value in pairs]
    return node


def read_class(text: str, where: str) -> Any:
    """The known class whose ``repr`` is a text.

    :param text: for example ``"<class 'torch.nn.modules.activation.ReLU'>"``
    :param where: place of the text, for error messages
    :raises ExplainError: if it is no class in :data:`KNOWN_NAMES`
    """
    match = re.fullmatch(r"<class '([\w.]{1,200})'>", text)
    if match is None or match[1] not in KNOWN_NAMES:
        name = match[1] if match else text
        raise ExplainError(
            f"{where} is {quote(name)}, which is code that a file cannot bring: "
            "import it yourself and pass it in policy_kwargs=dict(...)"
        )
    return KNOWN_NAMES[match[1]]


class _Reader:
    """Reads one expression; its errors quote the part that cannot be read."""

    def __init__(self, text: str, where: str) -> None:
        self.text = text
        self.where = where

    def refuse(self, node: ast.AST) -> ExplainError:
        part = ast.get_source_segment(self.text, node) or self.text
        return ExplainError(
            f"{self.where}: {quote(part)} is not a literal or a known name and was not evaluated: "
            "write it out, or pass policy_kwargs=dict(...)"
        )

    def value(self, node: ast.expr, depth: int) -> Any:
        if depth > MAX_DEPTH:
            raise ExplainError(f"{self.where} is nested more than {MAX_DEPTH} levels deep")

        def inner(child: ast.expr) -> Any:
            return self.value(child, depth + 1)

        match node:
            case ast.Constant(value=bool() | float() | str() | None as constant):
                return constant
            case ast.Constant(value=int() as constant) if constant < MAX_INT:
                return constant
            case ast.List(elts=members):
                return [inner(member) for member in members]
            case ast.Tuple(elts=members):
                return tuple(inner(member) for member in members)
            case ast.Dict(keys=keys, values=values):
                names = [self.key(inner(key) if key else None, key or node) for key in keys]
                return dict(zip(names, map(inner, values), strict=True))
            case ast.Call(func=ast.Name(id="dict"), args=[], keywords=pairs):
                return {self.keyword(pair, node): inner(pair.value) for pair in pairs}
            case ast.UnaryOp(op=ast.USub() | ast.UAdd() as sign, operand=operand):
                number = self.number(inner(operand), node)
                return -number if isinstance(sign, ast.USub) else number
            case ast.BinOp(left=left, op=operation, right=right) if type(operation) in ARITHMETIC:
                numbers = self.number(inner(left), node), self.number(inner(right), node)
                try:
                    return ARITHMETIC[type(operation)](*numbers)
                except ArithmeticError as error:
                    raise self.refuse(node) from error
            case ast.Name() | ast.Attribute():
                return self.known(node)
        raise self.refuse(node)

    def key(self, key: Any, node: ast.expr) -> str | int:
        if not isinstance(key, str | int):
            raise self.refuse(node)
        return key

    def keyword(self, pair: ast.keyword, node: ast.Call) -> str:
        if pair.arg is None:
            raise self.refuse(node)
        return pair.arg

    def number(self, value: Any, node: ast.expr) -> int | float:
        if type(value) is not float and (type(value) is not int or abs(value) >= MAX_INT):
            raise self.refuse(node)
        return value

    def known(self, node: ast.Name | ast.Attribute) -> Any:
        parts: list[str] = []
        base: ast.expr = node
        while isinstance(base, ast.Attribute) and len(parts) <= MAX_DEPTH:
            parts.append(base.attr)
            base = base.value
        if not isinstance(base, ast.Name):
            raise self.refuse(node)
        name = ".".join([base.id, *reversed(parts)])
        if name not in KNOWN_NAMES:
            raise self.refuse(node)
        return KNOWN_NAMES[name]
