"""Agents from zoo folders, zips and the Hub; nothing in a file is ever run."""

from sb3_explain.agents.loading.load import load_agent

__all__ = ["load_agent"]
