"""``analyze_study``: what the answers of a study say, with intervals over its participants."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sb3_explain.common.errors import ExplainError
from sb3_explain.common.files import atomic_path, write_json
from sb3_explain.common.signatures import check_arguments
from sb3_explain.report import save
from sb3_explain.report.study.figures import gain_figure, opinion_figure, right_figure
from sb3_explain.report.study.results_page import write_results_page
from sb3_explain.workflows.study.answers import make_table, pass_checks, read_answers
from sb3_explain.workflows.study.comparing import compare_arms
from sb3_explain.workflows.study.measures import (
    measure_agreements,
    measure_changes,
    measure_means,
    measure_opinions,
    measure_ranking,
    relate_opinions,
)
from sb3_explain.workflows.study.plan import (
    NO_MAP,
    PLACEBOS,
    Key,
    Plan,
    read_plan,
)
from sb3_explain.workflows.study.power import study_power
from sb3_explain.workflows.study.results import StudyMeasures
from sb3_explain.workflows.study.sentences import describe_results
from sb3_explain.workflows.study.tables import list_tables

if TYPE_CHECKING:
    import pandas as pd

#: number of simulations of the power of the study at hand, and the effect that it is of
SIMULATIONS, EFFECT = 200, 0.15


class StudyResults(StudyMeasures):
    """The outcome of :func:`analyze_study`: ``print`` shows sentences, ``save`` writes a page."""

    def sentences(self) -> list[str]:
        """Say what was found in sentences, the most important first."""
        return describe_results(self)

    def __str__(self) -> str:
        """Say what was found, a sentence on each line."""
        return "\n".join(self.sentences())

    def table(self) -> pd.DataFrame:
        """Return all means, comparisons and opinions, a row each."""
        from sb3_explain.common.whole_table import WholeTable

        compared = [
            {"kind": "comparison", "outcome": outcome, **dataclasses.asdict(one)}
            for outcome, found in self.comparisons.items()
            for one in found
        ]
        means = [{"kind": "mean", **row} for row in self.means]
        said = [{"kind": "opinion", "outcome": "opinion", **row} for row in self.opinions]
        return WholeTable([*means, *compared, *said])

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain data."""
        plain = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        plain |= {
            "plan": self.plan.study,
            "comparisons": {
                outcome: [dataclasses.asdict(one) for one in found]
                for outcome, found in self.comparisons.items()
            },
            "ranking": self.ranking._asdict(),
            "power": None if self.power is None else dataclasses.asdict(self.power),
            "sentences": self.sentences(),
        }
        return plain

    def save(self, folder: str | Path) -> Path:
        """Write the page of results, the figures and the tables into a folder.

        :param folder: the folder
        :return: path of ``results.html``
        """
        folder = Path(folder)
        write_json(folder / "results.json", self.to_dict())
        with atomic_path(folder / "results.csv") as temporary:
            self.table().to_csv(temporary, index=False)
        drawn = {
            "right": right_figure(self.means, self.arms),
            "gain": gain_figure([dataclasses.asdict(one) for one in self.comparisons["gain"]]),
        }
        if self.opinions:
            drawn["opinions"] = opinion_figure(self.opinions)
        for name, png in drawn.items():
            save(folder / f"{name}.png", png)
        return write_results_page(
            folder / "results.html", title=self.plan.title, sentences=self.sentences(),
            figures=drawn, tables=list_tables(self),
            provenance={"Plan": {"study": self.plan.study, **self.plan.facts}},
        )  # fmt: skip


@check_arguments
def analyze_study(
    output: str | Path,
    answers: str | Path | Iterable[str | Path],
    *,
    keep_failed: bool = False,
    simulate: bool = True,
    n_resamples: int = 2000,
    seed: int = 0,
) -> StudyResults:
    """Analyze the answers of a study.

    Answers of one participant depend on one another, and so do answers to one state: intervals are
    over participants, and over participants and states together; arms are compared within
    participants, or between them, as the study was designed.

    >>> from sb3_explain import analyze_study, export_study
    >>> study = export_study(
    ...     image_agent, folder, "gradient", n_states=4, n_played=200, progress=False
    ... )
    >>> from sb3_explain.workflows.study.simulation import write_simulated
    >>> files = write_simulated(folder, folder / "answers", 20, {"gradient": 0.4})
    >>> results = analyze_study(folder, files, simulate=False, n_resamples=100)
    >>> results.n_participants, results.save(folder / "study").name
    (20, 'results.html')

    :param output: output folder of :func:`sb3_explain.export_study`
    :param answers: files that participants saved, or a folder of them
    :param keep_failed: whether participants who failed an attention check are counted
    :param simulate: whether to simulate the power of a study of as many participants
    :param n_resamples: number of the bootstrap's draws
    :param seed: random seed of the bootstrap and the tests
    :return: what was found; ``save`` writes a page of it
    :raises ExplainError: if there are no answers, or they are damaged, of another study, or of a
        participant twice
    """
    plan, key = read_plan(Path(output))
    files = read_answers(list_files(answers), plan)
    passed = [True] * len(files) if keep_failed else pass_checks(files, plan, key)
    counted = [data for data, good in zip(files, passed, strict=True) if good]
    if not counted:
        raise ExplainError(
            f"all {len(files)} participants failed an attention check: nothing is left to analyze "
            "(keep_failed=True counts them)"
        )
    results = measure_study(counted, plan, key, n_resamples=n_resamples, seed=seed)
    n_states = len(plan.of_task("predict"))
    power = None
    if simulate and (plan.design == "between" or n_states >= plan.groups) and len(counted) > 1:
        power = study_power(
            len(counted), n_states, EFFECT, n_arms=plan.groups, design=plan.design,
            n_simulations=SIMULATIONS, seed=seed,
        )  # fmt: skip
    return dataclasses.replace(results, n_excluded=len(files) - len(counted), power=power)


def list_files(answers: str | Path | Iterable[str | Path]) -> list[Path]:
    """List the files of answers: those that are given, or all JSON files of a folder."""
    given = [answers] if isinstance(answers, str | Path) else list(answers)
    listed: list[Path] = []
    for path in map(Path, given):
        listed += sorted(path.glob("*.json")) if path.is_dir() else [path]
    return listed


def order_arms(key: Key) -> list[str]:
    """List the names of the arms: none, explainers, placebos."""
    names = list(key.arms.values())
    explainers = sorted(name for name in names if name not in (NO_MAP, *PLACEBOS))
    return [NO_MAP, *explainers, *(name for name in PLACEBOS if name in names)]


def measure_study(
    files: Sequence[Mapping[str, Any]],
    plan: Plan,
    key: Key,
    *,
    n_resamples: int = 2000,
    seed: int = 0,
) -> StudyResults:
    """Measure the answers of participants, none of whom is left out.

    :param files: answers of the participants
    :param plan: the plan
    :param key: the key
    :param n_resamples: number of the bootstrap's draws
    :param seed: random seed
    """
    arms = order_arms(key)
    before, after = (
        make_table(files, plan, key, arms, "predict", part) for part in ("before", "after")
    )
    regions, agents, opinions = (
        make_table(files, plan, key, arms, task) for task in ("region", "agent", "opinion")
    )
    gain = after.right - before.right
    outcomes = {
        "before": (before.right, before), "after": (after.right, after), "gain": (gain, after),
        "region": (regions.right, regions), "agent": (agents.right, agents),
    }  # fmt: skip
    options = {"n_resamples": n_resamples, "seed": seed}
    said = np.where(np.isnan(opinions.responses), np.nan, opinions.responses == 0)
    surer = after.confidence - before.confidence
    compared = {
        name: compare_arms(values, table.arms, arms, plan.design, ranks=ranks, **options)
        for name, values, table, ranks in (
            ("gain", gain, after, False),
            ("region", regions.right, regions, False),
            ("agent", agents.right, agents, False),
            ("opinion", said, opinions, False),
            ("confidence", surer, after, True),
        )
    }
    return StudyResults(
        plan=plan,
        arms=arms,
        n_participants=len(files),
        n_excluded=0,
        opinions=measure_opinions(opinions, arms),
        means=[
            row
            for name, (values, table) in outcomes.items()
            for row in measure_means(values, table, arms, name)
        ],
        comparisons={
            name: [one for one in found if one.n and not np.isnan(one.difference)]
            for name, found in compared.items()
        },
        changes=measure_changes(before, after, arms),
        agreement=measure_agreements(regions, after, arms),
        ranking=measure_ranking((before, after), n_resamples, seed),
        relation=relate_opinions(opinions, gain, after, arms),
        power=None,
    )
