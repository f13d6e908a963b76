"""Explainers: one file for each method, which a decorator enters into the registry."""

from sb3_explain.common.registry import Registry
from sb3_explain.explainers.base import Explainer

#: explainers by name
EXPLAINERS: Registry[type[Explainer]] = Registry("explainer", __name__)
