"""Explanations while an agent learns: callbacks for ``model.learn`` and for rl-zoo3's yml files."""

from sb3_explain.callbacks.learned import StateGeneratorCallback, VisionMaskCallback
from sb3_explain.callbacks.metrics import MetricsCallback
from sb3_explain.callbacks.saliency import SaliencyCallback

__all__ = [
    "MetricsCallback",
    "SaliencyCallback",
    "StateGeneratorCallback",
    "VisionMaskCallback",
]
