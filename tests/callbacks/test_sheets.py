"""What stands on a sheet of SaliencyCallback, and how its default explains."""

import numpy as np
import pytest
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import ConvertCallback
from stable_baselines3.common.env_util import make_vec_env

from sb3_explain import relabel
from sb3_explain.callbacks import (
    MetricsCallback,
    SaliencyCallback,
    sheets,
)
from sb3_explain.callbacks.training_states import take_snapshot
from sb3_explain.explainers import EXPLAINERS
from sb3_explain.report.bar_strip import BarStrip
from sb3_explain.report.contact_sheet import contact_sheet
from tests.callbacks.learning import learn, make
from tests.toys import dot_agent, dot_states


@pytest.mark.parametrize(
    ("algo", "explainer"), [("ppo", "integrated_gradients"), ("cartpole", "feature_ablation")]
)
def test_the_defaults_are_quick_and_take_the_background_of_the_training(algo, explainer, tmp_path):
    if algo == "ppo":
        model = make("ppo")
    else:
        env = make_vec_env("CartPole-v1", seed=0)
        model = PPO("MlpPolicy", env, n_steps=64, batch_size=64, n_epochs=1, seed=0)
    drawn = []

    class Watched(SaliencyCallback):
        def draw_sheet(self, states, explainer, group):
            drawn.append((explainer, self.recent.states(explainer.agent)))
            return super().draw_sheet(states, explainer, group)

    saliency = Watched(folder=str(tmp_path), n_states=2, n_frames=3, on_error="raise")
    metrics = MetricsCallback(metrics=["sparseness"], n_states=4, folder=str(tmp_path),
                              on_error="raise")  # fmt: skip
    model.learn(64, callback=[saliency, metrics])
    assert saliency.worked == metrics.worked == [64]
    assert explainer in metrics.measured[64].rows
    used, states = drawn[0]
    assert used.name == explainer
    (baseline,) = used.baselines.values()
    desired = EXPLAINERS[explainer](used.agent, states=states).baselines[""]
    probe = used.agent.tensor(states.observations([0]))
    assert baseline.name == "background"
    assert (baseline(probe) == desired(probe)).all()
    assert not (baseline(probe) == 0).all()


def test_a_baseline_may_be_one_that_is_fitted(tmp_path):
    saliency = SaliencyCallback(
        "occlusion", None, 2, str(tmp_path), explainer_kwargs={"baseline": "mean"}, n_frames=0,
        budget=None, on_error="raise",
    )  # fmt: skip
    learn(make("ppo"), 64, saliency)
    assert saliency.worked == [64]


def read_tiles(monkeypatch):
    """Watch the tiles of the sheets that are drawn."""
    drawn = []

    def draw(tiles, *arguments, **options):
        drawn.append((tiles, arguments, options))
        return contact_sheet(tiles, *arguments, **options)

    monkeypatch.setattr(sheets, "contact_sheet", draw)
    return drawn


@pytest.mark.parametrize("kind", ["pictures", "vectors"])
def test_under_each_state_stand_action_value_step_and_return(kind, tmp_path, monkeypatch):
    drawn = read_tiles(monkeypatch)
    if kind == "pictures":
        model, names = make("ppo"), ["left", "stay", "right"]
    else:
        env = make_vec_env("CartPole-v1", seed=0)
        model = PPO("MlpPolicy", env, n_steps=64, batch_size=64, n_epochs=1, seed=0)
        names = ["push left", "push right"]
    saliency = SaliencyCallback(
        "gradient", None, 3, str(tmp_path), n_frames=2, budget=None, on_error="raise",
        action_names=names, feature_names=None if kind == "pictures" else ["x", "v", "th", "w"],
    )  # fmt: skip
    learn(model, 64, saliency)
    tiles, (actions,), _ = drawn[1]  # of fresh states
    states = saliency.recent.states(take_snapshot(model))
    positions = states.spread(3)
    observations = states.observations(positions).numpy()
    assert list(actions) == names
    chosen, _ = model.predict(observations, deterministic=True)
    assert [tile.action for tile in tiles] == [names[action] for action in chosen]
    with torch.no_grad():
        values = model.policy.predict_values(model.policy.obs_to_tensor(observations)[0])
    steps, returns = states.column("step_in_episode"), states.column("return_so_far")
    assert [tile.remark for tile in tiles] == [
        f"value {float(value):.3g}, step {int(steps[at])}, return {float(returns[at]):.4g}"
        for at, value in zip(positions, values.flatten(), strict=True)
    ]


def test_features_are_named_with_their_values_on_a_sheet(tmp_path, monkeypatch):
    shown = []

    class Watched(BarStrip):
        def draw(self, values, attributions):
            shown.append((self.names, values))
            return super().draw(values, attributions)

    monkeypatch.setattr(sheets, "BarStrip", Watched)
    env = make_vec_env("CartPole-v1", seed=0)
    model = PPO("MlpPolicy", env, n_steps=64, batch_size=64, n_epochs=1, seed=0)
    learn(model, 64, SaliencyCallback(None, None, 2, str(tmp_path), on_error="raise"))
    assert {tuple(names) for names, _ in shown} == {
        ("cart position", "cart velocity", "pole angle", "pole angular velocity")
    }
    assert shown[0][1].shape == (4,)


def test_what_is_not_known_is_left_out():
    agent, n = dot_agent(), 2
    known = relabel(agent, dot_states(agent, 6)).with_columns(
        step_in_episode=[3.0, np.nan, 0, 0, 0, 0], return_so_far=[-1.5, np.nan, 0, 0, 0, 0],
        values=[0.25, np.nan, 0, 0, 0, 0],
    )  # fmt: skip
    first, second = sheets.describe_states(known, np.arange(n), agent)
    assert first[1:] == ["value 0.25", "step 3", "return -1.5"]
    assert len(second) == 1 and second[0] in agent.target_names


def test_a_training_that_is_stopped_early_shows_its_first_states(tmp_path):
    saliency = SaliencyCallback("gradient", folder=str(tmp_path), n_frames=3, on_error="raise")
    metrics = MetricsCallback(["gradient"], ["sparseness"], folder=str(tmp_path), on_error="raise")
    model = make("ppo")
    stop = ConvertCallback(lambda known, _: known["self"].num_timesteps < 20)
    model.learn(1_000_000, callback=[saliency, metrics, stop])
    assert saliency.worked == metrics.worked == [20]
    assert (tmp_path / "saliency" / "monitor_20.png").exists()
