"""What ``model.predict`` takes, the agent takes: SB3's own ``obs_to_tensor`` is the oracle."""

import numpy as np
import pytest
import torch
from gymnasium import spaces
from sb3_contrib import MaskablePPO, RecurrentPPO
from torch import nn

from sb3_explain import Gradient
from sb3_explain.agents.agent import Agent
from sb3_explain.agents.policy_inputs import read_policy_inputs
from sb3_explain.agents.predict_input import read_inputs, read_observations
from sb3_explain.common.errors import ExplainError
from sb3_explain.envs.recipe import Normalizer
from sb3_explain.envs.spaces import spaces_by_key, split_keys
from tests.agents.loading.models import CASES, make_model
from tests.toys import dot_agent

MODELS = {}


def model_of(name):
    if name not in MODELS:
        model = make_model(CASES[name])
        MODELS[name] = model, Agent.from_model(model, n_stack=1)
    return MODELS[name]


def sample(space: spaces.Space, n: int):
    space.seed(3)
    drawn = [space.sample() for _ in range(n)]
    if isinstance(space, spaces.Dict):
        return {key: np.stack([one[key] for one in drawn]) for key in space.spaces}
    return np.stack(drawn)


def one_of(batch):
    return {k: v[0] for k, v in batch.items()} if isinstance(batch, dict) else batch[0]


def channels_last(space, batch):
    """Images with their channels last, all else as it is; a batch."""
    by_key = batch if isinstance(batch, dict) else {"": batch}
    moved = {
        key: np.moveaxis(v, 1, -1) if len(spaces_by_key(space)[key].shape) == 3 else v
        for key, v in by_key.items()
    }
    return moved if isinstance(batch, dict) else moved[""]


@pytest.mark.parametrize("name", ["ppo", "ppo-cnn", "ppo-dict", "a2c-discrete-observation"])
@pytest.mark.parametrize("form", ["batch", "one", "last", "one last", "tensors", "reset"])
def test_it_reads_what_the_policy_reads(name, form):
    model, agent = model_of(name)
    given = sample(model.observation_space, 3)
    if "last" in form:
        given = channels_last(model.observation_space, given)
    if "one" in form or form == "reset":
        given = one_of(given)
    expected, _ = model.policy.obs_to_tensor(given)
    if form == "tensors":
        given = {k: torch.as_tensor(v) for k, v in split_keys(given).items()}
        given = given.get("", given)
    read = read_observations(agent, (given, {"lives": 3}) if form == "reset" else given)
    assert type(read) is type(expected)
    for key, tensor in split_keys(expected).items():
        assert split_keys(read)[key].dtype == tensor.dtype
        torch.testing.assert_close(split_keys(read)[key], tensor, atol=0, rtol=0)


def test_an_array_in_double_precision_is_read_as_the_space_has_it():
    _, agent = model_of("ppo")
    assert read_observations(agent, np.zeros(agent.observation_space.shape)).dtype == torch.float32


@pytest.mark.parametrize(
    ("name", "given", "said"),
    [
        ("ppo", np.zeros((2, 99), np.float32), "has shape (2, 99): this agent takes"),
        ("ppo", None, "is of class NoneType: give what model.predict takes"),
        ("ppo", {"image": 1}, "observes no dict"),
        ("ppo-dict", np.zeros(4), "observes a dict of"),
        ("ppo-cnn", "state.png", "is of class str"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(name, given, said):
    with pytest.raises(ExplainError) as error:
        read_observations(model_of(name)[1], given)
    assert said in str(error.value) and "\n" not in str(error.value)


def test_keys_of_different_lengths_are_refused():
    model, agent = model_of("ppo-dict")
    given = sample(model.observation_space, 3)
    key = next(iter(given))
    with pytest.raises(ExplainError, match="different numbers"):
        read_observations(agent, {**given, key: given[key][:2]})


def test_a_single_frame_is_told_to_be_stacked():
    with pytest.raises(ExplainError, match="2 frames stacked, as VecFrameStack"):
        read_observations(dot_agent(2), np.zeros((24, 24, 1), np.uint8))


def test_masks_of_one_state_get_a_batch_axis():
    assert read_policy_inputs({"action_masks": [True, False]})["action_masks"].shape == (1, 2)
    assert read_policy_inputs({"action_masks": np.ones((3, 2))})["action_masks"].shape == (3, 2)
    assert read_policy_inputs(None) == {}


@pytest.mark.parametrize(
    ("actions", "shape", "needed"),
    [
        (spaces.Discrete(4), (5, 3), (5, 4)),
        (spaces.MultiDiscrete([3, 2]), (2, 3), (2, 5)),
        (spaces.MultiBinary(3), (1, 4), (1, 6)),
    ],
)
def test_masks_of_another_shape_are_told_the_right_one(actions, shape, needed):
    n = {spaces.Discrete: 4, spaces.MultiDiscrete: 5, spaces.MultiBinary: 3}[type(actions)]
    agent = Agent.from_module(nn.Linear(4, n), spaces.Box(-1, 1, (4,)), actions)
    masks, seen = {"action_masks": np.ones(shape)}, np.zeros((shape[0], 4), np.float32)
    with pytest.raises(ExplainError) as caught:
        Gradient(agent).attribute(seen, policy_inputs=masks)
    assert f"{shape}: this agent takes {needed} for {shape[0]} state(s)" in str(caught.value)
    assert "env.action_masks()" in str(caught.value)
    Gradient(agent).attribute(seen, policy_inputs={"action_masks": np.ones(needed)})


def test_values_that_vecnormalize_cannot_have_returned_are_told(caplog):
    statistics = Normalizer(np.full(4, 50.0), np.full(4, 4.0), epsilon=1e-8, clip=10.0)
    agent = Agent.from_module(
        nn.Linear(4, 2), spaces.Box(-999, 999, (4,)), spaces.Discrete(2),
        normalizers={"": statistics},
    )  # fmt: skip
    raw = np.array([[52.0, 48.0, 999.0, 0.0]], np.float32)
    Gradient(agent).attribute(agent.normalize(raw))  # with values at both bounds
    Gradient(vector_agent()).attribute(raw)  # of an agent without statistics
    assert not caplog.text
    Gradient(agent).attribute(raw)
    (message,) = caplog.messages
    assert "values up to 999" in message and "ends at 10" in message
    assert "agent.normalize(observations)" in message and "\n" not in message


def vector_agent():
    return Agent.from_module(nn.Linear(4, 2), spaces.Box(-999, 999, (4,)), spaces.Discrete(2))


def test_a_maskable_agent_is_told_once_that_it_is_given_no_masks(caplog):
    model = MaskablePPO("MlpPolicy", "CartPole-v1", n_steps=8, batch_size=8, device="cpu")
    agent, observation = Agent.from_model(model), np.zeros(4, np.float32)
    explainer = Gradient(agent)
    explainer.attribute(observation, policy_inputs={"action_masks": np.ones(2, bool)})
    assert not caplog.text
    explainer.attribute(observation)
    explainer.attribute(observation, policy_inputs={"action_masks": None})
    (message,) = caplog.messages
    assert "policy_inputs={'action_masks': env.action_masks()}" in message and "\n" not in message
    caplog.clear()
    Gradient(dot_agent()).attribute(np.zeros((2, 24, 24), np.uint8))  # an agent without masks
    assert not caplog.text


def test_a_recurrent_agent_is_told_once_that_it_is_given_no_lstm_states(caplog):
    model = RecurrentPPO("MlpLstmPolicy", "CartPole-v1", n_steps=8, batch_size=8, device="cpu")
    observation = np.zeros((1, 4), np.float32)
    _, states = model.predict(observation)
    explainer = Gradient(Agent.from_model(model))
    explainer.attribute(observation, policy_inputs={"lstm_states": states})
    explainer.attribute(observation, policy_inputs={"lstm_states": None})  # the first step
    assert not caplog.text
    explainer.attribute(observation)
    explainer.attribute(observation)
    (message,) = caplog.messages
    assert "no lstm_states are given" in message and "\n" not in message
    caplog.clear()
    Gradient(dot_agent()).attribute(np.zeros((2, 24, 24), np.uint8))  # it remembers nothing
    assert not caplog.text


@pytest.mark.parametrize("info", [({"lives": 3},), (0.0, False, False, {}), (0.0, False, [{}])])
def test_what_step_returns_is_read_as_its_observation(info):
    model, agent = model_of("ppo")
    given = sample(model.observation_space, 1)
    assert torch.equal(read_observations(agent, (given, *info)), read_observations(agent, given))


@pytest.mark.parametrize(
    "change",
    [
        lambda a: a[::-1].copy()[::-1],
        lambda a: a.astype(">f4"),
        lambda a: a.astype(np.longdouble),
        lambda a: torch.from_numpy(a).to_sparse(),
        lambda a: torch.from_numpy(a).bfloat16().float(),
    ],
)
def test_arrays_of_any_layout_have_the_same_values(change):
    model, agent = model_of("ppo")
    given = np.round(sample(model.observation_space, 3))
    read = read_observations(agent, change(given))
    torch.testing.assert_close(read, read_observations(agent, given), atol=0, rtol=0)


@pytest.mark.filterwarnings("error")
def test_an_array_that_is_read_only_is_read_without_a_warning():
    model, agent = model_of("ppo")
    given = sample(model.observation_space, 3)
    given.flags.writeable = False
    assert len(read_observations(agent, given)) == 3


@pytest.mark.parametrize(
    ("name", "given", "said"),
    [
        ("ppo", [[1.0, 2.0], [3.0]], "its rows differ in shape"),
        ("ppo", torch.zeros(1, 4, device="meta"), "without values"),
        ("a2c-discrete-observation", np.array([99]), "holds the category 99: give a whole"),
        ("a2c-discrete-observation", np.array([-1]), "holds the category -1: give a whole"),
        ("a2c-discrete-observation", np.array([0.5]), "holds the category 0.5: give a whole"),
        ("a2c-discrete-observation", torch.tensor([99]), "holds the category 99: give a whole"),
        ("ppo-dict", {"further": 1}, "leave out 'further'"),
    ],
)
def test_faulty_values_are_refused_in_one_line(name, given, said):
    with pytest.raises(ExplainError) as error:
        read_observations(model_of(name)[1], given)
    assert said in str(error.value)


@pytest.mark.parametrize(("scale", "said"), [(1 / 255, "nearly black"), (2.0, "pixels from")])
def test_pixels_in_another_range_are_warned_of(caplog, scale, said):
    model, agent = model_of("ppo-cnn")
    read_observations(agent, sample(model.observation_space, 2))
    assert not caplog.records
    read_observations(agent, sample(model.observation_space, 2).astype(np.float32) * scale)
    assert said in caplog.text


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({"action_mask": [1, 1]}, "did you mean 'action_masks'"),
        (3, "must be a dict, not int"),
        ({"lstm_states": np.zeros((1, 4, 1, 8))}, "this agent has no LSTM"),
        ({"action_masks": "left"}, "give 0 or 1"),
        ({"action_masks": np.zeros((3, 3))}, "allow no action"),
    ],
)
def test_faulty_policy_inputs_are_refused_in_one_line(inputs, said):
    agent = dot_agent()
    if isinstance(inputs, dict) and isinstance(inputs.get("action_masks"), np.ndarray):
        inputs = {"action_masks": np.zeros((3, agent.n_scores))}
    with pytest.raises(ExplainError) as error:
        read_inputs(agent, np.zeros((3, *agent.observation_space.shape), np.uint8), inputs)
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("states", "said"),
    [
        (np.zeros((1, 4, 1, 9), np.float32), r"are \(4, 1, 9\) .* this agent's are \(4, 1, 12\)"),
        (np.zeros((1, 4, 2, 12), np.float32), r"are \(4, 2, 12\)"),
        (torch.zeros(1, 12), r"are \(12,\)"),
        ((np.zeros((1, 1, 9)), np.zeros((1, 1, 9))), r"are \(4, 1, 9\)"),
        ((np.zeros((1, 1, 12)), np.zeros((1, 2, 12))), "give the pair that model.predict returned"),
        ((np.zeros((1, 1, 12)),), "give the pair that model.predict returned"),
        (("h", "c"), "give the pair that model.predict returned"),
    ],
)
def test_lstm_states_of_another_size_are_refused(states, said):
    model, agent = model_of("ppo_lstm")
    given = sample(model.observation_space, 1)
    with pytest.raises(ExplainError, match=said):
        read_inputs(agent, given, {"lstm_states": states})
    _, pair = model.predict(given)
    read, inputs = read_inputs(agent, given, {"lstm_states": pair})
    assert len(read) == 1 and inputs["lstm_states"].shape == (1, 4, 1, 12)
