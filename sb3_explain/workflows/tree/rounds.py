"""Rounds of play: the agent plays, then trees do, and the agent says what it would have done."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from sb3_explain.envs.spaces import Observations
from sb3_explain.states.play import play_actions
from sb3_explain.states.rollouts import Rollouts
from sb3_explain.workflows.tree.fitting import fit_nodes
from sb3_explain.workflows.tree.nodes import Nodes
from sb3_explain.workflows.tree.teacher import Lesson, Teacher

Array = NDArray[Any]

#: number of the best trees that are played again, on the same episodes, to choose one
N_FINAL = 5


@dataclasses.dataclass(frozen=True)
class Played:
    """Episodes, with what the agent does in their states.

    :param lesson: the states
    :param returns: (n,) return of each episode
    """

    lesson: Lesson
    returns: NDArray[np.float64]


class Classroom:
    """Environments in which an agent or a tree plays, while the agent is asked.

    :param teacher: the agent
    :param envs: the environments
    :param n_episodes: number of episodes of a round
    :param max_steps: largest number of steps of an episode; no limit if ``None``
    :param advance: called with 1 after each episode
    """

    def __init__(
        self,
        teacher: Teacher,
        envs: Rollouts,
        n_episodes: int,
        max_steps: int | None,
        advance: Callable[[int], Any],
    ) -> None:
        self.teacher, self.envs = teacher, envs
        self.n_episodes, self.max_steps = n_episodes, max_steps
        self.advance = advance

    def play(self, tree: Nodes | None, seed: int, n_episodes: int | None = None) -> Played:
        """Play episodes.

        :param tree: the tree that plays; ``None`` for the agent
        :param seed: random seed of the episodes
        :param n_episodes: number of episodes; those of a round when not given
        """
        seen: list[Lesson] = []
        envs, n = self.envs, n_episodes or self.n_episodes
        envs.seed = seed

        def choose(observations: Observations, policy_inputs: dict[str, Tensor]) -> Array:
            episodes = np.array([-1 if e.episode is None else e.episode for e in envs.each])
            masks = policy_inputs.get("action_masks")
            lesson = self.teacher.label(observations, episodes, masks=masks)
            seen.append(lesson)
            actions = lesson.actions if tree is None else tree.act(lesson.values)
            return actions.reshape(len(actions), *(self.teacher.agent.action_space.shape or ()))

        returns, _ = play_actions(envs, choose, n, self.max_steps, self.advance)
        lesson = Lesson.join(seen)
        # of each episode in a row, as it was played; environments that waited are left out
        order = np.argsort(lesson.episode, kind="stable")
        return Played(lesson.pick(order[lesson.episode[order] >= 0]), returns)


def train(
    room: Classroom, max_leaves: int, n_rounds: int, seed: int, first: Lesson | None = None
) -> Nodes:
    """Fit trees to the states of the agent and of the trees before, and choose the best of them.

    DAgger (Ross et al., 2011), as VIPER has it: a tree comes to states that the agent never sees,
    and what it should do there has to be learned there.

    :param room: the environments
    :param max_leaves: largest number of leaves
    :param n_rounds: number of trees
    :param seed: random seed
    :param first: states of the agent; it plays a round when not given
    :return: the tree with the highest mean return
    """
    lessons = [first if first is not None else room.play(None, seed).lesson]
    trees: list[Nodes] = []
    regress = room.teacher.is_box
    means = np.zeros(n_rounds)
    for number in range(n_rounds):
        tree = fit_nodes(room.teacher.spread(Lesson.join(lessons)), max_leaves, regress=regress,
                         seed=seed)  # fmt: skip
        played = room.play(tree, seed + 1 + number)
        trees.append(tree)
        lessons.append(played.lesson)
        means[number] = played.returns.mean()
    best = np.argsort(-means, kind="stable")[:N_FINAL]
    again = [room.play(trees[i], seed + 1 + n_rounds, 2 * room.n_episodes) for i in best]
    chosen = max(range(len(best)), key=lambda i: float(again[i].returns.mean()))
    return trees[int(best[chosen])]
