"""Where the RAM of Atari games says that their objects are.

A layout turns the 128 bytes of a console's RAM into (category, x, y, width, height) of what is on
the screen, in pixels of the 210 x 160 picture. The layouts were found by fitting bytes to boxes and
by changing single bits; ``benchmarks/bench_objects.py`` measures them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

#: category, x and y of the upper left corner, width and height
Placed = tuple[str, int, int, int, int]
Ram = Sequence[int]

#: rows of Pong's court, the first and the one after the last
COURT = (34, 194)
#: bytes of Breakout's wall from left to right, as offsets of 6 a row, and the bits of their bricks
WALL = ((30, (6,)), (24, (6, 4, 2, 0)), (18, (0, 2, 4, 6)), (12, (4, 6)), (6, (6, 4, 2, 0)),
        (0, (0, 2, 4)))  # fmt: skip
#: (byte of a row, bit) of each column of MsPacman's maze, and its x
PILLS = {
    8: (0, 6), 16: (1, 7), 24: (1, 5), 32: (1, 3), 40: (1, 1), 48: (2, 0), 56: (2, 2), 64: (2, 4),
    72: (2, 6), 84: (1, 6), 92: (1, 4), 100: (1, 2), 108: (1, 0), 116: (2, 1), 124: (2, 3),
    132: (2, 5), 140: (2, 7), 148: (0, 4),
}  # fmt: skip
#: pills of the first maze, row by row; the bits of the others are parts of walls
MAZE = (
    "....#........#....",
    "###.#.######.#.###",
    "..................",
    "#.#.##.####.##.#.#",
    "..#............#..",
    "#.####.####.####.#",
    "#......####......#",
    "#.####.####.####.#",
    "..#............#..",
    "#.#.#.#.##.#.#.#.#",
    "....#.#....#.#....",
    ".##.#...##...#.##.",
    "###.###.##.###.###",
    "..................",
)
#: bit -> x and y of MsPacman's power pills
POWER_PILLS = {2: (148, 146), 3: (148, 14), 4: (8, 147), 5: (8, 15)}
#: number of screen columns in which Seaquest shows what swims, and bit -> how far right of its byte
SEA_WIDTH, COPIES = 166, {0: 32, 1: 16, 2: 0}


def place_pong(ram: Ram) -> Iterator[Placed]:
    """Both paddles, cut off at the court's edges, and the ball."""
    paddles = (("Player", 140, ram[51] - 13, 15), ("Enemy", 16, ram[50] - 15, 16))
    for category, x, y, height in paddles:
        top, bottom = max(y, COURT[0]), min(y + height, COURT[1])
        if top < bottom:
            yield category, x, top, 4, bottom - top
    if ram[54]:
        yield "Ball", ram[49] - 49, ram[54] - 14, 2, 4


def place_breakout(ram: Ram) -> Iterator[Placed]:
    """The paddle, the ball, and each run of bricks side by side as a block."""
    yield "Player", ram[72] - 47, 189, 16, 4
    if 0 < ram[101] < 188:
        yield "Ball", ram[99] - 49, ram[101] + 9, 2, 4
    for row in range(6):
        bricks = [ram[byte + 5 - row] >> bit & 1 for byte, bits in WALL for bit in bits]
        start = 0
        for end in range(1, len(bricks) + 1):
            if end == len(bricks) or bricks[end] != bricks[start]:
                if bricks[start]:
                    yield "Block", 8 + 8 * start, 57 + 6 * row, 8 * (end - start), 6
                start = end


def place_seaquest(ram: Ram) -> Iterator[Placed]:
    """The player and its missile, what swims in the four rows, the oxygen, collected divers."""
    if not 0 < ram[105] < 15:  # it explodes
        yield "Player", ram[70], ram[97] + 33, 16, 11
    if ram[103]:
        yield "PlayerMissile", ram[103], ram[97] + 40, 8, 1
    for row in range(4):
        y, is_submarine = 69 + 24 * row, not ram[47 - row] & 0x40
        for bit, offset in COPIES.items():
            x = (ram[33 - row] + offset) % 256
            if ram[39 - row] >> bit & 1 and x < SEA_WIDTH:
                if is_submarine:
                    yield "Submarine", x, y, 8, 11
                else:
                    yield "Shark", x, y - 4 + ram[93], 8, 7
        if beside := ram[74 - row]:  # submarines shoot where sharks guard a diver
            if is_submarine:
                yield "EnemyMissile", beside + 3, y + 4, 6, 4
            else:
                yield "Diver", beside, y, 8, 11
    if ram[102]:
        yield "OxygenBar", 49, 170, min(ram[102], 63), 5
    for i in range(ram[62]):
        yield "CollectedDiver", 58 + 8 * i, 178, 8, 9


def place_ms_pacman(ram: Ram) -> Iterator[Placed]:
    """The player, four ghosts, the fruit, and what there is to eat."""
    yield "Player", ram[10] - 13, ram[16] + 1, 9, 10
    for ghost in range(4):
        yield "Ghost", ram[6 + ghost] - 13, ram[12 + ghost] + 1, 9, 10
    if ram[11]:
        yield "Fruit", ram[11] - 13, ram[17] + 1, 9, 10
    for bit, (x, y) in POWER_PILLS.items():
        if ram[117] >> bit & 1:
            yield "PowerPill", x, y, 4, 7
    for row, places in enumerate(MAZE):
        for (x, (byte, bit)), place in zip(PILLS.items(), places, strict=True):
            if place == "." and ram[59 + 3 * row + byte] >> bit & 1:
                yield "Pill", x, 7 + 12 * row, 4, 2


def place_freeway(ram: Ram) -> Iterator[Placed]:
    """Two chickens, of which the first is the player's, and ten cars."""
    yield "Chicken", 44, 193 - ram[14], 6, 8
    yield "Chicken", 108, 193 - ram[15], 6, 8
    for row in range(10):
        yield "Car", ram[117 - row] - 3, 27 + 16 * row, 8, 10


#: layouts by the game's name
LAYOUTS: dict[str, Callable[[Ram], Iterator[Placed]]] = {
    "Breakout": place_breakout,
    "Freeway": place_freeway,
    "MsPacman": place_ms_pacman,
    "Pong": place_pong,
    "Seaquest": place_seaquest,
}
