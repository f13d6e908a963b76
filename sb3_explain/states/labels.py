"""What an agent would do in states: labels for states of another agent or another resolution."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from sb3_explain.agents.agent import Agent
from sb3_explain.agents.native import BATCH, Preprocessing, as_frames
from sb3_explain.states.dataset import StateDataset
from sb3_explain.states.forward_passes import CHUNK


def relabel(agent: Agent, states: StateDataset) -> StateDataset:
    """The same states with what ``agent`` would do there, for an explainer of it to learn from."""
    parts = np.array_split(np.arange(len(states)), range(CHUNK, len(states), CHUNK))
    scores, values = [], []
    for part in parts:
        batch = states.batch(agent, part)
        with torch.no_grad():
            read = batch.scores_and_values(batch.by_key)
        scores.append(read[0].cpu().numpy())
        values.append(read[1].cpu().numpy())
    columns = {"scores": np.concatenate(scores), "values": np.concatenate(values)}
    greedy = agent.act_on(torch.from_numpy(columns["scores"])) - agent.first_action
    return states.with_labels({**columns, "greedy": greedy}, agent)


def native_states(agent: Agent, states: StateDataset) -> StateDataset:
    """States whose observations are their rendered frames, labelled by the native agent.

    The labels are what this agent does on these frames. They are those of ``states`` as far as
    the :func:`agreement` goes.

    :param agent: of :func:`native_agent`
    :param states: with rendered frames
    """
    native = states.native()
    parts = []
    with torch.no_grad():
        for batch in np.array_split(np.arange(len(native)), -(-len(native) // BATCH)):
            observations = agent.tensor(native.observations(batch))
            parts.append(agent.scores(observations, **held(agent, native, batch)).cpu().numpy())
    scores = np.concatenate(parts)
    greedy = agent.act_on(torch.from_numpy(scores)) - agent.first_action
    return native.with_columns(greedy=greedy, scores=scores)


def agreement(agent: Agent, states: StateDataset, preprocessing: Preprocessing) -> float:
    """Share of states in which the agent does the same on its preprocessed rendered frames.

    :param agent: on its own observations; a Box action is the same only to the last bit
    :param states: with rendered frames
    :param preprocessing: (B, F, 3, H, W) -> the agent's observation
    :return: in [0, 1]
    """
    native = states.native()
    same = 0
    with torch.no_grad():
        for batch in np.array_split(np.arange(len(states)), -(-len(states) // BATCH)):
            seen = preprocessing(as_frames(agent.tensor(native.observations(batch))))
            own = agent.tensor(states.observations(batch))
            policy_inputs = held(agent, states, batch)
            actions = [agent.act(each, **policy_inputs) for each in (seen, own)]
            same += int((actions[0] == actions[1]).reshape(len(batch), -1).all(axis=1).sum())
    return same / len(states)


def held(agent: Agent, states: StateDataset, positions: Any) -> Any:
    """What the agent knows besides its observations, by the names that it takes it by."""
    return agent.tensor(states.policy_inputs(positions))
