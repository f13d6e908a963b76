"""diagnose: what is wrong with an agent, from played states and a few trials."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stable_baselines3.common.base_class import BaseAlgorithm

from sb3_explain.agents.agent import Agent, read_agent
from sb3_explain.common.errors import ExplainError
from sb3_explain.common.files import write_json
from sb3_explain.common.notebook import write_table
from sb3_explain.common.numbers import require_whole
from sb3_explain.common.progress import progress_bar
from sb3_explain.common.provenance import describe_machine
from sb3_explain.common.signatures import check_arguments
from sb3_explain.evaluation.showing import replace_nan
from sb3_explain.report.diagnosis_figure import Bars, diagnosis_figure
from sb3_explain.report.diagnosis_page import write_diagnosis_page
from sb3_explain.report.figures import save
from sb3_explain.report.page import Picture, make_title
from sb3_explain.states.dataset import StateDataset
from sb3_explain.states.env_sources import EnvSource
from sb3_explain.states.environments import AnyEnv, find_source
from sb3_explain.workflows.diagnosis.evidence import Evidence
from sb3_explain.workflows.diagnosis.findings import ORDER, Finding, Look, NotLookedError
from sb3_explain.workflows.diagnosis.registry import CHECKS
from sb3_explain.workflows.whole_episodes import play_whole_episodes

#: what a finding says in words
TEXTS = ("name", "check", "severity", "sure", "said", "unit", "next_step")
#: number of states that are played, of features and of pictures
N_STATES, N_PICTURES = 4000, 1500
#: largest number of steps of an episode of a trial, of features and of pictures
STEPS, PICTURE_STEPS = 500, 250
#: number of episodes of a trial, of features and of pictures
EPISODES, PICTURE_EPISODES = 12, 8


@dataclasses.dataclass(frozen=True)
class Diagnosis:
    """What is wrong with an agent, and what was looked at.

    >>> from sb3_explain import diagnose
    >>> report = diagnose(agent, checks=["one_action", "layers"], n_states=60, progress=False)
    >>> print(report)
    nothing found in 60 states of 1 episode(s)
    looked at:
      layers: 8 layers in 60 states: at most 0% dead units, 0% saturated ones
      one_action: greedy actions of 60 states: ...

    :param findings: what is wrong, the gravest first
    :param looks: what each check looked at, by its name
    :param skipped: why a check was left out, by its name
    :param n_states: number of states that were played
    :param n_episodes: number of their episodes
    :param agent: the agent as plain data
    """

    findings: tuple[Finding, ...]
    looks: Mapping[str, Look]
    skipped: Mapping[str, str]
    n_states: int
    n_episodes: int
    agent: Mapping[str, Any]

    def summarize(self) -> str:
        """Say in one line how many findings there are, and of what states."""
        n = len(self.findings)
        found = f"{n} finding{'s' if n > 1 else ''}" if n else "nothing found"
        return f"{found} in {self.n_states} states of {self.n_episodes} episode(s)"

    def __str__(self) -> str:
        """Return the findings, the gravest first, then what was looked at and what was not."""
        lines = [self.summarize()]
        lines += [f"{number}. {one}" for number, one in enumerate(self.findings, start=1)]
        lines += ["looked at:", *(f"  {name}: {look.said}" for name, look in self.looks.items())]
        if self.skipped:
            lines.append("not looked at:")
            lines += [f"  {name}: {reason}" for name, reason in self.skipped.items()]
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        """Return what a notebook shows: a table of findings, and one of what was looked at."""
        head = ("", "finding", "how sure", "evidence", "next step")
        rows = [
            (one.severity, one.said, one.sure, one.describe_evidence(), one.next_step)
            for one in self.findings
        ]
        looked = [(name, look.said) for name, look in self.looks.items()]
        looked += [(name, f"not looked at: {reason}") for name, reason in self.skipped.items()]
        found = write_table(head, rows) if rows else ""
        return f"<b>{self.summarize()}</b>{found}{write_table(('check', 'looked at'), looked)}"

    def list_bars(self) -> list[Bars]:
        """List the bars of the findings, or of everything looked at where there are none."""
        found = [one.bars for one in self.findings if one.bars is not None]
        return found or [look.bars for look in self.looks.values() if look.bars is not None]

    def plot(self) -> bytes:
        """Draw the evidence of the findings, or all that was measured where there are none.

        >>> from sb3_explain import diagnose
        >>> report = diagnose(agent, checks=["one_action"], n_states=40, progress=False)
        >>> report.plot()[1:4]
        b'PNG'

        :return: PNG
        :raises ExplainError: if nothing was measured
        """
        bars = self.list_bars()
        if not bars:
            raise ExplainError("nothing was measured that could be drawn: run more checks")
        return diagnosis_figure(bars)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain data, as ``diagnosis.json`` has it."""
        findings = [
            {
                **{name: getattr(one, name) for name in TEXTS},
                "evidence": replace_nan(one.evidence),
                "details": dict(one.details),
            }
            for one in self.findings
        ]
        return {
            "findings": findings,
            "looked_at": {name: look.said for name, look in self.looks.items()},
            "not_looked_at": dict(self.skipped),
            "states": self.n_states,
            "episodes": self.n_episodes,
            "agent": dict(self.agent),
        }

    @check_arguments
    def save(self, folder: str | Path) -> Path:
        """Write ``diagnosis.html``, ``diagnosis.png`` and ``diagnosis.json`` into a folder.

        :param folder: the folder, which is made if it is not there
        :return: path of the page
        """
        folder = Path(folder)
        made = describe_machine()
        write_json(folder / "diagnosis.json", {**self.to_dict(), "made": made})
        if self.list_bars():
            save(folder / "diagnosis.png", self.plot())
        return write_diagnosis_page(
            folder / "diagnosis.html",
            title=make_title(dict(self.agent)),
            date=made["date"],
            summary=self.summarize(),
            findings=[(vars(one) | {"number": one.describe_evidence()}, _draw(one.bars, one.said))
                      for one in self.findings],
            looks=[(name, look.said, _draw(look.bars, look.said))
                   for name, look in self.looks.items()],
            skipped=self.skipped,
            provenance={"Agent": self.agent, "Made with": made},
        )  # fmt: skip


@check_arguments
def diagnose(
    agent: Agent | BaseAlgorithm,
    states: StateDataset | None = None,
    *,
    env: AnyEnv | EnvSource | None = None,
    checks: Sequence[str] | None = None,
    irrelevant: Sequence[str] = (),
    n_states: int | None = None,
    n_episodes: int | None = None,
    max_steps: int | None = None,
    folder: str | Path | None = None,
    play: bool = True,
    seed: int = 0,
    progress: bool = True,
) -> Diagnosis:
    """Say what is wrong with an agent: why it always does the same, why it fails.

    It plays episodes, and asks of them what people ask of an agent that disappoints: does it see
    what it was trained to see, does it react to it, do its layers live, does its value tell the
    truth, does it earn more with its observations or actions arranged otherwise.

    >>> from sb3_explain import diagnose
    >>> report = diagnose(agent, checks=["observations", "noise"], n_states=60, progress=False)
    >>> report.findings
    ()

    :param agent: an agent, or a model of stable-baselines3 or sb3-contrib
    :param states: states that the agent played, episode after episode; it plays some when not given
    :param env: the environment, as :func:`sb3_explain.collect` takes it; the agent's own when not
        given. Without any, what needs one is not looked at
    :param checks: names of checks, see :data:`CHECKS`; all when not given
    :param irrelevant: names of features that should not matter to the agent
    :param n_states: number of states to play: 4000, or 1500 of pictures, when not given
    :param n_episodes: number of episodes of a trial: 12, or 8 of pictures, when not given
    :param max_steps: largest number of steps of an episode of a trial: 500, or 250 of pictures,
        when not given
    :param folder: folder of the store of the states, which is created or continued; in memory when
        not given
    :param play: whether to play trials; without, what needs one is not looked at
    :param seed: random seed of the episodes, the permutations and the intervals
    :param progress: show progress bars on standard error
    :return: the findings, the gravest first, and what was looked at
    :raises ExplainError: for an unknown check, or if there are neither states nor an environment
    """
    known = read_agent(agent)
    names = [name for name in ORDER if name in find_checks(checks)]
    pictures = bool(known.layout.pictures)
    n = require_whole("n_states", n_states or (N_PICTURES if pictures else N_STATES))
    episodes = n_episodes or (PICTURE_EPISODES if pictures else EPISODES)
    steps = max_steps or (PICTURE_STEPS if pictures else STEPS)
    require_whole("n_episodes", episodes, 2)
    require_whole("max_steps", steps)
    if states is None and not play:
        raise ExplainError("play=False: give states to look at")
    playable = play and (states is None or has_env(known, env))
    if states is None:
        states = play_whole_episodes(
            known, None if folder is None else Path(folder), n, env=env, seed=seed,
            progress=progress, render=False,
        )  # fmt: skip
    if not len(states):
        raise ExplainError("there are no states to look at: play some (collect)")
    states.require_labels_of(known)
    evidence = Evidence(
        known, states, env, playable=playable, n_episodes=episodes, max_steps=steps,
        irrelevant=irrelevant, seed=seed,
    )  # fmt: skip
    looks: dict[str, Look] = {}
    skipped: dict[str, str] = {}
    with progress_bar("checking", len(names), "checks", progress) as bar:
        for name in names:
            try:
                looks[name] = CHECKS[name](evidence)
            except NotLookedError as reason:
                skipped[name] = str(reason)
            bar.update(1)
    findings = [
        dataclasses.replace(one, check=name)
        for name, look in looks.items()
        for one in look.findings
    ]
    findings = sorted(keep_best_repair(findings), key=lambda one: one.gravity)
    return Diagnosis(
        tuple(findings), looks, skipped, len(states),
        len(set(states.episode.tolist())), known.describe(),
    )  # fmt: skip


def has_env(agent: Agent, env: AnyEnv | EnvSource | None) -> bool:
    """Whether there is an environment to play in; a mistake in one that was given is raised."""
    try:
        find_source(agent, env)
    except ExplainError:
        if env is not None:
            raise
        return False
    return True


def keep_best_repair(findings: Sequence[Finding]) -> list[Finding]:
    """Keep, of several rearrangements that help, the one that repairs most.

    An agent that does the opposite of what is right earns more with anything that confuses it. Of
    equals, the one that was chosen among fewest is kept, which is the least likely to be luck.
    """
    trials = [one for one in findings if "repaired" in one.details]
    best = max(
        trials, key=lambda one: (one.details["repaired"], -one.details["tried"]), default=None
    )
    return [one for one in findings if "repaired" not in one.details or one is best]


def find_checks(names: Sequence[str] | None) -> list[str]:
    """Names of the checks to run.

    :param names: names as a user gave them; all when not given
    :raises ExplainError: for an unknown one; the nearest is suggested
    """
    if names is None:
        return list(CHECKS)
    for name in names:
        CHECKS[name]
    return list(names)


def _draw(bars: Bars | None, said: str) -> Picture | None:
    return None if bars is None else Picture(diagnosis_figure([bars]), bars.title, said)
