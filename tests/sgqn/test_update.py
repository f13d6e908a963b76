"""One update, against the plain one of benchmarks/published_sgqn.py, in double precision."""

import pytest
import torch

from benchmarks.published_sgqn import PublishedSGQN
from sb3_explain.sgqn.sgqn import SGQN
from tests.pixels import SIZE, SMALL, PointEnv

QUANTILE = 0.9
DECODER = (12, 10)


def doubled() -> SGQN:
    """A model with states to learn from, in double precision."""
    policy_kwargs = {**SMALL, "decoder_filters": DECODER}
    model = SGQN(
        "SGQNPolicy", PointEnv(), seed=3, buffer_size=500, learning_starts=200, warmup_updates=0,
        saliency_quantile=QUANTILE, policy_kwargs=policy_kwargs,
    )  # fmt: skip
    model.learn(120)
    model.policy.double()
    with torch.no_grad():
        # at initialisation most attributions are zero, and so is the quantile
        for parameter in model.policy.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
        model.critic_target.load_state_dict(model.critic.state_dict())
    model.log_ent_coef.data = model.log_ent_coef.data.double()
    model.policy.set_training_mode(True)
    return model


def published(model: SGQN) -> PublishedSGQN:
    """The plain implementation with the weights of ``model``."""
    plain = PublishedSGQN(
        side=SIZE, n_actions=2, n_layers=SMALL["n_layers"], n_filters=SMALL["n_filters"],
        features_dim=SMALL["features_dim"], width=SMALL["net_arch"][0], filters=DECODER,
        quantile=QUANTILE, dtype=torch.float64,
    )  # fmt: skip
    pairs = parameters(model, plain)
    with torch.no_grad():
        for name, ours in pairs["ours"].items():
            pairs["plain"][name].copy_(ours)
    plain.log_alpha.data = model.log_ent_coef.data.clone()
    return plain


def parameters(model: SGQN, plain: PublishedSGQN) -> dict[str, dict[str, torch.Tensor]]:
    """All parameters of both, under common names."""

    def listed(**modules) -> dict[str, torch.Tensor]:
        return {
            f"{name}.{i}": parameter
            for name, module in modules.items()
            for i, parameter in enumerate(module.parameters())
        }

    encoder, target = model.critic.features_extractor, model.critic_target.features_extractor
    (q1, q2), (t1, t2) = model.critic.q_networks, model.critic_target.q_networks
    ours = listed(
        cnn=encoder.cnn, projection=encoder.projection, q1=q1, q2=q2,
        target_cnn=target.cnn, target_projection=target.projection, t1=t1, t2=t2,
        actor_projection=model.actor.features_extractor.projection, actor=model.actor.latent_pi,
        decoder=model.policy.decoder,
    )  # fmt: skip
    head = plain.actor.head
    theirs = listed(
        cnn=plain.critic.cnn, projection=plain.critic.projection,
        q1=plain.critic.q1, q2=plain.critic.q2,
        target_cnn=plain.target.cnn, target_projection=plain.target.projection,
        t1=plain.target.q1, t2=plain.target.q2,
        actor_projection=plain.actor.projection, actor=head[:-1], decoder=plain.decoder,
    )  # fmt: skip
    for part in ("weight", "bias"):
        mean, log_std = getattr(head[-1], part).chunk(2)
        theirs |= {f"mu.{part}": mean, f"log_std.{part}": log_std}
        ours |= {
            f"mu.{part}": getattr(model.actor.mu, part),
            f"log_std.{part}": getattr(model.actor.log_std, part),
        }
    assert ours.keys() == theirs.keys()
    return {"ours": ours, "plain": theirs}


def gradients_at_steps(optimizers) -> dict[str, list[torch.Tensor]]:
    """What each optimiser was given, filled in at every step."""
    seen: dict[str, list[torch.Tensor]] = {name: [] for name in optimizers}

    def note(name):
        def hook(optimizer, *_):
            parameters = [p for group in optimizer.param_groups for p in group["params"]]
            seen[name] += [p.grad.clone() for p in parameters if p.grad is not None]

        return hook

    for name, optimizer in optimizers.items():
        optimizer.register_step_pre_hook(note(name))
    return seen


def test_five_updates_are_those_of_the_plain_implementation():
    model = doubled()
    plain = published(model)
    ours_seen = gradients_at_steps(
        {
            "critic": model.critic.optimizer,
            "alpha": model.ent_coef_optimizer,
            "saliency": model.aux_optimizer,
        }
    )
    theirs_seen = gradients_at_steps({name: plain.optimizers[name] for name in ours_seen})
    pictures = model.load_pictures()
    for step in range(5):
        batch = model._sample_batch(16)
        torch.manual_seed(step)
        losses = model._update(batch)
        model._n_updates += 1
        torch.manual_seed(step)
        expected = plain.update(
            255 * batch.images, batch.actions, batch.rewards, 255 * batch.next_images,
            batch.dones, pictures,
        )  # fmt: skip
        assert {name for name in losses if name != "ent_coef"} == set(expected)
        assert expected["consistency_loss"] > 1e-6
        for name, loss in expected.items():
            assert loss.item() == pytest.approx(losses[name].item(), rel=1e-10, abs=1e-12)
        both = parameters(model, plain)
        for name, parameter in both["ours"].items():
            torch.testing.assert_close(parameter, both["plain"][name], rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(model.log_ent_coef, plain.log_alpha, rtol=1e-10, atol=0)
    for name, gradients in theirs_seen.items():
        assert len(gradients) == len(ours_seen[name]) > 0
        for ours, theirs in zip(ours_seen[name], gradients, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)
