"""What runs on an accelerator, on tensors that as those of one do not become NumPy by themselves.

No accelerator is needed: each tensor that an agent is given or returns is of a class that refuses,
and so is whatever is computed from it, until ``.cpu()``.
"""

import numpy as np
import pytest
import torch

from sb3_explain import Agent, collect, evaluate
from sb3_explain.callbacks import MetricsCallback, SaliencyCallback
from sb3_explain.explainers import EXPLAINERS
from sb3_explain.workflows.highlights import highlights
from sb3_explain.workflows.pipeline import explain
from sb3_explain.workflows.weaknesses import find_weaknesses
from sb3_explain.workflows.why import why
from tests.callbacks.learning import make
from tests.explainers.kinds import quick
from tests.toys import dot_agent

pytestmark = pytest.mark.usefixtures("few_candidates")


class Elsewhere(torch.Tensor):
    """A tensor as on another device."""

    def numpy(self, *, force=False):
        if force:  # which is .detach().cpu().numpy()
            return self.detach().cpu().numpy()
        raise TypeError("cannot convert a tensor of another device to numpy: use .cpu() first")

    def __array__(self, *_, **__):
        return self.numpy()

    def cpu(self, *_, **__):
        with torch._C.DisableTorchFunctionSubclass():
            return self.as_subclass(torch.Tensor)

    def to(self, *arguments, **keywords):
        if str(keywords.get("device", arguments[0] if arguments else None)) == "cpu":
            return self.cpu()
        return super().to(*arguments, **keywords)


def away(found):
    if isinstance(found, dict):
        return {name: away(observed) for name, observed in found.items()}
    if isinstance(found, tuple):
        return tuple(away(observed) for observed in found)
    return found.as_subclass(Elsewhere)


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch):
    for name in ("tensor", "scores", "values", "scores_and_values"):
        usual = getattr(Agent, name)

        def moved(*arguments, usual=usual, **keywords):
            return away(usual(*arguments, **keywords))

        monkeypatch.setattr(Agent, name, moved)


def test_the_stand_in_refuses():
    agent = dot_agent()
    scores = agent.scores(agent.tensor(np.zeros((2, *agent.observation_space.shape), np.uint8)))
    for wrong in (lambda: scores.numpy(), lambda: np.asarray(scores.softmax(1))):
        with pytest.raises(TypeError, match="of another device"):
            wrong()
    assert scores.cpu().numpy().shape == (2, 3)


def test_from_an_agent_to_its_report(tmp_path):
    training = {"epochs": 1, "batch_size": 64, "progress": False}
    settings = {"network": "compact", "refine_steps": 1}
    explain(
        dot_agent(), tmp_path, n_states=200, n_evaluated=4, explainer_kwargs=settings,
        fit_kwargs=training, progress=False,
    )  # fmt: skip
    assert (tmp_path / "report.html").exists()


def test_every_explainer_and_metric(tmp_path):
    agent = dot_agent()
    states = collect(agent, n_states=60, folder=tmp_path, max_per_episode=20, progress=False)
    supported = {
        name: quick(name, agent, states)
        for name in EXPLAINERS
        if EXPLAINERS[name].unsupported(agent) is None and not hasattr(EXPLAINERS[name], "fit")
    }
    table = evaluate(agent, states.subset(np.arange(4)), supported).table()
    assert set(supported) <= set(table["explainer"]) and np.isfinite(table["mean"]).any()


def test_a_question_and_a_summary(tmp_path):
    agent = dot_agent()
    found = highlights(agent, tmp_path, k=2, n_states=200, explainer="gradient", progress=False)
    assert found and (tmp_path / "highlights.mp4").exists()
    states = collect(
        agent, n_states=60, folder=tmp_path / "states", max_per_episode=20, progress=False
    )
    answer = why(states, 3, EXPLAINERS["occlusion"](agent))
    assert all(path.exists() for path in answer.save(tmp_path / "why"))


def test_states_of_interest(tmp_path):
    page = find_weaknesses(
        dot_agent(), tmp_path, targets=["T-", "action:0"], n_states=200, n_samples=4, n_episodes=2,
        generator_kwargs={"latent": 4}, fit_kwargs={"epochs": 1, "batch_size": 64},
        probe_kwargs={"steps": 3}, explainer_kwargs={"refine_steps": 1}, progress=False,
    )  # fmt: skip
    assert page.exists()


def test_callbacks(tmp_path):
    model = make("dqn", tensorboard_log=str(tmp_path))
    made = [
        SaliencyCallback("gradient", every=60, n_states=2, n_frames=4, folder=str(tmp_path),
                         budget=None, on_error="raise"),
        MetricsCallback(["gradient"], ["deletion"], every=60, n_states=4, folder=str(tmp_path),
                        budget=None, on_error="raise"),
    ]  # fmt: skip
    model.learn(132, callback=made)
    assert [callback.worked for callback in made] == [[60, 120, 132]] * 2
