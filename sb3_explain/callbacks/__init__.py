"""Callbacks that explain an agent while it learns, for ``learn`` and rl-zoo3's YAML files."""

from sb3_explain.callbacks.diagnosis import DiagnosisCallback
from sb3_explain.callbacks.generator import StateGeneratorCallback
from sb3_explain.callbacks.metrics import MetricsCallback
from sb3_explain.callbacks.objects import ObjectAttentionCallback
from sb3_explain.callbacks.saliency import SaliencyCallback
from sb3_explain.callbacks.visionmask import VisionMaskCallback

__all__ = [
    "DiagnosisCallback",
    "MetricsCallback",
    "ObjectAttentionCallback",
    "SaliencyCallback",
    "StateGeneratorCallback",
    "VisionMaskCallback",
]
