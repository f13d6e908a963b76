"""States of an Atari agent with the objects on the screen, and with the game to play on from."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor

from sb3_explain.agents.agent import Agent
from sb3_explain.agents.observations import find_image
from sb3_explain.common.errors import ExplainError
from sb3_explain.common.numbers import require_whole
from sb3_explain.common.signatures import check_arguments
from sb3_explain.envs.frames import FrameLayout
from sb3_explain.envs.objects import GameObject, decode_objects, find_console
from sb3_explain.envs.recipe import begin_episode
from sb3_explain.envs.spaces import SINGLE
from sb3_explain.evaluation.boxes import rasterize_boxes
from sb3_explain.states.dataset import StateDataset
from sb3_explain.states.labels import relabel

#: size of the screen, in pixels
SCREEN = (210, 160)


class KeepRam(gym.Wrapper[Any, Any, Any, Any]):
    """Remembers the RAM after each of the last two frames, which Atari wrappers show in one.

    :param env: the bare Atari environment
    """

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        super().__init__(env)
        #: bytes of RAM that are written before each frame, and what is written there
        self.written: Mapping[int, int] = {}

    def reset(self, **options: Any) -> tuple[Any, dict[str, Any]]:
        began = self.env.reset(**options)
        self.rams = [self.read()]
        return began

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        for byte, value in self.written.items():
            self.env.unwrapped.ale.setRAM(byte, value)  # type: ignore[attr-defined]
        taken = self.env.step(action)
        self.rams = [*self.rams, self.read()][-2:]
        return taken

    def read(self) -> NDArray[np.uint8]:
        """(128,) RAM of the console."""
        return np.array(self.env.unwrapped.ale.getRAM(), np.uint8)  # type: ignore[attr-defined]


class Player:
    """Plays one Atari game with an agent, and can go back to an earlier state of it.

    :param agent: agent with discrete actions that observes one stack of pictures
    :raises ExplainError: if it is another one, or its environment is no Atari game
    """

    def __init__(self, agent: Agent) -> None:
        if find_image(agent) is None or not isinstance(agent.observation_space, spaces.Box):
            raise ExplainError("this agent observes no picture: objects are those of pictures")
        if not isinstance(agent.action_space, spaces.Discrete):
            raise ExplainError("objects need an agent that chooses between actions")
        if agent.recipe is None:
            raise ExplainError("this agent has no environment: give Agent(..., recipe=)")
        self.agent = agent
        self.env: Any = agent.recipe.make()
        self.env_id, self.ale = find_console(self.env)
        layer: Any = self.env
        while layer.env is not self.env.unwrapped:
            layer = layer.env
        layer.env = self.keeper = KeepRam(layer.env)
        self.layout = FrameLayout(agent.recipe, self.env.observation_space, agent.observation_space)
        self.stacks = self.layout.empty(1)

    def reset(self, seed: int) -> None:
        """Begin an episode."""
        self.layout.clear(self.stacks, 0)
        self.push(begin_episode(self.env, seed))

    def push(self, raw: Any) -> None:
        """Take in what the environment observes."""
        self.layout.push(self.stacks, 0, self.layout.frame(raw))

    def observe(self) -> Tensor:
        """(1, C, H, W) what the agent observes."""
        return torch.as_tensor(self.layout.observations(self.stacks)[SINGLE].copy())

    def objects(self) -> list[GameObject]:
        """The objects of the last two frames, both of which the observation shows."""
        return [each for ram in self.keeper.rams for each in decode_objects(self.env_id, ram)]

    def step(self, action: int) -> tuple[float, bool]:
        """Take a step; return its reward and whether the episode is over."""
        raw, reward, terminated, truncated, _ = self.env.step(action)
        self.push(raw)
        return float(reward), terminated or truncated

    def save(self) -> tuple[Any, dict[str, NDArray[Any]]]:
        """The state of the game and of the agent's stack."""
        columns = {key: stack.copy() for key, stack in self.stacks.items()}
        return self.ale.cloneState(include_rng=True), columns

    def restore(self, snapshot: tuple[Any, Mapping[str, NDArray[Any]]]) -> None:
        """Go back to an earlier state."""
        self.ale.restoreState(snapshot[0])
        for key, stack in snapshot[1].items():
            self.stacks[key][...] = stack


@dataclass(frozen=True)
class ObjectStates:
    """States of an agent, with the objects in each frame of their stacks.

    :func:`sb3_explain.collect_objects` returns them.

    >>> from sb3_explain import collect_objects, demo_agent
    >>> states = collect_objects(demo_agent(), n_states=1, every=5)
    >>> states.observations.shape, states.screens.shape
    (torch.Size([1, 4, 84, 84]), (1, 210, 160, 3))

    :param observations: (n, C, H, W) what the agent observes
    :param background: (H, W) median over time of each pixel while no object covers it
    :param objects: objects of each state by frame of its stack, oldest first; twice, where a
        frame shows two of the game
    :param screens: (n, 210, 160, 3) RGB screens
    :param snapshots: the game at each state, for :meth:`Player.restore`
    :param player: the game that they come from
    """

    observations: Tensor
    background: NDArray[np.float64]
    objects: list[list[list[GameObject]]]
    screens: NDArray[np.uint8]
    snapshots: list[Any]
    player: Player

    def __len__(self) -> int:
        return len(self.objects)

    def list_categories(self) -> list[str]:
        """Names of the objects that any state shows."""
        shown = {each.category for state in self.objects for each in state[-1]}
        return sorted(shown)


def label_objects(states: ObjectStates, agent: Agent) -> StateDataset:
    """Return states with objects as a data set, on which baselines of explainers are fitted.

    :param states: states with objects
    :param agent: agent that labels them
    """
    n = len(states)
    columns = {"episode": np.arange(n), "greedy": np.zeros(n, np.int64)}
    stacks = StateDataset(
        {SINGLE: states.observations}, columns, np.ones(n, bool), n_stack=agent.n_stack,
        stores_stacks=True,
    )  # fmt: skip
    return relabel(agent, stacks)


@check_arguments
def collect_objects(
    agent: Agent, n_states: int = 20, *, every: int = 25, seed: int = 0
) -> ObjectStates:
    """Play an Atari agent greedily, and keep states with the objects on their screens.

    >>> from sb3_explain import collect_objects, demo_agent
    >>> found = collect_objects(demo_agent(), n_states=2, every=20)
    >>> len(found), found.list_categories()
    (2, ['Ball', 'Enemy', 'Player'])

    :param agent: agent with discrete actions that observes pictures of Pong, Breakout, Seaquest,
        MsPacman or Freeway
    :param n_states: number of states
    :param every: number of steps between two of them
    :param seed: random seed of the first episode
    :raises ExplainError: if the agent observes no pictures, or another game
    """
    require_whole("n_states", n_states)
    require_whole("every", every)
    player, n_stack = Player(agent), agent.n_stack
    player.reset(seed)
    columns: dict[str, list[Any]] = {
        name: [] for name in ("seen", "objects", "screens", "snapshots")
    }
    frames: list[NDArray[np.floating]] = []
    recent: list[list[GameObject]] = []
    step = 0
    while len(columns["seen"]) < n_states:
        step += 1
        seen = player.observe()
        recent = [*recent, player.objects()][-n_stack:]
        frame = seen[0, -1].numpy().astype(float)
        boxes = [each.box for each in recent[-1]]
        frames.append(np.where(rasterize_boxes(boxes, SCREEN, frame.shape), np.nan, frame))
        if step % every == 0 and len(recent) == n_stack:
            columns["seen"].append(seen)
            columns["objects"].append(recent)
            columns["screens"].append(player.ale.getScreenRGB())
            columns["snapshots"].append(player.save())
        action = agent.act_on(agent.scores(agent.tensor(seen)))[0]
        if player.step(int(action))[1]:
            seed, recent = seed + 1, []
            player.reset(seed)
    with warnings.catch_warnings():  # of pixels that were never free
        warnings.simplefilter("ignore", RuntimeWarning)
        median = np.nanmedian(frames, axis=0)
    background = np.where(np.isnan(median), np.nanmedian(median), median)
    return ObjectStates(
        torch.cat(columns["seen"]), background, columns["objects"],
        np.stack(columns["screens"]), columns["snapshots"], player,
    )  # fmt: skip
