"""Playfields by name, and in pixels of the agent's observation."""

import numpy as np
import pytest

from sb3_explain.envs.playfields import PLAYFIELDS, playfield, scale_box

NATIVE = {"SuperMarioBros": (240, 256)}


@pytest.mark.parametrize(
    ("env_id", "game"),
    [
        ("EnduroNoFrameskip-v4", "Enduro"),
        ("SeaquestDeterministic-v4", "Seaquest"),
        ("ALE/MsPacman-v5", "MsPacman"),
        ("MsPacman-v4", "MsPacman"),
        ("SuperMarioBros-1-1-v0", "SuperMarioBros"),
        ("SuperMarioBros-1-1", "SuperMarioBros"),
    ],
)
def test_ids_of_a_game_name_its_playfield(env_id, game):
    assert playfield(env_id) == PLAYFIELDS[game]


@pytest.mark.parametrize("env_id", ["PongNoFrameskip-v4", "CartPole-v1", "", "highway-fast-v0"])
def test_other_games_have_none(env_id):
    assert playfield(env_id) is None


@pytest.mark.parametrize("game", PLAYFIELDS)
@pytest.mark.parametrize("pixels", [(84, 84), (96, 72)])
def test_a_cell_is_inside_if_half_of_it_is(game, pixels):
    height, width = NATIVE.get(game, (210, 160))
    top, left, rows, columns = PLAYFIELDS[game]
    assert top + rows <= height and left + columns <= width
    # Each pixel as a block of `pixels` parts: then every cell is a block of whole parts.
    row_inside, column_inside = (
        np.repeat((np.arange(n) >= start) & (np.arange(n) < start + length), parts)
        .reshape(parts, n)
        .mean(axis=1)
        >= 0.5
        for n, start, length, parts in (
            (height, top, rows, pixels[0]),
            (width, left, columns, pixels[1]),
        )
    )
    expected = np.outer(row_inside, column_inside)
    first_row, first_column, n_rows, n_columns = scale_box(
        PLAYFIELDS[game], (height, width), pixels
    )
    inside = np.zeros(pixels, bool)
    inside[first_row : first_row + n_rows, first_column : first_column + n_columns] = True
    assert np.array_equal(inside, expected)
