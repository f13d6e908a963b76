"""``view``: an agent at play, and what it depends on, as a widget of a notebook."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

from stable_baselines3.common.base_class import BaseAlgorithm

from sb3_explain.agents.agent import Agent, read_agent
from sb3_explain.agents.targets.find import TargetLike, find_target
from sb3_explain.common.errors import ExplainError
from sb3_explain.common.signatures import check_arguments
from sb3_explain.evaluation.kind import describe_kind
from sb3_explain.explainers.explained import require_explained
from sb3_explain.explainers.named import Explainers, name_explainers
from sb3_explain.report.page import make_title
from sb3_explain.report.wording import Wording
from sb3_explain.states.dataset import StateDataset
from sb3_explain.states.environments import AnyEnv
from sb3_explain.workflows.chosen_explainers import list_defaults
from sb3_explain.workflows.playback import make_playback
from sb3_explain.workflows.whole_episodes import play_whole_episodes

if TYPE_CHECKING:  # anywidget may be absent
    from sb3_explain.report.widget import PlaybackWidget

#: number of forward passes of each explainer, about: a notebook is waited for
PASSES = 20_000


@check_arguments
def view(
    agent_or_model: Agent | BaseAlgorithm,
    explainers: Explainers | None = None,
    *,
    env: AnyEnv | None = None,
    states: StateDataset | None = None,
    n_steps: int = 400,
    target: TargetLike = None,
    seed: int = 0,
    progress: bool = True,
) -> PlaybackWidget:
    """Play an agent in a notebook, and show what it depends on in every step.

    The widget is the player of ``report.html``. It needs anywidget, which the extra ``notebook``
    installs.

    >>> from sb3_explain import view
    >>> widget = view(agent, "gradient", n_steps=30, progress=False)
    >>> widget  # doctest: +SKIP
    >>> sorted(widget.blobs)[0], type(widget.blobs["blob-0"]).__name__
    ('blob-0', 'bytes')

    :param agent_or_model: an agent, or a model of stable-baselines3 or sb3-contrib
    :param explainers: an explainer or its name, several, or a dict of them by the names that are
        shown; those of :func:`sb3_explain.workflows.chosen_explainers.list_defaults` when not given
    :param env: the environment, as :func:`sb3_explain.collect` takes it; the agent's own when not
        given
    :param states: states of whole episodes of the agent, in place of playing some
    :param n_steps: number of steps that are played, or shown of ``states``, at most; the last
        episode is cut there
    :param target: what is explained, such as ``"LEFT"`` or ``"value"`` (see
        :mod:`sb3_explain.agents.targets`); every target, or the action taken, when not given
    :param seed: random seed of the episodes
    :param progress: show progress bars
    :return: a widget, which a cell shows as its last line
    :raises ExplainError: without anywidget, or if an explainer does not support the agent, has
        still to be fitted, or does not explain the target
    """
    if importlib.util.find_spec("anywidget") is None:
        raise ExplainError("view needs anywidget: pip install 'sb3_explain[notebook]'")
    from sb3_explain.report.widget import make_widget

    agent = read_agent(agent_or_model, "agent_or_model")
    named = list_defaults(agent, target) if explainers is None else explainers
    # Fail now, not after the agent has played.
    asked = None if target is None else find_target(agent, target)
    for one in name_explainers(agent, named, fit=False, target=target).values():
        if target is not None:
            require_explained(one, asked)
    if states is None:
        states = play_whole_episodes(agent, None, n_steps, env=env, seed=seed, progress=progress)
    states.require_labels_of(agent)
    playback = make_playback(
        states, name_explainers(agent, named, states, fit=False, target=target), agent=agent,
        limit=n_steps, budget=PASSES, target=target, name=make_title(agent.describe()),
        progress=progress,
    )  # fmt: skip
    return make_widget([playback], Wording.read(describe_kind(states.batch(agent, [0]))))
