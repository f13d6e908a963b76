"""Actions: one whatever happens, at the end of their range, or hardly preferred to others."""

from __future__ import annotations

import numpy as np
import torch
from gymnasium import spaces

from sb3_explain.agents.action_spaces import greedy_targets, group_sizes, target_scores
from sb3_explain.report.diagnosis_figure import Bars
from sb3_explain.workflows.diagnosis.evidence import Evidence
from sb3_explain.workflows.diagnosis.findings import Finding, Look, NotLookedError, counted
from sb3_explain.workflows.diagnosis.registry import CHECKS

#: share of the states with one action, and the spread of a Box action in its range
ALWAYS, STILL = 0.99, 0.01
#: place in the action's range, from 0 to 1, beyond which it is at the end; and the share of states
EDGE, MOSTLY = 0.99, 0.95


@CHECKS.register("one_action")
def check_one_action(evidence: Evidence) -> Look:
    """One action whatever happens: the histogram of the greedy actions."""
    n = len(evidence.batch)
    if evidence.is_box:
        spread = evidence.receive(evidence.scores).std(dim=0)
        names, values = list(evidence.agent.action_names), spread.tolist()
        always = bool((spread < STILL).all())
        bars = Bars(
            "How much the action changes between states", "standard deviation, share of the range",
            names, values, limit=STILL, beyond=[value < STILL for value in values],
        )  # fmt: skip
        said = f"actions of {n} states: they vary by {min(values):.3g} of their range or more"
        share = max(values)
        what, unit = "nearly the same action", "of its range is its largest spread over the states"
    else:
        space = evidence.agent.action_space
        chosen = greedy_targets(space, target_scores(space, evidence.scores)).float().mean(dim=0)
        names, values = list(evidence.agent.target_names), chosen.tolist()
        parts = torch.split(chosen, group_sizes(space))
        always = all(float(part.max()) >= ALWAYS for part in parts)
        bars = Bars(
            "How often each action is the greedy one", "share of the states", names, values,
            limit=ALWAYS, beyond=[value >= ALWAYS for value in values],
        )  # fmt: skip
        best = int(np.argmax(values))
        said = f"greedy actions of {n} states: '{names[best]}' most often, in {values[best]:.0%}"
        share = min(float(part.max()) for part in parts)
        what, unit = f"'{names[best]}'", "of the states"
    if not always:
        return Look(said, (), bars)
    finding = Finding(
        "one action", f"the agent does {what} whatever happens", "fault", "certain",
        counted(share, n), unit,
        "look at the inputs first (normalization, scale); then at the entropy during training: "
        "a higher ent_coef or a lower learning rate keeps a policy from collapsing",
        bars=bars,
    )  # fmt: skip
    return Look(said, (finding,), bars)


@CHECKS.register("saturation")
def check_saturation(evidence: Evidence) -> Look:
    """Box actions at the ends of their range in nearly all states."""
    if not evidence.is_box:
        raise NotLookedError("the actions are not continuous")
    space = evidence.agent.action_space
    assert isinstance(space, spaces.Box)
    if not space.is_bounded():
        raise NotLookedError("the actions have no bounds")
    at_end = (evidence.receive(evidence.scores).abs() > EDGE / 2).double().numpy(force=True)
    names = evidence.agent.action_names
    each = dict(zip(names, map(evidence.interval, at_end.T), strict=True))
    bars = Bars.of_intervals(
        "Actions at the ends of their range", "share of the states", each,
        limit=MOSTLY, beyond=[one.mean >= MOSTLY for one in each.values()],
    )  # fmt: skip
    whole = evidence.interval(at_end.mean(axis=1))
    said = f"bounds of {len(names)} action(s): at an end in {whole.mean:.0%} of the states"
    if whole.mean < MOSTLY:
        return Look(said, (), bars)
    finding = Finding(
        "saturated actions",
        "the actions are at an end of their range in nearly every state: the actor only switches, "
        "and has no gradient" + (" (tanh)" if evidence.agent.squashed else " beyond it (clipped)"),
        "fault", "certain", whole, "of the actions at an end",
        "compare the bounds with those of the training; penalize large actions, normalize "
        "observations, or lower the actor's learning rate",
        bars=bars,
    )  # fmt: skip
    return Look(said, (finding,), bars)
