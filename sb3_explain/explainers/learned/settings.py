"""Settings that explainers with learned masks have in common."""

from __future__ import annotations

from dataclasses import dataclass

from sb3_explain.states.baselines import Replacement


@dataclass(frozen=True)
class MaskSettings:
    """Settings of learned masks.

    >>> from sb3_explain import MaskSettings, VisionMask
    >>> VisionMask(image_agent, per_frame=False).settings.per_frame, MaskSettings().per_frame
    (False, True)

    :param baseline: name of the baseline r, or a function from observations to their replacement
    :param per_frame: whether each stacked frame of an image has a mask of its own; otherwise all
        frames share one
    :param content: (top, left, height, width) in pixels of an image: only these pixels are masked,
        the others are always visible and have attributions of 0
    :param temperature: scores are divided by it before every softmax of the loss, above 0; it is 1
        in the papers. A value below 1 helps for an agent whose best actions are nearly equally
        probable, or for Q-values of a small range, since the loss then depends on the small margin
    """

    baseline: str | Replacement = "background"
    per_frame: bool = True
    content: tuple[int, int, int, int] | None = None
    temperature: float = 1.0


@dataclass(frozen=True)
class TargetSettings(MaskSettings):
    """Settings of masks that are learned for the actions, or for one other target.

    :param target: name of the quantity whose masks are learned in place of the actions': the
        ``"value"``, or another target that is no action, such as ``"entropy"``, ``"critic1"`` or
        ``"LEFT - RIGHT"`` (see :mod:`sb3_explain.agents.targets`). There is then one mask a state
    """

    target: str | None = None
