"""When callbacks work, where they write, and what happens when they cannot."""

import json
import time
from pathlib import Path

import pytest
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import (
    CallbackList,
    CheckpointCallback,
    ConvertCallback,
    EvalCallback,
    EveryNTimesteps,
)
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import SubprocVecEnv
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from sb3_explain.callbacks import (
    MetricsCallback,
    SaliencyCallback,
    StateGeneratorCallback,
    VisionMaskCallback,
)
from sb3_explain.callbacks.base import MARGIN, ExplainCallback
from sb3_explain.callbacks.folders import claim_folder
from sb3_explain.callbacks.suggested_every import suggest_every
from sb3_explain.common.errors import ExplainError


class Sleeper(ExplainCallback):
    """Works for a known time."""

    kind = "sleep"

    def __init__(self, every, folder=None, seconds=0.0, **options):
        super().__init__(every, folder, **{"budget": None, **options})
        self.seconds = seconds

    def work(self, folder):
        time.sleep(self.seconds)
        (folder / str(self.num_timesteps)).write_text("done")


class Broken(Sleeper):
    kind = "broken"

    def work(self, folder):
        raise ZeroDivisionError("a mistake\nof two lines")


def cartpole(n_envs=1, **options):
    env = make_vec_env("CartPole-v1", n_envs=n_envs, seed=0, **options)
    return PPO("MlpPolicy", env, n_steps=64 // n_envs, batch_size=64, n_epochs=1, seed=0)


@pytest.mark.parametrize("n_envs", [1, 4])
def test_every_counts_timesteps_whatever_the_number_of_environments(n_envs, tmp_path):
    callback = Sleeper(100, str(tmp_path))
    cartpole(n_envs).learn(256, callback=callback)
    assert callback.worked == [100, 200, 256]


def test_going_on_with_a_training_keeps_the_rhythm(tmp_path):
    model = cartpole()
    first, second = Sleeper(100, str(tmp_path)), Sleeper(100, str(tmp_path))
    model.learn(128, callback=first)
    model.learn(128, callback=second, reset_num_timesteps=False)
    assert first.worked == [100, 128]
    assert second.worked == [200, 256]
    assert second.folder == tmp_path / "sleep_2"


def test_the_end_alone_and_not_twice(tmp_path):
    model, callback = cartpole(), Sleeper(None, str(tmp_path))
    model.learn(128, callback=callback)
    callback.on_training_end()  # as rl-zoo3 does
    assert callback.worked == [128]
    assert sorted(path.name for path in (tmp_path / "sleep").iterdir()) == ["128", "schedule.json"]


def test_every_training_has_a_folder_of_its_own(tmp_path):
    for _ in range(3):
        cartpole().learn(64, callback=Sleeper(None, str(tmp_path)))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["sleep", "sleep_2", "sleep_3"]
    assert claim_folder(tmp_path, "other") == tmp_path / "other"


def test_results_lie_beside_those_of_the_monitor(tmp_path):
    callback = Sleeper(None)
    cartpole(2, monitor_dir=str(tmp_path / "run")).learn(64, callback=callback)
    assert callback.folder == tmp_path / "run" / "sleep"


def test_results_lie_in_the_log_folder_else(tmp_path, monkeypatch):
    model = cartpole()
    model.tensorboard_log = str(tmp_path / "tb")
    callback = Sleeper(None)
    model.learn(64, callback=callback)
    assert callback.folder == tmp_path / "tb" / "PPO_1" / "sleep"
    monkeypatch.chdir(tmp_path)
    callback = Sleeper(None)
    cartpole().learn(64, callback=callback)
    assert callback.folder == Path("explanations") / "sleep"


def test_an_error_is_logged_and_the_training_goes_on(tmp_path, caplog):
    callback, beside = Broken(20, str(tmp_path)), Sleeper(20, str(tmp_path))
    model = cartpole()
    model.learn(128, callback=CallbackList([callback, beside]))
    assert model.num_timesteps == 128
    lines = [record.getMessage() for record in caplog.records]
    assert lines == [
        "Broken: ZeroDivisionError: a mistake of two lines; the training goes on",
        "Broken: ZeroDivisionError: a mistake of two lines; the training goes on",
        "Broken: ZeroDivisionError: a mistake of two lines; the training goes on without it",
    ]
    assert callback.worked == []
    assert beside.worked == [20, 40, 60, 80, 100, 120, 128]


def test_an_error_ends_the_training_if_that_is_wanted(tmp_path):
    with pytest.raises(ZeroDivisionError):
        cartpole().learn(128, callback=Broken(20, str(tmp_path), on_error="raise"))


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    callback = Sleeper(20, str(tmp_path / "file"))
    model = cartpole()
    model.learn(64, callback=callback)
    assert model.num_timesteps == 64
    (line,) = [record.getMessage() for record in caplog.records]
    assert line == (
        f"Sleeper: {tmp_path}/file cannot be written (File exists): choose another folder; the "
        "training goes on without it"
    )


class Slow:
    """A callback of SB3 that makes every step of a training last."""

    def __init__(self, seconds):
        self.seconds = seconds

    def __call__(self, *_):
        time.sleep(self.seconds)
        return True


@pytest.mark.parametrize("budget", [0.2, 0.5])
def test_the_budget_holds_within_a_fifth(budget, tmp_path):
    callback = Sleeper(5, str(tmp_path), seconds=0.1, budget=budget)
    model = cartpole()
    began = time.perf_counter()
    model.learn(256, callback=CallbackList([callback, ConvertCallback(Slow(0.01))]))
    training = time.perf_counter() - began - callback.spent
    assert len(callback.worked) >= 2
    assert callback.worked[0] == 5  # the first is made whatever it takes
    assert 0.5 * budget < callback.spent / training <= 1.2 * budget


@pytest.mark.parametrize("budget", [1e-9, 1e-3])
@pytest.mark.parametrize("timesteps", [128, 512])  # an end that is nearer than the next, and far
def test_the_first_and_the_final_agent_are_explained_whatever_the_budget(
    timesteps, budget, tmp_path, caplog, capsys
):
    callback = Sleeper(100, str(tmp_path), seconds=0.3, budget=budget)
    cartpole().learn(timesteps, callback=callback)
    assert callback.worked == [100, timesteps]
    (said,) = capsys.readouterr().out.splitlines()
    assert said.startswith(f"Sleeper: 2 times, after 100 and {timesteps} timesteps, ")
    assert "final agent" not in said and "postponed" not in said
    left_out = list(range(200, timesteps, 100))
    assert ("left out 200, 300" in said) == bool(left_out) == ("has room" in said)
    record = json.loads((callback.folder / "schedule.json").read_text())
    assert record["explained"] == [100, timesteps] and record["budget"] == budget
    assert record["left_out"] == left_out and record["postponed"] == []
    assert caplog.text == ""


def test_what_the_budget_postpones_is_said_and_kept(tmp_path, capsys, monkeypatch):
    """Two are due at 200 and 300: one is made late, the other never; so many are affordable."""
    monkeypatch.setattr(
        Sleeper, "_is_affordable", lambda self: not self.worked or 260 <= self.num_timesteps < 290
    )
    callback = Sleeper(100, str(tmp_path), seconds=0.01, budget=0.02)
    cartpole().learn(448, callback=callback)
    assert callback.worked == [100, 260, 448]
    (said,) = capsys.readouterr().out.splitlines()
    assert "3 times, after 100, 260 and 448 timesteps, " in said
    assert "; the budget of 0.02 postponed 200 to 260 and left out 300 and 400, for which " in said
    record = json.loads((callback.folder / "schedule.json").read_text())
    assert record["postponed"] == [{"due": 200, "made": 260}]
    assert record["left_out"] == callback.schedule.left_out == [300, 400]
    assert record["seconds"] == pytest.approx(callback.spent, abs=0.2)


def test_a_final_agent_that_could_not_be_explained_is_said(tmp_path, caplog, capsys):
    class Stumbling(Sleeper):
        def work(self, folder):
            if self.ending:
                raise ExplainError("a mistake")
            super().work(folder)

    cartpole().learn(128, callback=Stumbling(100, str(tmp_path)))
    assert "none of the final agent, which could not be explained" in capsys.readouterr().out
    assert "Stumbling: a mistake" in caplog.text


def test_a_training_shorter_than_every_or_stopped_early_is_explained_at_its_end(tmp_path):
    callback = Sleeper(50_000, str(tmp_path), budget=0.02)
    cartpole().learn(64, callback=callback)
    assert callback.worked == [64]
    callback = Sleeper(50_000, str(tmp_path), budget=0.02)
    stop = ConvertCallback(lambda known, _: known["self"].num_timesteps < 30)
    cartpole().learn(1_000_000, callback=CallbackList([callback, stop]))
    assert callback.worked == [30]


def test_the_cost_is_a_line_of_text_and_a_scalar_of_tensorboard(tmp_path, capsys):
    model = cartpole()
    model.tensorboard_log = str(tmp_path / "tb")
    callback = Sleeper(100, str(tmp_path), seconds=0.1)
    model.learn(256, callback=CallbackList([callback, ConvertCallback(Slow(0.002))]))
    (said,) = capsys.readouterr().out.splitlines()
    share, training = callback.spent / callback.training_seconds, callback.training_seconds
    start, _, rest = said.partition("% of the")
    start, _, percent = start.rpartition(" ")
    start, _, spent = start.removesuffix(" s,").rpartition(" ")
    assert start == "Sleeper: 3 times, after 100, 200 and 256 timesteps,"
    # both times go on for a moment after the line
    assert float(spent) == pytest.approx(callback.spent, abs=0.15)
    assert float(percent) == pytest.approx(100 * share, abs=1)
    total, _, rest = rest.removeprefix(" training's ").partition(" s; ")
    assert float(total) == pytest.approx(training, abs=1)
    assert rest == f"see {callback.folder}"
    assert 0.3 <= callback.spent < training + callback.spent
    events = EventAccumulator(str(tmp_path / "tb" / "PPO_1"))
    events.Reload()
    seconds = events.Scalars("sleep/seconds")
    assert [event.step for event in seconds] == callback.worked == [100, 200, 256]
    assert [event.value >= 0.1 * n for n, event in enumerate(seconds, start=1)] == [True] * 3
    assert seconds[-1].value <= callback.spent
    assert len(events.Scalars("sleep/share_of_training")) == 3


def test_a_training_that_was_explained_once_says_how_to_see_more_of_it(tmp_path, capsys):
    def train(every, timesteps=256, **options):
        callback = Sleeper(every, str(tmp_path), seconds=0.01, **options)
        cartpole().learn(timesteps, callback=callback)
        return callback, capsys.readouterr().out.splitlines()[-1]

    _, said = train(50_000, budget=1e-9)
    every, _, budget = said.rpartition("; every=")[2].partition(" makes")[0].partition(", budget=")
    assert every == "50" and (budget == "None" or float(budget) > 0)
    callback, said = train(int(every), budget=None)
    assert callback.worked == [50, 100, 150, 200, 250, 256] and "makes about" not in said
    assert "makes about" not in train(None, budget=None)[1]  # one was asked for
    assert train(300, budget=None)[1].endswith("; every=50 makes about 5")


@pytest.mark.parametrize("share", [0.001, 0.03, 0.09])
def test_the_suggested_budget_leaves_time_for_all(share):
    budget = suggest_every(1000, share, 0.02).partition("budget=")[2].partition(" ")[0] or 0.02
    # the last of five is made if the budget has room for one and a quarter of them
    assert 4 * share + MARGIN * share <= float(budget) < 12 * share + 0.02


@pytest.mark.parametrize("nested", ["EveryNTimesteps", "EvalCallback"])
def test_inside_another_callback_it_says_that_it_does_not_work(nested, tmp_path, caplog):
    callback = Sleeper(10, str(tmp_path))
    model = cartpole()
    if nested == "EveryNTimesteps":
        outer = EveryNTimesteps(32, callback)
    else:
        outer = EvalCallback(
            make_vec_env("CartPole-v1", seed=1), callback_on_new_best=callback, eval_freq=32,
            n_eval_episodes=1, verbose=0,
        )  # fmt: skip
    model.learn(128, callback=outer)
    assert model.num_timesteps == 128
    assert callback.worked == [] and list(tmp_path.iterdir()) == []
    (line,) = [record.getMessage() for record in caplog.records]
    assert line == f"Sleeper is inactive inside {nested}: pass it to learn() directly"


def test_a_callback_may_see_two_trainings(tmp_path):
    callback = Sleeper(100, str(tmp_path), seconds=0.01, budget=1e6)
    for _ in range(2):
        cartpole().learn(256, callback=callback)
        assert callback.worked == [100, 200, 256]
        assert 0.03 <= callback.spent < 10
    assert sorted(p.name for p in tmp_path.iterdir()) == ["sleep", "sleep_2"]


def test_an_early_end_is_an_end(tmp_path):
    callback = Sleeper(100, str(tmp_path))
    stop = ConvertCallback(lambda known, _: known["self"].num_timesteps < 150)
    cartpole().learn(256, callback=CallbackList([callback, stop]))
    assert callback.worked == [100, 150]


def test_the_end_comes_after_the_last_update(tmp_path):
    class Weights(Sleeper):
        kind = "weights"

        def work(self, folder):
            self.stored = self.model.policy.action_net.weight.detach().clone()

    callback, model = Weights(64, str(tmp_path)), cartpole()
    model.learn(128, callback=callback)
    assert callback.worked == [64, 128]  # 128 is a multiple of 64, and the end
    assert torch.equal(callback.stored, model.policy.action_net.weight)


def test_what_has_written_nothing_leaves_no_folder(tmp_path, capsys):
    class Silent(Sleeper):
        def work(self, folder):
            raise ExplainError("there is nothing to show")

    cartpole().learn(64, callback=Silent(None, str(tmp_path / "few")))
    assert not any((tmp_path / "few").iterdir())
    assert capsys.readouterr().out == ""  # the log says why
    callback = Sleeper(None, str(tmp_path / "one"))
    cartpole().learn(64, callback=callback)
    assert (tmp_path / "one" / "sleep" / "64").exists()


def test_results_lie_where_sb3_saves_models(tmp_path):
    saving = CheckpointCallback(64, str(tmp_path / "models"))
    callback = Sleeper(None)
    env = make_vec_env("CartPole-v1", n_envs=2, vec_env_cls=SubprocVecEnv)
    model = PPO("MlpPolicy", env, n_steps=32, batch_size=64, n_epochs=1, seed=0)
    model.learn(64, callback=[callback, saving])
    env.close()
    assert callback.folder == tmp_path / "models" / "sleep"


def test_mistakes_are_said_before_the_training(tmp_path):
    cases = [
        (lambda: SaliencyCallback("rize"), "unknown explainer 'rize'; did you mean 'rise'"),
        (lambda: SaliencyCallback("visionmask"), "use VisionMaskCallback"),
        (lambda: SaliencyCallback(every=0), "every=0"),
        (lambda: SaliencyCallback(every="often"), "every='often': give a whole number"),
        (lambda: SaliencyCallback(n_states=0), "n_states=0"),
        (lambda: SaliencyCallback(n_states=True), "n_states=True"),
        (lambda: SaliencyCallback(explainer_kwargs={"stride": 3}), "name it, too"),
        (lambda: VisionMaskCallback(n_shown=17), "n_shown=17: a sheet has 16 at most"),
        (lambda: SaliencyCallback(budget=[1]), r"budget=\[1\]"),
        (
            lambda: SaliencyCallback(evry=3),
            "SaliencyCallback 'evry'; did you mean 'every'",
        ),
        (lambda: SaliencyCallback(folder=3), "folder=3: give a path"),
        (lambda: MetricsCallback(seed="a"), "seed='a'"),
        (lambda: MetricsCallback(metrics=[]), "give at least one name"),
        (lambda: MetricsCallback({}), "give at least one name"),
        (lambda: StateGeneratorCallback(targets=[]), "give at least one name"),
        (lambda: StateGeneratorCallback(generator_kwargs={"latnt": 3}), "did you mean 'latent'"),
        (lambda: VisionMaskCallback(explainer_kwargs={"max_aria": 0.1}), "did you mean 'max_area'"),
        (lambda: SaliencyCallback(n_frames=2.5), "n_frames=2.5"),
        (lambda: SaliencyCallback(budget="2%"), "budget='2%'"),
        (lambda: MetricsCallback("gradientt"), "unknown explainer 'gradientt'"),
        (lambda: MetricsCallback(metrics="insertionn"), "unknown metric 'insertionn'"),
        (lambda: StateGeneratorCallback(n_samples=0), "n_samples=0"),
        (
            lambda: StateGeneratorCallback(probe_kwargs={"stepz": 3}),
            "'stepz'; did you mean 'steps'",
        ),
        (lambda: VisionMaskCallback(fit_kwargs={"epoch": 3}), "did you mean 'epochs'"),
        (lambda: SaliencyCallback(budget=-1), "budget=-1"),
        (lambda: SaliencyCallback(on_error="ignore"), "on_error 'ignore'"),
        (lambda: SaliencyCallback("rise", explainer_kwargs={"masks": 3}), "argument of rise"),
    ]
    for make, words in cases:
        with pytest.raises(ExplainError, match=words):
            make()
    # as rl-zoo3's yml files have numbers: 1e5 is a word of YAML
    assert SaliencyCallback(every=1e5).every == SaliencyCallback(every="1e5").every == 100_000
    assert SaliencyCallback(budget="5e-2").budget == 0.05
    assert SaliencyCallback(seed=None).seed == 0
    assert StateGeneratorCallback(targets="all").targets == ["all"]


@pytest.mark.parametrize("kind", [SaliencyCallback, MetricsCallback, VisionMaskCallback])
def test_a_class_in_the_place_of_a_callback(kind):
    model = PPO("MlpPolicy", "CartPole-v1", n_steps=8, batch_size=8, device="cpu")
    said = rf"callback={kind.__name__} is a class: give an instance, callback={kind.__name__}\(\)"
    with pytest.raises(ExplainError, match=said):
        model.learn(8, callback=kind)
