"""Explains what Stable-Baselines3 agents attend to, and tests whether explanations are faithful.

An agent is loaded, plays, and is explained; the explanation is evaluated::

    from sb3_explain import collect, evaluate, load_agent, make_explainer

    agent = load_agent("ppo", "PongNoFrameskip-v4", folder="rl-trained-agents")
    states = collect(agent, n_states=1000, folder="states")
    explainer = make_explainer("sarfa", agent)
    attributions = explainer.attribute(states.observations([0, 1]))
    print(evaluate(agent, states, [explainer], n_evaluated=100).table())
"""

import importlib
from typing import TYPE_CHECKING, Any

from sb3_explain.common.errors import unknown_name
from sb3_explain.common.renamed import find_new_name
from sb3_explain.envs.dmc import ids as dmc
from sb3_explain.envs.robot import ids as robot

__version__ = "0.1.0"

dmc.register()
robot.register()

#: each public name and its module, which is imported when the name is first used
_MODULES = {
    "ActivatingStates": "workflows.inside",
    "Agent": "agents.agent",
    "AtariPreprocessing": "agents.native",
    "AttentionWeights": "agents.attention",
    "BASELINES": "states.baselines",
    "BehaviorCluster": "workflows.behavior",
    "BehaviorMap": "workflows.behavior",
    "CHECKS": "workflows.diagnosis",
    "Constant": "explainers.controls",
    "CriticalSteps": "workflows.critical_steps",
    "Diagnosis": "workflows.diagnosis",
    "DiagnosisCallback": "callbacks",
    "DrQ": "sgqn",
    "EXPLAINERS": "explainers",
    "Empty": "explainers.controls",
    "EnvRecipe": "envs.recipe",
    "Evaluation": "evaluation.evaluate",
    "ExplainError": "common.errors",
    "Explainer": "explainers.base",
    "FeatureAblation": "explainers.perturbation.feature_ablation",
    "Finding": "workflows.diagnosis",
    "FittedBaseline": "states.baselines",
    "FittedExplainer": "explainers.base",
    "ForwardCache": "states.cache",
    "FrameStackReplayBuffer": "sgqn.replay_buffer",
    "GameObject": "envs.objects",
    "GradCAM": "explainers.gradients.grad_cam",
    "Gradient": "explainers.gradients.gradient",
    "Greydanus": "explainers.perturbation.greydanus",
    "GuidedBackpropagation": "explainers.gradients.guided_backprop",
    "GuidedGradCAM": "explainers.gradients.guided_grad_cam",
    "InputXGradient": "explainers.gradients.input_x_gradient",
    "IntegratedGradients": "explainers.gradients.integrated_gradients",
    "Inside": "workflows.inside",
    "Interval": "common.bootstrap",
    "KernelSHAP": "explainers.perturbation.kernel_shap",
    "Lime": "explainers.perturbation.lime",
    "LinearProbes": "workflows.inside",
    "METRICS": "evaluation.metrics",
    "MarioPreprocessing": "agents.native",
    "MaskExplainer": "explainers.learned.base",
    "MaskSettings": "explainers.learned.settings",
    "MetricsCallback": "callbacks",
    "NETWORKS": "explainers.learned.networks",
    "Normalizer": "envs.recipe",
    "ObjectAttention": "evaluation.objects",
    "ObjectAttentionCallback": "callbacks",
    "ObjectStates": "evaluation.object_states",
    "Occlusion": "explainers.perturbation.occlusion",
    "OtherStates": "evaluation.others",
    "Outcome": "workflows.outcomes",
    "Outcomes": "workflows.outcomes",
    "PastSteps": "explainers.past_steps",
    "PixelSAC": "sgqn",
    "PolicyTree": "workflows.tree",
    "RAD": "sgqn",
    "Random": "explainers.controls",
    "Rise": "explainers.perturbation.rise",
    "SGQN": "sgqn",
    "SGQNSaliency": "explainers.sgqn",
    "SODA": "sgqn",
    "SSINet": "explainers.learned.ssinet",
    "SVEA": "sgqn",
    "SaliencyCallback": "callbacks",
    "Sarfa": "explainers.perturbation.sarfa",
    "SmoothGrad": "explainers.gradients.smoothgrad",
    "Stalder": "explainers.learned.stalder",
    "StateBatch": "states.batch",
    "StateDataset": "states.dataset",
    "StateGenerator": "probing",
    "StateGeneratorCallback": "callbacks",
    "StateMask": "workflows.critical_steps",
    "StateMaskFidelity": "workflows.critical_steps",
    "Swapped": "evaluation.controls",
    "TARGETS": "agents.targets.energies",
    "Template": "evaluation.controls",
    "ValueUnits": "agents.value_units",
    "VisionMask": "explainers.learned.visionmask",
    "VisionMaskCallback": "callbacks",
    "activating_states": "workflows.inside",
    "activation_maximization": "probing",
    "analyze_study": "workflows.study",
    "agreement": "states.labels",
    "attention": "agents.attention",
    "behavior_map": "workflows.behavior",
    "collect": "states.collection",
    "compare": "workflows.showing",
    "color_agent": "agents.native",
    "collect_objects": "evaluation.object_states",
    "confidence_interval": "common.bootstrap",
    "contrast": "explainers.counterfactual",
    "counterfactual": "explainers.counterfactual",
    "decode_objects": "envs.objects",
    "demo_agent": "agents.demo",
    "diagnose": "workflows.diagnosis",
    "distill": "workflows.tree",
    "evaluate": "evaluation.evaluate",
    "explain": "workflows.pipeline",
    "export": "workflows.export",
    "export_study": "workflows.study",
    "find_weaknesses": "workflows.weaknesses",
    "fit_baselines": "states.baselines",
    "from_hub": "workflows.hub",
    "goggles": "probing",
    "highlights": "workflows.highlights",
    "inside": "workflows.inside",
    "layer_attributions": "explainers.gradients.layer_attributions",
    "linear_probe": "workflows.inside",
    "list_explainers": "explainers.make",
    "list_metrics": "evaluation.metrics",
    "load_agent": "agents.loading",
    "make_clusters": "common.bootstrap",
    "make_explainer": "explainers.make",
    "masked_return": "evaluation.masked_return",
    "native_agent": "agents.native",
    "native_states": "states.labels",
    "needs_image": "explainers.requirements",
    "novelty": "probing",
    "object_agreement": "evaluation.objects",
    "object_attention": "evaluation.objects",
    "outcomes": "workflows.outcomes",
    "parameter_randomization": "evaluation.parameter_randomization",
    "past_steps": "explainers.past_steps",
    "play": "workflows.play",
    "playfield": "envs.playfields",
    "plot": "workflows.showing",
    "probe": "probing",
    "push_space": "workflows.hub_space",
    "push_to_hub": "workflows.hub",
    "rasterize_boxes": "evaluation.boxes",
    "read_boxes": "evaluation.boxes",
    "read_object_features": "evaluation.boxes",
    "read_objects": "envs.objects",
    # X "evaluation.boxes",
    "relabel": "states.labels",
    "run_benchmark": "workflows.benchmark",
    "split_states": "workflows.splitting",
    "scale_box": "envs.playfields",
    "study_power": "workflows.study",
    "to_shap": "workflows.shap_export",
    "view": "workflows.notebook_view",
    "why": "workflows.why",
}

__all__ = sorted(_MODULES)

if TYPE_CHECKING:  # the same names for whoever reads types without running the package
    from sb3_explain.agents.agent import Agent as Agent
    from sb3_explain.agents.attention import AttentionWeights as AttentionWeights
    from sb3_explain.agents.attention import attention as attention
    from sb3_explain.agents.demo import demo_agent as demo_agent
    from sb3_explain.agents.loading import load_agent as load_agent
    from sb3_explain.agents.native import AtariPreprocessing as AtariPreprocessing
    from sb3_explain.agents.native import MarioPreprocessing as MarioPreprocessing
    from sb3_explain.agents.native import color_agent as color_agent
    from sb3_explain.agents.native import native_agent as native_agent
    from sb3_explain.agents.targets.energies import TARGETS as TARGETS
    from sb3_explain.agents.value_units import ValueUnits as ValueUnits
    from sb3_explain.callbacks import DiagnosisCallback as DiagnosisCallback
    from sb3_explain.callbacks import MetricsCallback as MetricsCallback
    from sb3_explain.callbacks import ObjectAttentionCallback as ObjectAttentionCallback
    from sb3_explain.callbacks import SaliencyCallback as SaliencyCallback
    from sb3_explain.callbacks import StateGeneratorCallback as StateGeneratorCallback
    from sb3_explain.callbacks import VisionMaskCallback as VisionMaskCallback
    from sb3_explain.common.bootstrap import Interval as Interval
    from sb3_explain.common.bootstrap import confidence_interval as confidence_interval
    from sb3_explain.common.bootstrap import make_clusters as make_clusters
    from sb3_explain.common.errors import ExplainError as ExplainError
    from sb3_explain.envs.objects import GameObject as GameObject
    from sb3_explain.envs.objects import decode_objects as decode_objects
    from sb3_explain.envs.objects import read_objects as read_objects
    from sb3_explain.envs.playfields import playfield as playfield
    from sb3_explain.envs.playfields import scale_box as scale_box
    from sb3_explain.envs.recipe import EnvRecipe as EnvRecipe
    from sb3_explain.envs.recipe import Normalizer as Normalizer
    from sb3_explain.evaluation.boxes import rasterize_boxes as rasterize_boxes
    from sb3_explain.evaluation.boxes import read_boxes as read_boxes
    from sb3_explain.evaluation.boxes import read_object_features as read_object_features
    from sb3_explain.evaluation.controls import Swapped as Swapped
    from sb3_explain.evaluation.controls import Template as Template
    from sb3_explain.evaluation.evaluate import Evaluation as Evaluation
    from sb3_explain.evaluation.evaluate import evaluate as evaluate
    from sb3_explain.evaluation.masked_return import masked_return as masked_return
    from sb3_explain.evaluation.metrics import METRICS as METRICS
    from sb3_explain.evaluation.metrics import list_metrics as list_metrics
    from sb3_explain.evaluation.object_states import ObjectStates as ObjectStates
    from sb3_explain.evaluation.object_states import collect_objects as collect_objects
    from sb3_explain.evaluation.objects import ObjectAttention as ObjectAttention
    from sb3_explain.evaluation.objects import object_agreement as object_agreement
    from sb3_explain.evaluation.objects import object_attention as object_attention
    from sb3_explain.evaluation.others import OtherStates as OtherStates
    from sb3_explain.evaluation.parameter_randomization import (
        parameter_randomization as parameter_randomization,
    )
    from sb3_explain.explainers import EXPLAINERS as EXPLAINERS
    from sb3_explain.explainers.base import Explainer as Explainer
    from sb3_explain.explainers.base import FittedExplainer as FittedExplainer
    from sb3_explain.explainers.controls import Constant as Constant
    from sb3_explain.explainers.controls import Empty as Empty
    from sb3_explain.explainers.controls import Random as Random
    from sb3_explain.explainers.counterfactual import contrast as contrast
    from sb3_explain.explainers.counterfactual import counterfactual as counterfactual
    from sb3_explain.explainers.gradients.grad_cam import GradCAM as GradCAM
    from sb3_explain.explainers.gradients.gradient import Gradient as Gradient
    from sb3_explain.explainers.gradients.guided_backprop import (
        GuidedBackpropagation as GuidedBackpropagation,
    )
    from sb3_explain.explainers.gradients.guided_grad_cam import GuidedGradCAM as GuidedGradCAM
    from sb3_explain.explainers.gradients.input_x_gradient import InputXGradient as InputXGradient
    from sb3_explain.explainers.gradients.integrated_gradients import (
        IntegratedGradients as IntegratedGradients,
    )
    from sb3_explain.explainers.gradients.layer_attributions import (
        layer_attributions as layer_attributions,
    )
    from sb3_explain.explainers.gradients.smoothgrad import SmoothGrad as SmoothGrad
    from sb3_explain.explainers.learned.base import MaskExplainer as MaskExplainer
    from sb3_explain.explainers.learned.networks import NETWORKS as NETWORKS
    from sb3_explain.explainers.learned.settings import MaskSettings as MaskSettings
    from sb3_explain.explainers.learned.ssinet import SSINet as SSINet
    from sb3_explain.explainers.learned.stalder import Stalder as Stalder
    from sb3_explain.explainers.learned.visionmask import VisionMask as VisionMask
    from sb3_explain.explainers.make import list_explainers as list_explainers
    from sb3_explain.explainers.make import make_explainer as make_explainer
    from sb3_explain.explainers.past_steps import PastSteps as PastSteps
    from sb3_explain.explainers.past_steps import past_steps as past_steps
    from sb3_explain.explainers.perturbation.feature_ablation import (
        FeatureAblation as FeatureAblation,
    )
    from sb3_explain.explainers.perturbation.greydanus import Greydanus as Greydanus
    from sb3_explain.explainers.perturbation.kernel_shap import KernelSHAP as KernelSHAP
    from sb3_explain.explainers.perturbation.lime import Lime as Lime
    from sb3_explain.explainers.perturbation.occlusion import Occlusion as Occlusion
    from sb3_explain.explainers.perturbation.rise import Rise as Rise
    from sb3_explain.explainers.perturbation.sarfa import Sarfa as Sarfa
    from sb3_explain.explainers.requirements import needs_image as needs_image
    from sb3_explain.explainers.sgqn import SGQNSaliency as SGQNSaliency
    from sb3_explain.probing import StateGenerator as StateGenerator
    from sb3_explain.probing import activation_maximization as activation_maximization
    from sb3_explain.probing import goggles as goggles
    from sb3_explain.probing import novelty as novelty
    from sb3_explain.probing import probe as probe
    from sb3_explain.sgqn import RAD as RAD
    from sb3_explain.sgqn import SGQN as SGQN
    from sb3_explain.sgqn import SODA as SODA
    from sb3_explain.sgqn import SVEA as SVEA
    from sb3_explain.sgqn import DrQ as DrQ
    from sb3_explain.sgqn import PixelSAC as PixelSAC
    from sb3_explain.sgqn.replay_buffer import FrameStackReplayBuffer as FrameStackReplayBuffer
    from sb3_explain.states.baselines import BASELINES as BASELINES
    from sb3_explain.states.baselines import FittedBaseline as FittedBaseline
    from sb3_explain.states.baselines import fit_baselines as fit_baselines
    from sb3_explain.states.batch import StateBatch as StateBatch
    from sb3_explain.states.cache import ForwardCache as ForwardCache
    from sb3_explain.states.collection import collect as collect
    from sb3_explain.states.dataset import StateDataset as StateDataset
    from sb3_explain.states.labels import agreement as agreement
    from sb3_explain.states.labels import native_states as native_states
    from sb3_explain.states.labels import relabel as relabel
    from sb3_explain.workflows.behavior import BehaviorCluster as BehaviorCluster
    from sb3_explain.workflows.behavior import BehaviorMap as BehaviorMap
    from sb3_explain.workflows.behavior import behavior_map as behavior_map
    from sb3_explain.workflows.benchmark import run_benchmark as run_benchmark
    from sb3_explain.workflows.critical_steps import CriticalSteps as CriticalSteps
    from sb3_explain.workflows.critical_steps import StateMask as StateMask
    from sb3_explain.workflows.critical_steps import StateMaskFidelity as StateMaskFidelity
    from sb3_explain.workflows.diagnosis import CHECKS as CHECKS
    from sb3_explain.workflows.diagnosis import Diagnosis as Diagnosis
    from sb3_explain.workflows.diagnosis import Finding as Finding
    from sb3_explain.workflows.diagnosis import diagnose as diagnose
    from sb3_explain.workflows.export import export as export
    from sb3_explain.workflows.highlights import highlights as highlights
    from sb3_explain.workflows.hub import from_hub as from_hub
    from sb3_explain.workflows.hub import push_to_hub as push_to_hub
    from sb3_explain.workflows.hub_space import push_space as push_space
    from sb3_explain.workflows.inside import ActivatingStates as ActivatingStates
    from sb3_explain.workflows.inside import Inside as Inside
    from sb3_explain.workflows.inside import LinearProbes as LinearProbes
    from sb3_explain.workflows.inside import activating_states as activating_states
    from sb3_explain.workflows.inside import inside as inside
    from sb3_explain.workflows.inside import linear_probe as linear_probe
    from sb3_explain.workflows.notebook_view import view as view
    from sb3_explain.workflows.outcomes import Outcome as Outcome
    from sb3_explain.workflows.outcomes import Outcomes as Outcomes
    from sb3_explain.workflows.outcomes import outcomes as outcomes
    from sb3_explain.workflows.pipeline import explain as explain
    from sb3_explain.workflows.play import play as play
    from sb3_explain.workflows.shap_export import to_shap as to_shap
    from sb3_explain.workflows.showing import compare as compare
    from sb3_explain.workflows.showing import plot as plot
    from sb3_explain.workflows.splitting import split_states as split_states
    from sb3_explain.workflows.study import analyze_study as analyze_study
    from sb3_explain.workflows.study import export_study as export_study
    from sb3_explain.workflows.study import study_power as study_power
    from sb3_explain.workflows.tree import PolicyTree as PolicyTree
    from sb3_explain.workflows.tree import distill as distill
    from sb3_explain.workflows.weaknesses import find_weaknesses as find_weaknesses
    from sb3_explain.workflows.why import why as why
else:  # a type checker that saw __getattr__ would believe that every name exists

    def __getattr__(name: str) -> Any:
        """Import a public name when it is first used (PEP 562)."""
        new = find_new_name(name, set(_MODULES))
        if new is not None:  # an AttributeError would not be shown after ``from sb3_explain``
            raise ImportError(f"sb3_explain.{name} is called {new} now")
        if name not in _MODULES:
            error = unknown_name("name of sb3_explain", name, __all__)
            # with ``name``, or the interpreter appends a suggestion of its own
            raise AttributeError(str(error), name=name)
        value = getattr(importlib.import_module(f"sb3_explain.{_MODULES[name]}"), name)
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
