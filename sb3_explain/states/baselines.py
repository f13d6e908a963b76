"""What a masked cell becomes: the baseline r of s * m + r * (1 - m).

A baseline is fitted once on single frames (newest frame of each state) and then gives, for any
batch of observations, a tensor of their shape. Values are in the observations' raw range. Any
function from observations to their replacement is a baseline too.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from sb3_explain.agents.agent import Agent
from sb3_explain.common.errors import ExplainError
from sb3_explain.common.registry import Registry
from sb3_explain.envs.spaces import are_images, is_image, spaces_by_key
from sb3_explain.states.batch import StateBatch
from sb3_explain.states.dataset import StateDataset

#: baselines by name
BASELINES: Registry[Callable[..., Any]] = Registry("baseline", __name__)

#: frames that a baseline is fitted on, at most
BASELINE_FRAMES = 2000
#: (B, ...) observations -> what replaces them, of the same shape
Replacement = Callable[[Tensor], Tensor]


class Baseline(ABC):
    """What replaces the masked cells of an observation.

    :param frames: (N, C, H, W) single frames, or (N, D) vectors, of the training states
    """

    name: str

    def __init__(self, frames: Tensor | None = None) -> None:
        del frames

    @abstractmethod
    def __call__(self, observations: Tensor) -> Tensor:
        """The replacement, of the observations' shape (B, F * C, H, W) or (B, D)."""

    @property
    def saved_as(self) -> str:
        """The name in the registry under which whoever loads it finds it again.

        :raises ExplainError: for a function that has none
        """
        return self.name

    def state(self) -> dict[str, Tensor]:
        """What has been fitted, to be saved beside an explainer."""
        return {}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Take back what :meth:`state` gave."""
        del state


class FittedBaseline(Baseline):
    """A baseline that is one frame, repeated over the stack; of a category, the most frequent."""

    def __init__(self, frames: Tensor | None = None) -> None:
        super().__init__(frames)
        if frames is None:
            self.frame = torch.zeros(0)
        else:
            self.frame = frames.mode().values if frames.dim() == 1 else self.fit(frames)

    @staticmethod
    @abstractmethod
    def fit(frames: Tensor) -> Tensor:
        """(C, H, W) or (D,) from (N, C, H, W) or (N, D)."""

    def __call__(self, observations: Tensor) -> Tensor:
        frame = self.frame.to(observations.device, torch.float32)
        if frame.dim() == 0:
            return frame.expand(observations.shape)
        stacked = frame.repeat(observations.shape[1] // frame.shape[0], *[1] * (frame.dim() - 1))
        return stacked.expand(observations.shape)

    def state(self) -> dict[str, Tensor]:
        return {"frame": self.frame}

    def restore(self, state: dict[str, Tensor]) -> None:
        self.frame = state["frame"]


@BASELINES.register("background")
class Background(FittedBaseline):
    """Per cell the value most frequent in the training frames; per feature the median."""

    name = "background"

    @staticmethod
    def fit(frames: Tensor) -> Tensor:
        if frames.dtype != torch.uint8:
            return frames.float().median(dim=0).values
        flat = frames.flatten(1).long()
        counts = torch.zeros(flat.shape[1], 256, dtype=torch.long)
        for chunk in torch.split(flat, 1024):
            counts.scatter_add_(1, chunk.T, torch.ones_like(chunk.T))
        return counts.argmax(dim=1).to(torch.uint8).reshape(frames.shape[1:])


@BASELINES.register("most_frequent")
class MostFrequent(FittedBaseline):
    """One constant: per channel the value most frequent in all training frames (a sky, a sea).

    The median of values that are not whole numbers; per feature the median.
    """

    name = "most_frequent"

    @staticmethod
    def fit(frames: Tensor) -> Tensor:
        if frames.dim() == 2:
            return frames.float().median(dim=0).values
        channels = frames.transpose(0, 1).flatten(1)
        # numbers that are not whole hardly come twice
        whole = frames.dtype == torch.uint8
        modes = (channels.mode(dim=1) if whole else channels.float().median(dim=1)).values
        return modes.reshape(-1, *[1] * (frames.dim() - 2)).expand(frames.shape[1:]).clone()


@BASELINES.register("mean")
class Mean(FittedBaseline):
    """One constant: per channel the mean of all training frames; per feature the mean."""

    name = "mean"

    @staticmethod
    def fit(frames: Tensor) -> Tensor:
        if frames.dim() == 2:
            return frames.float().mean(dim=0)
        means = frames.float().mean(dim=(0, *range(2, frames.dim())))
        return means.reshape(-1, *[1] * (frames.dim() - 2)).expand(frames.shape[1:]).clone()


@BASELINES.register("black")
class Black(Baseline):
    """Zero everywhere."""

    name = "black"

    def __call__(self, observations: Tensor) -> Tensor:
        return torch.zeros_like(observations, dtype=torch.float32)


@BASELINES.register("below")
class Below(FittedBaseline):
    """One constant, as far below the least value as the greatest is above it; per feature.

    No object looks like it, black ones included. Adding 1 to observations in [0, 1] before they
    are masked and taking it off again comes to it (Shi et al., 2020): -1, which is -255 of 255.
    """

    name = "below"

    @staticmethod
    def fit(frames: Tensor) -> Tensor:
        if frames.dtype == torch.uint8:
            return torch.full(frames.shape[1:], -255.0)
        dims = 0 if frames.dim() == 2 else tuple(range(frames.dim()))
        low, high = frames.float().amin(dim=dims), frames.float().amax(dim=dims)
        return (2 * low - high).expand(frames.shape[1:]).clone()


@BASELINES.register("blur")
class Blur(Baseline):
    """The observation itself, blurred by a Gaussian of kernel 39 and sigma 15 (VisionMask)."""

    name = "blur"
    kernel_size = 39
    sigma = 15.0

    def __call__(self, observations: Tensor) -> Tensor:
        return gaussian_blur(observations.float(), self.kernel_size, self.sigma)


class FunctionBaseline(Baseline):
    """Any function from observations to their replacement.

    :param function: (B, ...) observations in the agent's range -> a tensor of their shape
    """

    def __init__(self, function: Replacement) -> None:
        super().__init__()
        self.function = function
        self.name = getattr(function, "__name__", type(function).__name__)

    def __call__(self, observations: Tensor) -> Tensor:
        replacement = self.function(observations)
        if replacement.shape != observations.shape:
            raise ExplainError(
                f"the baseline {self.name} gives {tuple(replacement.shape)} for observations "
                f"{tuple(observations.shape)}: return a tensor of their shape"
            )
        return replacement.float()

    @property
    def saved_as(self) -> str:
        for name, observed in BASELINES.items():
            if observed is self.function:
                return name
        raise ExplainError(
            f"the baseline {self.name} is a function without a name to save it by: register it "
            "with BASELINES.register(name)(function), where it is loaded too"
        )


def gaussian_blur(images: Tensor, kernel_size: int, sigma: float) -> Tensor:
    """(B, C, H, W) images blurred by a Gaussian of odd ``kernel_size``; edges are reflected.

    An image smaller than half the kernel is reflected as far as it goes, then its edge is repeated.
    """
    offsets = torch.arange(kernel_size, dtype=images.dtype, device=images.device)
    kernel = torch.exp(-0.5 * ((offsets - kernel_size // 2) / sigma) ** 2)
    kernel = kernel / kernel.sum()
    channels, height, width = images.shape[1:]
    radius = kernel_size // 2
    reflect = [min(radius, width - 1)] * 2 + [min(radius, height - 1)] * 2
    rest = [radius - reflect[0]] * 2 + [radius - reflect[2]] * 2
    padded = functional.pad(functional.pad(images, reflect, "reflect"), rest, "replicate")
    rows = functional.conv2d(padded, kernel.expand(channels, 1, 1, kernel_size), groups=channels)
    return functional.conv2d(
        rows, kernel.reshape(-1, 1).expand(channels, 1, kernel_size, 1), groups=channels
    )


def blend(observations: Tensor, masks: Tensor, baseline: Tensor) -> Tensor:
    """s * m + r * (1 - m) (VisionMask, eq. 1); the complement state is ``blend(s, 1 - m, r)``."""
    return baseline + masks * (observations - baseline)


def make_baseline(baseline: str | Replacement, frames: Tensor | None) -> Baseline:
    """A baseline to use.

    :param baseline: a name; it is fitted on ``frames``. Or a function from observations to their
        replacement, which a :class:`Baseline` is too
    :raises ExplainError: for an unknown name; the nearest is suggested; for what is no function
    """
    observed: Any = BASELINES[baseline] if isinstance(baseline, str) else baseline
    if isinstance(observed, Baseline):
        return observed
    if isinstance(observed, type):
        fitted: Baseline = observed(frames)
        return fitted
    if not callable(observed):
        raise ExplainError(f"baseline={observed!r}: give a name or a function of observations")
    return FunctionBaseline(observed)


def fit_to_frames(
    baseline: str | Replacement, frames: Mapping[str, Tensor | None]
) -> dict[str, Baseline]:
    """A baseline for every key of an observation.

    :param baseline: name, fitted on each key's frames; or a function, or a baseline, that
        is used for all keys. Vectors cannot be blurred: ``"blur"`` is their mean
    :param frames: (N, C, H, W) or (N, D) by key; ``None`` for a baseline to be restored
    """
    if not isinstance(baseline, str):
        return dict.fromkeys(frames, make_baseline(baseline, None))
    return {
        name: make_baseline(
            "mean"
            if baseline == "blur" and observed is not None and not are_images(observed)
            else baseline,
            observed,
        )
        for name, observed in frames.items()
    }


def fit_baselines(baseline: str | Replacement, states: StateDataset) -> dict[str, Baseline]:
    """A baseline for every key of the states' observations.

    >>> from sb3_explain import fit_baselines
    >>> mean = fit_baselines("mean", states)
    >>> mean[""](torch.zeros(3, 4)).shape  # an observation that is no dict has the key ""
    torch.Size([3, 4])

    :param baseline: a name, which is fitted on at most 2000 frames spread over the states; or a
        function from observations to their replacement
    :param states: of the agent, best those that explainers learn from
    :raises ExplainError: for an unknown name; the nearest is suggested
    """
    return fit_to_frames(baseline, states.frames_by_key(states.spread(BASELINE_FRAMES)))


def make_baselines(
    agent: Agent, baseline: str | Replacement | None, states: StateDataset | None
) -> dict[str, Baseline]:
    """A baseline for every key of an agent's observation, ready to be used.

    :param baseline: a name, or a function from observations to their replacement; the
        ``"background"`` of ``states`` when not given, or black if there are none
    :param states: states that a name is fitted on, see :func:`fit_baselines`
    :raises ExplainError: if the name stands for a baseline that is fitted, and there are no states
    """
    if baseline is None:
        baseline = "black" if states is None else "background"
    if states is not None:
        return fit_baselines(baseline, states)
    by_key = spaces_by_key(agent.observation_space)
    if isinstance(baseline, str):
        kind = BASELINES[baseline]
        fitted = isinstance(kind, type) and issubclass(kind, FittedBaseline)
        if fitted or (baseline == "blur" and not all(map(is_image, by_key.values()))):
            raise ExplainError(
                f"the baseline {baseline!r} is fitted on states: give states=, such as those of "
                "collect()"
            )
    return fit_to_frames(baseline, dict.fromkeys(by_key))


def apply_baselines(baselines: Mapping[str, Baseline], batch: StateBatch) -> Tensor:
    """(B, ...) what the states become where everything is removed.

    :param baselines: by key of the observation
    :param batch: the states
    :return: in the form of :attr:`~sb3_explain.states.batch.StateBatch.observations`
    """
    return batch.flat({key: baselines[key](observed) for key, observed in batch.by_key.items()})
