"""diagnose: planted faults are named, healthy agents are left in peace, numbers equal oracles."""

import json

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3.common.vec_env import DummyVecEnv, VecFrameStack
from torch import nn

from sb3_explain import Agent, EnvRecipe, ExplainError, Interval, StateDataset, ValueUnits, diagnose
from sb3_explain.workflows.diagnosis.checks.blindness import measure_features
from sb3_explain.workflows.diagnosis.checks.layers import measure_dead, measure_full
from sb3_explain.workflows.diagnosis.checks.observations import arrange_bounds
from sb3_explain.workflows.diagnosis.checks.value import correlate
from sb3_explain.workflows.diagnosis.diagnose import keep_best_repair
from sb3_explain.workflows.diagnosis.evidence import Evidence
from sb3_explain.workflows.diagnosis.findings import ORDER, Finding
from sb3_explain.workflows.diagnosis.registry import CHECKS
from sb3_explain.workflows.diagnosis.repairs import is_far_above

N = 200


class Follow(gym.Env):
    """Two numbers are shown; action 1 earns 1 where the first is above 0, action 0 elsewhere."""

    def __init__(self, scale: float = 1.0, bad: bool = False) -> None:
        self.scale, self.bad = scale, bad
        self.observation_space = spaces.Box(-3.0, 3.0, (2,), np.float32)
        self.action_space = spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        return self.draw(), {}

    def draw(self):
        self.shown = self.np_random.uniform(-1, 1, 2).astype(np.float32)
        seen = self.shown * np.float32(self.scale)
        if self.bad and self.steps == 3:
            seen[1] = np.nan
        return seen

    def step(self, action):
        self.steps += 1
        earned = float((self.shown[0] > 0) == (int(action) == 1))
        return self.draw(), earned, self.steps == 20, False, {}


gym.register("Follow-v0", Follow)


class Net(nn.Module):
    """Scores by two features, and one value for all states."""

    def __init__(self, weights=(4.0, 0.002), value=1.0) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.tensor(weights))
        self.value = value

    def forward(self, observations):
        score = observations @ self.weights
        scores = torch.stack([-score, score], dim=1)
        return scores, score * 0 + self.value


def follow(*, action_names=("low", "high"), **net) -> Agent:
    env = Follow()
    return Agent.from_module(
        Net(**net), env.observation_space, env.action_space, recipe=EnvRecipe("Follow-v0"),
        action_names=list(action_names), feature_names=["signal", "noise"],
        value_units=ValueUnits(discount=0.0),
    )  # fmt: skip


def arrange_states(shown, length=20) -> StateDataset:
    """States of episodes of a length."""
    n = len(shown)
    return StateDataset.from_arrays(shown, np.arange(n) // length, np.zeros(n, int))


def names(agent, **options) -> list[str]:
    options = {"n_states": N, "n_episodes": 6, "progress": False, **options}
    return [one.name for one in diagnose(agent, **options).findings]


def test_nothing_is_found_in_an_agent_that_does_right():
    report = diagnose(follow(), n_states=N, n_episodes=6, progress=False)
    assert report.findings == ()
    assert str(report).startswith(f"nothing found in {N} states of 10 episode(s)")
    assert set(report.looks) | set(report.skipped) == set(ORDER) == set(CHECKS)
    assert report.looks["returns"].said.startswith("6 episodes: return 20,")


@pytest.mark.parametrize(
    ("net", "found"),
    [
        ({"weights": (0.002, 4.0)}, "feature order"),
        ({"weights": (-4.0, -0.002)}, "action order"),
        ({"weights": (4.0, 0.0)}, "blind to features"),
        ({"weights": (1e-3, 1e-3)}, "prefers nothing"),
        ({"value": 9.0}, "value is biased"),
    ],
)
def test_a_fault_of_the_agent_is_named_first(net, found):
    assert names(follow(**net))[0] == found


@pytest.mark.parametrize(
    ("env", "found"),
    [
        (lambda: Follow(bad=True), "NaN observations"),
        (lambda: Follow(scale=0.0), "constant features"),
        (lambda: Follow(scale=60.0), "observations out of range"),
    ],
)
def test_a_fault_of_the_environment_is_among_the_first_two(env, found):
    assert found in names(follow(), env=env)[:2]


def test_a_feature_that_random_actions_change_is_no_dead_sensor():
    class Lamp(Follow):
        """The second feature is 1 after an action 1."""

        def step(self, action):
            seen, *rest = super().step(action)
            seen[1] = float(int(action) == 1)
            return seen, *rest

        def draw(self):
            return super().draw() * np.float32([1, 0])

    always = Agent.from_module(
        Net(weights=(0.0, 0.0)), Follow().observation_space, spaces.Discrete(2)
    )
    options = {"checks": ["observations"], "n_states": N, "progress": False}
    assert diagnose(always, env=Lamp, **options).findings == ()
    (finding,) = diagnose(always, env=lambda: Follow(scale=0.0), **options).findings
    assert finding.name == "constant features"


def test_one_action_whatever_happens():
    options = {"env": lambda: Follow(scale=0.0), "checks": ["one_action"]}
    assert names(follow(), **options) == ["one action"]
    report = diagnose(follow(), n_states=N, progress=False, **options)
    assert report.findings[0].said == "the agent does 'low' whatever happens"


def test_an_agent_that_has_learned_little_is_told_so_and_not_that_its_actions_are_swapped():
    # swapped actions earn all that can be earned, but only greedily: sampled ones are near random
    checks = ["action_order", "feature_order", "one_action", "returns"]
    report = diagnose(
        follow(weights=(-0.1, 0.0005)), n_states=N, n_episodes=6, checks=checks, progress=False
    )
    assert "'low' and 'high' swapped, earns 20 instead of 0" in report.looks["action_order"].said
    assert [one.name for one in report.findings] == ["earns no more than random actions"]
    assert "has not learned this task, or not enough" in report.findings[0].said
    # it does when it is sure of what it does
    assert names(follow(weights=(-4.0, -0.002)), checks=checks)[0] == "action order"


def test_a_gain_is_far_above_by_hand():
    evidence = Evidence(follow(), arrange_states(np.zeros((N, 2), np.float32)))
    randomly = np.array([0.0, 2.0, 4.0, 2.0])  # mean 2, standard deviation 1.41
    own = np.full(4, -90.0)
    assert is_far_above(evidence, np.full(4, 9.0), [own, randomly], randomly)
    # less than two standard deviations above random actions
    assert not is_far_above(evidence, np.full(4, 4.5), [own, randomly], randomly)
    # gain over sampled actions is less than half of what is earned beyond random ones
    assert not is_far_above(evidence, np.full(4, 9.0), [own, np.full(4, 6.0), randomly], randomly)


def test_bounds_that_the_agent_leaves_in_the_end_are_no_fault_of_the_sensor():
    def look(shown):
        states = arrange_states(shown, length=50)
        report = diagnose(follow(), states, checks=["observations"], progress=False)
        return [(one.name, one.severity) for one in report.findings]

    steps = np.arange(N) % 50
    inside = np.random.default_rng(0).uniform(-1, 1, (N, 2)).astype(np.float32)
    gone, broken, flickering = inside.copy(), inside.copy(), inside.copy()
    gone[steps >= 30, 1] += 5
    broken[:, 1] *= 57
    flickering[(steps >= 30) & (steps % 3 > 0), 1] += 5
    assert look(inside) == []
    assert look(gone) == [("leaves the bounds", "warning")]
    assert look(broken) == look(flickering) == [("observations out of range", "fault")]


def test_no_statistics_are_advised_to_an_agent_that_never_had_any():
    agent, options = follow(), {"checks": ["normalization"], "n_states": N, "progress": False}
    assert "arrangement(s) were tried" in diagnose(agent, **options).looks["normalization"].said
    agent.trained_normalized = False
    report = diagnose(agent, **options)
    assert "trained without VecNormalize" in report.skipped["normalization"]


def test_the_trials_say_the_returns_that_were_played():
    report = diagnose(
        follow(weights=(-4.0, -0.002)), n_states=N, n_episodes=6, checks=["action_order"],
        progress=False,
    )  # fmt: skip
    (finding,) = report.findings
    assert finding.severity == "fault"
    assert finding.sure == "very likely"
    assert finding.evidence == Interval(20.0, 20.0, 20.0, 6)  # every step of 20 is won, not lost
    assert "'low' and 'high' swapped" in finding.said


def test_features_that_should_not_matter():
    agent = follow(weights=(4.0, 4.0))
    options = {"checks": ["irrelevant"], "irrelevant": ["noise"]}
    assert names(agent, **options) == ["depends on what should not matter"]
    assert names(follow(weights=(4.0, 0.0)), **options) == []
    with pytest.raises(ExplainError, match="unknown feature 'nois'; did you mean 'noise'"):
        names(agent, checks=["irrelevant"], irrelevant=["nois"])


def test_the_effect_of_permuting_features_adds_up_for_a_linear_agent():
    # the share of the variance that is due to each of two independent features: a^2 / (a^2 + b^2)
    rng = np.random.default_rng(0)
    shown = rng.normal(size=(4000, 2)).astype(np.float32)
    states = StateDataset.from_arrays(shown, np.arange(4000) // 20, np.zeros(4000, int))
    effects = dict(measure_features(Evidence(follow(weights=(2.0, 1.0)), states)))
    assert effects["signal"].mean == pytest.approx(0.8, abs=0.06)
    assert effects["noise"].mean == pytest.approx(0.2, abs=0.03)


def test_bounds_of_stacked_vectors_stand_as_the_frames_do():
    stacked = VecFrameStack(DummyVecEnv([lambda: gym.make("CartPole-v1")]), 3)
    one = np.float64(gym.make("CartPole-v1").observation_space.high)
    bounds = arrange_bounds(stacked.observation_space.high, 3)
    assert bounds.tolist() == [*one, *one, *one]
    assert arrange_bounds(one, 1).tolist() == one.tolist()


def test_dead_and_full_units_by_hand():
    outputs = torch.zeros(40, 4)
    outputs[:, 0] = torch.linspace(-1, 1, 40)  # alive
    outputs[:, 1] = 0.3  # dead
    outputs[:, 2] = 0.9999 * torch.linspace(-1, 1, 40).sign()  # full
    outputs[0, 3] = 1.0  # alive in one state
    assert measure_dead(outputs) == 0.25
    assert measure_full(outputs, is_sigmoid=False) == 0.25
    maps = torch.zeros(40, 2, 3, 3)
    maps[:, 0, 1, 1] = torch.linspace(0, 1, 40)
    assert measure_dead(maps) == 0.5


def test_a_dead_layer_is_found_by_hooks_and_none_is_left():
    inner = nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 2))
    nn.init.constant_(inner[0].bias, -100.0)
    env = Follow()
    agent = Agent.from_module(
        inner, env.observation_space, env.action_space, recipe=EnvRecipe("Follow-v0")
    )
    found = names(agent, checks=["layers", "one_action"])
    assert found == ["dead layer", "one action"]
    assert not any(module._forward_hooks for module in agent.view.policy.modules())


def test_the_correlation_is_pearsons():
    rng = np.random.default_rng(0)
    x = rng.normal(size=300)
    y = x + rng.normal(size=300)
    low, middle, high = correlate(x, y, np.arange(300) // 10, seed=0)
    assert middle == pytest.approx(np.corrcoef(x, y)[0, 1])
    assert low < middle < high


def test_states_alone_are_looked_at_without_an_environment():
    env = Follow()
    agent = Agent.from_module(Net(), env.observation_space, env.action_space)
    shown = np.random.default_rng(0).uniform(-1, 1, (N, 2)).astype(np.float32)
    states = StateDataset.from_arrays(shown, np.arange(N) // 20, np.zeros(N, int))
    report = diagnose(agent, states, progress=False)
    assert report.findings == ()
    assert report.skipped["returns"] == "no environment is known: name one with env=..."
    assert "rewards" in report.skipped["value"]
    with pytest.raises(ExplainError, match="knows no environment"):
        diagnose(agent, progress=False)


def test_an_agent_without_values_is_looked_at_but_for_them():
    env = Follow()
    module = nn.Linear(2, 2)
    agent = Agent.from_module(
        module, env.observation_space, env.action_space, recipe=EnvRecipe("Follow-v0")
    )
    report = diagnose(agent, checks=["value", "noise"], n_states=N, progress=False)
    assert list(report.looks) == ["noise"]
    assert "value" in report.skipped["value"]


def test_bad_input_is_one_line():
    with pytest.raises(ExplainError, match="unknown check 'layer'; did you mean 'layers'"):
        diagnose(follow(), checks=["layer"])
    with pytest.raises(ExplainError, match="checks=3: give a list"):
        diagnose(follow(), checks=3)
    with pytest.raises(ExplainError, match="n_episodes=1"):
        diagnose(follow(), n_episodes=1)


def test_causes_come_before_consequences_and_faults_before_warnings():
    def finding(check, severity):
        return Finding("x", "", severity, "certain", Interval(1, 1, 1, 1), "", "", check)

    given = [
        finding("value", "warning"), finding("one_action", "fault"), finding("returns", "fault"),
        finding("layers", "fault"), finding("observations", "warning"),
    ]  # fmt: skip
    ordered = [one.check for one in sorted(given, key=lambda one: one.gravity)]
    assert ordered == ["layers", "returns", "one_action", "observations", "value"]


def test_of_changes_that_repair_the_best_is_kept_and_of_equals_the_one_of_fewest():
    def finding(name, **details):
        steady = Interval(1, 1, 1, 1)
        return Finding(name, "", "fault", "certain", steady, "", "", "layers", details=details)

    many, few = finding("many", repaired=9.0, tried=6), finding("few", repaired=9.0, tried=1)
    other, worse = finding("other"), finding("worse", repaired=8.0, tried=1)
    assert keep_best_repair([many, other, few, worse]) == [other, few]


def test_everything_is_saved(tmp_path):
    report = diagnose(
        follow(weights=(-4.0, -0.002)), n_states=N, n_episodes=6,
        checks=["action_order", "one_action", "masks"], progress=False,
    )  # fmt: skip
    page = report.save(tmp_path)
    text = page.read_text(encoding="utf-8")
    assert "Not looked at: the policy takes no masks of actions." in text
    assert "<p>The agent earns more with &#39;low&#39; and &#39;high&#39; swapped" in text
    assert "style=" not in text
    saved = json.loads((tmp_path / "diagnosis.json").read_text())
    assert [one["name"] for one in saved["findings"]] == ["action order"]
    assert saved["findings"][0]["evidence"] == {"mean": 20.0, "low": 20.0, "high": 20.0, "n": 6}
    assert (tmp_path / "diagnosis.png").read_bytes() == report.plot()
    assert "action order" in report._repr_html_() or "swapped" in report._repr_html_()


def test_categories_are_looked_at_without_noise_or_swaps():
    class Table(nn.Module):
        def __init__(self):
            super().__init__()
            self.scores = nn.Embedding(4, 3)

        def forward(self, observations):
            return self.scores(observations.long())

    agent = Agent.from_module(Table(), spaces.Discrete(4), spaces.Discrete(3))
    shown = np.arange(N) % 4
    states = StateDataset.from_arrays(shown, np.arange(N) // 20, np.zeros(N, int))
    report = diagnose(agent, states, progress=False)
    assert report.skipped["noise"] == "categories have no noise"
    assert report.skipped["feature_order"] == "there is nothing to arrange otherwise"
    assert "blindness" in report.looks
