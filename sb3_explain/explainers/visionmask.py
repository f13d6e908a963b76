"""VisionMask: a learned, contrastive mask per action (Zuo et al., IJCAI 2025)."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.torch
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor, nn

from sb3_explain import losses as loss
from sb3_explain.agent import Agent
from sb3_explain.atomic import atomic_path, read_json, write_json
from sb3_explain.checkpoints import TrainingState, copy_of, packed
from sb3_explain.errors import ExplainError, unknown_name
from sb3_explain.explainers.base import TrainedExplainer
from sb3_explain.references import Reference, make_reference
from sb3_explain.registry import EXPLAINERS, NETWORKS
from sb3_explain.states import StateDataset
from sb3_explain.training import TrainingOptions, train_network

#: frames that the reference is fitted on, at most
REFERENCE_FRAMES = 2000


@dataclasses.dataclass(frozen=True)
class VisionMaskSettings:
    """What a VisionMask is, apart from its weights.

    :param network: name of the mask network
    :param reference: name of the reference r
    :param max_area: a_max, share of the cells that a mask may cover without cost
    :param per_frame: a mask for each stacked frame; else one for all of them
    :param content: (top, left, height, width) in cells: only these are masked, the rest is always
        shown and has attribution 0
    :param area: ``"hinge"``, ``"l1_paper"`` or ``"minmax"``
    :param lambda_ne: weight of the negative entropy
    :param lambda_area: weight of the area term
    :param lambda_tv: weight of the total variation, off by default
    :param temperature: scores are divided by it before every softmax of the loss; 1 in the paper.
        Below 1 for an agent whose best actions are nearly equally probable, or for Q-values of a
        small range: the loss then sees the margin that decides
    :param entropy_over_masks: the second entropy term of practice
    :param paper_scale: 1/K instead of 1/2 before the contrastive term, as printed
    """

    network: str = "compact"
    reference: str = "background"
    max_area: float = 0.1
    per_frame: bool = True
    content: tuple[int, int, int, int] | None = None
    area: str = "hinge"
    lambda_ne: float = 1.0
    lambda_area: float = 1.0
    lambda_tv: float = 0.0
    temperature: float = 1.0
    entropy_over_masks: bool = True
    paper_scale: bool = False


@EXPLAINERS.register("visionmask")
class VisionMask(TrainedExplainer):
    """One mask for each action, learned by contrast with the others, in one pass of a network.

    Training costs one pass of the mask network and 2K passes of the agent a state; explaining
    costs one pass of the mask network and none of the agent for the maps of all K actions.

    :param agent: with Discrete actions and images or frame stacks as observations
    :param seed: of the network's initial weights
    :param settings: fields of :class:`VisionMaskSettings`
    :raises ExplainError: if the agent's observations or actions are of another kind
    """

    name = "visionmask"
    gives_masks = True

    def __init__(self, agent: Agent, *, seed: int = 0, **settings: Any) -> None:
        super().__init__(agent)
        if settings.get("content") is not None:
            settings["content"] = tuple(settings["content"])
        known = [field.name for field in dataclasses.fields(VisionMaskSettings)]
        for setting in settings:
            if setting not in known:
                raise unknown_name("setting of VisionMask", setting, known)
        self.settings = VisionMaskSettings(**settings)
        shape = agent.observation_space.shape
        if agent.recurrent:
            raise ExplainError("visionmask does not serve recurrent agents")
        if not isinstance(agent.action_space, spaces.Discrete) or len(shape or ()) != 3:
            raise ExplainError(
                "visionmask serves agents with image observations and Discrete actions, not "
                f"{type(agent.observation_space).__name__}{shape} and "
                f"{type(agent.action_space).__name__}"
            )
        assert shape is not None
        if self.settings.area not in loss.AREA_TERMS:
            raise unknown_name("area term", self.settings.area, loss.AREA_TERMS)
        if not self.settings.temperature > 0 or not 0 < self.settings.max_area <= 1:
            raise ExplainError(
                f"temperature={self.settings.temperature}, max_area={self.settings.max_area}: the "
                "temperature must be above 0, the area a share of the cells"
            )
        top, left, height, width = self.settings.content or (0, 0, *shape[1:])
        inside = 0 <= top < top + height <= shape[1] and 0 <= left < left + width <= shape[2]
        if not inside:
            raise ExplainError(
                f"content={self.settings.content} (top, left, height, width) does not lie inside "
                f"an observation of {shape[1]} x {shape[2]} cells"
            )
        self.shape: tuple[int, ...] = shape
        self.n_actions = agent.n_scores
        self.n_frames = agent.n_stack
        self.reference: Reference = make_reference(self.settings.reference, None)
        self.training = TrainingState()
        #: fingerprints of the states that it has learned from, and the options of training
        self.learned_from: dict[str, Any] = {}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            n_masks = self.n_frames if self.settings.per_frame else 1
            self.network: nn.Module = NETWORKS[self.settings.network](
                shape[0], self.n_actions * n_masks
            )
        self.network.to(agent.device, memory_format=torch.channels_last).eval()

    @property
    def fitted(self) -> bool:
        return bool(self.training.history)

    @property
    def fit_seconds(self) -> float:
        """Seconds that fitting took."""
        return self.training.seconds

    # --- explaining ------------------------------------------------------------------------

    def action_maps(self, observations: Tensor) -> Tensor:
        """(B, K, F, H, W) masks in [0, 1] of all actions and frames.

        :param observations: (B, F * C, H, W) in the agent's range
        """
        self.require_fitted()
        with torch.no_grad():
            return self._masks(self.network, observations) * self._content(observations)

    def attribute(self, observations: Tensor, target: Tensor | int | None = None) -> Tensor:
        target = self.targets(observations, target)
        maps = self.action_maps(observations)
        chosen = maps[torch.arange(len(maps), device=maps.device), target]
        return self._over_channels(chosen)

    def shown(self, maps: Tensor) -> Tensor:
        """Outside the content everything is shown."""
        return maps + (1 - self._content(maps))

    def _masks(self, network: nn.Module, observations: Tensor) -> Tensor:
        """(B, K, F, H, W); with one mask for all frames, F views of it."""
        space = self.agent.observation_space
        assert isinstance(space, spaces.Box)
        scale = 255.0 if space.dtype == np.uint8 else 1.0
        images = (observations / scale).contiguous(memory_format=torch.channels_last)
        masks: Tensor = network(images).float().sigmoid()
        by_action = masks.reshape(len(masks), self.n_actions, -1, *masks.shape[2:])
        return by_action.expand(-1, -1, self.n_frames, -1, -1)

    def _over_channels(self, masks: Tensor) -> Tensor:
        """(..., F, H, W) masks of frames as (..., F * C, H, W): alike for all colours."""
        n_channels = self.shape[0] // self.n_frames
        return masks if n_channels == 1 else masks.repeat_interleave(n_channels, dim=-3)

    def _content(self, like: Tensor) -> Tensor:
        """(H, W) 1 on the playfield, 0 elsewhere."""
        if self.settings.content is None:
            return torch.ones((), device=like.device)
        top, left, height, width = self.settings.content
        inside = torch.zeros(self.shape[1:], device=like.device)
        inside[top : top + height, left : left + width] = 1
        return inside

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
        chosen = training_options(options)
        for states in (train, validation):
            states.require_labels_of(self.agent)
            if states.n_stack != self.n_frames:
                raise ExplainError(
                    f"the states stack {states.n_stack} frames, the agent {self.n_frames}: give "
                    "the agent n_stack or a recipe"
                )
        spread = np.linspace(0, len(train) - 1, min(len(train), REFERENCE_FRAMES)).astype(np.int64)
        self.reference = make_reference(self.settings.reference, train.frames(spread))
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
                "agent": self.agent.fingerprint(),
                "states": [train.fingerprint(), validation.fingerprint()],
            },
        )
        return self.training

    def losses(
        self, network: nn.Module, states: StateDataset, positions: NDArray[np.int64]
    ) -> dict[str, Tensor]:
        """The terms of the loss on some states, and "loss", their weighted sum."""
        settings, n_actions = self.settings, self.n_actions
        observations: Any = states.observations(positions)
        observations = observations.to(self.agent.device, torch.float32)
        target = torch.as_tensor(states.greedy[positions], device=self.agent.device)
        masks = self._masks(network, observations)
        # eq. 1 and its complement, for all K masks at once: (B, K, F * C, H, W)
        state = observations[:, None]
        reference = self.reference(observations)[:, None]
        shown = self._over_channels(masks) * (state - reference)
        states_i, complements_i = reference + shown, state - shown
        if settings.content is not None:
            inside = self._content(observations) == 1
            states_i = torch.where(inside, states_i, state)
            complements_i = torch.where(inside, complements_i, state)
        both = torch.cat([states_i, complements_i]).flatten(0, 1)
        scores = self.agent.scores(both).float() / settings.temperature
        scores = scores.reshape(2, -1, n_actions, n_actions)
        terms = {
            "contrastive": loss.contrastive(scores[0], target)
            * (2 / n_actions if settings.paper_scale else 1.0),
            "negative_entropy": loss.negative_entropy(
                scores[1], over_masks=settings.entropy_over_masks
            ),
            "area": loss.area(self._playfield(masks), settings.max_area, settings.area),
        }
        total = (
            terms["contrastive"]
            + settings.lambda_ne * terms["negative_entropy"]
            + settings.lambda_area * terms["area"]
        )
        if settings.lambda_tv:
            terms["total_variation"] = loss.total_variation(self._playfield(masks))
            total = total + settings.lambda_tv * terms["total_variation"]
        return {"loss": total, **terms}

    def _playfield(self, masks: Tensor) -> Tensor:
        if self.settings.content is None:
            return masks
        top, left, height, width = self.settings.content
        return masks[..., top : top + height, left : left + width]

    # --- on disk ---------------------------------------------------------------------------

    def save(self, folder: str | Path) -> None:
        """Write ``visionmask.safetensors`` and ``visionmask.json``."""
        self.require_fitted()
        folder = Path(folder)
        tensors = {f"network.{name}": tensor for name, tensor in copy_of(self.network).items()}
        tensors |= {f"reference.{k}": packed(v) for k, v in self.reference.state().items()}
        with atomic_path(folder / "visionmask.safetensors") as path:
            safetensors.torch.save_file(tensors, path)
        write_json(
            folder / "visionmask.json",
            {
                "format": 1,
                "settings": dataclasses.asdict(self.settings),
                "agent": self.agent.describe(),
                "training": dataclasses.asdict(self.training),
                "learned_from": self.learned_from,
            },
        )

    @classmethod
    def load(cls, folder: str | Path, agent: Agent) -> VisionMask:
        """Read what :meth:`save` wrote.

        :param folder: where it stands
        :param agent: the agent that it was trained for
        :raises ExplainError: if files are missing or damaged, or the agent is another
        """
        folder = Path(folder)
        if not (folder / "visionmask.json").exists():
            raise ExplainError(f"{folder} holds no VisionMask: fit one first")
        described = read_json(folder / "visionmask.json")
        try:
            learned_from = dict(described["learned_from"])
            settings = dict(described["settings"])
            fingerprint = described["agent"]["weights_sha256"]
            training = TrainingState(**described["training"])
            tensors = safetensors.torch.load_file(folder / "visionmask.safetensors")
        except (KeyError, TypeError, OSError, safetensors.SafetensorError) as error:
            raise ExplainError(f"{folder} holds no whole VisionMask: fit it again") from error
        if fingerprint != agent.fingerprint():
            raise ExplainError(f"the VisionMask in {folder} was trained for another agent")
        explainer = cls(agent, **settings)
        parts: dict[str, dict[str, Tensor]] = {"network": {}, "reference": {}}
        try:
            for name, tensor in tensors.items():
                part, _, rest = name.partition(".")
                parts[part][rest] = tensor
            explainer.network.load_state_dict(parts["network"])
            explainer.reference.restore(parts["reference"])
        except (KeyError, RuntimeError) as error:
            raise ExplainError(f"{folder} holds no whole VisionMask: fit it again") from error
        explainer.training, explainer.learned_from = training, learned_from
        return explainer


def training_options(options: dict[str, Any]) -> TrainingOptions:
    """Options by name.

    :raises ExplainError: for an option that does not exist
    """
    known = [field.name for field in dataclasses.fields(TrainingOptions)]
    for option in options:
        if option not in known:
            raise unknown_name("training option", option, known)
    return TrainingOptions(**options)
