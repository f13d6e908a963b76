"""StateGenerator: a generative model of the states of a frozen agent's life.

Rupprecht, Ibrahim and Pal, "Visualizing and Discovering Behavioural Weaknesses in Deep
Reinforcement Learning", section 3.1.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor, nn

from sb3_explain.agents.agent import Agent
from sb3_explain.agents.policy_views import FORBIDDEN
from sb3_explain.common.checkpoints import TrainingState, copy_weights, pack
from sb3_explain.common.errors import ExplainError, require_known
from sb3_explain.common.training import (
    TrainingOptions,
    require_types,
    train_network,
    training_options,
)
from sb3_explain.envs.spaces import Observations, join_keys, spaces_by_key
from sb3_explain.explainers.learned.fitted import (
    Fitted,
    below,
    damaged,
    learned_from,
    read_fitted,
    write_fitted,
)
from sb3_explain.explainers.requirements import needs_numbers
from sb3_explain.probing.autoencoder import Autoencoder, ByKey, Gaussian, StateNetwork, Units
from sb3_explain.probing.codecs import CODECS
from sb3_explain.probing.prior import STATES, make_prior
from sb3_explain.probing.weighting import UNIFORM, Weighting
from sb3_explain.states.batch import StateBatch
from sb3_explain.states.dataset import StateDataset

#: states that units, the mean state and the scores' scale are fitted on, at most
SAMPLE = 2000
#: states that pass the autoencoder at once
PASS = 128
#: training states whose codes are kept, at most
KEPT = 4096
#: weight of L, brought into [0, 1), beside agreement in the target of the weights that are kept
TIE = 0.1
#: names of their tensors in a file begin with it
CODES = "codes."


@dataclasses.dataclass(frozen=True)
class GeneratorSettings:
    """What a generator is, apart from its weights.

    L = L_p + lambda_agent * L_a + lambda_kl * KL, each a mean: L_p over cells and L_a over scores,
    both in units of their variance over states, KL over the dimensions of the code. So the weights
    mean the same for every agent.

    :param latent: dimensions of the code
    :param codec: name of the codec of images: ``"compact"``, or ``"paper"``
    :param weighting: of L_p; ``"uniform"`` for a plain autoencoder, see
        :class:`~sb3_explain.probing.weighting.Weighting`
    :param uniform_share: share of the weight that is spread evenly
    :param lambda_agent: eta, weight of L_a; 0 to leave it out
    :param lambda_kl: weight of the divergence from the standard normal distribution
    """

    latent: int = 100
    codec: str = "compact"
    weighting: str = "saliency"
    uniform_share: float = 0.1
    lambda_agent: float = 0.05
    lambda_kl: float = 0.01


#: the paper's table 1: settings of a plain variational autoencoder, of L_p alone, of all terms
VARIANTS: dict[str, dict[str, Any]] = {
    "vae": {"weighting": UNIFORM, "lambda_agent": 0.0},
    "lp_only": {"lambda_agent": 0.0},
    "full": {},
}


class StateGenerator:
    """A variational autoencoder whose reconstructions the agent takes for the states.

    Three terms: L_p draws what the agent looks at, L_a asks that the agent says the same, and KL
    makes codes of a standard normal distribution those of states. Training keeps the weights with
    which the agent most often does the same on reconstructions of validation states.

    :param agent: whose states they are; the memory of a recurrent one is held
    :param seed: of the initial weights
    :param settings: fields of :class:`GeneratorSettings`
    :raises ExplainError: for unknown or impossible settings, or observations of categories
    """

    name = "generator"

    def __init__(self, agent: Agent, *, seed: int = 0, **settings: Any) -> None:
        reason = needs_numbers(agent)
        if reason is not None:
            raise ExplainError(f"no generator of this agent's states: {reason}")
        self.agent = agent
        self.settings = self.settings_of(settings)
        self.weighting = Weighting(agent, self.settings.weighting, self.settings.uniform_share)
        by_key: dict[str, Any] = spaces_by_key(agent.observation_space)
        self.shapes: dict[str, tuple[int, ...]] = {n: tuple(e.shape) for n, e in by_key.items()}
        self.bounded = {name for name, space in by_key.items() if is_bounded(space)}
        self.training = TrainingState()
        #: fingerprints of the states that it has learned from, and the options of training
        self.learned_from: dict[str, Any] = {}
        empty = torch.zeros(0, self.settings.latent, device=agent.device)
        #: (M, latent) of training states, once it is fitted
        self.codes = Gaussian(empty, empty)
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)  # torch's own would seed all GPUs too
            self.network = StateNetwork(self._autoencoder(), self._units(by_key))
        self.network.to(agent.device).to(memory_format=torch.channels_last).eval()  # type: ignore[call-overload]

    @staticmethod
    def settings_of(given: Mapping[str, Any]) -> GeneratorSettings:
        """The settings: those given, the defaults for the others.

        :raises ExplainError: for unknown or impossible ones
        """
        known = [field.name for field in dataclasses.fields(GeneratorSettings)]
        require_known("setting of a generator", given, known)
        settings = GeneratorSettings(**given)
        require_types(settings)
        if settings.latent < 1 or min(settings.lambda_agent, settings.lambda_kl) < 0:
            raise ExplainError(f"latent must be at least 1, no weight negative: {settings}")
        CODECS[settings.codec]
        return settings

    def _autoencoder(self) -> Autoencoder:
        return Autoencoder(self.shapes, self.bounded, self.settings.latent, self.settings.codec)

    def _units(self, by_key: Mapping[str, Any]) -> dict[str, Units]:
        units = {}
        for name, space in by_key.items():
            low, high = torch.zeros(self.shapes[name]), torch.ones(self.shapes[name])
            if name in self.bounded:
                low, high = (torch.from_numpy(np.float32(b)) for b in (space.low, space.high))
            units[name] = Units(low, high - low)
        return units

    @property
    def fitted(self) -> bool:
        """Whether it has learned."""
        return bool(self.training.history)

    def require_fitted(self) -> None:
        """:raises ExplainError: if nothing has been learned to generate with"""
        if not self.fitted:
            raise ExplainError("this generator has not been fitted: call fit(train, validation)")

    # --- states and codes ------------------------------------------------------------------

    def encode(self, observations: Observations) -> Gaussian:
        """Codes of states, differentiably.

        :param observations: (B, ...) in the agent's range, or a dict of such
        """
        batch = StateBatch(self.agent, observations)
        return self.network.autoencoder.encode(self.network.into(batch.by_key))

    def decode(self, codes: Tensor) -> Any:
        """States of codes, differentiably: (B, ...) in the agent's range, or a dict of such.

        :param codes: (B, latent)
        """
        return join_keys(self.network.out_of(self.network.autoencoder.decode(codes)))

    def reconstruct(self, observations: Observations) -> Any:
        """States as the generator draws them from the means of their codes.

        :param observations: (B, ...) in the agent's range, or a dict of such
        """
        batch = StateBatch(self.agent, observations)
        return join_keys(self.reconstructed(batch))

    @torch.no_grad()
    def reconstructed(self, batch: StateBatch) -> ByKey:
        """The keys of some states as the generator draws them from the means of their codes."""
        self.require_fitted()
        codes = [
            self.encode(
                join_keys({name: observed[part] for name, observed in batch.by_key.items()})
            ).mean
            for part in torch.split(torch.arange(len(batch), device=batch.device), PASS)
        ]
        return self._decoded(torch.cat(codes))

    @torch.no_grad()
    def sample(self, n: int, seed: int = 0, *, prior: str = STATES) -> Any:
        """n states of random codes.

        :param n: states
        :param seed: of the codes
        :param prior: ``"states"`` to draw from those of training states, ``"normal"`` from the
            standard normal distribution; see :mod:`sb3_explain.probing.prior`
        """
        self.require_fitted()
        if n < 1:
            raise ExplainError(f"n={n}: ask for at least one state")
        chance = torch.Generator().manual_seed(seed)
        starts = make_prior(prior, self.codes).starts(n, chance)
        noise = torch.randn(n, self.settings.latent, generator=chance)
        device = self.agent.device
        code = Gaussian(starts.mean.to(device), starts.log_std.to(device))
        return join_keys(self._decoded(code.draw(noise.to(device))))

    def _decoded(self, codes: Tensor) -> ByKey:
        """The keys of states of codes (B, latent), a pass at a time."""
        network = self.network
        parts = [network.out_of(network.autoencoder.decode(c)) for c in torch.split(codes, PASS)]
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}

    @torch.no_grad()
    def agreement(self, states: StateDataset) -> float:
        """Share of states on whose reconstruction the agent still does what it did, in [0, 1].

        The greedy action; of several sub-actions the surest one's; of Box actions see
        :meth:`sb3_explain.states.batch.StateBatch.keeps`.
        """
        kept = 0
        for positions in np.array_split(np.arange(len(states)), -(-len(states) // PASS)):
            batch = states.batch(self.agent, positions)
            kept += int(batch.keeps(self.reconstructed(batch)).sum())
        return kept / len(states)

    # --- learning --------------------------------------------------------------------------

    def fit(
        self,
        train: StateDataset,
        validation: StateDataset,
        *,
        folder: str | Path | None = None,
        **options: Any,
    ) -> TrainingState:
        """Learn to draw states, from the weights that there are.

        :param train: states to learn from
        :param validation: states on whose reconstructions the agent's agreement decides when to
            stop and which weights are kept
        :param folder: for checkpoints and TensorBoard scalars; a run that was killed goes on there
        :param options: fields of :class:`sb3_explain.common.training.TrainingOptions`
        :return: the history of the validation losses
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
        self._keep_codes(train)
        return self.training

    @torch.no_grad()
    def _keep_codes(self, train: StateDataset) -> None:
        kept = train.spread(KEPT)
        codes = []
        for positions in np.array_split(kept, -(-len(kept) // PASS)):
            by_key = self.network.into(train.batch(self.agent, positions).by_key)
            codes.append(self.network.autoencoder.encode(by_key))
        self.codes = Gaussian(
            torch.cat([code.mean for code in codes]), torch.cat([code.log_std for code in codes])
        )

    def plain_settings(self) -> dict[str, Any]:
        """What the generator is apart from its weights."""
        return dataclasses.asdict(self.settings)

    @staticmethod
    def training_options(options: Mapping[str, Any]) -> TrainingOptions:
        """The options of training: those given, the generator's defaults for the others."""
        defaults = {"epochs": 40, "learning_rate": 1e-3, "weight_decay": 0.0, "patience": 20}
        return training_options({**defaults, **options})

    def losses(
        self, network: nn.Module, batch: StateBatch, noise: Tensor | None
    ) -> dict[str, Tensor]:
        """The terms of equation 1 on some states, and "loss".

        "loss" is what training minimises: L with noise; without, as validation has it, the share of
        states on whose reconstruction the agent does something else. Where that tells little, as of
        an agent that nearly always does the same, L decides.

        :param network: :class:`StateNetwork`, as it is trained
        :param batch: the states
        :param noise: (B, latent) standard normal, or none
        """
        settings, units = self.settings, self.network
        with self._precisely():
            own = batch.own_target_scores
        wanted = units.into(batch.by_key)
        drawn, code = network(wanted, noise)
        weights = self.weights(batch)
        deviation = {n: units.autoencoder.mean_state(n).deviation for n in wanted}
        pixels = torch.stack(
            [(weights[n] * ((drawn[n] - wanted[n]) / deviation[n]).square()).mean() for n in wanted]
        ).mean()
        terms = {
            "reconstruction": pixels,
            "divergence": code.divergence().mean() / settings.latent,
        }
        loss = pixels + settings.lambda_kl * terms["divergence"]
        if settings.lambda_agent or noise is None:
            with self._precisely():
                redrawn = units.out_of(drawn)
                shift = (batch.target_scores(redrawn) - own) / units.spread
                terms["agent"] = shift.square().mean()
                loss = loss + settings.lambda_agent * terms["agent"]
                if noise is None:
                    terms["agreement"] = batch.keeps(redrawn).float().mean()
                    loss = 1 - terms["agreement"] + TIE * loss / (1 + loss)
        return {"loss": loss, **terms}

    def weights(self, batch: StateBatch) -> dict[str, Tensor]:
        """(B, ...) weights of L_p, of mean 1 over the cells of every key."""
        extents = {name: self.network.units_of(name).extent for name in self.shapes}
        return self.weighting(batch, extents)

    def _precisely(self) -> torch.autocast:
        """Full precision: scores differ by less than bfloat16 tells apart."""
        return torch.autocast(self.agent.device.type, enabled=False)

    def _noise(self, positions: NDArray[np.int64], seed: int) -> Tensor:
        """(B, latent) that depends on which states stand in a batch, so that a resumed run has the
        same.
        """
        entropy = np.random.SeedSequence([seed, *positions.tolist()]).generate_state(1)
        generator = torch.Generator().manual_seed(int(entropy[0]))
        noise = torch.randn(len(positions), self.settings.latent, generator=generator)
        return noise.to(self.agent.device)

    @torch.no_grad()
    def _fit_units(self, states: StateDataset) -> None:
        """Units of unbounded keys, the mean state, and the spread of the scores."""
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
            units = self.network.units_of(name)
            if name in self.bounded:
                average = self.network.autoencoder.mean_state(name)
                average.mean.copy_(units.into(mean))
                deviation = (variance / units.extent.square()).mean().sqrt()
                average.deviation.copy_(deviation.masked_fill(deviation <= 1e-6, 1))
            else:
                constant = variance.sqrt() <= 1e-6 * mean.abs().clamp_min(1)
                units.low.copy_(mean)
                units.extent.copy_(variance.sqrt().masked_fill(constant, 1))
        # what an action mask forbids has no score
        said = torch.cat(scores).double()
        said = said.masked_fill(said <= FORBIDDEN, torch.nan)
        apart = (said - said.nanmean(dim=0)).square().nanmean(dim=0).sqrt()
        spread = apart.nan_to_num().mean()
        self.network.spread.copy_(spread.masked_fill(spread == 0, 1))

    # --- on disk ---------------------------------------------------------------------------

    def save(self, folder: str | Path) -> None:
        """Write ``generator.safetensors`` and ``generator.json``."""
        self.require_fitted()
        settings = dataclasses.asdict(self.settings)
        codes = {f"{CODES}{part}": pack(code) for part, code in self.codes._asdict().items()}
        tensors = {**copy_weights(self.network), **codes}
        fitted = Fitted(settings, tensors, self.training, self.learned_from)
        write_fitted(Path(folder), self.name, self.agent, fitted)

    @classmethod
    def load(cls, folder: str | Path, agent: Agent) -> Self:
        """Read what :meth:`save` wrote.

        :param folder: where it stands
        :param agent: the agent whose states it was fitted to
        :raises ExplainError: if files are missing or damaged, or the agent is another
        """
        folder = Path(folder)
        fitted = read_fitted(folder, cls.name, agent)
        codes = below(CODES, fitted.tensors)
        weights = {name: t for name, t in fitted.tensors.items() if not name.startswith(CODES)}
        try:
            generator = cls(agent, **fitted.settings)
            generator.network.load_state_dict(weights)
            generator.codes = Gaussian(**{n: code.to(agent.device) for n, code in codes.items()})
        except (RuntimeError, TypeError, ValueError) as error:
            raise damaged(folder, cls.name) from error
        generator.training, generator.learned_from = fitted.training, fitted.learned_from
        return generator


def is_bounded(space: spaces.Space[Any]) -> bool:
    """Whether all cells of a key are between bounds that the space states."""
    if isinstance(space, spaces.MultiBinary):
        return False
    assert isinstance(space, spaces.Box)
    extent = space.high.astype(np.float64) - space.low.astype(np.float64)
    return bool(np.isfinite(extent).all() and (extent > 0).all() and extent.max() < 1e6)
