"""collect: the same states as SB3's own vectorised environments, resumable, provenance kept."""

import json

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.envs.classic_control import CartPoleEnv
from sb3_contrib import MaskablePPO, RecurrentPPO
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import DummyVecEnv, VecFrameStack, VecTransposeImage

from sb3_explain.agents.agent import Agent
from sb3_explain.common.errors import ExplainError
from sb3_explain.common.files import write_json
from sb3_explain.envs.recipe import EnvRecipe, Normalizer
from sb3_explain.states.collection import balance_envs, collect
from sb3_explain.states.dataset import StateDataset
from sb3_explain.states.store import require_same_agent
from tests.toys import DotEnv, dot_agent


@pytest.fixture(scope="module")
def cartpole() -> Agent:
    model = PPO("MlpPolicy", "CartPole-v1", n_steps=64, seed=1, device="cpu")
    return Agent.from_model(model, recipe=EnvRecipe("CartPole-v1"))


def collected(agent: Agent, folder, **options) -> StateDataset:
    return collect(agent, folder=folder, progress=False, **{"render": False, **options})


def same(a: StateDataset, b: StateDataset) -> None:
    np.testing.assert_array_equal(
        a.observations(np.arange(len(a))), b.observations(np.arange(len(b)))
    )
    for name in ("actions", "greedy", "scores", "values", "rewards", "episode"):
        np.testing.assert_array_equal(a.column(name), b.column(name), err_msg=name)


def test_stacks_equal_sb3_wrappers(tmp_path):
    """Frames, stacks and transposition against VecFrameStack and VecTransposeImage."""
    agent = dot_agent(n_stack=3)
    states = collected(agent, tmp_path / "s", n_states=100, max_per_episode=0, n_envs=1, seed=5)
    source = np.random.SeedSequence([5, 0])
    env = VecTransposeImage(VecFrameStack(DummyVecEnv([DotEnv]), 3))
    env.seed(int(source.generate_state(1)[0]))
    observation = env.reset()
    for step in range(40):
        np.testing.assert_array_equal(states.observations([step])[0], observation[0])
        observation, reward, _, _ = env.step(states.actions[[step]])
        assert states.column("rewards")[step] == reward[0]


def test_labels_scores_and_values_are_the_agents(cartpole, tmp_path):
    states = collected(cartpole, tmp_path / "s", n_states=200, behavior="stochastic", seed=2)
    observations = states.observations(np.arange(200))
    scores, values = cartpole.scores_and_values(observations)
    np.testing.assert_allclose(states.column("scores"), scores, atol=1e-5)
    np.testing.assert_allclose(states.column("values"), values, atol=1e-5)
    np.testing.assert_array_equal(states.greedy, scores.argmax(1))
    assert 0.05 < (states.actions != states.greedy).mean() < 0.95
    assert len(states) == 200


def test_greedy_and_epsilon(cartpole, tmp_path):
    greedy = collected(cartpole, tmp_path / "g", n_states=150)
    np.testing.assert_array_equal(greedy.actions, greedy.greedy)
    mixed = collected(cartpole, tmp_path / "e", n_states=600, behavior="epsilon", epsilon=0.5)
    assert 0.15 < (mixed.actions != mixed.greedy).mean() < 0.35


def test_an_episode_is_a_function_of_seed_and_number(cartpole, tmp_path):
    """Whatever is played beside it: with more states asked, the first episodes are the same."""
    few = collected(
        cartpole, tmp_path / "a", n_states=120, behavior="stochastic", max_per_episode=15, n_envs=4
    )
    many = collected(
        cartpole, tmp_path / "b", n_states=300, behavior="stochastic", max_per_episode=15, n_envs=4
    )
    np.testing.assert_array_equal(
        few.observations(np.arange(120)), many.observations(np.arange(120))
    )
    other = collected(
        cartpole, tmp_path / "c", n_states=120, behavior="stochastic", max_per_episode=15, seed=1
    )
    assert not np.array_equal(few.observations(np.arange(50)), other.observations(np.arange(50)))


@pytest.mark.parametrize("limit", [0, 15])
def test_appending_equals_collecting_at_once(cartpole, tmp_path, limit):
    options = {"behavior": "stochastic", "max_per_episode": limit, "n_envs": 4}
    once = collected(cartpole, tmp_path / "once", n_states=257, **options)
    for n in (1, 50, 51, 200, 257):
        states = collected(cartpole, tmp_path / "grown", n_states=n, **options)
        assert len(states) == n
    same(once, states)


@pytest.mark.parametrize("limit", [0, 7, 30])
def test_the_bar_grows_to_the_states_that_are_stored(cartpole, tmp_path, monkeypatch, limit):
    seen = []
    monkeypatch.setattr("sb3_explain.states.collection.track", lambda bar: seen.append)
    options = {"max_per_episode": limit, "n_envs": 5, "behavior": "stochastic"}
    collected(cartpole, tmp_path / "s", n_states=100, **options)
    assert seen == sorted(seen) and seen[-1] == 100
    assert seen[0] >= 1 and 100 not in seen[:-2]  # not before the last step
    # where episodes end at their limit, it grows as evenly as can be
    assert limit != 7 or max(np.diff(seen)) <= 12
    n_before = len(seen)
    collected(cartpole, tmp_path / "s", n_states=130, **options)  # goes on
    assert seen[n_before:] == sorted(seen[n_before:]) and seen[n_before] > 0 and seen[-1] == 130


def test_the_limit_holds_and_episodes_are_many(cartpole, tmp_path):
    states = collected(cartpole, tmp_path / "s", n_states=400, max_per_episode=10)
    assert np.bincount(states.episode).max() <= 10
    assert len(np.unique(states.episode)) >= 40


def test_nothing_of_the_agent_or_of_global_chance_changes(cartpole, tmp_path):
    before = cartpole.fingerprint()
    torch.manual_seed(3)
    np.random.seed(3)  # noqa: NPY002
    expected = torch.rand(1), np.random.rand()  # noqa: NPY002
    torch.manual_seed(3)
    np.random.seed(3)  # noqa: NPY002
    collected(cartpole, tmp_path / "s", n_states=60, behavior="stochastic")
    assert (torch.rand(1), np.random.rand()) == expected  # noqa: NPY002
    assert cartpole.fingerprint() == before


def test_normalised_observations_are_kept_as_the_policy_sees_them(tmp_path):
    model = PPO("MlpPolicy", "CartPole-v1", n_steps=64, seed=1, device="cpu")
    mean, var = np.arange(4.0), np.full(4, 0.25)
    recipe = EnvRecipe("CartPole-v1", normalizers={"": Normalizer(mean, var, 1e-8, 10.0)})
    states = collected(
        Agent.from_model(model, recipe=recipe), tmp_path / "s", n_states=20, n_envs=1
    )
    raw, _ = gym.make("CartPole-v1").reset(
        seed=int(np.random.SeedSequence([0, 0]).generate_state(1)[0])
    )
    expected = np.clip((raw - mean) / np.sqrt(var + 1e-8), -10, 10)
    np.testing.assert_allclose(states.observations([0])[0], expected, rtol=1e-6)


def test_rendered_frames_belong_to_their_states(tmp_path):
    agent = dot_agent()
    states = collected(
        agent, tmp_path / "s", n_states=90, render=True, n_envs=2, max_per_episode=25
    )
    picked = np.array([70, 3, 41, 3])
    pictures = states.rendered(picked)
    newest = states.frames(picked)[:, 0].numpy()
    for picture, frame in zip(pictures, newest, strict=True):
        # the dot is the only colour in the picture and the only bright square in the observation
        lit = np.argwhere(picture[..., 0] > 0).min(axis=0) // 2
        np.testing.assert_array_equal(lit, np.argwhere(frame == 255).min(axis=0))


class UnevenDot(DotEnv):
    """Episodes of very different lengths, so that late ones are over before early ones."""

    def reset(self, *, seed=None, options=None):
        seen = super().reset(seed=seed)
        self.length = int(self.np_random.choice([2, 5, 90]))
        return seen

    def step(self, action):
        observation, reward, _, _, info = super().step(action)
        return observation, reward, self.steps == self.length, False, info


gym.register("UnevenDot-v0", entry_point=UnevenDot)


def test_frames_belong_to_their_states_whatever_order_episodes_end_in(tmp_path):
    recipe = EnvRecipe("UnevenDot-v0", frame_stack=2)
    agent = dot_agent()
    states = collect(
        agent, recipe, 300, folder=tmp_path, max_per_episode=0, n_envs=4, progress=False
    )
    assert len(set(np.bincount(states.episode))) > 2
    # the scores were noted while playing: those of a frame that is not the state's own differ
    np.testing.assert_allclose(
        states.column("scores"), agent.scores(states.observations(np.arange(300))), atol=1e-5
    )
    pictures, newest = states.rendered(np.arange(300)), states.frames()[:, 0].numpy()
    for picture, frame in zip(pictures, newest, strict=True):
        lit = np.argwhere(picture[..., 0] > 0).min(axis=0) // 2
        np.testing.assert_array_equal(lit, np.argwhere(frame == 255).min(axis=0))


def test_provenance_is_kept(cartpole, tmp_path):
    collected(cartpole, tmp_path / "s", n_states=20, seed=9)
    description = json.loads((tmp_path / "s" / "states.json").read_text())
    assert description["seed"] == 9 and description["behavior"] == "zoo"
    assert description["agent"]["weights_sha256"] == cartpole.fingerprint()
    assert description["environment"]["env_id"] == "CartPole-v1"


def test_a_store_of_version_0_1_goes_on(cartpole, tmp_path):
    collected(cartpole, tmp_path / "s", n_states=20)
    description = json.loads((tmp_path / "s" / "states.json").read_text())
    write_json(
        tmp_path / "s" / "states.json", {"behaviour": description.pop("behavior"), **description}
    )
    assert len(collected(cartpole, tmp_path / "s", n_states=40)) == 40
    with pytest.raises(ExplainError, match=r"another run \(behavior is 'zoo', not 'greedy'\)"):
        collected(cartpole, tmp_path / "s", n_states=40, behavior="greedy")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 1}, "another run (seed"),
        ({"behavior": "stochastic"}, "another run (behavior"),
        ({"behavior": "greedyy"}, "did you mean 'greedy'"),
        ({"env": "Acrobot-v1"}, "is it the right environment"),
        ({"env": "CartPole-v7"}, "CartPole"),
    ],
)
def test_mistakes_are_one_line(cartpole, tmp_path, change, message):
    if "env" not in change:
        collected(cartpole, tmp_path / "s", n_states=20)
    with pytest.raises(ExplainError) as caught:
        collected(cartpole, tmp_path / "s", n_states=20, **change)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_with_other_things_is_left_alone(cartpole, tmp_path):
    (tmp_path / "thesis.txt").write_text("all of it")
    with pytest.raises(ExplainError, match="not empty"):
        collected(cartpole, tmp_path, n_states=20)


def test_a_full_disk_is_told_and_what_is_whole_stays(cartpole, tmp_path, monkeypatch):
    import errno

    from sb3_explain.states import store

    before = collected(cartpole, tmp_path / "s", n_states=60, max_per_episode=10)

    def full(self, **_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(store.EpisodeWriter, "commit", full)
        with pytest.raises(ExplainError, match="disk is full"):
            collected(cartpole, tmp_path / "s", n_states=120)
    same(before, StateDataset.open(tmp_path / "s"))
    assert len(collected(cartpole, tmp_path / "s", n_states=120)) == 120


def test_parallel_environments_are_balanced():
    assert balance_envs(10_000, 400) == 13  # 25 episodes in two rounds
    assert balance_envs(100, 100) == 1
    assert balance_envs(500, 0) == 8


def test_episodes_that_were_left_early_do_not_live_on(tmp_path):
    """EpisodicLifeEnv would go on with the old game: the second episode there must be new."""
    from sb3_explain.agents.demo import demo_agent

    pytest.importorskip("ale_py")
    agent = demo_agent()
    one_env = collected(agent, tmp_path / "a", n_states=24, max_per_episode=8, n_envs=1)
    first = collected(agent, tmp_path / "b", n_states=24, max_per_episode=8, n_envs=3)
    # single frames: scores may differ in the last bit between batches of one and of three
    np.testing.assert_array_equal(one_env.frames()[[8, 16]], first.frames()[[8, 16]])
    assert (one_env.frames(slice(8, 9)) != one_env.frames(slice(7, 8))).any()


def test_an_agent_of_q_values_explores_instead_of_sampling(tmp_path):
    agent = dot_agent()
    agent.view.value_based = True
    with pytest.raises(ExplainError, match="Q-values are no probabilities"):
        collected(agent, tmp_path / "s", n_states=20, behavior="stochastic")


class Doors(gym.Env):
    """Three of five doors are open; which ones changes with every step and is not observed."""

    def __init__(self, render_mode=None):
        self.observation_space = gym.spaces.Box(-1, 1, (4,), np.float32)
        self.action_space = gym.spaces.Discrete(5)

    def _look(self):
        self.open = np.isin(np.arange(5), self.np_random.choice(5, 3, replace=False))
        return self.np_random.uniform(-1, 1, 4).astype(np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        return self._look(), {}

    def step(self, action):
        assert self.open[action], "a closed door"
        self.steps += 1
        return self._look(), 0.0, False, self.steps == 12, {}

    def action_masks(self):
        return self.open


gym.register("Doors-v0", entry_point=Doors)


def test_action_masks_are_obeyed_and_kept(tmp_path):
    model = MaskablePPO("MlpPolicy", "Doors-v0", n_steps=8, batch_size=8, seed=0, device="cpu")
    agent = Agent.from_model(model, recipe=EnvRecipe("Doors-v0"))
    folder = tmp_path / "doors"
    states = collect(
        agent, n_states=60, folder=folder, behavior="stochastic", render=False, n_envs=5
    )
    masks = states.policy_inputs(np.arange(60))["action_masks"].numpy()
    assert masks.shape == (60, 5) and (masks.sum(axis=1) == 3).all()
    observations = states.observations(np.arange(60)).numpy()
    greedy, _ = model.predict(observations, deterministic=True, action_masks=masks.astype(bool))
    np.testing.assert_array_equal(states.greedy, greedy)
    assert masks[np.arange(60), states.actions].all()


class OpenDoors(Doors):
    """All doors are open, and no masks say so."""

    def __getattribute__(self, name):
        if name == "action_masks":
            raise AttributeError(name)
        return super().__getattribute__(name)

    def _look(self):
        observation = super()._look()
        self.open = np.ones(5, bool)
        return observation


@pytest.mark.parametrize("make_env", [OpenDoors, lambda: DummyVecEnv([OpenDoors])])
def test_a_maskable_agent_is_told_once_that_nothing_masks_its_actions(make_env, caplog):
    model = MaskablePPO("MlpPolicy", "Doors-v0", n_steps=8, batch_size=8, seed=0, device="cpu")
    agent = Agent.from_model(model, recipe=EnvRecipe("Doors-v0"))
    for _ in range(2):
        collect(agent, make_env(), n_states=5, render=False, progress=False)
    (message,) = [record.getMessage() for record in caplog.records if "mask" in record.getMessage()]
    assert "let it have a method action_masks()" in message and "\n" not in message
    caplog.clear()
    collect(Agent.from_model(model), "Doors-v0", n_states=5, render=False, progress=False)
    assert not caplog.text


def test_the_lstm_states_of_a_state_are_those_it_was_acted_with(tmp_path):
    model = RecurrentPPO(
        "MlpLstmPolicy", "CartPole-v1", n_steps=8, batch_size=8, seed=0, device="cpu"
    )
    agent = Agent.from_model(model, recipe=EnvRecipe("CartPole-v1"))
    states = collect(
        agent, n_states=40, folder=tmp_path / "s", behavior="greedy", n_envs=2, render=False
    )
    lstm, start = None, np.ones(1, bool)
    episode = np.flatnonzero(states.episode == 0)
    for position in episode:
        observation = states.observations([position]).numpy()
        action, lstm = model.predict(observation, lstm, start, deterministic=True)
        policy_inputs = states.policy_inputs([position])
        scores = agent.scores(states.observations([position]), **policy_inputs)
        np.testing.assert_allclose(scores, states.column("scores")[[position]], atol=1e-6)
        assert action[0] == states.actions[position] == scores.argmax()
        start = np.zeros(1, bool)
    assert len(episode) > 5


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ("Missing-v0", "cannot be made"),
        ("Pendulum-v1", "the policy expects"),
        (object, "env=object is no environment"),
    ],
    ids=["missing", "other", "class"],
)
def test_a_refusal_leaves_nothing_on_disk(cartpole, tmp_path, env, said, capsys):
    with pytest.raises(ExplainError, match=said):
        collect(cartpole, env, n_states=5, folder=tmp_path / "a" / "b")
    assert not list(tmp_path.iterdir())
    assert capsys.readouterr().err == ""


def test_a_picture_that_cannot_be_made_leaves_nothing_on_disk(tmp_path):
    gym.register("Unseen-v0", entry_point=Unseen)
    agent = Agent.from_model(PPO("MlpPolicy", "Unseen-v0", n_steps=8, batch_size=8, device="cpu"))
    with pytest.raises(ExplainError, match="cannot be rendered"):
        collect(agent, n_states=5, folder=tmp_path / "s", progress=False)
    assert not list(tmp_path.iterdir())
    assert len(collected(agent, tmp_path / "s", n_states=5)) == 5


class Unseen(CartPoleEnv):
    """An environment without pictures."""

    def render(self):
        raise NotImplementedError


def test_states_of_another_agent_are_said_to_be_of_which(tmp_path):
    ours = {"algo": "a2c", "environment": "CartPole-v1", "weights_sha256": "ab" * 32}
    theirs = {**ours, "algo": "ppo", "environment": {"env_id": "Pong"}, "weights_sha256": "cd" * 32}
    require_same_agent(tmp_path, ours, {**theirs, "weights_sha256": "ab" * 32})
    with pytest.raises(ExplainError, match="another agent, ppo Pong, not a2c CartPole-v1: choose"):
        require_same_agent(tmp_path, ours, theirs)
    with pytest.raises(ExplainError, match=r"a2c CartPole-v1 of weights cdcdcdcd, not a2c .* abab"):
        require_same_agent(tmp_path, ours, {**ours, "weights_sha256": "cd" * 32})
    with pytest.raises(ExplainError, match="another agent, an agent, not a2c"):
        require_same_agent(tmp_path, ours, {})
