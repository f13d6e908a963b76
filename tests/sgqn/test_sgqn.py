"""SGQN as an algorithm of Stable-Baselines3."""

from functools import partialmethod

import imageio.v3 as imageio
import numpy as np
import pytest
import torch
from captum.attr import GuidedBackprop
from gymnasium import spaces
from stable_baselines3.common.callbacks import CheckpointCallback, EvalCallback
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.utils import set_random_seed
from stable_baselines3.common.vec_env import VecNormalize
from torch import nn

from sb3_explain.agents.agent import Agent
from sb3_explain.agents.loading import load_agent
from sb3_explain.common.errors import ExplainError
from sb3_explain.explainers import EXPLAINERS
from sb3_explain.sgqn.baselines import SODA, SVEA
from sb3_explain.sgqn.pixel_sac import PixelSAC
from sb3_explain.sgqn.policies import PixelPolicy, SGQNPolicy
from sb3_explain.sgqn.sgqn import SGQN
from tests.pixels import SIZE, SMALL, PointEnv
from tests.toys import DotEnv

POLICY = {**SMALL, "decoder_filters": (8, 8)}


def model(env=None, **options) -> SGQN:
    settings = {
        "seed": 0, "buffer_size": 600, "learning_starts": 40, "warmup_updates": 0, "batch_size": 8,
        "policy_kwargs": POLICY,
    }  # fmt: skip
    return SGQN("SGQNPolicy", env or PointEnv(), **(settings | options))


def weights(agent) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in agent.policy.state_dict().items()}


def assert_equal(first: dict, second: dict) -> None:
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        assert torch.equal(tensor, second[name]), name


def test_saved_loaded_and_continued_equals_an_unbroken_run(tmp_path):
    unbroken = model()
    unbroken.learn(53)
    unbroken.save(tmp_path / "sgqn")
    unbroken.save_replay_buffer(tmp_path / "buffer")
    loaded = SGQN.load(tmp_path / "sgqn", env=PointEnv())
    loaded.load_replay_buffer(tmp_path / "buffer")
    assert_equal(weights(unbroken), weights(loaded))
    assert loaded._n_updates == unbroken._n_updates == 13
    for each in (unbroken, loaded):
        each.set_env(PointEnv(), force_reset=True)
        each.env.seed(7)
        set_random_seed(7)
        each.learn(12, reset_num_timesteps=False)
    assert unbroken._n_updates == loaded._n_updates == 25
    assert_equal(weights(unbroken), weights(loaded))
    for name in ("aux_optimizer", "ent_coef_optimizer"):
        first, second = (getattr(each, name).state_dict()["state"] for each in (unbroken, loaded))
        assert all(
            torch.equal(first[i]["exp_avg"], second[i]["exp_avg"]) for i in range(len(first))
        )


def test_arguments_survive_saving(tmp_path):
    model(saliency_quantile=0.7, fill="zero", n_aux=3, attribution="gradient").save(tmp_path / "m")
    loaded = SGQN.load(tmp_path / "m")
    assert loaded.saliency_quantile == 0.7 and loaded.fill == "zero" and loaded.n_aux == 3
    assert loaded.attribution_method == "gradient"
    assert loaded.policy.decoder_filters == (8, 8)


def test_a_policy_saved_alone_is_the_same(tmp_path):
    policy = model().policy
    policy.save(tmp_path / "policy.pt")
    assert_equal(policy.state_dict(), SGQNPolicy.load(tmp_path / "policy.pt").state_dict())


def test_the_critic_trains_the_cnn_and_the_actor_does_not():
    agent = model()
    agent.learn(41)
    batch = agent._sample_batch(8)
    before = weights(agent)
    features = agent.critic.features_extractor.cnn(batch.images)
    agent._update_actor(features.detach())
    after = weights(agent)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed and all(name.startswith("actor.") for name in changed)
    assert not any("cnn" in name for name in changed)
    before = after
    agent._update_critic(batch)
    after = weights(agent)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert any(name.startswith("critic.features_extractor.cnn") for name in changed)
    # the actor looks through the same one
    assert any(name.startswith("actor.features_extractor.cnn") for name in changed)
    assert not any(name.startswith("critic_target") for name in changed)


def test_ablations_leave_out_their_part():
    torch.manual_seed(0)
    agent = model(consistency_coef=0, n_aux=0)
    agent.learn(44)
    assert not {"train/consistency_loss", "train/saliency_loss"} & set(agent.logger.name_to_value)
    assert not hasattr(agent, "aux_optimizer") and not hasattr(agent.policy, "decoder")
    agent = model()
    agent.learn(44)
    assert {"train/consistency_loss", "train/saliency_loss"} <= set(agent.logger.name_to_value)


def test_without_its_parts_it_is_the_baseline():
    runs = []
    for made in (
        model(consistency_coef=0, n_aux=0),
        PixelSAC(
            "PixelPolicy", PointEnv(), seed=0, buffer_size=600, learning_starts=40,
            warmup_updates=0,
            batch_size=8, policy_kwargs=SMALL, augmentation="shift",
        ),
    ):  # fmt: skip
        made.policy.load_state_dict(model().policy.state_dict(), strict=False)
        set_random_seed(1)
        made.learn(50)
        runs.append(weights(made))
    assert_equal({name: runs[0][name] for name in runs[1]}, runs[1])


def test_an_agent_that_does_not_learn_its_saliency_predicts_none(tmp_path):
    agent = model(n_aux=0)
    observation = np.zeros((9, SIZE, SIZE), np.uint8)
    agent.save(tmp_path / "sgqn.zip")
    for one in (agent, SGQN.load(tmp_path / "sgqn.zip")):
        with pytest.raises(ExplainError, match=r"predicts no saliency: .*n_aux=0"):
            one.predict_saliency(observation)
        assert one.attribution(observation).shape == observation.shape
    known = {"observation_space": agent.observation_space, "action_space": agent.action_space}
    ours = load_agent("sgqn", None, folder=tmp_path / "sgqn.zip", **known)
    for explained in (ours, Agent.from_model(agent)):
        with pytest.raises(ExplainError, match=r"without the auxiliary task \(n_aux=0\)"):
            EXPLAINERS["sgqn"](explained)
    with pytest.raises(ExplainError, match="n_aux=2 trains the saliency decoder"):
        SGQN.load(tmp_path / "sgqn.zip", n_aux=2)


def test_observations_and_actions_of_other_shapes_are_one_line():
    agent = model()
    observation = np.zeros((9, SIZE, SIZE), np.uint8)
    with pytest.raises(ExplainError, match=r"an observation of shape \(32, 32\): give \(9, 32, 32"):
        agent.predict_saliency(observation[0])
    with pytest.raises(ExplainError, match=r"of shape \(1, 1, 9, 32, 32\)"):
        agent.attribution(observation[None, None])
    with pytest.raises(ExplainError, match=r"of shape \(3,\) for 1 observations: give \(1, 2\)"):
        agent.attribution(observation, np.zeros(3))


def test_the_random_steps_are_caught_up_with_once():
    agent = model(warmup_updates=5)
    agent.learn(43)
    assert agent._n_updates == 5 + 2
    assert model(warmup_updates=None).warmup_updates == 40


def test_predicted_saliency_comes_with_the_action():
    env = PointEnv(low=(0, -3), high=(10, -1))
    agent = model(env)
    observations = np.stack([env.reset(seed=i)[0] for i in range(3)])
    actions, attributions = agent.predict_saliency(observations)
    expected, _ = agent.predict(observations, deterministic=True)
    np.testing.assert_allclose(actions, expected, rtol=1e-5)
    assert (
        attributions.shape == observations.shape
        and 0 <= attributions.min() <= attributions.max() <= 1
    )
    action, one = agent.predict_saliency(observations[0])
    assert action.shape == (2,) and one.shape == observations.shape[1:]
    np.testing.assert_allclose(one, attributions[0], atol=1e-5)


def test_actions_of_several_axes():
    env = PointEnv()
    env.action_space = spaces.Box(-np.ones((2, 1), np.float32), np.ones((2, 1), np.float32))
    observation, _ = env.reset(seed=0)
    agent = model(env)
    action, _ = agent.predict_saliency(observation)
    expected, _ = agent.predict(observation, deterministic=True)
    assert action.shape == expected.shape == (2, 1)
    np.testing.assert_allclose(action, expected, rtol=1e-5)
    assert agent.attribution(observation, action).shape == observation.shape


def test_torch_relus_are_guided_too():
    kwargs = {**POLICY, "activation_fn": nn.ReLU}
    observation, _ = PointEnv().reset(seed=0)
    ours, given = model(), model(policy_kwargs=kwargs)
    action = np.zeros(2, np.float32)
    np.testing.assert_array_equal(
        ours.attribution(observation, action), given.attribution(observation, action)
    )


@pytest.mark.filterwarnings("ignore:Setting backward hooks on ReLU")
def test_the_true_attribution_is_captums_of_q1():
    env = PointEnv(low=(0, -3), high=(10, -1))
    agent = model(env)
    observations = np.stack([env.reset(seed=i)[0] for i in range(3)])
    given = np.stack([env.action_space.sample() for _ in range(3)])

    class FirstQ(nn.Module):
        def __init__(self):
            super().__init__()
            self.critic = agent.critic

        def forward(self, images):
            actions = torch.from_numpy(agent.policy.scale_action(given))
            return self.critic(255 * images, actions)[0]

    images = torch.from_numpy(observations / 255).float().requires_grad_()
    expected = GuidedBackprop(FirstQ()).attribute(images)
    found = agent.attribution(observations, given)
    assert np.abs(found).max() > 0
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-6)
    greedy, _ = agent.predict(observations, deterministic=True)
    np.testing.assert_allclose(
        agent.attribution(observations[0]), agent.attribution(observations, greedy)[0], atol=1e-6
    )


def test_what_sb3_offers(tmp_path):
    env = VecNormalize(make_vec_env("Point-v0", n_envs=2), norm_obs=False, norm_reward=True)
    agent = model(env, tensorboard_log=str(tmp_path / "tensorboard"))
    callbacks = [
        CheckpointCallback(20, str(tmp_path), "sgqn"),
        EvalCallback(
            VecNormalize(make_vec_env("Point-v0"), norm_obs=False, training=False),
            eval_freq=20,
            n_eval_episodes=1,
            verbose=0,
        ),
    ]
    agent.learn(80, callback=callbacks, progress_bar=True)
    assert (tmp_path / "sgqn_80_steps.zip").exists()
    assert list((tmp_path / "tensorboard").glob("SGQN_1/events*"))
    assert agent.replay_buffer.n_envs == 2 and agent._n_updates > 10


def test_an_agent_is_made_of_it():
    agent = Agent.from_model(model())
    observations = torch.rand(2, 9, SIZE, SIZE).mul(255).requires_grad_()
    scores, values = agent.scores(observations), agent.values(observations)
    assert scores.shape == (2, 2) and values.shape == (2,)
    (gradient,) = torch.autograd.grad(scores.sum(), observations)
    assert gradient.abs().max() > 0


def test_refusals():
    with pytest.raises(ExplainError, match=r"continuous actions \(Box\), not Discrete\(3\)"):
        SGQN("SGQNPolicy", DotEnv())
    with pytest.raises(ExplainError, match=r"uint8 images \(C, H, W\) in 0..255, not at Box"):
        SGQN("SGQNPolicy", "Pendulum-v1")
    with pytest.raises(ExplainError, match="unknown fill 'blue'"):
        model(fill="blue")
    with pytest.raises(ExplainError, match="unknown attribution 'lime'"):
        model(attribution="lime")
    with pytest.raises(ExplainError, match="unknown augmentation 'crop'"):
        model(augmentation="crop")
    for options, line in (
        ({"use_sde": True}, "SGQN has no use_sde"),
        ({"target_update_interval": 5}, "SGQN has no target_update_interval"),
        ({"augmented_loss_weight": 0.5}, "leave out augmented_loss_weight"),
        ({"saliency_quantile": 1.5}, "saliency_quantile is 1.5"),
        ({"policy_delay": 0}, "policy_delay=0"),
        ({"consistency_coef": -1.0}, "consistency_coef=-1.0: it cannot be below 0"),
        ({"consistency_coef": float("nan")}, "consistency_coef=nan"),
        ({"encoder_tau": 5.0}, r"encoder_tau=5.0: give a number in \[0, 1\]"),
        ({"warmup_updates": -5}, "warmup_updates=-5"),
        ({"n_aux": -1}, "n_aux=-1"),
        ({"n_aux": 1.5}, "n_aux=1.5: give a whole number"),
        ({"saliency_quantil": 0.9}, "argument of SGQN 'saliency_quantil'; did you mean 'saliency_"),
        ({"policy_kwargs": {**POLICY, "n_layer": 3}}, "argument of SGQNPolicy 'n_layer'; did you"),
        ({"policy_kwargs": {**POLICY, "size": 20}}, "leave out size"),
        ({"policy_kwargs": {**POLICY, "normalize_images": False}}, "leave out normalize_images"),
        ({"policy_kwargs": {**POLICY, "features_extractor_class": nn.Flatten}}, "n_layers"),
        ({"policy_kwargs": {**POLICY, "features_extractor_kwargs": {"features_dim": 9}}}, "n_lay"),
        ({"policy_kwargs": {**POLICY, "share_features_extractor": True}}, "share the CNN"),
        ({"policy_kwargs": {**POLICY, "log_std_init": -1.0}}, "log_std_init=-1.0 would have no"),
    ):
        with pytest.raises(ExplainError, match=line):
            model(**options)
    with pytest.raises(ExplainError, match="needs an SGQNPolicy, and this is a PixelPolicy"):
        SGQN(PixelPolicy, PointEnv(), policy_kwargs=SMALL)
    with pytest.raises(ExplainError, match="11 convolutions are too many for images of 32 x 32"):
        model(policy_kwargs={})
    with pytest.raises(ExplainError, match="overlay pictures is missing: nowhere"):
        model(overlays="nowhere").learn(1)
    with pytest.raises(ExplainError, match="are not 4 stacked frames"):
        model(n_stack=4)


def test_overlays_are_the_folders_pictures_or_textures_that_are_said_to_be_no_protocol(
    tmp_path, caplog
):
    imageio.imwrite(tmp_path / "red.png", np.full((40, 40, 3), (200, 0, 0), np.uint8))
    agent = model(overlays=tmp_path)
    assert agent.load_pictures().shape == (1, 3, SIZE, SIZE) and not caplog.records
    mixed = agent.overlay(torch.zeros(2, 9, SIZE, SIZE))
    assert torch.allclose(mixed[:, [0, 3, 6]], torch.tensor(100 / 255)) and not mixed[:, 1].any()
    assert len(model().load_pictures()) == 512
    assert "not those of the benchmark's protocol" in caplog.text


def test_nan_stops_the_training():
    class Broken(PointEnv):
        def step(self, action):
            observation, _, *others = super().step(action)
            return observation, float("nan"), *others

    agent = model(Broken())
    before = weights(agent)
    with pytest.raises(ExplainError, match="a loss is nan at update 0, which was skipped"):
        agent.learn(45)
    assert_equal(before, weights(agent))


@pytest.mark.filterwarnings("ignore")
def test_compiled_networks_learn_the_same(monkeypatch, tmp_path):
    # what lies between tracing and machine code is the compiler's own, and takes it a minute
    monkeypatch.setattr(nn.Module, "compile", partialmethod(nn.Module.compile, backend="aot_eager"))
    found = []
    for compiled in (False, True):
        agent = model(compiled=compiled)
        agent.learn(46)  # which predicts single observations between updates
        assert agent._n_updates == 6
        found.append(weights(agent))
    for name, tensor in found[0].items():
        torch.testing.assert_close(tensor, found[1][name], rtol=0, atol=1e-5)
    agent.save(tmp_path / "sgqn.zip")
    assert SGQN.load(tmp_path / "sgqn.zip").compiled


def test_an_actor_of_nan_is_one_line():
    agent = model()
    agent.learn(42)
    with torch.no_grad():
        agent.actor.mu.weight.fill_(float("nan"))
    with pytest.raises(ExplainError, match="outputs are not finite at update 2"):
        agent.train(1, 8)


def test_spaces_of_other_kinds_are_refused_by_name():
    class Nested(PointEnv):
        def __init__(self):
            super().__init__()
            self.observation_space = spaces.Dict({"image": self.observation_space})

    with pytest.raises(ExplainError, match="uint8 images"):
        SGQN("SGQNPolicy", Nested())


def test_classes_of_users_hand_on_what_they_like():
    class OwnPolicy(SGQNPolicy):
        def __init__(self, observation_space, action_space, lr_schedule, **others):
            others["optimizer_class"] = torch.optim.AdamW
            super().__init__(observation_space, action_space, lr_schedule, **others)

    class Own(SGQN):
        def __init__(self, env, own=3):
            super().__init__(OwnPolicy, env, seed=1, verbose=0, buffer_size=50,
                             policy_kwargs=POLICY)  # fmt: skip
            self.own = own

    agent = Own(PointEnv())
    assert isinstance(agent.critic.optimizer, torch.optim.AdamW) and agent.own == 3


@pytest.mark.parametrize(
    "given",
    [
        {"learning_starts": float("inf")}, {"warmup_updates": float("nan")}, {"n_aux": "2"},
        {"tau": None}, {"tau": "x"}, {"batch_size": 4.0},
    ],
)  # fmt: skip
def test_what_is_no_such_number_is_one_line(given):
    (name,) = given
    with pytest.raises(ExplainError, match=f"{name}=.*: give a (whole )?number"):
        model(**given)


class DepthEnv(PointEnv):
    """The point in frames of four channels, as a camera with depth gives them."""

    def __init__(self):
        super().__init__()
        self.observation_space = spaces.Box(0, 255, (12, SIZE, SIZE), np.uint8)

    def reset(self, **options):
        return np.zeros((12, SIZE, SIZE), np.uint8), super().reset(**options)[1]

    def step(self, action):
        return np.zeros((12, SIZE, SIZE), np.uint8), *super().step(action)[1:]


@pytest.mark.parametrize(
    ("algorithm", "policy_kwargs", "without"),
    [(SGQN, POLICY, {"n_aux": 0}), (SODA, {**SMALL, "size": 28}, {"n_aux": 0}),
     (SVEA, SMALL, {"augmented_loss_weight": 0.0})],
)  # fmt: skip
def test_frames_that_no_picture_can_be_laid_over_are_refused_before_training(
    algorithm, policy_kwargs, without
):
    settings = {"policy_kwargs": policy_kwargs, "buffer_size": 100, "learning_starts": 10,
                "warmup_updates": 2, "batch_size": 4}  # fmt: skip
    (name,) = without
    with pytest.raises(ExplainError, match=rf"frames of 4 channels .* or {name}=0"):
        algorithm("CnnPolicy", DepthEnv(), **settings)
    trained = algorithm("CnnPolicy", DepthEnv(), **settings, **without).learn(14)
    assert trained._n_updates == 5


@pytest.mark.parametrize("warmup_delay", [False, True])
def test_warm_up_updates_move_every_network_as_in_the_published_loop(warmup_delay):
    # six updates with the number of the last random step, 8, then one for each of 9, 10 and 11
    numbers = range(9) if warmup_delay else [8] * 6 + [9, 10, 11]
    agent = model(warmup_updates=6, learning_starts=8, warmup_delay=warmup_delay)
    moved = []

    def count(name, update):
        def counted(*arguments):
            moved.append(name)
            return update(*arguments)

        return counted

    names = ("_update_actor", "_update_targets", "_update_saliency")
    for name in names:
        setattr(agent, name, count(name, getattr(agent, name)))
    agent.learn(12)
    assert agent._n_updates == len(numbers)
    due = sum(number % 2 == 0 for number in numbers)
    assert [moved.count(name) for name in names] == [due] * 3
