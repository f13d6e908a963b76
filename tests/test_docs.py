"""The code of the documentation runs: all marked blocks of a page as one script."""

import re
from pathlib import Path

import pytest

import sb3_explain
from tests.pages import ROOT, read_code, run_script

pytestmark = pytest.mark.slow
#: page -> what is made smaller in its code
PAGES = {
    "readme": {
        "learn(20_000)": "learn(128)",
        "n_steps=100": "n_steps=5",
        "n_states=500": "n_states=80",
    },
    "quickstart": {
        "learn(20_000)": "learn(128)",
        "n_states=2000": "n_states=160, max_per_episode=20",
        "VisionMask(agent)": "VisionMask(agent, refine_steps=2)",
        "epochs=1": "epochs=1, progress=False",
        "n_evaluated=50": "n_evaluated=2",
    },
    "environments": {},
    "pictures": {"learn(128)": "learn(64)"},
    "training": {
        "n_steps=128, batch_size=256": "n_steps=8, batch_size=64, n_epochs=1",
        "learn(1_000_000": "learn(64",
        "SaliencyCallback()": "SaliencyCallback(budget=None)",
        "MetricsCallback()": "MetricsCallback(budget=None, n_states=2)",
    },
    "highlights": {
        "learn(2048)": "learn(128)",
        "n_states=2000": "n_states=200, progress=False",
    },
    "diagnosis": {
        "learn(20_000)": "learn(256)",
        "n_states=2000": "n_states=200, n_episodes=5, max_steps=50, progress=False",
    },
    "tree": {
        "learn(20_000)": "learn(256)",
        "max_leaves=8": "max_leaves=8, n_rounds=1, n_episodes=2, n_evaluated=5, progress=False",
    },
    "replay": {},
    "sgqn": {
        "buffer_size=100_000": "buffer_size=100, learning_starts=2, batch_size=2",
        "learn(500_000)": "learn(3)",
    },
    "extending": {"n=600": "n=300", "epochs=2": "epochs=1"},
    "explainers": {"n_states=400": "n_states=240"},
    "counterfactual": {"learn(2048)": "learn(128)"},
    "probing": {
        "learn(2048)": "learn(128)",
        "n_states=2000": "n_states=300, max_per_episode=15, progress=False",
        "epochs=30": "epochs=2, progress=False",
        "n_samples=64,": "n_samples=8, steps=5,",
        "n_samples=16": "n_samples=4, steps=5",
        "n_episodes=10": "n_episodes=2",
    },
    "states": {},
    "metrics": {"n_states=400": "n_states=100", "n_episodes=10": "n_episodes=2"},
    "visionmask": {
        "n_states=4000": "n_states=300, max_per_episode=20",
        "epochs=5": "epochs=1, progress=False",
        "range(200)": "range(40)",
        "max_area=0.1, baseline=": "max_area=0.1, refine_steps=2, baseline=",
        "native, content=": "native, refine_steps=2, content=",
        "native_validation, epochs=2": "native_validation, epochs=1, progress=False",
    },
    "benchmark": {"n_states=1000": "n_states=1000, n_evaluated=10, progress=False"},
}
#: the tests that a page shows are run as well
RUN_TESTS = """
shown = [key for name, key in list(globals().items()) if name.startswith("test_")]
for test in shown:
    test()
print(len(shown), "tests passed")
"""


def script_of(page: str) -> str:
    path = ROOT / "README.md" if page == "readme" else ROOT / "docs" / f"{page}.md"
    code = read_code(path)
    for written, small in PAGES[page].items():
        assert code.count(written) == 1, f"{written} in {page}.md"
        code = code.replace(written, small)
    return code + RUN_TESTS


def run(page: str, folder: Path) -> str:
    return run_script(script_of(page), folder)


def test_training(tmp_path):
    pytest.importorskip("ale_py")
    run("training", tmp_path)
    made = tmp_path / "tb" / "PPO_1"
    assert (made / "saliency" / "monitor_64.png").exists()
    assert (made / "metrics" / "metrics.json").exists()


def test_states(tmp_path):
    assert "60 [20 20 20]" in run("states", tmp_path)


def test_tree(tmp_path):
    assert "for PPO on CartPole-v1" in run("tree", tmp_path)
    assert (tmp_path / "tree" / "tree.c").exists() and (tmp_path / "tree.png").exists()


def test_highlights(tmp_path):
    run("highlights", tmp_path)
    assert (tmp_path / "out" / "highlights.mp4").stat().st_size > 1000


def test_readme(tmp_path):
    # alone or level with another, after so short a training
    assert "Insertion (higher is better): Integrated gradients" in run("readme", tmp_path)
    for made in ("cartpole.png", "methods.png", "episode.mp4"):
        assert (tmp_path / made).stat().st_size > 1000


def test_quickstart(tmp_path):
    pytest.importorskip("ale_py")
    assert "sarfa" in run("quickstart", tmp_path)
    assert (tmp_path / "pong" / "visionmask" / "visionmask.safetensors").exists()
    for picture in (ROOT / "docs" / "images" / "quickstart").glob("*.png"):
        assert (tmp_path / picture.name).stat().st_size > 1000


def test_extending(tmp_path):
    said = run("extending", tmp_path)
    assert "patch_drop" in said and "4 tests passed" in said


def test_explainers(tmp_path):
    assert "('integrated_gradients', 'kernel_shap')" in run("explainers", tmp_path)
    assert (tmp_path / "importance.png").exists()


def test_counterfactual(tmp_path):
    said = run("counterfactual", tmp_path)
    assert "without 1 to 2" in said and "p(" in said


def test_probing(tmp_path):
    said = run("probing", tmp_path)
    assert "does the same on" in said and "recovered" in said and "0.7: " in said


def test_metrics(tmp_path):
    said = run("metrics", tmp_path)
    assert "sparseness" in said and "masked" in said and "spearman" in said


def test_visionmask(tmp_path):
    pytest.importorskip("ale_py")
    said = run("visionmask", tmp_path)
    assert said.splitlines()[-2] == "1.0"  # the agent agrees with itself on rendered frames


def test_environments(tmp_path):
    said = run("environments", tmp_path)
    assert "('left', 'right')" in said and "(22, 4, 53, 80)" in said


def test_benchmark(tmp_path):
    assert "feature_ablation" in run("benchmark", tmp_path)
    assert (tmp_path / "grid" / "bars.png").exists()


def test_sgqn(tmp_path):
    pytest.importorskip("dm_control")
    run("sgqn", tmp_path)
    assert (tmp_path / "sgqn.zip").exists()


def test_replay(tmp_path):
    pytest.importorskip("ale_py")
    assert "0 tests passed" in run("replay", tmp_path)


def test_the_reference_has_every_public_name_and_no_other():
    text = (ROOT / "docs" / "api.rst").read_text(encoding="utf-8")
    named = re.findall(r"^\.\. (?:auto\w+|py:data):: (\w+)$", text, flags=re.MULTILINE)
    assert sorted(named) == sorted(sb3_explain.__all__)


def test_readers_are_shown_the_public_face():
    """Pages and examples import from sb3_explain; from inside of it in at most eight lines."""
    docs, how_to = (ROOT / "docs").glob("*.md"), (ROOT / "docs" / "how_to").glob("*.md")
    pages = [ROOT / "README.md", *docs, *how_to, *(ROOT / "examples").rglob("*.py")]
    deep = [
        f"{page.name}: {line.strip()}"
        for page in pages
        for line in page.read_text(encoding="utf-8").splitlines()
        if re.match(r"\s*(from|import) sb3_explain\.", line)
    ]
    assert len(deep) <= 8, "\n".join(deep)
