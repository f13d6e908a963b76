"""Freshly made models of every algorithm, small enough to make in a test."""

import warnings
from typing import NamedTuple

import gymnasium as gym
import numpy as np
import torch
import yaml
from gymnasium import spaces
from sb3_contrib import ARS, QRDQN, TQC, TRPO, CrossQ, MaskablePPO, RecurrentPPO
from stable_baselines3 import A2C, DDPG, DQN, PPO, SAC, TD3
from stable_baselines3.common.sb2_compat.rmsprop_tf_like import RMSpropTFLike
from stable_baselines3.common.torch_layers import NatureCNN
from torch import nn

from sb3_explain.sgqn import RAD, SGQN, SODA, SVEA, DrQ, PixelSAC

VECTOR = spaces.Box(-2, 2, (5,), np.float32)
IMAGE = spaces.Box(0, 255, (2, 36, 36), np.uint8)
MIXED = spaces.Dict(
    image=spaces.Box(0, 255, (1, 36, 36), np.uint8),
    kind=spaces.Discrete(3),
    vector=spaces.Box(-1, 1, (4,), np.float32),
)
ARM = spaces.Box(np.array([-2, -1], np.float32), np.array([1, 3], np.float32))
ONE_OF_FOUR = spaces.Discrete(4)
SMALL = {"net_arch": [16, 8]}
OFF_POLICY = {"buffer_size": 200, "learning_starts": 8, "batch_size": 8}
ON_POLICY = {"n_steps": 8, "batch_size": 8}
LSTM = {"net_arch": [8], "lstm_hidden_size": 12}
PIXELS = {"n_stack": 2, **OFF_POLICY}
TINY_PIXELS = {"net_arch": [16, 8], "n_layers": 3, "n_filters": 4, "features_dim": 12}
TINY_CNN = {"features_extractor_kwargs": {"features_dim": 24}}


class Noise(gym.Env):
    """Random observations and rewards, to make models and let some of them learn a little."""

    def __init__(self, observation_space, action_space):
        self.observation_space, self.action_space = observation_space, action_space
        self.steps = 0

    def reset(self, *, seed=None, options=None):
        self.steps = 0
        return self.observation_space.sample(), {}

    def step(self, action):
        self.steps += 1
        return self.observation_space.sample(), float(np.sum(action)), self.steps >= 7, False, {}

    def action_masks(self):
        return np.ones(self.action_space.n, dtype=bool)


class Case(NamedTuple):
    algo: str
    model: type
    observation_space: spaces.Space
    action_space: spaces.Space
    policy_kwargs: dict = SMALL
    policy: str = "MlpPolicy"
    settings: dict = {}  # noqa: RUF012 - never changed
    learn: int = 0


CASES = {
    "a2c": Case("a2c", A2C, VECTOR, ONE_OF_FOUR),
    "a2c-tf-like": Case(
        "a2c", A2C, VECTOR, ARM, {"optimizer_class": RMSpropTFLike, "activation_fn": nn.ELU}
    ),
    "a2c-discrete-observation": Case("a2c", A2C, spaces.Discrete(6), ONE_OF_FOUR),
    "ars-linear": Case("ars", ARS, VECTOR, ONE_OF_FOUR, {}, "LinearPolicy"),
    "ars-mlp": Case("ars", ARS, VECTOR, ARM, SMALL),
    "ars-mlp-clipped": Case("ars", ARS, VECTOR, ARM, {**SMALL, "squash_output": False}),
    "crossq": Case("crossq", CrossQ, VECTOR, ARM, SMALL, settings=OFF_POLICY, learn=60),
    "ddpg": Case("ddpg", DDPG, VECTOR, ARM, settings=OFF_POLICY),
    "dqn": Case("dqn", DQN, VECTOR, ONE_OF_FOUR, settings=OFF_POLICY),
    "dqn-cnn": Case("dqn", DQN, IMAGE, ONE_OF_FOUR, TINY_CNN, "CnnPolicy", OFF_POLICY),
    "dqn-dict": Case("dqn", DQN, MIXED, ONE_OF_FOUR, SMALL, "MultiInputPolicy", OFF_POLICY),
    "maskable_ppo": Case("maskable_ppo", MaskablePPO, VECTOR, ONE_OF_FOUR, settings=ON_POLICY),
    "drq": Case("drq", DrQ, IMAGE, ARM, TINY_PIXELS, "PixelPolicy", PIXELS),
    "pixelsac": Case("pixelsac", PixelSAC, IMAGE, ARM, TINY_PIXELS, "PixelPolicy", PIXELS),
    "rad": Case("rad", RAD, IMAGE, ARM, {**TINY_PIXELS, "size": 30}, "PixelPolicy", PIXELS),
    "sgqn": Case(
        "sgqn", SGQN, IMAGE, ARM, {**TINY_PIXELS, "decoder_filters": (6, 5)}, "SGQNPolicy", PIXELS
    ),
    "soda": Case(
        "soda", SODA, IMAGE, ARM, {**TINY_PIXELS, "size": 30, "soda_dim": 9}, "SODAPolicy", PIXELS
    ),
    "svea": Case("svea", SVEA, IMAGE, ARM, TINY_PIXELS, "PixelPolicy", PIXELS),
    "ppo": Case("ppo", PPO, VECTOR, ONE_OF_FOUR, {}, settings=ON_POLICY, learn=16),
    "ppo-relu": Case(
        "ppo",
        PPO,
        VECTOR,
        ARM,
        {"activation_fn": nn.ReLU, "net_arch": {"pi": [9], "vf": [7, 6]}},
        settings=ON_POLICY,
    ),
    "ppo-cnn": Case("ppo", PPO, IMAGE, ONE_OF_FOUR, TINY_CNN, "CnnPolicy", ON_POLICY),
    "ppo-cnn-unshared": Case(
        "ppo",
        PPO,
        IMAGE,
        ONE_OF_FOUR,
        {**TINY_CNN, "share_features_extractor": False, "net_arch": [8]},
        "CnnPolicy",
        ON_POLICY,
    ),
    "ppo-float-image": Case(
        "ppo",
        PPO,
        spaces.Box(0, 1, (2, 36, 36), np.float32),
        ONE_OF_FOUR,
        {
            "features_extractor_class": NatureCNN,
            "features_extractor_kwargs": {"features_dim": 8, "normalized_image": True},
            "normalize_images": False,
        },
        settings=ON_POLICY,
    ),
    "ppo-dict": Case("ppo", PPO, MIXED, ONE_OF_FOUR, SMALL, "MultiInputPolicy", ON_POLICY),
    "ppo-multidiscrete": Case(
        "ppo", PPO, VECTOR, spaces.MultiDiscrete([3, 2, 4]), settings=ON_POLICY
    ),
    "ppo-multibinary": Case("ppo", PPO, VECTOR, spaces.MultiBinary(5), settings=ON_POLICY),
    "ppo-gsde": Case("ppo", PPO, VECTOR, ARM, settings={**ON_POLICY, "use_sde": True}),
    "ppo-gsde-squashed": Case(
        "ppo",
        PPO,
        VECTOR,
        ARM,
        {**SMALL, "squash_output": True, "full_std": False},
        settings={**ON_POLICY, "use_sde": True},
    ),
    "ppo_lstm": Case("ppo_lstm", RecurrentPPO, VECTOR, ONE_OF_FOUR, LSTM, "MlpLstmPolicy"),
    "ppo_lstm-shared": Case(
        "ppo_lstm",
        RecurrentPPO,
        VECTOR,
        ONE_OF_FOUR,
        {**LSTM, "shared_lstm": True, "enable_critic_lstm": False, "n_lstm_layers": 2},
        "MlpLstmPolicy",
    ),
    "ppo_lstm-linear-critic": Case(
        "ppo_lstm",
        RecurrentPPO,
        VECTOR,
        ARM,
        {**LSTM, "enable_critic_lstm": False},
        "MlpLstmPolicy",
    ),
    "qrdqn": Case("qrdqn", QRDQN, VECTOR, ONE_OF_FOUR, {**SMALL, "n_quantiles": 7}),
    "sac": Case("sac", SAC, VECTOR, ARM, settings=OFF_POLICY, learn=20),
    "sac-gsde": Case("sac", SAC, VECTOR, ARM, settings={**OFF_POLICY, "use_sde": True}),
    "sac-cnn-shared": Case(
        "sac",
        SAC,
        IMAGE,
        ARM,
        {**TINY_CNN, **SMALL, "share_features_extractor": True, "n_critics": 3},
        "CnnPolicy",
        OFF_POLICY,
    ),
    "td3": Case("td3", TD3, VECTOR, ARM, {"net_arch": {"pi": [9], "qf": [7, 6]}}),
    "tqc": Case("tqc", TQC, VECTOR, ARM, {**SMALL, "n_quantiles": 11, "n_critics": 3}),
    "trpo": Case("trpo", TRPO, VECTOR, ARM, settings=ON_POLICY),
}  # fmt: skip


def make_model(case):
    torch.manual_seed(0)
    env = Noise(case.observation_space, case.action_space)
    env.observation_space.seed(0)
    # SB3 writes into the dict that it is given.
    kwargs = {key: dict(v) if isinstance(v, dict) else v for key, v in case.policy_kwargs.items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = case.model(
            case.policy, env, policy_kwargs=kwargs, seed=0, device="cpu", **case.settings
        )
        if case.learn:
            model.learn(case.learn)
    with torch.no_grad():
        # Fresh heads are near zero, ARS all zero: then every action ties and a test shows nothing.
        for parameter in model.policy.parameters():
            scale = 1.5 * parameter[0].numel() ** -0.5 if parameter.ndim > 1 else 0.1
            parameter.add_(scale * torch.randn_like(parameter))
        if hasattr(model.policy, "critic_target") and case.algo != "crossq":
            model.policy.critic_target.load_state_dict(model.policy.critic.state_dict())
    return model


def zoo_folder(case, model, folder):
    """The model saved as rl-zoo3 saves it."""
    run = folder / case.algo / "Noise-v0_1"
    (run / "Noise-v0").mkdir(parents=True)
    model.save(run / "Noise-v0")
    names = {nn.ELU: "nn.ELU", nn.ReLU: "nn.ReLU", NatureCNN: "NatureCNN"}
    names[RMSpropTFLike] = "RMSpropTFLike"
    source = repr(case.policy_kwargs)
    for known, name in names.items():
        source = source.replace(repr(known), name)
    config = {"policy": case.policy, "policy_kwargs": source}
    if case.settings.get("use_sde"):
        config["use_sde"] = True
    pairs = [[[key, value] for key, value in sorted(config.items())]]
    text = yaml.safe_dump(pairs)
    (run / "Noise-v0" / "config.yml").write_text(
        f"!!python/object/apply:collections.OrderedDict\n{text}"
    )
    return folder


def write_config(run, config):
    """``config.yml`` of a run on CartPole-v1, as rl-zoo3 writes it."""
    text = yaml.safe_dump([[[key, value] for key, value in config.items()]])
    (run / "CartPole-v1" / "config.yml").write_text(
        f"!!python/object/apply:collections.OrderedDict\n{text}"
    )
