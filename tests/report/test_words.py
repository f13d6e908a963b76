"""Numbers and sentences: what is claimed, and what is not."""

import pytest

from sb3_explain.report.summary import summarize
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
    first, second, third = summarize(table, "rise")
    assert first == (
        "Insertion is 0.400, higher (that is, better) than for the random map (0.300), with "
        "intervals apart."
    )
    assert second.startswith("It is not clearly better than for the plain gradient (0.390)")
    assert third.startswith("Deletion is 0.300, not clearly better than for the random map (0.200)")


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


def test_nothing_is_claimed_without_intervals():
    table = {"rise": {"insertion": row(0.40)}, "random": {"insertion": row(0.30)}}
    assert summarize(table, "rise") == [
        "Insertion is 0.400, not shown to be better than for the random map (0.300): there are too "
        "few episodes for an interval."
    ]


def test_the_accuracy_of_binary_maps_is_told_where_there_are_no_masks():
    (text,) = summarize({"rise": {"accuracy@0.1": row(0.83, 0.8, 0.86)}}, "rise")
    assert text.replace("\N{NO-BREAK SPACE}", " ") == (
        "Shown only the tenth of the observation that RISE marks highest, the agent takes the same "
        "action in 83 % of the 200 states (interval 80.0 to 86.0 %)."
    )


def test_nothing_measured_is_said():
    assert summarize({"rise": {}}, "rise") == ["No metric of RISE has been computed."]
    assert "table" in summarize({"rise": {"new": row(1.0)}}, "rise")[0]
