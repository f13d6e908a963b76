"""Policies whose actor and critics share one CNN, which the critics' loss trains."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from gymnasium import spaces
from stable_baselines3.common.distributions import SquashedDiagGaussianDistribution
from stable_baselines3.common.policies import ContinuousCritic
from stable_baselines3.common.preprocessing import get_action_dim, preprocess_obs
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor, FlattenExtractor
from stable_baselines3.common.type_aliases import Schedule
from stable_baselines3.sac.policies import Actor, SACPolicy
from torch import Tensor, nn
from torch.nn import functional

from sb3_explain.common.errors import ExplainError
from sb3_explain.common.signatures import require_arguments
from sb3_explain.sgqn.attribution import Attribution, guided_backprop
from sb3_explain.sgqn.networks import (
    GuidedReLU,
    PixelCNN,
    PixelEncoder,
    SaliencyDecoder,
    init_orthogonal,
)

#: bounds of the logarithm of the standard deviation of the actor's Gaussian
LOG_STD_MIN, LOG_STD_MAX = -10, 2
#: why an SGQN agent does not predict its saliency
UNTAUGHT = "it was trained without the auxiliary task (n_aux=0)"

NO_NOISE = "the exploration noise depends on the state by a network of its own; leave it out"
#: arguments of SB3's SACPolicy that would change nothing, with their defaults and the reason
WITHOUT_EFFECT: dict[str, tuple[Any, str]] = {
    "features_extractor_kwargs": ({}, "give n_layers, n_filters and features_dim themselves"),
    "share_features_extractor": (
        False,
        "actor and critics share the CNN, which the critics train, and nothing else; leave it out",
    ),
    "use_sde": (False, NO_NOISE),
    "log_std_init": (-3, NO_NOISE),
    "use_expln": (False, NO_NOISE),
    "clip_mean": (2.0, NO_NOISE),
}


class PixelActor(Actor):
    """SB3's actor, but with log std = tanh rescaled to [-10, 2] instead of clamped."""

    features_extractor: PixelEncoder
    action_dist: SquashedDiagGaussianDistribution  # type: ignore[assignment]
    mu: nn.Linear
    log_std: nn.Linear  # type: ignore[assignment]

    def get_action_dist_params(self, obs: Any) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Compute mean and log standard deviation, both (B, A), of the action before tanh."""
        mean, log_std = self.distribution(self.extract_features(obs, self.features_extractor))
        return mean, log_std, {}

    def distribution(self, embedding: Tensor) -> tuple[Tensor, Tensor]:
        """Compute mean and log standard deviation from the actor's embedding (B, features_dim)."""
        latent = self.latent_pi(embedding)
        share = (torch.tanh(self.log_std(latent)) + 1) / 2
        return self.mu(latent), LOG_STD_MIN + (LOG_STD_MAX - LOG_STD_MIN) * share

    def own_parameters(self) -> list[nn.Parameter]:
        """List all parameters except those of the shared CNN."""
        return [
            parameter
            for name, parameter in self.named_parameters()
            if not name.startswith("features_extractor.cnn.")
        ]


class PixelCritic(ContinuousCritic):
    """SB3's critics, but their loss trains the CNN that the actor shares."""

    features_extractor: PixelEncoder

    def forward(self, obs: Tensor, actions: Tensor) -> tuple[Tensor, ...]:
        """Compute Q_i(s, a) of each critic, (B, 1)."""
        return self.q_values(self.extract_features(obs, self.features_extractor), actions)

    def q_values(self, embedding: Tensor, actions: Tensor) -> tuple[Tensor, ...]:
        """Compute Q_i(s, a), each (B, 1), from the critic's embedding (B, features_dim)."""
        inputs = torch.cat([embedding, actions], dim=1)
        return tuple(network(inputs) for network in self.q_networks)


class PixelPolicy(SACPolicy):
    """Actor and critics of SAC from stacked frames, on one CNN: the policy of the baselines.

    :param observation_space: space of uint8 images (C, H, W)
    :param action_space: a Box
    :param lr_schedule: learning rate schedule of the actor and the critics
    :param net_arch: widths of the hidden layers of the actor and of each critic
    :param n_layers: number of convolutions of the CNN
    :param n_filters: number of output channels of each convolution
    :param features_dim: number of features of the two projections
    :param size: side in pixels of the central square that the networks see, e.g. 84 of 100 for
        RAD; ``None`` for the whole image
    :param kwargs: further arguments of :class:`stable_baselines3.sac.policies.SACPolicy`
    """

    actor: PixelActor
    critic: PixelCritic
    critic_target: PixelCritic

    def __init__(
        self,
        observation_space: spaces.Box,
        action_space: spaces.Box,
        lr_schedule: Schedule,
        net_arch: list[int] | dict[str, list[int]] | None = None,
        *,
        n_layers: int = 11,
        n_filters: int = 32,
        features_dim: int = 100,
        size: int | None = None,
        **kwargs: Any,
    ) -> None:
        require_arguments(type(self), PixelPolicy, kwargs)
        self.cnn_kwargs = {"n_layers": n_layers, "n_filters": n_filters}
        self.encoder_kwargs = {"features_dim": features_dim, "size": size}
        # SB3's default, which a policy that is saved alone names
        if kwargs.get("features_extractor_class", FlattenExtractor) is not FlattenExtractor:
            raise ExplainError(
                f"{type(self).__name__} has a CNN of its own: leave out features_extractor_class, "
                "and give n_layers, n_filters and features_dim"
            )
        if not kwargs.get("normalize_images", True):
            raise ExplainError("images are divided by 255 inside: leave out normalize_images")
        for name, (default, why) in WITHOUT_EFFECT.items():
            if (kwargs.get(name) or default) != default:
                raise ExplainError(f"{name}={kwargs[name]!r} would have no effect: {why}")
        # guided backpropagation of the critics guides the gradient at each ReLU
        if kwargs.get("activation_fn", nn.ReLU) is nn.ReLU:
            kwargs["activation_fn"] = GuidedReLU
        super().__init__(
            observation_space, action_space, lr_schedule, net_arch or [1024, 1024], **kwargs
        )

    def _build(self, lr_schedule: Schedule) -> None:
        cnn, own_cnn = self._cnn(), self._cnn()
        self.critic = self.make_critic(self._encoder(cnn))
        self.actor = self.make_actor(self._encoder(cnn))
        for module in (self.critic, self.actor):
            module.apply(init_orthogonal)
        # one orthogonal matrix for the mean and the log standard deviation
        joint = torch.empty(2 * self.actor.mu.out_features, self.actor.mu.in_features)
        mu, log_std = nn.init.orthogonal_(joint).chunk(2)
        self.actor.mu.weight.data.copy_(mu)
        self.actor.log_std.weight.data.copy_(log_std)
        self.critic_target = self.make_critic(self._encoder(own_cnn))
        self.critic_target.load_state_dict(self.critic.state_dict())
        self.critic_target.set_training_mode(False)
        self.critic.optimizer = self._optimizer(self.critic.parameters(), lr_schedule)
        # the CNN is the critic's
        self.actor.optimizer = self._optimizer(self.actor.own_parameters(), lr_schedule)

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the weights."""
        return self.actor.mu.weight.dtype

    def _cnn(self) -> PixelCNN:
        return PixelCNN(self.observation_space.shape[0], **self.cnn_kwargs)  # type: ignore[index]

    def _encoder(self, cnn: PixelCNN) -> PixelEncoder:
        return PixelEncoder(self.observation_space, cnn, **self.encoder_kwargs)  # type: ignore[arg-type]

    def _optimizer(self, parameters: Iterable[nn.Parameter], lr_schedule: Schedule) -> Any:
        return self.optimizer_class(
            parameters,
            lr=lr_schedule(1),  # type: ignore[call-arg]
            **self.optimizer_kwargs,
        )

    def make_actor(self, features_extractor: BaseFeaturesExtractor | None = None) -> PixelActor:
        """Make the actor with this encoder as its features extractor."""
        kwargs = self._update_features_extractor(self.actor_kwargs, features_extractor)
        return PixelActor(**kwargs).to(self.device)

    def make_critic(self, features_extractor: BaseFeaturesExtractor | None = None) -> PixelCritic:
        """Make the critics with this encoder as their features extractor."""
        kwargs = self._update_features_extractor(self.critic_kwargs, features_extractor)
        return PixelCritic(**kwargs).to(self.device)

    def q1(self, images: Tensor, actions: Tensor) -> Tensor:
        """Compute Q1(s, a), the critic that is explained.

        :param images: (B, C, H, W) in [0, 1]
        :param actions: (B, A) in [-1, 1]
        :return: (B,)
        """
        return self.q1_from_embedding(self.critic.features_extractor(images), actions)

    def q1_from_embedding(self, embedding: Tensor, actions: Tensor) -> Tensor:
        """Compute Q1(s, a), (B,), from the critic's embedding (B, features_dim)."""
        values: Tensor = self.critic.q_networks[0](torch.cat([embedding, actions], dim=1))
        return values.squeeze(1)

    def attribution(
        self, observations: Tensor, actions: Tensor, method: Attribution = guided_backprop
    ) -> Tensor:
        """Attribute Q1(s, a) to the pixels.

        :param observations: (B, C, H, W) in 0..255
        :param actions: (B, A) in [-1, 1]
        :param method: attribution method, see :mod:`sb3_explain.sgqn.attribution`
        :return: (B, C, H, W) signed attributions with respect to pixels scaled to [0, 1]
        """
        images = preprocess_obs(observations, self.observation_space)
        assert isinstance(images, Tensor)
        images = images.detach().requires_grad_()
        actions = actions.to(images)

        def q(changed_images: Tensor) -> Tensor:
            return self.q1(changed_images, actions)

        with torch.enable_grad():
            return method(q, images, q(images)).detach()

    def compiled_networks(self) -> list[nn.Module]:
        """List the networks that take most of an update's time, for :func:`torch.compile`."""
        critics = (self.critic, self.critic_target)
        heads = [network for critic in critics for network in critic.q_networks]
        return [*(critic.features_extractor.cnn for critic in critics), *heads]

    def _get_constructor_parameters(self) -> dict[str, Any]:
        return {**super()._get_constructor_parameters(), **self.cnn_kwargs, **self.encoder_kwargs}


class SGQNPolicy(PixelPolicy):
    """:class:`PixelPolicy` with a decoder that predicts the agent's own saliency.

    :param observation_space: space of uint8 images (C, H, W)
    :param action_space: a Box
    :param lr_schedule: learning rate schedule of the actor and the critics
    :param args: further arguments of :class:`PixelPolicy`
    :param decoder_filters: numbers of channels between the decoder's convolutions; by default four
        and two times ``n_filters``, hence (128, 64) as in the code behind the paper's tables; the
        paper says (64, 64)
    :param predicts_saliency: whether there is a decoder
    :param kwargs: further arguments of :class:`PixelPolicy`
    """

    def __init__(
        self,
        observation_space: spaces.Box,
        action_space: spaces.Box,
        lr_schedule: Schedule,
        *args: Any,
        decoder_filters: Sequence[int] | None = None,
        predicts_saliency: bool = True,
        **kwargs: Any,
    ) -> None:
        self.decoder_filters = decoder_filters
        self.predicts_saliency = predicts_saliency
        if kwargs.get("size") is not None:
            raise ExplainError("an SGQN policy looks at whole images: leave out size")
        super().__init__(observation_space, action_space, lr_schedule, *args, **kwargs)

    def _build(self, lr_schedule: Schedule) -> None:
        super()._build(lr_schedule)
        if not self.predicts_saliency:
            return
        encoder = self.critic.features_extractor
        n_filters = encoder.cnn.n_filters
        self.decoder_filters = tuple(self.decoder_filters or (4 * n_filters, 2 * n_filters))
        self.decoder = SaliencyDecoder(
            encoder.features_dim,
            get_action_dim(self.action_space),
            self.observation_space.shape,  # type: ignore[arg-type]
            n_filters,
            self.decoder_filters,
        )

    def predict_saliency(self, observations: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the deterministic action and its predicted saliency in one pass of the CNN.

        :param observations: (B, C, H, W) in 0..255
        :return: actions (B, A) in [-1, 1]; probabilities (B, C, H, W) that a pixel is in the
            mask of the most salient ones
        :raises ExplainError: if the policy has no decoder
        """
        if not self.predicts_saliency:
            raise ExplainError(f"this agent predicts no saliency: {UNTAUGHT}")
        images = preprocess_obs(observations, self.observation_space)
        features = self.critic.features_extractor.cnn(images)
        mean, _ = self.actor.distribution(self.actor.features_extractor.projection(features))
        actions = torch.tanh(mean)
        embedding = self.critic.features_extractor.projection(features)
        return actions, torch.sigmoid(self.decoder(embedding, actions))

    def compiled_networks(self) -> list[nn.Module]:
        """List the networks to compile, including the decoder."""
        return [*super().compiled_networks(), *([self.decoder] if self.predicts_saliency else [])]

    def set_training_mode(self, mode: bool) -> None:
        """Set the mode of all networks, including the decoder."""
        super().set_training_mode(mode)
        if self.predicts_saliency:
            self.decoder.train(mode)

    def _get_constructor_parameters(self) -> dict[str, Any]:
        return {
            **super()._get_constructor_parameters(),
            "decoder_filters": self.decoder_filters,
            "predicts_saliency": self.predicts_saliency,
        }


def sum_squared_errors(q_values: tuple[Tensor, ...], targets: Tensor) -> Tensor:
    """Compute sum_i MSE(Q_i, y) of the critics' Q-values and the targets, each (B, 1)."""
    errors = [functional.mse_loss(q.to(targets), targets) for q in q_values]
    return torch.stack(errors).sum()
