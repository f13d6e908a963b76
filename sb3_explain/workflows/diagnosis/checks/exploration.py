"""What sampling does: a policy that prefers nothing, is mostly noise, or needs it to succeed."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from sb3_explain.agents.action_spaces import group_sizes, score_range, target_scores
from sb3_explain.agents.action_spaces import log_probabilities as find_logs
from sb3_explain.report.diagnosis_figure import Bars
from sb3_explain.workflows.diagnosis.evidence import Evidence
from sb3_explain.workflows.diagnosis.findings import Finding, Look, NotLookedError
from sb3_explain.workflows.diagnosis.registry import CHECKS

#: entropy in units of the highest from which no action is preferred
UNDECIDED = 0.995
#: standard deviation of a Box action, in its range, from which it is mostly noise
NOISE = 0.5
#: share of what the agent earns over random actions that sampling may cost
COST = 0.5


@CHECKS.register("exploration")
def check_exploration(evidence: Evidence) -> Look:
    """Greedy against sampled actions: returns from equal seeds, and how undecided the policy is."""
    if not evidence.samples:
        raise NotLookedError("the agent takes its best action, and samples nothing")
    findings = []
    looked, found = measure_noise(evidence)
    findings += [found] if found else []
    if not evidence.playable:
        return Look(f"{looked}; greedy against sampled return not: no environment", tuple(findings))
    greedy, drawn = (evidence.play(deterministic=way) for way in (True, False))
    randomly = evidence.play(None)
    played = {"greedy": greedy, "sampled": drawn, "random actions": randomly}
    each = {name: evidence.interval_of_returns(returns) for name, returns in played.items()}
    better = evidence.interval_of_returns(drawn - greedy)
    scale = abs(max(greedy.mean(), drawn.mean()) - randomly.mean())
    worse_drawn = better.high < 0 and -better.mean > COST * scale
    worse_greedy = better.low > 0 and better.mean > COST * scale
    fails = greedy.mean() <= randomly.mean() < drawn.mean()
    bars = Bars.of_intervals(
        "Return of greedy and of sampled actions", "mean return", each,
        beyond=[worse_greedy, worse_drawn, False],
    )  # fmt: skip
    said = f"{looked}; return {each['greedy'].mean:.4g} greedy, {each['sampled'].mean:.4g} sampled"
    if worse_greedy:
        findings.append(
            Finding(
                "greedy fails",
                f"the agent's greedy actions earn {each['greedy'].mean:.4g}, far less than its "
                f"sampled ones ({each['sampled'].mean:.4g}): greedy play gets stuck where sampling "
                "would free it",
                "fault" if fails else "warning", "very likely", better,
                "more return with sampled actions",
                "play it with deterministic=False, or train on until it is sure",
                bars=bars,
            )
        )  # fmt: skip
    elif worse_drawn and not findings:
        calmer = "lower ent_coef if it is above 0"
        if evidence.is_box:
            calmer = "lower ent_coef or log_std_init"
        findings.append(
            Finding(
                "sampling ruins it",
                f"the agent's sampled actions earn {each['sampled'].mean:.4g}, far less than its "
                f"greedy ones ({each['greedy'].mean:.4g}): it is not sure of its actions yet, and "
                "its value is of what sampling earns", "warning", "very likely",
                evidence.interval_of_returns(greedy - drawn), "more return with greedy actions",
                f"train longer; {calmer}; play it with deterministic=True",
                bars=bars,
            )
        )  # fmt: skip
    return Look(said, tuple(findings), bars)


def measure_noise(evidence: Evidence) -> tuple[str, Finding | None]:
    """Say how undecided the policy is, or how large its noise, and whether it is too much."""
    if evidence.is_box:
        return measure_std(evidence)
    space = evidence.agent.action_space
    logs = find_logs(space, target_scores(space, evidence.scores))
    terms = torch.split(-(logs.exp() * logs.clamp(min=-50)), group_sizes(space), dim=1)
    shares = [part.sum(dim=1) / np.log(part.shape[1]) for part in terms if part.shape[1] > 1]
    if not shares:
        return "one action alone", None
    entropy = torch.stack(shares).mean(dim=0).double().numpy(force=True)
    mean = evidence.interval(entropy)
    said = f"entropy of the actions: {mean.mean:.0%} of the highest"
    bars = Bars(
        "Entropy of the actions, by state", "quantiles over the states, 1 is random play",
        ["lowest", "a quarter", "median", "three quarters", "highest"],
        np.quantile(entropy, [0, 0.25, 0.5, 0.75, 1]).tolist(), limit=UNDECIDED,
        beyond=[False, False, mean.mean >= UNDECIDED, False, False],
    )  # fmt: skip
    if mean.mean < UNDECIDED:
        return said, None
    return said, Finding(
        "prefers nothing", "all actions are equally probable in nearly every state, as before any "
        "training", "fault", "certain", mean, "of the highest entropy",
        "check that the trained weights were loaded; lower ent_coef, or train longer",
        bars=bars,
    )  # fmt: skip


def measure_std(evidence: Evidence) -> tuple[str, Finding | None]:
    """Say how large the standard deviation of Box actions is."""
    agent, batch = evidence.agent, evidence.batch
    seen = agent.layout.restore(batch.by_key)
    with torch.no_grad():
        std = agent.view.std(seen, batch.policy_inputs.get("lstm_states"))
    if not bool((std > 0).any()):
        raise NotLookedError("the policy is deterministic")
    space = agent.action_space
    extent = score_range(space, squashed=agent.squashed)[1].to(std)  # type: ignore[arg-type]
    shares: NDArray[np.float64] = (std / extent).double().numpy(force=True)
    each = dict(zip(agent.action_names, map(evidence.interval, shares.T), strict=True))
    beyond = [one.mean > NOISE for one in each.values()]
    bars = Bars.of_intervals(
        "Standard deviation of the actions", "share of their range", each,
        limit=NOISE, beyond=beyond,
    )  # fmt: skip
    mean = evidence.interval(shares.mean(axis=1))
    said = f"standard deviation of the actions: {mean.mean:.3g} of their range"
    if not all(beyond):
        return said, None
    return said, Finding(
        "actions are mostly noise", "the policy draws its actions from all over their range, "
        "whatever it prefers", "fault", "certain", mean, "of the range is the standard deviation",
        "lower log_std_init or the entropy coefficient; a log_std that grows all the time means "
        "that the bonus for entropy outweighs the reward",
        bars=bars,
    )  # fmt: skip
