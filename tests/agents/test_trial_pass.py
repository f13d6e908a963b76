"""A policy is tried out with gradients, whatever its caller switched off, and nothing stays."""

import pytest
import torch
from torch import nn

from sb3_explain.agents.trial_pass import trial_pass


@pytest.mark.parametrize("switched", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_there_are_gradients_in_it_and_afterwards_what_was(switched):
    policy = nn.Linear(3, 2, dtype=torch.float64)
    with switched():
        before = torch.is_grad_enabled(), torch.is_inference_mode_enabled()
        with trial_pass(policy) as like:
            assert torch.is_grad_enabled() and not torch.is_inference_mode_enabled()
            shown = torch.ones(1, 3, dtype=like.dtype, device=like.device, requires_grad=True)
            policy(shown).sum().backward()
        assert (torch.is_grad_enabled(), torch.is_inference_mode_enabled()) == before
    torch.testing.assert_close(shown.grad[0], policy.weight.detach().sum(dim=0))


def test_what_the_policy_is_shown_is_of_its_type():
    with trial_pass(nn.Linear(2, 2, dtype=torch.float16)) as like:
        assert like.dtype == torch.float16
    with trial_pass(nn.ReLU()) as like:  # without parameters
        assert like.dtype == torch.float32 and like.device.type == "cpu"


@pytest.mark.parametrize("fails", [False, True])
def test_the_random_numbers_go_on_as_if_it_had_not_been(fails):
    policy = nn.Linear(2, 2)
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    try:
        with trial_pass(policy):
            torch.rand(100)
            if fails:
                raise RuntimeError("the policy refuses")
    except RuntimeError:
        assert fails
    assert torch.equal(torch.rand(4), expected)
