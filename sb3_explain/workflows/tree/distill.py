"""distill: the whole policy of an agent as a decision tree."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.base_class import BaseAlgorithm

from sb3_explain.agents.action_spaces import group_sizes
from sb3_explain.agents.agent import Agent, read_agent
from sb3_explain.common.errors import ExplainError
from sb3_explain.common.numbers import require_whole
from sb3_explain.common.progress import progress_bar
from sb3_explain.common.signatures import check_arguments
from sb3_explain.states.dataset import StateDataset
from sb3_explain.states.environments import AnyEnv, open_parallel_envs
from sb3_explain.workflows.diagnosis.diagnose import has_env
from sb3_explain.workflows.tree.decision_tree import name_actions
from sb3_explain.workflows.tree.fitting import find_library, fit_nodes
from sb3_explain.workflows.tree.measures import TreeMeasures, measure_tree
from sb3_explain.workflows.tree.nodes import Nodes
from sb3_explain.workflows.tree.policy_tree import PolicyTree
from sb3_explain.workflows.tree.rounds import N_FINAL, Classroom, train
from sb3_explain.workflows.tree.teacher import Lesson, Teacher

#: largest number of leaves; and of parallel environments
MOST, N_ENVS = 4096, 10
#: what is added to the seed for the episodes in which the tree is measured
FRESH = 1_000_000
#: states that the agent is asked about at once; and one of how many episodes is kept to measure
CHUNK, HELD = 1000, 5


@check_arguments
def distill(
    agent: Agent | BaseAlgorithm,
    states: StateDataset | None = None,
    *,
    env: AnyEnv | None = None,
    max_leaves: int = 32,
    features: Callable[[Any], Any] | NDArray[Any] | None = None,
    feature_names: Sequence[str] | None = None,
    n_sums: int = 0,
    weights: str = "gap",
    n_rounds: int = 10,
    n_episodes: int = 10,
    n_evaluated: int = 50,
    max_steps: int | None = None,
    seed: int = 0,
    progress: bool = True,
) -> PolicyTree:
    """Distill an agent into a decision tree of a given size, and measure what it is worth.

    VIPER (Bastani et al., 2018): the agent plays, a tree is fitted to what it does, then the tree
    plays, the agent says what it would have done, and the next tree is fitted to all of it. Of all
    trees the one that earns most, on further episodes, is returned; its return, and the agent's,
    are measured on fresh ones. The questions are in the environment's own units, also where
    VecNormalize stands between.

    >>> from sb3_explain import distill
    >>> tree = distill(agent, max_leaves=4, n_rounds=1, n_episodes=2, n_evaluated=5, progress=False)
    >>> print(tree)
    decision tree of ... leaves and at most ... questions for PPO on CartPole-v1
    return ... over 5 episodes, the agent's ...
    same action: ...
    >>> tree.save("tree").name
    'tree.html'

    :param agent: an agent without memory, or a model of stable-baselines3 or sb3-contrib
    :param states: states of the agent, in place of its own first round. Without an environment no
        tree plays: it is fitted to four fifths of their episodes, its fidelity is measured on the
        others, and there are no returns
    :param env: environment as :func:`sb3_explain.collect` takes it; the agent's own when not given
    :param max_leaves: largest number of leaves, 2 to 4096
    :param features: of pictures, or for other questions: a function of a NumPy array (B, ...) of
        observations as the agent sees them, or of a dict of these, that returns (B, M) numbers; or
        (n, M) numbers for the n states alone, such as :func:`sb3_explain.read_object_features`
        reads from a file: then no tree plays, as without an environment
    :param feature_names: M names of the features; the agent's when not given
    :param n_sums: largest number of sums of features that the tree may ask for, too, such as
        ``angle + 0.6 spin``: along each the agent turns from one action to another, by least
        squares on its scores where it hesitates between the two. Discrete actions alone have them
    :param weights: how much a state matters: ``"gap"``, V(s) less the least Q(s, a), or the gap of
        log-probabilities where the policy samples; ``"probabilities"``: each action counts by the
        probability that the agent gives it, so that near ties matter little; or ``"equal"``.
        Continuous actions, whose mean square error is minimized, always count equally
    :param n_rounds: number of rounds, each of which fits a tree and lets it play
    :param n_episodes: number of episodes of a round
    :param n_evaluated: number of fresh episodes in which the tree and the agent are measured
    :param max_steps: largest number of steps of an episode; no limit when not given
    :param seed: random seed of the episodes, of ties, permutations and intervals
    :param progress: show a progress bar on standard error
    :return: the tree
    :raises ExplainError: if scikit-learn is missing, the agent has a memory, masks, or pictures
        without ``features``, or there is no environment
    """
    find_library()
    known = read_agent(agent)
    require_whole("max_leaves", max_leaves, 2, MOST)
    require_whole("n_sums", n_sums, 0)
    require_whole("n_rounds", n_rounds)
    require_whole("n_episodes", n_episodes)
    require_whole("n_evaluated", n_evaluated, 2)
    if max_steps is not None:
        require_whole("max_steps", max_steps)
    teacher = Teacher(known, features, feature_names, weights=weights)
    n_rows, n_states = teacher.n_rows, 0 if states is None else len(states)
    if n_rows is not None and n_rows != n_states:
        raise ExplainError(
            f"features= has {n_rows} rows for {n_states} states (states=): give a row for each, or "
            "a function of observations"
        )
    first = None if states is None else label_states(teacher, states)
    if first is not None and (n_rows is not None or not has_env(known, env)):
        return distill_lesson(teacher, first, max_leaves, n_sums, seed)
    envs = open_parallel_envs(
        known, min(N_ENVS, n_episodes), env=env, deterministic=True, seed=seed
    )
    total = (n_rounds + (first is None)) * n_episodes
    total += min(N_FINAL, n_rounds) * 2 * n_episodes + 2 * n_evaluated
    try:
        with progress_bar("distilling", total, "episodes", progress) as bar:
            room = Classroom(teacher, envs, n_episodes, max_steps, bar.update)
            if n_sums:
                plain = first or room.play(None, seed).lesson
                teacher.take_sums(plain, n_sums)
                first = teacher.extend(plain)
            nodes = train(room, max_leaves, n_rounds, seed, first)
            own, agents = (room.play(each, seed + FRESH, n_evaluated) for each in (nodes, None))
    finally:
        envs.close()
    measures = measure_tree(
        nodes, agents.lesson, own.lesson, (own.returns, agents.returns), teacher.names,
        regress=teacher.is_box, seed=seed,
    )  # fmt: skip
    return make_tree(teacher, nodes, measures)


def distill_lesson(
    teacher: Teacher, lesson: Lesson, max_leaves: int, n_sums: int, seed: int
) -> PolicyTree:
    """Distill an agent from given states alone: no tree plays.

    :param teacher: the agent
    :param lesson: states with what the agent does in them
    :param max_leaves: largest number of leaves
    :param n_sums: largest number of sums of features
    :param seed: random seed
    :raises ExplainError: if there are fewer than two episodes
    """
    episodes = np.random.default_rng(seed).permutation(np.unique(lesson.episode))
    if len(episodes) < 2:
        raise ExplainError(
            "states of one episode cannot be divided into those to learn from and others: give "
            "states of several, or an environment (env=)"
        )
    held = np.isin(lesson.episode, episodes[: -(-len(episodes) // HELD)])
    learned, others = lesson.pick(~held), lesson.pick(held)
    if n_sums:
        teacher.take_sums(learned, n_sums)
        learned, others = teacher.extend(learned), teacher.extend(others)
    nodes = fit_nodes(teacher.spread(learned), max_leaves, regress=teacher.is_box, seed=seed)
    measures = measure_tree(
        nodes, others, None, None, teacher.names, regress=teacher.is_box, seed=seed
    )
    return make_tree(teacher, nodes, measures)


def label_states(teacher: Teacher, states: StateDataset) -> Lesson:
    """Ask the agent what it does in states of a data set.

    :param teacher: the agent
    :param states: the states
    """
    if not len(states):
        raise ExplainError("there are no states to learn from: play some (collect)")
    parts = np.array_split(np.arange(len(states)), -(-len(states) // CHUNK))
    return Lesson.join([
        teacher.label(
            teacher.agent.tensor(states.observations(rows)), states.episode[rows],
            masks=states.policy_inputs(rows).get("action_masks"), rows=rows,
        )
        for rows in parts
    ])  # fmt: skip


def make_tree(teacher: Teacher, nodes: Nodes, measures: TreeMeasures) -> PolicyTree:
    """Give a tree the names of what it asks for and does.

    :param teacher: the agent
    :param nodes: the tree
    :param measures: what was measured of it
    """
    agent, space = teacher.agent, teacher.agent.action_space
    return PolicyTree(
        nodes,
        teacher.names,
        name_actions(group_sizes(space), agent.target_names),
        tuple(space.shape or ()),
        np.dtype(space.dtype).name,
        teacher.is_box,
        agent.first_action,
        teacher.sums,
        teacher.weighting,
        measures,
        agent.describe(),
    )
