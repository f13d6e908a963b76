"""Units that are dead, or saturated, by layer."""

from __future__ import annotations

from torch import Tensor, nn

from sb3_explain.report.diagnosis_figure import Bars
from sb3_explain.workflows.diagnosis.evidence import Evidence
from sb3_explain.workflows.diagnosis.findings import Finding, Look, NotLookedError, counted
from sb3_explain.workflows.diagnosis.registry import CHECKS

#: smallest number of units of a layer that is looked at
UNITS = 8
#: share of dead or saturated units from which a layer is a finding
LIMIT = 0.9
#: change over the states, in units of the output's size, below which a unit is dead
STILL = 1e-5
#: output of tanh beyond which it is saturated, and the share of the states for a saturated unit
FULL, ALWAYS = 0.999, 0.99


@CHECKS.register("layers")
def check_layers(evidence: Evidence) -> Look:
    """Units that say the same in every state, or are at the end of their range, by layer."""
    modules = dict(evidence.agent.view.policy.named_modules())
    dead, full = {}, {}
    for name, output in evidence.outputs.items():
        if output.shape[1] >= UNITS and not isinstance(modules[name], nn.Flatten | nn.Identity):
            dead[name] = measure_dead(output)
            if isinstance(modules[name], nn.Tanh | nn.Sigmoid):
                full[name] = measure_full(output, isinstance(modules[name], nn.Sigmoid))
    if not dead:
        raise NotLookedError(f"it has no layer of {UNITS} units or more")
    n = len(evidence.batch)
    findings = [
        find(dead, n, "dead layer", "says the same in every state: nothing passes it",
             "dead units",
             "a lower learning rate or another initialization; check that the observations have "
             "the scale of the training"),
        find(full, n, "saturated layer", "is at an end of its range in nearly every state: it "
             "sees little but signs, and has hardly any gradient", "saturated units",
             "normalize the observations (VecNormalize), or lower the learning rate"),
    ]  # fmt: skip
    said = f"{len(dead)} layers in {n} states: at most {max(dead.values()):.0%} dead units"
    said += f", {max(full.values()):.0%} saturated ones" if full else ""
    return Look(said, tuple(one for one in findings if one), draw(dead, "dead units"))


def measure_dead(output: Tensor) -> float:
    """Share of the units, or channels, that are the same in all states.

    :param output: (B, D) or (B, C, h, w) outputs
    """
    units = output.flatten(2) if output.dim() > 2 else output[:, :, None]
    change = (units.amax(dim=0) - units.amin(dim=0)).amax(dim=1)
    return float((change <= STILL * output.abs().amax().clamp(min=1e-12)).float().mean())


def measure_full(output: Tensor, is_sigmoid: bool) -> float:
    """Share of the units that are near an end of their range in nearly all states."""
    spread = 2 * output - 1 if is_sigmoid else output
    return float(((spread.abs() > FULL).float().mean(dim=0) >= ALWAYS).float().mean())


def find(
    shares: dict[str, float], n: int, name: str, said: str, unit: str, next_step: str
) -> Finding | None:
    """Find the first layer with too many such units.

    :param shares: share of such units by layer
    :param n: number of states
    :param name: name of the finding
    :param said: what the layer does
    :param unit: what the shares are of
    :param next_step: what to do
    """
    beyond = [layer for layer, share in shares.items() if share >= LIMIT]
    if not beyond:
        return None
    share = shares[beyond[0]]
    more = f" (and {len(beyond) - 1} more)" if len(beyond) > 1 else ""
    return Finding(
        name, f"the layer {beyond[0]}{more} {said}", "fault", "certain", counted(share, n),
        f"of {unit} in {beyond[0]}", next_step, details={"shares": shares},
        bars=draw(shares, unit),
    )  # fmt: skip


def draw(shares: dict[str, float], unit: str) -> Bars:
    """Draw the shares by layer."""
    values = list(shares.values())
    return Bars(
        f"Share of {unit} by layer", "share of the units", list(shares), values, limit=LIMIT,
        beyond=[value >= LIMIT for value in values],
    )  # fmt: skip
