"""Random damage to every kind of file: an error of one line, or an agent that still works."""

import numpy as np
import torch

from sb3_explain.common.errors import ExplainError


def test_damage_anywhere_is_one_line_or_harmless(folder):
    """Random damage to every file: an error of one line, or an agent that still works."""
    rng = np.random.default_rng(0)
    files = [folder.statistics] * 150 + [folder.zip] * 60
    files += [folder.stored / "config.yml", folder.stored / "args.yml"] * 30
    for path in files:
        good = path.read_bytes()
        bad = bytearray(good)
        for _ in range(rng.integers(1, 6)):
            bad[rng.integers(len(bad))] = rng.integers(256)
        path.write_bytes(bad[: rng.integers(len(bad))] if rng.random() < 0.3 else bad)
        try:
            agent = folder.load()
            agent.scores(torch.zeros(1, 4))
        except ExplainError as error:
            assert "\n" not in str(error)
        path.write_bytes(good)
