"""What pages of vectors and of Box actions say, and what they do not."""

import re

import numpy as np
import pytest

from sb3_explain.report import TargetAttributions, summarize, write_report
from sb3_explain.report.summary import describe_states
from sb3_explain.report.tables import make_metric_rows
from sb3_explain.report.wording import Wording
from sb3_explain.report.words import METRIC_WORDS, get_metric_words

PENDULUM = Wording(pictures=False, measure="similarity", n_features=3)
CART = Wording(pictures=False, measure="probability", n_features=4)


def row(mean, low=None, high=None, n=200):
    return {"mean": mean, "low": low, "high": high, "n": n}


@pytest.mark.parametrize(
    ("n", "share", "label"),
    [
        (2, 0.1, "1 of 2 features"),
        (17, 0.1, "2 of 17 features"),
        (4, 0.0, "0 of 4 features"),
        (None, 0.1, "10\N{NO-BREAK SPACE}%"),
    ],
)
def test_a_share_of_few_features_is_a_number_of_them(n, share, label):
    assert Wording(pictures=False, n_features=n).label(share) == label
    assert Wording(pictures=True, n_features=n).label(share) == f"{100 * share:g}\u00a0%"


@pytest.mark.parametrize("name", [*METRIC_WORDS, "accuracy@0.1", "policy_preservation@0.1"])
def test_no_pixels_where_there_are_none_and_no_probability_of_box_actions(name):
    if name == "relevance_mass":  # of pictures alone
        return
    said = get_metric_words(name, None, PENDULUM)
    text = f"{said.label} {said.text}".lower()
    for word in ("pixel", "black", "cell", "probabilit", "image", "person"):
        assert word not in text
    if not name.endswith("@"):  # the names of families have no share
        assert "{" not in text
    assert "{" not in get_metric_words(name.replace("@0.1", "@0.25")).text or name.endswith("@")


def test_of_the_kind_of_agent_in_metrics_json():
    read = Wording.read({"pictures": False, "measure": "similarity", "n_features": 3})
    assert read == PENDULUM
    assert Wording.read({}) == Wording()  # a file of an earlier time
    assert Wording.read({"measure": "<b>", "n_features": 0}) == Wording()


def test_the_constant_mask_that_does_as_well_is_named():
    table = {
        "visionmask": {"accuracy": row(0.98, 0.97, 0.99), "mask_area": row(0.2, 0.19, 0.21)},
        "empty": {"accuracy": row(0.4, 0.35, 0.45)},
        "constant": {"accuracy": row(0.975, 0.965, 0.985)},
        "visionmask swapped": {"accuracy": row(0.7, 0.65, 0.75)},
    }
    controls = ["empty", "constant", "visionmask swapped"]
    (text,) = summarize(table, "visionmask", controls=controls)
    text = text.replace("\N{NO-BREAK SPACE}", " ")
    assert "Shown nothing at all, it takes the same action in 40 %." in text
    assert "The action is kept less often by another state's map (70 %)." in text
    assert "kept about as often by the constant mask (98 %): this alone does not show" in text
    table["visionmask"]["accuracy"] = row(0.98)
    (text,) = summarize(table, "visionmask", controls=controls)
    assert "is not shown: there are too few episodes for an interval." in text


@pytest.mark.parametrize(
    ("control", "said"),
    [
        (row(0.341, 0.289, 0.394), "kept less often, but not clearly, by the random map (34 %)"),
        (row(0.497, 0.38, 0.6), "kept about as often by the random map (50 %)"),
        (row(0.503, 0.38, 0.6), "kept about as often by the random map (50 %)"),
        (row(0.6, 0.5, 0.7), "kept more often, but not clearly, by the random map (60 %)"),
        (row(0.3, 0.25, 0.35), "kept less often by the random map (30 %)."),
    ],
)
def test_how_often_a_control_keeps_the_action(control, said):
    table = {"rise": {"accuracy@0.1": row(0.5, 0.390, 0.603)}, "random": {"accuracy@0.1": control}}
    (text,) = summarize(table, "rise")
    assert said in text.replace("\N{NO-BREAK SPACE}", " ")


def test_empty_masks_are_said_to_be_empty():
    table = {"visionmask": {"accuracy": row(0.4, 0.3, 0.5), "mask_area": row(0.0, 0.0, 0.0)}}
    assert summarize(table, "visionmask")[-1].startswith("The masks of VisionMask are empty")
    table["visionmask"]["mask_area"] = row(0.2, 0.19, 0.21)
    assert not any("empty" in sentence for sentence in summarize(table, "visionmask"))


def test_an_empty_map_is_said_to_be_one(tmp_path):
    attributed = np.zeros((2, 8, 8))
    attributed[1, 2, 2] = 0.5
    frame = np.zeros((16, 16, 3), np.uint8)
    example = TargetAttributions(frame, attributed, ["LEFT", "RIGHT"], [0.25, 0.75], 1)
    assert [example.is_empty(action) for action in (0, 1)] == [True, False]
    page = write_report(tmp_path / "page.html", metrics={}, examples=[example]).read_text()
    assert "Empty map of: LEFT (25 %)." in page
    assert re.findall(r'alt="Map of (\w+)', page) == ["RIGHT"]
    assert "An empty map says that nothing that is shown matters to it." in page


def test_without_intervals_nothing_is_bold():
    table = {
        "rise": {"insertion": row(0.4)},
        "lime": {"insertion": row(0.5)},
        "sarfa": {"insertion": row(0.5)},
    }
    rows = make_metric_rows(table, ["insertion"], (), None)
    assert [each["values"][0]["best"] for each in rows] == [False, False, False]
    table = {
        "rise": {"insertion": row(0.40, 0.3, 0.5)},
        "lime": {"insertion": row(0.45, 0.4, 0.5)},
        "sarfa": {"insertion": row(0.41)},
    }
    rows = make_metric_rows(table, ["insertion"], (), None)
    assert [each["values"][0]["best"] for each in rows] == [True, True, False]


def test_the_page_of_a_box_agent(tmp_path):
    metrics = {
        "states": {
            "n": 30, "own_probability": 1.0, "note": "",
            "pictures": False, "measure": "similarity", "n_features": 3,
        },
        "explainers": {
            "visionmask": {
                "accuracy": row(0.9), "accuracy@0.1": row(0.8), "insertion": row(0.7),
                "pixel_flipping": row(0.3), "mask_area": row(0.2),
            },
            "random": {"insertion": row(0.5)},
        },
    }  # fmt: skip
    page = write_report(tmp_path / "page.html", metrics=metrics).read_text()
    page = re.sub(r"<script>.*?</script>", "", page[page.index("<body>") :], flags=re.S)
    page = re.sub(r"data:[^\"]*", "", page).lower()
    for word in ("pixel", "black", "cell", "probabilit"):
        assert word not in page
    assert "accuracy at 1 of 3 features" in page and "to a 20th of its range" in page
    assert "means; there are too few episodes for intervals" in page
    assert describe_states(metrics["states"], metrics["explainers"]) == []


def test_words_given_by_the_caller_come_first():
    said = get_metric_words("accuracy", {"accuracy": METRIC_WORDS["insertion"]}, CART)
    assert said is METRIC_WORDS["insertion"]


LEFT = Wording(pictures=False, n_features=4, action="left", taken=0.2)
KNEE = Wording(pictures=False, measure="similarity", n_features=24, action="left knee")


@pytest.mark.parametrize("name", [*METRIC_WORDS, "accuracy@0.1", "policy_preservation@0.1"])
def test_metrics_of_a_named_action_are_said_to_be_of_it(name):
    if name == "masked_return":  # of play, which has no target
        return
    text = get_metric_words(name, None, LEFT).text
    for word in ("the same action", "does the same", "what the action", "probability of the act"):
        assert word not in text
    assert "{" not in text or name.endswith("@")
    plain = get_metric_words(name.replace("@0.1", "@0.25"), None, CART).text
    assert "left" not in plain


def test_of_a_named_action_it_is_said_how_often_it_is_taken():
    table = {
        "visionmask": {"accuracy": row(0.95, 0.93, 0.97), "mask_area": row(0.25, 0.2, 0.3)},
        "empty": {"accuracy": row(0.3, 0.2, 0.4)},
        "random": {"accuracy": row(0.5, 0.4, 0.6)},
        "constant": {"accuracy": row(0.96, 0.94, 0.98)},
    }
    (text,) = summarize(table, "visionmask", wording=LEFT)
    assert text.replace("\N{NO-BREAK SPACE}", " ") == (
        "Shown the 25 % of the observation that the masks of VisionMask keep, the agent takes left "
        "in 95 % of the 200 states (interval 93.0 to 97.0 %). Shown nothing at all, it takes left "
        "in 30 %. Left is taken less often by the random map (50 %). Left is taken more often, but "
        "not clearly, by the constant mask (96 %): this alone does not show that the maps find "
        "what matters."
    )
    (text,) = summarize(table, "visionmask", wording=KNEE)
    text = text.replace("\N{NO-BREAK SPACE}", " ")
    assert text.startswith("VisionMask keeps left knee, to a 20th of its range, in 95 % of the 200")
    assert "Left knee is kept less often by the random map (50 %)." in text
    assert KNEE.outcome == "similarity to the agent's own left knee"


def test_a_named_action_and_a_quantity_are_read_from_metrics_json():
    named = {"target": "left", "own_probability": 0.3, "target_taken": 0.2}
    read = Wording.read(named)
    assert (read.action, read.quantity, read.taken) == ("left", "", 0.2)
    assert read.explained == read.named == "left" and read.outcome == "probability of left"
    assert describe_states(named, {"rise": {"accuracy@0.1": row(0.9)}}) == [
        "On the whole observations, the agent takes left in 20\N{NO-BREAK SPACE}% of the states."
    ]
    read = Wording.read({"target": "value", "own_probability": None})
    assert (read.action, read.quantity, read.taken) == ("", "value", None)
    assert (
        Wording.read({"target": "left", "own_probability": 0.3, "target_taken": 7.0}).taken is None
    )


@pytest.mark.parametrize("measure", ["probability", "similarity", "softmax of Q"])
def test_a_quantity_changes_and_has_no_probability(measure):
    said = Wording(measure=measure, quantity="value")
    assert said.outcome == "change of value"


def test_forced_action_of_a_named_target_says_that_it_is_of_any_action():
    named = get_metric_words("forced_action", None, Wording(action="LEFT")).text
    assert "would not take, drawn from all and not always LEFT, makes" in named
    assert "LEFT" not in get_metric_words("forced_action", None, Wording()).text
