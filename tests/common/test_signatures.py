"""Names of arguments, through the classes that hand them on."""

from collections.abc import Mapping, Sequence

import pytest

from sb3_explain.agents.agent import Agent
from sb3_explain.common.errors import ExplainError
from sb3_explain.common.signatures import argument_names, check_arguments, require_arguments


class Base:
    def __init__(self, depth, *, width=3, _hidden=0):
        pass


class Open(Base):
    def __init__(self, *, color, **others):
        super().__init__(1, **others)


class Closed(Open):
    def __init__(self, own):
        super().__init__(color=own)


class Without(Open):
    pass


def test_names_end_where_nothing_more_is_handed_on():
    assert argument_names(Base) == {"depth", "width", "_hidden"}
    assert argument_names(Open) == argument_names(Without) == argument_names(Base) | {"color"}
    assert argument_names(Closed) == {"own"}


def test_an_unknown_name_is_said_with_the_nearest_one():
    require_arguments(Closed, Open, {"own": 1, "width": 2})
    with pytest.raises(ExplainError, match="unknown argument of Closed 'widht'; did you mean 'wid"):
        require_arguments(Closed, Open, {"widht": 2})
    with pytest.raises(ExplainError, match="unknown argument of Open '_hidden'"):
        require_arguments(Open, Open, {"_hidden": 2})


def test_what_is_handed_on_may_be_a_misspelled_argument_of_ones_own():
    @check_arguments
    def draw(target=None, **options):
        require_arguments(Base, Base, options)

    draw(width=2)
    said = "unknown argument of draw 'targt'; did you mean 'target'. .known: depth, target, width"
    with pytest.raises(ExplainError, match=said):
        draw(targt=1)
    with pytest.raises(ExplainError, match="argument of Base 'widht'; did you mean 'width'"):
        draw(widht=1)
    # near none: what it takes itself is said too
    with pytest.raises(ExplainError, match=r"argument of draw 'output' .known: depth, target, wid"):
        draw(output=1)


def test_a_class_that_only_type_checkers_import_hides_no_other():
    @check_arguments
    def draw(agent: "Agent", style: "Absent" = None) -> "Absent":  # noqa: F821
        return style

    with pytest.raises(ExplainError, match="agent must be of class Agent"):
        draw("ppo")


def test_a_class_beside_none_is_asked_for():
    @check_arguments
    def draw(agent: "Agent | None" = None, width: "int | str" = 1) -> object:
        return agent

    assert draw() is None and draw(None, "x") is None
    with pytest.raises(ExplainError, match="agent must be of class Agent, not str: load_agent"):
        draw("ppo")


def test_names_dicts_and_numbers_are_read_by_their_annotations():
    @check_arguments
    def draw(
        names: "Sequence[str] | None" = None,
        options: "Mapping[str, int] | None" = None,
        n_states: int = 5,
        either: "str | Sequence[str]" = "a",
    ) -> object:
        return names, options, n_states, either

    assert draw("left", {"a": 1}, "1e1", "b") == (["left"], {"a": 1}, 10, "b")
    assert draw(("left", "right"))[0] == ("left", "right")
    for given, said in (
        ({"names": 3}, "names=3: give a list"),
        ({"options": "a"}, "options='a': give a dict"),
        ({"n_states": 0}, "n_states=0: give a whole number of at least 1"),
    ):
        with pytest.raises(ExplainError, match=said):
            draw(**given)


def test_a_class_is_no_instance():
    @check_arguments
    def draw(agent: Agent) -> object:
        return agent

    with pytest.raises(ExplainError, match="agent must be of class Agent, not the class Agent: "):
        draw(Agent)
