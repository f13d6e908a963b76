"""VisionMask: a learned, contrastive mask per action (Zuo et al., IJCAI 2025)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sb3_explain.agents.agent import Agent
from sb3_explain.common.errors import ExplainError, unknown_name
from sb3_explain.common.training import TrainingOptions
from sb3_explain.explainers import EXPLAINERS
from sb3_explain.explainers.learned import losses as loss
from sb3_explain.explainers.learned.masking import Masks
from sb3_explain.explainers.learned.objectives.contrast import ContrastObjective
from sb3_explain.explainers.learned.objectives.patch_masks import (
    PatchMaskExplainer,
    VisionMaskSettings,
)
from sb3_explain.explainers.learned.objectives.policy import PolicyObjective, stack
from sb3_explain.explainers.learned.objectives.refinement import AT_ONCE, COPIES, refine
from sb3_explain.states.batch import StateBatch
from sb3_explain.states.dataset import StateDataset

OBJECTIVES: dict[str, Callable[[PatchMaskExplainer], PolicyObjective | ContrastObjective]] = {
    "policy": PolicyObjective,
    "contrast": ContrastObjective,
}


@EXPLAINERS.register("visionmask")
class VisionMask(PatchMaskExplainer):
    """One mask for each target, which a network learns to predict from the state.

    The default objective asks for the agent's policy on the state to be preserved, whatever share
    of the state is shown in the order of the mask. ``objective="contrast"`` is the paper's: a mask
    shall make the agent choose its target, and no other mask shall.

    Training costs one pass of the mask network for each state, and 10 forward passes of the agent
    (2C by the paper's objective, where C is the number of targets). Explaining a target costs one
    pass of the mask network, and 4 forward and backward passes of the agent for each of
    ``refine_steps``, by which the network's mask is fitted to the state itself; with
    ``refine_steps=0``, and by the paper's objective, it costs none of the agent.

    Each sub-action of MultiDiscrete and MultiBinary actions, and each dimension of Box actions, is
    a policy of its own.

    With ``target="value"``, or another quantity f that is no action, there is one mask a state. It
    is learned and refined in the same way, by what f is on the copies c of the state s that show
    the mask's part of it on the baseline r, and on those that hide this part::

        preserved = log(1 + ((f(c) - f(s)) / D)^2)  where c shows it
        lost      = log(1 + ((f(c) - f(r)) / D)^2)  where c hides it
        D = max(abs(f(s) - f(r)), standard deviation of f over the training states)

    >>> from sb3_explain import VisionMask
    >>> explainer = VisionMask(agent, max_area=0.25)
    >>> training = explainer.fit(train, validation, epochs=1, progress=False)
    >>> explainer.attribute_all(test.observations([0, 1])).shape  # 2 actions
    torch.Size([2, 2, 4])
    >>> of_value = VisionMask(agent, target="value", refine_steps=2)
    >>> training = of_value.fit(train, validation, epochs=1, progress=False)
    >>> of_value.attribute(test.observations([0, 1])).shape
    torch.Size([2, 4])

    :param agent: agent to explain
    :param seed: random seed of the network's initial weights
    :param settings: fields of :class:`VisionMaskSettings`
    :raises ExplainError: for unknown or invalid settings, or an agent that is not supported
    """

    name = "visionmask"
    Settings = VisionMaskSettings
    #: settings of the method as the paper has it: ``VisionMask(agent, **VisionMask.PAPER)``
    PAPER: ClassVar[Mapping[str, Any]] = {
        "objective": "contrast",
        "patch_size": 1,
        "per_frame": True,
    }
    settings: VisionMaskSettings

    def __init__(self, agent: Agent, *, seed: int = 0, **settings: Any) -> None:
        super().__init__(agent, seed=seed, **settings)
        if self.settings.area not in loss.AREA_TERMS:
            raise unknown_name("area term", self.settings.area, loss.AREA_TERMS)
        if self.settings.objective not in OBJECTIVES:
            raise unknown_name("objective", self.settings.objective, OBJECTIVES)
        if self.own_target is not None and self.settings.objective != "policy":
            raise ExplainError(
                f"objective={self.settings.objective!r} compares actions: leave it out with "
                f"target={self.own_target.name!r}"
            )
        if self.settings.patch_size is not None and self.settings.patch_size < 1:
            raise ExplainError(f"patch_size={self.settings.patch_size}: give at least 1 pixel")
        if self.settings.refine_steps < 0:
            raise ExplainError(f"refine_steps={self.settings.refine_steps}: give at least 0")
        if not 0 <= self.settings.sharpness <= 1:
            raise ExplainError(f"sharpness={self.settings.sharpness}: give a share in [0, 1]")
        if not 0 < self.settings.max_area <= 1:
            raise ExplainError(
                f"max_area={self.settings.max_area}: give a share of the features in (0, 1]"
            )

    def training_options(self, options: Mapping[str, Any]) -> TrainingOptions:
        if self.settings.objective == "policy":  # its steps are noisier than the paper's
            options = {"learning_rate": 2e-3, **options}
        return super().training_options(options)

    def build_network(self) -> nn.Module:
        return self.key_masks(self.settings.network, self.settings.network_options)

    def losses(
        self, network: nn.Module, states: StateDataset, positions: NDArray[np.int64]
    ) -> dict[str, Tensor]:
        objective = OBJECTIVES[self.settings.objective](self)
        return objective.losses(network, states, positions)

    def explain(self, batch: StateBatch) -> Masks:
        if not self._refines:
            return super().explain(batch)
        return self._refined(batch.resolve_target())[0]

    def explain_all(self, batch: StateBatch) -> Masks:
        if not self._refines:
            return super().explain_all(batch)
        if self.own_target is not None:
            return stack(self._refined(batch))
        batch = batch.with_target(0)  # the greedy one need not be found
        targets = torch.arange(self.agent.n_targets, device=batch.device)
        return stack(self._refined(batch, [each.expand(len(batch)) for each in targets]))

    def _refined(self, batch: StateBatch, targets: Sequence[Tensor] = ()) -> list[Masks]:
        """Refined masks (B, ...) by key of several targets (B,), or of the batch's own one."""
        self.require_fitted()
        parts, start = [], 0
        for part in batch.split(AT_ONCE):
            here = slice(start, start := start + len(part))
            parts.append(refine(self, part, [each[here] for each in targets]))
        return [
            {name: torch.cat([part[number][name] for part in parts]) for name in batch.by_key}
            for number in range(len(targets) or 1)
        ]

    @property
    def forwards_per_state(self) -> int:
        # once on the state itself, and once where all of it is hidden
        return 2 + COPIES * self.settings.refine_steps if self._refines else 0

    @property
    def _refines(self) -> bool:
        return self.settings.objective == "policy" and self.settings.refine_steps > 0
