"""collect in environments that no registry knows: live ones, functions, VecEnvs."""

import ctypes
import threading

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.envs.classic_control import CartPoleEnv
from sb3_contrib import MaskablePPO, RecurrentPPO
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecFrameStack

from sb3_explain.agents.agent import Agent
from sb3_explain.common.errors import ExplainError
from sb3_explain.envs.recipe import EnvRecipe
from sb3_explain.envs.render_modes import NoFramesError
from sb3_explain.states.collection import collect
from sb3_explain.states.dataset import StateDataset
from sb3_explain.states.env_sources import require_same_actions
from tests.states.live_envs import ALGORITHMS, KINDS, Field, make_field, make_model


def collected(agent: Agent, env=None, n_states: int = 14, **options) -> StateDataset:
    return collect(agent, env, n_states, progress=False, **{"render": False, **options})


def pick(observations, row):
    if isinstance(observations, dict):
        return {key: observed[row].numpy() for key, observed in observations.items()}
    return observations[row].numpy()


@pytest.fixture(scope="module")
def agent() -> Agent:
    return Agent.from_model(make_model(PPO, Field()))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("algorithm", ALGORITHMS, ids=lambda algorithm: algorithm.__name__)
def test_a_live_environment_of_every_kind(algorithm, kind):
    """Its copies are played as SB3's predict plays a new one, and it stays as it is."""
    env = make_field(algorithm, kind)
    model = make_model(algorithm, make_field(algorithm, kind))
    states = collected(Agent.from_model(model), env, behavior="greedy")
    assert len(states) == 14 and env.used == 0
    own = make_field(algorithm, kind)
    observation, _ = own.reset(seed=int(np.random.SeedSequence([0, 0]).generate_state(1)[0]))
    lstm, start = None, np.ones(1, bool)
    for position in np.flatnonzero(states.episode == 0):
        seen = pick(states.observations([position]), 0)
        for key, frame in seen.items() if kind == "dict" else [("", seen)]:
            raw = observation[key] if key else observation
            expected = raw.transpose(2, 0, 1) if raw.ndim == 3 else raw
            np.testing.assert_array_equal(frame, expected)
        more = {}
        if algorithm is MaskablePPO:
            more = {"action_masks": own.action_masks()}
        if algorithm is RecurrentPPO:
            more = {"state": lstm, "episode_start": start}
        action, lstm = model.predict(observation, deterministic=True, **more)
        np.testing.assert_allclose(states.actions[position], action, atol=1e-5)
        observation, reward, *_ = own.step(action)
        assert states.column("rewards")[position] == pytest.approx(reward, abs=1e-5)
        start = np.zeros(1, bool)


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_of_an_unregistered_environment_needs_no_env(kind):
    """Its own is copied: a training that goes on is the same to the last bit."""
    learned = []
    for explains in (False, True):
        env = Field(kind)
        model = make_model(PPO, env).learn(16)
        if explains:
            used = env.used
            states = collected(Agent.from_model(model), max_per_episode=3)
            assert len(states) == 14 and env.used == used
            assert states.provenance["environment"]["env_id"] == "Field"
        model.learn(16, reset_num_timesteps=False)
        learned.append([p.detach().numpy().copy() for p in model.policy.parameters()])
    for theirs, ours in zip(*learned, strict=True):
        np.testing.assert_array_equal(theirs, ours)


def test_what_is_given_wins_over_the_models_own(agent):
    class Long(Field):
        """Its episodes do not end."""

        def step(self, action):
            observation, reward, _, _, info = super().step(action)
            return observation, reward, False, False, info

    states = collected(agent, Long(), max_per_episode=14)
    assert np.bincount(states.episode).tolist() == [14]
    assert states.provenance["environment"]["env_id"] == "Long"


@pytest.mark.parametrize(
    "make",
    [Field, lambda: Field(), lambda render_mode=None: Field(render_mode=render_mode)],
    ids=["class", "function", "that renders"],
)
def test_functions_make_what_is_played(agent, make):
    live, made = collected(agent, Field()), collected(agent, make)
    np.testing.assert_array_equal(
        live.observations(np.arange(14)), made.observations(np.arange(14))
    )


def test_frames_are_drawn_where_there_are_some(agent, caplog):
    def rendered(env, render):
        return collected(agent, env, render=render).rendered([1])

    assert rendered(Field(), None) is None
    assert [m for m in caplog.messages if "rgb_array" in m] == caplog.messages
    for env in (Field(render_mode="rgb_array"), Field, make_vec_env(lambda: Field(), 2)):
        pictures = rendered(env, None)
        if pictures is None:
            assert "no frames are stored" in caplog.messages[-1]
        else:
            assert pictures[0, 0, 0].tolist() == [1, 1, 1]
    assert rendered(Field(render_mode="rgb_array"), False) is None
    with pytest.raises(ExplainError, match=r"Field was made without render_mode='rgb_array'"):
        collected(agent, Field(), render=True)


def test_an_environment_that_was_drawn_is_copied(tmp_path):
    """Its window, its clock and its open file of monitoring stay with it."""
    env = Monitor(CartPoleEnv(render_mode="rgb_array"), str(tmp_path / "log"))
    env.reset(seed=0)
    env.render()
    before = (tmp_path / "log.monitor.csv").read_text()
    cartpole = Agent.from_model(make_model(PPO, CartPoleEnv()))
    states = collected(cartpole, env, n_envs=2, render=None)
    assert states.rendered([0]).shape == (1, 400, 600, 3)
    assert (tmp_path / "log.monitor.csv").read_text() == before
    assert env.rewards == [] and env.unwrapped.clock is not None


class Held(Field):
    """It holds something that cannot be copied."""

    def __init__(self, held):
        super().__init__()
        self.held = held


@pytest.mark.parametrize(
    ("held", "says"),
    [
        (threading.Lock(), "cannot pickle"),
        (0x7F00_0000_1234, "Held.held may be an address"),
        (ctypes.c_void_p(5), "Held.held may be an address"),
    ],
    ids=["lock", "number", "pointer"],
)
def test_what_cannot_be_copied_is_played_itself(agent, held, says, caplog):
    env = Held(held)
    states = collected(agent, env)
    assert len(states) == 14 and env.used > 14
    assert len(caplog.messages) == 1 and says in caplog.text
    assert "played itself, alone, and stands elsewhere afterwards" in caplog.text
    assert states.provenance["n_envs"] == 1
    with pytest.raises(ExplainError, match="n_envs=3, but Held is played in 1"):
        collected(agent, env, n_envs=3)
    np.testing.assert_array_equal(
        collected(agent, lambda: Held(held), n_envs=1).observations([5]), states.observations([5])
    )


class Careless(Field):
    """It takes a seed, and does not use it."""

    def reset(self, *, seed=None, options=None):
        return super().reset(seed=self.used + 1)


class Seedless(Field):
    """It does not take a seed."""

    def reset(self):
        return super().reset()


@pytest.mark.parametrize("kind", [Careless, Seedless])
def test_what_cannot_be_seeded_is_said(agent, kind, caplog):
    assert len(collected(agent, kind())) == 14
    assert caplog.messages == [
        f"{kind.__name__} does not heed its seed: the same call will play other episodes"
    ]


ONE = Field()


@pytest.mark.parametrize(
    ("env", "says"),
    [
        (Field("dict"), "the environment observes"),
        (object, "env=object is no environment: give a gymnasium id"),
        (object(), "env=object is no environment"),
        (7, "env=7 is no environment"),
        (PPO, "env=PPO is no environment"),
        (lambda: 7, "returns int, no environment"),
        (lambda: 1 / 0, r"makes no environment \(division by zero\)"),
        (gym.make, "env=make makes no environment"),
        (lambda: ONE, "returns the same environment each time"),
        (lambda: Field("picture"), "gives observations"),
    ],
)
def test_what_is_no_environment_is_one_line(agent, env, says, tmp_path):
    with pytest.raises(ExplainError, match=says) as error:
        collected(agent, env, folder=tmp_path / "s", n_envs=2)
    assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())


def test_a_model_is_no_environment(agent):
    with pytest.raises(ExplainError, match="env=PPO is no environment"):
        collected(agent, make_model(PPO, Field()))


def test_an_id_is_no_recipe():
    model = make_model(PPO, Field())
    with pytest.raises(ExplainError, match=r"EnvRecipe, not str: for example EnvRecipe\("):
        Agent.from_model(model, recipe="CartPole-v1")
    agent = Agent.from_model(model)
    with pytest.raises(ExplainError, match=r"EnvRecipe, not str"):
        Agent(agent.view, agent.observation_space, agent.action_space, recipe="CartPole-v1")
    assert Agent.from_model(model, recipe=EnvRecipe("CartPole-v1")).vec_env is None


def test_a_stack_around_a_live_environment_is_the_agents():
    model = make_model(PPO, VecFrameStack(DummyVecEnv([Field]), 3))
    agent = Agent.from_model(model)
    states = collected(agent, Field(), max_per_episode=4)
    assert states.n_stack == 3 and states.frames().shape == (14, 4)
    second = states.observations([1])[0].reshape(3, 4)
    assert second[:, 0].tolist() == [0, 0, 1] and second[0].tolist() == [0] * 4


class TestInMemory:
    def test_equals_a_store(self, agent, tmp_path):
        here = collected(agent, Field())
        there = collected(agent, Field(), folder=tmp_path / "s")
        for name in ("greedy", "scores", "rewards"):
            np.testing.assert_array_equal(here.column(name), there.column(name))

    def test_frames_last_as_long_as_a_view(self, agent):
        states = collected(agent, Field, render=True)
        folder = states.temporary.path
        view = states.subset([3, 1])
        assert folder.exists()
        del states
        assert view.rendered([1])[0, 0, 0].tolist() == [1, 1, 1]
        del view
        assert not folder.exists()

    def test_nothing_is_left_after_a_refusal(self, agent, tmp_path, monkeypatch):
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
        with pytest.raises(ExplainError):
            collected(agent, lambda: 1 / 0)
        with pytest.raises(ExplainError):
            collected(agent, Field("dict"))
        assert not list(tmp_path.iterdir())


class Mute(Field):
    """An environment that draws nothing, and says so."""

    metadata = {"render_modes": []}  # noqa: RUF012

    def render(self):
        raise NotImplementedError


class Sloppy(Field):
    """An environment that draws, and does not say so."""

    metadata = {"render_modes": []}  # noqa: RUF012


class Modeless(Mute):
    """An environment that takes no render mode."""

    def __init__(self):
        super().__init__()


class Gray(Field):
    """An environment that draws gray frames."""

    metadata = {"render_modes": []}  # noqa: RUF012

    def render(self):
        return np.zeros((8, 8), np.uint8)


gym.register("Draws-v0", entry_point=Mute)
gym.register("DrawsModeless-v0", entry_point=Modeless)


@pytest.mark.parametrize(
    ("env", "why"),
    [
        (Mute, "it has no method render"),
        (Mute(), ""),
        (lambda: DummyVecEnv([Mute]), ""),
        (Gray, r"uint8 of shape \(8, 8\)"),
        ("Draws-v0", "Gymnasium asks for the mode"),
        ("DrawsModeless-v0", "renders nothing"),
    ],
    ids=["class", "live", "VecEnv", "gray", "id", "without a mode"],
)
def test_an_environment_that_draws_nothing_is_told_before_it_is_played(agent, env, why, caplog):
    said = f"draws no RGB frames.*{why}.*metadata.'render_modes'. list 'rgb_array'"
    with pytest.raises(NoFramesError, match=f"{said}, or collect with render=False") as refused:
        collected(agent, env, render=True)
    assert "\n" not in str(refused.value)
    assert collected(agent, env, render=None).rendered([0]) is None
    (message,) = caplog.messages
    assert message.startswith("no frames are stored: ") and "draws no RGB frames" in message


def test_an_environment_that_draws_without_saying_so_is_tried(agent):
    assert collected(agent, Sloppy, render=None).rendered([0]) is not None


class FourWays(Field):
    def __init__(self, **options):
        super().__init__(**options)
        self.action_space = gym.spaces.Discrete(4)


gym.register("FourWays-v0", entry_point=FourWays)


@pytest.mark.parametrize(
    "env",
    [
        "FourWays-v0",
        EnvRecipe("FourWays-v0"),
        FourWays(),
        FourWays,
        DummyVecEnv([FourWays]),
        lambda: DummyVecEnv([FourWays]),
    ],
)
def test_an_environment_of_other_actions_is_refused(agent, tmp_path, env):
    with pytest.raises(ExplainError, match=r"FourWays.* takes actions Discrete\(4\)"):
        collected(agent, env, folder=tmp_path / "states")
    assert not list(tmp_path.iterdir())


def test_bounds_of_actions_may_differ():
    wide, narrow = (gym.spaces.Box(-high, high, (2,), np.float32) for high in (2, 1))
    agent = Agent.from_module(torch.nn.Linear(3, 2), gym.spaces.Box(-1, 1, (3,)), wide)
    require_same_actions(agent, "narrow", narrow)
    with pytest.raises(ExplainError, match="other takes actions"):
        require_same_actions(agent, "other", gym.spaces.Box(-1, 1, (3,), np.float32))
