"""Masks of actions: whether the agent is told which are allowed, and heeds it."""

from __future__ import annotations

import torch

from sb3_explain.agents.action_spaces import log_probabilities, target_scores
from sb3_explain.report.diagnosis_figure import Bars
from sb3_explain.workflows.diagnosis.evidence import Evidence
from sb3_explain.workflows.diagnosis.findings import Finding, Look, NotLookedError, counted
from sb3_explain.workflows.diagnosis.registry import CHECKS


@CHECKS.register("masks")
def check_masks(evidence: Evidence) -> Look:
    """Masks of actions that a policy was trained with, and does not get."""
    agent, batch = evidence.agent, evidence.batch
    if not agent.view.maskable:
        raise NotLookedError("the policy takes no masks of actions")
    masks = batch.policy_inputs.get("action_masks")
    n = len(batch)
    if masks is None:
        finding = Finding(
            "masks are missing",
            "the policy was trained with masks of actions, and is played without any",
            "fault", "certain", counted(1.0, n), "of states without a mask",
            "let the environment have a method action_masks(), as sb3_contrib's ActionMasker adds "
            "one, and hand the masks to predict()",
        )  # fmt: skip
        return Look("masks of actions: there are none", (finding,))
    with torch.no_grad():
        unmasked = agent.scores(agent.layout.restore(batch.by_key))
    space = agent.action_space
    shares = log_probabilities(space, target_scores(space, unmasked)).exp()
    forbidden = (shares * (masks.reshape(n, -1) == 0)).sum(dim=1).double().numpy(force=True)
    before = evidence.interval(forbidden)
    never = float((masks.reshape(n, -1) > 0).all(dim=1).float().mean())
    bars = Bars.of_intervals(
        "Probability of forbidden actions before they are masked", "probability",
        {"forbidden": before},
    )  # fmt: skip
    said = (
        f"masks of {n} states: before they are masked, forbidden actions have probability "
        f"{before.mean:.3g}, after it 0; {never:.0%} of the states allow everything"
    )
    return Look(said, (), bars)
