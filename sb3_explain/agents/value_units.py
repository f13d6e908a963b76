"""In what unit an agent's value is: how returns were discounted, and rewards scaled."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper, VecNormalize

from sb3_explain.common.errors import ExplainError

#: discount that most algorithms have by default, for agents that do not say theirs
USUAL_DISCOUNT = 0.99


@dataclasses.dataclass(frozen=True)
class ValueUnits:
    """What an agent's value is a sum of.

    >>> from sb3_explain import ValueUnits
    >>> ValueUnits(discount=0.98, reward_scale=4.0).unscale(np.array([1.0, 2.5]))
    array([ 4., 10.])

    :param discount: gamma that the agent learned with, in [0, 1]; ``None`` if it is not known
    :param reward_scale: standard deviation by which VecNormalize divided each reward at the end of
        the training, above 0; ``None`` if it did not
    :raises ExplainError: for numbers out of range
    """

    discount: float | None = None
    reward_scale: float | None = None

    def __post_init__(self) -> None:
        if self.discount is not None and not 0 <= self.discount <= 1:
            raise ExplainError(f"discount={self.discount}: give a number from 0 to 1")
        if self.reward_scale is not None and not 0 < self.reward_scale < math.inf:
            raise ExplainError(f"reward_scale={self.reward_scale}: give a number above 0")

    @property
    def gamma(self) -> float:
        """The discount of returns, the usual one if that of the agent is not known."""
        return USUAL_DISCOUNT if self.discount is None else self.discount

    def unscale(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return values in the environment's own rewards.

        :param values: values as the agent says them, of any shape
        """
        return values if self.reward_scale is None else values * self.reward_scale

    def describe(self) -> str:
        """Say in sentences how returns are discounted, and what is done about scaled rewards."""
        said = f"The return is discounted by {self.gamma:g}, "
        said += "as in the agent's training" if self.discount is not None else (
            "the usual number, since the agent does not say with which it learned"
        )  # fmt: skip
        if self.reward_scale is None:
            return f"{said}."
        return (
            f"{said}. VecNormalize had divided its rewards by {self.reward_scale:.3g} at the end: "
            "the value is shown times that, in the environment's own rewards."
        )


def read_discount(given: Any) -> float | None:
    """Read a discount off a model or its file; ``None`` for what is none.

    :param given: what is called ``gamma`` there
    """
    known = isinstance(given, int | float) and not isinstance(given, bool)
    return float(given) if known and 0 <= given <= 1 else None


def read_reward_scale(env: VecEnv | None) -> float | None:
    """Read by what VecNormalize divides rewards now; ``None`` if it does not.

    :param env: environment of a live model, or ``None``
    """
    scale = 1.0
    normalized = False
    while isinstance(env, VecEnvWrapper):
        if isinstance(env, VecNormalize) and env.norm_reward:
            scale *= math.sqrt(float(env.ret_rms.var) + env.epsilon)
            normalized = True
        env = env.venv
    return scale if normalized else None
