"""Which names of a table are controls, and whose."""

from sb3_explain.common.controls import OWN_CONTROLS, concerns, list_asked, list_controls
from sb3_explain.evaluation.controls import Swapped, Template
from sb3_explain.report.words import get_explainer_label


def test_own_controls_are_named_once():
    assert (Template.name, Swapped.name) == OWN_CONTROLS


def test_controls_of_a_table():
    names = ["my mask", "my mask template", "rise swapped", "template", "random", "swapped mask"]
    assert list_controls(names) == ["my mask template", "rise swapped", "random"]


def test_an_own_control_concerns_its_explainer_alone():
    assert concerns("random", "rise") and concerns("random", "visionmask")
    assert concerns("my mask template", "my mask")
    assert not concerns("my mask template", "my") and not concerns("visionmask swapped", "rise")


def test_labels():
    assert get_explainer_label("visionmask template") == "VisionMask, template"
    assert get_explainer_label("my mask swapped") == "my mask, swapped"


def test_the_gradient_is_a_method_for_whoever_asks_for_it():
    added = ["empty", "constant", "random", "gradient"]
    assert list_controls(["lime", *added]) == list_controls(added) == added
    assert list_asked(["lime", *added]) == ["lime"] and list_asked(added) == []
    for asked in (["gradient"], ["lime", "gradient"], ["gradient", "lime"], ["empty", "gradient"]):
        rows = [*asked, *(name for name in added if name not in asked)]
        assert list_asked(rows) == asked
        assert "gradient" not in list_controls(rows)
        assert {"empty", "constant", "random"} <= set(list_controls(rows))
    rows = ["lime", "gradient", "ssinet", "ssinet template", "empty", "constant", "random"]
    assert list_asked(rows) == ["lime", "gradient", "ssinet"]
    assert list_controls(rows) == ["ssinet template", "empty", "constant", "random"]
    assert list_asked(["lime", "random", *added[:2], "gradient"]) == ["lime", "random"]
    assert list_controls(["gradient", "lime"]) == []  # nothing was added to these
