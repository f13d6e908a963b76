"""DiagnosisCallback: what is wrong with the agent while it learns."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sb3_explain.agents.agent import Agent
from sb3_explain.callbacks.base import ExplainCallback
from sb3_explain.callbacks.training_states import Step, TrainingStates
from sb3_explain.common.files import write_json
from sb3_explain.common.numbers import require_whole
from sb3_explain.report.figures import save
from sb3_explain.workflows.diagnosis.diagnose import Diagnosis, diagnose, find_checks

log = logging.getLogger(__name__)

#: the checks that ask an agent about states, and play nothing
CHECKED = (
    "observations", "blindness", "masks", "layers", "saturation", "exploration", "one_action",
    "noise",
)  # fmt: skip


class DiagnosisCallback(ExplainCallback):
    """What is wrong with the agent while it learns, by :func:`sb3_explain.diagnose`.

    It looks at the last states of the training, and plays nothing. Numbers of findings are logged
    as ``diagnosis/findings`` and, by check, ``diagnosis/<check>``; the figure of their evidence is
    shown in TensorBoard. A fault that is certain or very likely is logged as a warning, once a
    training. The folder holds all diagnoses in ``history.json``, and the page of the final agent,
    ``diagnosis.html``.

    :param checks: names of checks, see :func:`sb3_explain.diagnose`; those that play nothing and
        need no rewards when not given
    :param every: number of timesteps, of all environments together, between two diagnoses; ``None``
        for one at the end
    :param n_states: number of the training's last states that are looked at
    :param folder: see :class:`~sb3_explain.callbacks.base.ExplainCallback`
    :param irrelevant: names of features that should not matter to the agent
    :param budget: largest duration, as a share of the training's own, of all but the first
        time and that of the final agent
    :param options: ``on_error``, ``seed``, ``verbose``, ``action_names`` and ``feature_names`` of
        :class:`~sb3_explain.callbacks.base.ExplainCallback`
    :raises ExplainError: for an unknown check

    >>> from sb3_explain import DiagnosisCallback
    >>> callback = DiagnosisCallback(["layers"], every=None, folder=folder, budget=None)
    >>> from stable_baselines3 import PPO
    >>> model = PPO("MlpPolicy", "CartPole-v1", n_steps=64, seed=0)
    >>> model = model.learn(64, callback=callback)
    DiagnosisCallback: 1 time, ... s, ...% of the training's ... s; see ...diagnosis
    >>> (folder / "diagnosis" / "diagnosis.html").exists()
    True
    """

    kind = "diagnosis"

    def __init__(
        self,
        checks: Sequence[str] | None = None,
        every: int | None = 50_000,
        n_states: int = 1000,
        folder: str | None = None,
        *,
        irrelevant: Sequence[str] = (),
        budget: float | None = 0.02,
        **options: Any,
    ) -> None:
        super().__init__(every, folder, budget=budget, **options)
        given = CHECKED + ("irrelevant",) * bool(irrelevant) if checks is None else checks
        self.checks = find_checks(given)
        self.n_states = require_whole("n_states", n_states)
        self.irrelevant = irrelevant

    def begin(self, agent: Agent) -> None:
        self.recent = TrainingStates(self.n_states, agent.n_stack)
        #: diagnoses by timestep
        self.diagnosed: dict[int, Diagnosis] = {}
        self._warned: set[str] = set()

    def watch(self, step: Step) -> None:
        for env in range(len(step.ends)):
            self.recent.add(step, env)

    @property
    def ready(self) -> bool:
        return len(self.recent) > 0

    def work(self, folder: Path) -> None:
        agent = self.take_agent()
        report = diagnose(
            agent, self.recent.states(agent), checks=self.checks, irrelevant=self.irrelevant,
            play=False, seed=self.seed, progress=False,
        )  # fmt: skip
        self.diagnosed[self.num_timesteps] = report
        self._warn(report)
        counts = dict.fromkeys(report.looks, 0)
        for finding in report.findings:
            counts[finding.check] += 1
        counts["findings"] = len(report.findings)
        self.write({f"diagnosis/{name}": float(count) for name, count in counts.items()})
        if report.list_bars():
            path = folder / f"evidence_{self.num_timesteps}.png"
            save(path, report.plot())
            self.show({"evidence": path})
        if self.ending:
            report.save(folder)
        write_json(
            folder / "history.json",
            [{"timesteps": at, **one.to_dict()} for at, one in self.diagnosed.items()],
        )

    def _warn(self, report: Diagnosis) -> None:
        """Log each fault that is more than likely, the first time that it is found."""
        for one in report.findings:
            sure = one.severity == "fault" and one.sure != "likely"
            if sure and one.name not in self._warned:
                self._warned.add(one.name)
                log.warning(
                    "DiagnosisCallback: after %s timesteps: %s (%s: %s); next: %s",
                    f"{self.num_timesteps:,}", one.said, one.sure, one.describe_evidence(),
                    one.next_step,
                )  # fmt: skip
