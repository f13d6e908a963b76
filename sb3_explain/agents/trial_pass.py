"""The conditions in which a policy is tried out, whatever its caller has switched on or off."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


@contextmanager
def trial_pass(policy: nn.Module) -> Iterator[Tensor]:
    """Switch gradients on, also inside of inference mode, and restore torch's random states.

    :param policy: policy that is passed in the ``with`` block
    :return: a tensor of the type and on the device of what the policy is shown
    """
    like = next(policy.parameters(), torch.zeros(()))
    cuda = [like.device] if like.device.type == "cuda" else []
    with torch.inference_mode(False), torch.enable_grad(), torch.random.fork_rng(devices=cuda):
        yield like
