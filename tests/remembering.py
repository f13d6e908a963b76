"""A recurrent agent of known weights: it remembers the number that was shown with a flag."""

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from sb3_contrib import RecurrentPPO

from sb3_explain import Agent, StateDataset

#: how firmly the gates open and close
FIRM = 6.0
LENGTH = 10


class Shown(gym.Env):
    """A number and a flag; what is done does not matter."""

    observation_space = spaces.Box(-2, 2, (2,), np.float32)
    action_space = spaces.Discrete(2)
    feature_names = ("number", "flag")

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(2, np.float32), {}

    def step(self, action):
        return np.zeros(2, np.float32), 0.0, False, False, {}


def remembering_agent() -> Agent:
    """Where the flag is 1, the number is written into c, and kept where it is 0.

    Action 1 is preferred by the number that is remembered: its logit is h = tanh(c), that of action
    0 is -h; the value is h.
    """
    kwargs = {
        "net_arch": [],
        "lstm_hidden_size": 1,
        "shared_lstm": True,
        "enable_critic_lstm": False,
    }
    model = RecurrentPPO("MlpLstmPolicy", Shown(), policy_kwargs=kwargs, device="cpu")
    lstm, policy = model.policy.lstm_actor, model.policy
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.zero_()
        # rows: input gate, forget gate, what is written, output gate; columns: number, flag
        lstm.weight_ih_l0.copy_(
            torch.tensor([[0, 2 * FIRM], [0, -2 * FIRM], [1.0, 0], [0, 0]], dtype=torch.float)
        )
        lstm.bias_ih_l0.copy_(torch.tensor([-FIRM, FIRM, 0, FIRM]))
        policy.action_net.weight.copy_(torch.tensor([[-1.0], [1.0]]))
        policy.value_net.weight.fill_(1.0)
    return Agent.from_model(model, action_names=["low", "high"], feature_names=["number", "flag"])


def remembering_states(agent: Agent, flagged: list[int], seed: int = 0) -> StateDataset:
    """Episodes of 10 steps, each with the flag in one of them, and the agent's recurrent states."""
    rng = np.random.default_rng(seed)
    frames, lstm_states, scores = [], [], []
    for step in flagged:
        shown = rng.uniform(0.4, 1, (LENGTH, 2)).astype(np.float32)
        shown *= rng.choice([-1, 1], shown.shape)
        shown[:, 1] = np.arange(LENGTH) == step
        held = agent.initial_lstm_states(1)
        for one in shown:
            lstm_states.append(held.numpy()[0])
            with torch.no_grad():
                scores.append(agent.scores(torch.as_tensor(one[None]), held).numpy()[0])
            held = agent.next_lstm_states(torch.as_tensor(one[None]), held)
        frames.append(shown)
    scores = np.stack(scores)
    return StateDataset.from_arrays(
        np.concatenate(frames), np.repeat(np.arange(len(flagged)), LENGTH), scores.argmax(axis=1),
        lstm_states=np.stack(lstm_states), scores=scores, values=scores[:, 1],
        rewards=np.zeros(len(scores), np.float32),
    )  # fmt: skip
