"""SGQN: a SAC that is regularised by its own saliency, and predicts it (Bertoin et al. 2022)."""

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
from sb3_explain.sgqn.attribution import Attribution, attribution_named, binarized, require_quantile
from sb3_explain.sgqn.pixel_sac import Batch, PixelSAC, squared_errors
from sb3_explain.sgqn.policies import SGQNPolicy
from sb3_explain.sgqn.requirements import require_not_negative, require_whole

FILLS = ("random", "zero")


class SGQN(PixelSAC):
    """Saliency-guided Q-networks on SAC: Bertoin et al. (2022), algorithm 1.

    The critics are asked to say the same of a state of which only the pixels are left that matter
    most to Q1, and a decoder predicts which these are from a state under a random picture.

    :param policy: ``"SGQNPolicy"`` or a class derived from it
    :param env: as for :class:`PixelSAC`
    :param saliency_quantile: rho: a pixel is of the mask from this quantile of its frame on; 0.95
        for walker and finger, 0.98 for cartpole and ball in cup
    :param consistency_coef: weight of the masked states' term; 0 leaves it out
    :param fill: what masked pixels become: ``"random"``, one number for the batch from the range
        of its pixels, or ``"zero"``, as the paper says
    :param n_aux: steps for one of the auxiliary task (N_SL of the paper); 0 leaves it out, and with
        it the predicted saliency
    :param aux_lr: learning rate of the auxiliary task, Adam
    :param attribution: ``"guided_backprop"``, ``"gradient"``, ``"input_x_gradient"``,
        ``"smoothgrad"``, ``"integrated_gradients"``, or a function as in
        :mod:`sb3_explain.sgqn.attribution`
    :param augmentation: ``"shift"`` as the code that made the tables; ``"none"`` as the paper
    :param arguments: of :class:`PixelSAC`
    :raises ExplainError: for a value that is none of these
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
        **arguments: Any,
    ) -> None:
        require_not_negative(consistency_coef=consistency_coef, aux_lr=aux_lr)
        require_whole(0, n_aux=n_aux)
        if arguments.get("augmented_loss_weight"):
            raise ExplainError(
                "SGQN's critics see no overlaid states: leave out augmented_loss_weight"
            )
        self.saliency_quantile = saliency_quantile
        self.consistency_coef = consistency_coef
        self.fill = fill
        self.n_aux = n_aux
        self.aux_lr = aux_lr
        self.attribution_method = attribution
        if n_aux == 0:  # a decoder that is never trained would say nothing
            policy_kwargs = {"predicts_saliency": False, **(policy_kwargs or {})}
        super().__init__(
            policy, env, augmentation=augmentation, policy_kwargs=policy_kwargs, **arguments
        )

    def _setup_model(self) -> None:
        if self.fill not in FILLS:
            raise unknown_name("fill", self.fill, FILLS)
        require_quantile(self.saliency_quantile)
        attribution_named(self.attribution_method)
        super()._setup_model()
        if not isinstance(self.policy, SGQNPolicy):
            raise ExplainError(
                f"SGQN needs an SGQNPolicy, and this is a {type(self.policy).__name__}"
            )
        if not self.policy.predicts_saliency:
            if self.n_aux > 0:
                raise ExplainError(
                    f"n_aux={self.n_aux} trains what predicts the saliency, and this policy has "
                    "none: give n_aux=0, or leave out predicts_saliency"
                )
            return
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
        """sum_i MSE(Q_i(s, a), y) + coef * sum_i MSE(Q_i(s, a), Q_i(s masked, a))."""
        if self.consistency_coef == 0:
            return super()._critic_losses(batch, targets)
        critic, encoder = self.critic, self.critic.features_extractor
        images = batch.images.detach().requires_grad_()
        with self._precision():
            q_values = critic.q_values(encoder(images), batch.actions)
            mask = self._mask(images, batch.actions, q_values[0].squeeze(1))
            kept = torch.where(mask, batch.images, self._filling(batch.images))
            masked = critic.q_values(encoder(kept), batch.actions)
        # both sides learn from their difference; the mask is a constant
        differences = [
            functional.mse_loss(q.to(targets), m.to(targets))
            for q, m in zip(q_values, masked, strict=True)
        ]
        return {
            "critic_loss": squared_errors(q_values, targets),
            "consistency_loss": self.consistency_coef * torch.stack(differences).sum(),
        }

    def _mask(self, images: Tensor, actions: Tensor, q1: Tensor) -> Tensor:
        """(B, C, H, W) the pixels that matter most to Q1; ``q1`` is of ``images``, with a graph."""

        def q(others: Tensor) -> Tensor:
            return self.policy.q1(others, actions)

        attributions = attribution_named(self.attribution_method)(q, images, q1)
        return binarized(attributions, self.saliency_quantile, self.n_stack)

    def _filling(self, images: Tensor) -> Tensor:
        if self.fill == "zero":
            return torch.zeros((), dtype=images.dtype, device=images.device)
        low, high = images.aminmax()
        return low + (high - low) * torch.rand((), dtype=images.dtype, device=images.device)

    def _update(self, batch: Batch) -> dict[str, Tensor]:
        actor_due = self._n_updates % self.policy_delay == 0
        aux_due = self.n_aux > 0 and self._n_updates % self.n_aux == 0
        losses = self._update_critic(batch)
        images = batch.images.detach().requires_grad_(aux_due)
        mask = None
        if actor_due or aux_due:
            with torch.set_grad_enabled(aux_due), self._precision():
                features = self.critic.features_extractor.cnn(images)
                if aux_due:
                    embedding = self.critic.features_extractor.projection(features)
                    q1 = self.policy.q1_of(embedding, batch.actions)
                    mask = self._mask(images, batch.actions, q1)
        if actor_due:
            losses |= self._update_actor(features.detach())
            self._update_targets()
        if mask is not None:
            losses |= self._update_saliency(batch, mask)
        return losses

    def _update_saliency(self, batch: Batch, mask: Tensor) -> dict[str, Tensor]:
        """One step of the CNN, the critics' projection and the decoder towards the mask."""
        with self._precision():
            embedding = self.critic.features_extractor(self.overlaid(batch.images))
            logits = self.policy.decoder(embedding, batch.actions)
        loss = functional.binary_cross_entropy_with_logits(
            logits.to(batch.images), mask.to(batch.images)
        )
        self._step(self.aux_optimizer, loss)
        return {"saliency_loss": loss}

    # --- explaining ------------------------------------------------------------------------

    def predict_saliency(self, observation: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """The deterministic action and the agent's own saliency map of it, in one pass.

        :param observation: one observation or a batch of them, as for ``predict``
        :return: actions as ``predict`` has them; predicted saliency (B, C, H, W) or (C, H, W) in
            [0, 1], channel-first: how likely a pixel is among the ``1 - saliency_quantile`` that
            matter most
        :raises ExplainError: if the agent does not learn to predict it (``n_aux=0``)
        """
        observations, batched = self._tensor_of(observation)
        with torch.no_grad():
            actions, saliency = self.policy.predict_saliency(observations)
        shape = self.action_space.shape
        unscaled = self.policy.unscale_action(actions.cpu().numpy().reshape(-1, *shape))  # type: ignore[misc]
        attributions = saliency.cpu().numpy()
        return (unscaled, attributions) if batched else (unscaled[0], attributions[0])

    def _tensor_of(self, observation: NDArray[Any]) -> tuple[Tensor, bool]:
        """Observations (B, C, H, W) for the policy, and whether they were a batch."""
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
        """The true attribution of Q1(s, a) to the pixels, by ``attribution_method``.

        :param observation: one observation or a batch of them
        :param action: as the environment takes them; the deterministic ones when not given
        :return: (B, C, H, W) or (C, H, W), channel-first, signed, by pixels scaled to [0, 1]
        :raises ExplainError: for other shapes
        """
        observations, batched = self._tensor_of(observation)
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
        method = attribution_named(self.attribution_method)
        attributions = self.policy.attribution(observations, actions, method).cpu().numpy()
        return attributions if batched else attributions[0]
