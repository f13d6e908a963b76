"""Why: one state of an agent, and what it does without the parts that a map points at."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sb3_explain.agents.agent import Agent
from sb3_explain.agents.observations import find_image
from sb3_explain.common.attributions import normalize
from sb3_explain.common.errors import ExplainError
from sb3_explain.common.files import atomic_path
from sb3_explain.common.signatures import check_arguments
from sb3_explain.envs.spaces import join_keys
from sb3_explain.explainers import EXPLAINERS
from sb3_explain.explainers.base import Explainer, FittedExplainer
from sb3_explain.explainers.counterfactual import Counterfactual, Removal, contrast, counterfactual
from sb3_explain.explainers.make import make_explainer
from sb3_explain.explainers.regions import INPAINT
from sb3_explain.report import save
from sb3_explain.report.counterfactual_figure import BeforeAndAfter, Outcome, counterfactual_figure
from sb3_explain.report.overlay import to_rgb
from sb3_explain.states.baselines import fit_baselines
from sb3_explain.states.dataset import StateDataset
from sb3_explain.workflows.pictures import measure_of, newest_frame, pictures_of


@dataclasses.dataclass(frozen=True)
class Why:
    """One state's counterfactual, and its picture."""

    counterfactual: Counterfactual
    picture: BeforeAndAfter

    def save(self, path: Path) -> tuple[Path, Path]:
        """Write the figure and the table beside each other, as ``.png`` and ``.csv``."""
        figure, table = path.with_suffix(".png"), path.with_suffix(".csv")
        save(figure, counterfactual_figure(self.picture))
        with atomic_path(table) as temporary:
            self.counterfactual.table().to_csv(temporary, index=False)
        return figure, table


@check_arguments
def why(
    states: StateDataset,
    position: int,
    explainer: Explainer,
    *,
    target: int | None = None,
    instead: int | None = None,
    baseline: str = INPAINT,
    share: float = 0.1,
    n_regions: int = 6,
) -> Why:
    """Remove what an explainer marks in one state, and draw what comes of it.

    :param agent: who is asked
    :param states: of the agent
    :param position: of the state among them
    :param explainer: of the agent, ready to explain
    :param target: index of the target to explain; what the agent does when not given
    :param instead: index of another target: regions are then those that speak for the target and
        not for it (:func:`sb3_explain.explainers.counterfactual.contrast`)
    :param baseline: what removed cells become: ``"inpaint"`` (features become their mean), or the
        name of a baseline, which is fitted on the states' frames
    :param share: see :func:`sb3_explain.explainers.counterfactual.counterfactual`, as is the next
    :param n_regions: so many regions at most
    :raises ExplainError: if there is no such state
    """
    agent = explainer.agent
    if not 0 <= position < len(states):
        raise ExplainError(f"there is no state {position}: give one of 0 to {len(states) - 1}")
    batch = states.batch(agent, [position], target)
    attributions: Any = explainer.attribute_batch(batch)
    signed = not explainer.gives_masks and any(bool((m < 0).any()) for m in attributions.values())
    if instead is not None:
        others = explainer.attribute_batch(batch.aimed_at(instead))
        ours, theirs = (batch.support(batch.flat(m)) for m in (attributions, others))
        attributions, signed = batch.unflat(contrast(ours, theirs)), True
    fitted = fit_baselines("mean" if baseline == INPAINT else baseline, states)
    images = batch.images() if baseline == INPAINT else {}
    found = counterfactual(
        agent,
        join_keys(batch.by_key),
        join_keys(attributions),
        int(batch.target[0]),
        instead=instead,
        policy_inputs=batch.policy_inputs,
        baseline={**fitted, **dict.fromkeys(images, INPAINT)},
        share=share,
        n_regions=n_regions,
    )
    caption = f"episode {states.episode[position]}, state {int(states.indices[position])}"
    picture = BeforeAndAfter(
        action=agent.target_names[found.target],
        names=[f"{region.key} {region.where()}".strip() for region in found.regions],
        before=outcome(found, found.before, agent),
        alone=[outcome(found, removal, agent) for removal in found.alone],
        together=[outcome(found, removal, agent) for removal in found.together],
        contrasted=agent.target_names[instead] if instead is not None else "",
        caption=caption,
        measure=measure_of(agent) if found.before.probabilities is not None else "what is left",
    )
    name = find_image(agent)
    here = np.array([position])
    if name is None:
        rendered = states.rendered(here)
        picture = dataclasses.replace(picture, frame=None if rendered is None else rendered[0])
    else:
        picture = dataclasses.replace(
            picture,
            frame=pictures_of(states, here, name)[0],
            attribution=newest_frame(normalize(attributions[name]), agent, name)[0].cpu().numpy(),
            signed=signed,
            outlines=[r.cells if r.key == name else None for r in found.regions],
        )
    return Why(found, picture)


def outcome(found: Counterfactual, removal: Removal, agent: Agent) -> Outcome:
    """A removal as it is drawn."""
    name = find_image(agent)
    known, instead = removal.probabilities, found.instead
    last = found.regions[removal.regions[-1] - 1].key if removal.regions else name
    return Outcome(
        action=found.action(removal),
        probability=removal.preference,
        changed=removal.changed,
        picture=None if name is None or last != name else seen(found, removal, agent, name),
        other=None if known is None or instead is None else float(known[instead]),
    )


def seen(found: Counterfactual, removal: Removal, agent: Agent, name: str) -> NDArray[np.uint8]:
    """(H, W, 3) newest frame of an image as the agent sees it, black its least value before."""
    before, now = (
        r.observation[name][0, -(r.observation[name].shape[1] // agent.n_stack) :].cpu().numpy()
        for r in (found.before, removal)
    )
    low, high = (0, 255) if before.max() > 1 else (before.min(), before.max())
    picture: NDArray[np.uint8] = to_rgb(now[None], low, high)[0]
    return picture


def ready_explainer(agent: Agent, name: str, output: Path, states: StateDataset) -> Explainer:
    """An explainer by name: one that learns as it was fitted in ``output``, any other anew.

    Features are explained against their mean, as they are removed.

    :param agent: to explain
    :param name: of the explainer
    :param output: folder of the workflow, below which what was learned lies
    :param states: that the mean is fitted on
    :raises ExplainError: if it is unknown, or has still to be fitted
    """
    if issubclass(EXPLAINERS[name], FittedExplainer):
        return make_explainer(name, agent, folder=output / name)
    if find_image(agent) is None and EXPLAINERS[name].takes_baseline:
        return make_explainer(name, agent, states, baseline="mean")
    return make_explainer(name, agent)
