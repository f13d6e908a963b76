"""What the results of a study mean, in sentences."""

from __future__ import annotations

import math
from collections.abc import Iterator

from sb3_explain.report.words import get_explainer_label, join_words
from sb3_explain.workflows.study.comparing import Comparison
from sb3_explain.workflows.study.plan import NO_MAP, PLACEBOS
from sb3_explain.workflows.study.power import LEVEL, USUAL_POWER
from sb3_explain.workflows.study.results import StudyMeasures

#: what is compared in each outcome, in words
OUTCOMES = {
    "gain": "predictions gain",
    "region": "the right region is found",
    "agent": "the agent is recognized",
    "opinion": "maps are said to help",
    "confidence": "confidence rises",
}


def describe_results(results: StudyMeasures) -> list[str]:
    """Say what was found, the most important first.

    :param results: results of a study
    """
    return [
        *_say_gains(results),
        *_say_others(results),
        *_say_opinions(results),
        *_say_power(results),
        *_say_participants(results),
    ]


def name_arm(name: str) -> str:
    """Name an arm within a sentence: an explainer as its map, others with an article."""
    if name == NO_MAP:
        return "no map"
    label = get_explainer_label(name)
    if name not in PLACEBOS:
        return f"the map of {label}"
    return "the random map" if name == PLACEBOS[0] else f"the map of the {label}"


def say_points(share: float) -> str:
    """Say a difference of shares in points: hundredths."""
    return f"{100 * share:+.1f} points"


def say_comparison(one: Comparison) -> str:
    """Say a difference with its interval and its adjusted p-value."""
    if math.isnan(one.p):
        return f"{say_points(one.difference)} (too few participants to test)"
    bounds = f"{100 * one.low:+.1f} to {100 * one.high:+.1f}"
    found = "" if one.p_holm < LEVEL else ", not significant"
    return f"{say_points(one.difference)} (95 % interval {bounds}; p = {one.p_holm:.3g}{found})"


def _say_gains(results: StudyMeasures) -> Iterator[str]:
    compared = results.comparisons["gain"]
    for arm in results.arms:
        own = [one for one in compared if one.arm == arm]
        if arm == NO_MAP or arm in PLACEBOS or not own:
            continue
        versus = [f"{say_comparison(one)} over {name_arm(one.other)}" for one in own]
        yield (
            f"By {name_arm(arm)}, predictions of the agent's next action gain {join_words(versus)}."
        )
        better = {one.other for one in own if one.p_holm < LEVEL and one.difference > 0}
        placebos = {one.other for one in own if one.other in PLACEBOS}
        if NO_MAP in better and not placebos <= better:
            beaten = join_words([name_arm(name) for name in sorted(placebos - better)])
            yield (
                f"It is not shown to help more than {beaten}: what helps may be that there is a "
                "map at all."
            )


def _say_others(results: StudyMeasures) -> Iterator[str]:
    for outcome in ("region", "agent"):
        found = [
            f"{name_arm(one.arm)} over {name_arm(one.other)} by {say_comparison(one)}"
            for one in results.comparisons[outcome]
            if one.p_holm < LEVEL
        ]
        if found:
            yield f"How often {OUTCOMES[outcome]} differs: {join_words(found)}."
        elif results.comparisons[outcome]:
            yield f"How often {OUTCOMES[outcome]} differs in no comparison significantly."


def _say_opinions(results: StudyMeasures) -> Iterator[str]:
    whole = [row for row in results.opinions if row["question"] == "all"]
    if whole:
        said = [f"{name_arm(row['arm'])} in {row['share']:.0%}" for row in whole]
        yield f"The map is said to help to understand: {join_words(said)} of responses."
    rho, p = results.relation["rho"], results.relation["p"]
    if not math.isnan(rho):
        related = "goes with" if p < LEVEL and rho > 0 else "is not shown to go with"
        yield (
            f"Saying that maps help {related} being helped by them (rank correlation {rho:+.2f}, "
            f"p = {p:.2g})."
        )
    if not math.isnan(results.ranking.mean):
        low, high = results.ranking.low, results.ranking.high
        yield (
            f"A right prediction has the higher confidence than a wrong one in "
            f"{results.ranking.mean:.0%} of pairs (95 % interval {low:.0%} to {high:.0%}; chance "
            "is 50 %)."
        )


def _say_power(results: StudyMeasures) -> Iterator[str]:
    if results.power is None:
        return
    few = results.power.power < USUAL_POWER
    verdict = "These are too few participants: of such studies, " if few else "Of such studies, "
    yield (
        f"{verdict}{results.power.power:.0%} would find an effect of 15 points "
        f"({results.power.question})"
        + (f"; {USUAL_POWER:.0%} is usually asked for." if few else ".")
    )


def _say_participants(results: StudyMeasures) -> Iterator[str]:
    n = results.n_participants
    yield f"{n} participant{'s' if n > 1 else ''} in {results.plan.groups} groups are counted" + (
        f"; {results.n_excluded} failed an attention check and are not."
        if results.n_excluded
        else "; all answered the attention checks rightly, or are counted all the same."
    )
