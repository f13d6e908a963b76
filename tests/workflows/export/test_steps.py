"""Which steps are exported: the end of the worst episode, or what is asked for."""

import numpy as np
import pytest

from sb3_explain.common.errors import ExplainError
from sb3_explain.states.dataset import StateDataset
from sb3_explain.workflows.export.steps import choose_part

#: four episodes: their numbers of steps, returns and endings; the last one is cut
LENGTHS, TOTALS, ENDINGS = [5, 10, 7, 4], [2.0, -3.0, 9.0, -50.0], [1, 1, 2, 0]


@pytest.fixture
def states():
    episode = np.repeat(np.arange(4), LENGTHS)
    rewards = np.repeat(np.divide(TOTALS, LENGTHS), LENGTHS)
    return StateDataset.from_arrays(
        np.zeros((26, 2)), episode, np.zeros(26, int), rewards=rewards,
        ended=np.repeat(ENDINGS, LENGTHS),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("asked", "positions"),
    [
        (("worst", None, 300), range(5, 15)),  # what is cut is no episode that was lost
        (("worst", None, 4), range(11, 15)),  # the end decides
        (("best", None, 3), range(19, 22)),
        ((2, 1, 3), range(16, 19)),
        ((2, 5, 300), range(20, 22)),  # no further than the episode
        ((3, None, 300), range(22, 26)),
        ((0, 0, 1), range(1)),
    ],
)
def test_the_end_of_an_episode_or_a_part_of_it(states, asked, positions):
    steps = choose_part(states, *asked)
    assert steps.positions.tolist() == list(positions)
    assert set(states.episode[steps.positions]) == {steps.episode}
    assert steps.numbers.tolist() == states.steps[steps.positions].tolist()
    assert steps.total == pytest.approx(TOTALS[steps.episode])
    assert steps.length == LENGTHS[steps.episode]


def test_where_no_episode_is_over_all_count(states):
    cut = states.with_columns(ended=np.zeros(26, int))
    assert choose_part(cut, "worst", None, 9).episode == 3
    assert choose_part(cut, "best", None, 9).episode == 2


def test_it_says_which_steps_they_are(states):
    said = str(choose_part(states, "worst", None, 4))
    assert said == "steps 6 to 9 of episode 1 (return -3, 10 steps, ended)"


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ((4, None, 9), "there is no episode 4: the folder holds 0 to 3"),
        ((-1, None, 9), "there is no episode -1"),
        (("wurst", None, 9), "episode='wurst': give a number, worst or best"),
        ((0, 5, 9), "start=5: episode 0 has the steps 0 to 4"),
        ((0, -1, 9), "start=-1"),
        ((0, None, 0), "n_steps=0: give a positive number"),
    ],
)
def test_what_is_not_there_is_one_line(states, asked, says):
    with pytest.raises(ExplainError) as error:
        choose_part(states, *asked)
    assert says in str(error.value) and "\n" not in str(error.value)
