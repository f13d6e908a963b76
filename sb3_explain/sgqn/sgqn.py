"""SGQN: SAC that is regularized by its own saliency, and predicts it (Bertoin et al. 2022)."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import GymEnv
from torch import Tensor
from torch.nn import functional

from sb3_explain.common.errors import ExplainError, unknown_name
from sb3_explain.sgqn.attribution import Attribution, binarize, get_attribution, require_quantile
from sb3_explain.sgqn.batch import Batch
from sb3_explain.sgqn.pixel_sac import PixelSAC
from sb3_explain.sgqn.policies import SGQNPolicy, sum_squared_errors
from sb3_explain.sgqn.requirements import (
    require_not_negative,
    require_whole,
)

FILLS = ("random", "zero")


class SGQN(PixelSAC):
    """Saliency-guided Q-networks on SAC: Bertoin et al. (2022), algorithm 1.

    The critics must give the same Q-values when only the pixels most salient to Q1 are kept, and a
    decoder learns to predict these pixels from the strongly augmented state.

    :param policy: ``"SGQNPolicy"`` or a class derived from it
    :param env: environment, see :class:`PixelSAC`
    :param saliency_quantile: rho, the quantile of a frame's attributions from which on pixels are
        in the mask, in [0, 1); 0.95 for walker and finger, 0.98 for cartpole and ball in cup
    :param consistency_coef: weight of the loss on masked states, at least 0; 0 leaves it out
    :param fill: value of the masked pixels: ``"random"``, one number for the batch from the range
        of its pixels, or ``"zero"``, as in the paper
    :param n_aux: one update of the auxiliary task (the saliency decoder) for every ``n_aux`` of the
        critics, N_SL in the paper; 0 for none, and then no saliency is predicted
    :param aux_lr: learning rate of the auxiliary task's Adam
    :param attribution: attribution method of Q1: ``"guided_backprop"``, ``"gradient"``,
        ``"input_x_gradient"``, ``"smoothgrad"``, ``"integrated_gradients"``, or a function as in
        :mod:`sb3_explain.sgqn.attribution`
    :param augmentation: augmentation of sampled states: ``"shift"`` as in the code behind the
        paper's tables, or ``"none"`` as in the paper
    :param policy_kwargs: arguments of :class:`~sb3_explain.sgqn.policies.SGQNPolicy`
    :param sac_kwargs: further arguments of :class:`PixelSAC`
    :raises ExplainError: for an argument out of its range

    >>> from sb3_explain import SGQN
    >>> from stable_baselines3.common.envs import FakeImageEnv
    >>> env = FakeImageEnv(screen_height=36, screen_width=36, n_channels=3, discrete=False)
    >>> small = {"n_layers": 4, "net_arch": [32]}
    >>> model = SGQN("SGQNPolicy", env, n_stack=1, buffer_size=50, policy_kwargs=small)
    >>> action, saliency = model.learn(9).predict_saliency(env.reset()[0])
    >>> action.shape, saliency.shape
    ((5,), (3, 36, 36))
    """

    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = {
        "SGQNPolicy": SGQNPolicy,
        "CnnPolicy": SGQNPolicy,
    }
    policy: SGQNPolicy

    def __init__(
        self,
        policy: str | type[SGQNPolicy],
        env: GymEnv | str | None,
        *,
        saliency_quantile: float = 0.95,
        consistency_coef: float = 0.5,
        fill: str = "random",
        n_aux: int = 2,
        aux_lr: float = 3e-4,
        attribution: str | Attribution = "guided_backprop",
        augmentation: str = "shift",
        policy_kwargs: dict[str, Any] | None = None,
        **sac_kwargs: Any,
    ) -> None:
        require_not_negative(consistency_coef=consistency_coef, aux_lr=aux_lr)
        require_whole(0, n_aux=n_aux)
        if sac_kwargs.get("augmented_loss_weight"):
            raise ExplainError(
                "SGQN's critics are not trained on overlaid states: leave out augmented_loss_weight"
            )
        self.saliency_quantile = saliency_quantile
        self.consistency_coef = consistency_coef
        self.fill = fill
        self.n_aux = n_aux
        self.aux_lr = aux_lr
        self.attribution_method = attribution
        if n_aux == 0:  # a decoder that is never trained would predict noise
            policy_kwargs = {"predicts_saliency": False, **(policy_kwargs or {})}
        super().__init__(
            policy, env, augmentation=augmentation, policy_kwargs=policy_kwargs, **sac_kwargs
        )

    def _setup_model(self) -> None:
        if self.fill not in FILLS:
            raise unknown_name("fill", self.fill, FILLS)
        require_quantile(self.saliency_quantile)
        get_attribution(self.attribution_method)
        super()._setup_model()
        if not isinstance(self.policy, SGQNPolicy):
            raise ExplainError(
                f"SGQN needs an SGQNPolicy, and this is a {type(self.policy).__name__}"
            )
        if not self.policy.predicts_saliency:
            if self.n_aux > 0:
                raise ExplainError(
                    f"n_aux={self.n_aux} trains the saliency decoder, and this policy has none: "
                    "give n_aux=0, or leave out predicts_saliency"
                )
            return
        self._require_augmentable("n_aux=0", self.n_aux > 0)
        encoder = self.critic.features_extractor
        self.aux_optimizer = torch.optim.Adam(
            [*encoder.parameters(), *self.policy.decoder.parameters()], lr=self.aux_lr
        )

    def _get_torch_save_params(self) -> tuple[list[str], list[str]]:
        state_dicts, tensors = super()._get_torch_save_params()
        if self.policy.predicts_saliency:
            state_dicts = [*state_dicts, "aux_optimizer"]
        return state_dicts, tensors

    # --- an update -------------------------------------------------------------------------

    def _critic_losses(self, batch: Batch, targets: Tensor) -> dict[str, Tensor]:
        """Compute sum_i MSE(Q_i(s, a), y) and coef * sum_i MSE(Q_i(s, a), Q_i(s masked, a))."""
        if self.consistency_coef == 0:
            return super()._critic_losses(batch, targets)
        critic, encoder = self.critic, self.critic.features_extractor
        images = batch.images.detach().requires_grad_()
        with self._precision():
            q_values = critic.q_values(encoder(images), batch.actions)
            mask = self._compute_mask(images, batch.actions, q_values[0].squeeze(1))
            revealed = torch.where(mask, batch.images, self._draw_fill(batch.images))
            masked = critic.q_values(encoder(revealed), batch.actions)
        # both sides learn from their difference; the mask is a constant
        differences = [
            functional.mse_loss(q.to(targets), m.to(targets))
            for q, m in zip(q_values, masked, strict=True)
        ]
        return {
            "critic_loss": sum_squared_errors(q_values, targets),
            "consistency_loss": self.consistency_coef * torch.stack(differences).sum(),
        }

    def _compute_mask(self, images: Tensor, actions: Tensor, q1: Tensor) -> Tensor:
        """Compute the mask (B, C, H, W) of the pixels most salient to Q1.

        :param q1: (B,) Q1 of ``images``, with its graph
        """

        def q(changed_images: Tensor) -> Tensor:
            return self.policy.q1(changed_images, actions)

        attributions = get_attribution(self.attribution_method)(q, images, q1)
        return binarize(attributions, self.saliency_quantile, self.n_stack)

    def _draw_fill(self, images: Tensor) -> Tensor:
        if self.fill == "zero":
            return torch.zeros((), dtype=images.dtype, device=images.device)
        low, high = images.aminmax()
        return low + (high - low) * torch.rand((), dtype=images.dtype, device=images.device)

    def _update(self, batch: Batch) -> dict[str, Tensor]:
        actor_due = self._is_due(self.policy_delay)
        aux_due = self.n_aux > 0 and self._is_due(self.n_aux)
        losses = self._update_critic(batch)
        images = batch.images.detach().requires_grad_(aux_due)
        mask = None
        if actor_due or aux_due:
            with torch.set_grad_enabled(aux_due), self._precision():
                features = self.critic.features_extractor.cnn(images)
                if aux_due:
                    embedding = self.critic.features_extractor.projection(features)
                    q1 = self.policy.q1_from_embedding(embedding, batch.actions)
                    mask = self._compute_mask(images, batch.actions, q1)
        if actor_due:
            losses |= self._update_actor(features.detach())
            self._update_targets()
        if mask is not None:
            losses |= self._update_saliency(batch, mask)
        return losses

    def _update_saliency(self, batch: Batch, mask: Tensor) -> dict[str, Tensor]:
        """Make one step of the CNN, the critics' projection and the decoder towards the mask."""
        with self._precision():
            embedding = self.critic.features_extractor(self.augment_strongly(batch.images))
            logits = self.policy.decoder(embedding, batch.actions)
        loss = functional.binary_cross_entropy_with_logits(
            logits.to(batch.images), mask.to(batch.images)
        )
        self._step(self.aux_optimizer, loss)
        return {"saliency_loss": loss}

    # --- explaining ------------------------------------------------------------------------

    def predict_saliency(self, observation: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Compute the deterministic action and the agent's own saliency map in one forward pass.

        :param observation: one observation or a batch of them, as for ``predict``
        :return: actions as ``predict`` returns them; predicted saliency (B, C, H, W), or (C, H, W)
            for one observation: the probability that a pixel is among the share
            ``1 - saliency_quantile`` of the most salient ones
        :raises ExplainError: if the agent does not learn to predict it (``n_aux=0``)
        """
        observations, batched = self._convert_observation(observation)
        with torch.no_grad():
            actions, saliency = self.policy.predict_saliency(observations)
        shape = self.action_space.shape
        unscaled = self.policy.unscale_action(actions.cpu().numpy().reshape(-1, *shape))  # type: ignore[misc]
        attributions = saliency.cpu().numpy()
        return (unscaled, attributions) if batched else (unscaled[0], attributions[0])

    def _convert_observation(self, observation: NDArray[Any]) -> tuple[Tensor, bool]:
        """Convert to observations (B, C, H, W) for the policy, and tell whether it is a batch."""
        shape = self.observation_space.shape
        given = np.asarray(observation)
        # channels may come last, as SB3 takes them too
        if sorted(given.shape[-3:]) != sorted(shape) or given.ndim > 4:  # type: ignore[arg-type]
            raise ExplainError(
                f"an observation of shape {given.shape}: give {shape}, or a batch of such"
            )
        self.policy.set_training_mode(False)
        observations, batched = self.policy.obs_to_tensor(observation)
        assert isinstance(observations, Tensor)
        return observations, batched

    def attribution(
        self, observation: NDArray[Any], action: NDArray[Any] | None = None
    ) -> NDArray[Any]:
        """Attribute Q1(s, a) to the pixels by the attribution method of the training.

        :param observation: one observation or a batch of them, as for ``predict``
        :param action: action of each, as the environment takes it; the deterministic one by default
        :return: signed attributions (B, C, H, W), or (C, H, W) for one observation, with respect to
            pixels scaled to [0, 1]
        :raises ExplainError: for observations or actions of another shape
        """
        observations, batched = self._convert_observation(observation)
        if action is None:
            action, _ = self.predict(observation, deterministic=True)
        shape = (len(observations), *self.action_space.shape)  # type: ignore[misc]
        given = np.asarray(action)
        if given.size != np.prod(shape):
            raise ExplainError(
                f"actions of shape {given.shape} for {len(observations)} observations: give {shape}"
            )
        given = given.reshape(shape)
        actions = torch.from_numpy(self.policy.scale_action(given)).flatten(1)
        actions = actions.to(self.device, self.policy.dtype)
        method = get_attribution(self.attribution_method)
        attributions = self.policy.attribution(observations, actions, method).cpu().numpy()
        return attributions if batched else attributions[0]
