"""The viewer's scripts joined into one, and the policy that lets them run."""

import base64
import hashlib
import re

import pytest

from sb3_explain.report.page_template import make_policy
from sb3_explain.report.viewer.bundle import SCRIPTS, UPLOT, hash_of, join_scripts

HASHES = {
    "uPlot-1.6.32.iife.min.js": "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f",
    "uPlot-1.6.32.min.css": "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04",
}


def test_what_is_vendored_is_what_was_published():
    for name, digest in HASHES.items():
        content = (UPLOT.parent / name).read_bytes()
        assert hashlib.sha256(content).hexdigest() == digest
    assert "MIT" in (UPLOT.parent / "uPlot-LICENSE.txt").read_text()


PAGES = ("page.js", "live.js", "sorting.js", "widget.js")


#: what anywidget reads of a module
WIDGET = "export default { render };"


def test_every_module_belongs_to_a_page():
    joined = "".join(map(join_scripts, PAGES))
    for path in SCRIPTS.glob("*.js"):
        assert path.read_text().splitlines()[0] in joined, path.name


@pytest.mark.parametrize("page", PAGES)
def test_every_module_is_joined_once_and_after_what_it_imports(page):
    joined = join_scripts(page)
    for path in SCRIPTS.glob("*.js"):
        source = path.read_text()
        first = source.splitlines()[0]  # says what the module is for
        assert joined.count(first) <= 1, path.name
        if first not in joined:
            continue
        for imported in re.findall(r'from "\./(\w+\.js)"', source):
            other = (SCRIPTS / imported).read_text().splitlines()[0]
            assert joined.index(other) < joined.index(first)
    assert not re.search(r"^(import|export) ", joined.replace(WIDGET, ""), re.MULTILINE)


@pytest.mark.parametrize("page", PAGES)
def test_no_two_names_of_modules_are_the_same(page):
    joined = join_scripts(page)
    names = re.findall(r"^(?:async )?(?:function|class|const|let) (\w+)", joined, re.M)
    assert len(names) == len(set(names))


def test_the_policy_lets_in_what_was_written_and_no_more():
    policy = make_policy("p { }", ["run()"])
    digest = base64.b64encode(hashlib.sha256(b"run()").digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy and "http" not in policy
    assert "script-src" not in make_policy("p { }", [])
    assert hash_of("a") != hash_of("b")
