"""Configuration of Sphinx."""

import sys
from importlib.metadata import version as installed_version
from pathlib import Path

project = "sb3_explain"
author = "The sb3_explain authors"
copyright = "2026, The sb3_explain authors"
version = release = installed_version("sb3_explain")

extensions = ["sphinx.ext.autodoc", "sphinx.ext.viewcode", "myst_parser"]
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


def write_supported(app):
    """Which explainer supports which agent, asked of the agents that the contract tests run on."""
    sys.path.insert(0, str(Path(app.srcdir).parent))
    from tests.explainers.kinds import table

    generated = Path(app.srcdir) / "_generated"
    generated.mkdir(exist_ok=True)
    (generated / "supported.md").write_text(table(), encoding="utf-8")


def setup(app):
    app.connect("builder-inited", write_supported)
    app.connect("autodoc-process-docstring", escape_bars)
