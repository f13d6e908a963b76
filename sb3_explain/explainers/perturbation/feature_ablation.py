"""Feature ablation: how much the score falls when one feature is replaced."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from torch import Tensor

from sb3_explain.agents.agent import Agent
from sb3_explain.agents.observations import count_features, find_feature_keys
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
    """The score of the target less the score with feature j replaced by its baseline, signed.

    It costs one forward pass for each of M features and one for the state; they give the
    attributions of all targets. A category is one feature. Images beside vectors stay the same, and
    get 0.

    >>> from sb3_explain import FeatureAblation
    >>> explainer = FeatureAblation(agent, baseline="mean", states=states)
    >>> explainer.attribute(states.observations([0, 1])).shape, explainer.forwards_per_state
    (torch.Size([2, 4]), 5)

    :param agent: agent to explain, which observes features
    :param baseline: name of the baseline, or a function from observations to their replacement; the
        ``"background"`` of ``states`` when not given, or black (0) if there are no states
    :param states: states that a baseline given by name is fitted on
    :param images: whether the values of images are features as well; each costs a forward pass. For
        regions of images use :class:`~sb3_explain.Occlusion`
    :param max_batch_bytes: see :class:`~sb3_explain.Explainer`
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
        if images:  # then no vector is needed
            self.unsupported = lambda agent: None
        super().__init__(agent, max_batch_bytes=max_batch_bytes)
        self.baselines = make_baselines(agent, baseline, states)
        #: number of features by key
        self.by_key = count_features(agent) if images else find_feature_keys(agent)

    @property
    def left_out(self) -> Collection[str]:
        return self.agent.layout.shapes.keys() - self.by_key.keys()

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
        readings = read_blocks(features.target_scores, ablate(features), self.chunk(features.batch))
        return readings[:, :1] - readings[:, 1:]


def ablate(features: Features) -> Iterator[Tensor]:
    """Make the features (B, M) of the states, then copies with the first, second, ... replaced."""
    yield features.states
    copies = features.states.clone()
    for j in range(copies.shape[1]):
        copies[:, j] = features.replaced[:, j]
        yield copies
        copies[:, j] = features.states[:, j]
