"""The README says what is there, with links that lead somewhere; the gallery shows it."""

import configparser
import re
from pathlib import Path

from sb3_explain import EXPLAINERS, METRICS
from tests.explainers.kinds import agent_of

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCK_WITH_PICTURE = re.compile(r"```python\n([^`]*?)^```\n\n!\[", re.MULTILINE)
TARGET = re.compile(r"\]\(([^)\s]+)\)|^\[[^\]]+\]: (\S+)$", re.MULTILINE)


def read_table(heading):
    """The rows of the first table below a heading, as lists of cells, by each name in the first."""
    section = README.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")][2:]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {name: row for row in rows for name in re.findall(r"`([^`]+)`", row[0])}


def test_every_method_has_a_row_that_says_what_it_explains():
    rows = read_table("Methods")
    assert set(rows) == set(EXPLAINERS)
    for name, row in rows.items():
        for cell, kind in zip(row[2:4], ("image", "vector"), strict=True):
            supported = EXPLAINERS[name].unsupported(agent_of(kind)) is None
            assert cell.startswith("yes") == supported, f"{name}, {kind}"


def test_every_metric_has_a_row():
    assert {name.split("@")[0] for name in read_table("Metrics")} == {
        *(name.split("@")[0] for name in METRICS),
        "masked_return",
        "parameter_randomization",
    }


def test_links_lead_somewhere_also_on_a_package_index():
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    repository = config["metadata"]["url"]
    urls = dict(line.split(" = ") for line in config["metadata"]["project_urls"].split("\n")[1:])
    raw = repository.replace("github.com", "raw.githubusercontent.com") + "/main/"
    targets = [one or other for one, other in TARGET.findall(README)]
    assert len(targets) > 40
    for target in targets:
        assert target.startswith("https://"), f"{target} is relative"
        notebooks = repository.replace("github.com", "colab.research.google.com/github")
        for start in (raw, f"{repository}/blob/main/", f"{notebooks}/blob/main/"):
            if target.startswith(start):
                assert (ROOT / target.removeprefix(start)).is_file(), target
        if target.startswith(urls["Documentation"]):
            page = target.removeprefix(f"{urls['Documentation']}/en/latest/")
            assert (ROOT / "docs" / page.replace(".html", ".md")).is_file(), target


def test_the_gallery_has_a_sentence_and_a_picture_of_every_method():
    page = (ROOT / "docs" / "gallery.md").read_text(encoding="utf-8")
    shown = re.findall(r"^`(\w+)`: .+\n\n!\[[^\]]+\]\(([^)]+)\)", page, re.MULTILINE)
    assert {name for name, _ in shown} == set(EXPLAINERS)
    assert all((ROOT / "docs" / picture).is_file() for _, picture in shown)


def test_the_first_picture_takes_eight_lines():
    code, quickstart = (
        BLOCK_WITH_PICTURE.search((ROOT / name).read_text(encoding="utf-8"))[1].split()
        for name in ("README.md", "docs/quickstart.md")
    )
    assert code == quickstart  # whose picture the README shows
    block = BLOCK_WITH_PICTURE.search(README)[1]
    assert len([line for line in block.splitlines() if line]) <= 8
