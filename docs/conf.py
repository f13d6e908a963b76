"""Configuration of Sphinx."""

from importlib.metadata import version as installed_version

project = "sb3_explain"
author = "The sb3_explain authors"
copyright = "2026, The sb3_explain authors"
version = release = installed_version("sb3_explain")

extensions = ["sphinx.ext.autodoc", "sphinx.ext.autosummary", "sphinx.ext.viewcode", "myst_parser"]
exclude_patterns = ["_build", "_templates"]
templates_path = ["_templates"]

autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_member_order = "bysource"

html_theme = "furo"
html_title = f"sb3_explain {release}"
