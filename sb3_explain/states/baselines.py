"""Baselines: the values r that replace masked pixels and features in s * m + r * (1 - m).

A baseline is fitted once on single frames (the newest frame of each state) and then returns, for
any batch of observations, a tensor of their shape. Values are in the observations' raw range. Any
function from observations to their replacement is a baseline, too.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from sb3_explain.agents.agent import Agent
from sb3_explain.agents.categories import Categories
from sb3_explain.agents.observations import find_feature_keys
from sb3_explain.common.errors import ExplainError
from sb3_explain.common.registry import Registry
from sb3_explain.common.signatures import check_arguments
from sb3_explain.common.untrusted import quote
from sb3_explain.envs.spaces import are_images, spaces_by_key
from sb3_explain.states.blur import gaussian_blur
from sb3_explain.states.dataset import StateDataset

#: baselines by name
BASELINES: Registry[Callable[..., Any]] = Registry("baseline", __name__)

#: largest number of frames that a baseline is fitted on
BASELINE_FRAMES = 2000
#: (B, ...) observations -> (B, ...) what replaces them
Replacement = Callable[[Tensor], Tensor]


class Baseline(ABC):
    """What replaces the masked pixels or features of an observation.

    :param frames: (N, C, H, W) single frames, or (N, D) vectors, of the training states
    """

    name: str

    def __init__(self, frames: Tensor | None = None) -> None:
        del frames

    @abstractmethod
    def __call__(self, observations: Tensor) -> Tensor:
        """Return what replaces observations (B, F * C, H, W) or (B, D), in their shape."""

    @property
    def saved_as(self) -> str:
        """The name in the registry by which the baseline is found when an explainer is loaded.

        :raises ExplainError: for a function that is not registered
        """
        return self.name

    def state(self) -> dict[str, Tensor]:
        """Return what has been fitted, to be saved with an explainer."""
        return {}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Restore what :meth:`state` returned."""
        del state


class FittedBaseline(Baseline):
    """A baseline that is a single frame, repeated over the stack of frames.

    For a category it is the most frequent value. A subclass has one method, :meth:`fit`.

    >>> from sb3_explain import FittedBaseline
    >>> class Brightest(FittedBaseline):
    ...     name = "brightest"
    ...     @staticmethod
    ...     def fit(frames):
    ...         return frames.amax(dim=0)
    >>> Brightest(image_states.frames())(image_states.observations([0, 1])).shape
    torch.Size([2, 2, 24, 24])

    :param frames: (N, C, H, W) single frames, (N, D) vectors or (N,) categories of the training
        states; not given for a baseline to be restored
    """

    def __init__(self, frames: Tensor | None = None) -> None:
        super().__init__(frames)
        if frames is None:
            self.frame = torch.zeros(0)
        else:
            self.frame = frames.mode().values if frames.dim() == 1 else self.fit(frames)

    @staticmethod
    @abstractmethod
    def fit(frames: Tensor) -> Tensor:
        """Fit the frame.

        :param frames: (N, C, H, W) frames or (N, D) vectors
        :return: (C, H, W) or (D,) the frame
        """

    def __call__(self, observations: Tensor) -> Tensor:
        frame = self.frame.to(observations.device, torch.float32)
        if frame.dim() == 0:
            return frame.expand(observations.shape)
        stacked = frame.repeat(observations.shape[1] // frame.shape[0], *[1] * (frame.dim() - 1))
        if stacked.shape != observations.shape[1:]:
            raise ExplainError(
                f"the baseline {self.name} was fitted on frames of shape {tuple(frame.shape)}, and "
                f"observations are {tuple(observations.shape[1:])}: fit it by "
                "fit_baselines(name, states, agent), which knows the agent's axes"
            )
        return stacked.expand(observations.shape)

    def state(self) -> dict[str, Tensor]:
        return {"frame": self.frame}

    def restore(self, state: dict[str, Tensor]) -> None:
        self.frame = state["frame"]


@BASELINES.register("background")
class Background(FittedBaseline):
    """The most frequent value of each pixel in the training frames; of a feature the median."""

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
    """The most frequent value of each channel in all training frames (a sky, a sea).

    For images that are not of whole numbers it is the channel's median; of a feature the median.
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
    """The mean of each channel over all training frames; of a feature its mean."""

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
    """A value as far below the lowest value as the highest value is above it; for each feature.

    No object looks like it, not even a black one. Adding 1 to observations in [0, 1] before they
    are masked, and subtracting it afterwards, has the same effect (Shi et al., 2020): -1, which is
    -255 in the range 0..255.
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
    """The observation itself, blurred by a Gaussian of kernel size 39 and sigma 15 pixels."""

    name = "blur"
    kernel_size = 39
    sigma = 15.0

    def __call__(self, observations: Tensor) -> Tensor:
        return gaussian_blur(observations.float(), self.kernel_size, self.sigma)


class CategoryBaseline(Baseline):
    """A baseline under which categories become other valid ones: a mean of categories is none.

    Categories are those of ``agent.categories``. Under a baseline that is fitted they become the
    most frequent one of the training states, under any other the nearest valid one.

    :param baseline: baseline of the key
    :param frames: (N, ...) single frames of what stands under the key, if there are any
    :param categories: categories of the agent
    :param key: key of the observation
    """

    def __init__(
        self, baseline: Baseline, frames: Tensor | None, categories: Categories, key: str
    ) -> None:
        super().__init__()
        self.baseline = baseline
        self.name = baseline.name
        fitted = isinstance(baseline, FittedBaseline) and frames is not None
        self.common = MostCommon(frames) if fitted else None
        self.categories = categories
        self.key = key

    def __call__(self, observations: Tensor) -> Tensor:
        replaced = self.baseline(observations)
        if self.common is not None:
            held = self.categories.held[self.key].to(observations.device)
            replaced = torch.where(held, self.common(observations), replaced)
        return self.categories.snap(self.key, replaced)

    @property
    def saved_as(self) -> str:
        return self.baseline.saved_as


class MostCommon(FittedBaseline):
    """The most frequent value of each feature."""

    name = "most_common"

    @staticmethod
    def fit(frames: Tensor) -> Tensor:
        return frames.mode(dim=0).values


class FunctionBaseline(Baseline):
    """A baseline that is any function from observations to their replacement.

    :param function: (B, ...) observations in the agent's raw range -> a tensor of their shape
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


def make_baseline(baseline: str | Replacement, frames: Tensor | None) -> Baseline:
    """Make a baseline of its name or of a function.

    :param baseline: a name, whose baseline is fitted on ``frames``; or a function from observations
        to their replacement, such as a :class:`Baseline`
    :param frames: (N, C, H, W) or (N, D) frames of the training states; ``None`` for a baseline to
        be restored
    :raises ExplainError: for an unknown name, with the nearest one; or if it is no function
    """
    observed: Any = BASELINES[baseline] if isinstance(baseline, str) else baseline
    if isinstance(observed, Baseline):
        return observed
    if isinstance(observed, type):
        fitted: Baseline = observed(frames)
        return fitted
    if not callable(observed):
        known = f"one of {', '.join(BASELINES)}, or a function of observations"
        hint = "; states go to states=" if isinstance(observed, StateDataset) else ""
        raise ExplainError(f"baseline={quote(observed)}: give {known}{hint}")
    return FunctionBaseline(observed)


def fit_to_frames(
    baseline: str | Replacement, frames: Mapping[str, Tensor | None]
) -> dict[str, Baseline]:
    """Make a baseline for every key of an observation.

    :param baseline: a name, whose baseline is fitted on the frames of each key; or a function or
        baseline that is used for all keys. Vectors cannot be blurred: ``"blur"`` is their mean
    :param frames: (N, C, H, W) or (N, D) frames by key; ``None`` for a baseline to be restored
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


@check_arguments
def fit_baselines(
    baseline: str | Replacement, states: StateDataset, agent: Agent | None = None
) -> dict[str, Baseline]:
    """Fit a baseline for every key of the states' observations.

    >>> from sb3_explain import fit_baselines
    >>> mean = fit_baselines("mean", states)
    >>> mean[""](torch.zeros(3, 4)).shape  # an observation that is no dict has the key ""
    torch.Size([3, 4])

    :param baseline: a name, which is fitted on at most 2000 frames spread over the states; or a
        function from observations to their replacement
    :param states: states of the agent, preferably those that explainers learn from
    :param agent: the agent, whose pictures may have other axes than (C, H, W) and whose features
        more than one, and which may read some as categories; not needed where that is not so
    :return: the baselines by key; the key of an observation that is no dict is empty
    :raises ExplainError: for an unknown name, with the nearest one
    """
    frames = states.stored_by_key(states.spread(BASELINE_FRAMES))
    if agent is None:
        return fit_to_frames(baseline, frames)
    frames = agent.layout.arrange(frames)
    return keep_categories(agent, fit_to_frames(baseline, frames), frames)


def keep_categories(
    agent: Agent, baselines: dict[str, Baseline], frames: Mapping[str, Tensor | None]
) -> dict[str, Baseline]:
    """Return baselines by key under which an agent's categories become valid ones."""
    categories = agent.categories
    return {
        key: CategoryBaseline(each, frames[key], categories, key)
        if categories.held[key].any()
        else each
        for key, each in baselines.items()
    }


def make_baselines(
    agent: Agent, baseline: str | Replacement | None, states: StateDataset | None
) -> dict[str, Baseline]:
    """Make a baseline for every key of an agent's observation.

    :param agent: agent whose observations are masked
    :param baseline: a name, or a function from observations to their replacement; the
        ``"background"`` of ``states`` when not given, or black if there are no states
    :param states: states that a baseline given by name is fitted on, see :func:`fit_baselines`
    :raises ExplainError: if the baseline has to be fitted, and there are no states
    """
    if baseline is None:
        baseline = "black" if states is None else "background"
    if states is not None:
        return fit_baselines(baseline, states, agent)
    by_key = spaces_by_key(agent.observation_space)
    if isinstance(baseline, str):
        kind = BASELINES[baseline]
        fitted = isinstance(kind, type) and issubclass(kind, FittedBaseline)
        if fitted or (baseline == "blur" and find_feature_keys(agent)):
            raise ExplainError(
                f"the baseline {baseline!r} is fitted on states: give states=, such as those of "
                "collect()"
            )
    unfitted: dict[str, Tensor | None] = dict.fromkeys(by_key)
    return keep_categories(agent, fit_to_frames(baseline, unfitted), unfitted)
