"""StateGenerator: a generative model of the states of a frozen agent's episodes.

Rupprecht, Ibrahim and Pal (2019), "Visualizing and Discovering Behavioural Weaknesses in Deep
Reinforcement Learning", section 3.1.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sb3_explain.agents.agent import Agent
from sb3_explain.agents.policy_views import FORBIDDEN
from sb3_explain.common.checkpoints import TrainingState, copy_weights, pack
from sb3_explain.common.errors import ExplainError
from sb3_explain.common.signatures import check_arguments, read_instance
from sb3_explain.common.tensor_files import require_fit
from sb3_explain.common.training import TrainingOptions, train_network, training_options
from sb3_explain.envs.spaces import Observations
from sb3_explain.explainers.learned.fitted import (
    REMEDY,
    Fitted,
    building,
    learned_from,
    read_fitted,
    select_prefix,
    write_fitted,
)
from sb3_explain.explainers.requirements import needs_no_category
from sb3_explain.probing.autoencoder import Autoencoder, ByKey, Gaussian, StateNetwork, make_units
from sb3_explain.probing.prior import STATES, make_prior
from sb3_explain.probing.settings import make_settings
from sb3_explain.probing.weighting import Weighting
from sb3_explain.states.batch import StateBatch
from sb3_explain.states.dataset import StateDataset

#: at most this many states are used to fit the units, the mean state and the scores' scale
SAMPLE = 2000
#: number of states that pass through the autoencoder at once
PASS = 128
#: at most this many training states are encoded for the prior
MAX_CODES = 4096
#: weight of L, brought into [0, 1), beside agreement in the validation loss
TIE = 0.1
#: prefix of the codes' tensors in a file
CODES = "codes."


class StateGenerator:
    """A variational autoencoder whose reconstructions the agent treats like the states.

    Its loss has three terms: L_p reconstructs what the agent looks at, L_a asks for equal outputs
    of the agent, and KL lets codes be drawn from a standard normal distribution. Training keeps the
    weights with which the agent most often chooses the same action on reconstructions of validation
    states.

    >>> from sb3_explain import StateGenerator
    >>> generator = StateGenerator(agent, latent=4)
    >>> _ = generator.fit(train, validation, epochs=1, progress=False)
    >>> generator.sample(3).shape
    torch.Size([3, 4])

    :param agent: the agent whose states are generated; a recurrent agent's LSTM states are held
    :param seed: random seed of the initial weights
    :param settings: fields of :class:`sb3_explain.probing.settings.GeneratorSettings`
    :raises ExplainError: for unknown settings, values out of range, or observations of categories
    """

    #: how users come by one, for messages
    obtained_by: ClassVar[str] = "StateGenerator(agent) makes one, which knows its agent"

    name = "generator"
    make_settings = staticmethod(make_settings)

    def __init__(self, agent: Agent, *, seed: int = 0, **settings: Any) -> None:
        agent = read_instance("agent", agent, Agent)
        reason = needs_no_category(agent)
        if reason is not None:
            raise ExplainError(f"no generator of this agent's states: {reason}")
        self.agent = agent
        self.settings = self.make_settings(settings)
        self.weighting = Weighting(agent, self.settings.weighting, self.settings.uniform_share)
        #: shapes by key, in the form in which a batch has them
        self.shapes = agent.layout.shapes
        units = make_units(agent)
        #: names of the keys with bounds
        self.bounded = {name for name, (_, bounded) in units.items() if bounded}
        self.training = TrainingState()
        #: fingerprints of the states that it learned from, and the options of training
        self.learned_from: dict[str, Any] = {}
        empty = torch.zeros(0, self.settings.latent, device=agent.device)
        #: (M, latent) codes of training states, once it is fitted
        self.codes = Gaussian(empty, empty)
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)  # torch's own would seed all GPUs too
            self.network = StateNetwork(
                Autoencoder(self.shapes, self.bounded, self.settings.latent, self.settings.codec),
                {name: scale for name, (scale, _) in units.items()},
            )
        self.network.to(agent.device).to(memory_format=torch.channels_last).eval()  # type: ignore[call-overload]

    @property
    def fitted(self) -> bool:
        """Whether it has been fitted."""
        return bool(self.training.history)

    def require_fitted(self) -> None:
        """Raise an :class:`~sb3_explain.ExplainError` if it has not been fitted."""
        if not self.fitted:
            raise ExplainError("this generator has not been fitted: call fit(train, validation)")

    # --- states and codes ------------------------------------------------------------------

    def encode(self, observations: Observations) -> Gaussian:
        """Encode states, differentiably.

        :param observations: (B, ...) in the agent's range, or a dict of such
        """
        batch = StateBatch(self.agent, observations)
        return self.network.autoencoder.encode(self.network.scale(batch.by_key))

    def decode(self, codes: Tensor) -> Any:
        """Decode codes to states, differentiably.

        :param codes: (B, latent)
        :return: (B, ...) in the agent's range, or a dict of such
        """
        decoded = self.network.unscale(self.network.autoencoder.decode(codes))
        return self.agent.layout.restore(decoded)

    def reconstruct(self, observations: Observations) -> Any:
        """Encode states, and decode the means of their codes.

        :param observations: (B, ...) in the agent's range, or a dict of such
        :return: reconstructions of the same shapes
        :raises ExplainError: if it has not been fitted
        """
        batch = StateBatch(self.agent, observations)
        return self.agent.layout.restore(self.reconstruct_batch(batch))

    @torch.no_grad()
    def reconstruct_batch(self, batch: StateBatch) -> ByKey:
        """Return reconstructions of a batch's states, (B, ...) by key, see :meth:`reconstruct`."""
        self.require_fitted()
        scaled = self.network.scale(batch.by_key)
        codes = [
            self.network.autoencoder.encode({n: held[part] for n, held in scaled.items()}).mean
            for part in torch.split(torch.arange(len(batch), device=batch.device), PASS)
        ]
        return self._decode_in_parts(torch.cat(codes))

    @torch.no_grad()
    def sample(self, n: int, seed: int = 0, *, prior: str = STATES) -> Any:
        """Decode n random codes.

        :param n: number of states
        :param seed: random seed of the codes
        :param prior: ``"states"`` to draw from the codes of training states, ``"normal"`` from the
            standard normal distribution; see :mod:`sb3_explain.probing.prior`
        :return: (n, ...) states in the agent's range, or a dict of such
        :raises ExplainError: if it has not been fitted, or n is below 1
        """
        self.require_fitted()
        if n < 1:
            raise ExplainError(f"n={n}: ask for at least one state")
        rng = torch.Generator().manual_seed(seed)
        starts = make_prior(prior, self.codes).sample_starts(n, rng)
        noise = torch.randn(n, self.settings.latent, generator=rng)
        device = self.agent.device
        code = Gaussian(starts.mean.to(device), starts.log_std.to(device))
        return self.agent.layout.restore(self._decode_in_parts(code.draw(noise.to(device))))

    def _decode_in_parts(self, codes: Tensor) -> ByKey:
        """Decode codes (B, latent) to keys by name, some at a time."""
        network = self.network
        parts = [network.unscale(network.autoencoder.decode(c)) for c in torch.split(codes, PASS)]
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}

    @torch.no_grad()
    def agreement(self, states: StateDataset) -> float:
        """Return the share of states on whose reconstruction the agent acts as before, in [0, 1].

        What counts is the greedy action; of several sub-actions, that of the surest one; of Box
        actions see :meth:`sb3_explain.StateBatch.keeps`.
        """
        n_equal = 0
        for positions in np.array_split(np.arange(len(states)), -(-len(states) // PASS)):
            batch = states.batch(self.agent, positions)
            n_equal += int(batch.keeps(self.reconstruct_batch(batch)).sum())
        return n_equal / len(states)

    # --- learning --------------------------------------------------------------------------

    @check_arguments
    def fit(
        self,
        train: StateDataset,
        validation: StateDataset,
        *,
        folder: str | Path | None = None,
        **options: Any,
    ) -> TrainingState:
        """Learn to generate states, from the present weights.

        :param train: states to learn from
        :param validation: states on whose reconstructions the agent's agreement decides when to
            stop, and which weights are best
        :param folder: folder of checkpoints and TensorBoard scalars, where a run that was killed
            continues; nothing is written without it
        :param options: fields of :class:`sb3_explain.common.training.TrainingOptions`
        :return: the history of the validation losses
        :raises ExplainError: for unknown options, or states that another agent has labelled
        """
        chosen = self.training_options(options)
        for states in (train, validation):
            states.require_labels_of(self.agent)
        self._fit_units(train)
        self.learned_from = learned_from(train, validation, chosen.identity())

        def losses(states: StateDataset, *, noisy: bool) -> Any:
            def of(network: nn.Module, positions: NDArray[np.int64]) -> dict[str, Tensor]:
                noise = self._noise(positions, chosen.seed) if noisy else None
                return self.losses(network, states.batch(self.agent, positions), noise)

            return of

        self.training = train_network(
            self.network,
            losses(train, noisy=True),
            len(train),
            losses(validation, noisy=False),
            len(validation),
            chosen,
            device=self.agent.device,
            folder=Path(folder) if folder is not None else None,
            identity={
                **dataclasses.asdict(self.settings),
                "generator": True,
                "agent": self.agent.fingerprint(),
                "states": [train.fingerprint(), validation.fingerprint()],
            },
        )
        self._encode_training_states(train)
        return self.training

    @torch.no_grad()
    def _encode_training_states(self, train: StateDataset) -> None:
        sample = train.spread(MAX_CODES)
        codes = []
        for positions in np.array_split(sample, -(-len(sample) // PASS)):
            by_key = self.network.scale(train.batch(self.agent, positions).by_key)
            codes.append(self.network.autoencoder.encode(by_key))
        self.codes = Gaussian(
            torch.cat([code.mean for code in codes]), torch.cat([code.log_std for code in codes])
        )

    def plain_settings(self) -> dict[str, Any]:
        """Return the settings as plain data."""
        return dataclasses.asdict(self.settings)

    @staticmethod
    def training_options(options: Mapping[str, Any]) -> TrainingOptions:
        """Return the training options given, with the generator's defaults for all others."""
        defaults = {"epochs": 40, "learning_rate": 1e-3, "weight_decay": 0.0, "patience": 20}
        return training_options({**defaults, **options})

    def losses(
        self, network: nn.Module, batch: StateBatch, noise: Tensor | None
    ) -> dict[str, Tensor]:
        """Return the terms of equation 1 on some states by name, and ``"loss"``.

        With noise, as in training, the loss is L. Without noise, as in validation, it is the share
        of states on whose reconstruction the agent does something else; L breaks ties, as of an
        agent that nearly always does the same.

        :param network: :class:`~sb3_explain.probing.autoencoder.StateNetwork`, as it is trained
        :param batch: B states
        :param noise: (B, latent) standard normal noise of the codes
        """
        settings, units = self.settings, self.network
        with self._precisely():
            own = batch.own_target_scores
        states = units.scale(batch.by_key)
        drawn, code = network(states, noise)
        weights = self.weights(batch)
        deviation = {n: units.autoencoder.get_mean_state(n).deviation for n in states}
        pixels = torch.stack(
            [(weights[n] * ((drawn[n] - states[n]) / deviation[n]).square()).mean() for n in states]
        ).mean()
        terms = {
            "reconstruction": pixels,
            "divergence": code.divergence().mean() / settings.latent,
        }
        loss = pixels + settings.lambda_kl * terms["divergence"]
        if settings.lambda_agent or noise is None:
            with self._precisely():
                redrawn = units.unscale(drawn)
                shift = (batch.target_scores(redrawn) - own) / units.spread
                terms["agent"] = shift.square().mean()
                loss = loss + settings.lambda_agent * terms["agent"]
                if noise is None:
                    terms["agreement"] = batch.keeps(redrawn).float().mean()
                    loss = 1 - terms["agreement"] + TIE * loss / (1 + loss)
        return {"loss": loss, **terms}

    def weights(self, batch: StateBatch) -> dict[str, Tensor]:
        """Return the weights of L_p, (B, ...) by key, with mean 1 over the features of each key."""
        extents = {name: self.network.get_units(name).extent for name in self.shapes}
        return self.weighting(batch, extents)

    def _precisely(self) -> torch.autocast:
        """Compute in full precision: differences of scores are below the precision of bfloat16."""
        return torch.autocast(self.agent.device.type, enabled=False)

    def _noise(self, positions: NDArray[np.int64], seed: int) -> Tensor:
        """Draw noise (B, latent) by the batch's states, so that a resumed run draws the same."""
        entropy = np.random.SeedSequence([seed, *positions.tolist()]).generate_state(1)
        generator = torch.Generator().manual_seed(int(entropy[0]))
        noise = torch.randn(len(positions), self.settings.latent, generator=generator)
        return noise.to(self.agent.device)

    @torch.no_grad()
    def _fit_units(self, states: StateDataset) -> None:
        """Fit the units of unbounded keys, the mean state, and the spread of the scores."""
        sample = states.spread(SAMPLE)
        sums: ByKey = {}
        squares: ByKey = {}
        scores = []
        for positions in np.array_split(sample, -(-len(sample) // PASS)):
            batch = states.batch(self.agent, positions)
            scores.append(batch.own_target_scores)
            for name, observed in batch.by_key.items():
                sums[name] = sums.get(name, 0.0) + observed.double().sum(dim=0)
                squares[name] = squares.get(name, 0.0) + observed.double().square().sum(dim=0)
        for name in self.shapes:
            mean = sums[name] / len(sample)
            variance = (squares[name] / len(sample) - mean.square()).clamp_min(0)
            units = self.network.get_units(name)
            if name in self.bounded:
                average = self.network.autoencoder.get_mean_state(name)
                average.mean.copy_(units.scale(mean))
                deviation = (variance / units.extent.square()).mean().sqrt()
                average.deviation.copy_(deviation.masked_fill(deviation <= 1e-6, 1))
            else:
                constant = variance.sqrt() <= 1e-6 * mean.abs().clamp_min(1)
                units.low.copy_(mean)
                units.extent.copy_(variance.sqrt().masked_fill(constant, 1))
        # what an action mask forbids has no score
        all_scores = torch.cat(scores).double()
        all_scores = all_scores.masked_fill(all_scores <= FORBIDDEN, torch.nan)
        apart = (all_scores - all_scores.nanmean(dim=0)).square().nanmean(dim=0).sqrt()
        spread = apart.nan_to_num().mean()
        self.network.spread.copy_(spread.masked_fill(spread == 0, 1))

    # --- on disk ---------------------------------------------------------------------------

    def save(self, folder: str | Path) -> None:
        """Write ``generator.safetensors`` and ``generator.json`` into a folder."""
        self.require_fitted()
        settings = dataclasses.asdict(self.settings)
        codes = {f"{CODES}{part}": pack(code) for part, code in self.codes._asdict().items()}
        tensors = {**copy_weights(self.network), **codes}
        fitted = Fitted(settings, tensors, self.training, self.learned_from)
        write_fitted(Path(folder), self.name, self.agent, fitted)

    @classmethod
    @check_arguments
    def load(cls, folder: str | Path, agent: Agent) -> Self:
        """Read what :meth:`save` wrote.

        :param folder: folder of the two files
        :param agent: the agent whose states it was fitted to
        :raises ExplainError: if files are missing or damaged, or the agent is another
        """
        folder = Path(folder)
        fitted = read_fitted(folder, cls.name, agent)
        codes = select_prefix(CODES, fitted.tensors)
        weights = {name: t for name, t in fitted.tensors.items() if not name.startswith(CODES)}
        with building(folder, cls.name, weights):
            generator = cls(agent, **fitted.settings)
            n_codes = min(map(len, codes.values()), default=1)
            shape = torch.empty(n_codes, generator.settings.latent, device="meta")
            expected = dict.fromkeys(Gaussian._fields, shape)
            require_fit(weights, generator.network.state_dict(), str(folder), REMEDY)
            require_fit(codes, expected, str(folder), REMEDY)
            generator.network.load_state_dict(weights)
            generator.codes = Gaussian(**{n: code.to(agent.device) for n, code in codes.items()})
        generator.training, generator.learned_from = fitted.training, fitted.learned_from
        return generator
