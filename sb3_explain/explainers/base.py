"""The base classes of explainers: attributions of an observation for a target of the agent."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import torch
from torch import Tensor

from sb3_explain.agents.agent import Agent
from sb3_explain.agents.predict_input import read_inputs
from sb3_explain.agents.targets.find import TargetLike
from sb3_explain.agents.targets.scalars import ScalarTarget
from sb3_explain.common.errors import ExplainError
from sb3_explain.common.notebook import read_summary, write_facts
from sb3_explain.common.renamed import find_new_name
from sb3_explain.common.signatures import check_arguments, require_arguments, takes_any
from sb3_explain.common.training import TrainingOptions, training_options
from sb3_explain.envs.spaces import Observations, join_keys
from sb3_explain.explainers.explained import require_explained, warn_if_left_out
from sb3_explain.explainers.requirements import require_known_scores, require_supported
from sb3_explain.explainers.showing import Look, draw_batch
from sb3_explain.states.baselines import Baseline
from sb3_explain.states.batch import StateBatch
from sb3_explain.states.cache import ForwardCache
from sb3_explain.states.dataset import StateDataset
from sb3_explain.states.forward_passes import MAX_BATCH_BYTES, count_rows

if TYPE_CHECKING:
    from sb3_explain.report.explanation_figure import ExplanationFigure
    from sb3_explain.report.overlay_styles import OverlayStyle
    from sb3_explain.report.palette import ThemeName


class Explainer(ABC):
    """An explanation method for one frozen agent.

    A subclass has a ``name``, a method :meth:`explain` and, if it does not support every agent,
    :meth:`unsupported`.

    >>> from sb3_explain import Explainer
    >>> class Brightness(Explainer):
    ...     name = "brightness"
    ...     def explain(self, batch):
    ...         return {key: observed.abs() for key, observed in batch.by_key.items()}
    >>> Brightness(image_agent).attribute(image_states.observations([0, 1])).shape
    torch.Size([2, 2, 24, 24])

    :param agent: agent to explain
    :param max_batch_bytes: largest size in bytes of the perturbed copies of one forward pass
    :raises ExplainError: if the method does not support this agent
    """

    #: how users come by one, for messages
    obtained_by: ClassVar[str] = "make_explainer(name, agent) makes one, which knows its agent"

    #: name in the registry
    name: ClassVar[str]
    #: whether the attributions are masks in [0, 1], which may be multiplied with an observation
    gives_masks: bool = False
    #: whether the attributions rank the features; those that are the same everywhere do not
    ranks_features: bool = True
    #: whether it explains the probability of an action, and not its raw score
    of_probability: bool = False
    #: why it explains actions alone, in a few words; empty if it explains any target
    actions_only: ClassVar[str] = ""
    #: quantity that it was made to explain, and nothing else; ``None`` if it explains what is asked
    own_target: ScalarTarget | None = None
    #: targets that it has no attributions of
    unknown_targets: Collection[int] = frozenset()
    #: whether the class takes the arguments ``baseline`` and ``states``
    takes_baseline: ClassVar[bool] = False
    #: baselines of masked features by key; empty if the explainer masks nothing
    baselines: Mapping[str, Baseline] = {}

    def __init_subclass__(cls, **options: Any) -> None:
        """Check the arguments of each constructor as those of a public function."""
        super().__init_subclass__(**options)
        if "__init__" in vars(cls):
            cls.__init__ = check_arguments(cls.__init__)  # type: ignore[method-assign]

    def __new__(cls, *args: Any, **options: Any) -> Self:
        """Refuse arguments that the class does not have in one line, before it is made."""
        if not takes_any(cls.__init__):
            require_arguments(cls, cls, options)
        return super().__new__(cls)

    @check_arguments
    def __init__(self, agent: Agent, *, max_batch_bytes: int = MAX_BATCH_BYTES) -> None:
        self.agent = agent
        self.max_batch_bytes = max_batch_bytes
        require_supported(self, agent)

    def __getattr__(self, name: str) -> Any:
        """:raises AttributeError: for a name that is not there; a renamed one with its new name"""
        new = find_new_name(name, set(dir(type(self)))) if name[:1] != "_" else None
        said = f"{name} is called {new} now" if new else f"{type(self).__name__} has no {name!r}"
        raise AttributeError(said, name=name, obj=None)

    @staticmethod
    @check_arguments
    def unsupported(agent: Agent) -> str | None:
        """Return why the method does not support ``agent``, in a few words; ``None`` if it does."""
        return None

    @property
    def target_names(self) -> Sequence[str]:
        """Names of the targets of :meth:`attribute_all`, in order."""
        return self.agent.target_names if self.own_target is None else [self.own_target.name]

    @property
    def left_out(self) -> Collection[str]:
        """Keys of a Dict observation that the method does not explain; their attributions are 0."""
        return ()

    @property
    def remark(self) -> str:
        """What a reader has to know of the maps, as a sentence; empty for nothing."""
        return ""

    @property
    def forwards_per_state(self) -> int:
        """Number of forward passes for the attributions of one state whose target is known."""
        return 0

    @abstractmethod
    def explain(self, batch: StateBatch) -> dict[str, Tensor]:
        """Compute the attributions of the batch's targets.

        :param batch: at most as many states as fit into ``max_batch_bytes``
        :return: (B, ...) attributions by key, each in the shape of the batch's ``by_key``
        """

    @check_arguments
    def attribute(
        self,
        observations: Any,
        target: TargetLike = None,
        *,
        policy_inputs: Mapping[str, Tensor] | None = None,
    ) -> Observations:
        """Compute the attributions of a target.

        >>> from sb3_explain import Occlusion
        >>> explainer = Occlusion(image_agent)
        >>> for target in (2, "right", "value", "right - left"):
        ...     attributions = explainer.attribute(image_states.observations([0, 1]), target)

        :param observations: what ``model.predict`` takes: one observation or a batch in the raw
            range, tensors or NumPy arrays, images with their channels first or last, or a dict of
            such
        :param target: what is explained: an index or a name, such as ``"LEFT"``, ``"value"`` or
            ``"LEFT - RIGHT"``, a function, or (B,) indices (see :mod:`sb3_explain.agents.targets`);
            the greedy action when not given (see
            :func:`sb3_explain.agents.action_spaces.default_target` for action spaces other than
            Discrete)
        :param policy_inputs: ``lstm_states`` of a recurrent agent, also as ``predict`` gives them,
            and ``action_masks``, which stay the same while the observations are perturbed (see
            :meth:`sb3_explain.StateDataset.policy_inputs`)
        :return: (B, ...) attributions in the policy's own layout; a dict of such for a dict
        :raises ExplainError: if the observations do not fit the agent, there is no such target, or
            the method does not explain it
        """
        batch = self.read_batch(observations, target, policy_inputs)
        return self.agent.layout.restore(self.attribute_batch(batch))

    def read_batch(
        self,
        observations: Any,
        target: TargetLike = None,
        policy_inputs: Mapping[str, Any] | None = None,
    ) -> StateBatch:
        """Read what ``model.predict`` takes as a batch of states.

        :param observations: observations as :meth:`attribute` takes them
        :param target: target as :meth:`attribute` takes it
        :param policy_inputs: policy inputs as :meth:`attribute` takes them
        """
        read, inputs = read_inputs(self.agent, observations, policy_inputs)
        target = self.own_target if target is None else target
        return require_known_scores(StateBatch(self.agent, read, target, inputs))

    @check_arguments
    def show(
        self,
        observations: Any,
        target: TargetLike = None,
        *,
        style: OverlayStyle = "heat",
        frames: str | int = "newest",
        rendered: Any = None,
        policy_inputs: Mapping[str, Any] | None = None,
        theme: ThemeName = "light",
    ) -> ExplanationFigure:
        """Draw what speaks for a target: pictures under their map, bars of features, boards.

        >>> from sb3_explain import Gradient
        >>> figure = Gradient(image_agent).show(image_states.observations([0, 1]), target="left")
        >>> figure.savefig("left.png")

        :param observations: at most 16 observations, as :meth:`attribute` takes them
        :param target: target as :meth:`attribute` takes it
        :param style: how a map is drawn on a picture: ``"heat"``, ``"contour"`` or ``"spotlight"``
        :param frames: which frames of a stack are shown: ``"newest"``, ``"all"``, or the number of
            one, from 0 for the oldest or -1 for the newest
        :param rendered: (h, w, 3) uint8 frame as ``env.render()`` returns it, to draw the map of
            one observation on, instead of what the agent observes
        :param policy_inputs: policy inputs as :meth:`attribute` takes them
        :param theme: ``"light"`` or ``"dark"``
        :return: a matplotlib Figure, whose ``image()`` is a PIL image
        :raises ExplainError: as :meth:`attribute` does, or for an unknown style or frame
        """
        batch = self.read_batch(observations, target, policy_inputs)
        look = Look(style, frames, rendered)
        look.check(batch)
        attributions = self.attribute_batch(batch)
        return draw_batch(
            batch,
            attributions,
            look,
            name=self.name,
            is_mask=self.gives_masks,
            theme=theme,
            baselines=self.baselines,
            left_out=self.left_out,
            remark=self.remark,
        )

    @check_arguments
    def attribute_batch(self, batch: StateBatch) -> dict[str, Tensor]:
        """Compute the attributions of the batch's targets by key of the observation.

        :param batch: any number of states; if it has a cache, explainers of the same states share
            their forward passes
        :return: (B, ...) attributions by key, each in the form of the batch's ``by_key``: pictures
            (B, C, H, W), everything else flat
        :raises ExplainError: if the method does not explain the batch's target
        """
        require_explained(self, batch.scalar)
        warn_if_left_out(self)
        parts = [self.explain(part) for part in batch.split(self.chunk(batch))]
        return {key: torch.cat([part[key] for part in parts]).detach() for key in parts[0]}

    @check_arguments
    def attribute_all(
        self,
        observations: Observations | StateBatch,
        *,
        policy_inputs: Mapping[str, Tensor] | None = None,
    ) -> Observations:
        """Compute the attributions of all C targets, those of :attr:`target_names`.

        A method that needs the same copies for all of them makes no more passes than for one.

        :param observations: observations as :meth:`attribute` takes them, or a batch of states
        :param policy_inputs: policy inputs as :meth:`attribute` takes them; a batch has its own
        :return: (B, C, ...) attributions, in the shape of the observations, or in the form of the
            batch; a dict of such for Dict observations
        """
        batch = observations
        if not isinstance(batch, StateBatch):
            batch = self.read_batch(batch, None, policy_inputs)
        if self.own_target is not None or batch.scalar is not None:
            batch = batch.with_target(self.own_target or 0)
        warn_if_left_out(self)
        parts = [self.explain_all(part) for part in batch.split(self.chunk(batch))]
        by_key = {key: torch.cat([p[key] for p in parts]).detach() for key in parts[0]}
        if isinstance(observations, StateBatch):
            return join_keys(by_key)
        return self.agent.layout.restore(by_key)

    def explain_all(self, batch: StateBatch) -> dict[str, Tensor]:
        """Compute the attributions of all targets.

        Here each target is explained, with forward passes shared through a cache; a method that has
        the attributions of all targets at once overrides this.

        :param batch: as many states as :meth:`explain` takes
        :return: (B, C, ...) attributions by key
        """
        if batch.cache is None:
            batch = batch.with_cache(ForwardCache())
        each = [self.explain(batch.with_target(target)) for target in range(self.agent.n_targets)]
        return {key: torch.stack([one[key] for one in each], dim=1) for key in each[0]}

    def rows(self, observed: Tensor) -> int:
        """Compute how many copies of ``observed`` (B, ...) one forward pass takes."""
        return count_rows(observed, self.max_batch_bytes)

    def chunk(self, batch: StateBatch) -> int:
        """Compute how many copies of whole states one forward pass takes."""
        return self.rows(max(batch.by_key.values(), key=lambda observed: observed[0].numel()))

    def to_masks(self, attributions: Tensor) -> Tensor:
        """Turn attributions into masks to multiply observations with, if the explainer gives masks.

        :param attributions: (B, ...) attributions in the form of
            :attr:`sb3_explain.StateBatch.observations`
        :return: (B, ...) the attributions themselves, with 1 for features that are never hidden
        """
        return attributions

    def list_facts(self) -> dict[str, str]:
        """List what a person wants to know of the explainer first, by name."""
        plain = {
            name: value
            for name, value in vars(self).items()
            if name[:1] != "_" and isinstance(value, bool | int | float | str)
        }
        return {
            "method": read_summary(type(self)),
            "agent": repr(self.agent),
            "settings": ", ".join(f"{name}={value}" for name, value in plain.items()),
            "baseline": ", ".join(dict.fromkeys(each.name for each in self.baselines.values())),
        }

    def __repr__(self) -> str:
        """Say which method explains which agent."""
        return f"{type(self).__name__}({self.agent!r})"

    def _repr_html_(self) -> str:
        """Return what a notebook shows."""
        return write_facts(self.name, self.list_facts())


class FittedExplainer(Explainer):
    """An explainer that has to be fitted on states before it can explain.

    >>> from sb3_explain import EXPLAINERS, FittedExplainer
    >>> sorted(name for name, kind in EXPLAINERS.items() if issubclass(kind, FittedExplainer))
    ['ssinet', 'stalder', 'visionmask']
    """

    #: fingerprints of the states that it was fitted on, and the options of training
    learned_from: dict[str, Any] = {}  # noqa: RUF012 - replaced, never changed

    @property
    @abstractmethod
    def fitted(self) -> bool:
        """Whether the explainer has been fitted."""

    @property
    @abstractmethod
    def fit_seconds(self) -> float:
        """Duration of the fit in seconds."""

    @abstractmethod
    def fit(self, train: StateDataset, validation: StateDataset, **options: Any) -> Any:
        """Learn from states.

        :param train: states to learn from
        :param validation: states whose loss decides when to stop
        :param options: fields of :class:`sb3_explain.common.training.TrainingOptions`
        """

    def plain_settings(self) -> dict[str, Any]:
        """Return the settings of the explainer as plain data."""
        return {}

    def training_options(self, options: Mapping[str, Any]) -> TrainingOptions:
        """Complete the options of training by the method's defaults."""
        return training_options(options)

    @classmethod
    @abstractmethod
    def load(cls, folder: str | Path, agent: Agent) -> Self:
        """Load an explainer that :meth:`save` has written.

        :param folder: folder that it was saved in
        :param agent: agent that it was fitted to
        :raises ExplainError: if files are missing or damaged, or it was fitted to another agent
        """

    @abstractmethod
    def save(self, folder: str | Path) -> None:
        """Save what has been learned as safetensors and JSON.

        :param folder: folder that the files are written to
        """

    def list_facts(self) -> dict[str, str]:
        """List what a person wants to know of the explainer first, by name."""
        return {**super().list_facts(), "fitted": "yes" if self.fitted else "not yet: call fit()"}

    def require_fitted(self) -> None:
        """Check that the explainer has been fitted.

        :raises ExplainError: if it has not
        """
        if not self.fitted:
            raise ExplainError(f"this {self.name} has not been fitted: call fit(train, validation)")
