"""Random agents as data: algorithm, spaces, arguments of the policy and wrappers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from hypothesis import strategies as st
from sb3_contrib import ARS, QRDQN, TQC, TRPO, CrossQ, MaskablePPO, RecurrentPPO
from stable_baselines3 import A2C, DDPG, DQN, PPO, SAC, TD3
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import nn

from sb3_explain.sgqn import SGQN, DrQ, PixelSAC

ON_POLICY = {"n_steps": 4, "batch_size": 4}
OFF_POLICY = {"buffer_size": 10}
DISCRETE = ("discrete",)
ANY = ("box", "discrete", "multidiscrete", "multibinary")
#: class, kinds of actions, and arguments of each algorithm
ALGORITHMS: dict[str, tuple[type, tuple[str, ...], dict[str, Any]]] = {
    "a2c": (A2C, ANY, {"n_steps": 4}),
    "ppo": (PPO, ANY, ON_POLICY),
    "trpo": (TRPO, ANY, ON_POLICY),
    "maskable_ppo": (MaskablePPO, ANY[1:], ON_POLICY),
    "ppo_lstm": (RecurrentPPO, ANY, ON_POLICY),
    "dqn": (DQN, DISCRETE, OFF_POLICY),
    "qrdqn": (QRDQN, DISCRETE, OFF_POLICY),
    "sac": (SAC, ("box",), OFF_POLICY),
    "td3": (TD3, ("box",), OFF_POLICY),
    "ddpg": (DDPG, ("box",), OFF_POLICY),
    "tqc": (TQC, ("box",), OFF_POLICY),
    "crossq": (CrossQ, ("box",), OFF_POLICY),
    "ars": (ARS, ("box", "discrete"), {}),
    "sgqn": (SGQN, ("box",), OFF_POLICY),
    "pixelsac": (PixelSAC, ("box",), OFF_POLICY),
    "drq": (DrQ, ("box",), OFF_POLICY),
}
PIXELS = ("sgqn", "pixelsac", "drq")


class Flat(BaseFeaturesExtractor):
    """Someone's own extractor: all keys flat and side by side, a functional ReLU, a kept tensor."""

    def __init__(self, observation_space: spaces.Space, features_dim: int = 6) -> None:
        super().__init__(observation_space, features_dim)
        # categories reach it as one-hot vectors, as gymnasium's flatdim counts them
        self.linear = nn.Linear(spaces.flatdim(observation_space), features_dim)

    def forward(self, observations: Any) -> torch.Tensor:
        parts = observations.values() if isinstance(observations, dict) else [observations]
        self.last = torch.relu(
            self.linear(torch.cat([part.flatten(1).float() for part in parts], 1))
        )
        return self.last


class Conv(BaseFeaturesExtractor):
    """Someone's own extractor of arrays (H, W, C): a convolution that reads the last axis first."""

    def __init__(self, observation_space: spaces.Box) -> None:
        super().__init__(observation_space, 5)
        self.conv = nn.Conv2d(observation_space.shape[2], 3, 1)
        self.linear = nn.Linear(3 * int(np.prod(observation_space.shape[:2])), 5)

    def forward(self, observations: torch.Tensor) -> torch.Tensor:
        return self.linear(torch.relu(self.conv(observations.permute(0, 3, 1, 2))).flatten(1))


class Tokens(BaseFeaturesExtractor):
    """Someone's own extractor: whole numbers are looked up in a table."""

    def __init__(self, observation_space: spaces.Box) -> None:
        super().__init__(observation_space, 3 * int(np.prod(observation_space.shape)))
        self.table = nn.Embedding(int(observation_space.high.max()) + 1, 3)

    def forward(self, observations: torch.Tensor) -> torch.Tensor:
        return self.table(observations.flatten(1).long()).flatten(1)


class Attending(BaseFeaturesExtractor):
    """Someone's own extractor: features attend to one another."""

    def __init__(self, observation_space: spaces.Box) -> None:
        super().__init__(observation_space, 4)
        self.places = nn.Parameter(torch.randn(int(np.prod(observation_space.shape)), 4))
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)

    def forward(self, observations: torch.Tensor) -> torch.Tensor:
        values = observations.flatten(1).float()[:, :, None].tanh() * self.places
        return self.attention(values, values, values)[0].mean(dim=1)


class ShiftedLogits(ActorCriticPolicy):
    """Someone's own policy: the first actions are made unlikely where the distribution is made."""

    def _get_action_dist_from_latent(self, latent_pi: torch.Tensor) -> Any:
        logits = self.action_net(latent_pi)
        shift = torch.linspace(-3, 3, logits.shape[1])
        return self.action_dist.proba_distribution(action_logits=logits + shift)


class SquaredFeatures(ActorCriticPolicy):
    """Someone's own policy: features are squared before anything else reads them."""

    def extract_features(self, obs: Any, features_extractor: Any = None) -> Any:
        features = super().extract_features(obs, features_extractor)
        if isinstance(features, tuple):
            return tuple(part**2 for part in features)
        return features**2


class Recurring(ActorCriticPolicy):
    """Someone's own policy: a layer of its own between the features and the networks."""

    def _build_mlp_extractor(self) -> None:
        super()._build_mlp_extractor()
        self.between = nn.Linear(self.features_dim, self.features_dim)

    def get_distribution(self, obs: Any) -> Any:
        features = torch.tanh(
            self.between(super().extract_features(obs, self.pi_features_extractor))
        )
        return self._get_action_dist_from_latent(self.mlp_extractor.forward_actor(features))

    def _predict(self, observation: Any, deterministic: bool = False) -> Any:
        return self.get_distribution(observation).get_actions(deterministic=deterministic)


OWN_POLICIES = (ShiftedLogits, SquaredFeatures, Recurring)


@dataclass(frozen=True)
class Spec:
    """A random agent, so that a failure can be read and repeated."""

    algo: str
    observation_space: spaces.Space
    action_space: spaces.Space
    policy_kwargs: dict[str, Any] = field(default_factory=dict)
    policy: type | None = None
    use_sde: bool = False
    wrappers: tuple[str, ...] = ()
    n_stack: int = 1
    seed: int = 0


@st.composite
def boxes(draw: Any, n_dimensions: int | None = None) -> spaces.Box:
    """A Box of 1 to 4 dimensions, of usual dtypes and bounds."""
    n = n_dimensions or draw(st.sampled_from((1, 1, 1, 2, 3, 3, 4)))
    shape = tuple(draw(st.lists(st.integers(1, 4 if n > 1 else 6), min_size=n, max_size=n)))
    dtype = draw(st.sampled_from(("float32", "float32", "float64", "uint8", "int8", "int64")))
    if dtype in ("uint8", "int8", "int64"):
        low, high = draw(st.sampled_from(((0, 1), (0, 100), (0, 2))))
        if dtype == "uint8" and draw(st.booleans()):
            high = 255
        return spaces.Box(low, high, shape, np.dtype(dtype).type)
    bounds = draw(st.sampled_from(("unit", "unbounded", "each", "half")))
    if bounds == "unbounded":
        return spaces.Box(-np.inf, np.inf, shape, np.dtype(dtype).type)
    if bounds == "half":
        return spaces.Box(0, np.inf, shape, np.dtype(dtype).type)
    if bounds == "each":
        low = -np.arange(1, 1 + np.prod(shape)).reshape(shape).astype(dtype)
        return spaces.Box(low, 2 * -low, dtype=np.dtype(dtype).type)
    return spaces.Box(-1, 1, shape, np.dtype(dtype).type)


def pictures(channels_last: bool = False) -> st.SearchStrategy[spaces.Box]:
    """Pictures that SB3 knows as such."""

    def picture(channels: int) -> spaces.Box:
        shape = (36, 36, channels) if channels_last else (channels, 36, 36)
        return spaces.Box(0, 255, shape, np.uint8)

    return st.sampled_from((1, 3)).map(picture)


def plain_spaces() -> st.SearchStrategy[spaces.Space]:
    """Observation spaces without keys."""
    return st.one_of(
        boxes(),
        boxes(1),
        st.integers(2, 6).map(spaces.Discrete),
        st.lists(st.integers(2, 4), min_size=1, max_size=3).map(spaces.MultiDiscrete),
        st.integers(1, 5).map(spaces.MultiBinary),
        st.sampled_from(([2, 3], [3, 2, 2])).map(spaces.MultiBinary),
    )


def dict_spaces() -> st.SearchStrategy[spaces.Dict]:
    """Dict observations, also of a picture."""
    keys = st.sampled_from(("a", "board", "speed", "z key", "action_mask"))
    parts = st.one_of(plain_spaces(), plain_spaces(), pictures())
    return st.dictionaries(keys, parts, min_size=1, max_size=3).map(spaces.Dict)


def action_spaces(kind: str) -> st.SearchStrategy[spaces.Space]:
    """Action spaces of a kind."""
    if kind == "discrete":
        return st.builds(spaces.Discrete, st.integers(2, 5), start=st.sampled_from((0, 0, 0, 2)))
    if kind == "multidiscrete":
        return st.lists(st.integers(2, 4), min_size=1, max_size=3).map(spaces.MultiDiscrete)
    if kind == "multibinary":
        return st.integers(1, 4).map(spaces.MultiBinary)
    shapes = st.sampled_from(((1,), (2,), (3,), (2, 2)))
    each = st.just(spaces.Box(np.array([-2, -1], np.float32), np.array([1, 3], np.float32)))
    return st.one_of(shapes.map(lambda shape: spaces.Box(-1, 1, shape, np.float32)), each)


@st.composite
def specs(draw: Any) -> Spec:
    """Random agents."""
    algo = draw(st.sampled_from(sorted(ALGORITHMS)))
    action_space = draw(action_spaces(draw(st.sampled_from(ALGORITHMS[algo][1]))))
    small = draw(st.sampled_from(([], [4], [6, 5], {"pi": [4], "vf": [5, 3]})))
    kwargs: dict[str, Any] = {"net_arch": small}
    if algo in PIXELS:
        kwargs = {"net_arch": [6], "n_layers": 2, "n_filters": 2, "features_dim": 5}
        return Spec(algo, draw(pictures()), action_space, kwargs, seed=draw(st.integers(0, 99)))
    kinds = (plain_spaces(), plain_spaces(), pictures(), pictures(True), dict_spaces())
    if algo == "ars":
        kinds = kinds[:2]
    space = draw(st.one_of(*kinds))
    off_policy = ALGORITHMS[algo][1][0] == "box" and algo not in ("a2c", "ppo", "trpo", "ppo_lstm")
    if isinstance(small, dict):
        if algo in ("dqn", "qrdqn", "ars"):
            kwargs["net_arch"] = [4]
        elif off_policy:
            kwargs["net_arch"] = {"pi": [4], "qf": [5, 3]}
    if draw(st.booleans()):
        kwargs["activation_fn"] = draw(st.sampled_from((nn.ReLU, nn.ELU, nn.Tanh, nn.LeakyReLU)))
    is_dict = isinstance(space, spaces.Dict)
    if algo != "ars":
        if draw(st.integers(0, 3)) == 0:
            kwargs["features_extractor_class"] = draw(st.sampled_from(own_extractors(space)))
        elif is_dict:
            kwargs["features_extractor_kwargs"] = {"cnn_output_dim": 7}
        elif is_picture(space):
            kwargs["features_extractor_kwargs"] = {"features_dim": 7}
        if algo not in ("dqn", "qrdqn"):
            kwargs["share_features_extractor"] = draw(st.booleans())
    if algo == "ppo_lstm":
        kwargs |= {"lstm_hidden_size": 4, "n_lstm_layers": draw(st.integers(1, 2))}
        kwargs |= draw(st.sampled_from((
            {}, {"shared_lstm": True, "enable_critic_lstm": False}, {"enable_critic_lstm": False},
        )))  # fmt: skip
        if not kwargs.get("share_features_extractor", True):
            kwargs.pop("shared_lstm", None)
    use_sde = False
    if isinstance(action_space, spaces.Box) and algo in ("a2c", "ppo", "ppo_lstm", "sac", "tqc"):
        use_sde = draw(st.integers(0, 3)) == 0
        if use_sde and algo in ("a2c", "ppo", "ppo_lstm"):
            kwargs |= {"squash_output": draw(st.booleans()), "full_std": draw(st.booleans())}
    wrappers, n_stack = (), 1
    boxed = all(isinstance(part, spaces.Box) for part in (space.values() if is_dict else [space]))
    # a table has no rows for numbers that are normalized
    if boxed and kwargs.get("features_extractor_class") is not Tokens:
        wrappers = draw(st.sampled_from(((), (), ("normalize",), ("stack",), ("normalize", "stack"),
                                         ("stack", "normalize"))))  # fmt: skip
        n_stack = draw(st.integers(2, 3)) if "stack" in wrappers else 1
    policy = None
    if algo in ("a2c", "ppo", "trpo") and not is_dict and draw(st.integers(0, 3)) == 0:
        policy = draw(st.sampled_from(OWN_POLICIES))
        if policy is ShiftedLogits and not isinstance(action_space, spaces.Discrete):
            policy = SquaredFeatures
    return Spec(
        algo, space, action_space, kwargs, policy, use_sde, wrappers, n_stack,
        draw(st.integers(0, 99)),
    )  # fmt: skip


def own_extractors(space: spaces.Space) -> list[type[BaseFeaturesExtractor]]:
    """Someone's own extractors that can read a space."""
    own: list[type[BaseFeaturesExtractor]] = [Flat]
    if isinstance(space, spaces.Box) and not is_picture(space):
        own += [Conv] if len(space.shape) == 3 else []
        own += [Tokens] if np.issubdtype(space.dtype, np.integer) else []
        own += [Attending] if np.prod(space.shape) <= 16 else []
    return own


def is_picture(space: spaces.Space) -> bool:
    """Whether SB3 takes a space for pictures."""
    return space.dtype == np.uint8 and len(space.shape) == 3 and 36 in space.shape
