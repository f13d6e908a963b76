"""How much of an agent a page plays."""

import pytest
from gymnasium import spaces
from torch import nn

from sb3_explain import Agent
from sb3_explain.workflows import page_plan
from sb3_explain.workflows.page_plan import PagePlan, plan_page
from tests.toys import dot_agent

VECTOR = Agent.from_module(nn.Linear(4, 2), spaces.Box(-1, 1, (4,)), spaces.Discrete(2))


@pytest.mark.parametrize(
    ("agent", "options", "expected"),
    [
        (dot_agent(), {"learned": False}, PagePlan(2400, 300, 32_000)),
        (VECTOR, {"learned": False}, PagePlan(1000, 300, 32_000)),
        (VECTOR, {"learned": True}, PagePlan(4000, 1000, 60_000)),
        # no more are played than the user wants to have collected, unless more are to be shown
        (VECTOR, {"learned": True, "n_states": 50}, PagePlan(50, 1000, 60_000)),
        (VECTOR, {"learned": False, "n_states": 50, "n_shown": 80}, PagePlan(80, 80, 32_000)),
        (VECTOR, {"learned": False, "n_states": 5000}, PagePlan(1000, 300, 32_000)),
    ],
)
def test_how_much_is_played(agent, options, expected):
    assert plan_page(agent, **options) == expected


def test_what_is_played_is_as_it_was_collected(monkeypatch, tmp_path):
    asked = {}
    monkeypatch.setattr(
        page_plan,
        "play_whole_episodes",
        lambda agent, folder, n_states, **options: asked.update(
            options, folder=folder, n_states=n_states
        ),
    )
    options = {"env": "Dot-v0", "epsilon": 0.2, "n_envs": 3, "max_per_episode": 5}
    PagePlan(70, 30, 100).play(VECTOR, tmp_path, options, name="other", seed=4, progress=False)
    assert asked == {
        "env": "Dot-v0", "epsilon": 0.2, "seed": 4, "progress": False,
        "folder": tmp_path / "episodes_other", "n_states": 70,
    }  # fmt: skip
