"""Spaces are read from the text beside their pickles, as many versions wrote it."""

import collections
import json

import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3.common.save_util import data_to_json

from sb3_explain.agents.loading.saved_spaces import describe_space, quote_attributes, read_space
from sb3_explain.agents.loading.space_texts import read_text

INF = np.inf
MIXED = spaces.Dict(
    collections.OrderedDict(
        speed=spaces.Box(-1, 1, (2,)),
        angle=spaces.Box(np.array([-1, -2, -INF], "f4"), np.array([1, 2, INF], "f4")),
        picture=spaces.Box(0, 255, (1, 36, 36), np.uint8),
        board=spaces.Box(0, 1, (3, 3), np.int64),
        kind=spaces.Discrete(3),
        kinds=spaces.MultiDiscrete([2, 3]),
        bits=spaces.MultiBinary(4),
        table=spaces.MultiBinary([4, 2]),
    )
)
SPACES = {
    "picture": spaces.Box(0, 255, (4, 36, 36), np.uint8),
    "bytes": spaces.Box(0, 255, (128,), np.uint8),
    "vector": spaces.Box(-1, 1, (4,)),
    "unbounded": spaces.Box(-INF, INF, (4,), np.float64),
    "cartpole": spaces.Box(np.array([-4.8, -INF], "f4"), np.array([4.8, INF], "f4")),
    "board": spaces.Box(0, 9, (2, 3), np.int64),
    "table": spaces.Box(
        -np.arange(6, dtype="f4").reshape(2, 3), np.arange(6, dtype="f4").reshape(2, 3) / 7
    ),
    "long": spaces.Box(-1, 1, (2000,)),
    "truths": spaces.Box(0, 1, (3,), bool),
    "number": spaces.Box(-1, 1, ()),
    "half": spaces.Box(-1, 1, (2,), np.float16),
    "discrete": spaces.Discrete(3),
    "discrete from 1": spaces.Discrete(3, start=1),
    "multi-discrete": spaces.MultiDiscrete([3, 2, 4]),
    "multi-binary": spaces.MultiBinary(5),
    "multi-binary table": spaces.MultiBinary([2, 3]),
    "dict": MIXED,
}


def write(space):
    """The attributes that SB3 writes today."""
    return json.loads(data_to_json({"it": space}))["it"]


@pytest.mark.parametrize("name", SPACES)
@pytest.mark.parametrize("drawn", [False, True])
def test_what_sb3_writes_today_is_read(name, drawn):
    space = SPACES[name]
    if drawn:
        space.sample()  # then the text names a random generator too
        str(space)  # and short texts of the bounds
    read = read_space(write(space))
    assert read == space
    if isinstance(space, spaces.Dict):
        assert list(read.spaces) == list(space.spaces)


def box(**attributes):
    return {":type:": "<class 'gym.spaces.box.Box'>", **attributes}


def dictionary(text, package="gym"):
    return {":type:": f"<class '{package}.spaces.dict.Dict'>", "spaces": text, "shape": None}


GOAL = spaces.Dict(
    [("achieved_goal", spaces.Box(-INF, INF, (3,))), ("observation", spaces.Box(-INF, INF, (6,)))]
)


@pytest.mark.parametrize(
    ("attributes", "space"),
    [
        # zips of the zoo, 2020 to 2022
        (
            box(dtype="float32", shape=[2], low="[-4.8000002e+00 -3.4028235e+38]",
                high="[4.8000002e+00 3.4028235e+38]"),
            spaces.Box(np.array([-4.8, -3.4028235e38], "f4"), np.array([4.8, 3.4028235e38], "f4")),
        ),
        (
            {":type:": "<class 'gym.spaces.discrete.Discrete'>", "n": 6, "shape": []},
            spaces.Discrete(6),
        ),
        (
            dictionary("OrderedDict([('achieved_goal', Box(-inf, inf, (3,), float32)), "
                       "('observation', Box(-inf, inf, (6,), float32))])"),
            GOAL,
        ),
        # gym 0.17, whose text of a Box is its shape
        (dictionary("OrderedDict([('achieved_goal', Box(3,)), ('observation', Box(6,))])"), GOAL),
        # gym 0.21, whose text of a Box has whole arrays
        (
            dictionary("OrderedDict([('a', Box([-1. -2.], [1. 2.], (2,), float32)), ('p', "
                       "Box([[[0 0]\n  [0 0]]], [[[255 255]\n  [255 255]]], (1, 2, 2), uint8))])"),
            spaces.Dict([
                ("a", spaces.Box(np.array([-1, -2], "f4"), np.array([1, 2], "f4"))),
                ("p", spaces.Box(0, 255, (1, 2, 2), np.uint8)),
            ]),
        ),
        # an older numpy wrote types in full
        (box(dtype="<class 'numpy.float32'>", shape=[1], low="[-2.]", high="[2.]"),
         spaces.Box(-2, 2, (1,))),
        ({":type:": "<class 'gym.spaces.multi_discrete.MultiDiscrete'>", "nvec": "[3 2]"},
         spaces.MultiDiscrete([3, 2])),
        ({":type:": "<class 'gym.spaces.multi_binary.MultiBinary'>", "n": "(2, 3)"},
         spaces.MultiBinary([2, 3])),
    ],
)  # fmt: skip
def test_what_older_versions_wrote_is_read(attributes, space):
    read = read_space(attributes)
    assert read == space
    if isinstance(space, spaces.Dict):
        assert list(read.spaces) == list(space.spaces)


@pytest.mark.parametrize(
    "space",
    [
        spaces.Dict(a=spaces.Dict(b=spaces.Discrete(2))),
        spaces.Tuple((spaces.Discrete(2), spaces.Box(-1, 1, (2,)))),
        spaces.Text(5),
        spaces.Box(-np.arange(2000, dtype="f4"), np.ones(2000, "f4")),
    ],
)
def test_what_cannot_be_read_for_certain_is_quoted(space):
    attributes = write(space)
    assert read_space(attributes) is None
    quoted = quote_attributes(attributes)
    assert type(space).__name__ in quoted and "\n" not in quoted and len(quoted) < 700


@pytest.mark.parametrize(
    "attributes",
    [
        None, "Box", [], {}, {":type:": 3}, {":type:": "<class 'os.system'>"},
        box(), box(dtype="float32", shape=[2], low="[0 0]"),
        box(dtype="object", shape=[1], low="[0]", high="[1]"),
        box(dtype="uint8", shape=[1], low="[-1]", high="[255]"),
        box(dtype="uint8", shape=[1], low="[0.5]", high="[inf]"),
        box(dtype="float32", shape=[2], low="[0 0 0]", high="[1 1 1]"),
        box(dtype="float32", shape=[10**9], low="0", high="1"),
        box(dtype="float32", shape=[10**5, 10**5, 0, 3], low="0", high="1"),
        box(dtype="float32", shape=[1] * 60, low="0", high="1"),
        box(dtype="float32", shape=[-2], low="0", high="1"),
        box(dtype="float32", shape=[True], low="0", high="1"),
        box(dtype="float32", shape="many", low="0", high="1"),
        box(dtype="float32", shape=[1], low="[nothing]", high="[1]"),
        box(dtype="float32", shape=[1], low="[" * 5000, high="[1]"),
        box(dtype="float32", shape=[1], low="1" * 300_000, high="[1]"),
        box(dtype="float32", shape=[1], low="[__import__('os')]", high="[1]"),
        box(dtype="int64", shape=[1], low=str(-(10**40)), high="1"),
        {":type:": "<class 'gym.spaces.discrete.Discrete'>", "n": "10**12"},
        {":type:": "<class 'gym.spaces.discrete.Discrete'>", "n": 0},
        {":type:": "<class 'gym.spaces.discrete.Discrete'>", "n": 10**30},
        {":type:": "<class 'gym.spaces.multi_discrete.MultiDiscrete'>", "nvec": "[9 -9]"},
        {":type:": "<class 'gym.spaces.multi_discrete.MultiDiscrete'>", "nvec": "[40000000 1]"},
        {":type:": "<class 'gym.spaces.multi_binary.MultiBinary'>", "n": [10**9, 10**9]},
        dictionary("{}"), dictionary("{'a': 3}"), dictionary("{3: Discrete(2)}"),
        dictionary("{'a': Discrete(2), 'a': Discrete(3)}"), dictionary("{'a': Discrete()}"),
        dictionary("OrderedDict()"), dictionary("{'a': Box(1, 2, 3)}"),
        # of a picture, the shape alone does not say whether it is one to SB3
        dictionary("{'a': Box(3, 36, 36)}"),
        dictionary("{'a': eval('1')}"), dictionary("{'a': Box(0, 1, (2,), __import__)}"),
    ],
)  # fmt: skip
def test_damaged_and_hostile_texts_are_left_unread(attributes):
    assert read_space(attributes) is None
    assert "\n" not in quote_attributes(attributes)


def test_texts_are_split_into_their_parts():
    assert read_text("[1 -2. 3e5 inf]") == [1, -2.0, 3e5, INF]
    assert read_text("{'it\\'s': (True, ...)}")[0].key == "it's"
    assert read_text("Discrete(3, start=-1)").arguments[1].value == -1


def test_spaces_in_a_few_words():
    assert describe_space(SPACES["picture"]) == "Box uint8 (4, 36, 36) in [0, 255]"
    assert describe_space(SPACES["discrete from 1"]) == "Discrete 3 from 1"
    assert describe_space(spaces.Dict(a=spaces.MultiBinary(2))) == "Dict {'a': MultiBinary (2,)}"
