"""Networks that predict masks, by name: one channel of logits per mask, at the input's size.

Images (B, n_in, H, W), scaled to [0, 1], become logits (B, n_out, H, W); vectors (B, D) become
logits (B, n_out), where n_out counts every cell of every mask.
"""

from __future__ import annotations

from torch import nn

from sb3_explain.common.registry import Registry

#: mask networks by name
NETWORKS: Registry[type[nn.Module]] = Registry("mask network", __name__)
