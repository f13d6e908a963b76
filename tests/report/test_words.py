"""Numbers and sentences: what is claimed, and what is not."""

import pytest

from sb3_explain.common.controls import CONTROLS
from sb3_explain.report.summary import (
    describe_own_controls,
    describe_states,
    summarize,
)
from sb3_explain.report.tables import make_metric_rows
from sb3_explain.report.words import beats, format_number, get_metric_words


def row(mean, low=None, high=None, n=200):
    return {"mean": mean, "low": low, "high": high, "n": n}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "\N{EN DASH}"),
        (float("nan"), "\N{EN DASH}"),
        (float("inf"), "\N{EN DASH}"),
        (0, "0.000"),
        (0.1234, "0.123"),
        (-0.25, "-0.250"),
        (12.345, "12.3"),
        (123.45, "123"),
        (99999.4, "99,999"),
        (0.00012, "1.20e-04"),
        (True, "\N{EN DASH}"),
    ],
)
def test_numbers(value, text):
    assert format_number(value) == text


@pytest.mark.parametrize(
    ("one", "other", "better", "expected"),
    [
        (row(0.5, 0.4, 0.6), row(0.3, 0.2, 0.39), "up", True),
        (row(0.5, 0.4, 0.6), row(0.3, 0.2, 0.41), "up", False),
        (row(0.1, 0.0, 0.19), row(0.3, 0.2, 0.4), "down", True),
        (row(0.5), row(0.3), "up", False),
        (row(0.5, 0.4, 0.6), row(0.3), "up", False),
        (row(0.5), row(0.3, 0.2, 0.4), "up", False),
        (row(0.5), row(0.3), None, None),
        (row(None), row(0.3), "up", None),
        (None, row(0.3), "up", None),
    ],
)
def test_better_means_intervals_apart(one, other, better, expected):
    assert beats(one, other, better) is expected


def test_unknown_metrics_get_no_direction():
    assert get_metric_words("my_metric").label == "My metric"
    assert get_metric_words("my_metric").better is None


def test_a_metric_at_a_share_says_which():
    said = [get_metric_words(f"policy_preservation@{share}") for share in ("0.1", "0.05", "0.125")]
    labels = [each.label.replace("\N{NO-BREAK SPACE}", " ") for each in said]
    assert labels == [f"Policy preservation at {share} %" for share in ("10", "5", "12.5")]
    assert all(each.better == "down" and each.faithful for each in said)
    assert "the 5\N{NO-BREAK SPACE}% of the observation" in said[1].text
    label = get_metric_words("accuracy@0.2 donor").label.replace("\N{NO-BREAK SPACE}", " ")
    assert label == "Accuracy at 20 %, donor"
    assert get_metric_words("accuracy@<b>").better is None


def test_a_baseline_that_does_as_well_is_named():
    table = {
        "rise": {"insertion": row(0.40, 0.38, 0.42), "deletion": row(0.3, 0.29, 0.31)},
        "random": {"insertion": row(0.30, 0.29, 0.31), "deletion": row(0.2, 0.19, 0.21)},
        "gradient": {"insertion": row(0.39, 0.37, 0.41)},
    }
    first, second, third = summarize(table, "rise", controls=CONTROLS)
    assert first == (
        "Insertion of RISE is 0.400, higher (that is, better) than for the random map (0.300), "
        "with intervals apart."
    )
    assert second.startswith("It is not clearly better than for the plain gradient (0.390)")
    assert third == (
        "Deletion of RISE is 0.300, but the random map (0.200) is clearly ahead, with intervals "
        "apart: by this measure the maps tell less."
    )


@pytest.mark.parametrize(
    ("others", "said"),
    [
        (
            {"gradient": row(0.41, 0.37, 0.45)},
            ["but the plain gradient (0.410) is ahead, not clearly: by this measure"],
        ),
        (
            {"gradient": row(0.41, 0.37, 0.45), "random": row(0.3, 0.2, 0.37)},
            ["better) than for the random map", "The plain gradient (0.410) is ahead, not clearly"],
        ),
        (
            {"gradient": row(0.6, 0.5, 0.7), "random": row(0.5, 0.45, 0.7)},
            ["but the plain gradient (0.600) and the random map (0.500) are clearly ahead"],
        ),
        (
            {"gradient": row(0.6, 0.5, 0.7), "random": row(0.39, 0.3, 0.5)},
            ["(0.600) is clearly ahead", "It is not clearly better than for the random map"],
        ),
        ({"gradient": row(0.40, 0.38, 0.42)}, ["not clearly better than for the plain gradient"]),
    ],
)
def test_a_control_that_is_ahead_is_said_to_be(others, said):
    table = {"rise": {"insertion": row(0.40, 0.38, 0.42)}}
    table |= {name: {"insertion": each} for name, each in others.items()}
    sentences = summarize(table, "rise", controls=CONTROLS)
    assert len(sentences) == len(said)
    for sentence, part in zip(sentences, said, strict=True):
        assert part in sentence


def test_a_control_that_is_ahead_without_intervals():
    table = {"rise": {"deletion": row(0.40)}, "random": {"deletion": row(0.30)}}
    assert summarize(table, "rise", controls=CONTROLS) == [
        "Deletion of RISE is 0.400, but the random map (0.300) is ahead, not clearly: there are "
        "too few episodes for an interval."
    ]


def test_a_control_that_keeps_the_action_more_often():
    table = {
        "rise": {"accuracy@0.25": row(0.80, 0.75, 0.85)},
        "gradient": {"accuracy@0.25": row(0.9, 0.88, 0.92)},
        "random": {"accuracy@0.25": row(0.82, 0.78, 0.86)},
    }
    (text,) = summarize(table, "rise", controls=CONTROLS)
    assert "more often by the plain gradient (90\u00a0%), with intervals apart" in text
    assert "more often, but not clearly, by the random map (82\u00a0%)" in text
    table["rise"]["accuracy@0.25"] = row(0.80)
    (text,) = summarize(table, "rise", controls=CONTROLS)
    assert "not clearly, by the plain gradient (90\u00a0%) and the random map (82\u00a0%)" in text
    assert "too few episodes for an interval" in text and "intervals apart" not in text


def test_every_share_and_every_kind_of_metric_has_a_sentence():
    low, high = row(0.5, 0.4, 0.6), row(0.8, 0.7, 0.9)
    names = ("accuracy@0.05", "accuracy@0.25", "insertion donor", "pixel_flipping")
    names += ("policy_preservation@0.2", "value_preservation")
    table = {"rise": dict.fromkeys(names, low), "random": dict.fromkeys(names, high)}
    said = [text.replace("\N{NO-BREAK SPACE}", " ") for text in summarize(table, "rise")]
    assert said[0].startswith("Shown only the 5 % of the observation that RISE marks highest")
    assert said[1].startswith("Shown only the 25 % of the observation that RISE marks highest")
    starts = [text.partition(" of RISE is")[0] for text in said[2:]]
    assert starts == [
        "Insertion, donor",
        "Pixel flipping",
        "Policy preservation at 20 %",
        "Value preservation",
    ]
    # of each kind, variants are told only where the metric itself was not measured
    more = {name: low for name in ("insertion", "deletion", "policy_preservation")}
    table["rise"] |= more
    table["random"] |= dict.fromkeys(more, high)
    starts = [text.partition(" of RISE is")[0] for text in summarize(table, "rise")[2:]]
    assert starts == ["Insertion", "Deletion", "Policy preservation", "Value preservation"]


def test_the_control_of_another_explainer_is_no_baseline():
    table = {
        "rise": {"insertion": row(0.40, 0.38, 0.42)},
        "random": {"insertion": row(0.30, 0.29, 0.31)},
        "visionmask template": {"insertion": row(0.6, 0.59, 0.61)},
    }
    controls = ["random", "visionmask template"]
    [sentence] = summarize(table, "rise", controls=controls)
    assert "template" not in sentence and "random map" in sentence
    [value] = make_metric_rows(table, ["insertion"], controls, None)[0]["values"]
    assert not value["unproven"]
    table["rise template"] = table.pop("visionmask template")
    controls = ["random", "rise template"]
    [value] = make_metric_rows(table, ["insertion"], controls, None)[0]["values"]
    assert value["unproven"]


def learned(own, swapped, template, **more):
    """A table of an explainer that learns: ``insertion`` of its own maps and of its controls."""
    return {
        "visionmask": {"insertion": own, **more},
        "visionmask template": {"insertion": template},
        "visionmask swapped": {"insertion": swapped},
    }


HIGH, MIDDLE, LOW = row(0.8, 0.78, 0.82), row(0.79, 0.77, 0.81), row(0.6, 0.58, 0.62)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (
            learned(HIGH, MIDDLE, MIDDLE),
            "By insertion, the maps of VisionMask are much the same for every state of an action: "
            "another state's map does as well, and so does the mean map of the action.",
        ),
        (
            learned(LOW, HIGH, row(0.45, 0.4, 0.5)),
            "By insertion, the maps of VisionMask are much the same for every state of an action: "
            "another state's map does as well.",
        ),
        (
            learned(HIGH, LOW, MIDDLE),
            "By insertion, the mean map of an action does as well as the maps of VisionMask: what "
            "is particular to a state is not shown to matter.",
        ),
        # the paired difference tells what the two intervals do not
        (learned(HIGH, MIDDLE, LOW, specificity=row(0.01, 0.004, 0.016)), None),
        (
            learned(HIGH, MIDDLE, LOW, specificity=row(0.01, -0.004, 0.016)),
            "By insertion, the maps of VisionMask are much the same for every state of an action: "
            "another state's map does as well.",
        ),
        (learned(HIGH, LOW, LOW), None),
        (learned(row(0.8), row(0.8), row(0.8)), None),  # nothing is known without intervals
        ({"rise": {"insertion": HIGH}}, None),  # it does not learn
    ],
)
def test_maps_that_are_the_same_for_all_states_are_told(table, said):
    name = next(iter(table))
    assert describe_own_controls(table, name) == ([said] if said else [])
    assert (said in summarize(table, name)) == (said is not None)


def test_policy_preservation_tells_it_too():
    table = learned(HIGH, LOW, LOW)
    for name, preserved in (("", row(0.5, 0.4, 0.6)), (" template", LOW), (" swapped", LOW)):
        table[f"visionmask{name}"]["policy_preservation"] = preserved
    assert describe_own_controls(table, "visionmask") == [
        "By policy preservation, the maps of VisionMask are much the same for every state of an "
        "action: another state's map does as well, and so does the mean map of the action."
    ]
    for each in table.values():
        each["insertion"] = HIGH
    [sentence] = describe_own_controls(table, "visionmask")
    assert sentence.startswith("By insertion and policy preservation, the maps of VisionMask")


def test_own_controls_within_a_sentence():
    controls = ["visionmask template", "visionmask swapped"]
    first = summarize(learned(HIGH, LOW, LOW), "visionmask", controls=controls)[0]
    assert first == (
        "Insertion of VisionMask is 0.800, higher (that is, better) than for the mean map of the "
        "action (0.600) "
        "and another state's map (0.600), with intervals apart."
    )


def test_the_agents_own_probability_and_few_states_are_told():
    states = {"own_probability": 0.62, "note": "the interval is too narrow: 100 states"}
    assert describe_states(states, learned(HIGH, LOW, LOW)) == [
        "On the whole observations, the mean probability of the agent's action is 0.620: insertion "
        "above it comes from maps that make the agent surer than it is.",
        "The interval is too narrow: 100 states.",
    ]
    assert describe_states({"own_probability": 0.62, "note": ""}, {"rise": {}}) == []
    below = {"own_probability": 0.9, "note": ""}
    assert describe_states(below, learned(HIGH, LOW, LOW)) == [
        "On the whole observations, the mean probability of the agent's action is 0.900."
    ]
    named = {**below, "target": "left", "target_taken": 0.5}
    assert describe_states(named, learned(row(0.95), LOW, LOW))[1] == (
        "There the mean probability of left is 0.900: insertion above it comes from maps that make "
        "left more probable than it is."
    )
    assert describe_states({}, {"rise": {"insertion": HIGH}}) == []  # a file of an earlier time


def test_nothing_is_claimed_without_intervals():
    table = {"rise": {"insertion": row(0.40)}, "random": {"insertion": row(0.30)}}
    assert summarize(table, "rise") == [
        "Insertion of RISE is 0.400, not shown to be better than for the random map (0.300): there "
        "are too "
        "few episodes for an interval."
    ]


def test_the_accuracy_of_binary_maps_is_told_where_there_are_no_masks():
    (text,) = summarize({"rise": {"accuracy@0.1": row(0.83, 0.8, 0.86)}}, "rise")
    assert text.replace("\N{NO-BREAK SPACE}", " ") == (
        "Shown only the 10 % of the observation that RISE marks highest, the agent takes the same "
        "action in 83 % of the 200 states (interval 80.0 to 86.0 %)."
    )


def test_nothing_measured_is_said():
    assert summarize({"rise": {}}, "rise") == ["No metric of RISE has been computed."]
    assert "table" in summarize({"rise": {"new": row(1.0)}}, "rise")[0]
