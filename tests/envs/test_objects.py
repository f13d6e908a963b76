"""Objects read from RAM, beside the boxes that OCAtari 2.2.1 found in the same frames."""

import gzip
import json
from collections import defaultdict
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

from sb3_explain import ExplainError, decode_objects, read_objects
from sb3_explain.envs.object_layouts import LAYOUTS
from sb3_explain.envs.recipe import EnvRecipe

#: by game: frames with the RAM in hex, and OCAtari's [category, x, y, width, height]
FRAMES = json.loads(gzip.decompress(Path(__file__).with_name("ocatari_boxes.json.gz").read_bytes()))


@pytest.mark.parametrize("game", sorted(LAYOUTS))
def test_boxes_are_those_of_ocatari_to_a_pixel(game):
    for frame in FRAMES[game]:
        ours, theirs = defaultdict(list), defaultdict(list)
        for each in decode_objects(f"ALE/{game}-v5", list(bytes.fromhex(frame["ram"]))):
            ours[each.category].append((each.x, each.y, each.width, each.height))
        for category, *box in frame["objects"]:
            theirs[category].append(tuple(box))
        assert ours.keys() == theirs.keys()
        for category, boxes in ours.items():
            found, expected = np.array(sorted(boxes)), np.array(sorted(theirs[category]))
            assert found.shape == expected.shape and abs(found - expected).max() <= 1


def test_the_ball_of_the_screen_is_where_the_ram_says():
    env = EnvRecipe("PongNoFrameskip-v4").make("rgb_array")
    env.reset(seed=0)
    for _ in range(120):
        env.step(0)
    (ball,) = (each for each in read_objects(env) if each.category == "Ball")
    court = env.render()[34:194, 20:140]
    rows, columns = np.where((court == (236, 236, 236)).all(axis=2))
    assert (rows.min() + 34, columns.min() + 20) == pytest.approx((ball.y, ball.x), abs=2)
    env.close()


def test_bad_input_is_told_in_one_line():
    with pytest.raises(ExplainError, match=r"known: Breakout, Freeway, MsPacman, Pong, Seaquest"):
        decode_objects("EnduroNoFrameskip-v4", np.zeros(128, np.uint8))
    with pytest.raises(ExplainError, match="give the 128 bytes"):
        decode_objects("Pong-v4", np.zeros(64, np.uint8))
    with pytest.raises(ExplainError, match="CartPole-v1 has no RAM to read"):
        read_objects(gym.make("CartPole-v1"))
