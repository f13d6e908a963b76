"""What a study asks: questions whose answers are true, on a page that does not hold them."""

import dataclasses
import json
import re
from collections import Counter

import numpy as np
import pytest
import torch
from stable_baselines3 import PPO

from sb3_explain import Agent, ExplainError, StateDataset, export_study
from sb3_explain.states.baselines import make_baselines
from sb3_explain.workflows.study.arms import draw_surrogate
from sb3_explain.workflows.study.export import write_study
from sb3_explain.workflows.study.plan import KEY, NO_MAP, read_plan
from sb3_explain.workflows.study.regions import find_region_questions
from sb3_explain.workflows.study.states import choose_states, find_candidates, name_answers
from tests.toys import SIZE
from tests.workflows.study.conftest import export
from tests.workflows.study.toys import make_agent


def read_data(page):
    """The data of a page, which its script reads."""
    text = page.read_text(encoding="utf-8")
    return json.loads(re.search(r'id="study-data">(.*?)</script>', text, re.DOTALL)[1])


def open_states(exported):
    return StateDataset.open(exported.folder / "states")


def test_nine_states_and_four_arms(exported):
    plan, key = exported.plan, exported.key
    assert len(plan.of_task("predict")) == len(plan.of_task("opinion")) == 9
    assert set(key.arms.values()) == {NO_MAP, "gradient", "random_map", "randomized_agent"}
    assert set(key.arms) == set("ABCD") and plan.groups == 4
    # each arm is shown in each state to one group, and each group sees each arm
    for question in plan.of_task("predict"):
        assert sorted(question.arms) == list("ABCD")
    for group in range(4):
        seen = Counter(one.arms[group] for one in plan.of_task("predict"))
        assert set(seen.values()) <= {2, 3}
        asked = [one for one in plan.of_task("opinion") if one.arms[group] is not None]
        assert len(asked) in (6, 7)  # not in the arm without a map
    states = [tuple(one.state.values()) for one in plan.questions
              if one.task in ("predict", "opinion")]  # fmt: skip
    assert len(set(states)) == 18  # a state that shows the action is no other question's
    assert "random maps look like those of gradient" in str(exported.study)


def test_the_answers_are_what_the_agent_does(exported):
    states, agent = open_states(exported), make_agent()
    for question in exported.plan.of_task("predict"):
        action = agent.greedy(states.observations([question.state["position"]]))
        assert exported.key.truths[question.name] == int(action)
        assert states.episode[question.state["position"]] == question.state["episode"]


def test_states_are_of_all_actions_and_of_many_episodes(exported):
    predicted = exported.plan.of_task("predict")
    counts = Counter(exported.key.truths[one.name] for one in predicted)
    assert set(counts.values()) == {3}
    assert len({one.state["episode"] for one in predicted}) >= 6


@pytest.fixture(scope="module")
def candidates(exported):
    agent, states = make_agent(), open_states(exported)
    answers, rng = name_answers(agent, {}), np.random.default_rng(0)
    positions = np.arange(len(states))
    return states, find_candidates(states, agent, positions, answers, rng), answers


def test_the_right_region_changes_the_action_and_no_other_does(candidates):
    states, found, answers = candidates
    agent = make_agent()
    baselines = make_baselines(agent, "background", states)
    asked = find_region_questions(
        states, agent, found, answers, baselines, np.random.default_rng(0)
    )
    assert sum(one is not None for one in asked) >= 8
    edges = np.arange(8) * SIZE // 7
    for position, one in zip(found.positions, asked, strict=True):
        observed = states.observations([position]).float()
        replaced = baselines[""](observed).float()
        before = int(agent.greedy(observed))
        for number, region in enumerate(() if one is None else one.regions):
            row, column = divmod(region, 7)
            rows, columns = (slice(edges[i], edges[i + 1]) for i in (row, column))
            without = observed.clone()
            without[..., rows, columns] = replaced[..., rows, columns]
            assert (int(agent.greedy(without)) != before) == (number == one.truth)
            assert not torch.equal(without, observed)


def test_near_states_are_not_chosen_twice(candidates):
    _, found, _ = candidates
    chosen = found.subset(choose_states(found, 12, np.random.default_rng(0)))
    for i in range(12):
        others = np.arange(12) != i
        assert (np.abs(chosen.pixels[others] - chosen.pixels[i]).max(axis=1) > 2).all()
        same = others & (chosen.episodes == chosen.episodes[i])
        assert (np.abs(chosen.steps[same] - chosen.steps[i]) >= 8).all()
    few = found.subset([0, 0, 0, 1])
    with pytest.raises(ExplainError, match="only 2 states differ enough for the 3 "):
        choose_states(few, 3, np.random.default_rng(0))


def test_the_page_does_not_depend_on_the_answers(exported, tmp_path):
    plan, asked, letters = exported.args[1:]
    turned = [
        dataclasses.replace(one, truth=(one.truth + 1) % len(one.question.options))
        if one.truth is not None
        else one
        for one in asked
    ]
    study = write_study(tmp_path, plan, turned, letters, **exported.options)
    assert study.page.read_bytes() == exported.study.page.read_bytes()
    assert read_plan(tmp_path)[1].truths != exported.key.truths


def test_the_page_names_neither_arms_nor_answers(exported):
    data = read_data(exported.study.page)
    allowed = {
        "name", "task", "options", "arms", "after", "text", "now", "before", "overlays",
        "numbered", "action",
    }  # fmt: skip
    for one in data["questions"]:
        assert set(one) <= allowed
        assert ("action" in one) == (one["task"] == "opinion")
    del data["pictures"]
    text = json.dumps(data)
    assert not any(name in text for name in exported.key.arms.values())
    assert data["id"] == exported.plan.study


def test_a_random_map_has_the_values_of_the_other_and_its_smoothness():
    y, x = np.mgrid[:42, :42]
    blurred = np.exp(-((y - 12) ** 2 + (x - 28) ** 2) / 50).astype(np.float32)
    drawn = draw_surrogate(blurred, np.random.default_rng(0))
    assert np.array_equal(np.sort(drawn, axis=None), np.sort(blurred, axis=None))
    assert abs(np.corrcoef(drawn.ravel(), blurred.ravel())[0, 1]) < 0.5

    def roughness(values):
        return np.abs(np.diff(values)).mean()

    shuffled = np.random.default_rng(0).permutation(blurred.ravel()).reshape(42, 42)
    assert roughness(drawn) < 0.5 * roughness(shuffled)


def test_actions_of_the_same_words_are_one_answer(tmp_path, monkeypatch):
    words = {"left": "move", "right": "move"}
    made = export(tmp_path, monkeypatch, words=words, n_states=4, design="between")
    question = made.plan.of_task("predict")[0]
    assert question.options == ("move", "stay") and question.arms == tuple("ABCD")
    actions = {made.key.truths[one.name] for one in made.plan.of_task("predict")}
    assert actions == {0, 1}


def test_which_of_two_agents_acts(tmp_path, monkeypatch):
    other = make_agent(gain=-60.0)
    made = export(tmp_path, monkeypatch, other=other, n_states=3, n_opinions=0)
    states = open_states(made)
    shown = [one for one in made.args[2] if one.question.task == "agent"]
    assert len(shown) == 4
    acting = set()
    for one in shown:
        observed = states.observations([one.question.state["position"]])
        doing = [each.target_names[int(each.greedy(observed))] for each in (make_agent(), other)]
        assert doing[0] != doing[1]
        acting.add((doing.index(one.shown.scene.action), one.truth))
    assert len(acting) == 2  # each agent is one of the two options throughout
    assert len(read_data(made.study.page)["examples"]) == 2


def test_what_no_study_can_be_made_of(tmp_path):
    cart = Agent.from_model(PPO("MlpPolicy", "CartPole-v1", n_steps=64, device="cpu"))
    with pytest.raises(ExplainError, match="shows pictures: this agent observes none"):
        export_study(cart, tmp_path)
    agent = make_agent()
    with pytest.raises(ExplainError, match=r"unknown design 'withn'; did you mean 'within'"):
        export_study(agent, tmp_path, design="withn")
    with pytest.raises(ExplainError, match="begins with https://"):
        export_study(agent, tmp_path, post="https://a.b; script-src *")
    with pytest.raises(ExplainError, match="unknown action 'lef'"):
        export_study(agent, tmp_path, words={"lef": "x"})
    with pytest.raises(ExplainError, match="two different answers"):
        export_study(agent, tmp_path, words=dict.fromkeys(agent.target_names, "x"))
    assert not list(tmp_path.iterdir())


def test_a_changed_plan_and_another_key_are_refused(exported, tmp_path):
    plan, asked, letters = exported.args[1:]
    write_study(tmp_path, plan, asked, letters, **exported.options)
    key = tmp_path / "study" / KEY
    content = key.read_text()
    key.write_text(content.replace(exported.plan.study, "0" * 16))
    with pytest.raises(ExplainError, match="key of another study"):
        read_plan(tmp_path)
    key.write_text("\n".join(content.splitlines()[:-1]))
    with pytest.raises(ExplainError, match="has not all arms and answers"):
        read_plan(tmp_path)
    key.write_text(content.replace("answer,predict-1,", "answer,predict-1,9"))
    with pytest.raises(ExplainError, match="damaged"):
        read_plan(tmp_path)
    path = tmp_path / "study" / "plan.json"
    path.write_text(path.read_text().replace('"within"', '"between"'))
    with pytest.raises(ExplainError, match="changed after the export"):
        read_plan(tmp_path)
    with pytest.raises(ExplainError, match="holds no study"):
        read_plan(tmp_path / "none")
