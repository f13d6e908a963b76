"""The wrappers that a file may name, and the arguments that it may give them.

Names, not packages: a package that is well known also holds scripts, which run when they are
imported, and wrappers that write files.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from sb3_explain.common.errors import ExplainError, make_printable
from sb3_explain.common.untrusted import quote
from sb3_explain.envs.trust import allow, is_trusted


@dataclasses.dataclass(frozen=True)
class Whole:
    """A whole number.

    :param low: smallest value
    :param high: largest value
    """

    low: int
    high: int

    def accepts(self, value: Any) -> bool:
        """Whether the value is such a number."""
        return type(value) is int and self.low <= value <= self.high

    def __str__(self) -> str:
        return f"a whole number from {self.low} to {self.high}"


@dataclasses.dataclass(frozen=True)
class Number:
    """A finite number of magnitude below 1e9."""

    def accepts(self, value: Any) -> bool:
        """Whether the value is such a number."""
        return type(value) in (int, float) and abs(value) < 1e9

    def __str__(self) -> str:
        return "a finite number"


@dataclasses.dataclass(frozen=True)
class Flag:
    """True or False."""

    def accepts(self, value: Any) -> bool:
        """Whether the value is one of both."""
        return isinstance(value, bool)

    def __str__(self) -> str:
        return "True or False"


@dataclasses.dataclass(frozen=True)
class OneOf:
    """One of a few texts.

    :param texts: the texts
    """

    texts: tuple[str, ...]

    def accepts(self, value: Any) -> bool:
        """Whether the value is one of the texts."""
        return isinstance(value, str) and value in self.texts

    def __str__(self) -> str:
        return f"one of {', '.join(self.texts)}"


@dataclasses.dataclass(frozen=True)
class Key:
    """The name of an observation key, or, if several are allowed, a list of such names.

    :param several: whether a list is meant
    """

    several: bool = False

    def accepts(self, value: Any) -> bool:
        """Whether the value is a name of at most 50 characters, or at most 50 of them."""
        if self.several:
            return isinstance(value, list) and len(value) <= 50 and all(map(Key().accepts, value))
        return isinstance(value, str) and len(value) <= 50 and value.isprintable()

    def __str__(self) -> str:
        return "a list of names" if self.several else "a short name"


@dataclasses.dataclass(frozen=True)
class Sides:
    """The sides of a picture: one number, or a list of two.

    :param high: largest value of a side
    """

    high: int = 1024

    def accepts(self, value: Any) -> bool:
        """Whether the value is such a number or list."""
        sides = value if isinstance(value, list | tuple) and len(value) == 2 else [value]
        return all(map(Whole(1, self.high).accepts, sides))

    def __str__(self) -> str:
        return f"one or two whole numbers from 1 to {self.high}"


Kind = Whole | Number | Flag | OneOf | Key | Sides
Arguments = Mapping[str, Kind]

_COUNT = Whole(0, 10**9)
_FEW = Whole(1, 100)
_NOOPS = Whole(0, 1000)

_ATARI: dict[str, Arguments] = {
    "AtariWrapper": {
        "noop_max": _NOOPS,
        "frame_skip": _FEW,
        "screen_size": Whole(1, 1024),
        "terminal_on_life_loss": Flag(),
        "clip_reward": Flag(),
        "action_repeat_probability": Number(),
    },
    "ClipRewardEnv": {},
    "EpisodicLifeEnv": {},
    "FireResetEnv": {},
    "MaxAndSkipEnv": {"skip": _FEW},
    "NoopResetEnv": {"noop_max": _NOOPS},
    "StickyActionEnv": {"action_repeat_probability": Number()},
    "WarpFrame": {"width": Whole(1, 1024), "height": Whole(1, 1024)},
}
_ZOO: dict[str, Arguments] = {
    "ActionNoiseWrapper": {"noise_std": Number()},
    "ActionSmoothingWrapper": {"smoothing_coef": Number()},
    "DelayedRewardWrapper": {"delay": _COUNT},
    "FrameSkip": {"skip": _FEW},
    "HistoryWrapper": {"horizon": _FEW},
    "HistoryWrapperObsDict": {"horizon": _FEW},
    "MaskVelocityWrapper": {},
    "TruncatedOnSuccessWrapper": {"reward_offset": Number(), "n_successes": _COUNT},
    "YAMLCompatResizeObservation": {"shape": Sides()},
}
#: by the module in gymnasium.wrappers that has them. Not here: what writes (RecordVideo), opens
#: windows (HumanRendering), keeps every frame (RenderCollection) or needs a function (Transform...)
_GYMNASIUM: dict[str, dict[str, Arguments]] = {
    "atari_preprocessing": {
        "AtariPreprocessing": {
            "noop_max": _NOOPS,
            "frame_skip": _FEW,
            "screen_size": Sides(),
            "terminal_on_life_loss": Flag(),
            "grayscale_obs": Flag(),
            "grayscale_newaxis": Flag(),
            "scale_obs": Flag(),
        },
    },
    "common": {
        "Autoreset": {},
        "OrderEnforcing": {"disable_render_order_enforcing": Flag()},
        "PassiveEnvChecker": {},
        "RecordEpisodeStatistics": {"buffer_length": Whole(1, 10_000), "stats_key": Key()},
        "TimeLimit": {"max_episode_steps": Whole(1, 10**9)},
    },
    "stateful_action": {
        "RepeatAction": {"num_repeats": _FEW},
        "StickyAction": {
            "repeat_action_probability": Number(),
            "repeat_action_duration": _FEW,
        },
    },
    "stateful_observation": {
        "DelayObservation": {"delay": Whole(0, 100)},
        "FrameStackObservation": {
            "stack_size": _FEW,
            "padding_type": OneOf(("reset", "zero")),
        },
        "MaxAndSkipObservation": {"skip": Whole(2, 100)},
        "NormalizeObservation": {"epsilon": Number()},
        "TimeAwareObservation": {
            "flatten": Flag(),
            "normalize_time": Flag(),
            "dict_time_key": Key(),
        },
    },
    "stateful_reward": {"NormalizeReward": {"gamma": Number(), "epsilon": Number()}},
    "transform_action": {
        "ClipAction": {},
        "DiscretizeAction": {"bins": Whole(2, 100), "multidiscrete": Flag()},
        "RescaleAction": {"min_action": Number(), "max_action": Number()},
    },
    "transform_observation": {
        "DtypeObservation": {"dtype": OneOf(("float32", "float64", "uint8"))},
        "FilterObservation": {"filter_keys": Key(several=True)},
        "FlattenObservation": {},
        "GrayscaleObservation": {"keep_dim": Flag()},
        "RescaleObservation": {"min_obs": Number(), "max_obs": Number()},
        "ResizeObservation": {"shape": Sides()},
    },
    "transform_reward": {"ClipReward": {"min_reward": Number(), "max_reward": Number()}},
}
_MINIGRID: dict[str, Arguments] = {
    "FlatObsWrapper": {"maxStrLen": Whole(1, 1000)},
    "FullyObsWrapper": {},
    "ImgObsWrapper": {},
    "OneHotPartialObsWrapper": {"tile_size": Whole(1, 64)},
    "RGBImgObsWrapper": {"tile_size": Whole(1, 64)},
    "RGBImgPartialObsWrapper": {"tile_size": Whole(1, 64)},
}
_POOLED: Arguments = {"factor": Whole(1, 1024), "key": Key()}
_MASKS = OneOf(("action_masks", "action_mask", "get_action_mask", "mask_fn", "valid_action_mask"))
_TIME: Arguments = {"max_steps": Whole(1, 10**9), "test_mode": Flag()}

#: the arguments of each wrapper, by its dotted name
KNOWN_WRAPPERS: Mapping[str, Arguments] = {
    **{f"stable_baselines3.common.atari_wrappers.{name}": kinds for name, kinds in _ATARI.items()},
    "stable_baselines3.common.monitor.Monitor": {"allow_early_resets": Flag()},
    "sb3_contrib.common.wrappers.ActionMasker": {"action_mask_fn": _MASKS},
    "sb3_contrib.common.wrappers.action_masker.ActionMasker": {"action_mask_fn": _MASKS},
    "sb3_contrib.common.wrappers.TimeFeatureWrapper": _TIME,
    "sb3_contrib.common.wrappers.time_feature.TimeFeatureWrapper": _TIME,
    **{f"rl_zoo3.wrappers.{name}": kinds for name, kinds in _ZOO.items()},
    **{
        f"gymnasium.wrappers.{module}{name}": kinds
        for in_module, wrappers in _GYMNASIUM.items()
        for name, kinds in wrappers.items()
        for module in ("", f"{in_module}.")
    },
    **{f"minigrid.wrappers.{name}": kinds for name, kinds in _MINIGRID.items()},
    "sb3_explain.envs.wrappers.ColorFrames": {},
    "sb3_explain.envs.wrappers.ColourFrames": {},
    "sb3_explain.envs.wrappers.PooledScreen": _POOLED,
    "sb3_explain.envs.wrappers.TransposedPicture": {},
    "sb3_explain.envs.wrappers.ZeroContactForces": {},
}


def check_arguments(name: str, kwargs: Mapping[str, Any], trusted: Iterable[str]) -> None:
    """Refuse a wrapper of a file that is not on the list, or has arguments that are not.

    :param name: dotted name of the wrapper
    :param kwargs: arguments that the file gives it
    :param trusted: dotted names that the user trusts
    :raises ExplainError: if it is refused; the error shows what would have been called
    """
    if is_trusted(name, trusted):
        return
    given = ", ".join(f"{quote(key)}: {quote(value)}" for key, value in list(kwargs.items())[:9])
    call = f"{name}({make_printable(given, 80)})"
    kinds = KNOWN_WRAPPERS.get(name)
    if kinds is None:
        raise ExplainError(f"the wrapper {call} is unknown and was not imported: {allow(name)}")
    for key, value in kwargs.items():
        if key not in kinds:
            known = ", ".join(kinds) or "none"
            raise ExplainError(
                f"the wrapper {call} was not made: a file may give it {known} only; {allow(name)}"
            )
        if not kinds[key].accepts(value):
            raise ExplainError(
                f"the wrapper {call} was not made: {quote(key)} is not {kinds[key]}; {allow(name)}"
            )
