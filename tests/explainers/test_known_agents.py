"""Known answers at random places: live models of PPO and DQN that look at known features only."""

import pytest
import torch
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st

from sb3_explain.envs.spaces import split_keys
from sb3_explain.explainers import EXPLAINERS
from sb3_explain.explainers.base import FittedExplainer
from tests.agents.reading import (
    AXES,
    CORNER,
    HEIGHT,
    WIDTH,
    CornerReader,
    RowReader,
    live_reader,
    random_states,
)
from tests.explainers.test_axes import OTHERS, explain, share, supporting

SQUARES = st.tuples(st.integers(0, HEIGHT // CORNER - 1), st.integers(0, WIDTH // CORNER - 1))
ALGORITHMS = st.sampled_from(("ppo", "dqn"))
SHAPES = ((5,), (12,), (4, 5), (3, 4, 2), (2, 3, 2, 2))
#: methods whose maps are 0 wherever the agent does not look
EXACT = (
    "gradient", "input_x_gradient", "integrated_gradients", "smoothgrad", "guided_backprop",
    "feature_ablation", "occlusion",
)  # fmt: skip
LEARNED = ("visionmask", "stalder", "ssinet")


def picture_reader(axes, cell, algorithm, beside):
    """An agent that looks at a square of a picture, and where that is in the picture's axes."""
    shape, to_picture, _ = AXES[axes]
    space = spaces.Box(0, 1, shape)
    if beside:
        space = spaces.Dict(screen=space, vector=spaces.Box(-1, 1, (3,)))
    n_channels = to_picture(torch.zeros(1, *shape)).shape[1]
    reader = CornerReader(to_picture, n_channels, "screen" if beside else "", cell)
    agent = live_reader(algorithm, reader, space, 2)
    rows, columns = (slice(CORNER * at, CORNER * (at + 1)) for at in cell)
    seen = torch.zeros(1, 1, HEIGHT, WIDTH, dtype=torch.bool)
    seen[..., rows, columns] = True
    key = "screen" if beside else ""
    shown = seen.expand(1, agent.layout.shapes[key][0], -1, -1)
    return agent, key, agent.layout.restore_key(key, shown)[0]


def feature_reader(shape, chosen, algorithm, whole):
    """An agent that looks at some features or cells, and which they are."""
    read = torch.zeros(shape, dtype=torch.bool)
    read.view(-1)[[at % read.numel() for at in chosen]] = True
    space = spaces.Box(0, 2, shape, "int8") if whole else spaces.Box(-1, 1, shape)
    return live_reader(algorithm, RowReader(shape, "", read), space, 3), read


def check(agent, key, where, names):
    for name in names:
        found = explain(agent, name)[key]
        part = share(found, (where,))
        chance = float(where.float().mean())
        assert part > min(2 * chance, (1 + chance) / 2), f"{name}: {part} of {chance}"
        if name in EXACT:
            assert part == pytest.approx(1, abs=1e-5), name


@pytest.mark.slow  # 1000 masks of each state; test_axes has one square of each axes
@settings(max_examples=10, deadline=None, derandomize=True)
@given(st.sampled_from(sorted(AXES)), SQUARES, ALGORITHMS, st.booleans())
def test_every_method_finds_the_square_that_a_live_model_looks_at(axes, cell, algorithm, beside):
    agent, key, where = picture_reader(axes, cell, algorithm, beside)
    names = supporting(agent)
    assert {"occlusion", "greydanus", "sarfa", "rise", "lime", "gradient"} <= {*names}
    # those that explain what stands beside pictures give these 0
    found = [n for n in names if n not in OTHERS and not issubclass(EXPLAINERS[n], FittedExplainer)]
    check(agent, key, where, found)


@settings(max_examples=12, deadline=None, derandomize=True)
@given(
    st.sampled_from(SHAPES),
    st.lists(st.integers(0, 23), min_size=1, max_size=2),
    ALGORITHMS,
    st.booleans(),
)
def test_every_method_finds_the_features_that_a_live_model_looks_at(
    shape, chosen, algorithm, whole
):
    agent, where = feature_reader(shape, chosen, algorithm, whole)
    names = supporting(agent)
    assert {"feature_ablation", "kernel_shap", "lime", "gradient"} <= {*names}
    learned = [name for name in names if issubclass(EXPLAINERS[name], FittedExplainer)]
    check(agent, "", where, [name for name in names if name not in learned])


@pytest.mark.slow  # learns; test_axes has the corner of pictures whose channels are last
@pytest.mark.parametrize("name", LEARNED)
def test_learned_masks_find_the_square(name):
    agent, key, where = picture_reader("hw", (2, 3), "ppo", beside=False)
    assert learn(agent, name, key, where) > 0.1  # the square is a 20th


@pytest.mark.slow  # learns
@pytest.mark.parametrize("name", LEARNED[:2])  # SSINet explains pictures alone
@pytest.mark.parametrize("shape", [(12,), (4, 5)])
def test_learned_masks_find_the_features(shape, name):
    agent, where = feature_reader(shape, [7], "dqn", whole=False)
    assert name in supporting(agent)
    assert learn(agent, name, "", where) > 2 * float(where.float().mean())


def learn(agent, name, key, where):
    """The share that learned masks give to a place."""
    states = random_states(agent, 800)
    explainer = EXPLAINERS[name](agent, baseline="mean")
    explainer.fit(*states.split((0.8, 0.2)), epochs=12, progress=False)
    found = split_keys(explainer.attribute(states.observations(range(20))))
    return share(found[key], (where,))
