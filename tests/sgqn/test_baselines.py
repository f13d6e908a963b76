"""The baselines' losses, against what their equations say."""

import numpy as np
import pytest
import torch

from sb3_explain.common.errors import ExplainError
from sb3_explain.sgqn.augmentations import center_crop, random_convolution, random_crop
from sb3_explain.sgqn.baselines import RAD, SODA, SVEA, DrQ
from sb3_explain.sgqn.pixel_sac import PixelSAC
from sb3_explain.sgqn.sgqn import SGQN
from tests.pixels import SIZE, SMALL, PointEnv

SETTINGS = {
    "seed": 0, "buffer_size": 300, "learning_starts": 40, "warmup_updates": 0, "batch_size": 8,
}  # fmt: skip


def made(algorithm, size=None, policy="CnnPolicy", **options):
    kwargs = SMALL if size is None else {**SMALL, "size": size}
    return algorithm(policy, PointEnv(), policy_kwargs=kwargs, **SETTINGS, **options)


ALGORITHMS = [(PixelSAC, None), (DrQ, None), (SVEA, None), (RAD, 28), (SODA, 28)]


@pytest.mark.parametrize(("algorithm", "size"), ALGORITHMS)
def test_each_learns_is_saved_and_predicts_the_same(algorithm, size, tmp_path):
    model = made(algorithm, size)
    model.learn(50)
    model.save(tmp_path / "model")
    loaded = algorithm.load(tmp_path / "model")
    observation, _ = PointEnv().reset(seed=1)
    ours, theirs = (m.predict(observation, deterministic=True)[0] for m in (model, loaded))
    np.testing.assert_array_equal(ours, theirs)
    assert model._n_updates == 10


def test_the_critics_loss_is_the_sum_of_squared_errors_and_not_halved():
    model = made(PixelSAC)
    model.learn(41)
    batch = model._sample_batch(8)
    targets = torch.randn(8, 1)
    (loss,) = model._critic_losses(batch, targets).values()
    q1, q2 = model.critic(255 * batch.images, batch.actions)
    expected = ((q1 - targets) ** 2).mean() + ((q2 - targets) ** 2).mean()
    torch.testing.assert_close(loss, expected)


def test_svea_has_half_of_its_loss_from_overlaid_states_with_clean_targets():
    model = made(SVEA)
    model.learn(41)
    batch, targets = model._sample_batch(8), torch.randn(8, 1)
    torch.manual_seed(4)
    losses = model._critic_losses(batch, targets)
    torch.manual_seed(4)
    overlaid = model.overlay(batch.images)
    for name, images in (("critic_loss", batch.images), ("overlaid_loss", overlaid)):
        q1, q2 = model.critic(255 * images, batch.actions)
        expected = 0.5 * (((q1 - targets) ** 2).mean() + ((q2 - targets) ** 2).mean())
        torch.testing.assert_close(losses[name], expected)


@pytest.mark.parametrize(("algorithm", "size"), ALGORITHMS)
def test_each_may_sample_states_through_random_convolutions(algorithm, size, monkeypatch):
    model = made(algorithm, size, augmentation="convolution")
    model.learn(39)
    data = model.replay_buffer.sample(8)
    monkeypatch.setattr(model.replay_buffer, "sample", lambda *_, **__: data)
    torch.manual_seed(4)
    batch = model._sample_batch(8)
    torch.manual_seed(4)
    for ours, states in ((batch.images, data.observations),
                         (batch.next_images, data.next_observations)):  # fmt: skip
        expected = random_convolution(states) / 255
        torch.testing.assert_close(ours, center_crop(expected, size or SIZE))


def test_random_convolutions_may_stand_for_the_overlaid_pictures():
    model = made(SVEA, strong_augmentation="convolution")
    model.learn(45)
    batch, targets = model._sample_batch(8), torch.randn(8, 1)
    torch.manual_seed(4)
    losses = model._critic_losses(batch, targets)
    torch.manual_seed(4)
    changed = random_convolution(255 * batch.images) / 255
    q1, q2 = model.critic(255 * changed, batch.actions)
    expected = 0.5 * (((q1 - targets) ** 2).mean() + ((q2 - targets) ** 2).mean())
    torch.testing.assert_close(losses["overlaid_loss"], expected)
    assert model._pictures is None
    others = [made(SODA, 28, strong_augmentation="convolution"),
              made(SGQN, strong_augmentation="convolution")]  # fmt: skip
    for other in others:
        loss = "soda_loss" if isinstance(other, SODA) else "saliency_loss"
        other.learn(39)
        other._n_updates = 2
        losses = other._update(other._sample_batch(8))
        assert losses[loss].isfinite() and other._pictures is None
    with pytest.raises(ExplainError, match="unknown strong_augmentation 'overlays'; did you mean"):
        made(SVEA, strong_augmentation="overlays")


def test_rad_learns_from_crops_and_acts_on_the_middle():
    model = made(RAD, 28)
    model.learn(41)
    assert model._sample_batch(8).images.shape == (8, 9, 28, 28)
    observation, _ = PointEnv().reset(seed=1)
    cut = observation[:, 2:30, 2:30] / 255
    embedding = model.actor.features_extractor(torch.from_numpy(cut).float()[None])
    mean, _ = model.actor.distribution(embedding)
    action, _ = model.predict(observation, deterministic=True)
    np.testing.assert_allclose(action, torch.tanh(mean).detach().numpy()[0], rtol=1e-4)


def test_other_augmentations_are_of_the_middle():
    model = made(RAD, 28, augmentation="shift")
    model.learn(44)
    assert model._n_updates == 4 and model._sample_batch(3).images.shape == (3, 9, 28, 28)


def test_rad_refuses_what_it_cannot_crop():
    with pytest.raises(ExplainError, match="crops to 84 x 84 need larger images than 32 x 32"):
        RAD("PixelPolicy", PointEnv())
    with pytest.raises(ExplainError, match="looks at 40 x 40 pixels, and the images have 32 x 32"):
        made(PixelSAC, 40)


def test_soda_pulls_the_encoder_towards_its_slow_copy():
    model = made(SODA, 28, aux_batch_size=16)
    model.learn(41)
    model.policy.set_training_mode(True)
    slow_before = [p.clone() for p in model.policy.slow.parameters()]
    np.random.seed(2)  # noqa: NPY002
    torch.manual_seed(2)
    states = model.replay_buffer.sample(16).observations
    first, second = random_crop(states, 28).float(), random_crop(states, 28).float()
    pictures = model.load_pictures()
    chosen = pictures[torch.randint(len(pictures), (16,))].float().repeat(1, 3, 1, 1)
    cnn = model.critic.features_extractor.cnn
    overlaid = 0.5 * first + 0.5 * chosen
    features = cnn(overlaid / 255).flatten(1)
    predicted = model.policy.soda_predictor(model.policy.soda_projection(features))
    desired = model.policy.slow(second / 255)
    unit = [v / v.norm(dim=1, keepdim=True) for v in (predicted, desired)]
    expected = ((unit[0] - unit[1]) ** 2).mean()
    np.random.seed(2)  # noqa: NPY002
    torch.manual_seed(2)
    loss = model._update_encoder()["soda_loss"]
    torch.testing.assert_close(loss, expected, rtol=1e-4, atol=1e-6)
    for slow, before, fast in zip(
        model.policy.slow.parameters(), slow_before, model.fast.parameters(), strict=True
    ):
        torch.testing.assert_close(slow, 0.995 * before + 0.005 * fast)


def test_soda_leaves_the_projection_of_the_critics_alone():
    model = made(SODA, 28, aux_batch_size=16)
    model.learn(41)
    encoder = model.critic.features_extractor
    before = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    model.policy.set_training_mode(True)
    model._update_encoder()
    moved = {
        name.partition(".")[0]
        for name, t in encoder.state_dict().items()
        if not t.equal(before[name])
    }
    assert moved == {"cnn"}


def test_svea_and_soda_together():
    model = made(SODA, 28, augmented_loss_weight=0.5)
    model.learn(44)
    assert {"train/overlaid_loss", "train/soda_loss"} <= set(model.logger.name_to_value)
