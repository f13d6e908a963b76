"""Literal expressions: what the zoo writes, against Python's own reading of it."""

import torch
from hypothesis import given
from hypothesis import strategies as st
from stable_baselines3.common.sb2_compat.rmsprop_tf_like import RMSpropTFLike
from stable_baselines3.common.torch_layers import NatureCNN
from torch import nn

from sb3_explain.agents.loading.expressions import OPTIMIZERS, read_class, read_expression

literals = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3)
    | st.tuples(inner, inner)
    | st.dictionaries(st.text(max_size=5) | st.integers(), inner, max_size=3),
    max_leaves=12,
)  # fmt: skip


@given(literals)
def test_literals_are_read_as_python_reads_them(value):
    assert read_expression(repr(value), "it") == value


def test_what_the_zoo_writes():
    text = """dict(
        net_arch=[dict(pi=[64, 64], vf=[64, 64])], activation_fn=nn.ReLU, log_std_init=-2,
        ortho_init=False, n_quantiles=2 * 5, eps=1 / 4, optimizer_class=RMSpropTFLike
    )"""
    assert read_expression(text, "policy_kwargs") == {
        "net_arch": [{"pi": [64, 64], "vf": [64, 64]}],
        "activation_fn": nn.ReLU,
        "log_std_init": -2,
        "ortho_init": False,
        "n_quantiles": 10,
        "eps": 0.25,
        "optimizer_class": RMSpropTFLike,
    }
    assert read_expression("{'norm_obs': True, 'norm_reward': False}", "normalize") == {
        "norm_obs": True,
        "norm_reward": False,
    }


def test_names_are_known_by_their_usual_spellings():
    for text in ("nn.Tanh", "th.nn.Tanh", "torch.nn.Tanh", "torch.nn.modules.activation.Tanh"):
        assert read_expression(text, "it") is nn.Tanh
    assert read_expression("th.optim.Adam", "it") is torch.optim.Adam
    assert torch.optim.SGD in OPTIMIZERS


def test_classes_are_known_by_their_repr():
    for known in (nn.ReLU, nn.ELU, NatureCNN, RMSpropTFLike):
        assert read_class(repr(known), "it") is known
