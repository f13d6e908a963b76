"""Explanations of Stable-Baselines3 agents that can be trusted.

>>> from sb3_explain import VisionMask, collect, evaluate, load_agent
"""

import importlib
from typing import TYPE_CHECKING, Any

from sb3_explain.common.errors import unknown_name
from sb3_explain.envs.dmc import ids

__version__ = "0.1.0"

ids.register()

#: each public name and its module, which is imported when the name is first used
_MODULES = {
    "BASELINES": "states.baselines",
    "EXPLAINERS": "explainers",
    "METRICS": "evaluation.metrics",
    "NETWORKS": "explainers.learned.networks",
    "RAD": "sgqn",
    "SGQN": "sgqn",
    "SODA": "sgqn",
    "SVEA": "sgqn",
    "TARGETS": "probing.targets",
    "Agent": "agents.agent",
    "DrQ": "sgqn",
    "EnvRecipe": "envs.recipe",
    "ExplainError": "common.errors",
    "PixelSAC": "sgqn",
    "StateDataset": "states.dataset",
    "StateGenerator": "probing",
    "VisionMask": "explainers.learned.visionmask",
    "collect": "states.collection",
    "evaluate": "evaluation.evaluate",
    "load_agent": "agents.loading",
    "probe": "probing",
}
#: names of earlier versions
_RENAMED = {"REFERENCES": "BASELINES"}

__all__ = sorted(_MODULES)

if TYPE_CHECKING:  # the same names for whoever reads types without running the package
    from sb3_explain.agents.agent import Agent as Agent
    from sb3_explain.agents.loading import load_agent as load_agent
    from sb3_explain.common.errors import ExplainError as ExplainError
    from sb3_explain.envs.recipe import EnvRecipe as EnvRecipe
    from sb3_explain.evaluation.evaluate import evaluate as evaluate
    from sb3_explain.evaluation.metrics import METRICS as METRICS
    from sb3_explain.explainers import EXPLAINERS as EXPLAINERS
    from sb3_explain.explainers.learned.networks import NETWORKS as NETWORKS
    from sb3_explain.explainers.learned.visionmask import VisionMask as VisionMask
    from sb3_explain.probing import StateGenerator as StateGenerator
    from sb3_explain.probing import probe as probe
    from sb3_explain.probing.targets import TARGETS as TARGETS
    from sb3_explain.sgqn import RAD as RAD
    from sb3_explain.sgqn import SGQN as SGQN
    from sb3_explain.sgqn import SODA as SODA
    from sb3_explain.sgqn import SVEA as SVEA
    from sb3_explain.sgqn import DrQ as DrQ
    from sb3_explain.sgqn import PixelSAC as PixelSAC
    from sb3_explain.states.baselines import BASELINES as BASELINES
    from sb3_explain.states.collection import collect as collect
    from sb3_explain.states.dataset import StateDataset as StateDataset
else:  # a type checker that saw __getattr__ would believe that every name exists

    def __getattr__(name: str) -> Any:
        """Import a public name when it is first used (PEP 562)."""
        if name in _RENAMED:  # an AttributeError would not be shown after ``from sb3_explain``
            raise ImportError(f"sb3_explain.{name} is called {_RENAMED[name]} now")
        if name not in _MODULES:
            error = unknown_name("name of sb3_explain", name, __all__)
            # with ``name``, or the interpreter appends a suggestion of its own
            raise AttributeError(str(error), name=name)
        value = getattr(importlib.import_module(f"sb3_explain.{_MODULES[name]}"), name)
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
