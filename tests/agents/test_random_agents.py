"""Whatever agent SB3 makes, ours acts as its ``predict`` does, or is refused in one line."""

import pytest

from tests.agents.random_agents import is_wrong, make_and_check

#: number of agents of each of four runs, which differ in their seeds; the command of
#: ``random_agents`` makes more
N_AGENTS = 150


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_random_agents_act_as_their_models_live_and_from_their_zips(seed):
    counts, wrong = make_and_check(N_AGENTS, seed, explain_every=25)
    assert counts["made"] == N_AGENTS
    assert not wrong
    # most are served, and not refused
    served = {what: counts[f"{what}: equal"] / N_AGENTS for what in ("live", "zip")}
    assert min(served.values()) >= 0.9, served


def test_a_difference_is_seen():
    assert is_wrong("3 of 50 actions differ") and is_wrong("raw error: KeyError")
    assert not is_wrong("refused: no such thing") and not is_wrong("equal")
