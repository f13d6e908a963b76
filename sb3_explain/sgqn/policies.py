"""Policies whose actor and critics look through one CNN, which the critic trains."""

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

from sb3_explain.common.errors import ExplainError
from sb3_explain.common.signatures import require_arguments
from sb3_explain.sgqn.attribution import Attribution, guided_backprop
from sb3_explain.sgqn.networks import (
    GuidedReLU,
    PixelCNN,
    PixelEncoder,
    SaliencyDecoder,
    orthogonal,
)

#: bounds of the logarithm of the actor's standard deviation
LOG_STD_MIN, LOG_STD_MAX = -10, 2
#: why an SGQN agent does not predict its saliency
UNTAUGHT = "it was trained without the auxiliary task (n_aux=0)"


class PixelActor(Actor):
    """SB3's actor, but log std = tanh, rescaled to [-10, 2], in place of a clamp."""

    features_extractor: PixelEncoder
    action_dist: SquashedDiagGaussianDistribution  # type: ignore[assignment]
    mu: nn.Linear
    log_std: nn.Linear  # type: ignore[assignment]

    def get_action_dist_params(self, obs: Any) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Mean and log standard deviation of the action before it is squashed, both (B, A)."""
        mean, log_std = self.distribution(self.extract_features(obs, self.features_extractor))
        return mean, log_std, {}

    def distribution(self, embedding: Tensor) -> tuple[Tensor, Tensor]:
        """The same, of the actor's embedding (B, features_dim)."""
        latent = self.latent_pi(embedding)
        share = (torch.tanh(self.log_std(latent)) + 1) / 2
        return self.mu(latent), LOG_STD_MIN + (LOG_STD_MAX - LOG_STD_MIN) * share

    def own_parameters(self) -> list[nn.Parameter]:
        """All but the CNN's."""
        return [
            parameter
            for name, parameter in self.named_parameters()
            if not name.startswith("features_extractor.cnn.")
        ]


class PixelCritic(ContinuousCritic):
    """SB3's critics, but their loss trains the CNN that the actor looks through too."""

    features_extractor: PixelEncoder

    def forward(self, obs: Tensor, actions: Tensor) -> tuple[Tensor, ...]:
        """Q_i(s, a), each (B, 1)."""
        return self.q_values(self.extract_features(obs, self.features_extractor), actions)

    def q_values(self, embedding: Tensor, actions: Tensor) -> tuple[Tensor, ...]:
        """The same, of the critic's embedding (B, features_dim)."""
        inputs = torch.cat([embedding, actions], dim=1)
        return tuple(network(inputs) for network in self.q_networks)


class PixelPolicy(SACPolicy):
    """Actor and critics of SAC from stacked frames, on one CNN: the baselines' policy.

    :param observation_space: images (C, H, W), uint8
    :param action_space: a Box
    :param lr_schedule: of the actor and the critics
    :param net_arch: widths of the hidden layers of the actor and of each critic
    :param n_layers: convolutions of the CNN
    :param n_filters: channels of each
    :param features_dim: of the two projections
    :param size: side of the square in the middle that the networks look at, e.g. 84 of 100 for
        RAD; ``None`` for the whole image
    :param others: of :class:`stable_baselines3.sac.policies.SACPolicy`
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
        **others: Any,
    ) -> None:
        require_arguments(type(self), PixelPolicy, others)
        self.cnn_kwargs = {"n_layers": n_layers, "n_filters": n_filters}
        self.encoder_kwargs = {"features_dim": features_dim, "size": size}
        # SB3's default, which a policy that is saved alone names
        if others.get("features_extractor_class", FlattenExtractor) is not FlattenExtractor:
            raise ExplainError(
                f"{type(self).__name__} has a CNN of its own: leave out features_extractor_class, "
                "and give n_layers, n_filters and features_dim"
            )
        if not others.get("normalize_images", True):
            raise ExplainError("images are divided by 255 inside: leave out normalize_images")
        # what explains SGQN's critics is the gradient that is guided at each ReLU
        if others.get("activation_fn", nn.ReLU) is nn.ReLU:
            others["activation_fn"] = GuidedReLU
        super().__init__(
            observation_space, action_space, lr_schedule, net_arch or [1024, 1024], **others
        )

    def _build(self, lr_schedule: Schedule) -> None:
        cnn, own_cnn = self._cnn(), self._cnn()
        self.critic = self.make_critic(self._encoder(cnn))
        self.actor = self.make_actor(self._encoder(cnn))
        for module in (self.critic, self.actor):
            module.apply(orthogonal)
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
        """Of the weights."""
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
        """The actor, which looks through this encoder."""
        arguments = self._update_features_extractor(self.actor_kwargs, features_extractor)
        return PixelActor(**arguments).to(self.device)

    def make_critic(self, features_extractor: BaseFeaturesExtractor | None = None) -> PixelCritic:
        """Critics, which look through this encoder."""
        arguments = self._update_features_extractor(self.critic_kwargs, features_extractor)
        return PixelCritic(**arguments).to(self.device)

    def q1(self, images: Tensor, actions: Tensor) -> Tensor:
        """(B,) Q1(s, a), the one of the two critics that is explained.

        :param images: (B, C, H, W) in [0, 1]
        :param actions: (B, A) in [-1, 1]
        """
        return self.q1_of(self.critic.features_extractor(images), actions)

    def q1_of(self, embedding: Tensor, actions: Tensor) -> Tensor:
        """The same, of the critic's embedding (B, features_dim)."""
        values: Tensor = self.critic.q_networks[0](torch.cat([embedding, actions], dim=1))
        return values.squeeze(1)

    def attribution(
        self, observations: Tensor, actions: Tensor, method: Attribution = guided_backprop
    ) -> Tensor:
        """How much each pixel matters to Q1(s, a).

        :param observations: (B, C, H, W) in 0..255
        :param actions: (B, A) in [-1, 1]
        :param method: of :data:`sb3_explain.sgqn.attribution.ATTRIBUTIONS`
        :return: (B, C, H, W) signed, by pixels scaled to [0, 1]
        """
        images = preprocess_obs(observations, self.observation_space)
        assert isinstance(images, Tensor)
        images = images.detach().requires_grad_()
        actions = actions.to(images)

        def q(others: Tensor) -> Tensor:
            return self.q1(others, actions)

        with torch.enable_grad():
            return method(q, images, q(images)).detach()

    def compiled_networks(self) -> list[nn.Module]:
        """What an update passes most of its time in, for :func:`torch.compile`."""
        critics = (self.critic, self.critic_target)
        heads = [network for critic in critics for network in critic.q_networks]
        return [*(critic.features_extractor.cnn for critic in critics), *heads]

    def _get_constructor_parameters(self) -> dict[str, Any]:
        return {**super()._get_constructor_parameters(), **self.cnn_kwargs, **self.encoder_kwargs}


class SGQNPolicy(PixelPolicy):
    """:class:`PixelPolicy` that predicts its own saliency.

    :param decoder_filters: channels between the decoder's convolutions; four and two times
        ``n_filters`` when not given, so (128, 64), as the code that made the paper's tables has
        it; the paper says (64, 64)
    :param predicts_saliency: ``False`` for an agent that does not learn to: it has no decoder
    """

    def __init__(
        self,
        observation_space: spaces.Box,
        action_space: spaces.Box,
        lr_schedule: Schedule,
        *arguments: Any,
        decoder_filters: Sequence[int] | None = None,
        predicts_saliency: bool = True,
        **others: Any,
    ) -> None:
        self.decoder_filters = decoder_filters
        self.predicts_saliency = predicts_saliency
        if others.get("size") is not None:
            raise ExplainError("an SGQN policy looks at whole images: leave out size")
        super().__init__(observation_space, action_space, lr_schedule, *arguments, **others)

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
        """The greedy action and the predicted saliency of it, in one pass of the CNN.

        :param observations: (B, C, H, W) in 0..255
        :return: actions (B, A) in [-1, 1]; probabilities (B, C, H, W) that a pixel is among those
            that matter most
        :raises ExplainError: if it does not learn to predict it
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
        """Also the decoder."""
        return [*super().compiled_networks(), *([self.decoder] if self.predicts_saliency else [])]

    def set_training_mode(self, mode: bool) -> None:
        super().set_training_mode(mode)
        if self.predicts_saliency:
            self.decoder.train(mode)

    def _get_constructor_parameters(self) -> dict[str, Any]:
        return {
            **super()._get_constructor_parameters(),
            "decoder_filters": self.decoder_filters,
            "predicts_saliency": self.predicts_saliency,
        }
