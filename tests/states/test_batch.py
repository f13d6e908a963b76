"""StateBatch reads the agent on copies as the agent reads whole states one by one."""

import numpy as np
import pytest
import torch
from gymnasium import spaces
from sb3_contrib import MaskablePPO, RecurrentPPO
from stable_baselines3 import PPO, SAC, TD3
from torch import nn

from sb3_explain.agents.agent import Agent
from sb3_explain.common.errors import ExplainError
from sb3_explain.explainers import EXPLAINERS
from sb3_explain.states.batch import StateBatch
from sb3_explain.states.cache import ForwardCache
from tests.agents.loading.models import Noise
from tests.toys import dot_agent, dot_states

VECTOR = spaces.Box(-1, 1, (4,), np.float32)
MIXED = spaces.Dict({"a": spaces.Box(-1, 1, (2, 3), np.float32), "b": VECTOR})


def agent_of(model_class, observations=VECTOR, actions=None, policy="MlpPolicy", **settings):
    env = Noise(observations, actions or spaces.Discrete(3))
    with torch.random.fork_rng():
        model = model_class(policy, env, seed=0, device="cpu", **settings)
    return Agent.from_model(model)


def vectors(n, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(n, 4)).astype(np.float32))


def test_the_recurrent_state_of_the_right_state_is_held():
    lstm = {"lstm_hidden_size": 6, "n_lstm_layers": 1}
    agent = agent_of(
        RecurrentPPO, policy="MlpLstmPolicy", n_steps=8, batch_size=8, policy_kwargs=lstm
    )
    lstm_states = torch.randn(3, 4, 1, 6, generator=torch.Generator().manual_seed(0))
    batch = StateBatch(agent, vectors(3), policy_inputs={"lstm_states": lstm_states})
    copies, states = vectors(5, seed=1), torch.tensor([2, 0, 0, 1, 2])
    together = batch.scores(copies, states)
    for row, state in enumerate(states):
        alone = agent.scores(copies[row : row + 1], lstm_states[state : state + 1])
        torch.testing.assert_close(together[row : row + 1], alone)
    forgetful = agent.scores(copies)
    assert not torch.allclose(together, forgetful)


def test_action_masks_give_what_maskable_ppo_does():
    env = Noise(VECTOR, spaces.Discrete(4))
    model = MaskablePPO("MlpPolicy", env, n_steps=8, batch_size=8, seed=0, device="cpu")
    agent = Agent.from_model(model)
    observations = vectors(200)
    masks = np.random.default_rng(1).random((200, 4)) < 0.5
    masks[:, 0] |= ~masks.any(axis=1)
    expected, _ = model.predict(observations.numpy(), deterministic=True, action_masks=masks)
    policy_inputs = {"action_masks": torch.from_numpy(masks)}
    assert np.array_equal(
        StateBatch(agent, observations, policy_inputs=policy_inputs).target, expected
    )
    assert np.array_equal(
        agent.act(observations, action_masks=policy_inputs["action_masks"]), expected
    )
    assert not np.array_equal(agent.act(observations), expected)
    assert np.array_equal(agent.greedy(observations, **policy_inputs), expected)
    with torch.no_grad():
        allowed = model.policy.get_distribution(observations, action_masks=masks).distribution
        values = model.policy.predict_values(observations)[:, 0]
    torch.testing.assert_close(agent.probabilities(observations, **policy_inputs), allowed.probs)
    torch.testing.assert_close(agent.values(observations, **policy_inputs), values)


def test_action_masks_of_bits():
    class Bits(Noise):
        def action_masks(self):
            return np.ones(6, dtype=bool)

    env = Bits(VECTOR, spaces.MultiBinary(3))
    model = MaskablePPO("MlpPolicy", env, n_steps=8, batch_size=8, seed=0, device="cpu")
    agent = Agent.from_model(model)
    observations = vectors(100)
    masks = np.random.default_rng(1).random((100, 3, 2)) < 0.6
    masks[~masks.any(axis=2)] = True
    masks = masks.reshape(100, 6)
    expected, _ = model.predict(observations.numpy(), deterministic=True, action_masks=masks)
    actions = agent.act(observations, action_masks=torch.from_numpy(masks))
    assert np.array_equal(actions, expected)
    unmasked, _ = model.predict(observations.numpy(), deterministic=True)
    assert np.array_equal(agent.act(observations), unmasked)


def test_some_keys_of_a_dict_are_replaced_and_the_others_held():
    agent = agent_of(PPO, MIXED, policy="MultiInputPolicy", n_steps=8, batch_size=8)
    whole = {"a": torch.randn(3, 2, 3), "b": vectors(3)}
    batch = StateBatch(agent, whole)
    copies, states = vectors(4, seed=1), torch.tensor([1, 1, 0, 2])
    expected = agent.scores({"a": whole["a"][states], "b": copies})
    torch.testing.assert_close(batch.scores({"b": copies}, states), expected)
    flat = torch.cat([whole["a"][states].flatten(1), copies], dim=1)
    torch.testing.assert_close(batch.scores(flat, states), expected)
    torch.testing.assert_close(batch.observations[states][:, :6], flat[:, :6])


@pytest.mark.parametrize(
    ("actions", "sizes"),
    [
        (spaces.Discrete(3), [3]),
        (spaces.MultiDiscrete([2, 3]), [2, 3]),
        (spaces.MultiBinary(2), [2, 2]),
    ],
)
def test_the_target_is_preferred_by_its_probability_in_its_group(actions, sizes):
    agent = agent_of(PPO, actions=actions, n_steps=8, batch_size=8)
    batch = StateBatch(agent, vectors(20))
    copies = vectors(20, seed=1)
    preferred, same_action = batch.preference(copies), batch.keeps(copies)
    probabilities = agent.probabilities(copies)
    for row, target in enumerate(batch.target.tolist()):
        if isinstance(actions, spaces.MultiBinary):
            on = probabilities[row, target // 2]
            expected = on if target % 2 else 1 - on
            best = expected >= 0.5
        else:
            expected = probabilities[row, target]
            first = 0 if target < sizes[0] else sizes[0]
            group = probabilities[row, first : first + sizes[target >= sizes[0]]]
            best = group.argmax() == target - first
        assert preferred[row].item() == pytest.approx(expected.item(), abs=1e-6)
        assert same_action[row] == best
    assert batch.keeps(batch.by_key).all()


@pytest.mark.parametrize("model_class", [PPO, SAC, TD3])
def test_box_actions_are_compared_by_their_divergence(model_class):
    arm = spaces.Box(np.array([-2, -1], np.float32), np.array([1, 3], np.float32))
    settings = {"n_steps": 8, "batch_size": 8} if model_class is PPO else {"buffer_size": 10}
    agent = agent_of(model_class, actions=arm, **settings)
    batch, copies = StateBatch(agent, vectors(6)), vectors(6, seed=1)
    assert batch.preference(batch.by_key).tolist() == pytest.approx([1.0] * 6, abs=1e-5)
    ours = batch.similarity(copies)
    view = agent.view
    means, own = view.scores(copies, None), view.scores(vectors(6), None)
    std, own_std = view.std(copies, None), view.std(vectors(6), None)
    if model_class is SAC:
        means, own = torch.atanh(means), torch.atanh(own)
    if model_class is TD3:  # a tenth of the range of its scores, which is that of the tanh
        std = own_std = torch.full_like(means, 0.2)
    normal = torch.distributions.Normal
    expected = -torch.distributions.kl_divergence(normal(means, std), normal(own, own_std))
    torch.testing.assert_close(ours, expected, atol=1e-4, rtol=1e-4)


def test_a_reading_of_equal_states_is_made_once_and_its_cost_is_counted():
    agent = Agent.from_module(nn.Linear(4, 2), VECTOR, spaces.Discrete(2))
    batch = StateBatch(agent, vectors(10), target=1, cache=ForwardCache())

    def read(states):
        return states.read_once("scores", lambda: states.scores(states.observations))

    first = read(batch)
    assert (
        read(batch.with_target(0)) is first and read(batch.with_observations(vectors(10))) is first
    )
    assert agent.forwards == 10 and batch.cache.saved.forwards == 20
    assert read(batch.with_cache(ForwardCache())) is not first
    assert not torch.equal(read(batch.with_observations(vectors(10, seed=3))), first)
    parts = batch.split(4)
    assert [len(part) for part in parts] == [4, 4, 2]
    assert torch.equal(torch.cat([read(part) for part in parts]), first)
    assert agent.forwards == 40  # parts are other states than the whole
    assert read(batch.split(4)[1]) is read(parts[1])


def test_mistakes_are_one_line():
    agent = Agent.from_module(nn.Linear(4, 2), VECTOR, spaces.Discrete(2))
    with pytest.raises(ExplainError, match="no target of this agent"):
        StateBatch(agent, vectors(3), target=2)
    with pytest.raises(ExplainError, match="one for each state"):
        StateBatch(agent, vectors(3), target=torch.tensor([0, 1]))
    with pytest.raises(ExplainError, match="no state"):
        StateBatch(agent, vectors(0))


def test_parts_of_a_split_explain_what_the_whole_does():
    agent = dot_agent()
    batch = StateBatch(agent, dot_states(agent, 20).observations(range(20)), target=0)
    other = batch.with_target(torch.arange(20) % 3)
    assert torch.equal(torch.cat([part.target for part in other.split(8)]), torch.arange(20) % 3)
    assert not torch.cat([part.target for part in batch.split(8)]).any()


@pytest.mark.parametrize(
    ("observations", "words"),
    [
        (torch.zeros(4), "of shape (4,) do not fit"),  # one state, no batch
        (torch.zeros(2, 3), "of shape (2, 3) do not fit"),
        ({"a": torch.zeros(2, 4)}, "one batch-first tensor"),
        (torch.zeros(0, 4), "at least one"),
        (torch.tensor([[0.0, 0.0, torch.nan, 0.0]]), "NaN"),
        (torch.tensor([[0.0, 0.0, torch.inf, 0.0]]), "NaN"),
    ],
)
def test_what_the_agent_cannot_observe_is_refused(observations, words):
    agent = agent_of(PPO)
    with pytest.raises(ExplainError) as refusal:
        StateBatch(agent, observations, target=0)
    assert words in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert agent.forwards == 0


def test_a_dict_without_a_key_is_refused():
    agent = agent_of(PPO, MIXED, policy="MultiInputPolicy")
    with pytest.raises(ExplainError, match=r"a dict of \['a', 'b'\]"):
        StateBatch(agent, {"b": vectors(2)}, target=0)


def test_arrays_are_taken_as_tensors():
    agent = agent_of(PPO)
    batch = StateBatch(agent, vectors(3).numpy())
    assert torch.equal(batch.own_target_scores, StateBatch(agent, vectors(3)).own_target_scores)
    agent = agent_of(PPO, MIXED, policy="MultiInputPolicy")
    arrays = {"a": np.zeros((2, 2, 3), np.float32), "b": np.ones((2, 4))}
    assert StateBatch(agent, arrays).by_key["b"].dtype == torch.float64


@pytest.mark.parametrize("target", [1.5, torch.tensor([0.0, 1.0, 2.0]), True])
def test_a_target_that_is_no_index_is_refused(target):
    with pytest.raises(ExplainError, match="give one index or name, or one for each state"):
        StateBatch(agent_of(PPO), vectors(3), target)


def test_the_target_that_does_not_exist_is_named():
    with pytest.raises(ExplainError, match="target -1 is no target of this agent, which has 3"):
        StateBatch(agent_of(PPO), vectors(3), torch.tensor([0, -1, 2]))


def test_policy_inputs_of_other_states_are_refused():
    masks = torch.ones(4, 3)
    with pytest.raises(ExplainError, match="action_masks of 4 states for 3"):
        StateBatch(agent_of(PPO), vectors(3), policy_inputs={"action_masks": masks})


def test_of_a_box_action_magnitudes_say_what_matters():
    attributions = torch.tensor([[0.5, -3.0, 0.0, 1.0]])
    box = agent_of(PPO, actions=spaces.Box(-1, 1, (2,), np.float32))
    assert StateBatch(box, vectors(1)).get_relevance(attributions).tolist() == [
        [0.5, 3.0, 0.0, 1.0]
    ]
    assert (
        StateBatch(agent_of(PPO), vectors(1)).get_relevance(attributions).tolist()
        == attributions.tolist()
    )


def test_infinite_scores_of_forbidden_actions_are_as_maskable_ppo_has_them():
    """Greydanus and SARFA take differences of scores, which would be NaN."""

    class Forbidding(nn.Module):
        def forward(self, images):
            bright = images.flatten(1).mean(dim=1)
            return torch.stack([bright, -bright, torch.full_like(bright, -torch.inf)], dim=1)

    space = spaces.Box(0, 255, (1, 9, 9), np.uint8)
    agent = Agent.from_module(Forbidding(), space, spaces.Discrete(3), value_based=True)
    images = torch.rand(2, 1, 9, 9, generator=torch.Generator().manual_seed(0)) * 255
    assert agent.scores(images)[:, 2].tolist() == [-1e8, -1e8]
    torch.testing.assert_close(agent.values(images), images.mean(dim=(1, 2, 3)))
    for name in ("greydanus", "sarfa"):
        assert EXPLAINERS[name](agent).attribute(images).isfinite().all()
