"""The libraries of the study's page are those that were published."""

import hashlib
import re

from sb3_explain.report.study.page import LIBRARIES, SCRIPTS, VENDOR, find_origin, read_library
from sb3_explain.report.viewer.bundle import join_scripts

HASHES = {
    "jspsych-8.3.0.min.js": "b58c69e607f2ddbd282f2daec43d882cac18d9e3efdad816215b818d1406d6ce",
    "jspsych-plugin-html-button-response-2.1.0.min.js": (
        "d4df2ebfd7dfac1451198dcb2b3ea45ad810eda7aa24e45e6851e1b531cbf0c9"
    ),
}


def test_what_is_vendored_is_what_was_published():
    assert set(HASHES) == set(LIBRARIES)
    for name, digest in HASHES.items():
        assert hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() == digest
        assert f"{digest}  {name}" in (VENDOR / "SHA256SUMS").read_text()
    assert "MIT" in (VENDOR / "jsPsych-LICENSE.txt").read_text()


def test_no_library_names_an_address_to_fetch():
    for name in LIBRARIES:
        assert "sourceMappingURL" not in read_library(name)


def test_every_module_is_joined_once_and_no_two_names_are_the_same():
    joined = join_scripts("study.js", SCRIPTS)
    for path in SCRIPTS.glob("*.js"):
        assert joined.count(path.read_text().splitlines()[0]) == 1, path.name
    names = re.findall(r"^(?:async )?(?:function|class|const|let) (\w+)", joined, re.M)
    assert len(names) == len(set(names))


def test_the_policy_lets_answers_go_to_one_origin():
    assert find_origin("https://a.example:8000/answers?x=1") == "https://a.example:8000"
    assert find_origin("") == ""
