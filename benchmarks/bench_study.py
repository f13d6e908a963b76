"""Whether the power of a study is what whole studies have: 300 of simulated participants.

Their answers are written as the page writes them and analyzed as a user's; the tests of the package
do the same with fewer.
"""

import tempfile

from sb3_explain import study_power
from sb3_explain.workflows.study.analysis import measure_study
from sb3_explain.workflows.study.export import export_study
from sb3_explain.workflows.study.plan import read_plan
from sb3_explain.workflows.study.simulation import simulate_answers
from tests.workflows.study.toys import make_agent

PEOPLE, STATES, EFFECT, STUDIES = 60, 9, 0.2, 300


def run(record) -> None:
    with tempfile.TemporaryDirectory() as folder:
        export_study(
            make_agent(), folder, explainers="gradient", n_states=STATES, n_played=400,
            progress=False,
        )  # fmt: skip
        plan, key = read_plan(folder)
    n_found = 0
    for seed in range(STUDIES):
        answers = simulate_answers(plan, key, PEOPLE, {"gradient": EFFECT}, seed=seed)
        results = measure_study(answers, plan, key, n_resamples=20)
        (first, *_) = results.comparisons["gain"]
        assert (first.arm, first.other) == ("gradient", "no_map")
        n_found += first.p_holm < 0.05 and first.difference > 0
    said = study_power(PEOPLE, n_states=STATES, effect=EFFECT, n_simulations=1500, seed=1)
    record("study.power_said", said.power, "share")
    record("study.power_of_whole_studies", n_found / STUDIES, "share")
    record("study.power_difference", abs(n_found / STUDIES - said.power), "share", "<= 0.05")
