"""Attention weights and rollout equal computations by hand; capturing changes nothing."""

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn
from torch.nn.functional import scaled_dot_product_attention

from sb3_explain import Agent, ExplainError, attention
from sb3_explain.agents.attention import CaptureAttention, compute_weights

TOKENS, SIZE, HEADS, B = 5, 8, 2, 3
SPACE = spaces.Box(-1, 1, (TOKENS, 3), np.float32)


class Encoder(nn.Module):
    """Tokens of three numbers, two layers of a transformer, and two scores."""

    def __init__(self, **options):
        super().__init__()
        torch.manual_seed(0)
        self.embed = nn.Linear(3, SIZE)
        layer = nn.TransformerEncoderLayer(SIZE, HEADS, 16, batch_first=True, **options)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        for parameter in self.encoder.parameters():
            nn.init.normal_(parameter, std=0.5)
        self.head = nn.Linear(SIZE, 2)

    def forward(self, observations):
        return self.head(self.encoder(self.embed(observations)).mean(dim=1))


class Own(nn.Module):
    """Attention by the function, called twice in one module, as some policies write it."""

    def forward(self, tokens):
        heads = tokens[:, None]
        once = scaled_dot_product_attention(heads, heads, heads)
        return scaled_dot_product_attention(once, once, once, is_causal=True)[:, 0, :, :2].mean(1)


def make_agent(net, **options):
    return Agent.from_module(net, SPACE, spaces.Discrete(2), **options)


@pytest.fixture(scope="module")
def agent():
    return make_agent(Encoder())


@pytest.fixture(scope="module")
def observations():
    return torch.as_tensor(np.random.default_rng(0).normal(size=(B, TOKENS, 3)), dtype=torch.float)


@pytest.mark.parametrize("norm_first", [False, True])
def test_weights_are_those_that_the_layers_return_when_asked(observations, norm_first):
    agent = make_agent(Encoder(norm_first=norm_first))
    found = attention(agent, observations)
    net = agent.view.policy
    names = [f"encoder.layers.{i}.self_attn" for i in range(2)]
    assert list(found.weights) == names
    tokens = net.embed(observations)
    for name, layer in zip(names, net.encoder.layers, strict=True):
        seen = layer.norm1(tokens) if norm_first else tokens
        _, expected = layer.self_attn(seen, seen, seen, average_attn_weights=False)
        torch.testing.assert_close(found[name], expected, rtol=1e-4, atol=1e-6)
        tokens = layer(tokens)
    assert found[names[0]].shape == (B, HEADS, TOKENS, TOKENS)


def test_rollout_equals_a_computation_in_numpy(agent, observations):
    found = attention(agent, observations)
    expected = np.tile(np.eye(TOKENS), (B, 1, 1))
    for weights in found.weights.values():
        for b in range(B):
            mixed = np.zeros((TOKENS, TOKENS))
            for i in range(TOKENS):
                row = np.array([np.mean([w[i, j] for w in weights[b]]) for j in range(TOKENS)])
                row[i] += 1
                mixed[i] = row / row.sum()
            expected[b] = mixed @ expected[b]
    np.testing.assert_allclose(found.rollout(), expected, rtol=1e-5)
    np.testing.assert_allclose(found.rollout().sum(dim=-1), 1, rtol=1e-5)
    last = list(found.weights)[1]
    one = found.rollout([last])
    np.testing.assert_allclose(one, (found[last].mean(1) + torch.eye(TOKENS)) / 2, rtol=1e-5)


def test_what_the_policy_computes_is_the_same_to_the_bit(agent, observations):
    policy, seen = agent.view.policy, observations.clone().requires_grad_()
    expected = policy(seen)
    (slope,) = torch.autograd.grad(expected[:, 0].sum(), seen)
    with CaptureAttention(policy):
        captured = policy(seen)
    assert torch.equal(captured, expected)
    assert torch.equal(torch.autograd.grad(captured[:, 0].sum(), seen)[0], slope)
    own = Own()
    with CaptureAttention(own):
        captured = own(observations)
    assert torch.equal(captured, own(observations))


def test_everything_is_restored_also_after_an_error(agent, observations):
    policy = agent.view.policy
    expected = policy(observations)
    with pytest.raises(RuntimeError), CaptureAttention(policy) as captured:
        policy(observations[..., :2])
    assert not captured.weights
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in policy.modules())
    attention(agent, observations)
    assert torch.equal(policy(observations), expected)


def test_the_function_is_captured_each_time_that_a_module_calls_it(observations):
    found = attention(make_agent(Own()), observations)
    assert list(found.weights) == ["policy", "policy (2)"]
    logits = observations @ observations.transpose(1, 2) / 3**0.5
    torch.testing.assert_close(found["policy"][:, 0], logits.softmax(dim=-1))
    assert (found["policy (2)"][:, 0].triu(1) == 0).all()  # causal


@pytest.mark.parametrize(
    "options",
    [{}, {"is_causal": True}, {"scale": 0.3}, {"mask": "bool"}, {"mask": "float"}, {"gqa": True}],
)
def test_weights_times_values_are_what_the_function_returns(options):
    options, generator = dict(options), torch.Generator().manual_seed(0)
    kind, gqa = options.pop("mask", ""), options.pop("gqa", False)
    query = torch.randn(2, 4, 5, 6, generator=generator)
    key, value = torch.randn(2, 2, 2 if gqa else 4, 5, 6, generator=generator)
    if kind:
        mask = torch.randn(5, 5, generator=generator)
        options["attn_mask"] = mask if kind == "float" else (mask > 0) | torch.eye(5).bool()
    if gqa:
        options["enable_gqa"] = True
    expected = scaled_dot_product_attention(query, key, value, **options)
    weights = compute_weights(query, key, value, **options)
    values = value.repeat_interleave(2, dim=1) if gqa else value
    torch.testing.assert_close(weights @ values, expected)


def test_mistakes_end_in_one_line(agent, observations):
    with pytest.raises(ExplainError, match="this agent has no attention that could be read"):
        attention(make_agent(nn.Sequential(nn.Flatten(), nn.Linear(15, 2))), observations)
    found = attention(agent, observations)
    with pytest.raises(ExplainError, match=r"did you mean 'encoder\.layers\.0\.self_attn'"):
        found["encoder.layers.0"]
    with pytest.raises(ExplainError, match="unknown attention layer 'x'"):
        found.rollout(["x"])
    with pytest.raises(ExplainError, match="there is no state 3: give one of 0 to 2"):
        found.plot(3)


class Pooled(nn.Module):
    """A query that attends to all tokens: no layer from tokens to the same tokens."""

    def __init__(self):
        super().__init__()
        self.attend = nn.MultiheadAttention(3, 1)
        self.head = nn.Linear(3, 2)

    def forward(self, observations):
        tokens = observations.transpose(0, 1)  # not batch-first
        return self.head(self.attend(tokens[:1], tokens, tokens)[0][0])


def test_a_layer_that_pools_has_weights_and_no_rollout(observations):
    found = attention(make_agent(Pooled()), observations)
    assert found["attend"].shape == (B, 1, 1, TOKENS)
    with pytest.raises(ExplainError, match="attend 1 x 5: name some with layers"):
        found.rollout()
    assert found.plot()[1:4] == b"PNG"


def test_frames_that_are_rows_of_their_own_are_refused():
    class Rows(Own):
        def forward(self, tokens):
            return super().forward(tokens.reshape(-1, 1, 3)).reshape(len(tokens), -1, 2).mean(1)

    with pytest.raises(ExplainError, match="only attention within each state"):
        attention(make_agent(Rows()), torch.zeros(2, TOKENS, 3))
