"""Missing, stale or needless normalization of observations."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from sb3_explain.agents.shown_values import show_values
from sb3_explain.report.diagnosis_figure import Bars
from sb3_explain.states.batch import StateBatch
from sb3_explain.states.play import ObservationTransform
from sb3_explain.workflows.diagnosis.evidence import Evidence
from sb3_explain.workflows.diagnosis.findings import Finding, Look, NotLookedError
from sb3_explain.workflows.diagnosis.registry import CHECKS
from sb3_explain.workflows.diagnosis.repairs import Arrangement, try_arrangements

#: mean of a normalized feature, in either direction, that a training may leave it with
MEAN = 4.0

Statistics = Mapping[str, tuple[Tensor, Tensor]]


@CHECKS.register("normalization")
def check_normalization(evidence: Evidence) -> Look:
    """Normalization of observations that is missing, stale, or of an agent that had none."""
    keys = evidence.number_keys
    if not keys:
        raise NotLookedError("pictures and categories are not normalized by VecNormalize")
    misfit = measure_misfit(evidence) if evidence.agent.normalizers else None
    arrangements = {}
    if evidence.agent.trained_normalized is not False:
        played, randomly = measure(evidence.batch, keys), measure_random(evidence, keys)
        arrangements = {
            "normalized by the played states": Arrangement(_standardize(played)),
            "normalized by random play": Arrangement(_standardize(randomly)),
        }
    if evidence.agent.normalizers and keys == list(evidence.observed):
        arrangements["without normalization"] = Arrangement(_undo(evidence))
    if not arrangements:
        raise NotLookedError("the agent was trained without VecNormalize, and is played without it")
    trial = try_arrangements(evidence, arrangements)
    said = f"normalization of {sum(len(evidence.feature_names[key]) for key in keys)} features: "
    said += trial.describe()
    if not trial.helps:
        return Look(said, (), misfit)
    has = bool(evidence.agent.normalizers)
    needless = trial.name == "without normalization"
    finding = Finding(
        "normalization",
        "the agent acts better on observations " + (
            "that are not normalized: its statistics are those of another agent" if needless else
            f"{trial.name}: its statistics of VecNormalize {'do not fit' if has else 'are missing'}"
        ),
        "fault", "very likely", trial.gain, "more return",
        "load the statistics that were saved beside the agent (vecnormalize.pkl; "
        "vec_normalize=FILE, --vec-normalize), or none for an agent that had none",
        bars=trial.draw("Return with other normalization"),
        details={"repaired": trial.repaired, "tried": trial.n_tried},
    )  # fmt: skip
    return Look(said, (finding,), misfit)


def measure(batch: StateBatch, keys: list[str]) -> Statistics:
    """Mean and standard deviation (D,) of the features by key."""
    return {key: (batch.by_key[key].mean(0), batch.by_key[key].std(0)) for key in keys}


def measure_random(evidence: Evidence, keys: list[str]) -> Statistics:
    """The same of states that random actions lead to, beside those that were played."""
    both = evidence.observed_randomly, evidence.observed
    joined = {key: torch.cat([observed[key] for observed in both]) for key in keys}
    return {key: (rows.mean(0), rows.std(0)) for key, rows in joined.items()}


def _standardize(statistics: Statistics) -> ObservationTransform:
    def transform(batch: StateBatch) -> Tensor:
        by_key = dict(batch.by_key)
        for key, (mean, std) in statistics.items():
            scale = torch.where(std > 0, std, torch.ones_like(std))
            by_key[key] = ((by_key[key] - mean) / scale).clamp(-10, 10)
        return batch.flatten_keys(by_key)

    return transform


def _undo(evidence: Evidence) -> ObservationTransform:
    return lambda batch: show_values(evidence.agent, batch.by_key).float()


def measure_misfit(evidence: Evidence) -> Bars:
    """How far normalized features lie from mean 0."""
    labels, means = [], []
    for key, names in evidence.feature_names.items():
        if key in evidence.agent.normalizers:
            labels += names
            means += evidence.batch.by_key[key].mean(0).tolist()
    return Bars(
        "Means of normalized features: 0 in the training", "standard deviations", labels, means,
        beyond=[abs(mean) > MEAN for mean in means],
    )  # fmt: skip
