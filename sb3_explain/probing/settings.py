"""Settings of a generator of states: what it is apart from its weights."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from sb3_explain.common.errors import ExplainError, require_known
from sb3_explain.common.training import require_types
from sb3_explain.probing.codecs import CODECS
from sb3_explain.probing.weighting import UNIFORM


@dataclasses.dataclass(frozen=True)
class GeneratorSettings:
    """Settings of a :class:`sb3_explain.StateGenerator`.

    L = L_p + lambda_agent * L_a + lambda_kl * KL, each a mean: L_p over features, L_a over scores,
    both in units of their variance over states, and KL over the dimensions of the code. So the
    weights mean the same for every agent.

    :param latent: number of the code's dimensions
    :param codec: name of the codec of images: ``"compact"``, or ``"paper"``
    :param weighting: weighting of L_p; ``"uniform"`` for a plain autoencoder, see
        :class:`~sb3_explain.probing.weighting.Weighting`
    :param uniform_share: share of the weight that is spread evenly, in [0, 1]
    :param lambda_agent: eta, the weight of L_a; 0 leaves it out
    :param lambda_kl: weight of the divergence from the standard normal distribution
    """

    latent: int = 100
    codec: str = "compact"
    weighting: str = "saliency"
    uniform_share: float = 0.1
    lambda_agent: float = 0.05
    lambda_kl: float = 0.01


#: the paper's table 1: settings of a plain variational autoencoder, of L_p alone, of all terms
VARIANTS: dict[str, dict[str, Any]] = {
    "vae": {"weighting": UNIFORM, "lambda_agent": 0.0},
    "lp_only": {"lambda_agent": 0.0},
    "full": {},
}


def make_settings(given: Mapping[str, Any]) -> GeneratorSettings:
    """Return the settings given, with the defaults for all others.

    :raises ExplainError: for a setting that does not exist, or a value out of range
    """
    known = [field.name for field in dataclasses.fields(GeneratorSettings)]
    require_known("setting of a generator", given, known)
    settings = GeneratorSettings(**given)
    require_types(settings)
    if settings.latent < 1 or min(settings.lambda_agent, settings.lambda_kl) < 0:
        raise ExplainError(f"latent must be at least 1, no weight negative: {settings}")
    CODECS[settings.codec]
    return settings
