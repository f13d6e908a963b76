"""Targets by index, name and function, against what Stable-Baselines3 itself answers."""

import numpy as np
import pytest
import torch
from gymnasium import spaces
from sb3_contrib import QRDQN, TQC, MaskablePPO, RecurrentPPO
from stable_baselines3 import DQN, PPO, SAC, TD3
from torch import nn

from sb3_explain.agents.agent import Agent
from sb3_explain.agents.targets import find
from sb3_explain.agents.targets.find import find_action, find_target, list_target_names, name_search
from sb3_explain.common.errors import ExplainError
from sb3_explain.states.batch import StateBatch
from tests.agents.loading.models import Noise

VECTOR = spaces.Box(-1, 1, (4,), np.float32)
NAMES = ["LEFT", "STAY", "RIGHT"]


def models(algorithm, actions=None, policy="MlpPolicy", names=NAMES, **settings):
    env = Noise(VECTOR, actions or spaces.Discrete(3))
    with torch.random.fork_rng():
        model = algorithm(policy, env, seed=3, device="cpu", **settings)
    return model, Agent.from_model(model, action_names=names, self_check=False)


def rows(n=5, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(n, 4)).astype(np.float32))


def read(agent, target, observations, **policy_inputs):
    batch = StateBatch(agent, observations, target, policy_inputs)
    scores = batch.target_scores(batch.by_key)
    return scores.gather(1, batch.target[:, None])[:, 0].detach()


PPOS = {"n_steps": 8, "batch_size": 8}
BOX = spaces.Box(-1, 1, (2,))


def test_value_and_entropy_of_ppo():
    model, agent = models(PPO, **PPOS)
    observed = rows()
    with torch.no_grad():
        values = model.policy.predict_values(observed)[:, 0]
        entropies = model.policy.get_distribution(observed).entropy()
    torch.testing.assert_close(read(agent, "value", observed), values)
    torch.testing.assert_close(read(agent, "entropy", observed), entropies)
    assert list_target_names(agent) == [*NAMES, "value", "entropy"]


@pytest.mark.parametrize("space", [spaces.MultiDiscrete([2, 3]), spaces.MultiBinary(3), BOX])
def test_entropy_of_several_sub_actions_is_their_sum(space):
    model, agent = models(PPO, space, names=None, **PPOS)
    observed = rows()
    with torch.no_grad():
        entropies = model.policy.get_distribution(observed).entropy()
    torch.testing.assert_close(read(agent, "entropy", observed), entropies)


def test_entropy_with_action_masks():
    model, agent = models(MaskablePPO, **PPOS)
    observed = rows()
    masks = torch.tensor([[1, 1, 0], [1, 1, 1], [0, 1, 0], [0, 1, 1], [1, 0, 1]])
    with torch.no_grad():
        distribution = model.policy.get_distribution(observed, action_masks=masks.numpy())
    found = read(agent, "entropy", observed, action_masks=masks)
    torch.testing.assert_close(found, distribution.entropy(), atol=1e-5, rtol=0)


def test_value_of_a_recurrent_agent_knows_its_state():
    lstm = {"lstm_hidden_size": 6, "n_lstm_layers": 1}
    model, agent = models(RecurrentPPO, policy="MlpLstmPolicy", policy_kwargs=lstm, **PPOS)
    observed = rows(3)
    held = torch.randn(3, 4, 1, 6, generator=torch.Generator().manual_seed(0))
    states = held.permute(1, 2, 0, 3).contiguous()
    with torch.no_grad():
        values = model.policy.predict_values(observed, (states[2], states[3]), torch.zeros(3))
    found = read(agent, "value", observed, lstm_states=held)
    torch.testing.assert_close(found, values[:, 0])


@pytest.mark.parametrize("algorithm", [DQN, QRDQN])
def test_q_values_and_advantages(algorithm):
    model, agent = models(algorithm, buffer_size=10)
    observed = rows()
    with torch.no_grad():
        if algorithm is DQN:
            q = model.q_net(observed)
        else:
            q = model.policy.quantile_net(observed).mean(dim=1)
    torch.testing.assert_close(read(agent, "q:RIGHT", observed), q[:, 2])
    torch.testing.assert_close(read(agent, "value", observed), q.max(dim=1).values)
    torch.testing.assert_close(read(agent, "advantage:STAY", observed), q[:, 1] - q.mean(dim=1))
    torch.testing.assert_close(read(agent, "q:LEFT - q:RIGHT", observed), q[:, 0] - q[:, 2])
    # its Q-value is the action's score, by which an index explains it
    assert find_target(agent, "q:right") == find_target(agent, "Q:RIGHT") == 2
    assert torch.equal(
        read(agent, "Advantage:stay", observed), read(agent, "advantage:STAY", observed)
    )


@pytest.mark.parametrize("algorithm", [SAC, TD3, TQC])
def test_each_critic_of_the_action(algorithm):
    model, agent = models(algorithm, BOX, names=["pull", "push"], buffer_size=10)
    observed = rows()
    with torch.no_grad():
        acted = model.policy._predict(observed, deterministic=True)
        critics = model.critic(observed, acted)
    for number in range(2):
        expected = critics[:, number].mean(dim=1) if algorithm is TQC else critics[number][:, 0]
        torch.testing.assert_close(read(agent, f"critic{number + 1}", observed), expected)
    smallest = torch.stack([read(agent, f"critic{i}", observed) for i in (1, 2)]).amin(dim=0)
    torch.testing.assert_close(read(agent, "value", observed), smallest)
    torch.testing.assert_close(read(agent, "push - pull", observed), acted[:, 1] - acted[:, 0])
    with pytest.raises(ExplainError, match="unknown critic 'critic3'; did you mean 'critic"):
        find_target(agent, "critic3")


def test_entropy_of_sac_is_that_of_the_normal_distribution_and_td3_has_none():
    model, agent = models(SAC, BOX, names=None, buffer_size=10)
    observed = rows()
    with torch.no_grad():
        mean, log_std, _ = model.actor.get_action_dist_params(observed)
        expected = torch.distributions.Normal(mean, log_std.exp()).entropy().sum(dim=1)
    torch.testing.assert_close(read(agent, "entropy", observed), expected)
    _, without = models(TD3, BOX, names=None, buffer_size=10)
    with pytest.raises(ExplainError, match="acts without noise"):
        read(without, "entropy", observed)


class Table(nn.Module):
    """Scores are the first three features; the value is the fourth."""

    def __init__(self, valued=True):
        super().__init__()
        self.one = nn.Parameter(torch.ones(()))
        self.valued = valued

    def forward(self, observations):
        scores = self.one * observations[:, :3]
        return (scores, observations[:, 3]) if self.valued else scores


def table(names=NAMES, **settings):
    return Agent.from_module(
        Table(**settings), VECTOR, spaces.Discrete(3), action_names=names, self_check=False
    )


def test_names_indices_and_functions_mean_the_same():
    agent, observed = table(), rows()
    for target in ("LEFT", "left", " Left ", "0", 0, np.int64(0), torch.tensor(0)):
        assert StateBatch(agent, observed, target).target.tolist() == [0] * 5
        assert StateBatch(agent, observed, target).scalar is None
    mixed = StateBatch(agent, observed, ["LEFT", "RIGHT", 1, "0", "right"])
    assert mixed.target.tolist() == [0, 2, 1, 0, 2]
    assert mixed.name_targets() == ["LEFT", "RIGHT", "STAY", "LEFT", "RIGHT"]
    by_name = read(agent, "LEFT - RIGHT", observed)
    by_function = read(agent, lambda outputs: outputs.scores[:, 0] - outputs.scores[:, 2], observed)
    assert torch.equal(by_name, observed[:, 0] - observed[:, 2])
    assert torch.equal(by_name, by_function)
    batch = StateBatch(agent, observed, "LEFT - RIGHT")
    assert batch.name_targets() == ["LEFT - RIGHT"] * 5
    assert batch.with_target("STAY").scalar is None
    assert [part.scalar for part in batch.split(2)] == [batch.scalar] * 3
    assert torch.equal(batch.own_target_scores[:, 0], by_name)


def test_a_contrast_may_be_of_names_with_a_minus_and_of_any_targets():
    agent, observed = table(["up - fast", "up", "fast"]), rows()
    assert find_target(agent, "up - fast") == 0
    found = read(agent, "up - fast - fast", observed)
    assert torch.equal(found, observed[:, 0] - observed[:, 2])
    assert torch.equal(read(agent, "value - up", observed), observed[:, 3] - observed[:, 1])


def test_energies_of_probing_are_explained_with_the_other_sign():
    agent, observed = table(), rows()
    assert torch.equal(read(agent, "value_low", observed), -observed[:, 3])
    assert find_target(agent, "action:STAY") == 1


def test_any_case_means_the_same_target():
    agent, observed = table(), rows()
    for target in ("value", "value_low", "T-"):
        for other in (target.upper(), target.lower(), target.title()):
            assert torch.equal(read(agent, other, observed), read(agent, target, observed))
            assert find_target(agent, other).is_same(find_target(agent, target))
    assert torch.equal(read(agent, "Value - left", observed), observed[:, 3] - observed[:, 0])
    assert find_target(agent, "Action:stay") == 1 == find_target(agent, "ACTION:STAY")
    assert name_search(agent, "T+-".lower()) == "T+-"
    with pytest.raises(ExplainError, match="'critic1' needs critics"):
        find_target(agent, "Critic1")


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("LEEFT", "unknown target 'LEEFT'; did you mean 'LEFT'?"),
        ("leeft", "unknown target 'leeft'; did you mean 'LEFT'?"),
        ("valeu", "did you mean 'value'?"),
        ("LEEFT - RIGHT", "unknown target 'LEEFT'; did you mean 'LEFT'?"),
        ("LEFT - RIHGT", "unknown target 'RIHGT'; did you mean 'RIGHT'?"),
        ("left vs right", "unknown target 'left vs right'; did you mean 'left - right'?"),
        ("LEFT and not STAY", "did you mean 'LEFT - STAY'?"),
        ("LEFT or LEEFT", "did you mean 'LEFT'?"),
        ("q:LEFT", r"needs Q-values of actions, and this agent \(module\) has none"),
        ("advantage:LEFT", "needs Q-values of actions"),
        ("advantage", "target='advantage' names no action: give one, such as 'advantage:LEFT'"),
        ("q:", "names no action: give one, such as 'q:LEFT'"),
        ("critic1", "needs critics"),
        ("7", "unknown target '7'"),
        (7, "target 7 is no target of this agent, which has 3: LEFT, STAY, RIGHT"),
        (["LEFT"] * 4, "give one index or name, or one for each state"),
        (["LEFT"] * 4 + ["value"], "value is no action: give one of LEFT, STAY, RIGHT .a list"),
        (1.5, "give one index or name"),
    ],
)
def test_what_is_no_target_is_a_line(target, said):
    with pytest.raises(ExplainError, match=said):
        StateBatch(table(), rows(), target)


def test_a_contrast_may_be_written_without_blanks():
    agent, observed = table(), rows()
    found = find_target(agent, "left-RIGHT")
    assert found.name == "left - RIGHT"
    assert torch.equal(read(agent, "left-RIGHT", observed), read(agent, "LEFT - RIGHT", observed))
    assert torch.equal(read(agent, "value-STAY", observed), read(agent, "value - STAY", observed))
    for unknown in ("left-rihgt", "left-", "-", "left-right-stay"):
        with pytest.raises(ExplainError, match="unknown target"):
            find_target(agent, unknown)


def test_actions_that_nobody_named_are_said_to_have_no_names():
    agent = table(names=None)
    with pytest.raises(ExplainError, match=r"unknown target 'LEFT': nobody named this agent's"):
        find_target(agent, "LEFT")
    with pytest.raises(ExplainError, match="did you mean 'value'"):
        find_target(agent, "valeu")


def test_an_output_that_does_not_exist_names_the_nearest():
    def risk(outputs):
        return outputs.probabilities[:, 0]

    with pytest.raises(ExplainError) as raised:
        read(table(), risk, rows())
    assert str(raised.value).startswith(
        "risk: unknown output 'probabilities'; did you mean 'log_probabilities'? (known: "
    )

    def other(outputs):
        return outputs.scores.nothing

    with pytest.raises(ExplainError, match="the target other raised AttributeError"):
        read(table(), other, rows())


def test_what_is_no_q_value_names_the_nearest_action():
    _, agent = models(DQN, buffer_size=10)
    with pytest.raises(ExplainError, match="unknown action 'LEEFT'; did you mean 'LEFT'"):
        find_target(agent, "q:LEEFT")
    assert "advantage:STAY" in list_target_names(agent)


def wrong_shape(outputs):
    return outputs.scores


def number(outputs):
    return 1.0


def whole(outputs):
    return outputs.scores.argmax(dim=1)


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (wrong_shape, r"the target wrong_shape returned torch.float32 of shape \(5, 3\)"),
        (number, "the target number returned float: return a tensor"),
        (whole, "the target whole returned torch.int64"),
    ],
)
def test_a_function_returns_one_number_for_each_state(function, said):
    with pytest.raises(ExplainError, match=said):
        read(table(), function, rows())


def test_what_has_no_values_says_so():
    with pytest.raises(ExplainError, match="returns scores alone"):
        read(table(valued=False), "value", rows())


def test_what_needs_an_action_says_so():
    batch = StateBatch(table(), rows(), "value")
    for ask in (batch.preference, batch.divergence, batch.keeps):
        with pytest.raises(ExplainError, match="value is no action, and has no probability"):
            ask(batch.by_key)
    with pytest.raises(ExplainError, match="value is no action"):
        batch.margin()
    with pytest.raises(ExplainError, match="value is no action"):
        find_action(batch.agent, "value")


def test_an_action_of_a_quantitys_name_is_explained_and_said(caplog):
    _, agent = models(PPO, names=["value", "STAY", "RIGHT"], **PPOS)
    find._warn_of_action.cache_clear()
    assert find_target(agent, "value") == 0
    assert "'value' is an action of this agent, which is explained" in caplog.text
    assert list_target_names(agent) == ["value", "STAY", "RIGHT", "entropy"]
    caplog.clear()
    assert find_target(agent, "value") == 0 and not caplog.records  # said once
    model_value = read(agent, lambda outputs: outputs.value, rows())
    assert not torch.equal(model_value, read(agent, "value", rows()))
