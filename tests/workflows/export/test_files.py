"""Videos and GIFs, opened again by other readers, and what cannot be written."""

import imageio.v3 as iio
import numpy as np
import pytest
from PIL import Image
from stable_baselines3 import PPO

from sb3_explain import Agent, EnvRecipe, cli, export, make_explainer
from sb3_explain.common.errors import ExplainError
from sb3_explain.common.files import write_json
from sb3_explain.states.dataset import StateDataset
from tests.toys import dot_agent
from tests.workflows.export.toys import make_dots, make_folder


@pytest.fixture(scope="module")
def dots(tmp_path_factory):
    return make_dots(tmp_path_factory.mktemp("dots"))


@pytest.fixture(scope="module")
def cartpole(tmp_path_factory):
    """An agent of four numbers, and some of its episodes without frames."""
    model = PPO("MlpPolicy", "CartPole-v1", n_steps=8, batch_size=8, seed=0, device="cpu")
    agent = Agent.from_model(model, recipe=EnvRecipe("CartPole-v1"))
    return agent, make_folder(tmp_path_factory.mktemp("pole"), agent, n=60, render=False)


def test_a_video_has_every_step_at_its_pace(dots, tmp_path):
    agent, folder = dots
    path = tmp_path / "made" / "dots.mp4"
    made = export(
        agent, folder, path, explainer="gradient", n_steps=12, fps=10, height=96, progress=False
    )
    assert made.paths == [path] and len(made.steps) == 12
    decoded, about = iio.imread(path), iio.immeta(path)
    assert len(decoded) == 12 and about["fps"] == 10 and about["codec"] == "h264"
    width = 2 * 96 + 8  # the game twice, and the gap between
    assert decoded.shape[2] == width and decoded.shape[1] > 96
    # the game of the first step, under the line of titles
    game = StateDataset.open(folder / "episodes").rendered(made.steps.positions[:1])[0]
    top = decoded.shape[1] - 96 - _caption_height(decoded, game)
    left = decoded[0, top : top + 96, :96].astype(int)
    assert np.abs(left - game.repeat(2, 0).repeat(2, 1)).mean() < 8


def _caption_height(decoded, game):
    """Rows below the game: found where the enlarged game fits best."""
    large = game.repeat(2, 0).repeat(2, 1).astype(int)
    rows = range(decoded.shape[1] - 96)
    errors = [np.abs(decoded[0, r : r + 96, :96].astype(int) - large).mean() for r in rows]
    return decoded.shape[1] - 96 - int(np.argmin(errors))


def test_a_gif_has_every_step_and_is_small(dots, tmp_path):
    agent, folder = dots
    path = tmp_path / "dots.gif"
    made = export(
        agent, folder, path, explainer="gradient", episode=1, start=3, n_steps=8, fps=20,
        progress=False,
    )  # fmt: skip
    with Image.open(path) as picture:
        assert picture.n_frames == 8 and picture.info["duration"] == 50
        assert picture.info["loop"] == 0
        first = np.asarray(picture.convert("RGB"))
        picture.seek(7)
        last = np.asarray(picture.convert("RGB"))
    assert first.shape == last.shape and (first != last).any()
    assert path.stat().st_size < 400_000
    assert str(made).startswith("steps 3 to 10 of episode 1 (return ")
    assert f"kB  {path}" in str(made)


def test_several_files_show_the_same_steps(dots, tmp_path):
    agent, folder = dots
    paths = [tmp_path / "a.mp4", tmp_path / "b.gif", tmp_path / "frames"]
    export(agent, folder, *paths, explainer="gradient", n_steps=5, progress=False)
    with Image.open(paths[1]) as picture:
        assert len(iio.imread(paths[0])) == picture.n_frames == 5
    assert len(list(paths[2].glob("*_overlay.png"))) == 5


def test_the_page_says_what_is_explained(dots, tmp_path):
    """Its first explainer, and its target, are those of the export."""
    agent, folder = dots
    measured = {"explainers": {"occlusion": {}, "gradient": {}, "empty": {}, "random": {}}}
    write_json(folder / "metrics.json", {**measured, "states": {"target": "right"}})
    try:
        made = export(agent, folder, tmp_path / "frames", n_steps=1, progress=False)
        asked = export(
            agent, folder, tmp_path / "other", explainer=make_explainer("gradient", agent),
            target="left", n_steps=1, progress=False,
        )  # fmt: skip
    finally:
        (folder / "metrics.json").unlink()
    assert made.explainer == "occlusion" and asked.explainer == "gradient"
    for where, target in (("frames", "right"), ("other", "left")):
        row = (tmp_path / where / "steps.csv").read_text().splitlines()[1]
        assert f",{target}," in row


def test_an_agent_of_vectors_shows_the_rendered_game_with_bars(tmp_path):
    pytest.importorskip("pygame")
    model = PPO("MlpPolicy", "CartPole-v1", n_steps=8, batch_size=8, seed=0, device="cpu")
    agent = Agent.from_model(model, recipe=EnvRecipe("CartPole-v1"))
    folder = make_folder(tmp_path / "out", agent, n=20)
    export(
        agent, folder, tmp_path / "pole.mp4", tmp_path / "frames", explainer="feature_ablation",
        n_steps=4, height=200, progress=False,
    )  # fmt: skip
    assert len(iio.imread(tmp_path / "pole.mp4")) == 4
    (game, *_), (overlay, *_) = (
        sorted(path for path in (tmp_path / "frames").glob("step_*.png") if what(path))
        for what in (lambda path: "_" not in path.stem[5:], lambda path: "overlay" in path.name)
    )
    with Image.open(game) as plain, Image.open(overlay) as barred:
        assert barred.height == plain.height and barred.width > plain.width
        assert (np.asarray(barred)[:, : plain.width] == np.asarray(plain)).all()


@pytest.mark.parametrize(
    ("paths", "options", "says"),
    [
        ([], {}, "nothing to write: give a path"),
        (["a.avi"], {}, "a.avi': give a path that ends in .mp4, .gif or .rrd, or a folder"),
        (["a.mp4"], {"style": "haet"}, "unknown style 'haet'; did you mean 'heat'?"),
        (["a.mp4"], {"fps": 0}, "fps"),
        (["a.mp4"], {"height": 2}, "height"),
        (["a.mp4"], {"episode": 9}, "there is no episode 9"),
        (["a.mp4"], {"explainer": "grdient"}, "unknown explainer 'grdient'"),
        (["a.mp4"], {"explainer": "visionmask"}, "holds no visionmask: fit one first"),
        (["a.mp4"], {"target": "LEEFT"}, "unknown target 'LEEFT'"),
        (["a.mp4"], {"explainer": "sarfa", "target": "value"}, "sarfa explains actions, not value"),
    ],
)
def test_what_cannot_be_written_is_one_line(dots, tmp_path, paths, options, says):
    agent, folder = dots
    refused(says, agent, folder, *(tmp_path / path for path in paths), **options)
    assert not list(tmp_path.iterdir())


def refused(says, *arguments, **options):
    with pytest.raises(ExplainError) as error:
        export(*arguments, progress=False, **options)
    assert says in str(error.value) and "\n" not in str(error.value)


def test_without_states_or_pictures(dots, cartpole, tmp_path):
    agent, folder = dots
    refused("holds no states yet: run `sb3-explain explain`", agent, tmp_path, tmp_path / "a.mp4")
    pole, frameless = cartpole
    refused("has no rendered frames", pole, frameless, tmp_path / "a.mp4")
    refused("has no rendered frames", pole, frameless, tmp_path / "a.gif")
    other = dot_agent()
    other.view.policy.gain.data += 1
    refused("labelled by another agent", other, folder, tmp_path / "a.mp4")
    assert not list(tmp_path.iterdir())


def test_without_frames_the_numbers_are_left(cartpole, tmp_path):
    pole, folder = cartpole
    export(pole, folder, tmp_path / "out", explainer="gradient", n_steps=3, progress=False)
    assert {path.suffix for path in (tmp_path / "out").iterdir()} == {".npz", ".csv", ".json"}


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        ([], "give --video, --gif, --frames or --rerun"),
        (["--video", "a.gif"], "--video a.gif: give a path that ends in .mp4"),
        (["--gif", "a.mp4"], "--gif a.mp4: give a path that ends in .gif"),
        (["--frames", "a.png"], "--frames a.png: give a folder without a suffix"),
        (["--rerun", "a"], "--rerun a: give a path that ends in .rrd"),
    ],
)
def test_flags_that_do_not_fit(flags, says, tmp_path, capsys):
    assert cli.main(["export", "-o", str(tmp_path), *flags]) == 2
    line = capsys.readouterr().err.strip()
    assert says in line and line.startswith("sb3-explain: ") and "\n" not in line


def test_a_recording_is_opened_by_rerun_and_not_by_a_browser(tmp_path, capsys, monkeypatch):
    class Made:
        paths = [tmp_path / "my recording.rrd"]  # noqa: RUF012

    monkeypatch.setattr("sb3_explain.cli.export.load_named_agent", lambda _: None)
    monkeypatch.setattr("sb3_explain.cli.export.export", lambda *_, **__: Made())
    assert cli.main(["export", "-o", str(tmp_path), "--rerun"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"open    rerun '{Made.paths[0]}'"
