"""What every explainer of the registry keeps to, for every kind of agent."""

import functools

import numpy as np
import pytest
import torch

from sb3_explain.common.errors import ExplainError
from sb3_explain.envs.spaces import join_keys
from sb3_explain.explainers import EXPLAINERS
from sb3_explain.states.batch import StateBatch
from tests.explainers.kinds import KINDS, agent_of, quick, states_of, table

N = 3


@functools.cache
def explainer_of(name, kind):
    """Ready to explain; a line why not, if it does not support this agent."""
    try:
        return quick(name, agent_of(kind), states_of(kind))
    except ExplainError as refusal:
        return str(refusal)


def batch_of(kind, target=None, rows=slice(0, N)):
    states = states_of(kind)
    positions = np.arange(len(states))[rows]
    observed, policy_inputs = states.observations(positions), states.policy_inputs(positions)
    return StateBatch(agent_of(kind), observed, target, policy_inputs)


def frozen(agent):
    """All of an agent that no call may change, and the random states."""
    policy = agent.view.policy
    hooks = [
        (len(m._forward_hooks), len(m._forward_pre_hooks), len(m._backward_hooks))
        for m in policy.modules()
    ]
    asked = [(p.requires_grad, p.grad is None) for p in policy.parameters()]
    modes = [module.training for module in policy.modules()]
    chance = torch.get_rng_state().tolist(), np.random.get_state()[1].tolist()  # noqa: NPY002
    return agent.fingerprint(), hooks, asked, modes, chance


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", EXPLAINERS)
def test_contract(name, kind):
    agent, explainer = agent_of(kind), explainer_of(name, kind)
    reason = EXPLAINERS[name].unsupported(agent)
    if isinstance(explainer, str):
        refused, _, instead = explainer.partition("; ")
        assert refused == f"{name} does not support this agent: {reason}"
        assert reason and "\n" not in reason
        assert EXPLAINERS[instead.partition(" does")[0]].unsupported(agent) is None
        return
    assert reason is None and explainer.name == name

    batch = batch_of(kind)
    target = batch.target
    given = {key: states.clone() for key, states in batch.by_key.items()}
    before, forwards = frozen(agent), agent.forwards
    attributions = explainer.attribute_batch(batch)
    assert agent.forwards - forwards == N * explainer.forwards_per_state
    assert frozen(agent) == before
    assert all(torch.equal(batch.by_key[key], states) for key, states in given.items())

    assert list(attributions) == list(given)
    for key, found in attributions.items():
        assert found.shape == given[key].shape and found.dtype == torch.float32
        assert not found.requires_grad and found.isfinite().all()
        if explainer.gives_masks:
            assert found.min() >= 0 and found.max() <= 1

    alone = batch_of(kind, target[1:2], slice(1, 2))
    every = explainer.attribute_all(join_keys(given), policy_inputs=batch.policy_inputs)
    every = every if isinstance(every, dict) else {"": every}
    for key, found in explainer.attribute_batch(alone).items():
        scale = float(attributions[key].abs().max())
        # what is searched for step by step carries rounding errors on
        searched = 10 if name == "visionmask" else 1
        close = {"atol": searched * (1e-5 * scale + 1e-9), "rtol": searched * 1e-4}
        torch.testing.assert_close(found[0], attributions[key][1], **close)
        assert every[key].shape == (N, agent.n_targets, *given[key].shape[1:])
        own = every[key][torch.arange(N), target]
        torch.testing.assert_close(own, attributions[key], **close)


@pytest.mark.parametrize("name", EXPLAINERS)
def test_a_target_that_does_not_exist_is_one_line(name):
    kind = "sgqn" if name == "sgqn" else "image and vector"
    explainer, batch = explainer_of(name, kind), batch_of(kind)
    for target in (4, -1, torch.tensor([0, 9, 1])):
        with pytest.raises(ExplainError, match=r"^target .* is no target of this agent") as refusal:
            explainer.attribute(batch.observations if name == "sgqn" else batch.by_key, target)
        assert "\n" not in str(refusal.value)


def test_the_table_has_every_explainer():
    rows = [line.split("|") for line in table().splitlines() if line.startswith("| `")]
    assert [row[1].strip(" `") for row in rows] == [*EXPLAINERS, *EXPLAINERS]
    assert all(pixel.strip() == "yes" or "(" in pixel for row in rows for pixel in row[2:-1])
