"""DMControl from pixels: colours, videos, the chroma key, and what is missing."""

import colorsys
import json
from xml.etree import ElementTree

import gymnasium as gym
import imageio.v3 as imageio
import numpy as np
import pytest

from sb3_explain.common.errors import ExplainError
from sb3_explain.envs.dmc.environment import DMCGeneralizationEnv
from sb3_explain.envs.dmc.ids import MODES, TASKS, env_id
from sb3_explain.envs.dmc.scenes import (
    FLOOR_GREEN,
    SKY_GREEN,
    find_videos,
    paint,
    read_clip,
    read_color_sets,
    replace_green,
)

ASSETS = {
    "./common/materials.xml": b"""<mujoco><asset>
        <texture name="grid" rgb1=".1 .2 .3" rgb2=".2 .3 .4" markrgb=".2 .3 .4"/>
        <material name="grid" texture="grid"/>
        <material name="self" rgba=".7 .5 .3 1"/></asset></mujoco>""",
    "./common/skybox.xml": b"""<mujoco><asset>
        <texture name="skybox" rgb1=".4 .6 .8" rgb2="0 0 0" markrgb="1 1 1"/></asset></mujoco>""",
    "./common/visual.xml": b"<mujoco/>",
}


def attributes(files: dict[str, bytes], element_name: str, kind: str) -> dict[str, list[float]]:
    for name in ("./common/materials.xml", "./common/skybox.xml"):
        for element in ElementTree.fromstring(files[name]).iter(kind):
            if element.get("name") == element_name:
                return {
                    key: [float(number) for number in value.split()]
                    for key, value in element.items()
                    if key not in ("name", "texture")
                }
    raise AssertionError


def test_colours_go_where_the_benchmark_has_them():
    colors = read_color_sets("color_easy")[7]
    files = paint(ASSETS, colors)
    assert attributes(files, "grid", "texture") == {
        "rgb1": colors["grid_rgb1"],
        "rgb2": colors["grid_rgb2"],
        "markrgb": colors["grid_rgb2"],
    }
    assert attributes(files, "self", "material") == {"rgba": [*colors["self_rgb"], 1.0]}
    sky = attributes(files, "skybox", "texture")
    assert sky == {"rgb1": colors["skybox_rgb"], "rgb2": [0, 0, 0], "markrgb": [1, 1, 1]}
    assert files["./common/visual.xml"] == ASSETS["./common/visual.xml"]
    green = paint(ASSETS, {**SKY_GREEN, **FLOOR_GREEN})
    for name in ("grid", "skybox"):
        assert set(map(tuple, attributes(green, name, "texture").values())) == {(0.2, 0.8, 0.2)}
    assert attributes(green, "self", "material") == {"rgba": [0.7, 0.5, 0.3, 1]}


@pytest.mark.parametrize("mode", ["color_easy", "color_hard"])
def test_there_are_a_hundred_sets_of_colours(mode):
    sets = read_color_sets(mode)
    assert len(sets) == 100 == len({json.dumps(colors) for colors in sets})
    assert {key for colors in sets for key in colors} == {
        "grid_rgb1", "grid_rgb2", "skybox_rgb", "self_rgb",
    }  # fmt: skip
    values = np.array([list(colors.values()) for colors in sets])
    assert values.min() >= 0 and values.max() <= 1


def test_the_chroma_key_is_that_of_a_loop_over_pixels():
    rng = np.random.default_rng(0)
    frame = rng.integers(0, 256, (60, 60, 3)).astype(np.uint8)
    frame[:5] = rng.integers(0, 3, (5, 60, 3)) * 100
    frame[5] = (51, 204, 51)
    background = rng.integers(0, 256, frame.shape).astype(np.uint8)
    expected = frame.copy()
    for y, x in np.ndindex(60, 60):
        hue, saturation, value = colorsys.rgb_to_hsv(*(int(c) / 255 for c in frame[y, x]))
        if 100 <= 360 * hue <= 185 and 255 * saturation >= 80 and 255 * value >= 70:
            expected[y, x] = background[y, x]
    result = replace_green(frame, background)
    wrong = (result != expected).any(2)
    # a pixel on a bound may fall to either side by rounding
    assert wrong.sum() <= 2 and (expected != frame).any(2).mean() > 0.05
    assert (result[5] == background[5]).all()


def write_video(path, colors) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    frames = np.stack([np.full((32, 48, 3), color, np.uint8) for color in colors])
    imageio.imwrite(path, frames, plugin="FFMPEG", fps=5, macro_block_size=None)


def test_videos_are_in_the_order_of_their_numbers_and_read_once(tmp_path):
    for i in (10, 2, 0):
        write_video(tmp_path / "video_easy" / f"video{i}.mp4", [(200, 20, 20), (20, 20, 200)])
    found = find_videos(tmp_path, "video_easy")
    assert [path.stem for path in found] == ["video0", "video2", "video10"]
    frames = read_clip(found[0], 20)
    assert frames.shape == (2, 20, 20, 3)
    assert frames[0, ..., 0].mean() > 150 and frames[1, ..., 2].mean() > 150
    assert read_clip(found[0], 20) is frames


def test_what_is_missing_is_one_line(tmp_path):
    with pytest.raises(ExplainError, match=r"'video_hard' needs videos: give their folder"):
        DMCGeneralizationEnv("walker_walk", "video_hard")
    with pytest.raises(ExplainError, match=r"no videos in .*video_easy: clips are expected as"):
        DMCGeneralizationEnv("walker_walk", "video_easy", background_folder=tmp_path)
    with pytest.raises(ExplainError, match=r"unknown mode 'video'; did you mean 'video_"):
        DMCGeneralizationEnv("walker_walk", "video")
    (tmp_path / "video_easy").mkdir()
    (tmp_path / "video_easy" / "video0.mp4").write_bytes(b"no video")
    with pytest.raises(ExplainError, match="cannot be read as a video: replace it"):
        read_clip(tmp_path / "video_easy" / "video0.mp4", 20)


def test_without_opengl_it_says_what_to_install(monkeypatch):
    pytest.importorskip("dm_control")
    env = DMCGeneralizationEnv("cartpole_swingup")

    def broken(**size):
        raise ImportError("Cannot initialize a EGL device display.\nmore")

    monkeypatch.setattr(env._control.unwrapped.physics, "render", broken)
    with pytest.raises(ExplainError, match=r"cannot draw \(Cannot initialize a EGL device display"):
        env.reset(seed=0)


def test_without_the_packages_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "dm_control", None)
    with pytest.raises(ExplainError, match=r"DMControl is not installed .*sb3-explain\[dmc\]"):
        DMCGeneralizationEnv("cartpole_swingup")


def test_all_ids_are_there():
    import sb3_explain  # noqa: F401

    for task in TASKS:
        for mode in MODES:
            assert gym.spec(env_id(task, mode)).kwargs == {"task": task, "mode": mode}


@pytest.fixture(scope="module")
def draws() -> None:
    """Skip where nothing can be drawn."""
    pytest.importorskip("dm_control")
    pytest.importorskip("shimmy")
    try:
        DMCGeneralizationEnv("cartpole_swingup", size=8).reset(seed=0)
    except ExplainError as error:
        pytest.skip(str(error))


@pytest.mark.usefixtures("draws")
class TestDrawn:
    def test_an_episode(self):
        env = gym.make(env_id("cartpole_swingup", "train"), action_repeat=8, size=24)
        observation, _ = env.reset(seed=1)
        assert observation.shape == (9, 24, 24) and observation.dtype == np.uint8
        frames = observation.reshape(3, 3, 24, 24)
        assert (frames[0] == frames[2]).all()
        for step in range(1, 126):
            after, reward, terminated, truncated, _ = env.step(env.action_space.sample())
            assert not terminated and truncated == (step == 125) and 0 <= reward <= 8
            assert (after[:6] == observation[3:]).all()
            observation = after

    def test_the_same_seed_is_the_same_episode_and_another_is_not(self):
        def first(env, seed):
            return env.reset(seed=seed)[0], env.step(np.ones(1, np.float32))[0]

        env, other = (DMCGeneralizationEnv("cartpole_swingup", "color_hard", size=24) for _ in "ab")
        for ours, theirs in zip(first(env, 5), first(other, 5), strict=True):
            assert (ours == theirs).all()
        assert (first(env, 6)[0] != first(other, 5)[0]).mean() > 0.5

    def test_videos_replace_the_sky_and_in_the_hard_mode_the_floor(self, tmp_path):
        for mode in ("video_easy", "video_hard"):
            write_video(tmp_path / mode / "video0.mp4", [(220, 20, 20), (20, 20, 220)])
        red = {}
        for mode in ("train", "video_easy", "video_hard"):
            env = DMCGeneralizationEnv("walker_walk", mode, size=32, background_folder=tmp_path)
            newest = env.reset(seed=0)[0][-3:].astype(int)
            red[mode] = (newest[0] > 150) & (newest[2] < 80)
            # one frame of the video per decision
            later = env.step(env.action_space.sample())[0][-3:].astype(int)
            if mode != "train":
                blue = (later[2] > 150) & (later[0] < 80)
                assert blue.mean() > 0.25
        assert red["train"].mean() < 0.02
        assert red["video_easy"][:16].mean() > 0.7 > 0.1 > red["video_easy"][24:].mean()
        assert red["video_hard"][24:].mean() > 0.7

    def test_tasks_that_cannot_be_painted_are_refused(self):
        DMCGeneralizationEnv("cartpole_two_poles", size=8).reset(seed=0)
        for task in ("cartpole_two_poles", "swimmer_swimmer6"):
            with pytest.raises(ExplainError, match="only mode 'train' supports it"):
                DMCGeneralizationEnv(task, "color_easy", size=8).reset(seed=0)

    def test_impossible_sizes_are_one_line(self):
        with pytest.raises(ExplainError, match="action_repeat=0"):
            DMCGeneralizationEnv("cartpole_swingup", action_repeat=0)

    def test_unknown_tasks_are_refused(self):
        with pytest.raises(ExplainError, match=r"unknown task 'walker_fly'; did you mean 'walker_"):
            DMCGeneralizationEnv("walker_fly")
