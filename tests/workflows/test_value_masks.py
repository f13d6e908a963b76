"""A page of masks of the value: pictures, a video, figures and words of the value alone."""

import pytest
from stable_baselines3 import PPO

from sb3_explain import Agent, VisionMask, plot
from sb3_explain.workflows.pipeline import explain
from tests.toys import ThirdsNet, dot_agent, dot_states

QUICK = {"epochs": 1, "precision": "no"}


class Leftness(ThirdsNet):
    """Its value says how far left the dot is."""

    def forward(self, observations):
        scores, _ = super().forward(observations)
        return scores, scores[:, 0] - scores[:, 2]


def left_agent():
    like = dot_agent()
    return Agent.from_module(
        Leftness(), like.observation_space, like.action_space, recipe=like.recipe
    )


def make_page(agent, folder):
    evaluation = explain(
        agent, folder, n_states=120, n_evaluated=8, collect_kwargs={"max_per_episode": 10},
        explainer_kwargs={"target": "value", "refine_steps": 2}, fit_kwargs=QUICK,
        metrics=["value_preservation", "mask_area"], progress=False,
    )  # fmt: skip
    assert not any(row.failures for row in evaluation.rows.values())
    return evaluation, (folder / "report.html").read_text()


def test_of_pictures(tmp_path):
    evaluation, page = make_page(left_agent(), tmp_path)
    assert evaluation.states["target"] == "value"
    assert "What value depends on" in page and "Why this action" not in page
    assert "important for value" in page
    assert "Value preservation" in page and '"asked": "value"' in page
    assert list((tmp_path / "attributions").glob("state_*.png"))
    # they are of states that it has not learned from
    assert "Of an episode that is not in the player." in page and "data-position" not in (
        page.replace("[data-position]", "")
    )
    loaded = VisionMask.load(tmp_path / "visionmask", left_agent())
    assert loaded.own_target.name == "value"


def test_of_vectors(tmp_path):
    model = PPO("MlpPolicy", "CartPole-v1", n_steps=64, seed=0, device="cpu")
    _, page = make_page(Agent.from_model(model), tmp_path)
    assert "Which features matter to value" in page


@pytest.mark.parametrize("name", ["visionmask", "stalder"])
def test_one_given_by_name_learns_what_is_asked_for(name):
    agent = left_agent()
    states = dot_states(agent, 200)
    fast = {"refine_steps": 2} if name == "visionmask" else {}
    figure = plot(agent, states.observations([0]), name, "value", states=states,
                  fit_kwargs={**QUICK, "progress": False}, **fast)  # fmt: skip
    said = " ".join(each.get_text() for each in figure.findobj() if hasattr(each, "get_text"))
    assert "value = " in said
