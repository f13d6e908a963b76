"""What a page plays: which steps, their numbers, their maps, and what is tried without regions."""

import dataclasses

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from sb3_explain import Agent, ExplainError, Gradient, collect
from sb3_explain.agents.value_units import ValueUnits
from sb3_explain.explainers.make import make_explainer
from sb3_explain.report.viewer.encode import describe_playback
from sb3_explain.report.viewer.playback import Episode, list_first_steps, list_steps_to
from sb3_explain.states.baselines import make_baselines
from sb3_explain.states.dataset import StateDataset
from sb3_explain.workflows.playback import choose_stride, make_playback
from sb3_explain.workflows.removal import REGIONS
from sb3_explain.workflows.step_columns import (
    compute_columns,
    describe_drawing,
    describe_value,
    list_bookmarks,
    mark_losses,
)
from sb3_explain.workflows.whole_episodes import (
    choose_first,
    choose_steps,
    describe_episodes,
    find_losses,
    play_whole_episodes,
)
from tests.toys import SIZE, dot_agent


def make_states(lengths, rewards, ended=None, values=None):
    n = sum(lengths)
    columns = {} if ended is None else {"ended": np.repeat(ended, lengths).astype(np.uint8)}
    return StateDataset.from_arrays(
        np.zeros((n, 4), np.float32),
        np.repeat(np.arange(len(lengths)), lengths),
        np.zeros(n, int),
        rewards=np.asarray(rewards, np.float32),
        values=np.zeros(n, np.float32) if values is None else np.asarray(values, np.float32),
        scores=np.zeros((n, 3), np.float32),
        **columns,
    )


def test_all_steps_are_shown_where_there_is_room():
    positions, episodes = choose_steps(make_states([3, 2, 4], np.ones(9)), 20)
    assert positions.tolist() == list(range(9))
    assert [(one.start, one.stop, one.total) for one in episodes] == [
        (0, 3, 3),
        (3, 5, 2),
        (5, 9, 4),
    ]
    # of states that do not say how they end, the last episode goes on
    assert [one.ended for one in episodes] == ["ended", "ended", "unfinished"]
    assert [one.over for one in episodes] == [True, True, False]


def test_the_ends_of_the_worst_and_the_best_episode_are_shown_first():
    lengths = [10, 10, 10, 10, 10]
    rewards = np.repeat([3.0, -5.0, 9.0, 1.0, 99.0], lengths)
    states = make_states(lengths, rewards, ended=[1, 2, 1, 1, 0])
    positions, episodes = choose_steps(states, 12)
    # 4 steps each of the worst (1), the best that is over (2), and the first of the others (0)
    assert positions.tolist() == [6, 7, 8, 9, 16, 17, 18, 19, 26, 27, 28, 29]
    assert [one.first for one in episodes[:3]] == [6, 6, 6]
    assert [one.stop - one.start for one in episodes] == [4, 4, 4, 0, 0]
    assert [one.length for one in episodes] == lengths
    assert episodes[1].ended == "time limit" and episodes[4].ended == "unfinished"


@pytest.mark.parametrize(
    ("lost", "n", "first"),
    [
        ([], 100, 900),  # the end
        ([990], 100, 900),  # which shows it, too
        ([400], 100, 370),  # the 30 steps before it, and what follows
        ([400, 450, 800], 100, 370),  # more at once
        ([400, 450, 800, 850], 100, 770),  # the later of two
        ([10], 100, 900),  # too early to see what came before
        ([400], 20, 390),  # half of few steps come before it
        (range(0, 1000, 10), 100, 900),  # not where every tenth step loses
        ([400], 1000, 0),
        ([400], 0, 1000),
    ],
)
def test_of_a_long_episode_the_steps_that_lose_are_shown(lost, n, first):
    rewards = np.zeros(1000)
    rewards[list(lost)] = -1
    assert choose_first(find_losses(rewards).tolist(), len(rewards), n) == first


def test_episodes_name_the_steps_that_lose():
    rewards = np.zeros(90)
    rewards[[7, 39, 50]] = -1, -1, 1
    _, episodes = choose_steps(make_states([40, 50], rewards), 10)
    assert [one.losses for one in episodes] == [(7, 39), ()]


def test_shaped_rewards_are_no_losses():
    """As of a landing: the lowest reward of every step's own is no loss, nor is a step's cost."""
    rng = np.random.default_rng(0)
    assert not len(find_losses(rng.normal(0, 2, 300)))
    assert not len(find_losses(np.r_[rng.normal(1, 0.3, 299), -3.75]))
    # of an agent that stands still most of the time
    assert not len(find_losses(np.r_[np.zeros(200), rng.normal(1, 0.3, 20), -0.13]))
    assert find_losses(np.r_[np.full(99, -0.02), -1]).tolist() == [99]  # lava, after steps' costs
    assert not len(find_losses(np.full(99, -1.0))) and not len(find_losses(np.zeros(0)))


def test_what_a_short_episode_leaves_goes_to_the_others():
    states = make_states([2, 10, 10], np.repeat([-1.0, 5.0, 0.0], [2, 10, 10]), ended=[1, 1, 1])
    _, episodes = choose_steps(states, 12)
    assert [one.stop - one.start for one in episodes] == [2, 5, 5]


def test_episodes_are_told_in_words():
    rewards = np.repeat([3.0, -5.0, 9.0, 1.0], 10)
    states = make_states([10] * 4, rewards, ended=[1, 2, 1, 0])
    assert describe_episodes(states) == (
        "3 whole episode(s), returns -50 to 90 (median 30): 1 by a time limit, 2 ended; the worst: "
        "episode 1 (-50, time limit), episode 0 (30, ended), episode 2 (90, ended)"
    )
    going_on = describe_episodes(make_states([10], np.ones(10), ended=[0]))
    assert going_on == "no episode is over after 10 states: return 10 so far"


@pytest.mark.parametrize(
    ("units", "gamma", "scale"),
    [
        (ValueUnits(), 0.99, 1.0),
        (ValueUnits(discount=0.8, reward_scale=5.0), 0.8, 5.0),
        (ValueUnits(discount=0.5), 0.5, 1.0),
    ],
)
def test_columns_are_those_of_a_loop(units, gamma, scale):
    rng = np.random.default_rng(0)
    lengths, ended = [4, 3, 5], [1, 2, 0]
    rewards, values = rng.normal(size=12), rng.normal(size=12)
    states = make_states(lengths, rewards, ended, values)
    agent = dot_agent()
    agent.value_units = units
    columns = compute_columns(agent, states)
    rewards, values = rewards.astype(np.float32), scale * values.astype(np.float32)
    assert columns["value"] == pytest.approx(values)
    start = 0
    for length, ending in zip(lengths, ended, strict=True):
        for i in range(length):
            at = start + i
            come, last = 0.0, length - 1 - i
            for j in range(length - i):
                come += gamma**j * rewards[at + j]
            if ending != 1:  # what would follow is worth the last value
                weight = gamma ** (last + 1)
                come = np.nan if weight > 0.25 else come + weight * values[start + length - 1]
            assert columns["return_to_come"][at] == pytest.approx(come, rel=1e-5, nan_ok=True)
            if i < length - 1:
                expected = rewards[at] + gamma * values[at + 1] - values[at]
                assert columns["advantage"][at] == pytest.approx(expected, rel=1e-5)
            elif ending == 1:
                assert columns["advantage"][at] == pytest.approx(rewards[at] - values[at], rel=1e-5)
            else:
                assert np.isnan(columns["advantage"][at])
        start += length
    assert columns["entropy"] == pytest.approx(np.log(3), rel=1e-5)


def test_the_value_is_compared_where_the_return_is_known_and_in_all_steps():
    """An agent whose value is 1 too high, and cuts the second episode short."""
    rewards = np.ones(12)
    come = [sum(0.5**j for j in range(8 - i)) for i in range(8)]
    states = make_states([8, 4], rewards, [1, 0], [*(1 + np.array(come)), 0, 0, 0, 0])
    agent = dot_agent()
    agent.value_units = ValueUnits(discount=0.5)
    columns = compute_columns(agent, states)
    # of the second episode, the first three have at most a quarter of the last one's value, 0
    known = [*come, 1.875, 1.75, 1.5]
    assert columns["return_to_come"] == pytest.approx([*known, np.nan], nan_ok=True)
    said, one_scale = describe_value(agent, columns, states.episode)
    assert one_scale and " Of 11 steps of 2 episodes whose return is known (the others " in said
    columns = compute_columns(agent, make_states([8], rewards[:8], [1], 1 + np.array(come)))
    said, _ = describe_value(agent, columns, np.zeros(8))
    middle = np.mean(come)
    assert said.endswith(
        f" Of 8 steps of 1 episode whose return is known, on average the value is 1 too high "
        f"({1 + middle:.2f}, and {middle:.2f} came); rank correlation 1.00."
    ), said


def test_values_of_scaled_rewards_are_said_to_be_on_a_scale_of_their_own():
    states = make_states([8], np.ones(8), [1], 100 * np.arange(8))
    said, one_scale = describe_value(dot_agent(), compute_columns(dot_agent(), states), np.zeros(8))
    assert not one_scale and "is far from the return (" in said
    assert said.endswith("rank correlation -1.00.")


def test_what_is_not_finite_is_left_out():
    states = make_states([3], np.ones(3), values=[np.nan] * 3)
    assert set(compute_columns(dot_agent(), states)) == {"reward", "entropy"}


def test_states_of_arrays_may_have_no_rewards_and_no_values(played):
    agent, states = played
    few = states.subset(np.arange(8))
    bare = StateDataset.from_arrays(
        few.frames(), few.episode, few.greedy, n_stack=2,
        actions=few.actions, scores=few.column("scores"),
    )  # fmt: skip
    playback = make_playback(bare, {}, agent=agent, progress=False)
    playback.require_whole()
    assert set(playback.columns) == {"entropy"}
    assert np.isnan(playback.episodes[0].total)
    assert [one.label for one in playback.bookmarks] == []  # it is not over


def play_with(behavior, *, actions=(0, 1), **changes):
    """Two states of which 0 is the greedy action, played as the store says."""
    states = StateDataset.from_arrays(
        np.zeros((2, 4), np.float32), np.zeros(2, int), np.zeros(2, int), actions=np.array(actions),
        scores=np.zeros((2, 3), np.float32),
    )  # fmt: skip
    states.provenance = {"behavior": behavior, **changes} if behavior else {}
    return states


@pytest.mark.parametrize(
    ("states", "by_value", "said"),
    [
        (play_with("stochastic", actions=(0, 0)), False, "Actions are drawn from these"),
        (play_with("greedy"), False, "The most probable action is taken."),
        # what nobody wrote down shows where another action is taken
        (play_with("zoo"), False, "Actions are drawn from these probabilities."),
        (play_with("", actions=(0, 0)), False, "The most probable action is taken."),
        (play_with("zoo"), True, "The action of the highest value is taken, but at times a random"),
        (play_with("epsilon", epsilon=0.05), False, "but at times (probability 0.05) a random one"),
    ],
)
def test_how_actions_are_drawn_is_said(states, by_value, said):
    module = nn.Linear(4, 3)
    agent = Agent.from_module(
        module, spaces.Box(-9, 9, (4,)), spaces.Discrete(3), value_based=by_value
    )
    assert said in describe_drawing(agent, states)


def test_steps_of_maps_are_in_order_and_as_many_as_maps(played):
    agent, states = played
    whole = make_playback(
        states, {"gradient": Gradient(agent)}, agent=agent, limit=8, progress=False
    )
    for positions in ([0, 1, 2], [0, 2, 1, 3, 4, 5, 6, 7], list(range(1, 9))):
        explained = dataclasses.replace(whole.explained[0], positions=np.array(positions))
        with pytest.raises(ExplainError, match="maps of Plain gradient"):
            dataclasses.replace(whole, explained=[explained]).require_whole()


def test_bookmarks_lead_to_extremes_and_losses():
    episodes = [
        Episode(0, 0, 60, 5.0, losses=(20,)),
        Episode(1, 60, 60, 0.0),
        Episode(2, 60, 100, -1.0, losses=(30,)),
    ]
    columns = {name: np.zeros(100) for name in ("value", "advantage", "reward")}
    columns["advantage"][[7, 50]] = [2.0, -3.0]
    columns["reward"][[20, 90]] = -1.0
    columns["entropy"] = np.where(np.arange(100) == 33, 0.1, 1.0)
    marks = {one.label: one.position for one in list_bookmarks(episodes, columns)}
    assert marks == {
        "highest advantage": 7,
        "lowest advantage": 50,
        "surest decision": 33,
        "5 steps before the first loss": 15,
        "first loss (-1)": 20,
        "5 steps before the last loss": 85,
        "last loss (-1)": 90,
        "end of episode 0, the best shown": 59,
        "end of episode 2, the worst shown": 99,
    }


@pytest.mark.parametrize(
    ("losses", "said"),
    [
        ([3], {"3 steps before the loss": 0, "loss (-1)": 3}),
        # not before the episode, nor among what a loss before has begun
        (
            [60, 63],
            {"first loss (-1)": 60, "2 steps before the last loss": 61, "last loss (-1)": 63},
        ),
    ],
)
def test_what_comes_before_a_loss_is_marked_and_explained(losses, said):
    episodes = [Episode(0, 0, 60, 5.0), Episode(1, 60, 100, -1.0)]
    rewards = np.zeros(100)
    rewards[losses] = -1
    lost = [
        tuple(at - one.start for at in losses if one.start <= at < one.stop) for one in episodes
    ]
    episodes = [dataclasses.replace(one, losses=at) for one, at in zip(episodes, lost, strict=True)]
    marks = mark_losses(rewards, episodes)
    assert {one.label: one.position for one in marks} == said
    steps = list_steps_to(marks, episodes).tolist()
    assert steps == ([0, 1, 2, 3] if losses == [3] else [60, 61, 62, 63])


def test_strides_are_powers_of_two_that_keep_to_the_budget():
    assert choose_stride(1, 100, 100) == 1
    assert choose_stride(10, 100, 300) == 4
    assert choose_stride(10**6, 100, 1) == 128
    episodes = [Episode(0, 0, 5, 0.0), Episode(1, 5, 14, 0.0)]
    assert list_first_steps(episodes, 4).tolist() == [0, 4, 5, 9, 13]
    assert set(list_first_steps(episodes, 4)) <= set(list_first_steps(episodes, 2))


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    """An agent that reads three columns of the left half, and two whole episodes of it."""
    agent = dot_agent()
    folder = tmp_path_factory.mktemp("played") / "episodes"
    return agent, play_whole_episodes(agent, folder, 80, progress=False)


def test_how_episodes_end_is_stored(played):
    agent, states = played
    assert set(states.column("ended")) == {2}  # after 40 steps, which is a limit of time
    _, episodes = choose_steps(states, 1000)
    assert [one.ended for one in episodes] == ["time limit"] * 2
    part = collect(agent, n_states=30, progress=False)
    assert 0 in part.column("ended")


def test_maps_are_those_of_the_explainer(played):
    agent, states = played
    explainers = {
        "gradient": Gradient(agent),
        "occlusion": make_explainer("occlusion", agent, states=states, patch=6, stride=6),
        "smoothgrad": make_explainer("smoothgrad", agent, n_samples=60),
    }
    playback = make_playback(states, explainers, agent=agent, limit=30, budget=400, progress=False)
    playback.require_whole()
    positions, episodes = choose_steps(states, 30)
    strides = {"gradient": 1, "occlusion": 2, "smoothgrad": 8}
    for explained in playback.explained:
        chosen = explained.positions
        firsts = list_first_steps(episodes, strides[explained.name])
        marked = [one.position for one in playback.bookmarks]
        starts = {one.start for one in episodes}
        before = [position - 1 for position in marked if position not in starts]
        assert chosen.tolist() == sorted({*firsts, *marked, *before})
        observed, taken = states.observations(positions[chosen]), playback.taken[chosen]
        explainer = explainers[explained.name]
        targets = [torch.from_numpy(taken)]
        if explained.name != "smoothgrad":  # which takes too many passes for all targets
            targets = [torch.full((len(chosen),), target) for target in range(3)]
        by_hand = torch.stack([explainer.attribute(observed, target) for target in targets], 1)
        if explained.attributions[0].values.ndim == 3:  # alike for all frames of the stack
            by_hand = by_hand[:, :, -1]
        largest = by_hand.abs().flatten(1).amax(dim=1).reshape(-1, *[1] * (by_hand.ndim - 1))
        expected = (by_hand / largest.clamp_min(1e-12)).numpy()
        if explained.name != "smoothgrad":  # which draws other noise each time
            for number, maps in enumerate(explained.attributions):
                assert maps.target == number
                assert maps.values == pytest.approx(expected[:, number], abs=2e-3)
        else:
            assert [maps.target for maps in explained.attributions] == [None]
            assert explained.attributions[0].values.shape == expected[:, 0].shape


@pytest.mark.parametrize(("target", "asked", "number"), [("value", "value", None), (1, "", 1)])
def test_maps_of_what_is_asked_for(played, target, asked, number):
    agent, states = played
    explainer = Gradient(agent)
    playback = make_playback(
        states, {"gradient": explainer}, agent=agent, limit=4, target=target, progress=False
    )
    assert (playback.asked, playback.target) == (asked, number)
    (maps,) = playback.explained[0].attributions
    assert maps.target == number
    positions, _ = choose_steps(states, 4)
    by_hand = explainer.attribute(states.observations(positions), target)
    if maps.values.ndim == 3:  # alike for all frames of the stack
        by_hand = by_hand[:, -1]
    largest = by_hand.abs().flatten(1).amax(dim=1).reshape(-1, *[1] * (by_hand.ndim - 1))
    assert maps.values == pytest.approx((by_hand / largest.clamp_min(1e-12)).numpy(), abs=2e-3)


def test_removal_is_that_of_a_loop(played):
    agent, states = played
    playback = make_playback(states, {}, agent=agent, limit=8, progress=False)
    positions, _ = choose_steps(states, 8)
    shown = states.subset(positions)
    baseline = make_baselines(agent, "background", shown)[""]
    assert playback.removal.positions.tolist() == list(range(8))
    assert playback.removal.filled == "background (what each pixel shows most often)"
    for i in (0, 5):
        observed = shown.observations([i]).float()
        filled = baseline(observed)
        for region in range(REGIONS**2):
            row, column = divmod(region, REGIONS)
            changed = observed.clone()
            rows = slice(row * SIZE // REGIONS, (row + 1) * SIZE // REGIONS)
            columns = slice(column * SIZE // REGIONS, (column + 1) * SIZE // REGIONS)
            changed[:, :, rows, columns] = filled[:, :, rows, columns]
            shares = torch.softmax(agent.scores(changed), dim=1)[0]
            assert playback.removal.shares[i, region] == pytest.approx(shares.numpy(), abs=1e-4)


def test_features_are_shown_and_removed_one_by_one():
    rng = np.random.default_rng(0)
    weight = torch.tensor([[2.0, 0, 0, 1], [0, 1, 0, 0], [0, 0, 0, 0]])
    module = nn.Linear(4, 3, bias=False)
    module.weight.data = weight
    agent = Agent.from_module(module, spaces.Box(-9, 9, (4,)), spaces.Discrete(3))
    frames = rng.normal(size=(6, 4)).astype(np.float32)
    scores = (torch.from_numpy(frames) @ weight.T).numpy()
    states = StateDataset.from_arrays(
        frames, np.zeros(6, int), scores.argmax(1), actions=scores.argmax(1), scores=scores,
        rewards=np.ones(6, np.float32), values=np.zeros(6, np.float32),
    )  # fmt: skip
    playback = make_playback(states, {}, agent=agent, progress=False)
    assert playback.features == pytest.approx(frames)
    assert list(playback.feature_names) == [f"feature {i}" for i in range(4)]
    baseline = make_baselines(agent, "background", states)[""]
    filled = baseline(torch.from_numpy(frames))
    for feature in range(4):
        changed = torch.from_numpy(frames).clone()
        changed[:, feature] = filled[:, feature]
        shares = torch.softmax(changed @ weight.T, dim=1)
        assert playback.removal.shares[:, feature] == pytest.approx(shares.numpy(), abs=1e-5)
    assert playback.removal.rows == 0


def test_a_page_knows_what_masks_forbid_at_each_step():
    module = nn.Linear(4, 3)
    agent = Agent.from_module(module, spaces.Box(-9, 9, (4,), np.float32), spaces.Discrete(3))
    masks = np.array([[1, 1, 1], [1, 0, 1], [0, 0, 1]])
    frames = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    scores = agent.scores(torch.from_numpy(frames), action_masks=torch.from_numpy(masks))
    columns = {
        "rewards": np.ones(3, np.float32), "values": np.zeros(3, np.float32),
        "scores": scores.detach().numpy(), "actions": np.full(3, 2),
    }  # fmt: skip
    states = StateDataset.from_arrays(
        frames, np.zeros(3, int), np.full(3, 2), action_masks=masks, **columns
    )
    made = make_playback(states, {"g": Gradient(agent)}, agent=agent, progress=False)
    np.testing.assert_array_equal(made.forbidden, masks == 0)
    assert "discounted by 0.99, the usual number" in made.value_note
    described = describe_playback(made, lambda content: content.hex())
    assert described["forbidden"]["blob"] == (masks == 0).astype(np.uint8).tobytes().hex()
    bare = StateDataset.from_arrays(frames, np.zeros(3, int), np.full(3, 2), **columns)
    made = make_playback(bare, {"g": Gradient(agent)}, agent=agent, progress=False)
    assert made.forbidden is None and describe_playback(made, bytes.hex)["forbidden"] is None
