"""Which names of a table are controls, and whose."""

from sb3_explain.common.controls import OWN_CONTROLS, concerns, list_controls
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
