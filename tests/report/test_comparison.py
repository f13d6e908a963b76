"""Which method is best is said once for each metric, and what is not known only once."""

import pytest

from sb3_explain.report.comparison import compare_methods

STATES = {"n": 60, "episodes": 4}


def row(mean, half=None, n=60):
    bounds = {} if half is None else {"low": mean - half, "high": mean + half}
    return {"mean": mean, **bounds, "n": n}


def table_of(metric, half=0.01, **means):
    return {name: {metric: row(mean, half)} for name, mean in means.items()}


def said(table):
    return [text.replace("\N{NO-BREAK SPACE}", " ") for text in compare_methods(table, STATES)]


def test_a_clear_best_is_one_sentence():
    table = table_of("insertion", lime=0.8, rise=0.5, empty=0.1, random=0.2)
    assert said(table) == [
        "Insertion (higher is better): LIME is best (0.800), clearly before the next, RISE "
        "(0.500); it is clearly better than the empty mask (0.100) and the random map (0.200)."
    ]
    # lower is better: the order turns, and neither is better than the controls
    table = {
        name: {"deletion": each["insertion"]} for name, each in table.items() if name != "empty"
    }
    assert said(table) == [
        "Deletion (lower is better): no method is better than the random map; RISE is best of "
        "them (0.500), clearly before the next, LIME (0.800); it is clearly behind the random map "
        "(0.200).",
        "LIME is not clearly better than every control by deletion.",
    ]


def test_what_overlaps_is_said_once_for_all_metrics():
    table = {
        name: {"insertion": row(mean, half), "policy_preservation": row(1 - mean, half)}
        for name, mean, half in (("lime", 0.8, 0.1), ("rise", 0.75, 0.1), ("random", 0.7, 0.3))
    }
    first, second, third, last = said(table)
    assert "LIME is best (0.800), not clearly before the next, RISE (0.750); it is" in first
    assert first.endswith("it is not clearly better than the random map (0.700).")
    assert second.startswith("Policy preservation (lower is better): LIME is best (0.200)")
    assert third == (
        "RISE is not clearly better than every control by insertion and policy preservation."
    )
    assert last == (
        "From these 60 states of 4 episode(s) it cannot be told which of the two best is better by "
        "insertion and policy preservation: their intervals overlap; "
        "differences of pairs (evaluation.difference in Python) may tell more."
    )


def test_the_list_of_what_is_not_shown_is_complete():
    """RISE is the best by accuracy, but not clearly better than the random map by either."""
    table = {
        "rise": {"accuracy@0.1": row(0.9, 0.1), "insertion": row(0.5, 0.1)},
        "lime": {"accuracy@0.1": row(0.8, 0.01), "insertion": row(0.9, 0.01)},
        "random": {"accuracy@0.1": row(0.75, 0.08), "insertion": row(0.5, 0.1)},
    }
    assert (
        "RISE is not clearly better than every control by accuracy at 10 % and insertion."
        in said(table)
    )


@pytest.mark.parametrize(("n_features", "natural"), [(4, True), (500, False), (None, False)])
def test_maps_that_force_actions_more_often_than_a_random_one_are_named(n_features, natural):
    table = table_of("forced_action", rise=0.98, lime=0.5, random=0.52)
    states = {**STATES, "pictures": False, "n_features": n_features}
    [forced] = [each for each in compare_methods(table, states) if "Forced action" in each]
    assert "Forced action of RISE is 0.980, more than of the random map (0.520)" in forced
    assert ("natural where few features" in forced) == natural


def test_without_intervals_no_order_is_clear():
    first, *_, last = said(table_of("insertion", None, lime=0.8, rise=0.5, random=0.9))
    assert "not clearly before the next" in first and "behind, not clearly, the random map" in first
    assert last.endswith("by insertion: there are no intervals.")


def test_a_single_method_is_compared_with_the_controls_alone():
    [text] = said(table_of("insertion", lime=0.8, empty=0.5, random=0.9, gradient=0.795))
    assert text == (
        "Insertion (higher is better): LIME (0.800); it is clearly better than the empty mask "
        "(0.500), not clearly better than the plain gradient (0.795) and clearly behind the random "
        "map (0.900)."
    )


def test_the_gradient_that_was_asked_for_may_be_best():
    text, *_ = said(table_of("insertion", gradient=0.9, lime=0.8, empty=0.1, random=0.2))
    assert "Plain gradient is best (0.900), clearly before the next, LIME" in text


def test_shares_are_told_in_states():
    [text] = said(table_of("accuracy@0.1", lime=0.8, random=0.5))
    assert text == (
        "Accuracy at 10 % (higher is better): LIME. Shown only the 10 % of the observation that "
        "LIME marks highest, the agent takes the same action in 80 % of the 60 states; it is "
        "clearly better than the random map (50 %)."
    )
    first, *_ = said(table_of("accuracy", lime=0.8, rise=0.7, random=0.5))
    assert first == (
        "Accuracy (higher is better): LIME keeps the choice best; shown only what the masks of "
        "LIME keep, the agent takes the same action in 80 % of the 60 states, clearly before the "
        "next, RISE (70 %); it is clearly better than the random map (50 %)."
    )


def test_a_metric_by_which_all_are_alike_names_no_best():
    """As of an agent that always does the same."""
    first, *_ = said(table_of("accuracy@0.1", lime=1.0, rise=1.0, random=1.0, constant=1.0))
    assert first == (
        "Accuracy at 10 % (higher is better): tells nothing here, since all methods, the random "
        "map (100 %) and the constant mask (100 %) have the same."
    )
    # what is said first, and large, tells something
    both = table_of("accuracy@0.1", lime=1.0, rise=1.0, random=1.0)
    for name, row in table_of("insertion", lime=0.9, rise=0.5, random=0.4).items():
        both[name] |= row
    first, second, *_ = said(both)
    assert first.startswith("Insertion") and "tells nothing here" in second
    # an explainer that is best of the methods, and a control before it
    first, *_ = said(table_of("insertion", 0.3, lime=0.6, rise=0.5, random=0.65))
    assert "no method is better than the random map; LIME is best of them (0.600)" in first
    assert "behind, not clearly" in first
    first, *_ = said(table_of("accuracy@0.1", lime=0.5, rise=0.4, random=0.55))
    assert "no method keeps the choice better than the random map; shown only the 10 %" in first


def test_methods_whose_means_are_written_alike_are_level():
    first, *_ = said(table_of("insertion", lime=0.618, rise=0.6180000001, random=0.618))
    assert "tells nothing here" in first
    table = table_of("insertion", lime=0.618, rise=0.6180000001, sarfa=0.5, random=0.4)
    assert said(table) == [
        "Insertion (higher is better): RISE and LIME are level (0.618), clearly before the next, "
        "SARFA (0.500); they are clearly better than the random map (0.400)."
    ]
    first, *others = said(table_of("accuracy@0.1", lime=0.8, rise=0.8, random=0.79))
    assert first == (
        "Accuracy at 10 % (higher is better): LIME and RISE keep the choice as often; shown only "
        "the 10 % of the observation that LIME and RISE mark highest, the agent takes the same "
        "action in 80 % of the 60 states; they are not clearly better than the random map (79 %)."
    )
    assert others == []


@pytest.mark.parametrize("table", [table_of("insertion", empty=0.1, random=0.2), {}])
def test_of_controls_alone_nothing_is_said(table):
    assert compare_methods(table, STATES) == []


def test_other_metrics_name_no_best():
    [text] = said(table_of("sparseness", lime=0.8, rise=0.5))
    assert text.startswith("No metric that tests maps against the agent was measured")
