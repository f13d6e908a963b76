"""Networks that predict masks at the input's size, by name.

Images (B, n_in, H, W), scaled to [0, 1], become logits (B, n_out, H, W) with one channel for each
mask; vectors (B, D) become logits (B, n_out), one for each feature of each mask.
"""

from __future__ import annotations

from torch import nn

from sb3_explain.common.registry import Registry

#: mask networks by name
NETWORKS: Registry[type[nn.Module]] = Registry("mask network", __name__)
