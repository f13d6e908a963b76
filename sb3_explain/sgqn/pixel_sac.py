"""SAC from pixels for the DMControl generalization benchmark, which SGQN and its baselines share.

The order of an update, its losses and its rates are those of the code behind the tables of
Bertoin et al. (2022) rather than of SB3's SAC: the critics' errors are summed, not halved; the
actor, the temperature and the target networks are updated on every second step, and in every update
of the warm-up; only the critics' loss trains the CNN.
"""

from __future__ import annotations

from collections import defaultdict
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from stable_baselines3 import SAC
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import GymEnv, MaybeCallback, Schedule
from stable_baselines3.common.utils import polyak_update
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor

from sb3_explain.common.errors import ExplainError
from sb3_explain.common.signatures import require_arguments
from sb3_explain.sgqn.augmentations import (
    center_crop,
    get_augmentation,
    random_convolution,
    random_overlay,
)
from sb3_explain.sgqn.batch import Batch
from sb3_explain.sgqn.overlays import load_overlays
from sb3_explain.sgqn.policies import PixelActor, PixelCritic, PixelPolicy, sum_squared_errors
from sb3_explain.sgqn.replay_buffer import FrameStackReplayBuffer
from sb3_explain.sgqn.requirements import (
    require_augmentable,
    require_larger,
    require_meaning,
    require_not_negative,
    require_pixels,
    require_share,
    require_stack,
    require_whole,
)


class PixelSAC(SAC):
    """SAC on stacked frames, the benchmark's baseline without augmentation.

    :param policy: ``"PixelPolicy"`` or a class derived from it
    :param env: environment whose observations are uint8 images of ``n_stack`` frames stacked along
        the channels, oldest first, and whose actions are a Box of any bounds
    :param learning_rate: learning rate of actor and critics (Adam)
    :param buffer_size: number of transitions to store; 500,000 of 9 x 84 x 84 take 10.6 GB
    :param learning_starts: number of random steps before the first update
    :param batch_size: number of transitions in a batch
    :param tau: Polyak coefficient of the target critics, in [0, 1]
    :param encoder_tau: Polyak coefficient of the target's CNN and projection, in [0, 1]
    :param ent_coef: entropy coefficient; ``"auto_0.1"`` learns it, starting from 0.1
    :param ent_coef_lr: learning rate of the entropy coefficient (Adam, betas (0.5, 0.999))
    :param policy_delay: number of updates of the critics for one of the actor, the entropy
        coefficient and the targets
    :param warmup_updates: number of updates after the random steps; ``learning_starts`` by default
    :param warmup_delay: whether ``policy_delay`` and ``n_aux`` hold in these updates too; by
        default every one of them moves all networks, as in the code behind the paper's tables
    :param augmentation: augmentation of sampled states: ``"none"``, ``"shift"`` (by up to 4
        pixels), ``"crop"`` (to the ``size`` of the policy) or ``"convolution"``
    :param augmented_loss_weight: weight of strongly augmented states in the critics' loss, in
        [0, 1]; SVEA has 0.5
    :param strong_augmentation: ``"overlay"``, a random picture over each state, or
        ``"convolution"``, a random convolution of each (Lee et al. 2020), as in the robot study
    :param n_stack: number of frames in an observation
    :param overlays: folder of pictures to overlay states with, e.g. of Places365; without one
        textures are drawn, with which results are not the benchmark's
    :param mixed_precision: whether forward passes run in bfloat16 (autocast)
    :param compiled: whether to use :func:`torch.compile`, which delays the first updates by minutes
    :param sac_kwargs: further arguments of :class:`stable_baselines3.SAC`
    :raises ExplainError: for other actions or observations, or an argument out of its range

    >>> from sb3_explain import PixelSAC
    >>> from stable_baselines3.common.envs import FakeImageEnv
    >>> env = FakeImageEnv(screen_height=36, screen_width=36, n_channels=3, discrete=False)
    >>> small = {"n_layers": 4, "net_arch": [32]}
    >>> model = PixelSAC("PixelPolicy", env, n_stack=1, buffer_size=50, policy_kwargs=small)
    >>> model.learn(9).num_timesteps
    9
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
        warmup_delay: bool = False,
        augmentation: str = "none",
        augmented_loss_weight: float = 0.0,
        strong_augmentation: str = "overlay",
        n_stack: int = 3,
        overlays: str | Path | None = None,
        mixed_precision: bool = False,
        compiled: bool = False,
        _init_setup_model: bool = True,
        **sac_kwargs: Any,
    ) -> None:
        self.encoder_tau = encoder_tau
        self.ent_coef_lr = ent_coef_lr
        self.policy_delay = policy_delay
        self.warmup_updates = learning_starts if warmup_updates is None else warmup_updates
        self.warmup_delay = warmup_delay
        self.augmentation = augmentation
        self.augmented_loss_weight = augmented_loss_weight
        self.strong_augmentation = strong_augmentation
        self.n_stack = n_stack
        self.overlays = overlays
        self.mixed_precision = mixed_precision
        self.compiled = compiled
        require_arguments(type(self), PixelSAC, sac_kwargs)
        require_meaning(type(self).__name__, sac_kwargs)
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
            **sac_kwargs,
        )

    # --- setting up ------------------------------------------------------------------------

    @staticmethod
    def _wrap_env(env: GymEnv, verbose: int = 0, monitor_wrapper: bool = True) -> VecEnv:
        wrapped = SAC._wrap_env(env, verbose, monitor_wrapper)
        require_pixels(wrapped.observation_space, wrapped.action_space)
        return wrapped

    def _setup_model(self) -> None:
        channels, height, width = self.observation_space.shape  # type: ignore[misc]
        require_stack(channels, self.n_stack)
        size = self.policy_kwargs.get("size")
        self._change = get_augmentation(self.augmentation, channels // self.n_stack, size)
        self._require_augmentable("augmented_loss_weight=0", self.augmented_loss_weight > 0)
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
        return [*super()._excluded_save_params(), "_pictures", "_change"]

    def _require_augmentable(self, without: str, needed: bool) -> None:
        channels = self.observation_space.shape[0]  # type: ignore[index]
        require_augmentable(self.strong_augmentation, channels, self.n_stack, needed * without)

    def load_pictures(self) -> Tensor:
        """Load the pictures to overlay states with, in the size of the networks' images.

        :return: (P, C, H, W) uint8; they are loaded once
        :raises ExplainError: if the folder is missing or holds no pictures
        """
        if self._pictures is None:
            channels, height, width = self.observation_space.shape  # type: ignore[misc]
            side = self.policy_kwargs.get("size")
            size = (height, width) if side is None else (side, side)
            gray = channels == self.n_stack
            pictures = load_overlays(self.overlays, size, seed=self.seed or 0, gray=gray)
            self._pictures = pictures.to(self.device)
        return self._pictures

    def overlay(self, images: Tensor) -> Tensor:
        """Mix images (B, C, H, W) in [0, 1], each half and half with a random picture."""
        return random_overlay(images, self.load_pictures(), scale=1 / 255)

    def augment_strongly(self, images: Tensor) -> Tensor:
        """Change images (B, C, H, W) in [0, 1] by the ``strong_augmentation``."""
        if self.strong_augmentation == "overlay":
            return self.overlay(images)
        changed = random_convolution(images, channels=images.shape[1] // self.n_stack, largest=1)
        return changed.contiguous(memory_format=torch.channels_last)

    def learn(
        self,
        total_timesteps: int,
        callback: MaybeCallback = None,
        log_interval: int = 4,
        tb_log_name: str = "",
        reset_num_timesteps: bool = True,
        progress_bar: bool = False,
    ) -> Self:
        """Train as SB3's ``learn`` does; by default ``tb_log_name`` is the name of the class.

        :raises ExplainError: if the folder of overlays is missing or holds no pictures
        """
        if self.overlays is not None:
            self.load_pictures()
        name = tb_log_name or type(self).__name__
        return super().learn(
            total_timesteps, callback, log_interval, name, reset_num_timesteps, progress_bar
        )

    # --- an update -------------------------------------------------------------------------

    def train(self, gradient_steps: int, batch_size: int = 128) -> None:
        """Update the networks, the first time at least ``warmup_updates`` times.

        :param gradient_steps: number of updates
        :param batch_size: number of transitions in a batch
        :raises ExplainError: if a loss becomes NaN or infinite
        """
        self.policy.set_training_mode(True)
        self._update_learning_rate([self.actor.optimizer, self.critic.optimizer])
        if self._n_updates == 0:
            gradient_steps = max(gradient_steps, self.warmup_updates)
        losses: defaultdict[str, list[float]] = defaultdict(list)
        for _ in range(gradient_steps):
            for name, loss in self._update(self._sample_batch(batch_size)).items():
                losses[name].append(loss.item())
            self._n_updates += 1
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")
        for name, values in losses.items():
            self.logger.record(f"train/{name}", float(np.mean(values)))

    def _is_due(self, every: int) -> bool:
        """Tell whether what moves in one of ``every`` updates of the critics moves in this one.

        The published loop counts by the environment's steps, and so all warm-up updates have the
        number of the last random step, which is even.
        """
        if self.warmup_delay or self.warmup_updates == 0:
            return self._n_updates % every == 0
        return max(0, self._n_updates + 1 - self.warmup_updates) % every == 0

    def _update(self, batch: Batch) -> dict[str, Tensor]:
        losses = self._update_critic(batch)
        if self._is_due(self.policy_delay):
            with torch.no_grad(), self._precision():
                features = self.critic.features_extractor.cnn(batch.images)
            losses |= self._update_actor(features)
            self._update_targets()
        return losses

    def _sample_batch(self, batch_size: int) -> Batch:
        assert self.replay_buffer is not None
        data = self.replay_buffer.sample(batch_size, env=self._vec_normalize_env)
        return Batch(
            self._scale(self._augment(data.observations)),
            data.actions,
            self._scale(self._augment(data.next_observations)),
            data.rewards,
            data.dones,
        )

    def _augment(self, images: Tensor) -> Tensor:
        images = self._change(images)
        size = self.policy_kwargs.get("size")
        return images if size is None else center_crop(images, size)

    def _scale(self, images: Tensor) -> Tensor:
        return images.to(self.policy.dtype, memory_format=torch.channels_last) / 255

    def _precision(self) -> AbstractContextManager[Any]:
        if not self.mixed_precision:
            return nullcontext()
        return torch.autocast(self.device.type, torch.bfloat16)

    def _temperature(self) -> Tensor:
        if self.log_ent_coef is None:
            return self.ent_coef_tensor
        return self.log_ent_coef.detach().exp()

    def _draw_actions(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Sample actions (B, A) of the actor, with their log-probabilities (B, 1)."""
        embedding = self.actor.features_extractor.projection(features)
        mean, log_std = (p.to(self.policy.dtype) for p in self.actor.distribution(embedding))
        if not (mean.isfinite().all() and log_std.isfinite().all()):
            raise ExplainError(
                f"the actor's outputs are not finite at update {self._n_updates}: lower "
                "learning_rate, and continue from an earlier checkpoint"
            )
        actions, log_p = self.actor.action_dist.log_prob_from_params(mean, log_std)
        return actions, log_p.unsqueeze(1)

    @torch.no_grad()
    def _compute_targets(self, batch: Batch) -> Tensor:
        """Compute y = r + (1 - done) * gamma * (min Q'(s', a') - alpha * log pi(a' | s'))."""
        with self._precision():
            features = self.critic.features_extractor.cnn(batch.next_images)
            actions, log_p = self._draw_actions(features)
            encoder = self.critic_target.features_extractor
            q_values = self.critic_target.q_values(encoder(batch.next_images), actions)
        min_q = torch.cat(q_values, dim=1).amin(dim=1, keepdim=True).to(batch.rewards)
        return batch.rewards + (1 - batch.dones) * self.gamma * (
            min_q - self._temperature() * log_p
        )

    def _update_critic(self, batch: Batch) -> dict[str, Tensor]:
        """Make one step of the critics and the CNN."""
        losses = self._critic_losses(batch, self._compute_targets(batch))
        self._step(self.critic.optimizer, torch.stack([*losses.values()]).sum())
        return losses

    def _critic_losses(self, batch: Batch, targets: Tensor) -> dict[str, Tensor]:
        """Compute the critics' loss sum_i MSE(Q_i(s, a), y), and that of augmented states."""
        clean = self._sum_squared_errors(batch.images, batch.actions, targets)
        if self.augmented_loss_weight == 0:
            return {"critic_loss": clean}
        # Hansen et al. (2021), SVEA, equation 9: the target is of clean states
        changed = self.augment_strongly(batch.images)
        augmented = self._sum_squared_errors(changed, batch.actions, targets)
        return {
            "critic_loss": (1 - self.augmented_loss_weight) * clean,
            "overlaid_loss": self.augmented_loss_weight * augmented,
        }

    def _sum_squared_errors(self, images: Tensor, actions: Tensor, targets: Tensor) -> Tensor:
        with self._precision():
            q_values = self.critic.q_values(self.critic.features_extractor(images), actions)
        return sum_squared_errors(q_values, targets)

    def _update_actor(self, features: Tensor) -> dict[str, Tensor]:
        """Make one step of the actor, then of the temperature, from the CNN's features."""
        alpha = self._temperature()
        with self._precision():
            actions, log_p = self._draw_actions(features)
            with torch.no_grad():
                embedding = self.critic.features_extractor.projection(features)
            q_values = self.critic.q_values(embedding, actions)
        min_q = torch.cat(q_values, dim=1).amin(dim=1, keepdim=True).to(log_p)
        losses = {"actor_loss": (alpha * log_p - min_q).mean(), "ent_coef": alpha}
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
        """Make a step on this optimizer's parameters; no other gradient is computed."""
        if not loss.isfinite():
            raise ExplainError(
                f"a loss is {loss.item()} at update {self._n_updates}, which was skipped: "
                "look for NaN in the rewards, or lower learning_rate"
            )
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        optimizer.zero_grad()
        loss.backward(inputs=parameters)  # type: ignore[no-untyped-call]
        optimizer.step()
