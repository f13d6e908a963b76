"""The algorithms that SGQN is compared with, on the same networks and the same update.

SAC without augmentation is :class:`PixelSAC`. SVEA and SODA combined (Bertoin et al. 2022, table 8)
are ``SODA(..., augmented_loss_weight=0.5)``; the ablations of table 2 are ``SGQN(..., n_aux=0)``
and ``SGQN(..., consistency_coef=0)``.
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

from sb3_explain.sgqn.batch import Batch
from sb3_explain.sgqn.pixel_sac import PixelSAC
from sb3_explain.sgqn.policies import PixelPolicy


class DrQ(PixelSAC):
    """DrQ: SAC on randomly shifted images (Kostrikov et al. 2020, with K = M = 1).

    :param policy: ``"PixelPolicy"`` or a class derived from it
    :param env: environment, see :class:`PixelSAC`
    :param augmentation: augmentation of s and s', see :class:`PixelSAC`
    :param sac_kwargs: further arguments of :class:`PixelSAC`

    >>> from sb3_explain import DrQ
    >>> from stable_baselines3.common.envs import FakeImageEnv
    >>> env = FakeImageEnv(screen_height=36, screen_width=36, n_channels=3, discrete=False)
    >>> small = {"n_layers": 4, "net_arch": [32]}
    >>> model = DrQ("PixelPolicy", env, n_stack=1, buffer_size=50, policy_kwargs=small)
    >>> model.learn(9).num_timesteps
    9
    """

    def __init__(
        self,
        policy: str | type[PixelPolicy],
        env: GymEnv | str | None,
        *,
        augmentation: str = "shift",
        **sac_kwargs: Any,
    ) -> None:
        super().__init__(policy, env, augmentation=augmentation, **sac_kwargs)


class SVEA(PixelSAC):
    """SVEA: half of the critics' loss is of augmented states, with clean targets (Hansen et al.
    2021).

    :param policy: ``"PixelPolicy"`` or a class derived from it
    :param env: environment, see :class:`PixelSAC`
    :param augmentation: augmentation of s and s', see :class:`PixelSAC`
    :param augmented_loss_weight: weight of the augmented states in the critics' loss, in [0, 1]
    :param sac_kwargs: further arguments of :class:`PixelSAC`

    >>> from sb3_explain import SVEA
    >>> from stable_baselines3.common.envs import FakeImageEnv
    >>> env = FakeImageEnv(screen_height=36, screen_width=36, n_channels=3, discrete=False)
    >>> small = {"n_layers": 4, "net_arch": [32]}
    >>> model = SVEA("PixelPolicy", env, n_stack=1, buffer_size=50, policy_kwargs=small)
    >>> model.learn(9).num_timesteps
    9
    """

    def __init__(
        self,
        policy: str | type[PixelPolicy],
        env: GymEnv | str | None,
        *,
        augmentation: str = "shift",
        augmented_loss_weight: float = 0.5,
        **sac_kwargs: Any,
    ) -> None:
        super().__init__(
            policy,
            env,
            augmentation=augmentation,
            augmented_loss_weight=augmented_loss_weight,
            **sac_kwargs,
        )


class RAD(PixelSAC):
    """RAD: SAC on random crops of s and s' (Laskin et al. 2020).

    Images of 100 x 100 are cropped to the 84 x 84 that the networks take; when the agent acts it
    sees the central square. ``policy_kwargs={"size": ...}`` sets another size of the crops.

    :param policy: ``"PixelPolicy"`` or a class derived from it
    :param env: environment, see :class:`PixelSAC`, with images larger than the crops
    :param augmentation: augmentation of s and s', see :class:`PixelSAC`
    :param policy_kwargs: arguments of the policy
    :param sac_kwargs: further arguments of :class:`PixelSAC`

    >>> from sb3_explain import RAD
    >>> from stable_baselines3.common.envs import FakeImageEnv
    >>> env = FakeImageEnv(screen_height=40, screen_width=40, n_channels=3, discrete=False)
    >>> small = {"n_layers": 4, "net_arch": [32], "size": 36}
    >>> model = RAD("PixelPolicy", env, n_stack=1, buffer_size=50, policy_kwargs=small)
    >>> model.learn(9).num_timesteps
    9
    """

    def __init__(
        self,
        policy: str | type[PixelPolicy],
        env: GymEnv | str | None,
        *,
        augmentation: str = "crop",
        policy_kwargs: dict[str, Any] | None = None,
        **sac_kwargs: Any,
    ) -> None:
        cropped = {"size": 84, **(policy_kwargs or {})}
        super().__init__(
            policy, env, augmentation=augmentation, policy_kwargs=cropped, **sac_kwargs
        )


class SODAPolicy(PixelPolicy):
    """:class:`PixelPolicy` with SODA's projection, predictor, and slow copy of the encoder.

    :param args: arguments of :class:`PixelPolicy`
    :param soda_dim: width of the hidden layers and of the compared embeddings
    :param kwargs: further arguments of :class:`PixelPolicy`
    """

    def __init__(self, *args: Any, soda_dim: int = 100, **kwargs: Any) -> None:
        self.soda_dim = soda_dim
        super().__init__(*args, **kwargs)

    def _build(self, lr_schedule: Schedule) -> None:
        super()._build(lr_schedule)
        n_inputs = self.critic.features_extractor.n_inputs
        self.soda_projection = _make_perceptron(n_inputs, self.soda_dim)
        self.soda_predictor = _make_perceptron(self.soda_dim, self.soda_dim)
        self.slow = copy.deepcopy(self.soda_encoder())

    def soda_encoder(self) -> nn.Sequential:
        """Return the encoder that SODA trains: the CNN and a projection of its own."""
        return nn.Sequential(self.critic.features_extractor.cnn, nn.Flatten(), self.soda_projection)

    def set_training_mode(self, mode: bool) -> None:
        """Set the mode also of the slow copy, which uses batch statistics as in SODA's code."""
        super().set_training_mode(mode)
        for module in (self.soda_projection, self.soda_predictor, self.slow):
            module.train(mode)

    def _get_constructor_parameters(self) -> dict[str, Any]:
        return {**super()._get_constructor_parameters(), "soda_dim": self.soda_dim}


def _make_perceptron(n_inputs: int, width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(n_inputs, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Linear(width, width)
    )


class SODA(RAD):
    """SODA: RAD whose encoder also learns to ignore an overlaid picture (Hansen and Wang 2021).

    :param policy: ``"SODAPolicy"`` or a class derived from it
    :param env: environment, see :class:`RAD`
    :param n_aux: one update of the auxiliary task for every ``n_aux`` of the critics; 0 for none
    :param aux_lr: learning rate of the auxiliary task's Adam
    :param aux_batch_size: batch size of the auxiliary task, which draws states of its own
    :param aux_tau: Polyak coefficient of the slow copy of the encoder
    :param sac_kwargs: further arguments of :class:`RAD`

    >>> from sb3_explain import SODA
    >>> from stable_baselines3.common.envs import FakeImageEnv
    >>> env = FakeImageEnv(screen_height=40, screen_width=40, n_channels=3, discrete=False)
    >>> small = {"n_layers": 4, "net_arch": [32], "size": 36}
    >>> model = SODA("SODAPolicy", env, n_stack=1, buffer_size=50, policy_kwargs=small)
    >>> model.learn(9).num_timesteps
    9
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
        **sac_kwargs: Any,
    ) -> None:
        self.n_aux = n_aux
        self.aux_lr = aux_lr
        self.aux_batch_size = aux_batch_size
        self.aux_tau = aux_tau
        super().__init__(policy, env, **sac_kwargs)

    def _setup_model(self) -> None:
        super()._setup_model()
        policy = self.policy
        self._require_augmentable("n_aux=0", self.n_aux > 0)
        self.fast = policy.soda_encoder()
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
        if self.n_aux > 0 and self._is_due(self.n_aux):
            losses |= self._update_encoder()
        return losses

    def _update_encoder(self) -> dict[str, Tensor]:
        """Make one step towards the slow copy's embedding of another crop without a picture."""
        assert self.replay_buffer is not None
        states = self.replay_buffer.sample(self.aux_batch_size, env=self._vec_normalize_env)
        first, second = (self._scale(self._augment(states.observations)) for _ in range(2))
        with self._precision():
            predicted = self.policy.soda_predictor(self.fast(self.augment_strongly(first)))
            with torch.no_grad():
                slow = self.policy.slow(second)
        loss = functional.mse_loss(
            functional.normalize(predicted.to(first), dim=1),
            functional.normalize(slow.to(first), dim=1),
        )
        self._step(self.aux_optimizer, loss)
        polyak_update(self.fast.parameters(), self.policy.slow.parameters(), self.aux_tau)
        return {"soda_loss": loss}
