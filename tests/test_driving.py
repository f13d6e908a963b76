"""The driving study: its street, what its frames show, and the whole in the small mode."""

import sys

import gymnasium as gym
import imageio.v3 as imageio
import numpy as np
import pandas as pd
import pytest
from gymnasium.utils.env_checker import check_env

from tests.test_examples import EXAMPLES, run

sys.path.insert(0, str(EXAMPLES / "driving"))
import environment
import frames as draw
from environment import Car, Driving, Junction, Pedestrian

KEEP, ACCELERATE, BRAKE = range(3)


def random_driver(rng):
    return rng.integers(3)


def full_speed(rng):
    return ACCELERATE


def hasty(rng):
    return rng.choice(3, p=(0.1, 0.75, 0.15))


def hesitant(rng):
    return rng.choice(3, p=(0.3, 0.45, 0.25))


def episodes(mode, driver, n, seed=0):
    """Frames and the last info of some episodes."""
    env, rng = gym.make("Driving-v0", pedestrians=mode), np.random.default_rng(seed)
    for episode in range(n):
        seen, over = [env.reset(seed=1000 * seed + episode)[0]], False
        while not over:
            frame, _, terminated, truncated, info = env.step(driver(rng))
            seen.append(frame)
            over = terminated or truncated
        yield np.stack(seen), info


def empty_street(mode="distracted", speed=0.0):
    """A street on which nothing happens but what a test puts there."""
    env = Driving(mode)
    env.reset(seed=0)
    env.pedestrians, env.junctions, env.crosswalks, env.car = [], [], [], None
    env.built, env.speed = 1e9, speed
    return env


@pytest.mark.parametrize("mode", environment.MODES)
def test_it_is_an_environment(mode):
    check_env(gym.make("Driving-v0", pedestrians=mode, render_mode="rgb_array").unwrapped)


def test_unknown_pedestrians():
    with pytest.raises(ValueError, match="reasonable, distracted"):
        Driving("drunk")


def test_seeds_decide_everything():
    first, again = (list(episodes("distracted", hasty, 3, seed=4)) for _ in range(2))
    for (seen, info), (seen_again, info_again) in zip(first, again, strict=True):
        assert np.array_equal(seen, seen_again) and info == info_again
    other = next(episodes("distracted", hasty, 1, seed=5))[0]
    assert not np.array_equal(other[:5], first[0][0][:5])


# --- pedestrians ---------------------------------------------------------------------------------


@pytest.mark.parametrize("driver", [random_driver, full_speed, hasty, hesitant])
def test_reasonable_pedestrians_are_never_in_danger(driver):
    crossing = 0
    for seen, info in episodes("reasonable", driver, 25, seed=1):
        labels = draw.labels_of(seen)
        assert info["pedestrians_hit"] == 0
        assert not draw.pedestrian_danger(labels).any()
        crossing += (labels[:, :, slice(*draw.ROAD_COLUMNS)] == draw.PEDESTRIAN).any()
    # they do cross in sight of a car that comes nearer
    assert crossing > 0 or driver is random_driver


@pytest.mark.parametrize("speed", [0.0, 1.7, 3.0])
def test_who_would_just_not_make_it_stays_at_the_kerb(speed):
    """The nearest place from which somebody still crosses: a car that speeds up comes no closer."""
    for place in np.arange(20, 90):
        env = empty_street("reasonable", speed)
        person = Pedestrian(place, 12.0, 1.0, 1)
        env.pedestrians = [person]
        if env._may_cross(person):
            break
    assert place < 80
    person.crossing = True
    gaps = []
    while person.crossing:
        env.step(ACCELERATE)
        gaps.append(person.place - env.place)
    assert draw.BRAKING_REGION < gaps[-1] <= draw.BRAKING_REGION + 3
    assert min(gaps) == gaps[-1]


def test_full_speed_runs_over_distracted_pedestrians():
    last = pd.DataFrame(info for _, info in episodes("distracted", full_speed, 40))
    assert last["pedestrians_hit"].sum() >= 10
    # the three ways in which an episode ends exclude each other nearly always
    assert (last[["pedestrians_hit", "cars_hit", "red_lights_run"]].sum(axis=1) >= 1).mean() > 0.9


def test_nobody_is_run_over_by_a_car_that_stands():
    for _, info in episodes("distracted", lambda rng: BRAKE, 5):
        assert info["pedestrians_hit"] == info["cars_hit"] == info["red_lights_run"] == 0
        assert info["distance"] < 5


def test_driving_over_somebody_ends_the_episode():
    env = empty_street(speed=3.0)
    env.pedestrians = [Pedestrian(5.0, 22.0, 0.0, 1, crossing=True)]
    _, reward, over, _, info = env.step(KEEP)
    assert not over and reward == pytest.approx(0.1)
    _, reward, over, _, info = env.step(KEEP)
    assert over and reward == pytest.approx(0.1 - 10)
    assert info["pedestrians_hit"] == 1 and info["distance"] == 3.0


def test_who_walks_into_the_side_of_the_car_is_not_run_over():
    env = empty_street()
    person = Pedestrian(-4.0, 15.0, 1.0, 1, crossing=True)
    env.pedestrians = [person]
    for _ in range(10):
        env.step(BRAKE)
    assert person.left == draw.CAR_COLUMNS[0] - draw.PEDESTRIAN_SIZE
    for _ in range(10):
        _, _, over, _, info = env.step(ACCELERATE)
    assert not over and info["pedestrians_hit"] == 0


# --- cars and lights -----------------------------------------------------------------------------


@pytest.mark.parametrize("red", [True, False])
def test_stop_lines(red):
    env = empty_street(speed=3.0)
    env.junctions = [Junction(4.0, red, 100)]
    env.step(KEEP)
    _, _, over, _, info = env.step(KEEP)
    assert over == red and info["red_lights_run"] == red


def test_a_light_never_turns_red_before_a_car_that_cannot_stop():
    env = empty_street(speed=3.0)
    env.junctions = [Junction(11.0, False, 0)]
    for _ in range(4):
        assert not env.junctions[0].red
        env.step(KEEP)
    assert env.place > 11 and not env.counts["red_lights_run"]
    env.step(KEEP)
    assert env.junctions[0].red


def test_running_into_another_car():
    env = empty_street(speed=3.0)
    env.car = Car(4.0, 0.0, 0.0, 100, pause=100)
    _, _, over, _, _ = env.step(KEEP)
    assert not over
    _, reward, over, _, info = env.step(KEEP)
    assert over and info["cars_hit"] == 1 and reward == pytest.approx(0.1 - 5)


def test_the_other_car_stops_for_lights_and_people():
    for obstacle in ("junction", "person"):
        env = empty_street()
        env.car = Car(10.0, 2.0, 2.0, 1000)
        if obstacle == "junction":
            env.junctions = [Junction(40.0, True, 1000)]
        else:
            env.pedestrians = [Pedestrian(40.0, 22.0, 0.0, 1, crossing=True)]
        for _ in range(80):
            env.step(BRAKE)
        assert 34 <= env.car.place + draw.CAR_LENGTH <= 40


# --- frames --------------------------------------------------------------------------------------


def test_labels_of_a_frame_are_those_that_were_drawn():
    canvas = draw.Canvas()
    canvas.labels = np.random.default_rng(0).integers(8, size=(48, 48)).astype(np.uint8)
    assert np.array_equal(draw.labels_of(canvas.frame()), canvas.labels)
    # half the distance of the two colours that are nearest to each other is still forgiven
    colors = draw.PALETTE.astype(float)
    apart = np.linalg.norm(colors[:, None] - colors[None], axis=-1)
    noise = 0.49 * apart[apart > 0].min() / np.sqrt(3)
    signs = np.random.default_rng(1).choice([-1, 1], size=(48, 48, 3))
    assert np.array_equal(draw.labels_of(canvas.frame() + noise * signs), canvas.labels)


def test_rectangles_are_cut_at_the_edges():
    canvas = draw.Canvas()
    canvas.fill(draw.RED, -2, 36, 5, 4)
    assert np.argwhere(canvas.labels == draw.RED).tolist() == [
        [row, column] for row in (0, 1) for column in (0, 1, 2)
    ]
    canvas.fill(draw.RED, 10, 60, 5, 4)
    canvas.fill(draw.RED, 10, -30, 5, 4)
    assert (canvas.labels == draw.RED).sum() == 6


def test_a_frame_shows_what_is_there():
    env = empty_street()
    env.pedestrians = [Pedestrian(20.0, 12.0, 1.0, 1)]
    env.junctions = [Junction(5.0, True, 9)]
    env.car = Car(8.0, 0.0, 0.0, 9)
    labels = draw.labels_of(env._frame())
    assert np.unique(labels).tolist() == [0, 1, 2, 3, 4, 6, 7]
    rows, columns = np.nonzero(labels == draw.PEDESTRIAN)
    # 38 rows ahead of the bumper: the near edge, 20 ahead, is the lower edge of row 17
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (14, 17, 12, 15)
    rows, columns = np.nonzero(labels == draw.CAR)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (22, 29, 21, 26)
    assert (labels == draw.RED).sum() == 2 * 5 * 4


@pytest.mark.parametrize(
    ("left", "ahead", "danger"),
    [
        (22, 0, True),  # before the bumper
        (18, 11, True),  # its first row is the last of the region: 4 pixels
        (22, 12, False),  # farther than the car needs to stop
        (14, 4, True),  # one column is on the road: 4 pixels
        (13, 4, False),  # at the kerb
        (31, 4, False),
        (22, -8, False),  # where the ego car is
    ],
)
def test_pedestrian_danger(left, ahead, danger):
    canvas = draw.Canvas()
    canvas.fill(draw.PEDESTRIAN, left, ahead, 4, 4)
    assert draw.pedestrian_danger(canvas.labels) == danger
    assert not draw.car_danger(canvas.labels) and not draw.red_light_ahead(canvas.labels)


def test_three_pixels_of_a_pedestrian_are_too_few():
    canvas = draw.Canvas()
    canvas.fill(draw.PEDESTRIAN, 22, 3, 3, 1)
    assert not draw.pedestrian_danger(canvas.labels)


def test_other_dangers():
    canvas = draw.Canvas()
    canvas.fill(draw.CAR, 21, 11, 6, 8)  # one row, 6 pixels, is in the region
    canvas.fill(draw.RED, 5, -4, 5, 4)  # beside the car
    assert not draw.car_danger(canvas.labels) and not draw.red_light_ahead(canvas.labels)
    canvas.fill(draw.CAR, 21, 10, 6, 8)
    canvas.fill(draw.RED, 32, 30, 5, 1)
    assert draw.car_danger(canvas.labels) and draw.red_light_ahead(canvas.labels)
    assert not draw.pedestrian_danger(canvas.labels)


def test_the_newest_frame_is_the_last_of_a_stack():
    stack = np.arange(2 * 12 * 48 * 48).reshape(2, 12, 48, 48)
    newest = draw.newest_frames(stack)
    assert newest.shape == (2, 48, 48, 3)
    assert newest[1, 3, 4].tolist() == stack[1, 9:, 3, 4].tolist()


# --- the study -----------------------------------------------------------------------------------


@pytest.mark.slow
def test_study(tmp_path):
    said = run("driving/study.py", "--small", "-o", str(tmp_path))
    table = pd.read_csv(tmp_path / "table.csv")
    assert set(table["driver"]) >= {"reasonable", "distracted", "standing", "full speed"}
    assert (tmp_path / "table.md").read_text().strip() in said
    for mode in environment.MODES:
        sheet = imageio.imread(tmp_path / mode / "t_minus.png")
        side = 3 * 48 + 6
        assert sheet.shape[0] in (side, 2 * side) and sheet.shape[1] == 8 * side
        # the first state: a street, and the car on it
        colors = sheet[3 : side - 3, 3 : side - 3].reshape(-1, 3)
        assert len(np.unique(colors // 32, axis=0)) > 3
    # the same command goes on from what stands there
    again = run("driving/study.py", "--small", "-o", str(tmp_path))
    assert (tmp_path / "table.md").read_text().strip() in again
