"""Simulated answers are analyzed: the numbers are those of loops, the tests find what is there."""

import copy
import json

import numpy as np
import pandas as pd
import pytest

from sb3_explain import ExplainError, analyze_study, study_power
from sb3_explain.common.crossed import bound_over_both, bound_over_participants
from sb3_explain.workflows.study.analysis import measure_study
from sb3_explain.workflows.study.comparing import compare_arms, list_pairs
from sb3_explain.workflows.study.power import draw_arms, name_arms
from sb3_explain.workflows.study.simulation import (
    People,
    draw_items,
    draw_predictions,
    expect_gain,
    find_chances,
    simulate_answers,
)

EFFECTS = {"gradient": 0.35, "randomized_agent": 0.05}


@pytest.fixture(scope="module")
def files(exported):
    return simulate_answers(exported.plan, exported.key, 60, EFFECTS, careless=4, seed=1)


@pytest.fixture(scope="module")
def results(exported, files, tmp_path_factory):
    folder = tmp_path_factory.mktemp("answers")
    for number, data in enumerate(files):
        (folder / f"{number}.json").write_text(json.dumps(data))
    return analyze_study(exported.folder, folder, n_resamples=300)


def list_answers(exported, files):
    """All answers in a frame, by a loop: the arm, whether it is right, and by whom."""
    return pd.DataFrame(
        {
            **one,
            "participant": data["participant"],
            "task": one["question"].partition("-")[0],
            "arm": exported.key.arms.get(one["arm"]),
            "right": one["response"] == exported.key.truths.get(one["question"], 0),
        }
        for data in files
        for one in data["answers"]
    )


def test_means_and_counts_are_those_of_a_loop(exported, files, results):
    frame = list_answers(exported, files[4:])  # the first four were careless
    assert results.n_participants == 56 and results.n_excluded == 4
    means = {(row["outcome"], row["arm"]): row for row in results.means}
    for (arm, part), some in frame[frame.task == "predict"].groupby(["arm", "part"]):
        row = means[part, arm]
        assert row["mean"] == pytest.approx(some.right.mean())
        assert row["answers"] == len(some)
        assert row["low"] < row["mean"] < row["high"]
        assert row["low_both"] <= row["low"] + 1e-9
    for arm, some in frame[frame.task == "region"].groupby("arm"):
        assert means["region", arm]["mean"] == pytest.approx(some.right.mean())
    for row in results.opinions:
        asked = frame[(frame.task == "opinion") & (frame.arm == row["arm"])]
        if row["question"] != "all":
            asked = asked[asked.question == row["question"]]
        assert (row["responses"], row["positive"]) == (len(asked), (asked.response == 0).sum())
        assert 0 <= row["low"] <= row["share"] <= row["high"] <= 1
    assert not any(row["arm"] == "no_map" for row in results.opinions)


def test_changes_and_ranking_are_those_of_a_loop(exported, files, results):
    frame = list_answers(exported, files[4:])
    predicted = frame[frame.task == "predict"]
    wide = predicted.pivot(index=["participant", "question", "arm"], columns="part", values="right")
    for row in results.changes:
        some = wide.xs(row["arm"], level="arm")
        assert row["became right"] == (~some.before & some.after).sum()
        assert row["became wrong"] == (some.before & ~some.after).sum()
    right, wrong = (
        predicted.confidence[predicted.right == one].to_numpy() for one in (True, False)
    )
    pairs = (right[:, None] > wrong) + 0.5 * (right[:, None] == wrong)
    assert results.ranking.mean == pytest.approx(pairs.mean())
    assert results.ranking.low > 0.5  # simulated people are surer of right answers


def test_a_large_effect_is_found_and_the_placebos_is_not(results):
    compared = {(one.arm, one.other): one for one in results.comparisons["gain"]}
    assert set(compared) == set(list_pairs(results.arms))
    for other in ("no_map", "random_map", "randomized_agent"):
        one = compared["gradient", other]
        assert one.p_holm < 0.05 and one.low > 0.1 and one.test == "permutation"
    assert compared["random_map", "no_map"].p_holm > 0.05
    assert "predictions of the agent's next action gain +" in results.sentences()[0]
    assert any("4 failed an attention check" in said for said in results.sentences())


def test_the_page_the_table_and_the_figures(results, tmp_path):
    page = results.save(tmp_path)
    names = {each.name for each in tmp_path.iterdir()}
    assert names == {
        "results.html", "results.json", "results.csv", "gain.png", "right.png", "opinions.png",
    }  # fmt: skip
    assert "In short" in page.read_text(encoding="utf-8")
    data = json.loads((tmp_path / "results.json").read_text())
    assert data["sentences"] == results.sentences() and data["n_excluded"] == 4
    table = pd.read_csv(tmp_path / "results.csv")
    assert len(table[(table.kind == "comparison") & (table.outcome == "gain")]) == 5


def test_few_participants_are_said_to_be_few(exported, tmp_path):
    paths = []
    for data in simulate_answers(exported.plan, exported.key, 6, {}, seed=3):
        paths.append(tmp_path / f"{data['participant']}.json")
        paths[-1].write_text(json.dumps(data))
    results = analyze_study(exported.folder, paths, n_resamples=100)
    assert results.power.power < 0.3
    assert "These are too few participants" in str(results)
    one = analyze_study(exported.folder, paths[:1], n_resamples=100)
    assert one.n_participants == 1 and np.isnan(one.means[0]["low"])
    one.save(tmp_path / "one")


def change(field, value, *, answer=False):
    def spoil(data):
        (data["answers"][0] if answer else data)[field] = value

    return spoil


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (change("study", "0" * 16), "answers to another study"),
        (change("group", 9), "no group 9"),
        (change("format", 2), "damaged"),
        (change("answers", None), "damaged"),
        (change("question", "predict-99", answer=True), "no question 'predict-99'"),
        (change("response", 3, answer=True), "has no option 3"),
        (change("arm", "Z", answer=True), "another arm"),
        (change("confidence", 6, answer=True), "damaged"),
        (change("part", "", answer=True), "has no part"),
        (lambda data: data["answers"].append(data["answers"][0]), "is answered twice"),
    ],
)
def test_damaged_answers_are_refused_in_one_line(exported, files, tmp_path, spoil, said):
    data = copy.deepcopy(files[9])
    spoil(data)
    path = tmp_path / "answers.json"
    path.write_text(json.dumps(data))
    with pytest.raises(ExplainError, match=said) as caught:
        analyze_study(exported.folder, path)
    assert "\n" not in str(caught.value)


def test_other_bad_input_is_refused_in_one_line(exported, files, tmp_path):
    for name, data in (("a", files[9]), ("b", files[9]), ("c", files[0])):
        (tmp_path / f"{name}.json").write_text(json.dumps(data))
    (tmp_path / "d.json").write_text('{"format": 1, ')
    a, b, c, d = (tmp_path / f"{name}.json" for name in "abcd")
    with pytest.raises(ExplainError, match=r"answered twice \(a.json and b.json\)"):
        analyze_study(exported.folder, [a, b])
    with pytest.raises(ExplainError, match="is damaged"):
        analyze_study(exported.folder, [a, d])
    with pytest.raises(ExplainError, match="there are no answers"):
        analyze_study(exported.folder, [])
    with pytest.raises(ExplainError, match="all 1 participants failed an attention check"):
        analyze_study(exported.folder, c)
    assert analyze_study(exported.folder, c, keep_failed=True, simulate=False).n_participants == 1
    with pytest.raises(ExplainError, match="holds no study"):
        analyze_study(tmp_path, a)


def test_between_participants_groups_are_compared_by_ranks():
    arms, rng = name_arms(4), np.random.default_rng(0)
    given = draw_arms(arms, np.repeat(np.arange(4), 20), 9, "between")
    assert (given == given[:, :1]).all()
    items = np.zeros(9)
    before, after = draw_predictions(
        People(spread_items=0), items, np.where(given == 1, 0.4, 0.0), 80, rng
    )
    found = compare_arms(after - before, given, arms, "between", n_resamples=300)
    assert found[0].test == "Mann-Whitney" and found[0].p_holm < 0.001
    assert found[0].low < found[0].difference < found[0].high and found[0].effect > 0.5
    means = (after - before).reshape(4, 20, 9).mean(axis=(1, 2))
    assert found[0].difference == pytest.approx(means[1] - means[0])


def test_power_grows_with_people_and_is_the_level_without_an_effect():
    powers = [study_power(n, n_states=8, effect=0.2, n_simulations=150) for n in (10, 30, 90)]
    assert powers[0].power < powers[1].power < powers[2].power
    assert all(one.low <= one.power <= one.high for one in powers)
    assert study_power(40, effect=0.0, n_simulations=300).power < 0.05
    between = study_power(120, effect=0.3, design="between", n_simulations=100)
    assert between.power > 0.8


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"n_participants": 1}, "n_participants=1"),
        ({"accuracy": 1.0}, "between 0 and 1"),
        ({"n_states": 3}, "at least 4"),
        ({"design": "x"}, "unknown design"),
        ({"effect": 2.0}, "effect=2.0"),
    ],
)
def test_power_of_nothing_is_refused(options, said):
    with pytest.raises(ExplainError, match=said):
        study_power(**{"n_participants": 20, **options})


@pytest.mark.slow
def test_the_power_is_that_of_whole_analyses(exported):
    """300 studies, of answers as the page writes them, find the effect as often as was said."""
    n_found = 0
    for seed in range(300):
        files = simulate_answers(exported.plan, exported.key, 60, {"gradient": 0.2}, seed=seed)
        results = measure_study(files, exported.plan, exported.key, n_resamples=20)
        first = results.comparisons["gain"][0]
        assert (first.arm, first.other) == ("gradient", "no_map")
        n_found += first.p_holm < 0.05 and first.difference > 0
    said = study_power(60, n_states=9, effect=0.2, n_simulations=1500, seed=1)
    assert n_found / 300 == pytest.approx(said.power, abs=0.05)


@pytest.mark.slow
def test_intervals_cover_the_truth_as_often_as_they_say():
    """900 studies: the intervals of means hold the truth in 92 to 98 %; of differences, in 300."""
    people, arms, n_people, n_items, effect = People(), name_arms(4), 60, 20, 0.2
    rng = np.random.default_rng(0)
    items = draw_items(people, n_items, rng)
    many = draw_items(people, 4000, np.random.default_rng(1))
    ability = np.random.default_rng(2).normal(0, people.spread_participants, 4000)
    truths = {
        "gain": expect_gain(people, items, effect),
        "accuracy": find_chances(people, items, ability).mean(),
        "gain of others": expect_gain(people, many, effect, n=4000),
        "accuracy of others": find_chances(people, many, ability).mean(),
        "difference": expect_gain(people, items, effect),
    }
    covered = {name: [] for name in truths}
    for number in range(900):
        given = draw_arms(arms, rng.integers(4, size=n_people), n_items, "within")
        effects = np.where(given == 1, effect, 0.0)
        before, after = draw_predictions(people, items, effects, n_people, rng)
        found = {
            "gain": bound_over_participants(np.where(given == 1, after - before, np.nan)),
            "accuracy": bound_over_participants(np.where(given == 1, before, np.nan)),
        }
        if number % 3 == 0:
            options = {"n_permutations": 9, "n_resamples": 400}
            gains = after - before
            found["difference"] = compare_arms(gains, given, arms, "within", **options)[0]
        others = draw_items(people, n_items, rng)
        before, after = draw_predictions(people, others, effects, n_people, rng)
        found |= {
            "gain of others": bound_over_both(np.where(given == 1, after - before, np.nan)),
            "accuracy of others": bound_over_both(np.where(given == 1, before, np.nan)),
        }
        for name, interval in found.items():
            covered[name].append(interval.low <= truths[name] <= interval.high)
    shares = {name: float(np.mean(each)) for name, each in covered.items()}
    print(shares)
    assert all(0.92 <= share <= 0.98 for share in shares.values()), shares
