"""Load agents from zoo folders, zips and the Hub, without running code from a file."""

from sb3_explain.agents.loading.load import load_agent

__all__ = ["load_agent"]
