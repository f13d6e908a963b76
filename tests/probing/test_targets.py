"""Targets against hand-computed energies, slow loops, and the agents that they refuse."""

import math

import numpy as np
import pytest
import torch
from gymnasium import spaces
from scipy.spatial.distance import jensenshannon
from torch import nn

from sb3_explain.agents.agent import Agent
from sb3_explain.agents.targets.energies import TARGETS, make_target, soft_max, soft_min
from sb3_explain.agents.targets.find import find_energy
from sb3_explain.agents.targets.outputs import Outputs, read_outputs
from sb3_explain.common.errors import ExplainError

SPACE = spaces.Box(-10, 10, (3,), np.float32)
Q = torch.tensor([[1.0, 2.0, 4.0], [0.0, 0.0, 0.0], [-3.0, -1.0, -2.0]])


class Same(nn.Module):
    """Scores are the observation; with ``valued``, the value is twice their sum."""

    def __init__(self, valued: bool) -> None:
        super().__init__()
        self.valued = valued
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, observations):
        scores = self.weight * observations
        return (scores, 2 * observations.sum(dim=1)) if self.valued else scores


def agent_of(*, valued=True, value_based=False, space=None) -> Agent:
    space = space or spaces.Discrete(3)
    return Agent.from_module(Same(valued), SPACE, space, value_based=value_based)


def energies(target, agent, rows=Q, **options):
    return find_energy(agent, target, **options)(read_outputs(agent, rows))


def known(agent, scores, other=None) -> Outputs:
    """Outputs of these scores."""
    outputs = Outputs(agent, scores, other=other)
    outputs.scores = scores
    return outputs


def test_soft_maximum_is_equation_6_and_lies_between_mean_and_maximum():
    beta = 1.5
    for row, found in zip(Q.tolist(), soft_max(Q, beta).tolist(), strict=True):
        weights = [math.exp(beta * q) for q in row]
        by_hand = sum(q * w for q, w in zip(row, weights, strict=True)) / sum(weights)
        assert found == pytest.approx(by_hand, abs=1e-5)
    torch.testing.assert_close(soft_min(Q, beta), -soft_max(-Q, beta))
    torch.testing.assert_close(soft_max(Q, 1e4), Q.amax(dim=1))
    torch.testing.assert_close(soft_min(Q, 1e4), Q.amin(dim=1))
    torch.testing.assert_close(soft_max(Q, 1e-6), Q.mean(dim=1), atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("target", "desired"),
    [
        ("T-", [4.0, 0.0, -1.0]),  # the best action
        ("T+", [-1.0, 0.0, 3.0]),  # minus the worst
        ("T+-", [-3.0, 0.0, -2.0]),  # minus the gap
        ("S+", [-7.0, 0.0, 6.0]),
        ("S-", [7.0, 0.0, -6.0]),
        ("action:2", [-4.0, 0.0, 2.0]),
        ("value_high", [-4.0, 0.0, 1.0]),
        ("value_low", [4.0, 0.0, -1.0]),
    ],
)
def test_energies_of_q_values_by_hand(target, desired):
    found = energies(target, agent_of(valued=False, value_based=True), beta=1e4)
    torch.testing.assert_close(found, torch.tensor(desired))


@pytest.mark.parametrize(
    ("target", "sign"), [("T-", 1), ("T+", -1), ("S+", -1), ("S-", 1), ("value_low", 1)]
)
def test_logits_have_a_free_constant_so_that_how_good_a_state_is_is_its_value(target, sign):
    torch.testing.assert_close(energies(target, agent_of()), sign * 2 * Q.sum(dim=1))


@pytest.mark.parametrize("target", ["T+-", "uncertainty", "action:1"])
def test_targets_of_actions_do_not_notice_the_free_constant_of_logits(target):
    agent = agent_of(valued=False)
    torch.testing.assert_close(energies(target, agent), energies(target, agent, Q + 5.0))


def test_an_action_is_wanted_more_than_any_other():
    log_p = Q.log_softmax(dim=1)
    best_other = torch.stack([log_p[:, 0], log_p[:, 2]]).amax(dim=0)
    torch.testing.assert_close(energies("action:1", agent_of()), best_other - log_p[:, 1])
    # of a bit, than its opposite alone
    bits = agent_of(space=spaces.MultiBinary(3))
    torch.testing.assert_close(energies("action:3", bits), -Q[:, 1])


def test_uncertainty_is_minus_the_entropy():
    p = Q.softmax(dim=1)
    torch.testing.assert_close(energies("uncertainty", agent_of()), (p * p.log()).sum(dim=1))
    assert energies("uncertainty", agent_of())[1].item() == pytest.approx(-math.log(3))


def test_uncertainty_of_several_sub_actions_is_their_mean():
    space = spaces.MultiBinary(3)
    p = torch.sigmoid(Q)
    entropy = -(p * p.log() + (1 - p) * (1 - p).log())
    found = energies("uncertainty", agent_of(space=space))
    torch.testing.assert_close(found, -entropy.mean(dim=1))


def test_disagreement_is_the_jensen_shannon_divergence():
    agent, other = agent_of(), agent_of()
    moved = Q.flip(1)
    outputs = known(agent, Q, known(other, moved))
    found = make_target("disagreement", agent)(outputs)
    desired = jensenshannon(Q.softmax(1), moved.softmax(1), axis=1) ** 2
    np.testing.assert_allclose(-found.numpy(), desired, atol=1e-6)
    box = agent_of(space=spaces.Box(-1, 1, (3,)))
    outputs = known(box, Q, known(box, moved))
    assert make_target("disagreement", box)(outputs)[0].item() == pytest.approx(-6.0)


def test_a_function_is_a_target_and_takes_what_it_names():
    agent = agent_of()
    assert energies(lambda outputs: outputs.scores[:, 0], agent).tolist() == [1, 0, -3]

    def scaled(outputs, beta):
        return outputs.scores[:, 0] * beta

    assert energies(scaled, agent, beta=2.0).tolist() == [2, 0, -6]


def test_every_target_says_what_it_finds_and_gives_one_energy_a_state():
    agent = agent_of(valued=False, value_based=True)
    outputs = Outputs(agent, Q, other=Outputs(agent, Q.flip(1)))
    for name in TARGETS:
        assert (TARGETS[name].__doc__ or "").strip()
        assert make_target(name, agent, action=0)(outputs).shape == (3,)


def test_what_is_unsupported_is_a_one_line_error():
    without = agent_of(valued=False)
    for target in ("T-", "T+", "S+", "S-", "value_high", "value_low"):
        with pytest.raises(ExplainError, match="has no values: choose a target on its actions"):
            energies(target, without)
    box = agent_of(space=spaces.Box(-1, 1, (3,)))
    for target in ("T+-", "uncertainty"):
        with pytest.raises(ExplainError, match="actions are continuous"):
            energies(target, box)
    with pytest.raises(ExplainError, match=r"unknown target 'T-\+'; did you mean"):
        make_target("T-+", without)
    with pytest.raises(ExplainError, match="write 'action:NAME'"):
        make_target("action", without)
    with pytest.raises(ExplainError, match="unknown action 'north'"):
        make_target("action:north", without)
    with pytest.raises(ExplainError, match="give the other one"):
        energies("disagreement", without)


def test_any_other_target_is_searched_for_where_it_is_high():
    agent = agent_of(valued=False, value_based=True)
    torch.testing.assert_close(energies("0 - 2", agent), Q[:, 2] - Q[:, 0])
    torch.testing.assert_close(energies("advantage:1", agent), Q.mean(dim=1) - Q[:, 1])
    assert torch.equal(energies("1", agent), energies("action:1", agent))
