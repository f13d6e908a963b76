"""The policy objective against slow loops, and what it does that the paper's does not."""

import functools
import json
import math

import numpy as np
import pytest
import torch
from gymnasium import spaces

from sb3_explain.agents.action_spaces import group_sizes
from sb3_explain.common.errors import ExplainError
from sb3_explain.evaluation.evaluate import evaluate
from sb3_explain.explainers.learned.objectives.draws import draw_numbers, pick_others, pick_targets
from sb3_explain.explainers.learned.objectives.outcomes import FLOOR, BoxOutcomes, PolicyOutcomes
from sb3_explain.explainers.learned.objectives.patch_masks import average_patches
from sb3_explain.explainers.learned.objectives.policy import REGIONS, PolicyObjective, reveal
from sb3_explain.explainers.learned.outcomes import EPSILON
from sb3_explain.explainers.learned.visionmask import VisionMask
from sb3_explain.states.batch import StateBatch
from tests.explainers.known import KINDS, known_agent, known_states
from tests.toys import SIZE, dot_agent, dot_states

QUIET = {"precision": "no", "progress": False}


AGENT = dot_agent()


@functools.cache
def fitted(epochs=1, **settings):
    """A VisionMask whose baseline has no dot of its own, and states that it has not seen."""
    train, validation, test = dot_states(AGENT, 600).split((0.7, 0.15, 0.15))
    explainer = VisionMask(AGENT, max_area=0.05, baseline="black", **settings)
    explainer.fit(train, validation, epochs=epochs, **QUIET)
    return explainer, train, test


# --- masks of a share of the features ----------------------------------------------------------


def test_a_share_of_the_highest_logits_is_shown():
    torch.manual_seed(0)
    logits, drawn = torch.randn(5, 40), torch.tensor([0.0, 0.3, 0.5, 0.9, 0.9999])
    inside = torch.ones(40, dtype=torch.bool)
    inside[[3, 17]] = False
    masks = reveal(logits, inside, drawn)
    for mask, row, u in zip(masks, logits, drawn, strict=True):
        count = min(max(int(float(u) ** 2 * 38), 1), 37)
        ranked = sorted((i for i in range(40) if inside[i]), key=lambda i: -float(row[i]))
        assert set(mask.round().nonzero()[:, 0].tolist()) == set(ranked[:count])


def test_the_gradient_of_a_share_is_a_sigmoid_s():
    logits = torch.tensor([[2.0, 1.0, -1.0, -3.0]], requires_grad=True)
    masks = reveal(logits, torch.ones(4, dtype=torch.bool), torch.tensor([0.75]))  # 2 of 4
    masks[0, 1].backward()
    p = 1 / (1 + math.exp(-(1.0 - 0.0)))  # the threshold is halfway between 1 and -1
    assert logits.grad[0].tolist() == pytest.approx([0, p * (1 - p), 0, 0])


def test_a_single_feature_has_no_order():
    logits = torch.tensor([[0.7]])
    assert torch.equal(reveal(logits, torch.tensor([True]), torch.tensor([0.5])), logits.sigmoid())


def test_patches_are_means_with_linear_transitions():
    logits = torch.zeros(1, 1, 1, 8, 8)
    logits[..., :4, :4] = 16.0
    smooth = average_patches(logits, 4)[0, 0, 0]
    assert smooth[0, 0] == 16 and smooth[7, 7] == 0
    # between the centers (1.5 and 5.5) a row goes from 16 to 0
    expected = [16 * (1 - min(max((x - 1.5) / 4, 0), 1)) for x in range(8)]
    assert smooth[0].tolist() == pytest.approx(expected)
    assert average_patches(logits, 1) is logits


# --- what is drawn -----------------------------------------------------------------------------


def test_what_is_drawn_depends_on_the_positions_alone():
    positions = np.array([4, 8, 2])
    assert torch.equal(draw_numbers(positions, 2), draw_numbers(positions.copy(), 2))
    assert not torch.equal(draw_numbers(positions, 2), draw_numbers(positions[::-1].copy(), 2))


@pytest.mark.parametrize("kind", KINDS)
def test_targets_are_greedy_and_others_are_of_the_same_sub_action(kind):
    agent = known_agent(kind)
    batch = StateBatch(agent, known_states(agent, 200).observations(np.arange(200)))
    drawn = torch.rand(2, 200, generator=torch.Generator().manual_seed(0))
    picked = pick_targets(batch, drawn[0])
    others = pick_others(picked, drawn[1])
    if isinstance(agent.action_space, spaces.Box):
        assert others is None and set(picked.target.tolist()) == set(range(agent.n_targets))
        return
    sizes = group_sizes(agent.action_space)
    group = np.repeat(np.arange(len(sizes)), sizes)
    starts = np.cumsum(sizes) - sizes
    for target, other, scores in zip(
        picked.target.tolist(), others.tolist(), batch.own_target_scores, strict=True
    ):
        number = group[target]
        own = scores[starts[number] : starts[number] + sizes[number]]
        assert target - starts[number] == int(own.argmax())
        assert group[other] == number and other != target
    assert set(group[picked.target.numpy()]) == set(range(len(sizes)))
    seen = set(zip(picked.target.tolist(), others.tolist(), strict=True))
    assert all(len({o for t, o in seen if t == t0}) == sizes[group[t0]] - 1 for t0, _ in seen)


# --- the loss, state by state ------------------------------------------------------------------


def softmax(z):
    e = np.exp(np.asarray(z, dtype=float) - max(z))
    return e / e.sum()


@pytest.mark.parametrize("kind", ["discrete", "multi_discrete", "multi_binary"])
def test_what_is_kept_and_lost_equals_the_definition(kind):
    agent = known_agent(kind)
    states = known_states(agent, 12, seed=3)
    batch = StateBatch(agent, states.observations(np.arange(12)))
    targets = torch.arange(12) % agent.n_targets
    batch = batch.with_target(targets)
    rows = batch.observations * 0.4
    hidden = batch.observations * 0.1
    outcomes = PolicyOutcomes(
        batch, temperature=0.8, sharpness=0.3, blind=batch.target_scores(hidden)
    )
    read = outcomes.read({"": rows}, torch.arange(12))
    preserved, lost = outcomes.keep(read), outcomes.lose(read)
    sizes = group_sizes(agent.action_space)
    greedy = 0
    for b, target in enumerate(targets.tolist()):
        number = int(np.searchsorted(np.cumsum(sizes), target, side="right"))
        own = slice(sum(sizes[:number]), sum(sizes[: number + 1]))
        p = softmax((batch.own_target_scores[b, own] / 0.8).tolist())
        q = softmax((batch.target_scores(rows)[b, own] / 0.8).tolist())
        blind = softmax((batch.target_scores(hidden)[b, own] / 0.8).tolist())
        a = target - own.start
        everything = (p * np.log(p / blind)).sum()
        if p.argmax() == a:
            greedy += 1
            shares = np.linspace(0, 1, 100_001)[:-1]  # the last divergence is infinite
            moved = p[a] * np.log(p[a] / (p[a] + shares * (1 - p[a]))) - (1 - p[a]) * np.log1p(
                -shares
            )
            share = shares[moved <= 0.3 * everything].max()
            goal = (1 - share) * p + share * np.eye(len(p))[a]
            if share < shares[-1]:  # where the policy is nearly sure, no share is too much
                assert (p * np.log(p / goal)).sum() == pytest.approx(0.3 * everything, rel=1e-2)
            expected = (goal * np.log(goal / q)).sum()
        else:
            expected = p[a] * np.log(p[a] / q[a])
            expected += (1 - p[a]) * np.log((1 - p[a]) / (1 - q[a]))
        expected /= max(everything, FLOOR)
        assert float(preserved[b]) == pytest.approx(expected, rel=2e-3, abs=1e-4)
        assert float(lost[b]) == pytest.approx(-math.log(1 - q[a] + EPSILON), rel=1e-3)
    assert 0 < greedy < 12


def test_what_is_kept_and_lost_of_box_actions():
    agent = known_agent("box")
    batch = StateBatch(agent, known_states(agent, 6, seed=3).observations(np.arange(6)))
    batch = batch.with_target(torch.arange(6) % 3)
    rows = batch.observations * 0.9
    outcomes = BoxOutcomes(batch)
    read = outcomes.read({"": rows}, torch.arange(6))
    moved = (agent.scores(rows) - agent.scores(batch.observations))[torch.arange(6), batch.target]
    divergence = (moved / 0.2) ** 2 / 2  # deterministic: a tenth of the range as deviation
    torch.testing.assert_close(outcomes.keep(read), torch.log1p(divergence), rtol=1e-4, atol=1e-6)
    expected = -(1 - (-divergence).exp() + EPSILON).log()
    torch.testing.assert_close(outcomes.lose(read), expected, rtol=1e-4, atol=1e-5)


def spread_slowly(logit, size):
    """The highest logit of the patch around each pixel."""
    spread, far = logit.clone(), size // 2
    for channel in range(logit.shape[0]):
        for y in range(logit.shape[1]):
            for x in range(logit.shape[2]):
                near = logit[channel, max(y - far, 0) : y + far + 1, max(x - far, 0) : x + far + 1]
                spread[channel, y, x] = near.max()
    return spread


def test_the_loss_equals_the_definition_state_by_state():
    explainer, _, test = fitted()
    agent, positions = explainer.agent, np.arange(6)
    with torch.no_grad():
        ours = explainer.losses(explainer.network, test, positions)
    drawn = draw_numbers(positions, 6)
    batch = explainer.batch(test, positions)
    others = pick_others(batch, drawn[1])
    with torch.no_grad():
        logits = explainer.logits(explainer.network, batch)[""]
    assert logits.shape == (6, 3, 1, SIZE, SIZE)  # one mask for both frames
    totals = {"own": 0.0, "other": 0.0, "preserved": 0.0, "lost": 0.0, "area": 0.0}
    for b in range(6):
        for role, target, u, split in (
            ("own", int(batch.target[b]), float(drawn[2, b]), float(drawn[4, b])),
            ("other", int(others[b]), float(drawn[3, b]), float(drawn[5, b])),
        ):
            one = StateBatch(agent, test.observations([b]), target=target)
            s = one.observations
            r = explainer.baseline(s)
            logit = logits[b, target].expand(2, SIZE, SIZE)
            order = (
                spread_slowly(logit, 2 * round(SIZE / REGIONS) // 2 + 1) if split < 0.5 else logit
            )
            count = min(max(int(u**2 * logit.numel()), 1), logit.numel() - 1)
            threshold = order.flatten().sort(descending=True).values[count - 1 : count + 1].mean()
            outcomes = PolicyOutcomes(
                one, 1.0, explainer.settings.sharpness, one.target_scores({"": r})
            )
            preserved = lost = 0.0
            for m in (logit.sigmoid()[None], (order > threshold).float()[None]):
                shown, hidden = s * m + r * (1 - m), s * (1 - m) + r * m
                numbers = torch.zeros(1, dtype=torch.long)
                preserved += float(outcomes.keep(outcomes.read({"": shown}, numbers)))
                lost += float(outcomes.lose(outcomes.read({"": hidden}, numbers)))
            mean = float(logit.sigmoid().mean())
            area = mean + abs(mean - 0.05)
            totals[role] += (preserved + lost + area) / 6
            if role == "own":
                totals["preserved"] += preserved / 6
                totals["lost"] += lost / 6
                totals["area"] += area / 6
    for name in ("preserved", "lost", "area"):
        assert float(ours[name]) == pytest.approx(totals[name], rel=1e-3), name
    assert float(ours["others"]) == pytest.approx(totals["other"], rel=1e-3)
    assert float(ours["loss"]) == pytest.approx(totals["own"] + 0.5 * totals["other"], rel=1e-3)


# --- masks of a state --------------------------------------------------------------------------


def test_refined_masks_do_not_depend_on_what_is_explained_beside_them():
    explainer, _, test = fitted()
    together = explainer.attribute(test.observations(np.arange(5)))
    alone = torch.cat([explainer.attribute(test.observations([i])) for i in range(5)])
    torch.testing.assert_close(together, alone, rtol=1e-3, atol=1e-3)
    with torch.inference_mode():
        inferred = explainer.attribute(test.observations(np.arange(5)))
    torch.testing.assert_close(inferred, together, rtol=1e-3, atol=1e-3)
    everything = explainer.attribute_all(test.observations(np.arange(5)))
    chosen = everything[torch.arange(5), torch.from_numpy(test.greedy[:5])]
    torch.testing.assert_close(chosen, together, rtol=1e-3, atol=1e-3)


def test_refinement_leaves_agent_and_network_alone():
    explainer, _, test = fitted()
    weights = {name: each.clone() for name, each in explainer.network.state_dict().items()}
    agent = explainer.agent.fingerprint()
    explainer.attribute(test.observations([0, 1]))
    assert explainer.agent.fingerprint() == agent
    assert all(torch.equal(each, weights[n]) for n, each in explainer.network.state_dict().items())
    assert all(p.grad is None for p in explainer.agent.view.policy.parameters())


def test_the_own_map_beats_template_and_swapped_and_keeps_the_policy():
    """The dot decides, and it is elsewhere in every state: no template can show it."""
    explainer, train, test = fitted(epochs=3, sharpness=0.0)
    found = evaluate(
        explainer.agent, test, [explainer], {"policy_preservation@0.05": {}, "accuracy": {}},
        baseline=explainer.baselines, train=train, n_evaluated=60, n_resamples=200,
    )  # fmt: skip
    own = found.rows["visionmask"].intervals["policy_preservation@0.05"]
    swapped, template = (
        found.rows[f"visionmask {name}"].intervals["policy_preservation@0.05"]
        for name in ("swapped", "template")
    )
    assert own.high < swapped.low
    assert 2 * own.mean < template.mean
    assert found.rows["visionmask"].intervals["accuracy"].mean >= 0.98


def test_refinement_lowers_the_loss_of_states_that_were_not_learned_from():
    explainer, _, test = fitted()
    quick = VisionMask(AGENT, max_area=0.05, baseline="black", refine_steps=0)
    quick.network, quick.baselines = explainer.network, explainer.baselines
    quick.training = explainer.training
    batch = test.batch(AGENT, np.arange(20))
    objective = PolicyObjective(explainer)
    outcomes = objective.read_outcomes(batch)(batch)
    totals = []
    for one in (quick, explainer):
        logits = torch.logit(one.attribute_batch(batch)[""], eps=1e-6)
        with torch.no_grad():
            losses = [
                objective.target_loss(
                    outcomes, {"": logits}, torch.full((20,), share), torch.arange(20) % 2 == 0
                )["loss"]
                for share in (0.1, 0.3, 0.5, 0.7)
            ]
        totals.append(torch.stack(losses).mean(dim=0))
    predicted, refined = totals
    assert (refined < predicted).float().mean() >= 0.9
    assert refined.mean() < 0.9 * predicted.mean()


# --- files and settings ------------------------------------------------------------------------


def test_a_folder_of_before_is_the_paper_s(tmp_path):
    """Its file names no objective: masks of every pixel, by contrast, as they were learned."""
    explainer, _, test = fitted(**VisionMask.PAPER)
    explainer.save(tmp_path)
    path = tmp_path / "visionmask.json"
    described = json.loads(path.read_text())
    for name in ("objective", "patch_size", "sharpness", "refine_steps"):
        del described["settings"][name]
    path.write_text(json.dumps(described))
    loaded = VisionMask.load(tmp_path, explainer.agent)
    assert loaded.settings == explainer.settings
    observations = test.observations([0, 1])
    assert torch.equal(loaded.attribute(observations), explainer.attribute(observations))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"objective": "polcy"}, "did you mean 'policy'"),
        ({"patch_size": 0}, "give at least 1 pixel"),
        ({"refine_steps": -1}, "give at least 0"),
        ({"sharpness": 1.5}, r"give a share in \[0, 1\]"),
    ],
)
def test_bad_settings_are_one_line(settings, message):
    with pytest.raises(ExplainError, match=message):
        VisionMask(dot_agent(), **settings)
