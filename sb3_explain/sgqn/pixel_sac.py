"""SAC from pixels, as DMControl generalisation has it: what SGQN and its rivals share.

The order of an update, its losses and its rates are those of the code that made the tables of
Bertoin et al. (2022), not of SB3's SAC: the critics' errors are summed, not halved; the actor, the
temperature and the target networks move on every second step; the critic owns the CNN.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
import torch
from stable_baselines3 import SAC
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import GymEnv, MaybeCallback, Schedule
from stable_baselines3.common.utils import polyak_update
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor
from torch.nn import functional

from sb3_explain.common.errors import ExplainError, unknown_name
from sb3_explain.common.signatures import require_arguments
from sb3_explain.sgqn.augmentations import center_crop, random_crop, random_overlay, random_shift
from sb3_explain.sgqn.overlays import overlays_of
from sb3_explain.sgqn.policies import PixelActor, PixelCritic, PixelPolicy
from sb3_explain.sgqn.replay_buffer import FrameStackReplayBuffer
from sb3_explain.sgqn.requirements import (
    require_larger,
    require_meaning,
    require_not_negative,
    require_pixels,
    require_share,
    require_stack,
    require_whole,
)


class Batch(NamedTuple):
    """Transitions, augmented; images (B, C, H, W) in [0, 1]."""

    images: Tensor
    #: (B, A) in [-1, 1]
    actions: Tensor
    next_images: Tensor
    #: (B, 1)
    rewards: Tensor
    #: (B, 1)
    dones: Tensor


class PixelSAC(SAC):
    """SAC on stacked frames: the baseline of the benchmark, without augmentation.

    :param policy: ``"PixelPolicy"`` or a class derived from it
    :param env: observations are images, uint8, ``n_stack`` frames stacked along the channels,
        oldest first; actions are a Box of any bounds
    :param learning_rate: of actor and critics, Adam
    :param buffer_size: transitions; 500,000 of 9 x 84 x 84 take 10.6 GB
    :param learning_starts: random steps first
    :param batch_size: B
    :param tau: share of the critics that their targets take over at an update
    :param encoder_tau: the same of the CNN and the critics' projection
    :param ent_coef: ``"auto_0.1"`` learns the temperature from 0.1 on
    :param ent_coef_lr: learning rate of the temperature, Adam with betas (0.5, 0.999)
    :param policy_delay: critic's updates for one of the actor, the temperature and the targets
    :param warmup_updates: updates at the first training, for the random steps; as many as these
        when not given
    :param augmentation: of what is sampled: ``"none"``, ``"shift"`` (by up to 4 pixels), ``"crop"``
        (to the ``size`` of the policy)
    :param augmented_loss_weight: of the critics' loss that is of states under a random picture;
        SVEA's 0.5
    :param n_stack: frames in an observation
    :param overlays: pictures to lay over states: a folder of them, e.g. Places365. Without one,
        procedural textures, with which results are not the benchmark's
    :param mixed_precision: forward passes in bfloat16 (autocast)
    :param compiled: pass the networks through :func:`torch.compile`; the first updates then take
        a minute or two
    :param sac_arguments: of :class:`stable_baselines3.SAC`
    :raises ExplainError: for other actions or observations, or an unknown augmentation
    """

    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = {
        "PixelPolicy": PixelPolicy,
        "CnnPolicy": PixelPolicy,
    }
    policy: PixelPolicy
    actor: PixelActor
    critic: PixelCritic
    critic_target: PixelCritic

    def __init__(
        self,
        policy: str | type[PixelPolicy],
        env: GymEnv | str | None,
        learning_rate: float | Schedule = 1e-3,
        buffer_size: int = 500_000,
        learning_starts: int = 1000,
        batch_size: int = 128,
        tau: float = 0.01,
        *,
        encoder_tau: float = 0.05,
        ent_coef: str | float = "auto_0.1",
        ent_coef_lr: float = 1e-4,
        policy_delay: int = 2,
        warmup_updates: int | None = None,
        augmentation: str = "none",
        augmented_loss_weight: float = 0.0,
        n_stack: int = 3,
        overlays: str | Path | None = None,
        mixed_precision: bool = False,
        compiled: bool = False,
        _init_setup_model: bool = True,
        **sac_arguments: Any,
    ) -> None:
        self.encoder_tau = encoder_tau
        self.ent_coef_lr = ent_coef_lr
        self.policy_delay = policy_delay
        self.warmup_updates = learning_starts if warmup_updates is None else warmup_updates
        self.augmentation = augmentation
        self.augmented_loss_weight = augmented_loss_weight
        self.n_stack = n_stack
        self.overlays = overlays
        self.mixed_precision = mixed_precision
        self.compiled = compiled
        require_arguments(type(self), PixelSAC, sac_arguments)
        require_meaning(type(self).__name__, sac_arguments)
        require_whole(1, policy_delay=policy_delay, batch_size=batch_size)
        require_share(tau=tau, encoder_tau=encoder_tau, augmented_loss_weight=augmented_loss_weight)
        require_not_negative(ent_coef_lr=ent_coef_lr)
        require_whole(0, warmup_updates=self.warmup_updates, learning_starts=learning_starts)
        super().__init__(
            policy,
            env,  # type: ignore[arg-type]
            learning_rate,
            buffer_size,
            learning_starts,
            batch_size,
            tau,
            ent_coef=ent_coef,
            _init_setup_model=_init_setup_model,
            **sac_arguments,
        )

    # --- setting up ------------------------------------------------------------------------

    @staticmethod
    def _wrap_env(env: GymEnv, verbose: int = 0, monitor_wrapper: bool = True) -> VecEnv:
        wrapped = SAC._wrap_env(env, verbose, monitor_wrapper)
        require_pixels(wrapped.observation_space, wrapped.action_space)
        return wrapped

    def _setup_model(self) -> None:
        if self.augmentation not in self._augmentations():
            raise unknown_name("augmentation", self.augmentation, self._augmentations())
        channels, height, width = self.observation_space.shape  # type: ignore[misc]
        require_stack(channels, self.n_stack)
        if self.augmentation == "crop":
            require_larger(height, width, self.policy_kwargs["size"])
        if self.replay_buffer_class is None:
            self.replay_buffer_class = FrameStackReplayBuffer
        if issubclass(self.replay_buffer_class, FrameStackReplayBuffer):
            self.replay_buffer_kwargs = {"n_stack": self.n_stack, **self.replay_buffer_kwargs}
        super()._setup_model()
        if self.log_ent_coef is not None:
            self.ent_coef_optimizer = torch.optim.Adam(
                [self.log_ent_coef], lr=self.ent_coef_lr, betas=(0.5, 0.999)
            )
        if self.compiled:
            # a gradient is taken twice of one forward pass: for the attribution and for the loss
            torch._functorch.config.donated_buffer = False
            for network in self.policy.compiled_networks():
                network.compile()
        self._pictures: Tensor | None = None

    def _excluded_save_params(self) -> list[str]:
        return [*super()._excluded_save_params(), "_pictures"]

    def _augmentations(self) -> dict[str, Callable[[Tensor], Tensor]]:
        size = self.policy_kwargs.get("size")
        known: dict[str, Callable[[Tensor], Tensor]] = {
            "none": lambda images: images,
            "shift": random_shift,
        }
        if size is not None:
            known["crop"] = lambda images: random_crop(images, size)
        return known

    def pictures(self) -> Tensor:
        """(P, C, H, W) uint8 to lay over states, of the size of the networks' images.

        :raises ExplainError: if the folder is missing or holds none
        """
        if self._pictures is None:
            channels, height, width = self.observation_space.shape  # type: ignore[misc]
            side = self.policy_kwargs.get("size")
            size = (height, width) if side is None else (side, side)
            found = overlays_of(self.overlays, size, seed=self.seed or 0)
            if channels == self.n_stack:  # grey frames
                found = found.float().mean(1, keepdim=True).round().to(torch.uint8)
            self._pictures = found.to(self.device)
        return self._pictures

    def overlaid(self, images: Tensor) -> Tensor:
        """0.5 * state + 0.5 * a random picture, one for each state."""
        return random_overlay(images, self.pictures(), scale=1 / 255)

    def learn(
        self,
        total_timesteps: int,
        callback: MaybeCallback = None,
        log_interval: int = 4,
        tb_log_name: str = "",
        reset_num_timesteps: bool = True,
        progress_bar: bool = False,
    ) -> Self:
        """As SB3's; TensorBoard's runs have the name of the class, if none is given.

        :raises ExplainError: if the folder of overlays is missing or holds no pictures
        """
        if self.overlays is not None:
            self.pictures()
        name = tb_log_name or type(self).__name__
        return super().learn(
            total_timesteps, callback, log_interval, name, reset_num_timesteps, progress_bar
        )

    # --- an update -------------------------------------------------------------------------

    def train(self, gradient_steps: int, batch_size: int = 128) -> None:
        """Update the networks ``gradient_steps`` times, at first as often as there was no update.

        :param gradient_steps: updates
        :param batch_size: B
        :raises ExplainError: if a loss is not a number any more
        """
        self.policy.set_training_mode(True)
        self._update_learning_rate([self.actor.optimizer, self.critic.optimizer])
        if self._n_updates == 0:
            gradient_steps = max(gradient_steps, self.warmup_updates)
        losses: defaultdict[str, list[float]] = defaultdict(list)
        for _ in range(gradient_steps):
            for name, loss in self._update(self._sampled(batch_size)).items():
                losses[name].append(loss.item())
            self._n_updates += 1
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")
        for name, values in losses.items():
            self.logger.record(f"train/{name}", float(np.mean(values)))

    def _update(self, batch: Batch) -> dict[str, Tensor]:
        losses = self._update_critic(batch)
        if self._n_updates % self.policy_delay == 0:
            with torch.no_grad(), self._precision():
                features = self.critic.features_extractor.cnn(batch.images)
            losses |= self._update_actor(features)
            self._update_targets()
        return losses

    def _sampled(self, batch_size: int) -> Batch:
        assert self.replay_buffer is not None
        data = self.replay_buffer.sample(batch_size, env=self._vec_normalize_env)
        return Batch(
            self._scaled(self._augmented(data.observations)),
            data.actions,
            self._scaled(self._augmented(data.next_observations)),
            data.rewards,
            data.dones,
        )

    def _augmented(self, images: Tensor) -> Tensor:
        images = self._augmentations()[self.augmentation](images)
        size = self.policy_kwargs.get("size")
        return images if size is None else center_crop(images, size)

    def _scaled(self, images: Tensor) -> Tensor:
        return images.to(self.policy.dtype, memory_format=torch.channels_last) / 255

    def _precision(self) -> AbstractContextManager[Any]:
        if not self.mixed_precision:
            return nullcontext()
        return torch.autocast(self.device.type, torch.bfloat16)

    def _temperature(self) -> Tensor:
        if self.log_ent_coef is None:
            return self.ent_coef_tensor
        return self.log_ent_coef.detach().exp()

    def _sampled_actions(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Actions (B, A) of the actor, and their log-probabilities (B, 1)."""
        embedding = self.actor.features_extractor.projection(features)
        mean, log_std = (p.to(self.policy.dtype) for p in self.actor.distribution(embedding))
        if not (mean.isfinite().all() and log_std.isfinite().all()):
            raise ExplainError(
                f"the actor says what is no number at update {self._n_updates}: lower "
                "learning_rate, and go on from an earlier checkpoint"
            )
        actions, log_p = self.actor.action_dist.log_prob_from_params(mean, log_std)
        return actions, log_p.unsqueeze(1)

    @torch.no_grad()
    def _targets_of(self, batch: Batch) -> Tensor:
        """(B, 1) y = r + (1 - done) * gamma * (min Q' (s', a') - alpha * log pi(a' | s'))."""
        with self._precision():
            features = self.critic.features_extractor.cnn(batch.next_images)
            actions, log_p = self._sampled_actions(features)
            encoder = self.critic_target.features_extractor
            q_values = self.critic_target.q_values(encoder(batch.next_images), actions)
        least = torch.cat(q_values, dim=1).amin(dim=1, keepdim=True).to(batch.rewards)
        return batch.rewards + (1 - batch.dones) * self.gamma * (
            least - self._temperature() * log_p
        )

    def _update_critic(self, batch: Batch) -> dict[str, Tensor]:
        """One step of the critics and the CNN."""
        losses = self._critic_losses(batch, self._targets_of(batch))
        self._step(self.critic.optimizer, torch.stack([*losses.values()]).sum())
        return losses

    def _critic_losses(self, batch: Batch, targets: Tensor) -> dict[str, Tensor]:
        """The terms of the critics' loss: sum_i MSE(Q_i(s, a), y), also of overlaid states."""
        clean = self._squared_errors(batch.images, batch.actions, targets)
        if self.augmented_loss_weight == 0:
            return {"critic_loss": clean}
        # Hansen et al. (2021), SVEA, equation 9: the target is of clean states
        overlaid = self._squared_errors(self.overlaid(batch.images), batch.actions, targets)
        return {
            "critic_loss": (1 - self.augmented_loss_weight) * clean,
            "overlaid_loss": self.augmented_loss_weight * overlaid,
        }

    def _squared_errors(self, images: Tensor, actions: Tensor, targets: Tensor) -> Tensor:
        with self._precision():
            q_values = self.critic.q_values(self.critic.features_extractor(images), actions)
        return squared_errors(q_values, targets)

    def _update_actor(self, features: Tensor) -> dict[str, Tensor]:
        """One step of the actor, then of the temperature; the CNN's features are given."""
        alpha = self._temperature()
        with self._precision():
            actions, log_p = self._sampled_actions(features)
            with torch.no_grad():
                embedding = self.critic.features_extractor.projection(features)
            q_values = self.critic.q_values(embedding, actions)
        least = torch.cat(q_values, dim=1).amin(dim=1, keepdim=True).to(log_p)
        losses = {"actor_loss": (alpha * log_p - least).mean(), "ent_coef": alpha}
        self._step(self.actor.optimizer, losses["actor_loss"])
        if self.log_ent_coef is not None:
            assert self.ent_coef_optimizer is not None
            assert isinstance(self.target_entropy, float)
            # on alpha itself, not on its logarithm as in SB3
            gap = (-log_p - self.target_entropy).detach()
            losses["ent_coef_loss"] = (self.log_ent_coef.exp() * gap).mean()
            self._step(self.ent_coef_optimizer, losses["ent_coef_loss"])
        return losses

    def _update_targets(self) -> None:
        encoder, target = self.critic.features_extractor, self.critic_target.features_extractor
        polyak_update(encoder.parameters(), target.parameters(), self.encoder_tau)
        polyak_update(
            (p for q_network in self.critic.q_networks for p in q_network.parameters()),
            (p for q_network in self.critic_target.q_networks for p in q_network.parameters()),
            self.tau,
        )

    def _step(self, optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
        """A step on this optimiser's own parameters; no other gradient is computed."""
        if not loss.isfinite():
            raise ExplainError(
                f"a loss is {loss.item()} at update {self._n_updates}; no step was made on it: "
                "look for NaN in the rewards, or lower learning_rate"
            )
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        optimizer.zero_grad()
        loss.backward(inputs=parameters)  # type: ignore[no-untyped-call]
        optimizer.step()


def squared_errors(q_values: tuple[Tensor, ...], targets: Tensor) -> Tensor:
    """sum_i MSE(Q_i, y)."""
    errors = [functional.mse_loss(q.to(targets), targets) for q in q_values]
    return torch.stack(errors).sum()
