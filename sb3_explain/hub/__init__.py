"""Explainers and generators on the Hugging Face Hub."""

from sb3_explain.hub.transfer import from_hub, push_to_hub

__all__ = ["from_hub", "push_to_hub"]
