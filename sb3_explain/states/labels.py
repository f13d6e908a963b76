"""Labels of states: what an agent does in states of another agent or of another resolution."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from sb3_explain.agents.agent import Agent
from sb3_explain.agents.native import BATCH, Preprocessing, as_frames
from sb3_explain.common.signatures import check_arguments
from sb3_explain.states.dataset import StateDataset
from sb3_explain.states.forward_passes import CHUNK


@check_arguments
def relabel(agent: Agent, states: StateDataset) -> StateDataset:
    """Label states with what another agent would do there, so that its explainers learn from them.

    >>> from sb3_explain import relabel
    >>> relabeled = relabel(agent, states)
    >>> bool((relabeled.greedy == states.greedy).all())  # it is the agent that played
    True

    :param agent: agent that labels the states
    :param states: states that the agent can observe
    :return: the same states with its greedy actions, scores and values
    """
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


@check_arguments
def native_states(agent: Agent, states: StateDataset) -> StateDataset:
    """Return the states with their rendered frames as observations, labelled by a native agent.

    The labels are what this agent does on these frames. :func:`agreement` measures in how many
    states they are the same as before.

    >>> from sb3_explain import collect, native_agent, native_states
    >>> rendered = collect(image_agent, n_states=20, folder=folder, progress=False)
    >>> def halve(frames):  # (B, F, 3, H, W) -> (B, F, H / 2, W / 2)
    ...     return frames[:, :, 0, ::2, ::2]
    >>> native = native_agent(image_agent, halve, size=(48, 48))
    >>> native_states(native, rendered).observations([0, 1]).shape
    torch.Size([2, 6, 48, 48])

    :param agent: agent that :func:`native_agent` returned
    :param states: states with rendered frames
    :raises ExplainError: if no frames were rendered
    """
    native = states.native()
    parts = []
    with torch.no_grad():
        for batch in np.array_split(np.arange(len(native)), -(-len(native) // BATCH)):
            observations = agent.tensor(native.observations(batch))
            parts.append(
                agent.scores(observations, **read_policy_inputs(agent, native, batch)).cpu().numpy()
            )
    scores = np.concatenate(parts)
    greedy = agent.act_on(torch.from_numpy(scores)) - agent.first_action
    return native.with_columns(greedy=greedy, scores=scores)


@check_arguments
def agreement(agent: Agent, states: StateDataset, preprocessing: Preprocessing) -> float:
    """Compute the share of states in which preprocessed rendered frames lead to the same action.

    >>> from sb3_explain import agreement, collect
    >>> rendered = collect(image_agent, n_states=20, folder=folder, progress=False)
    >>> agreement(image_agent, rendered, lambda frames: frames[:, :, 0, ::2, ::2])
    1.0

    :param agent: the agent, on its own observations; Box actions are the same only if all their
        bits are equal
    :param states: states with rendered frames
    :param preprocessing: function from rendered frames (B, F, 3, H, W) to the agent's observations
    :return: the share, in [0, 1]
    :raises ExplainError: if no frames were rendered
    """
    native = states.native()
    same = 0
    with torch.no_grad():
        for batch in np.array_split(np.arange(len(states)), -(-len(states) // BATCH)):
            seen = preprocessing(as_frames(agent.tensor(native.observations(batch))))
            own = agent.tensor(states.observations(batch))
            policy_inputs = read_policy_inputs(agent, states, batch)
            actions = [agent.act(each, **policy_inputs) for each in (seen, own)]
            same += int((actions[0] == actions[1]).reshape(len(batch), -1).all(axis=1).sum())
    return same / len(states)


def read_policy_inputs(agent: Agent, states: StateDataset, positions: Any) -> Any:
    """Read the policy inputs of some states, on the agent's device."""
    return agent.tensor(states.policy_inputs(positions))
