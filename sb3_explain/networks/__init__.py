"""Networks that predict masks, by name: one channel of logits per mask, at the input's size.

Images (B, n_in, H, W), scaled to [0, 1], become logits (B, n_out, H, W); vectors (B, D) become
logits (B, n_out), where n_out counts every cell of every mask.
"""
