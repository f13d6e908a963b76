"""Agent: a frozen, differentiable view of a policy, whichever algorithm trained it."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar, Self

import torch
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecEnv
from torch import nn

from sb3_explain.agents.action_spaces import count_scores, target_names
from sb3_explain.agents.categories import Categories, find_categories
from sb3_explain.agents.differentiable import find_cut_keys
from sb3_explain.agents.last_observations import tell_trained_normalized
from sb3_explain.agents.layout import ObservationLayout, find_layout, require_keys
from sb3_explain.agents.live_env import name_live_env, read_details
from sb3_explain.agents.outputs import PolicyOutputs
from sb3_explain.agents.policy_views import HalfPrecisionView, ModuleView, PolicyView
from sb3_explain.agents.self_check import check_module, check_prediction, choose_view
from sb3_explain.agents.snapshot import snapshot
from sb3_explain.agents.value_units import ValueUnits
from sb3_explain.common.errors import ExplainError, require_known, unknown_name
from sb3_explain.common.notebook import write_facts
from sb3_explain.common.signatures import read_instance, require_arguments
from sb3_explain.envs.action_names import find_action_names
from sb3_explain.envs.feature_names import FeatureNames, read_feature_names
from sb3_explain.envs.given_action_names import ActionNames, read_action_names
from sb3_explain.envs.known_features import find_known_features
from sb3_explain.envs.recipe import EnvRecipe, Normalizer, normalize, require_recipe
from sb3_explain.envs.spaces import Observations, require_space

#: names in rl-zoo3 of algorithms whose class has another name
ZOO_NAMES = {"recurrentppo": "ppo_lstm", "maskableppo": "maskable_ppo"}
#: precisions of :meth:`Agent.with_precision`
PRECISIONS = ("float32", "bf16")


class Agent(PolicyOutputs):
    """A frozen policy, asked for scores, values, probabilities and actions of observations.

    Observations are batch-first tensors in the policy's own layout and raw range: images with
    values 0..255, channel-first if SB3 transposes them, vectors as the policy receives them
    (normalised, if the agent was trained with VecNormalize), a dict of such tensors for Dict
    spaces. Every result is
    differentiable with respect to the observations, and no call changes a parameter, a buffer, a
    training mode or a random state.

    Use :meth:`from_model`, :meth:`from_module` or :func:`sb3_explain.load_agent` to make one.

    >>> from sb3_explain import Agent
    >>> agent = Agent.from_model(model, action_names=["left", "right"])
    >>> observations = agent.tensor(np.zeros((3, 4), np.float32))
    >>> agent.probabilities(observations).shape, agent.values(observations).shape
    (torch.Size([3, 2]), torch.Size([3]))

    :param view: reads scores and values off the policy
    :param observation_space: what the policy observes, after transposition and frame stacking
    :param action_space: action space of the environment
    :param algo: the algorithm's name in rl-zoo3, or ``"module"``
    :param action_names: one name per score, or, of several sub-actions, a list for each, see
        :func:`~sb3_explain.envs.given_action_names.read_action_names`; when not given, those that
        the recipe's environment is known for, or numbers
    :param n_stack: number of frames stacked in an observation; when not given, as the recipe says,
        or 1 without a recipe
    :param recipe: how the agent's environment is made, if known
    :param normalizers: statistics of VecNormalize that the agent was trained with, as
        :class:`~sb3_explain.EnvRecipe` has them; those of the recipe when not given
    :param feature_names: names of the features of an observation, or of one frame of it; a dict of
        them for Dict observations, or for several keys of them. When not given, those that the
        recipe's environment is documented with; ``{}`` for none
    :param provenance: plain data about where the agent comes from; its ``"description"``, who the
        agent is and what its actions do in a sentence or two, stands at the head of pages
    :param picture_keys: keys of the observation that are pictures, ``()`` for none; the key of an
        observation that is no dict is ``""``. When not given, those that a convolution of the
        policy reads, by whichever axes, and those that Stable-Baselines3 treats as images (uint8
        from 0 to 255); all else, such as a board that the policy flattens, is features
    :param value_units: the discount that the agent learned with, and the scale of its rewards; not
        known when not given
    :raises ExplainError: if the number of names is not the number of scores or features, or the
        observation has no such key
    """

    #: how users come by one, for messages
    obtained_by: ClassVar[str] = (
        "load_agent(...) makes one; a model of Stable-Baselines3 will do as it is"
    )
    #: environment of the live model, where no recipe says how to make it again; copies are played
    vec_env: VecEnv | None = None
    #: whether it was trained on observations that VecNormalize normalized; ``None`` if nothing says
    trained_normalized: bool | None = None

    def __new__(cls, *args: Any, **options: Any) -> Self:
        """:raises ExplainError: if a model is given, which :meth:`from_model` reads"""
        if args and isinstance(args[0], BaseAlgorithm):
            raise ExplainError("Agent.from_model(model) makes an agent of a model")
        return super().__new__(cls)

    def __init__(
        self,
        view: PolicyView,
        observation_space: spaces.Space[Any],
        action_space: spaces.Space[Any],
        *,
        algo: str = "module",
        action_names: ActionNames | None = None,
        n_stack: int | None = None,
        recipe: EnvRecipe | None = None,
        normalizers: Mapping[str, Normalizer] | None = None,
        feature_names: FeatureNames | None = None,
        provenance: dict[str, Any] | None = None,
        picture_keys: Sequence[str] | None = None,
        value_units: ValueUnits | None = None,
    ) -> None:
        super().__init__(view, observation_space, action_space)
        require_recipe(recipe)
        self._picture_keys = [picture_keys] if isinstance(picture_keys, str) else picture_keys
        require_keys(observation_space, self._picture_keys)
        self.algo = algo
        if recipe is not None and normalizers and not recipe.normalizers:
            recipe = dataclasses.replace(recipe, normalizers=dict(normalizers))
        self.recipe = recipe
        #: statistics that normalize observations, by key
        self.normalizers = dict(normalizers or (recipe.normalizers if recipe is not None else {}))
        #: number of frames stacked in an observation
        self.n_stack = n_stack or (recipe.frame_stack if recipe is not None else 1)
        #: how the returns were discounted and rewards scaled that its value is of
        self.value_units = value_units or ValueUnits()
        self.provenance = provenance or {}
        #: arguments by which :func:`sb3_explain.load_agent` loads it, as flags of the command line
        #: name them; ``None`` if nothing says, or flags cannot
        self.origin: dict[str, Any] | None = None
        if action_names is None and recipe is not None:
            action_names = find_action_names(recipe.env_id, action_space)
        self.action_names = read_action_names(action_names, action_space)
        if feature_names is None and recipe is not None:
            feature_names = find_known_features(recipe, observation_space, self.n_stack) or None
        #: names of the features of each key that has some, of an observation or of one frame of it
        self.feature_names = read_feature_names(feature_names, observation_space, self.n_stack)
        named = {"action_names": action_names, "feature_names": feature_names}
        #: which of the two it has none of; an environment that it is played in may have some
        self.unnamed = {argument for argument, names in named.items() if names is None}

    @classmethod
    def from_model(cls, model: BaseAlgorithm, *, self_check: bool = True, **details: Any) -> Agent:
        """Make an agent from a live model of stable-baselines3 or sb3-contrib.

        The policy is copied: training the model further does not change the agent, and explaining
        the agent does not change the model.

        What the model's environment says is used: its id, arguments and wrappers, the statistics of
        VecNormalize as they are now, the frame stack, names of actions and features. Of an
        environment that cannot be made again by names, copies are played.

        :param model: any algorithm of the two libraries, Dict observations included
        :param self_check: whether the agent's answers on a few sampled observations are compared
            with the policy's own
        :param details: further arguments of :class:`Agent`, such as ``recipe``, instead of what the
            environment says
        :raises ExplainError: if the policy is of an unknown class, or cannot be read
        """
        if not isinstance(model, BaseAlgorithm):
            raise ExplainError(f"give a model, not {type(model).__name__}: load_agent reads files")
        require_arguments(cls, Agent, details)
        name = type(model).__name__.lower()
        details.setdefault("algo", ZOO_NAMES.get(name, name))
        details = read_details(model, details)
        policy = snapshot(model.policy)
        view = choose_view(
            policy, model.observation_space, model.action_space, self_check=self_check
        )
        if self_check:
            check_prediction(model, view, model.observation_space, model.action_space)
        agent = cls(view, model.observation_space, model.action_space, **details)
        agent.trained_normalized = tell_trained_normalized(model)
        agent.vec_env = model.get_env() if agent.recipe is None else None
        return agent

    @classmethod
    def from_similar(cls, given: Any) -> Any:
        """A live model as an agent; anything else as it is, see :func:`read_agent`."""
        return cls.from_model(given) if isinstance(given, BaseAlgorithm) else given

    @classmethod
    def from_module(
        cls,
        module: nn.Module,
        observation_space: spaces.Space[Any],
        action_space: spaces.Space[Any],
        *,
        value_based: bool = False,
        self_check: bool = True,
        **details: Any,
    ) -> Agent:
        """Make an agent from a copy of any torch module.

        :param module: maps observations (B, ...) in the range of ``observation_space`` to scores
            (B, K), or to a pair of scores (B, K) and values (B,)
        :param observation_space: space of one observation, channel-first for images
        :param action_space: action space of the environment
        :param value_based: whether the scores are Q-values; the value is then their maximum
        :param self_check: whether the shapes of the scores on a few sampled observations are
            checked, and the actions that follow, if the module has a ``predict`` as a policy has it
        :param details: further arguments of :class:`Agent`, such as ``action_names``
        :raises ExplainError: if the module's scores do not fit the spaces
        """
        require_arguments(cls, Agent, details)
        require_space("observation_space", observation_space)
        require_space("action_space", action_space)
        view = ModuleView(snapshot(module), value_based=value_based)
        if self_check:
            check_module(view, observation_space, action_space)
        return cls(view, observation_space, action_space, **details)

    def with_precision(self, precision: str) -> Agent:
        """The same agent, with the same weights, whose networks compute in another precision.

        Explainers and metrics of an agent in bfloat16 read it faster on devices that compute in
        bfloat16; :func:`sb3_explain.evaluate` says how well its maps rank the features as those in
        float32 do.

        >>> half = image_agent.with_precision("bf16")
        >>> scores = half.scores(image_states.observations([0, 1]))
        >>> scores.dtype, half.precision, half.with_precision("float32").precision
        (torch.float32, 'bf16', 'float32')

        :param precision: ``"bf16"``, in which convolutions and linear layers compute, or
            ``"float32"``
        :raises ExplainError: for another precision
        """
        require_known("precision", [precision], PRECISIONS)
        own = self.view.view if isinstance(self.view, HalfPrecisionView) else self.view
        other = copy.copy(self)
        other.view = HalfPrecisionView(own) if precision == "bf16" else own
        other.forwards = 0
        return other

    @property
    def precision(self) -> str:
        """The precision in which the networks compute: ``"bf16"`` or ``"float32"``."""
        return "bf16" if isinstance(self.view, HalfPrecisionView) else "float32"

    @cached_property
    def layout(self) -> ObservationLayout:
        """Which keys of the observation are pictures, and their axes; found when first asked for.

        >>> list(image_agent.layout.pictures), list(agent.layout.pictures)
        ([''], [])
        """
        return find_layout(self.view, self.observation_space, self._picture_keys)

    @cached_property
    def categories(self) -> Categories:
        """Which features of the observation are categories; found when first asked for."""
        return find_categories(self.view, self.observation_space, self.layout)

    @cached_property
    def cut_keys(self) -> tuple[str, ...]:
        """Keys of numbers that the scores depend on without a gradient; found when first asked for.

        >>> agent.cut_keys
        ()
        """
        categories = self.categories
        numbers = [key for key, each in categories.looked_up.items() if not each.all()]
        found = find_cut_keys(self.view, self.observation_space)
        cut = tuple(key for key in found if key in numbers)
        if len(cut) == len(numbers):
            return cut
        # a mask of actions is compared with 0, which has no gradient either
        return tuple(key for key in cut if not categories.held[key].all())

    @property
    def n_scores(self) -> int:
        """K, the number of scores that the agent gives a state."""
        return count_scores(self.action_space)

    @property
    def target_names(self) -> tuple[str, ...]:
        """C names of targets to explain, see :mod:`sb3_explain.agents.action_spaces`."""
        return target_names(self.action_space, self.action_names)

    @property
    def n_targets(self) -> int:
        """C, the number of targets that can be explained."""
        return len(self.target_names)

    def find_target(self, name: int | str) -> int:
        """The index of the target that has a name or number.

        :param name: one of :attr:`target_names`, in upper or lower case, or its index
        :raises ExplainError: if there is no such target; the nearest name is suggested
        """
        by_name = {known.lower(): index for index, known in enumerate(self.target_names)}
        text = str(name).lower()
        if text in by_name:
            return by_name[text]
        if text.isdecimal() and int(text) < self.n_targets:
            return int(text)
        raise unknown_name("action", str(name), self.target_names)

    def tensor(self, observations: Any) -> Observations:
        """Observations as tensors on the agent's device.

        :param observations: (B, ...) NumPy array or tensor, or a dict of these
        :return: tensors of the same shapes and dtypes
        """
        if isinstance(observations, dict):
            return {key: self.tensor(observed) for key, observed in observations.items()}  # type: ignore[misc]
        return torch.as_tensor(observations, device=self.device)

    def normalize(self, observations: Any) -> Observations:
        """Normalize raw observations, as VecNormalize did when the agent was trained.

        :param observations: (B, ...) NumPy array or tensor of what VecNormalize wraps, or a dict of
            these: single frames where it stands under VecFrameStack, whole stacks where it stands
            around it
        :return: tensors of the same shapes; the same observations if the agent has no statistics
        :raises ExplainError: if the observations are not of the statistics' shape
        """
        if not self.normalizers:
            return self.tensor(observations)
        return self.tensor(normalize(self.normalizers, observations))

    def fingerprint(self) -> str:
        """SHA-256 over names, shapes, dtypes and bytes of all weights: identifies the agent."""
        digest = hashlib.sha256()
        for name, tensor in sorted(self.view.policy.state_dict().items()):
            digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
            digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()

    @property
    def environment(self) -> str | None:
        """Name of the environment: its id, or its class; ``None`` if nothing says."""
        return self.recipe.env_id if self.recipe is not None else name_live_env(self.vec_env)

    def describe(self) -> dict[str, Any]:
        """The agent as plain data, for reports and saved files."""
        space = self.observation_space
        shape = f"{type(space).__name__}{space.shape}"
        return {
            "algo": self.algo,
            "actions": list(self.action_names),
            "features": {key: list(names) for key, names in self.feature_names.items()},
            "observation_space": str(space) if isinstance(space, spaces.Dict) else shape,
            "environment": self.recipe.describe() if self.recipe is not None else self.environment,
            "normalized": {key: each.fingerprint() for key, each in self.normalizers.items()},
            "weights_sha256": self.fingerprint(),
            **self.provenance,
        }

    def list_facts(self) -> dict[str, str]:
        """List what a person wants to know of the agent first, by name."""
        by_key = self.layout.own_shapes
        observed = ", ".join(f"{key} {shape}".strip() for key, shape in by_key.items())
        weights = sum(each.numel() for each in self.view.policy.parameters())
        return {
            "algorithm": self.algo,
            "environment": self.environment or "unknown",
            "observes": observed + (f", {self.n_stack} frames" if self.n_stack > 1 else ""),
            "pictures": ", ".join(key or "the observation" for key in self.layout.pictures),
            "targets": ", ".join(self.target_names),
            "features": "; ".join(", ".join(names) for names in self.feature_names.values()),
            "weights": f"{weights:,}",
        }

    def __repr__(self) -> str:
        """Say which algorithm acts where."""
        where = f" in {self.environment}" if self.environment else ""
        return f"Agent of {self.algo}{where} with {self.n_targets} targets"

    def _repr_html_(self) -> str:
        """Return what a notebook shows."""
        return write_facts("Agent", self.list_facts())


def read_agent(agent: Agent | BaseAlgorithm, name: str = "agent") -> Agent:
    """Return an agent as it is, and a model as an agent.

    :param agent: an agent, or a model of stable-baselines3 or sb3-contrib
    :param name: name of the argument
    :raises ExplainError: for anything else
    """
    known: Agent = read_instance(name, agent, Agent)
    return known
