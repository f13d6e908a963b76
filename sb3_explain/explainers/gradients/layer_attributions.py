"""How much each unit of a layer speaks for a target, by Captum."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from torch import Tensor, nn

from sb3_explain.agents.activations import drop_time, take_first, widen
from sb3_explain.agents.agent import Agent, read_agent
from sb3_explain.agents.predict_input import read_inputs
from sb3_explain.agents.targets.find import TargetLike
from sb3_explain.common.errors import ExplainError, require_known
from sb3_explain.common.signatures import check_arguments
from sb3_explain.explainers.gradients.attributions import TargetScores
from sb3_explain.states.baselines import Replacement, make_baselines
from sb3_explain.states.batch import StateBatch
from sb3_explain.states.dataset import StateDataset
from sb3_explain.states.forward_passes import count_rows

#: methods by name, each a class of ``captum.attr``
METHODS = {
    "gradient_x_activation": "LayerGradientXActivation",
    "integrated_gradients": "LayerIntegratedGradients",
    "conductance": "LayerConductance",
}


class Tap(nn.Module):
    """The layer that Captum hooks, which returns what it is given."""

    #: whether it was called in the running pass
    called = False

    def forward(self, output: Tensor) -> Tensor:
        self.called = True
        return output if output.requires_grad else output.detach().requires_grad_()


@contextmanager
def tap_layer(scores: TargetScores, layer: str, axis: int) -> Iterator[Tap]:
    """Lead the output of a layer's first call through a module of its own in the ``with`` block.

    So any layer has one tensor (B, ...) as its output: LSTMs, attention, and layers whose first
    axis is that of time. What the policy changes in place afterwards is a copy.

    :param scores: what is explained, whose policy has the layer
    :param layer: name of the module
    :param axis: axis of the states in its output
    """
    tap = Tap()

    def begin(*call: Any) -> None:
        tap.called = False

    def lead(module: nn.Module, inputs: Any, output: Any) -> Any:
        first = take_first(output)
        if first is None or tap.called:
            return None
        led = tap(first.movedim(axis, 0)).movedim(0, axis).clone()
        return led if output is first else (led, *output[1:])

    hooks = [
        scores.register_forward_pre_hook(begin),
        scores.policy.get_submodule(layer).register_forward_hook(lead),
    ]
    try:
        yield tap
    finally:
        for hook in hooks:
            hook.remove()


@check_arguments
def layer_attributions(
    agent: Agent | BaseAlgorithm,
    observations: Any,
    layer: str,
    target: TargetLike = None,
    *,
    method: Literal[
        "gradient_x_activation", "integrated_gradients", "conductance"
    ] = "gradient_x_activation",
    baseline: str | Replacement | None = None,
    states: StateDataset | None = None,
    n_steps: int = 50,
    policy_inputs: Mapping[str, Any] | None = None,
) -> Tensor:
    """Attribute a target to the units of a layer, by Captum.

    - ``"gradient_x_activation"``: ``a * d score / d a`` of each activation a;
    - ``"integrated_gradients"``: the same with the mean gradient on the line from the activations
      on the baseline to those on the state;
    - ``"conductance"``: what flows through each unit as the observation goes from the baseline to
      the state (Dhamdhere et al., 2018, equation 2). Units of a layer that everything passes add up
      to the score on the state less that on the baseline.

    >>> from sb3_explain import layer_attributions
    >>> layer = "mlp_extractor.policy_net.1"
    >>> layer_attributions(agent, states.observations([0, 1]), layer, "right").shape
    torch.Size([2, 64])

    :param agent: agent to explain
    :param observations: observations as :meth:`sb3_explain.Explainer.attribute` takes them
    :param layer: name of a layer, one of ``agent.layers``
    :param target: target as :meth:`sb3_explain.Explainer.attribute` takes it
    :param method: one of the three above
    :param baseline: baseline of the observations, as
        :class:`~sb3_explain.IntegratedGradients` takes it; not used by gradient x activation
    :param states: states that a baseline given by name is fitted on
    :param n_steps: number of points of the sum over the line, at least 1
    :param policy_inputs: policy inputs as :meth:`sb3_explain.Explainer.attribute` takes them
    :return: (B, ...) attributions in the shape of ``agent.activations(observations, layer)``
    :raises ExplainError: for an unknown layer or method, or a target that the layer has no part in
    """
    agent = read_agent(agent)
    from captum import attr

    require_known("layer", [layer], agent.layers)
    require_known("method", [method], METHODS)
    if n_steps < 1:
        raise ExplainError(f"n_steps={n_steps}: give at least 1 step")
    seen, inputs = read_inputs(agent, observations, policy_inputs)
    batch = StateBatch(agent, seen, target, inputs).resolve_target()
    options: dict[str, Any] = {}
    if method != "gradient_x_activation":
        fitted = make_baselines(agent, baseline, states)
        rows = min(map(count_rows, batch.by_key.values()))
        options = {
            "baselines": tuple(fitted[key](own).to(own) for key, own in batch.by_key.items()),
            "n_steps": n_steps,
            "internal_batch_size": max(rows, len(batch)),
        }
    numbers = torch.arange(len(batch), device=batch.device)
    scores = TargetScores(batch, tuple(batch.by_key))
    copies = tuple(own.clone().requires_grad_() for own in batch.by_key.values())
    with tap_layer(scores, layer, agent.batch_axes[layer]) as tap:
        require_part(lambda: scores(*copies, numbers), tap, batch, layer)
        explained = getattr(attr, METHODS[method])(scores, tap).attribute(
            copies, target=batch.target, additional_forward_args=numbers, **options
        )
    found: Tensor = explained[0] if isinstance(explained, tuple) else explained
    return drop_time(agent.view.policy.get_submodule(layer), widen(found.detach()))


def require_part(read: Callable[[], Tensor], tap: Tap, batch: StateBatch, layer: str) -> None:
    """Check that what is explained passes a layer, with a gradient.

    :param read: function that returns the scores of the targets
    :param tap: the module that the layer's output is led through
    :param batch: the states
    :param layer: name of the layer
    :raises ExplainError: if it does not
    """
    outputs: list[Tensor] = []
    hook = tap.register_forward_hook(lambda module, inputs, output: outputs.append(output))
    try:
        with torch.enable_grad():
            scores = read().gather(1, batch.target[:, None]).sum()
    finally:
        hook.remove()
    slopes = torch.autograd.grad(scores, outputs, allow_unused=True) if outputs else ()
    if all(slope is None for slope in slopes):
        names = ", ".join(dict.fromkeys(batch.name_targets()))
        raise ExplainError(
            f"{layer} has no part in {names}, or no gradient to it: name a layer on its way, "
            "see agent.layers"
        )
