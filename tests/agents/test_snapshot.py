"""A snapshot is a policy of its own: equal outputs, other weights, nothing of the training."""

import numpy as np
import torch
from stable_baselines3 import PPO, SAC

from sb3_explain.agents.snapshot import snapshot


def test_it_answers_as_the_policy_did_however_that_trains_on():
    model = PPO("MlpPolicy", "CartPole-v1", n_steps=32, batch_size=32, seed=0, device="cpu")
    model.learn(32)  # leaves tensors with a graph in the policy's distribution
    seen = np.linspace(-1, 1, 20).reshape(5, 4).astype(np.float32)
    copied = snapshot(model.policy)
    before = copied.get_distribution(torch.tensor(seen)).distribution.logits.detach().clone()
    model.learn(64)
    after = copied.get_distribution(torch.tensor(seen)).distribution.logits
    trained = model.policy.get_distribution(torch.tensor(seen)).distribution.logits
    assert torch.equal(before, after) and not torch.allclose(before, trained)


def test_it_has_no_optimizer_and_the_model_keeps_its_own():
    model = SAC("MlpPolicy", "Pendulum-v1", seed=0, device="cpu")
    copied = snapshot(model.policy)
    assert copied.actor.optimizer is None and copied.critic.optimizer is None
    assert model.policy.actor.optimizer is not None
    own = {p.data_ptr() for p in model.policy.parameters()}
    assert not own & {p.data_ptr() for p in copied.parameters()}
