"""Names, classes and weights: policies of older versions, of the user's own, on a device."""

import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3.common.policies import ActorCriticPolicy

from sb3_explain.agents.agent import Agent
from sb3_explain.agents.loading import load_agent
from sb3_explain.agents.loading.policies import build_policy
from sb3_explain.common.errors import ExplainError
from tests.agents.loading.models import CASES, make_model


def test_frames_that_the_environment_stacked_are_counted(tmp_path):
    case = CASES["sgqn"]
    model = make_model(case)
    model.save(tmp_path / "agent.zip")
    spaces_ = {"observation_space": case.observation_space, "action_space": case.action_space}
    loaded = load_agent("sgqn", None, folder=tmp_path / "agent.zip", **spaces_)
    assert loaded.n_stack == Agent.from_model(model).n_stack == 2


def test_a_device_that_is_there_and_one_that_is_not():
    model = make_model(CASES["ppo"])
    arguments = ActorCriticPolicy, {}, model.policy.state_dict()
    given = model.observation_space, model.action_space
    # "meta" is the one other device of every machine: it shows that the name is honoured
    assert build_policy(*arguments, *given, "meta").device.type == "meta"
    for name in ("nonsense", "cuda:77"):
        with pytest.raises(ExplainError, match=f"no device '{name}'"):
            build_policy(*arguments, *given, name)


def test_no_optimiser_is_made():
    model = make_model(CASES["sac"])
    policy = build_policy(
        type(model.policy), {}, model.policy.state_dict(), model.observation_space,
        model.action_space,
    )  # fmt: skip
    assert policy.actor.optimizer is None and policy.critic.optimizer is None


def test_a_network_larger_than_its_weights_is_not_made():
    space, actions = spaces.Box(-1, 1, (1,), np.float32), spaces.Discrete(2)
    weights = {f"mlp_extractor.policy_net.{i}.weight": torch.zeros(10**7, 1) for i in (0, 2)}
    with pytest.raises(ExplainError, match=r"more than .* of which the file holds 20000000"):
        build_policy(ActorCriticPolicy, {}, weights, space, actions)
    # a one-hot code that the file names but has no weights for
    few = make_model(CASES["a2c-discrete-observation"]).policy.state_dict()
    with pytest.raises(ExplainError, match=r"more than .* weights, of which"):
        build_policy(ActorCriticPolicy, {}, few, spaces.Discrete(2**23), actions)
