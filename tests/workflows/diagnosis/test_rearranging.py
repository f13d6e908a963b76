"""What rearranged agents say, what evidence draws, and what a page of a diagnosis holds."""

import numpy as np
import torch
from PIL import Image

from sb3_explain import Interval
from sb3_explain.report.diagnosis_figure import BEYOND, MOST, WITHIN, Bars, diagnosis_figure
from sb3_explain.report.diagnosis_page import write_diagnosis_page
from sb3_explain.workflows.diagnosis.repairs import rearrange_actions, transform_observations
from tests.toys import dot_agent, dot_states


def test_a_rearranged_agent_has_the_scores_in_the_other_order_and_leaves_the_first_as_it_is():
    agent = dot_agent()
    observations = agent.tensor(dot_states(agent, 6).observations(np.arange(6)))
    own = agent.scores(observations).clone()
    rearranged = rearrange_actions(agent, [2, 0, 1], [1.0, -1.0, 1.0])
    by_hand = torch.stack([own[:, 2], -own[:, 0], own[:, 1]], dim=1)
    assert torch.equal(rearranged.scores(observations), by_hand)
    scores, values = rearranged.scores_and_values(observations)
    assert torch.equal(scores, by_hand) and torch.equal(values, agent.values(observations))
    assert torch.equal(agent.scores(observations), own)


def test_bars_of_intervals_are_their_means_and_ends():
    found = {"a": Interval(0.5, 0.25, 1.0, 9), "b": Interval(-1.0, -2.0, 0.0, 9)}
    bars = Bars.of_intervals("title", "unit", found, limit=0.4, beyond=[True, False])
    assert (list(bars.labels), list(bars.values)) == (["a", "b"], [0.5, -1.0])
    assert (list(bars.lows), list(bars.highs)) == ([0.25, -2.0], [1.0, 0.0])


def has_color(png, folder, color):
    (folder / "bars.png").write_bytes(png)
    pixels = np.asarray(Image.open(folder / "bars.png").convert("RGB")).reshape(-1, 3)
    return bool((pixels == [int(color[i : i + 2], 16) for i in (1, 3, 5)]).all(axis=1).any())


def test_a_bar_beyond_its_limit_is_red_though_it_is_the_smallest_of_many(tmp_path):
    names = [str(i) for i in range(MOST + 4)]
    values = [float(i + 1) for i in range(MOST + 4)]
    healthy = diagnosis_figure([Bars("title", "unit", names, values)])
    sick = diagnosis_figure(
        [Bars("title", "unit", names, values, beyond=[i == 0 for i in range(MOST + 4)])]
    )
    assert has_color(healthy, tmp_path, WITHIN) and not has_color(healthy, tmp_path, BEYOND)
    assert has_color(sick, tmp_path, WITHIN) and has_color(sick, tmp_path, BEYOND)


def test_what_agents_and_features_are_called_is_text_on_the_page(tmp_path):
    evil = "<script>alert(1)</script>"
    finding = dict.fromkeys(("said", "name", "severity", "sure", "number", "next_step"), evil)
    path = write_diagnosis_page(
        tmp_path / "diagnosis.html", title=evil, summary=evil, findings=[(finding, None)],
        looks=[(evil, evil, None)], skipped={evil: evil}, provenance={"Agent": {evil: evil}},
    )  # fmt: skip
    page = path.read_text()
    assert evil not in page and page.count("&lt;script&gt;alert(1)") >= 10


def test_an_agent_of_transformed_observations_says_what_it_says_of_them():
    agent = dot_agent()
    observations = agent.tensor(dot_states(agent, 6).observations(np.arange(6)))
    transformed = transform_observations(agent, lambda batch: batch.observations * 0.5)
    scores, values = transformed.scores_and_values(observations)
    by_hand = agent.scores_and_values(observations * 0.5)
    assert torch.equal(scores, by_hand[0]) and torch.equal(values, by_hand[1])
    assert not torch.equal(agent.scores(observations), scores)
