"""Pictures to lay over states."""

import imageio.v3 as imageio
import numpy as np
import pytest
import torch

from sb3_explain.common.errors import ExplainError
from sb3_explain.sgqn.overlays import draw_textures, read_pictures


def test_pictures_are_scaled_and_cut_about_their_centre(tmp_path):
    wide = np.zeros((20, 60, 3), np.uint8)
    wide[:, 20:40] = (10, 200, 30)
    (tmp_path / "below").mkdir()
    imageio.imwrite(tmp_path / "below" / "wide.PNG", wide, extension=".png")
    imageio.imwrite(tmp_path / "grey.png", np.full((7, 7), 90, np.uint8))
    (tmp_path / "notes.txt").write_text("no picture")
    found = read_pictures(tmp_path, (10, 10))
    assert found.shape == (2, 3, 10, 10) and found.dtype == torch.uint8
    assert found[0, :, 2:8, 2:8].flatten(1).unique(dim=1).T.tolist() == [[10, 200, 30]]
    assert found[1].unique().tolist() == [90]
    assert len(read_pictures(tmp_path, (10, 10), limit=1)) == 1


def test_textures_are_smooth_coloured_and_different():
    made = draw_textures(6, (32, 40), seed=1)
    assert made.shape == (6, 3, 32, 40) and made.dtype == torch.uint8
    assert torch.equal(made, draw_textures(6, (32, 40), seed=1))
    assert made.amin(dim=(2, 3)).max() == 0 and made.amax(dim=(2, 3)).min() == 255
    values = made.float()
    steps = (values[..., 1:] - values[..., :-1]).abs().mean()
    assert steps < 0.4 * (values[:3] - values[3:]).abs().mean()


def test_what_cannot_be_read_is_one_line(tmp_path):
    with pytest.raises(ExplainError, match="pictures is missing: "):
        read_pictures(tmp_path / "nowhere", (8, 8))
    with pytest.raises(ExplainError, match=r"has no pictures \(\.jpg"):
        read_pictures(tmp_path, (8, 8))
    (tmp_path / "broken.png").write_bytes(b"not a picture")
    with pytest.raises(ExplainError, match="cannot be read as a picture: remove it"):
        read_pictures(tmp_path, (8, 8))
