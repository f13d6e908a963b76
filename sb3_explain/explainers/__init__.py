"""Explanation methods: one file each, entered in the registry by its decorator."""

from sb3_explain.common.registry import Registry
from sb3_explain.explainers.base import Explainer

#: explainers by name
EXPLAINERS: Registry[type[Explainer]] = Registry("explainer", __name__)
