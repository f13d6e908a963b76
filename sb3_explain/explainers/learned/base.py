"""What learned explainers share: masks by a network, trained on states, kept on disk."""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from collections.abc import Callable, Mapping
from itertools import accumulate
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor, nn

from sb3_explain.agents.action_spaces import greedy_targets, group_sizes
from sb3_explain.agents.agent import Agent
from sb3_explain.common.checkpoints import TrainingState, copy_weights, pack
from sb3_explain.common.errors import ExplainError, require_known
from sb3_explain.common.training import (
    TrainingOptions,
    require_types,
    train_network,
    training_options,
)
from sb3_explain.envs.spaces import SINGLE, is_image, spaces_by_key
from sb3_explain.explainers.base import FittedExplainer
from sb3_explain.explainers.learned import losses as loss
from sb3_explain.explainers.learned.fitted import (
    Fitted,
    below,
    damaged,
    learned_from,
    read_fitted,
    write_fitted,
)
from sb3_explain.explainers.learned.masking import Masking, Masks
from sb3_explain.explainers.learned.networks.keys import KeyMasks
from sb3_explain.explainers.requirements import needs_numbers
from sb3_explain.states.baselines import (
    BASELINE_FRAMES,
    Baseline,
    FunctionBaseline,
    Replacement,
    fit_to_frames,
    make_baseline,
)
from sb3_explain.states.batch import StateBatch
from sb3_explain.states.dataset import StateDataset

#: (R, ...) copies of some keys, (R,) of which states -> (R, K)
Read = Callable[[Masks, Tensor], Tensor]


@dataclasses.dataclass(frozen=True)
class MaskSettings:
    """What learned masks are, apart from their weights.

    :param baseline: name of the baseline r, or a function from observations to their replacement
    :param per_frame: a mask for each stacked frame of an image; else one for all of them
    :param content: (top, left, height, width) in cells of an image: only these are masked, the rest
        is always shown and has attribution 0
    :param temperature: scores are divided by it before every softmax of the loss; the papers have
        none (1). Below 1 for an agent whose best actions are nearly equally probable, or for
        Q-values of a small range: the loss then sees the margin that decides
    """

    baseline: str | Replacement = "background"
    per_frame: bool = True
    content: tuple[int, int, int, int] | None = None
    temperature: float = 1.0


class MaskExplainer(FittedExplainer):
    """Masks in [0, 1] over every key of an observation, from a network that learns them.

    A subclass has ``Settings``, :meth:`build_network` and :meth:`losses`.

    :param agent: to explain
    :param seed: of the network's initial weights
    :param settings: fields of ``Settings``
    :raises ExplainError: for unknown or impossible settings, or an agent that is not supported
    """

    gives_masks = True
    unsupported = staticmethod(needs_numbers)
    #: the class of the settings
    Settings: ClassVar[type[MaskSettings]] = MaskSettings
    #: options of training where the method wants others than the training loop's own defaults
    training_defaults: ClassVar[Mapping[str, Any]] = {}

    def __init__(self, agent: Agent, *, seed: int = 0, **settings: Any) -> None:
        super().__init__(agent)
        self.settings = self.settings_of(settings)
        by_key: dict[str, Any] = spaces_by_key(agent.observation_space)
        #: shapes of the keys of an observation
        self.shapes: dict[str, tuple[int, ...]] = {n: tuple(e.shape) for n, e in by_key.items()}
        self._scales = {
            name: 255.0 if is_image(e) and e.dtype == np.uint8 else 1.0
            for name, e in by_key.items()
        }
        self.masking = Masking(self.shapes, self.settings.content, self.covered)
        self.n_frames = agent.n_stack
        self.baselines = self._fit_baselines(dict.fromkeys(self.shapes))
        self.training = TrainingState()
        #: fingerprints of the states that it has learned from, and the options of training
        self.learned_from: dict[str, Any] = {}
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)  # torch's own would seed all GPUs too
            self.network = self.build_network()
        self.network.to(agent.device).to(memory_format=torch.channels_last).eval()  # type: ignore[call-overload]

    @classmethod
    def settings_of(cls, given: Mapping[str, Any]) -> MaskSettings:
        """The settings: those given, the defaults for the others.

        :raises ExplainError: for unknown or impossible ones
        """
        known = [field.name for field in dataclasses.fields(cls.Settings)]
        require_known(f"setting of {cls.name}", given, known)
        content = given.get("content")
        settings = cls.Settings(**{**given, "content": content and tuple(content)})
        require_types(settings)
        if not settings.temperature > 0:
            raise ExplainError(f"temperature={settings.temperature}: it must be above 0")
        return settings

    @property
    def n_masks(self) -> int:
        """Masks over each key: one for each target, or one for all of them."""
        return self.agent.n_targets

    @abstractmethod
    def build_network(self) -> nn.Module:
        """The module that learns: :meth:`key_masks`, or another that :meth:`logits` passes."""

    def key_masks(self, network: str, options: Mapping[str, Any] | None = None) -> nn.Module:
        """A module that turns keys into logits of masks.

        :param network: name of the mask network of images
        :param options: further arguments of it
        """
        return KeyMasks(self.shapes, self.n_masks, self.mask_frames, network, options)

    @property
    def mask_frames(self) -> int:
        """Frames that an image's mask has."""
        return self.n_frames if self.settings.per_frame else 1

    def _fit_baselines(self, frames: Mapping[str, Tensor | None]) -> dict[str, Baseline]:
        """The baseline of each key; keys that are never hidden stay what they are."""
        covered = {name: frames[name] for name in self.covered}
        fitted = fit_to_frames(self.settings.baseline, covered)
        return {name: fitted.get(name) or FunctionBaseline(unchanged) for name in self.shapes}

    @property
    def baseline(self) -> Baseline:
        """The baseline of the only key, of an agent whose observations are no dict."""
        return self.baselines[SINGLE]

    @property
    def fitted(self) -> bool:
        return bool(self.training.history)

    @property
    def fit_seconds(self) -> float:
        return self.training.seconds

    # --- explaining ------------------------------------------------------------------------

    def explain(self, batch: StateBatch) -> Masks:
        states = torch.arange(len(batch), device=batch.device)
        return {key: masks[states, batch.target] for key, masks in self.explain_all(batch).items()}

    def explain_all(self, batch: StateBatch) -> Masks:
        self.require_fitted()
        with torch.no_grad():
            masks = self.masking.hidden(self.masks(self.network, batch))
        # one mask for all targets is the mask of each
        return {n: m.expand(-1, self.agent.n_targets, *m.shape[2:]) for n, m in masks.items()}

    # --- masks -----------------------------------------------------------------------------

    def logits(self, network: nn.Module, batch: StateBatch) -> Masks:
        """(B, M, ...) logits of the masks by key; an image's have frames in place of channels."""
        scaled = {n: observed / self._scales[n] for n, observed in batch.by_key.items()}
        logits: Masks = network(scaled)
        return logits

    def masks(self, network: nn.Module, batch: StateBatch) -> Masks:
        """(B, M, ...) masks in [0, 1] over every key, of the keys' shapes.

        Those of keys that are never hidden are 0.
        """
        logits = self.logits(network, batch)
        return {
            name: self.masking.over_channels(name, logits[name].float().sigmoid())
            if name in logits
            else observed.new_zeros(len(observed), self.n_masks, *self.shapes[name])
            for name, observed in batch.by_key.items()
        }

    def blends(self, masks: Masks, batch: StateBatch) -> tuple[Masks, Masks]:
        """What the agent sees through masks (B, M, ...), and what they leave out."""
        return self.masking.blends(masks, batch.by_key, self.baselines)

    @property
    def covered(self) -> list[str]:
        """Keys of which the masks may hide something."""
        return list(self.shapes)

    def shown(self, attributions: Tensor) -> Tensor:
        return self.masking.shown(attributions)

    # --- learning --------------------------------------------------------------------------

    def fit(
        self,
        train: StateDataset,
        validation: StateDataset,
        *,
        folder: str | Path | None = None,
        **options: Any,
    ) -> TrainingState:
        """Learn masks from states labelled with the greedy action.

        :param train: states to learn from; the baseline is fitted on their frames
        :param validation: states whose loss decides when to stop and which weights are kept
        :param folder: for checkpoints and TensorBoard scalars; a run that was killed goes on there
        :param options: fields of :class:`sb3_explain.common.training.TrainingOptions`
        :return: the history of the validation losses
        """
        chosen = self.training_options(options)
        for states in (train, validation):
            states.require_labels_of(self.agent)
            if states.n_stack != self.n_frames:
                raise ExplainError(
                    f"the states stack {states.n_stack} frames, the agent {self.n_frames}: give "
                    "the agent n_stack or a recipe"
                )
        self.baselines = self._fit_baselines(train.frames_by_key(train.spread(BASELINE_FRAMES)))
        self.learned_from = learned_from(train, validation, chosen.identity())
        self.training = train_network(
            self.network,
            lambda network, positions: self.losses(network, train, positions),
            len(train),
            lambda network, positions: self.losses(network, validation, positions),
            len(validation),
            chosen,
            device=self.agent.device,
            folder=Path(folder) if folder is not None else None,
            identity=None
            if folder is None
            else {
                **self.plain_settings(),
                "explainer": self.name,
                "agent": self.agent.fingerprint(),
                "states": [train.fingerprint(), validation.fingerprint()],
            },
        )
        return self.training

    def training_options(self, options: Mapping[str, Any]) -> TrainingOptions:
        """The options of training: those given, the defaults of the method for the others."""
        return training_options({**self.training_defaults, **options})

    @abstractmethod
    def losses(
        self, network: nn.Module, states: StateDataset, positions: NDArray[np.int64]
    ) -> dict[str, Tensor]:
        """The terms of the loss on some states, and "loss", their weighted sum."""

    def outcomes(self, read: Read, *copies: Masks) -> tuple[Tensor, ...]:
        """(B, M, K) for each set of copies: what the agent says of them, in one pass.

        :param read: :meth:`~sb3_explain.states.batch.StateBatch.target_scores` of the states, or
            another method that reads copies of some keys
        :param copies: (B, M, ...) masked states, by key
        """
        n_states, n_masks = next(iter(copies[0].values())).shape[:2]
        rows = {n: torch.cat([some[n] for some in copies]).flatten(0, 1) for n in copies[0]}
        states = torch.arange(n_states, device=self.agent.device).repeat_interleave(n_masks)
        outcomes = read(rows, states.repeat(len(copies))).float() / self.settings.temperature
        return tuple(outcomes.reshape(len(copies), n_states, n_masks, -1))

    def groups(self, batch: StateBatch) -> list[tuple[slice, Tensor]]:
        """Of each sub-action where its targets stand, and (B,) which of them is the greedy one."""
        space = self.agent.action_space
        sizes = group_sizes(space)
        stops = list(accumulate(sizes))
        places = [slice(stop - size, stop) for size, stop in zip(sizes, stops, strict=True)]
        if len(places) == 1:
            return [(places[0], batch.target)]
        chosen = greedy_targets(space, batch.own_target_scores)
        return [(own, chosen[:, own].long().argmax(dim=1)) for own in places]

    def total_variation(self, masks: Masks) -> Tensor:
        """Mean total variation of the images' masks (B, M, ...); 0 where there is no image."""
        images = [field for field in self.masking.fields(masks).values() if field.dim() == 5]
        each = [loss.total_variation(field) for field in images]
        return torch.stack(each).mean() if each else torch.zeros((), device=self.agent.device)

    def batch(self, states: StateDataset, positions: NDArray[np.int64]) -> StateBatch:
        """Some states, to explain their greedy targets."""
        agent = self.agent
        target = None
        if isinstance(agent.action_space, spaces.Discrete):
            target = agent.tensor(states.greedy[positions])
        return states.batch(agent, positions, target)  # type: ignore[arg-type]

    # --- on disk ---------------------------------------------------------------------------

    def plain_settings(self) -> dict[str, Any]:
        """The settings as plain data.

        :raises ExplainError: if the baseline is a function without a name to save it by
        """
        baseline = make_baseline(self.settings.baseline, None).saved_as
        return {**dataclasses.asdict(self.settings), "baseline": baseline}

    def save(self, folder: str | Path) -> None:
        """Write ``<name>.safetensors`` and ``<name>.json``."""
        self.require_fitted()
        tensors = {f"network.{name}": tensor for name, tensor in copy_weights(self.network).items()}
        for key, baseline in self.baselines.items():
            tensors |= {f"baseline.{key}.{k}": pack(v) for k, v in baseline.state().items()}
        fitted = Fitted(self.plain_settings(), tensors, self.training, self.learned_from)
        write_fitted(Path(folder), self.name, self.agent, fitted)

    @classmethod
    def load(cls, folder: str | Path, agent: Agent) -> Self:
        """Read what :meth:`save` wrote.

        :param folder: where it stands
        :param agent: the agent that it was trained for
        :raises ExplainError: if files are missing or damaged, or the agent is another
        """
        folder = Path(folder)
        fitted = read_fitted(folder, cls.name, agent)
        settings = dict(fitted.settings)
        try:
            options = dict(settings.get("network_options") or {})
            # weights that a network begins with are downloaded, and would be written over here
            if options.pop("weights", None) is not None:
                settings["network_options"] = options
            explainer = cls(agent, **settings)
            explainer.settings = cls.settings_of(fitted.settings)
            explainer.network.load_state_dict(below("network.", fitted.tensors))
            for key, baseline in explainer.baselines.items():
                baseline.restore(below(f"baseline.{key}.", fitted.tensors))
        except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
            raise damaged(folder, cls.name) from error
        explainer.training, explainer.learned_from = fitted.training, fitted.learned_from
        return explainer


def unchanged(observations: Tensor) -> Tensor:
    """The baseline of what is never hidden: the observations themselves."""
    return observations
