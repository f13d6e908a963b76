"""Equations as MathML, which browsers draw without a script and without a network."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.writers.html5 import HTML5Translator

logger = logging.getLogger(__name__)

NAMESPACE = "http://www.w3.org/1998/Math/MathML"
ElementTree.register_namespace("", NAMESPACE)
#: a command that the converter does not know stands in its output as it was written
UNKNOWN = re.compile(r"\\[A-Za-z]+")
#: log, KL, softmax: set upright, with a thin space where no bracket follows
FUNCTION = re.compile(r"[A-Za-z]{2,}")
BARS = {"|", "\N{DOUBLE VERTICAL LINE}"}
_THIN = "0.167em"


def to_mathml(latex: str, display: str) -> str:
    """Return an equation as an element of MathML.

    :param latex: the equation, without dollars
    :param display: ``"inline"`` or ``"block"``
    :raises ValueError: if it has a command that would be shown as it stands
    """
    equation = ElementTree.fromstring(str(convert(latex.strip(), display=display)))
    unknown = UNKNOWN.search("".join(equation.itertext()))
    if unknown:
        raise ValueError(f"no MathML for {unknown[0]} in {latex.strip()!r}")
    for element in list(equation.iter()):
        space_functions(element)
        if element.tag == _tag("mo") and element.text in BARS:
            # magnitudes and norms: as high as a letter, without the spaces of a relation
            element.attrib.update(stretchy="false", lspace="0", rspace="0")
    return ElementTree.tostring(equation, encoding="unicode")


def space_functions(row: ElementTree.Element) -> None:
    """Put thin spaces around names of functions, as TeX does, where the converter puts none.

    :param row: element whose children stand beside each other; others stay as they are
    """
    if row.tag not in (_tag("math"), _tag("mrow")):
        return
    children = list(row)
    for before, child, after in zip(
        [None, *children], children, [*children[1:], None], strict=False
    ):
        name = child
        while name.tag in map(_tag, ("msub", "msup", "msubsup", "munder")):
            name = name[0]
        if name.tag not in (_tag("mi"), _tag("mo")) or not FUNCTION.fullmatch(name.text or ""):
            continue
        name.tag = _tag("mi")
        place = list(row).index(child)
        if after is not None and after.tag != _tag("mo"):
            row.insert(place + 1, _make_space())
        if before is not None and (
            before.tag not in (_tag("mo"), _tag("mspace")) or before.text == ")"
        ):
            row.insert(place, _make_space())


def _tag(name: str) -> str:
    return f"{{{NAMESPACE}}}{name}"


def _make_space() -> ElementTree.Element:
    return ElementTree.Element(_tag("mspace"), width=_THIN)


def _write(translator: HTML5Translator, node: nodes.Element, display: str) -> None:
    try:
        translator.body.append(to_mathml(node.astext(), display))
    except ValueError as error:
        logger.warning(str(error), location=node)


def visit_inline(translator: HTML5Translator, node: nodes.math) -> None:
    """Write an equation of a line of text."""
    _write(translator, node, "inline")
    raise nodes.SkipNode


def visit_block(translator: HTML5Translator, node: nodes.math_block) -> None:
    """Write an equation that stands by itself; a narrow screen scrolls it."""
    translator.body.append(translator.starttag(node, "div", CLASS="math-block"))
    _write(translator, node, "block")
    translator.body.append("</div>\n")
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the renderer that ``html_math_renderer`` names."""
    app.add_html_math_renderer("mathml", (visit_inline, None), (visit_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
