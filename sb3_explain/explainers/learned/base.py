"""The base class of explainers whose masks are learned by a network from states."""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor, nn

from sb3_explain.agents.agent import Agent
from sb3_explain.common.checkpoints import TrainingState, copy_weights, pack
from sb3_explain.common.errors import ExplainError, require_known
from sb3_explain.common.signatures import check_arguments
from sb3_explain.common.tensor_files import require_fit
from sb3_explain.common.training import (
    TrainingOptions,
    require_types,
    train_network,
    training_options,
)
from sb3_explain.envs.spaces import SINGLE, spaces_by_key
from sb3_explain.explainers.base import FittedExplainer
from sb3_explain.explainers.learned import losses as loss
from sb3_explain.explainers.learned.fitted import (
    REMEDY,
    Fitted,
    building,
    learned_from,
    read_fitted,
    select_prefix,
    write_fitted,
)
from sb3_explain.explainers.learned.masking import Masking, Masks
from sb3_explain.explainers.learned.networks.keys import KeyMasks
from sb3_explain.explainers.learned.outcomes import Outcomes, ScalarOutcomes
from sb3_explain.explainers.learned.scalar_targets import (
    find_scalar_target,
    measure_spread,
    read_spread,
)
from sb3_explain.explainers.learned.settings import MaskSettings, TargetSettings
from sb3_explain.explainers.requirements import needs_continuous
from sb3_explain.states.baselines import (
    BASELINE_FRAMES,
    Baseline,
    FunctionBaseline,
    fit_to_frames,
    make_baseline,
)
from sb3_explain.states.batch import StateBatch
from sb3_explain.states.dataset import StateDataset

#: (R, ...) copies by key and (R,) indices of their states -> (R, K)
Read = Callable[[Masks, Tensor], Tensor]


class MaskExplainer(FittedExplainer):
    """Masks in [0, 1] over every key of an observation, which a network learns to predict.

    A subclass has ``Settings``, :meth:`build_network` and :meth:`losses`.

    >>> from sb3_explain import EXPLAINERS, MaskExplainer
    >>> issubclass(EXPLAINERS["visionmask"], MaskExplainer)
    True

    :param agent: agent to explain
    :param seed: random seed of the network's initial weights
    :param settings: fields of ``Settings``
    :raises ExplainError: for unknown or invalid settings, or an agent that is not supported
    """

    gives_masks = True
    actions_only = "its masks are learned from the policy, unless it is made with target="
    unsupported = staticmethod(needs_continuous)
    #: class of the settings
    Settings: ClassVar[type[MaskSettings]] = MaskSettings
    #: options of training that have another default than in the training loop
    training_defaults: ClassVar[Mapping[str, Any]] = {}

    def __init__(self, agent: Agent, *, seed: int = 0, **settings: Any) -> None:
        super().__init__(agent)
        self.settings = self.make_settings(settings)
        if isinstance(self.settings, TargetSettings) and self.settings.target is not None:
            self.own_target = find_scalar_target(agent, self.settings.target)
        #: spread of the quantity that is explained in place of actions, over training states
        self.spread = 0.0
        #: shapes by key, in the form in which a batch has them
        self.shapes = agent.layout.shapes
        self._scales = {
            name: 255.0 if name in agent.layout.pictures and space.dtype == np.uint8 else 1.0
            for name, space in spaces_by_key(agent.observation_space).items()
        }
        held = agent.categories.held
        self.masking = Masking(self.shapes, self.settings.content, self.covered, held)
        self.n_frames = agent.n_stack
        self.baselines = self._fit_baselines(dict.fromkeys(self.shapes))
        self.training = TrainingState()
        self.learned_from: dict[str, Any] = {}
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)  # torch's own would seed all GPUs too
            self.network = self.build_network()
        self.network.to(agent.device).to(memory_format=torch.channels_last).eval()  # type: ignore[call-overload]

    @classmethod
    def make_settings(cls, given: Mapping[str, Any]) -> MaskSettings:
        """Complete settings by the defaults.

        :param given: settings by name
        :raises ExplainError: for unknown or invalid settings
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
        """Number of masks over each key: one for each target, or 1 for all of them."""
        return len(self.target_names)

    @abstractmethod
    def build_network(self) -> nn.Module:
        """Build the module that learns: :meth:`key_masks`, or another with its :meth:`logits`."""

    def key_masks(self, network: str, options: Mapping[str, Any] | None = None) -> nn.Module:
        """Build a module that turns observations by key into logits of masks.

        :param network: name of the mask network for images
        :param options: further arguments of the mask network
        """
        return KeyMasks(self.shapes, self.n_masks, self.mask_frames, network, options)

    @property
    def mask_frames(self) -> int:
        """Number of frames of an image's mask."""
        return self.n_frames if self.settings.per_frame else 1

    def _fit_baselines(self, frames: Mapping[str, Tensor | None]) -> dict[str, Baseline]:
        """Baselines by key; what stands under keys that are never hidden stays as it is."""
        covered = {name: frames[name] for name in self.covered}
        fitted = fit_to_frames(self.settings.baseline, covered)
        return {
            name: fitted.get(name) or FunctionBaseline(keep_observations) for name in self.shapes
        }

    @property
    def baseline(self) -> Baseline:
        """The baseline of an agent whose observations are no dict."""
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
            masks = self.masking.restrict(self.masks(self.network, batch))
        # one mask for all targets is each target's mask
        return {n: m.expand(-1, len(self.target_names), *m.shape[2:]) for n, m in masks.items()}

    # --- masks -----------------------------------------------------------------------------

    def logits(self, network: nn.Module, batch: StateBatch) -> Masks:
        """Compute logits (B, M, ...) of the masks by key; an image's have frames as channels."""
        logits: Masks = network({n: (x / self._scales[n]).float() for n, x in batch.by_key.items()})
        return logits

    def masks(self, network: nn.Module, batch: StateBatch) -> Masks:
        """Compute the masks over every key.

        :param network: the module of :meth:`build_network`
        :param batch: the states
        :return: (B, M, ...) masks in [0, 1] by key; 0 for keys that are never hidden
        """
        logits = self.logits(network, batch)
        return {
            name: self.masking.expand_channels(name, logits[name].float().sigmoid())
            if name in logits
            else observed.new_zeros(len(observed), self.n_masks, *self.shapes[name])
            for name, observed in batch.by_key.items()
        }

    def blend(self, masks: Masks, batch: StateBatch) -> tuple[Masks, Masks]:
        """Blend states with their baselines.

        :param masks: (B, M, ...) masks by key
        :param batch: the states
        :return: (B, M, ...) masked states by key, and their complements
        """
        return self.masking.blend(masks, batch.by_key, self.baselines)

    def hide_all(self, batch: StateBatch) -> Masks:
        """Return states (B, ...) by key of which everything is hidden that may be."""
        nothing = {name: torch.zeros_like(each)[:, None] for name, each in batch.by_key.items()}
        return {name: each[:, 0] for name, each in self.blend(nothing, batch)[0].items()}

    @property
    def left_out(self) -> Collection[str]:
        return self.shapes.keys() - set(self.covered)

    @property
    def covered(self) -> list[str]:
        """Keys that the masks may hide: all but those of categories alone."""
        return [key for key, held in self.agent.categories.held.items() if not held.all()]

    def to_masks(self, attributions: Tensor) -> Tensor:
        return self.masking.to_masks(attributions)

    # --- learning --------------------------------------------------------------------------

    @check_arguments
    def fit(
        self,
        train: StateDataset,
        validation: StateDataset,
        *,
        folder: str | Path | None = None,
        **options: Any,
    ) -> TrainingState:
        """Learn masks from states that are labelled with the greedy action.

        Where masks of a quantity are learned, its spread over the training states is measured.

        :param train: states to learn from; the baseline is fitted on their frames
        :param validation: states whose loss decides when to stop, and which weights are the best
        :param folder: folder for checkpoints and TensorBoard scalars; a run that was killed goes on
            in the same folder
        :param options: fields of :class:`sb3_explain.common.training.TrainingOptions`
        :return: the state of training, with the history of the validation losses
        :raises ExplainError: if the states do not fit the agent, the folder holds another run, or
            the quantity that is explained is the same in all states
        """
        chosen = self.training_options(options)
        for states in (train, validation):
            states.require_labels_of(self.agent)
            if states.n_stack != self.n_frames:
                raise ExplainError(
                    f"the states stack {states.n_stack} frames, the agent {self.n_frames}: give "
                    "the agent n_stack or a recipe"
                )
        frames = train.stored_by_key(train.spread(BASELINE_FRAMES))
        self.baselines = self._fit_baselines(self.agent.layout.arrange(frames))
        if self.own_target is not None:
            self.spread = measure_spread(self.agent, self.own_target, train)
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
        """Complete the options of training by the method's defaults."""
        return training_options({**self.training_defaults, **options})

    @abstractmethod
    def losses(
        self, network: nn.Module, states: StateDataset, positions: NDArray[np.int64]
    ) -> dict[str, Tensor]:
        """Compute the loss on some states.

        :param network: the module of :meth:`build_network`
        :param states: the data set
        :param positions: (B,) positions of the states in the data set
        :return: the terms of the loss, and ``"loss"``, their weighted sum
        """

    def read_outcomes(self, read: Read, *copies: Masks) -> tuple[Tensor, ...]:
        """Pass sets of masked states through the agent, in one forward pass.

        :param read: :meth:`~sb3_explain.StateBatch.target_scores` of the states, or
            another of its methods
        :param copies: sets of masked states (B, M, ...) by key
        :return: (B, M, K) what ``read`` returned, divided by the temperature, for each set
        """
        n_states, n_masks = next(iter(copies[0].values())).shape[:2]
        rows = {n: torch.cat([some[n] for some in copies]).flatten(0, 1) for n in copies[0]}
        states = torch.arange(n_states, device=self.agent.device).repeat_interleave(n_masks)
        outcomes = read(rows, states.repeat(len(copies))).float() / self.settings.temperature
        return tuple(outcomes.reshape(len(copies), n_states, n_masks, -1))

    def read_scalar_outcomes(self, batch: StateBatch) -> Outcomes:
        """Read what the quantity that is explained is on states, and where all is hidden."""
        return ScalarOutcomes(batch, self.hide_all(batch), self.spread)

    def total_variation(self, masks: Masks) -> Tensor:
        """Compute the mean total variation of the images' masks (B, M, ...); 0 without images."""
        images = [field for field in self.masking.crop(masks).values() if field.dim() == 5]
        each = [loss.total_variation(field) for field in images]
        return torch.stack(each).mean() if each else torch.zeros((), device=self.agent.device)

    def batch(self, states: StateDataset, positions: NDArray[np.int64]) -> StateBatch:
        """Return the states at some positions as a batch of their greedy, or the own, target."""
        agent = self.agent
        target: Any = self.own_target
        if target is None and isinstance(agent.action_space, spaces.Discrete):
            target = agent.tensor(states.greedy[positions])
        return states.batch(agent, positions, target)

    # --- on disk ---------------------------------------------------------------------------

    def plain_settings(self) -> dict[str, Any]:
        """Return the settings as plain data.

        :raises ExplainError: if the baseline is a function that is not registered
        """
        baseline = make_baseline(self.settings.baseline, None).saved_as
        plain = {**dataclasses.asdict(self.settings), "baseline": baseline}
        if self.own_target is None:  # runs that were begun before there was a choice go on
            plain.pop("target", None)
        return plain

    def save(self, folder: str | Path) -> None:
        """Save the explainer as ``<name>.safetensors`` and ``<name>.json``.

        :param folder: folder that the files are written to
        """
        self.require_fitted()
        tensors = {f"network.{name}": tensor for name, tensor in copy_weights(self.network).items()}
        for key, baseline in self.baselines.items():
            tensors |= {f"baseline.{key}.{k}": pack(v) for k, v in baseline.state().items()}
        if self.own_target is not None:
            tensors["spread"] = torch.tensor(self.spread, dtype=torch.float64)
        fitted = Fitted(self.plain_settings(), tensors, self.training, self.learned_from)
        write_fitted(Path(folder), self.name, self.agent, fitted)

    @classmethod
    @check_arguments
    def load(cls, folder: str | Path, agent: Agent) -> Self:
        """Load an explainer that :meth:`save` has written.

        :param folder: folder that it was saved in
        :param agent: agent that it was fitted to
        :raises ExplainError: if files are missing or damaged, or it was fitted to another agent
        """
        folder = Path(folder)
        fitted = read_fitted(folder, cls.name, agent)
        settings = dict(fitted.settings)
        weights = select_prefix("network.", fitted.tensors)
        with building(folder, cls.name, weights):
            options = dict(settings.get("network_options") or {})
            # pretrained weights would be downloaded, and then overwritten
            if options.pop("weights", None) is not None:
                settings["network_options"] = options
            explainer = cls(agent, **settings)
            explainer.settings = cls.make_settings(fitted.settings)
            require_fit(weights, explainer.network.state_dict(), str(folder), REMEDY)
            explainer.network.load_state_dict(weights)
            for key, baseline in explainer.baselines.items():
                baseline.restore(select_prefix(f"baseline.{key}.", fitted.tensors))
                baseline(torch.zeros(1, *explainer.shapes[key])).reshape(explainer.shapes[key])
            if explainer.own_target is not None:
                explainer.spread = read_spread(fitted.tensors["spread"])
        explainer.training, explainer.learned_from = fitted.training, fitted.learned_from
        return explainer


def keep_observations(observations: Tensor) -> Tensor:
    """Return the observations themselves: the baseline of keys that are never hidden."""
    return observations
