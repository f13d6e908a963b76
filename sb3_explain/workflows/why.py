"""``why``: one state of an agent, and what it does without the regions that matter most."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from sb3_explain.agents.agent import Agent
from sb3_explain.agents.observations import find_image
from sb3_explain.agents.targets.find import find_action
from sb3_explain.common.attributions import normalize
from sb3_explain.common.errors import ExplainError
from sb3_explain.common.files import atomic_path
from sb3_explain.common.notebook import write_facts, write_table
from sb3_explain.common.signatures import check_arguments
from sb3_explain.explainers import EXPLAINERS
from sb3_explain.explainers.base import Explainer, FittedExplainer
from sb3_explain.explainers.counterfactual import Counterfactual, Removal, contrast, counterfactual
from sb3_explain.explainers.forbidden import describe_masks
from sb3_explain.explainers.make import make_explainer
from sb3_explain.explainers.regions import INPAINT
from sb3_explain.explainers.showing import describe_choice
from sb3_explain.report import save
from sb3_explain.report.counterfactual_figure import BeforeAndAfter, Outcome, counterfactual_figure
from sb3_explain.report.overlay import to_rgb
from sb3_explain.report.wording import SIMILARITY
from sb3_explain.report.words import get_explainer_label
from sb3_explain.states.baselines import fit_baselines
from sb3_explain.states.dataset import StateDataset
from sb3_explain.workflows.critical_steps import StateMask
from sb3_explain.workflows.critical_steps.stored_states import describe_state
from sb3_explain.workflows.pictures import get_pictures, name_measure, take_newest_frame
from sb3_explain.workflows.whole_episodes import name_state


@dataclasses.dataclass(frozen=True, repr=False)
class Why:
    """The outcome of :func:`why`: ``print`` shows a short table, a notebook the figure with it.

    :param counterfactual: what the agent does without each region, and without several
    :param picture: the contents of the figure
    """

    counterfactual: Counterfactual
    picture: BeforeAndAfter

    def __str__(self) -> str:
        """Write which state it is, and the short table."""
        said = (self.picture.caption, str(self.counterfactual), self.picture.note)
        return "\n".join(filter(None, said))

    def __repr__(self) -> str:
        """Say in one line which state it is, and what changes the action."""
        return f"Why ({self.picture.caption}): {self.counterfactual!r}"

    def _repr_html_(self) -> str:
        """Return what a notebook shows."""
        heads, *rows = self.counterfactual.rows()
        png = counterfactual_figure(self.picture)
        return write_facts(self.picture.caption, {}, png=png) + write_table(heads, rows)

    def save(self, path: str | Path) -> tuple[Path, Path]:
        """Write the figure and the table.

        :param path: path of both files, without or with a suffix
        :return: paths of the figure (``.png``) and the table (``.csv``)
        """
        path = Path(path)
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
    target: int | str | None = None,
    instead: int | str | None = None,
    baseline: str = INPAINT,
    share: float = 0.1,
    n_regions: int = 6,
    state_mask: StateMask | None = None,
) -> Why:
    """Remove the regions that matter most in one state, and draw what the agent does without them.

    >>> from sb3_explain import Gradient, why
    >>> answer = why(states, 0, Gradient(agent), share=0.5)
    >>> answer.counterfactual.table().iloc[0]["removed"]
    'nothing'
    >>> figure, table = answer.save(folder / "state")

    :param states: states of the explainer's agent
    :param position: position of the state among them
    :param explainer: an explainer that is ready to explain
    :param target: index or name of the action to explain; the agent's own choice when not given
    :param instead: index or name of another action. Regions are then those that speak for
        ``target`` and not for this one, see :func:`sb3_explain.contrast`
    :param baseline: what removed features become: ``"inpaint"`` for images, where other features
        become their mean; or the name of a baseline, which is fitted on ``states``
    :param share: share of an image's pixels that form regions, in (0, 1], see
        :func:`sb3_explain.counterfactual`
    :param n_regions: at most this many regions
    :param state_mask: a StateMask that was fitted, which says how much the action matters at all
    :return: what the agent does without the regions, and the figure of it
    :raises ExplainError: if there is no state at this position
    """
    agent = explainer.agent
    if not 0 <= position < len(states):
        raise ExplainError(f"there is no state {position}: give one of 0 to {len(states) - 1}")
    target = None if target is None else find_action(agent, target)
    instead = None if instead is None else find_action(agent, instead)
    batch = states.batch(agent, [position], target)
    attributions: Any = explainer.attribute_batch(batch)
    signed = not explainer.gives_masks and any(bool((m < 0).any()) for m in attributions.values())
    if instead is not None:
        others = explainer.attribute_batch(batch.with_target(instead))
        ours, theirs = (batch.get_relevance(batch.flatten_keys(m)) for m in (attributions, others))
        attributions, signed = batch.split_keys(contrast(ours, theirs)), True
    fitted = fit_baselines("mean" if baseline == INPAINT else baseline, states, agent)
    images = batch.images() if baseline == INPAINT else {}
    found = counterfactual(
        agent,
        agent.layout.restore(batch.by_key),
        agent.layout.restore(attributions),
        int(batch.target[0]),
        instead=instead,
        policy_inputs=batch.policy_inputs,
        baseline={**fitted, **dict.fromkeys(images, INPAINT)},
        share=share,
        n_regions=n_regions,
    )
    box = found.before.probabilities is None
    chosen = "" if instead is not None else describe_choice(batch)
    masks = describe_masks(batch, 0)
    masks = f"{masks[:1].upper()}{masks[1:]}." if masks else ""
    caption = name_state(states, position)
    critical = "" if state_mask is None else describe_state(state_mask, states, position)
    picture = BeforeAndAfter(
        action=agent.target_names[found.target] if not box else found.action(found.before),
        names=[f"{region.key} {region.where()}".strip() for region in found.regions],
        before=draw_outcome(found, found.before, agent),
        alone=[draw_outcome(found, removal, agent) for removal in found.alone],
        together=[draw_outcome(found, removal, agent) for removal in found.together],
        contrasted=agent.target_names[instead] if instead is not None else "",
        caption=caption,
        note=" ".join(filter(None, [describe_order(explainer), chosen, masks, critical])),
        measure=SIMILARITY if box else name_measure(agent),
    )
    name = find_image(agent)
    here = np.array([position])
    if name is None:
        rendered = states.rendered(here)
        picture = dataclasses.replace(picture, frame=None if rendered is None else rendered[0])
    else:
        picture = dataclasses.replace(
            picture,
            frame=get_pictures(states, here, agent, name)[0],
            attribution=take_newest_frame(normalize(attributions[name]), agent)[0].cpu().numpy(),
            signed=signed,
            outlines=[r.mask if r.key == name else None for r in found.regions],
        )
    return Why(found, picture)


def describe_order(explainer: Explainer) -> str:
    """Say by what the parts of a state are ordered, since most maps are of no probability.

    :param explainer: the explainer whose attributions order them
    """
    agent = explainer.agent
    ordered = f"Ordered by the attributions of {get_explainer_label(explainer.name)}, highest first"
    if explainer.gives_masks or explainer.of_probability:
        return f"{ordered}."
    if isinstance(agent.action_space, spaces.Box):
        return (
            f"{ordered}. They are of the action; the {SIMILARITY} may have another order. The "
            "action changes where it moves by more than a 20th of its range."
        )
    score = "Q-value" if agent.view.value_based else "logit"
    return f"{ordered}. They are of the {score}; the {name_measure(agent)} may have another order."


def draw_outcome(found: Counterfactual, removal: Removal, agent: Agent) -> Outcome:
    """Return a removal as the figure shows it."""
    name = find_image(agent)
    known, instead = removal.probabilities, found.instead
    last = found.regions[removal.regions[-1] - 1].key if removal.regions else name
    return Outcome(
        action=found.action(removal),
        probability=removal.preference,
        changed=removal.changed,
        picture=None
        if name is None or last != name
        else draw_observation(found, removal, agent, name),
        other=None if known is None or instead is None else float(known[instead]),
    )


def draw_observation(
    found: Counterfactual, removal: Removal, agent: Agent, name: str
) -> NDArray[np.uint8]:
    """Draw the newest frame of an image after a removal, (H, W, 3).

    Black is the smallest value before the removal, white the largest.
    """
    pictures = (
        agent.layout.arrange_key(name, r.observation[name])[0] for r in (found.before, removal)
    )
    before, now = (one[-(len(one) // agent.n_stack) :].cpu().numpy() for one in pictures)
    low, high = (0, 255) if before.max() > 1 else (before.min(), before.max())
    picture: NDArray[np.uint8] = to_rgb(now[None], low, high)[0]
    return picture


def prepare_explainer(agent: Agent, name: str, output: Path, states: StateDataset) -> Explainer:
    """Make an explainer by its name; load one that learns from the folder of the workflow.

    Vectors are explained against their mean, since removed features become their mean.

    :param agent: the agent to explain
    :param name: name of the explainer
    :param output: folder of the workflow; what an explainer has learned is in a folder of its name
    :param states: states that a baseline is fitted on
    :raises ExplainError: if there is no such explainer, or it has still to be fitted
    """
    if issubclass(EXPLAINERS[name], FittedExplainer):
        return make_explainer(name, agent, folder=output / name)
    baseline: dict[str, Any] = {"baseline": "mean"} if find_image(agent) is None else {}
    if EXPLAINERS[name].takes_baseline:
        return make_explainer(name, agent, states, **baseline)
    return make_explainer(name, agent)
