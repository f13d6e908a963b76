"""Wrappers of the paper's environments, on environments whose pictures are known."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

from sb3_explain.common.errors import ExplainError
from sb3_explain.envs.wrappers import PooledScreen, TransposedPicture


class Screens(gym.Env):
    """A Dict of a random screen and a number."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 1}  # noqa: RUF012
    render_mode = "rgb_array"
    observation_space = spaces.Dict(
        screen=spaces.Box(0, 255, (6, 8, 3), np.uint8), ammunition=spaces.Box(0, 50, (1,))
    )
    action_space = spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.screen = self.np_random.integers(0, 256, (6, 8, 3), dtype=np.uint8)
        return {"screen": self.screen, "ammunition": np.array([7], np.float32)}, {}

    def render(self):
        return self.screen


@pytest.mark.parametrize("factor", [1, 2])
def test_a_pooled_screen_is_the_mean_of_each_block(factor):
    env = PooledScreen(Screens(), factor)
    observation, _ = env.reset(seed=0)
    screen = env.unwrapped.screen
    for y, x, c in np.ndindex(6 // factor, 8 // factor, 3):
        block = screen[y * factor : (y + 1) * factor, x * factor : (x + 1) * factor, c]
        assert observation["screen"][y, x, c] == np.floor(block.mean() + 0.5)
    assert observation["ammunition"] == 7
    assert env.observation_space.contains(observation)
    np.testing.assert_array_equal(env.render(), screen)  # what people see stays as it is


@pytest.mark.parametrize(
    ("settings", "says"),
    [({"factor": 4}, "do not cover 6 x 8"), ({"key": "map"}, "image 'map'")],
)
def test_a_screen_that_cannot_be_pooled_is_one_line(settings, says):
    with pytest.raises(ExplainError, match=says):
        PooledScreen(Screens(), **settings)


def test_pictures_are_transposed_and_observations_are_not():
    env = TransposedPicture(Screens())
    observation, _ = env.reset(seed=0)
    assert env.render().shape == (8, 6, 3)
    np.testing.assert_array_equal(env.render()[5, 2], observation["screen"][2, 5])
