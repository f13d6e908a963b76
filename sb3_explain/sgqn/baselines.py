"""What SGQN is compared with, on the same networks and the same update.

Plain SAC is :class:`PixelSAC`. SVEA and SODA together (Bertoin et al. 2022, table 8) are
``SODA(..., augmented_loss_weight=0.5)``; the ablations of table 2 are ``SGQN(..., n_aux=0)`` and
``SGQN(..., consistency_coef=0)``.
"""

from __future__ import annotations

import copy
from typing import Any, ClassVar

import torch
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import GymEnv, Schedule
from stable_baselines3.common.utils import polyak_update
from torch import Tensor, nn
from torch.nn import functional

from sb3_explain.sgqn.pixel_sac import Batch, PixelSAC
from sb3_explain.sgqn.policies import PixelPolicy


class DrQ(PixelSAC):
    """Random shifts of s and s' (Kostrikov et al. 2020, with one draw of each)."""

    def __init__(
        self,
        policy: str | type[PixelPolicy],
        env: GymEnv | str | None,
        *,
        augmentation: str = "shift",
        **arguments: Any,
    ) -> None:
        super().__init__(policy, env, augmentation=augmentation, **arguments)


class SVEA(PixelSAC):
    """Half of the critics' loss is of overlaid states, with clean targets (Hansen et al. 2021)."""

    def __init__(
        self,
        policy: str | type[PixelPolicy],
        env: GymEnv | str | None,
        *,
        augmentation: str = "shift",
        augmented_loss_weight: float = 0.5,
        **arguments: Any,
    ) -> None:
        super().__init__(
            policy,
            env,
            augmentation=augmentation,
            augmented_loss_weight=augmented_loss_weight,
            **arguments,
        )


class RAD(PixelSAC):
    """Random crops of s and s' (Laskin et al. 2020): images of 100 x 100, networks for 84 x 84.

    When it acts it sees the square in the middle. ``policy_kwargs={"size": ...}`` for another size.
    """

    def __init__(
        self,
        policy: str | type[PixelPolicy],
        env: GymEnv | str | None,
        *,
        augmentation: str = "crop",
        policy_kwargs: dict[str, Any] | None = None,
        **arguments: Any,
    ) -> None:
        cropped = {"size": 84, **(policy_kwargs or {})}
        super().__init__(policy, env, augmentation=augmentation, policy_kwargs=cropped, **arguments)


class SODAPolicy(PixelPolicy):
    """:class:`PixelPolicy` and a projection, its slow copy with the encoder's, and a predictor.

    :param soda_dim: width of the hidden layers and of what is compared
    """

    def __init__(self, *arguments: Any, soda_dim: int = 100, **others: Any) -> None:
        self.soda_dim = soda_dim
        super().__init__(*arguments, **others)

    def _build(self, lr_schedule: Schedule) -> None:
        super()._build(lr_schedule)
        encoder = self.critic.features_extractor
        self.soda_projection = _perceptron(encoder.features_dim, self.soda_dim)
        self.soda_predictor = _perceptron(self.soda_dim, self.soda_dim)
        self.slow = copy.deepcopy(nn.Sequential(encoder, self.soda_projection))

    def set_training_mode(self, mode: bool) -> None:
        """Also of the slow copy, which normalises by the batch as SODA's own code does."""
        super().set_training_mode(mode)
        for module in (self.soda_projection, self.soda_predictor, self.slow):
            module.train(mode)

    def _get_constructor_parameters(self) -> dict[str, Any]:
        return {**super()._get_constructor_parameters(), "soda_dim": self.soda_dim}


def _perceptron(n_inputs: int, width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(n_inputs, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Linear(width, width)
    )


class SODA(RAD):
    """RAD whose encoder also learns to see the same under a picture (Hansen and Wang 2021).

    :param policy: ``"SODAPolicy"`` or a class derived from it
    :param env: as for :class:`PixelSAC`
    :param n_aux: steps for one of the auxiliary task
    :param aux_lr: its learning rate, Adam
    :param aux_batch_size: its states, drawn anew
    :param aux_tau: share of the encoder that the slow copy takes over
    :param arguments: of :class:`PixelSAC`
    """

    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = {
        "SODAPolicy": SODAPolicy,
        "CnnPolicy": SODAPolicy,
    }
    policy: SODAPolicy

    def __init__(
        self,
        policy: str | type[SODAPolicy],
        env: GymEnv | str | None,
        *,
        n_aux: int = 2,
        aux_lr: float = 3e-4,
        aux_batch_size: int = 256,
        aux_tau: float = 0.005,
        **arguments: Any,
    ) -> None:
        self.n_aux = n_aux
        self.aux_lr = aux_lr
        self.aux_batch_size = aux_batch_size
        self.aux_tau = aux_tau
        super().__init__(policy, env, **arguments)

    def _setup_model(self) -> None:
        super()._setup_model()
        policy = self.policy
        self.fast = nn.Sequential(policy.critic.features_extractor, policy.soda_projection)
        self.aux_optimizer = torch.optim.Adam(
            [*self.fast.parameters(), *policy.soda_predictor.parameters()], lr=self.aux_lr
        )

    def _excluded_save_params(self) -> list[str]:
        return [*super()._excluded_save_params(), "fast"]

    def _get_torch_save_params(self) -> tuple[list[str], list[str]]:
        state_dicts, tensors = super()._get_torch_save_params()
        return [*state_dicts, "aux_optimizer"], tensors

    def _update(self, batch: Batch) -> dict[str, Tensor]:
        losses = super()._update(batch)
        if self.n_aux > 0 and self._n_updates % self.n_aux == 0:
            losses |= self._update_encoder()
        return losses

    def _update_encoder(self) -> dict[str, Tensor]:
        """One step towards what the slow copy sees in another crop without a picture."""
        assert self.replay_buffer is not None
        states = self.replay_buffer.sample(self.aux_batch_size, env=self._vec_normalize_env)
        first, second = (self._scaled(self._augmented(states.observations)) for _ in range(2))
        with self._precision():
            predicted = self.policy.soda_predictor(self.fast(self.overlaid(first)))
            with torch.no_grad():
                wanted = self.policy.slow(second)
        loss = functional.mse_loss(
            functional.normalize(predicted.to(first), dim=1),
            functional.normalize(wanted.to(first), dim=1),
        )
        self._step(self.aux_optimizer, loss)
        polyak_update(self.fast.parameters(), self.policy.slow.parameters(), self.aux_tau)
        return {"soda_loss": loss}
