"""A playback's description and blobs, read back as the page reads them."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from sb3_explain import ExplainError
from sb3_explain.report.viewer import write
from sb3_explain.report.viewer.encode import (
    describe_playback,
    encode_webp,
    find_brightest,
    lay_out,
    shrink,
    write_rendered,
    write_shares,
    write_sheets,
)
from sb3_explain.report.viewer.playback import (
    Bookmark,
    Episode,
    Explained,
    Playback,
    Removal,
    StepAttributions,
)
from sb3_explain.report.wording import Wording

N, K = 30, 3
KINDS = {"float32": np.float32, "uint8": np.uint8, "int16": np.int16}


def make_playback(**changes):
    rng = np.random.default_rng(0)
    shares = rng.dirichlet(np.ones(K), N)
    given = {
        "name": "tester",
        "episodes": [Episode(0, 0, 10, 1.5), Episode(1, 10, N, -2.0)],
        "shares": shares,
        "taken": shares.argmax(1),
        "target_names": ["left", "right", "wait"],
        "columns": {"value": rng.normal(size=N), "reward": rng.normal(size=N)},
        "rendered": rng.integers(0, 256, (N, 40, 30, 3), np.uint8),
        "observed": rng.integers(0, 256, (N, 20, 20), np.uint8),
        "n_stack": 2,
        "explained": [
            Explained(
                "saliency",
                "saliency",
                [StepAttributions(rng.uniform(-1, 1, (N, 20, 20)), k) for k in range(K)],
                True,
            )
        ],
        "removal": Removal(rng.dirichlet(np.ones(K), (N, 4)), 2, 2),
        "bookmarks": [Bookmark(12, "later"), Bookmark(3, "first")],
    }
    return Playback(**{**given, **changes})


@pytest.fixture(scope="module")
def described():
    blobs = []

    def keep(content):
        blobs.append(content)
        return str(len(blobs) - 1)

    playback = make_playback()
    return playback, describe_playback(playback, keep), blobs


def read_table(described, blobs):
    numbers = np.frombuffer(blobs[int(described["blob"])], KINDS[described["kind"]])
    return numbers.reshape(described["shape"]) * described.get("scale", 1)


def read_tile(sheets, blobs, i):
    picture = np.asarray(Image.open(io.BytesIO(blobs[int(sheets["blobs"][i // sheets["tiles"]])])))
    row, column = divmod(i % sheets["tiles"], sheets["columns"])
    height, width = sheets["height"], sheets["width"]
    return picture[row * height : (row + 1) * height, column * width : (column + 1) * width]


def test_numbers_are_read_back(described):
    playback, plain, blobs = described
    assert read_table(plain["shares"], blobs) == pytest.approx(playback.shares, abs=1 / 499)
    assert (read_table(plain["taken"], blobs) == playback.taken).all()
    value = read_table(plain["columns"]["value"], blobs)
    assert value == pytest.approx(playback.columns["value"], rel=1e-6)
    removed = read_table(plain["removal"]["shares"], blobs)
    assert removed == pytest.approx(playback.removal.shares, abs=1 / 499)
    assert [one["return"] for one in plain["episodes"]] == [1.5, -2.0]
    assert [one["length"] for one in plain["episodes"]] == [10, 20]
    assert [one["position"] for one in plain["bookmarks"]] == [3, 12]  # in order of time
    shares = [target["chosen"] for target in plain["targets"]]
    assert shares == [(playback.taken == k).mean() for k in range(K)]


def test_a_share_that_is_not_a_number_is_none_that_can_be():
    blobs = []
    described = write_shares(
        np.array([[0.0, np.nan, 1.0]]), lambda content: blobs.append(content) or "0"
    )
    assert list(blobs[0]) == [0, described["unknown"], 250] and described["unknown"] > 250


@pytest.mark.parametrize("i", [0, 7, N - 1])
def test_pictures_are_read_back_to_the_bit(described, i):
    playback, plain, blobs = described
    assert (read_tile(plain["rendered"], blobs, i) == playback.rendered[i]).all()
    seen = read_tile(plain["observed"], blobs, i)
    assert (seen[..., 0] == playback.observed[i]).all()


@pytest.mark.parametrize("i", [0, N - 1])
def test_maps_are_read_back_to_a_level(described, i):
    playback, plain, blobs = described
    explainer = plain["explainers"][0]
    tile = read_tile(explainer["attributions"][1]["sheets"], blobs, i)[..., 0]
    # as js/playback.js reads a byte
    values = (tile.astype(float) - 127) / 127
    assert values == pytest.approx(
        playback.explained[0].attributions[1].values[i], abs=0.5 / 127 + 1e-6
    )


def test_the_brightest_region_is_that_of_a_slow_loop():
    rng = np.random.default_rng(1)
    attributions = rng.normal(size=(5, 23, 17))
    found = find_brightest(attributions, Removal(np.zeros((5, 12, K)), 4, 3))
    for values, region in zip(attributions, found, strict=True):
        means = []
        for r in range(4):
            for c in range(3):
                part = values[r * 23 // 4 : (r + 1) * 23 // 4, c * 17 // 3 : (c + 1) * 17 // 3]
                means.append(np.abs(part).mean())
        assert region == int(np.argmax(means))
    assert find_brightest(np.zeros((1, 8, 8)), Removal(np.zeros((1, 4, K)), 2, 2)).tolist() == [-1]


def test_a_map_of_fewer_pixels_than_regions_has_its_brightest_pixel():
    removal = Removal(np.zeros((1, 9, 2)), rows=3, columns=3)
    values = np.array([[[0.1, 0.2], [0.9, 0.3]]])
    with np.errstate(all="raise"):
        (region,) = find_brightest(values, removal)
    rows = np.arange(4) * 2 // 3
    row, column = divmod(int(region), 3)
    assert (rows[row], rows[row + 1]) == (1, 2) and (rows[column], rows[column + 1]) == (0, 1)


def test_large_maps_are_shrunk_by_means():
    attributions = np.random.default_rng(2).uniform(size=(3, 84, 84)).astype(np.float32)
    small = shrink(attributions)
    assert small.shape == (3, 42, 42)
    assert small[1, 5, 7] == pytest.approx(attributions[1, 10:12, 14:16].mean(), rel=1e-5)
    assert shrink(attributions[:, :30, :20]).shape == (3, 30, 20)
    assert shrink(attributions[:, :, :50]).shape == (3, 42, 25)


def test_tiles_lie_in_rows():
    tiles = np.arange(5, dtype=np.uint8)[:, None, None].repeat(2, 1).repeat(3, 2)
    sheet = lay_out(tiles, 2)
    assert sheet.shape == (6, 6)
    assert sheet[::2, ::3].tolist() == [[0, 1], [2, 3], [4, 0]]


def test_a_picture_that_no_file_takes_is_refused_in_one_line():
    with pytest.raises(ExplainError, match="1 x 20000 pixels do not fit on a page"):
        write_sheets(np.zeros((2, 1, 20000), np.uint8), lambda content: "")


def test_webp_is_lossless():
    picture = np.random.default_rng(3).integers(0, 256, (16, 16, 3), np.uint8)
    read = Image.open(io.BytesIO(encode_webp(picture)))
    assert (np.asarray(read) == picture).all()


def test_rich_frames_are_lossy_and_large_ones_shrunk():
    rng = np.random.default_rng(4)
    flat = np.zeros((6, 640, 480, 3), np.uint8)
    flat[:, 100:300, 50:90] = (255, 200, 0)
    # a landscape: smooth, with some noise, as a camera or a renderer gives
    smooth = np.linspace(0, 200, 640)[:, None, None] + np.zeros((6, 640, 480, 3))
    rich = (smooth + rng.integers(0, 50, smooth.shape)).astype(np.uint8)
    for frames, lossless in ((flat, True), (rich, False)):
        blobs = []

        def keep(content, blobs=blobs):
            blobs.append(content)
            return str(len(blobs) - 1)

        described = write_rendered(frames, keep)
        assert (described["height"], described["width"]) == (320, 240)
        tile = read_tile(described, blobs, 5).astype(float)
        means = frames[5].reshape(320, 2, 240, 2, 3).mean(axis=(1, 3))
        assert np.abs(tile - means).mean() < (0.51 if lossless else 8)
        assert sum(map(len, blobs)) / 6 < 20_000


def test_a_return_that_is_no_number_is_none():
    episodes = [Episode(0, 0, 10, float("nan")), Episode(1, 10, N, float("inf"))]
    plain = describe_playback(make_playback(episodes=episodes), lambda content: "0")
    assert [one["return"] for one in plain["episodes"]] == [None, None]


def test_a_page_that_is_too_large_says_what_to_lower(monkeypatch):
    monkeypatch.setattr(write, "LIMIT", 0.01)
    with pytest.raises(ExplainError, match=r"are the limit: play fewer steps \(n_shown="):
        write.write_viewer([make_playback()], Wording())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"taken": np.zeros(N - 1, int)}, "differ"),
        ({"episodes": [Episode(0, 0, 5, 0.0)]}, "differ"),
        ({"target_names": ["left"]}, "3 shares a step, but 1 target names"),
        ({"columns": {"value": np.zeros(3)}}, "'value': 3"),
    ],
)
def test_arrays_of_other_lengths_are_one_line(changes, said):
    with pytest.raises(ExplainError, match=said):
        describe_playback(
            make_playback(**changes), lambda content: base64.b64encode(content).decode()
        )
