"""Attention weights of a policy's transformer layers, captured in one pass, and their rollout."""

from __future__ import annotations

import contextlib
import inspect
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from sb3_explain.agents.activations import widen
from sb3_explain.agents.agent import Agent
from sb3_explain.common.errors import ExplainError, require_known
from sb3_explain.common.signatures import check_arguments
from sb3_explain.envs.spaces import Observations, split_keys

if TYPE_CHECKING:
    from sb3_explain.report.palette import ThemeName

_ATTEND = inspect.signature(functional.multi_head_attention_forward)


@dataclass(frozen=True)
class AttentionWeights:
    """The attention weights of some states, by layer; :func:`attention` captures them.

    >>> from sb3_explain import AttentionWeights
    >>> AttentionWeights({"only": torch.tensor([[[[0.0, 1.0], [0.0, 1.0]]]])}).rollout()
    tensor([[[0.5000, 0.5000],
             [0.0000, 1.0000]]])

    :param weights: (B, heads, T, S) weights by name of the layer, in the order of the pass: in each
        row, how much one of T tokens takes from each of S; at least 0, and a row adds up to 1
    """

    weights: Mapping[str, Tensor]

    def __getitem__(self, layer: str) -> Tensor:
        """Return the (B, heads, T, S) weights of a layer.

        :raises ExplainError: for an unknown layer; the nearest name is suggested
        """
        require_known("attention layer", [layer], self.weights)
        return self.weights[layer]

    def plot(
        self, state: int = 0, *, tokens: Sequence[str] = (), theme: ThemeName = "light"
    ) -> bytes:
        """Draw the attention of one state: each layer's mean over heads, and the rollout.

        The rollout is left out where the layers have none.

        :param state: position of the state among the B
        :param tokens: (T,) names of the tokens; numbers when not given
        :param theme: ``"light"`` or ``"dark"``
        :return: PNG
        :raises ExplainError: if there is no such state
        """
        from sb3_explain.report.attention_figure import attention_figure

        n = len(next(iter(self.weights.values())))
        if not 0 <= state < n:
            raise ExplainError(f"there is no state {state}: give one of 0 to {n - 1}")
        panels = {name: each[state].mean(dim=0) for name, each in self.weights.items()}
        with contextlib.suppress(ExplainError):  # layers of other numbers of tokens
            panels["rollout"] = self.rollout()[state]
        arrays = {name: each.numpy(force=True) for name, each in panels.items()}
        return attention_figure(arrays, tokens, theme=theme)

    @check_arguments
    def rollout(self, layers: Sequence[str] | None = None) -> Tensor:
        """Follow attention from the first layer to the last: Abnar and Zuidema (2020), section 3.

        Each layer hands on half of a token as it is (the residual connection), and half by its mean
        attention: ``A_l = (I + mean_h W_lh) / 2``, ``rollout = A_L ... A_2 A_1``.

        :param layers: names of the layers, first to last; all when not given
        :return: (B, T, T) shares of each input token in each output token; a row adds up to 1
        :raises ExplainError: for an unknown layer, or layers of other numbers of tokens
        """
        names = list(self.weights) if layers is None else list(layers)
        require_known("attention layer", names, self.weights)
        sizes = {name: tuple(self.weights[name].shape[2:]) for name in names}
        if len({size for pair in sizes.values() for size in pair}) != 1:
            said = ", ".join(f"{name} {t} x {s}" for name, (t, s) in sizes.items())
            raise ExplainError(
                "rollout needs layers that attend from T tokens to the same T, and these are "
                f"{said or 'none'}: name some with layers=[...]"
            )
        followed: Tensor | None = None
        for name in names:
            mean = self.weights[name].mean(dim=1)
            mixed = mean + torch.eye(mean.shape[-1], dtype=mean.dtype, device=mean.device)
            mixed = mixed / mixed.sum(dim=-1, keepdim=True)
            followed = mixed if followed is None else mixed @ followed
        assert followed is not None
        return followed


@check_arguments
def attention(
    agent: Agent, observations: Observations, lstm_states: Tensor | None = None
) -> AttentionWeights:
    """Capture the attention weights of every transformer layer that the scores pass.

    They are those of ``nn.MultiheadAttention``, also inside of ``nn.TransformerEncoderLayer`` and
    where the policy does not ask for weights, and of
    ``torch.nn.functional.scaled_dot_product_attention``. No module is changed.

    >>> from gymnasium import spaces
    >>> from sb3_explain import Agent, attention
    >>> class Attending(torch.nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.layer = torch.nn.MultiheadAttention(2, 1, batch_first=True)
    ...     def forward(self, tokens):
    ...         return self.layer(tokens, tokens, tokens, need_weights=False)[0].mean(dim=1)
    >>> space = spaces.Box(-1, 1, (5, 2), np.float32)
    >>> attending = Agent.from_module(Attending(), space, spaces.Discrete(2))
    >>> found = attention(attending, torch.rand(3, 5, 2))
    >>> found["layer"].shape, found.rollout().shape
    (torch.Size([3, 1, 5, 5]), torch.Size([3, 5, 5]))

    :param agent: an agent whose policy attends
    :param observations: (B, ...) observations as :meth:`sb3_explain.Agent.scores` takes them
    :param lstm_states: (B, ...) state of a recurrent policy, as in :meth:`sb3_explain.Agent.scores`
    :return: the weights by layer, without gradients
    :raises ExplainError: for an agent without attention, or whose attention layers see other rows
        than the states, such as the frames of each as states of their own
    """
    with torch.no_grad(), CaptureAttention(agent.view.policy) as captured:
        agent.scores(observations, lstm_states)
    if not captured.weights:
        raise ExplainError(
            "this agent has no attention that could be read: its scores pass neither "
            "nn.MultiheadAttention nor scaled_dot_product_attention"
        )
    n = len(next(iter(split_keys(observations).values())))
    for name, weights in captured.weights.items():
        if weights.dim() != 4 or len(weights) != n:
            raise ExplainError(
                f"the attention of {name} is of shape {tuple(weights.shape)} for {n} state(s), not "
                "(states, heads, tokens, tokens): only attention within each state can be read"
            )
    return AttentionWeights({name: widen(weights) for name, weights in captured.weights.items()})


class CaptureAttention(TorchFunctionMode):
    """Compute the weights of every attention of the passes in the ``with`` block, beside them.

    What the policy computes stays the same to the bit, except that PyTorch's fused kernels of
    whole layers are not used, which return no weights: their last bits are those of the pass with
    gradients.

    :param policy: policy whose attention is captured
    """

    def __init__(self, policy: nn.Module) -> None:
        super().__init__()
        self.policy = policy
        #: (N, heads, T, S) weights by name of the module that attends
        self.weights: dict[str, Tensor] = {}
        self._inside: list[str] = []
        self._hooks: list[Any] = []

    def __enter__(self) -> Self:
        for name, module in self.policy.named_modules():
            self._hooks += [
                module.register_forward_pre_hook(self._make_enter(name)),
                module.register_forward_hook(self._leave, always_call=True),
            ]
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)  # type: ignore[no-untyped-call]
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()
        self._inside.clear()

    def _make_enter(self, name: str) -> Any:
        return lambda module, inputs: self._inside.append(name)

    def _leave(self, module: nn.Module, inputs: Any, output: Any) -> None:
        self._inside.pop()

    def _keep(self, weights: Tensor) -> None:
        name = (self._inside[-1] if self._inside else "") or "policy"
        calls = 1 + sum(known == name or known.startswith(f"{name} (") for known in self.weights)
        self.weights[name if calls == 1 else f"{name} ({calls})"] = weights

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        output = func(*args, **kwargs)
        if func is functional.multi_head_attention_forward:
            asked = _ATTEND.bind(*args, **kwargs).arguments
            asked |= {"need_weights": True, "average_attn_weights": False, "training": False}
            weights: Any = func(**asked)[1]
            self._keep(weights if weights.dim() == 4 else weights[None])
        elif func is functional.scaled_dot_product_attention:
            self._keep(compute_weights(*args, **kwargs))
        return output


def compute_weights(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """Compute the weights of ``scaled_dot_product_attention``: softmax(q k^T scale + mask).

    The arguments are those of the function.

    :return: (N, heads, T, S) weights; (N, 1, T, S) of queries without an axis of heads
    """
    if enable_gqa:
        key = key.repeat_interleave(query.shape[-3] // key.shape[-3], dim=-3)
    logits = query @ key.transpose(-2, -1) * (scale or 1 / math.sqrt(query.shape[-1]))
    if is_causal:
        attn_mask = torch.ones(logits.shape[-2:], dtype=torch.bool, device=logits.device).tril()
    if attn_mask is not None and attn_mask.dtype == torch.bool:
        logits = logits.masked_fill(~attn_mask, -torch.inf)
    elif attn_mask is not None:
        logits = logits + attn_mask
    weights = logits.softmax(dim=-1)
    return weights[:, None] if weights.dim() == 3 else weights
