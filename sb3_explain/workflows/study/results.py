"""The results of a study as data, which its sentences, tables and figures show."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from sb3_explain.common.bootstrap import Interval
from sb3_explain.workflows.study.comparing import Comparison
from sb3_explain.workflows.study.measures import Row
from sb3_explain.workflows.study.plan import Plan
from sb3_explain.workflows.study.power import StudyPower


@dataclasses.dataclass(frozen=True)
class StudyMeasures:
    """What was measured of the answers of a study.

    :param plan: plan of the study
    :param arms: names of the arms, that without a map first
    :param n_participants: number of participants that are counted
    :param n_excluded: number of those that are not, since they failed an attention check
    :param opinions: responses to the paper's question by arm and question
    :param means: mean of each outcome by arm, with intervals over participants (``low``, ``high``)
        and over participants and states together (``low_both``, ``high_both``)
    :param comparisons: comparisons of arms by outcome
    :param changes: predictions that became right and wrong by arm
    :param agreement: Krippendorff's alpha by arm
    :param ranking: how often a right prediction has the higher confidence than a wrong one
    :param relation: rank correlation of what participants say that helps with what helps them
    :param power: power of such a study; ``None`` if it was not simulated
    """

    plan: Plan
    arms: Sequence[str]
    n_participants: int
    n_excluded: int
    opinions: Sequence[Row]
    means: Sequence[Row]
    comparisons: Mapping[str, Sequence[Comparison]]
    changes: Sequence[Row]
    agreement: Sequence[Row]
    ranking: Interval
    relation: Row
    power: StudyPower | None
