"""How the documentation is built: equations without a script, nothing from the network."""

import importlib.util
import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"
EQUATION = re.compile(r"\$\$(.+?)\$\$|(?<![\\$\w])\$([^$`]+?)\$(?!\w)", re.DOTALL)


def load(name):
    """A module of the documentation's build, which is no package."""
    for package in ("sphinx", "latex2mathml"):
        pytest.importorskip(package)
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def list_equations():
    for page in sorted(DOCS.glob("**/*.md")):
        text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.S | re.M)
        for block, inline in EQUATION.findall(re.sub(r"`[^`\n]+`", "", text)):
            yield page.name, block or inline


def test_every_equation_is_mathml_without_what_latex_has():
    mathml = load("mathml")
    equations = list(list_equations())
    assert len(equations) > 100
    for page, latex in equations:
        assert mathml.to_mathml(latex, "inline").startswith("<math"), page


def test_a_command_without_mathml_is_refused():
    mathml = load("mathml")
    with pytest.raises(ValueError, match=r"no MathML for \\nothing"):
        mathml.to_mathml(r"x = \nothing{y}", "block")


def test_functions_have_thin_spaces_and_norms_have_none():
    mathml = load("mathml")
    said = mathml.to_mathml(r"p \log p + \operatorname{KL}(a) + \lVert x \rVert", "inline")
    space = '<mspace width="0.167em" />'
    assert f"<mi>p</mi>{space}<mi>log</mi>{space}<mi>p</mi>" in said
    assert "<mi>KL</mi><mo" in said
    assert said.count('lspace="0"') == 2


def test_what_a_page_fetches_is_found_and_links_are_not():
    find_fetched = load("offline").find_fetched
    fetched = (
        '<script async src="https://cdn.example.org/a.js"></script>'
        '<link rel="stylesheet" href="//example.org/b.css"><img alt="" src="http://example.org/c">'
        "@import url(https://example.org/d.css); src: url('https://example.org/e.woff')"
    )
    assert len(find_fetched(fetched)) == 5
    links = (
        '<a href="https://example.org"><img src="_images/a.png"></a>'
        '<link rel="canonical" href="https://example.org"><script src="_static/a.js"></script>'
        '<svg xmlns="http://www.w3.org/2000/svg">url("data:image/svg+xml;charset=utf-8")'
    )
    assert find_fetched(links) == []
