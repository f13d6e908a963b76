"""The screen: the frame that an Atari agent's observation was made from."""

import numpy as np
import pytest

from sb3_explain.agents.demo import demo_agent
from sb3_explain.envs.recipe import begin_episode
from sb3_explain.envs.screen import find_screen
from tests.toys import dot_agent


def test_an_atari_picture_is_the_maximum_of_the_last_two_frames():
    pytest.importorskip("ale_py")
    cv2 = pytest.importorskip("cv2")
    env = demo_agent().recipe.make("rgb_array")
    picture = find_screen(env)
    observation = begin_episode(env, seed=3)
    unlike_rendered = 0
    for step in range(40):
        gray = cv2.cvtColor(picture(), cv2.COLOR_RGB2GRAY)
        expected = cv2.resize(gray, (84, 84), interpolation=cv2.INTER_AREA)
        np.testing.assert_array_equal(observation[..., 0], expected)
        unlike_rendered += (picture() != env.render()).any()
        observation, *_ = env.step(step % 6)
    assert unlike_rendered > 20
    env.close()


def test_other_environments_are_rendered():
    env = dot_agent().recipe.make("rgb_array")
    picture = find_screen(env)
    env.reset(seed=0)
    np.testing.assert_array_equal(picture(), env.unwrapped.render())
