"""Configuration of Sphinx."""

import sys
from importlib.metadata import version as installed_version
from pathlib import Path

project = "sb3_explain"
author = "The sb3_explain authors"
copyright = "2026, The sb3_explain authors"
version = release = installed_version("sb3_explain")

sys.path.insert(0, str(Path(__file__).parent))
extensions = [
    "sphinx.ext.autodoc", "sphinx.ext.viewcode", "myst_parser", "sphinx_copybutton", "mathml",
    "offline",
]  # fmt: skip
html_math_renderer = "mathml"
html_static_path = ["_static"]
html_css_files = ["pages.css"]
exclude_patterns = ["tables", "_build", "_generated"]
myst_enable_extensions = ["amsmath", "colon_fence", "dollarmath"]
myst_heading_anchors = 3

autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_member_order = "bysource"

html_theme = "furo"
html_title = f"sb3_explain {release}"


def escape_bars(app, what, name, obj, options, lines):
    """In a docstring's equations a bar is a magnitude, not a substitution of reST."""
    for i, line in enumerate(lines):
        parts = line.split("``")  # every second part is literal
        parts[::2] = [part.replace("|", r"\|") for part in parts[::2]]
        lines[i] = "``".join(parts)


def write_tables(app):
    """Write the tables that the tests know: which explainer supports which agent, and each call."""
    sys.path.insert(0, str(Path(app.srcdir).parent))
    from tests.explainers import kinds
    from tests.workflows import test_any_model

    generated = Path(app.srcdir) / "_generated"
    generated.mkdir(exist_ok=True)
    (generated / "supported.md").write_text(kinds.table(), encoding="utf-8")
    (generated / "calls.md").write_text(test_any_model.table(), encoding="utf-8")


def setup(app):
    app.connect("builder-inited", write_tables)
    app.connect("autodoc-process-docstring", escape_bars)
