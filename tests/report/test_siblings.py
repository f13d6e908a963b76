"""Pages of one output folder lead to each other."""

import re

from sb3_explain.report import write_report
from sb3_explain.report.contact_sheet import Tile, contact_sheet
from sb3_explain.report.page import Picture
from sb3_explain.report.probe_page import Probed, write_probe_page
from sb3_explain.report.siblings import LINKED, list_siblings


def list_links(page):
    found = re.search(r"<nav.*?</nav>", page.read_text(encoding="utf-8"), re.S)
    return [] if found is None else re.findall(r'<a href="([^"]*)">', found[0])


def write_probes(folder):
    sheet = contact_sheet([Tile([0.5, 0.5], "left", features=[1.0])], ["left", "right"])
    probed = [Probed("T-", "low", {"value": "1"}, Picture(sheet, "found"))]
    return write_probe_page(
        folder / "probes.html", title="t", sentences=["s"], probed=probed, quality=[]
    )


def test_a_page_that_is_alone_has_no_links(tmp_path):
    page = write_report(tmp_path, metrics={})
    assert "<nav" not in page.read_text()
    assert list_siblings(page) == []


def test_pages_link_to_what_is_there_when_they_are_written(tmp_path):
    first = write_report(tmp_path, metrics={})
    probes = write_probes(tmp_path)
    assert list_links(first) == []  # written before
    assert list_links(probes) == ["report.html"]
    (tmp_path / "highlights.mp4").touch()
    (tmp_path / "why").mkdir()
    (tmp_path / "why" / 'state_3"<b>.png').touch()
    page = write_report(tmp_path, metrics={})
    assert list_links(page) == [
        "probes.html", "highlights.mp4", "why/state_3%22%3Cb%3E.png",
    ]  # fmt: skip
    assert '<span aria-current="page">Report</span>' in page.read_text()
    for address in list_links(page)[:2]:
        assert (tmp_path / address).exists()
    for number in range(20):
        (tmp_path / "why" / f"state_{number}.png").touch()
    assert sum(one.address.startswith("why/") for one in list_siblings(page)) == LINKED
