"""Callbacks that explain an agent while it learns, for ``learn`` and rl-zoo3's YAML files."""

from sb3_explain.callbacks.learned import StateGeneratorCallback, VisionMaskCallback
from sb3_explain.callbacks.metrics import MetricsCallback
from sb3_explain.callbacks.saliency import SaliencyCallback

__all__ = [
    "MetricsCallback",
    "SaliencyCallback",
    "StateGeneratorCallback",
    "VisionMaskCallback",
]
