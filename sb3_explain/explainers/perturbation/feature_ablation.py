"""Feature ablation: how much the score falls when one feature is replaced."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from sb3_explain.agents.agent import Agent
from sb3_explain.agents.observations import count_features, feature_keys
from sb3_explain.envs.spaces import spaces_by_key
from sb3_explain.explainers import EXPLAINERS
from sb3_explain.explainers.base import Explainer
from sb3_explain.explainers.perturbation.features import Features
from sb3_explain.explainers.requirements import needs_features
from sb3_explain.states.baselines import Replacement, make_baselines
from sb3_explain.states.batch import StateBatch
from sb3_explain.states.dataset import StateDataset
from sb3_explain.states.forward_passes import MAX_BATCH_BYTES, read_blocks


@EXPLAINERS.register("feature_ablation")
class FeatureAblation(Explainer):
    """Score of the target less the score with feature j replaced by its baseline, signed.

    One forward pass for each feature and one for the state, whose M + 1 readings give the maps of
    all targets. A category is one feature. Images beside vectors are held and get 0.

    :param agent: to explain
    :param baseline: a name, or a function from observations to their replacement; the
        ``"background"`` of ``states`` when not given, or black (0) if there are none
    :param states: states that a baseline given by name is fitted on
    :param images: images' cells are features too, each by itself: as many forward passes. For
        regions of images there is occlusion
    :param max_batch_bytes: see :class:`~sb3_explain.explainers.base.Explainer`
    """

    name = "feature_ablation"
    takes_baseline = True
    unsupported = staticmethod(needs_features)

    def __init__(
        self,
        agent: Agent,
        *,
        baseline: str | Replacement | None = None,
        states: StateDataset | None = None,
        images: bool = False,
        max_batch_bytes: int = MAX_BATCH_BYTES,
    ) -> None:
        if images:  # what stands in the way of features alone is none then
            self.unsupported = lambda agent: None
        super().__init__(agent, max_batch_bytes=max_batch_bytes)
        self.baselines = make_baselines(agent, baseline, states)
        every = {
            n: count_features(space) for n, space in spaces_by_key(agent.observation_space).items()
        }
        #: number of features by key
        self.by_key = every if images else feature_keys(agent)

    @property
    def forwards_per_state(self) -> int:
        return 1 + sum(self.by_key.values())

    def explain(self, batch: StateBatch) -> dict[str, Tensor]:
        features = Features(batch, self.by_key, self.baselines)
        differences: Tensor = batch.read_once((self, "differences"), lambda: self._read(features))
        target = batch.target[:, None, None].expand(-1, differences.shape[1], 1)
        return features.by_key(differences.gather(2, target)[:, :, 0])

    def _read(self, features: Features) -> Tensor:
        """(B, M, C) what each target's score loses with each feature."""
        readings = read_blocks(
            features.target_scores, ablated(features), self.chunk(features.batch)
        )
        return readings[:, :1] - readings[:, 1:]


def ablated(features: Features) -> Iterator[Tensor]:
    """The states' features (B, M), then copies with the first, second, ... replaced."""
    yield features.states
    copies = features.states.clone()
    for j in range(copies.shape[1]):
        copies[:, j] = features.replaced[:, j]
        yield copies
        copies[:, j] = features.states[:, j]
