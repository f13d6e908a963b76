"""The how-to pages run, and make the pictures that they show."""

import importlib.util

import pytest

from tests.pages import ROOT, list_pictures, read_code, run_script, shorten_training

FOLDER = ROOT / "docs" / "how_to"
PAGES = sorted(path.stem for path in FOLDER.glob("*.md") if path.stem != "index")
#: what a page needs that is an extra of the package
NEEDS = {
    "multi_agent": ("pettingzoo", "supersuit"),
    "overlays_and_videos": ("ale_py",),
    "vectors_and_dicts": ("shap",),
}


@pytest.mark.slow  # each page trains a model or more
@pytest.mark.parametrize("page", PAGES)
def test_page(page, tmp_path):
    for package in NEEDS.get(page, ()):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"needs {package}")
    file = FOLDER / f"{page}.md"
    run_script(shorten_training(read_code(file), 512), tmp_path)
    pictures = list_pictures(file)
    assert pictures
    for picture in pictures:
        assert (tmp_path / picture.name).stat().st_size > 1000


@pytest.mark.parametrize("page", PAGES)
def test_page_is_short_and_shows_small_pictures(page):
    assert len((FOLDER / f"{page}.md").read_text(encoding="utf-8").splitlines()) <= 110
    for picture in list_pictures(FOLDER / f"{page}.md"):
        assert picture.stat().st_size <= 60_000, f"python -m benchmarks.draw_how_to {page}"


def test_every_page_is_in_the_table_of_contents():
    listed = (FOLDER / "index.md").read_text(encoding="utf-8").splitlines()
    assert set(PAGES) <= set(listed)
