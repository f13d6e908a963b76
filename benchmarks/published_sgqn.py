"""One update of SGQN written down plainly: the measure of the package's speed and of its numbers.

Bertoin et al. (2022) as the code behind its tables does it, without any shortcut: each network
passes the CNN by itself, the attribution is Captum's guided backpropagation through both critics,
the quantile is sorted for, attribution and mask are renewed after every critic step although every
second one uses them, and the decoder convolves upsampled images. Nothing of the package is used.
"""

from __future__ import annotations

import warnings
from contextlib import nullcontext

import torch
from captum.attr import GuidedBackprop
from torch import Tensor, nn
from torch.distributions import Normal
from torch.nn import functional

GAMMA, TAU, ENCODER_TAU, CONSISTENCY = 0.99, 0.01, 0.05, 0.5


class CNN(nn.Module):
    """3x3 convolutions, ReLU between them; images come in 0..255."""

    def __init__(self, channels: int, n_layers: int, n_filters: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(channels, n_filters, 3, stride=2)]
        for _ in range(n_layers - 1):
            layers += [nn.ReLU(), nn.Conv2d(n_filters, n_filters, 3)]
        self.layers = nn.Sequential(*layers)

    def forward(self, images: Tensor) -> Tensor:
        return self.layers(images / 255)


class Projection(nn.Sequential):
    def __init__(self, n_inputs: int, features_dim: int) -> None:
        super().__init__(
            nn.Flatten(), nn.Linear(n_inputs, features_dim), nn.LayerNorm(features_dim), nn.Tanh()
        )


def mlp(n_inputs: int, width: int, n_outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(n_inputs, width), nn.ReLU(),
        nn.Linear(width, width), nn.ReLU(),
        nn.Linear(width, n_outputs),
    )  # fmt: skip


class Actor(nn.Module):
    def __init__(self, cnn: CNN, n_features: int, features_dim: int, width: int, n_actions: int):
        super().__init__()
        self.cnn = cnn
        self.projection = Projection(n_features, features_dim)
        self.head = mlp(features_dim, width, 2 * n_actions)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """A sampled action and its log-probability (B, 1); the CNN is detached."""
        embedding = self.projection(self.cnn(images).detach())
        mean, log_std = self.head(embedding).to(images.dtype).chunk(2, dim=1)
        log_std = -10 + 0.5 * (2 + 10) * (torch.tanh(log_std) + 1)
        drawn = Normal(mean, log_std.exp()).rsample()
        action = torch.tanh(drawn)
        log_p = Normal(mean, log_std.exp()).log_prob(drawn).sum(1, keepdim=True)
        return action, log_p - torch.log(1 - action**2 + 1e-6).sum(1, keepdim=True)


class Critic(nn.Module):
    def __init__(self, cnn: CNN, n_features: int, features_dim: int, width: int, n_actions: int):
        super().__init__()
        self.cnn = cnn
        self.projection = Projection(n_features, features_dim)
        self.q1 = mlp(features_dim + n_actions, width, 1)
        self.q2 = mlp(features_dim + n_actions, width, 1)

    def forward(
        self, images: Tensor, actions: Tensor, *, detach: bool = False
    ) -> tuple[Tensor, Tensor]:
        features = self.cnn(images)
        embedding = self.projection(features.detach() if detach else features)
        both = torch.cat([embedding, actions], dim=1)
        return self.q1(both), self.q2(both)


class FirstQ(nn.Module):
    """What Captum explains."""

    def __init__(self, critic: Critic, actions: Tensor) -> None:
        super().__init__()
        self.critic, self.actions = critic, actions

    def forward(self, images: Tensor) -> Tensor:
        return self.critic(images, self.actions)[0]


class Decoder(nn.Module):
    def __init__(
        self, features_dim: int, n_actions: int, side: int, channels: int, n_filters: int, filters
    ):
        super().__init__()
        self.shape = (n_filters, side // 4, side // 4)
        self.linear = nn.Linear(features_dim + n_actions, n_filters * (side // 4) ** 2)
        self.conv1 = nn.Conv2d(n_filters, filters[0], 3, padding=1)
        self.conv2 = nn.Conv2d(filters[0], filters[1], 3, padding=1)
        self.conv3 = nn.Conv2d(filters[1], channels, 3, padding=1)

    def forward(self, embedding: Tensor, actions: Tensor) -> Tensor:
        x = torch.relu(self.linear(torch.cat([embedding, actions], dim=1)))
        x = self.conv1(x.view(-1, *self.shape))
        x = self.conv2(torch.relu(functional.interpolate(x, scale_factor=2)))
        return self.conv3(torch.relu(functional.interpolate(x, scale_factor=2)))


class PublishedSGQN:
    """Networks, optimisers and one update.

    :param side: of the images; ``side / 4`` cells of the decoder must be whole
    """

    def __init__(
        self,
        *,
        channels: int = 9,
        side: int = 84,
        n_actions: int = 6,
        n_layers: int = 11,
        n_filters: int = 32,
        features_dim: int = 100,
        width: int = 1024,
        filters: tuple[int, int] = (128, 64),
        quantile: float = 0.95,
        mixed_precision: bool = False,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        pixels = (side - 3) // 2 + 1 - 2 * (n_layers - 1)
        sizes = (n_filters * pixels**2, features_dim, width, n_actions)
        cnn, target_cnn = (CNN(channels, n_layers, n_filters).to(dtype) for _ in range(2))
        self.critic, self.actor = Critic(cnn, *sizes).to(dtype), Actor(cnn, *sizes).to(dtype)
        self.target = Critic(target_cnn, *sizes).to(dtype)
        self.target.load_state_dict(self.critic.state_dict())
        self.decoder = Decoder(features_dim, n_actions, side, channels, n_filters, filters)
        self.decoder.to(dtype)
        self.log_alpha = torch.tensor([0.1], dtype=dtype).log().requires_grad_()
        predicting = (cnn, self.critic.projection, self.decoder)
        own = [p for n, p in self.actor.named_parameters() if not n.startswith("cnn.")]
        self.optimizers = {
            "critic": torch.optim.Adam(self.critic.parameters(), lr=1e-3),
            "actor": torch.optim.Adam(own, lr=1e-3),
            "alpha": torch.optim.Adam([self.log_alpha], lr=1e-4, betas=(0.5, 0.999)),
            "saliency": torch.optim.Adam([p for m in predicting for p in m.parameters()], lr=3e-4),
        }
        self.quantile, self.n_actions, self.steps = quantile, n_actions, 0
        self.mixed_precision = mixed_precision

    def update(
        self,
        images: Tensor,
        actions: Tensor,
        rewards: Tensor,
        next_images: Tensor,
        dones: Tensor,
        pictures: Tensor,
    ) -> dict[str, Tensor]:
        """One update of everything that is due.

        :param images: (B, C, H, W) in 0..255, shifted
        :param pictures: (P, 3, H, W) to lay over states
        """
        losses = self._critic(images, actions, rewards, next_images, dones)
        mask = self._mask(self._attribution(images, actions))
        if self.steps % 2 == 0:
            losses |= self._actor_and_alpha(images)
            self._targets()
            losses |= self._saliency(images, actions, mask, pictures)
        self.steps += 1
        return losses

    def _precision(self):
        if not self.mixed_precision:
            return nullcontext()
        return torch.autocast("cpu", torch.bfloat16)

    def _attribution(self, images: Tensor, actions: Tensor) -> Tensor:
        with self._precision(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            explained = FirstQ(self.critic, actions)
            return GuidedBackprop(explained).attribute(images.clone().requires_grad_())

    def _mask(self, attribution: Tensor) -> Tensor:
        n, depth, height, width = attribution.shape
        frames = attribution.abs().view(n, depth // 3, 3, height, width)
        importance = frames.max(dim=2).values.flatten(2)
        threshold = importance.quantile(self.quantile, dim=2, keepdim=True)
        mask = (importance >= threshold).view(n, depth // 3, 1, height, width)
        return mask.repeat(1, 1, 3, 1, 1).view_as(attribution)

    def _critic(self, images, actions, rewards, next_images, dones) -> dict[str, Tensor]:
        with torch.no_grad(), self._precision():
            next_actions, log_p = self.actor(next_images)
            smallest = torch.min(*self.target(next_images, next_actions)).to(rewards)
            y = rewards + (1 - dones) * GAMMA * (smallest - self.log_alpha.exp() * log_p)
        mask = self._mask(self._attribution(images, actions))
        masked = images.clone()
        low, high = images.min(), images.max()
        masked[~mask] = low + (high - low) * torch.rand((), dtype=images.dtype)
        with self._precision():
            q1, q2 = (q.to(y) for q in self.critic(images, actions))
            m1, m2 = (q.to(y) for q in self.critic(masked, actions))
        td = functional.mse_loss(q1, y) + functional.mse_loss(q2, y)
        consistency = functional.mse_loss(q1, m1) + functional.mse_loss(q2, m2)
        consistency = CONSISTENCY * consistency
        self._step("critic", td + consistency)
        return {"critic_loss": td, "consistency_loss": consistency}

    def _actor_and_alpha(self, images: Tensor) -> dict[str, Tensor]:
        with self._precision():
            action, log_p = self.actor(images)
            smallest = torch.min(*self.critic(images, action, detach=True)).to(log_p)
        alpha = self.log_alpha.exp()
        actor_loss = (alpha.detach() * log_p - smallest).mean()
        self._step("actor", actor_loss)
        alpha_loss = (alpha * (-log_p + self.n_actions).detach()).mean()
        self._step("alpha", alpha_loss)
        return {"actor_loss": actor_loss, "ent_coef_loss": alpha_loss}

    def _targets(self) -> None:
        for tau, name in (
            (TAU, "q1"),
            (TAU, "q2"),
            (ENCODER_TAU, "cnn"),
            (ENCODER_TAU, "projection"),
        ):
            online, target = getattr(self.critic, name), getattr(self.target, name)
            for p, q in zip(online.parameters(), target.parameters(), strict=True):
                q.data.copy_(tau * p.data + (1 - tau) * q.data)

    def _saliency(self, images, actions, mask, pictures) -> dict[str, Tensor]:
        chosen = pictures[torch.randint(len(pictures), (len(images),))].to(images)
        mixed = 0.5 * images + 0.5 * chosen.repeat(1, images.shape[1] // 3, 1, 1)
        with self._precision():
            embedding = self.critic.projection(self.critic.cnn(mixed))
            logits = self.decoder(embedding, actions).to(images)
        loss = functional.binary_cross_entropy_with_logits(logits, mask.to(logits))
        self._step("saliency", loss)
        return {"saliency_loss": loss}

    def _step(self, name: str, loss: Tensor) -> None:
        self.optimizers[name].zero_grad()
        loss.backward()
        self.optimizers[name].step()
