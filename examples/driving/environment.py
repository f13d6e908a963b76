"""A street to drive along, among reasonable or among distracted pedestrians.

Three actions change the speed; the car keeps its lane. The agent sees semantic frames from above
(``frames.py``). Reward: the speed, 0 to 0.1 a step. An episode ends, at a price, when the car hits
another one, drives over a pedestrian, or crosses the stop line of a red light.
"""

import dataclasses
from typing import Any

import frames as draw
import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

#: cells a step; a step is 0.2 s and a cell half a metre, so that 3 cells a step are 27 km/h
FULL_SPEED, ACCELERATION, BRAKING = 3.0, 0.3, 0.6
METRES_PER_CELL = 0.5
REWARD_AT_FULL_SPEED = 0.1
#: what the end of an episode costs
PENALTY = {"cars_hit": 5.0, "red_lights_run": 5.0, "pedestrians_hit": 10.0}
ACTIONS = ("keep", "accelerate", "brake")
#: how far ahead of the car the street exists, in cells
HORIZON = 100
#: probability in each step that a pedestrian at the kerb wants to cross
WISH_TO_CROSS = 0.05
#: left columns of a pedestrian who waits on the left and on the right
KERBS = (draw.ROAD_COLUMNS[0] - draw.PEDESTRIAN_SIZE - 1, draw.ROAD_COLUMNS[1] + 1)
JUNCTION_LENGTH, CROSSWALK_LENGTH = 14, 6
MODES = ("reasonable", "distracted")


@dataclasses.dataclass
class Pedestrian:
    """Somebody at ``place`` along the street, in cells from its start.

    :param left: left column
    :param pace: columns a step while crossing
    :param direction: of the next crossing: 1 to the right, -1 to the left
    """

    place: float
    left: float
    pace: float
    direction: int
    crossing: bool = False

    @property
    def in_the_lane(self) -> bool:
        start, end = draw.CAR_COLUMNS
        return start - draw.PEDESTRIAN_SIZE < self.left < end

    def walk(self) -> None:
        """One step on, up to the other kerb."""
        self.left = float(np.clip(self.left + self.direction * self.pace, *KERBS))
        if self.left in KERBS:
            self.crossing, self.direction = False, -self.direction


@dataclasses.dataclass
class Junction:
    """A side road behind a stop line at ``place``; its light changes when ``left`` is used up."""

    place: float
    red: bool
    left: int


@dataclasses.dataclass
class Car:
    """Another car in the lane; its rear is at ``place``. It leaves when ``left`` is used up."""

    place: float
    speed: float
    cruise: float
    left: int
    pause: int = 0


class Driving(gym.Env[NDArray[np.uint8], np.int64]):
    """One lane with lights, other cars and pedestrians.

    ``info`` counts, since the episode began: ``pedestrians_hit``, ``cars_hit``, ``red_lights_run``
    and ``distance`` in metres.

    :param pedestrians: ``"reasonable"``: they step onto the road only if no car can be near before
        they have left it, whatever its driver does; ``"distracted"``: whenever they like, with
        their eyes on their phones. All else is the same.
    :param render_mode: ``"rgb_array"`` for pictures four times as large as the frames
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 5}  # noqa: RUF012 - as gymnasium has it

    def __init__(self, pedestrians: str = "reasonable", render_mode: str | None = None) -> None:
        if pedestrians not in MODES:
            raise ValueError(f"pedestrians={pedestrians!r} (known: {', '.join(MODES)})")
        self.reasonable = pedestrians == "reasonable"
        self.render_mode = render_mode
        self.observation_space = spaces.Box(0, 255, (draw.SIZE, draw.SIZE, 3), np.uint8)
        self.action_space = spaces.Discrete(len(ACTIONS))

    def get_action_meanings(self) -> tuple[str, ...]:
        """What the actions are called."""
        return ACTIONS

    # --- the street ------------------------------------------------------------------------

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.uint8], dict[str, Any]]:
        super().reset(seed=seed)
        self.place = 0.0  # of the front bumper
        self.speed = self.np_random.uniform(0, FULL_SPEED)
        self.counts = dict.fromkeys(PENALTY, 0)
        self.pedestrians: list[Pedestrian] = []
        self.junctions: list[Junction] = []
        self.crosswalks: list[float] = []
        self.car: Car | None = None
        self.built = draw.BRAKING_REGION + self.np_random.uniform(4, 24)
        self._build()
        return self._frame(), self._info()

    def _build(self) -> None:
        """Lengthen the street up to the horizon, and forget what is behind."""
        rng = self.np_random
        while self.built < self.place + HORIZON:
            kind = rng.random()
            if kind < 0.35:
                red = bool(rng.random() < 0.5)
                self.junctions.append(Junction(self.built, red, int(rng.integers(10, 40))))
                self.built += JUNCTION_LENGTH
            else:
                if kind < 0.7:
                    self.crosswalks.append(self.built)
                for _ in range(rng.integers(1, 3)):
                    self.pedestrians.append(self._pedestrian(self.built + rng.uniform(-2, 4)))
                self.built += CROSSWALK_LENGTH
            self.built += rng.uniform(16, 36)
        behind = self.place - draw.CAR_LENGTH - JUNCTION_LENGTH
        self.pedestrians = [person for person in self.pedestrians if person.place > behind]
        self.junctions = [junction for junction in self.junctions if junction.place > behind]
        self.crosswalks = [crosswalk for crosswalk in self.crosswalks if crosswalk > behind]

    def _pedestrian(self, place: float) -> Pedestrian:
        side = int(self.np_random.integers(2))
        pace = self.np_random.uniform(1.0, 1.4)
        return Pedestrian(place, float(KERBS[side]), pace, 1 - 2 * side)

    # --- one step ----------------------------------------------------------------------------

    def step(self, action: np.int64) -> tuple[NDArray[np.uint8], float, bool, bool, dict[str, Any]]:
        change = (0.0, ACCELERATION, -BRAKING)[action]
        self.speed = float(np.clip(self.speed + change, 0, FULL_SPEED))
        # Others see where the car was when the step began; the car runs into where they are now.
        self._change_lights()
        self._drive_on()
        before, self.place = self.place, self.place + self.speed
        self.counts["red_lights_run"] += sum(
            junction.red and before <= junction.place < self.place for junction in self.junctions
        )
        self.counts["cars_hit"] += self.car is not None and self.place > self.car.place
        self.counts["pedestrians_hit"] += sum(
            person.in_the_lane and before <= person.place < self.place
            for person in self.pedestrians
        )
        self._walk_on()
        self._build()
        price = sum(PENALTY[name] * count for name, count in self.counts.items())
        reward = REWARD_AT_FULL_SPEED * self.speed / FULL_SPEED - price
        return self._frame(), reward, price > 0, False, self._info()

    def _reaches(self, person: Pedestrian) -> bool:
        """Whether somebody is at the height of the ego car."""
        rear = self.place - draw.CAR_LENGTH
        return rear - draw.PEDESTRIAN_SIZE < person.place < self.place

    def _change_lights(self) -> None:
        for junction in self.junctions:
            junction.left -= 1
            # A light never turns red when the car is too near to stop.
            near = 0 <= junction.place - self.place < draw.BRAKING_REGION
            if junction.left <= 0 and (junction.red or not near):
                junction.red = not junction.red
                junction.left = int(self.np_random.integers(15, 40))

    def _drive_on(self) -> None:
        """The other car: it cruises, pauses, obeys lights, brakes for people, and leaves."""
        rng, car = self.np_random, self.car
        if car is None:
            place = self.place + draw.SIZE
            free = not any(person.crossing and person.place > place for person in self.pedestrians)
            if free and rng.random() < 0.04:
                cruise = rng.uniform(0.8, 2.4)
                self.car = Car(place, cruise, cruise, int(rng.integers(40, 120)))
            return
        car.left -= 1
        car.pause -= 1
        if car.pause < -10 and rng.random() < 0.03:
            car.pause = int(rng.integers(8, 25))
        desired = 0.0 if car.pause > 0 else car.cruise if car.left > 0 else 1.5 * FULL_SPEED
        front = car.place + draw.CAR_LENGTH
        stops = [junction.place for junction in self.junctions if junction.red]
        stops += [person.place for person in self.pedestrians if person.crossing]
        if any(0 <= stop - front < way_to_stop(car.speed) for stop in stops):
            desired = 0.0
        car.speed += float(np.clip(desired - car.speed, -BRAKING, ACCELERATION))
        car.place += car.speed
        if car.place > self.place + 1.5 * draw.SIZE:
            self.car = None

    def _walk_on(self) -> None:
        for person in self.pedestrians:
            if person.crossing:
                place = person.left
                person.walk()
                # Whoever would walk into the side of the car stops beside it.
                if person.in_the_lane and self._reaches(person):
                    person.left, person.crossing = place, True
            elif self.np_random.random() < WISH_TO_CROSS and self._may_cross(person):
                person.crossing = True

    def _may_cross(self, person: Pedestrian) -> bool:
        """Whether somebody who wants to cross begins to."""
        if self.car is not None:
            # The other car is never run into: its driver could do nothing about it.
            reach = draw.CAR_LENGTH + way_to_stop(self.car.speed)
            if -draw.PEDESTRIAN_SIZE < person.place - self.car.place < reach:
                return False
        if not self.reasonable:
            return True
        if self.car is not None and self.car.place < person.place:
            return False
        steps = int(np.ceil((KERBS[1] - KERBS[0]) / person.pace))
        nearest = person.place - self.place - farthest(self.speed, steps)
        return nearest > draw.BRAKING_REGION + 1

    # --- what is seen ------------------------------------------------------------------------

    def _frame(self) -> NDArray[np.uint8]:
        canvas = draw.Canvas()
        left, right = draw.ROAD_COLUMNS
        width = right - left
        for junction in self.junctions:
            ahead = junction.place - self.place
            canvas.fill(draw.ROAD, 0, ahead + 3, draw.SIZE, JUNCTION_LENGTH - 3)
        # Marks at the edges, eight cells from one to the next: by them the speed is seen.
        for mark in np.arange(-self.place % 8 - 16, draw.SIZE, 8):
            for column in (left, right - 1):
                canvas.fill(draw.PAINT, column, mark, 1, 4)
        for crosswalk in self.crosswalks:
            for column in range(left + 2, right, 4):
                canvas.fill(draw.PAINT, column, crosswalk - self.place, 2, CROSSWALK_LENGTH)
        for junction in self.junctions:
            ahead = junction.place - self.place
            canvas.fill(draw.PAINT, left, ahead, width, 2)
            for column in (left - 1 - draw.LIGHT_SIZE[0], right + 1):
                light = draw.RED if junction.red else draw.GREEN
                canvas.fill(light, column, ahead - 2, *draw.LIGHT_SIZE)
        start, end = draw.CAR_COLUMNS
        if self.car is not None:
            ahead = self.car.place - self.place
            canvas.fill(draw.CAR, start, ahead, end - start, draw.CAR_LENGTH)
        for person in self.pedestrians:
            size = draw.PEDESTRIAN_SIZE
            canvas.fill(draw.PEDESTRIAN, person.left, person.place - self.place, size, size)
        canvas.fill(draw.EGO, start, -draw.CAR_LENGTH, end - start, draw.CAR_LENGTH)
        return canvas.frame()

    def _info(self) -> dict[str, Any]:
        return {**self.counts, "distance": METRES_PER_CELL * self.place}

    def render(self) -> NDArray[np.uint8]:
        """(192, 192, 3) for people."""
        return self._frame().repeat(4, axis=0).repeat(4, axis=1)


def way_to_stop(speed: float) -> float:
    """Cells until a car stands that accelerates for one more step and then brakes."""
    fast = speed + ACCELERATION
    return float(np.arange(fast, 0, -BRAKING).sum())


def farthest(speed: float, steps: int) -> float:
    """Cells that the ego car can drive at most in so many steps."""
    return float(np.minimum(speed + ACCELERATION * np.arange(1, steps + 1), FULL_SPEED).sum())


gym.register("Driving-v0", entry_point="environment:Driving", max_episode_steps=300)
