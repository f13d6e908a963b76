"""What learned explainers share: masks by a network, trained on states, kept on disk."""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import safetensors
import safetensors.torch
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor, nn

from sb3_explain.agent import Agent
from sb3_explain.atomic import atomic_path, read_json, write_json
from sb3_explain.batch import PLAIN, StateBatch, entry_spaces
from sb3_explain.checkpoints import TrainingState, copy_of, packed
from sb3_explain.errors import ExplainError, unknown_name
from sb3_explain.explainers.base import TrainedExplainer
from sb3_explain.networks.entries import EntryMasks
from sb3_explain.references import Reference, fit_references
from sb3_explain.states import StateDataset
from sb3_explain.training import TrainingOptions, train_network

#: frames that the reference is fitted on, at most
REFERENCE_FRAMES = 2000

Masks = dict[str, Tensor]


@dataclasses.dataclass(frozen=True)
class MaskSettings:
    """What learned masks are, apart from their weights.

    :param network: name of the mask network of images
    :param reference: name of the reference r
    :param per_frame: a mask for each stacked frame of an image; else one for all of them
    :param content: (top, left, height, width) in cells of an image: only these are masked, the rest
        is always shown and has attribution 0
    """

    network: str = "compact"
    reference: str = "background"
    per_frame: bool = True
    content: tuple[int, int, int, int] | None = None


class LearnedExplainer(TrainedExplainer):
    """Masks in [0, 1] over every entry of an observation, from a network that learns them.

    A subclass has ``Settings``, :attr:`n_masks`, :meth:`losses`, and :meth:`explain`.

    :param agent: to explain
    :param seed: of the network's initial weights
    :param settings: fields of ``Settings``
    :raises ExplainError: for unknown or impossible settings, or an agent that is not served
    """

    gives_masks = True
    #: the class of the settings
    Settings: ClassVar[type[MaskSettings]] = MaskSettings

    def __init__(self, agent: Agent, *, seed: int = 0, **settings: Any) -> None:
        super().__init__(agent)
        if settings.get("content") is not None:
            settings["content"] = tuple(settings["content"])
        known = [field.name for field in dataclasses.fields(self.Settings)]
        for setting in settings:
            if setting not in known:
                raise unknown_name(f"setting of {self.name}", setting, known)
        self.settings = self.Settings(**settings)
        entries: dict[str, Any] = entry_spaces(agent.observation_space)
        #: shapes of the entries of an observation
        self.shapes: dict[str, tuple[int, ...]] = {n: tuple(e.shape) for n, e in entries.items()}
        self._scales = {
            name: 255.0 if len(e.shape) == 3 and e.dtype == np.uint8 else 1.0
            for name, e in entries.items()
        }
        self._check_content()
        self.n_frames = agent.n_stack
        self.references = fit_references(self.settings.reference, dict.fromkeys(self.shapes))
        self.training = TrainingState()
        #: fingerprints of the states that it has learned from, and the options of training
        self.learned_from: dict[str, Any] = {}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.network = self.build_network()
        self.network.to(agent.device).to(memory_format=torch.channels_last).eval()  # type: ignore[call-overload]

    @property
    @abstractmethod
    def n_masks(self) -> int:
        """Masks over each entry."""

    def build_network(self) -> nn.Module:
        """A module that turns entries into logits of masks, as :class:`EntryMasks` does."""
        n_frames = self.n_frames if self.settings.per_frame else 1
        return EntryMasks(self.shapes, self.n_masks, n_frames, self.settings.network)

    @property
    def reference(self) -> Reference:
        """The reference of the only entry, of an agent whose observations are no dict."""
        return self.references[PLAIN]

    @property
    def fitted(self) -> bool:
        return bool(self.training.history)

    @property
    def fit_seconds(self) -> float:
        return self.training.seconds

    # --- masks -----------------------------------------------------------------------------

    def masks(self, network: nn.Module, entries: Mapping[str, Tensor]) -> Masks:
        """(B, M, ...) masks in [0, 1] over every entry, of the entries' shapes."""
        logits: Masks = network({n: entry / self._scales[n] for n, entry in entries.items()})
        return {
            name: self._over_channels(mask.float().sigmoid(), self.shapes[name])
            for name, mask in logits.items()
        }

    def _over_channels(self, mask: Tensor, shape: tuple[int, ...]) -> Tensor:
        """(..., frames, H, W) as (..., C, H, W): one frame is all frames, and colours are alike."""
        if len(shape) != 3 or mask.shape[-3] == shape[0]:
            return mask
        return mask.repeat_interleave(shape[0] // mask.shape[-3], dim=-3)

    def hidden(self, masks: Masks) -> Masks:
        """Masks without the cells outside the content, which are never hidden."""
        return {
            name: mask * inside if (inside := self._inside(name, mask)) is not None else mask
            for name, mask in masks.items()
        }

    def shown(self, maps: Tensor) -> Tensor:
        if self.settings.content is None:
            return maps
        space = {n: torch.zeros(1, *shape, device=maps.device) for n, shape in self.shapes.items()}
        outside = {
            name: like if (inside := self._inside(name, like)) is None else like + (1 - inside)
            for name, like in space.items()
        }
        return maps + StateBatch.flat(outside)

    def blends(
        self, masks: Masks, entries: Mapping[str, Tensor], *, both: bool = True
    ) -> tuple[Masks, Masks]:
        """Eq. 1 and its complement for all masks at once: (B, M, ...) s_i, and s~_i.

        :param masks: (B, M, ...)
        :param entries: (B, ...) float32
        """
        states_i, complements_i = {}, {}
        for name, mask in masks.items():
            state = entries[name][:, None]
            reference = self.references[name](entries[name])[:, None]
            shown = mask * (state - reference)
            states_i[name], complements_i[name] = reference + shown, state - shown
            inside = self._inside(name, mask)
            if inside is not None:
                states_i[name] = torch.where(inside == 1, states_i[name], state)
                complements_i[name] = torch.where(inside == 1, complements_i[name], state)
        return states_i, complements_i

    def playfield(self, name: str, mask: Tensor) -> Tensor:
        """The part of the masks of an entry that may hide something."""
        if self.settings.content is None or len(self.shapes[name]) != 3:
            return mask
        top, left, height, width = self.settings.content
        return mask[..., top : top + height, left : left + width]

    def _inside(self, name: str, like: Tensor) -> Tensor | None:
        """(H, W) 1 on the playfield, 0 elsewhere; ``None`` where everything is playfield."""
        if self.settings.content is None or len(self.shapes[name]) != 3:
            return None
        inside = torch.zeros(self.shapes[name][1:], device=like.device)
        self.playfield(name, inside).fill_(1)
        return inside

    def _check_content(self) -> None:
        if self.settings.content is None:
            return
        top, left, height, width = self.settings.content
        images = [shape for shape in self.shapes.values() if len(shape) == 3]
        for _, rows, columns in images or [(0, 0, 0)]:
            if not (0 <= top < top + height <= rows and 0 <= left < left + width <= columns):
                raise ExplainError(
                    f"content={self.settings.content} (top, left, height, width) does not lie "
                    f"inside an observation of {rows} x {columns} cells"
                )

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

        :param train: states to learn from; the reference is fitted on their frames
        :param validation: states whose loss decides when to stop and which weights are kept
        :param folder: for checkpoints and TensorBoard scalars; a run that was killed goes on there
        :param options: fields of :class:`sb3_explain.training.TrainingOptions`
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
        spread = np.linspace(0, len(train) - 1, min(len(train), REFERENCE_FRAMES)).astype(np.int64)
        self.references = fit_references(self.settings.reference, train.entries(spread))
        self.learned_from = {
            "train": train.fingerprint(),
            "validation": validation.fingerprint(),
            "options": chosen.identity(),
        }
        self.training = train_network(
            self.network,
            lambda network, positions: self.losses(network, train, positions),
            len(train),
            lambda network, positions: self.losses(network, validation, positions),
            len(validation),
            chosen,
            device=self.agent.device,
            folder=Path(folder) if folder is not None else None,
            identity={
                **dataclasses.asdict(self.settings),
                "explainer": self.name,
                "agent": self.agent.fingerprint(),
                "states": [train.fingerprint(), validation.fingerprint()],
            },
        )
        return self.training

    def training_options(self, options: Mapping[str, Any]) -> TrainingOptions:
        """The options of training: those given, the defaults of the method for the others."""
        return training_options(dict(options))

    @abstractmethod
    def losses(
        self, network: nn.Module, states: StateDataset, positions: NDArray[np.int64]
    ) -> dict[str, Tensor]:
        """The terms of the loss on some states, and "loss", their weighted sum."""

    def batch(self, states: StateDataset, positions: NDArray[np.int64]) -> StateBatch:
        """Some states, to explain their greedy choices."""
        agent = self.agent
        target = None
        if isinstance(agent.action_space, spaces.Discrete):
            target = agent.tensor(states.greedy[positions])
        context: Any = agent.tensor(states.context(positions))
        observations = agent.tensor(states.observations(positions))
        return StateBatch(agent, observations, target, context)  # type: ignore[arg-type]

    # --- on disk ---------------------------------------------------------------------------

    def save(self, folder: str | Path) -> None:
        """Write ``<name>.safetensors`` and ``<name>.json``."""
        self.require_fitted()
        folder = Path(folder)
        tensors = {f"network.{name}": tensor for name, tensor in copy_of(self.network).items()}
        for entry, reference in self.references.items():
            tensors |= {f"reference.{entry}.{k}": packed(v) for k, v in reference.state().items()}
        with atomic_path(folder / f"{self.name}.safetensors") as path:
            safetensors.torch.save_file(tensors, path)
        write_json(
            folder / f"{self.name}.json",
            {
                "format": 1,
                "settings": dataclasses.asdict(self.settings),
                "agent": self.agent.describe(),
                "training": dataclasses.asdict(self.training),
                "learned_from": self.learned_from,
            },
        )

    @classmethod
    def load(cls, folder: str | Path, agent: Agent) -> Self:
        """Read what :meth:`save` wrote.

        :param folder: where it stands
        :param agent: the agent that it was trained for
        :raises ExplainError: if files are missing or damaged, or the agent is another
        """
        folder = Path(folder)
        if not (folder / f"{cls.name}.json").exists():
            raise ExplainError(f"{folder} holds no {cls.name}: fit one first")
        described = read_json(folder / f"{cls.name}.json")
        damaged = ExplainError(f"{folder} holds no whole {cls.name}: fit it again")
        try:
            learned_from = dict(described["learned_from"])
            settings = dict(described["settings"])
            fingerprint = described["agent"]["weights_sha256"]
            training = TrainingState(**described["training"])
            tensors = safetensors.torch.load_file(folder / f"{cls.name}.safetensors")
        except (KeyError, TypeError, OSError, safetensors.SafetensorError) as error:
            raise damaged from error
        if fingerprint != agent.fingerprint():
            raise ExplainError(f"the {cls.name} in {folder} was trained for another agent")
        explainer = cls(agent, **settings)
        try:
            explainer.network.load_state_dict(_below("network.", tensors))
            for entry, reference in explainer.references.items():
                reference.restore(_below(f"reference.{entry}.", tensors))
        except (KeyError, RuntimeError) as error:
            raise damaged from error
        explainer.training, explainer.learned_from = training, learned_from
        return explainer


def _below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names begin with ``prefix``, without it."""
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }


def training_options(options: dict[str, Any]) -> TrainingOptions:
    """Options by name.

    :raises ExplainError: for an option that does not exist
    """
    known = [field.name for field in dataclasses.fields(TrainingOptions)]
    for option in options:
        if option not in known:
            raise unknown_name("training option", option, known)
    return TrainingOptions(**options)
