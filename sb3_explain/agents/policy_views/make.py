"""Which views can read a policy."""

from __future__ import annotations

from gymnasium import spaces
from sb3_contrib.ars.policies import ARSPolicy
from sb3_contrib.common.maskable.policies import MaskableActorCriticPolicy
from sb3_contrib.common.recurrent.policies import RecurrentActorCriticPolicy
from sb3_contrib.crossq.policies import CrossQPolicy
from sb3_contrib.qrdqn.policies import QRDQNPolicy
from sb3_contrib.tqc.policies import TQCPolicy
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.dqn.policies import DQNPolicy
from stable_baselines3.sac.policies import SACPolicy
from stable_baselines3.td3.policies import TD3Policy
from torch import nn

from sb3_explain.agents.policy_views.actor_critic import (
    ActorCriticView,
    MaskableActorCriticView,
)
from sb3_explain.agents.policy_views.actor_q import ActorQView, ARSView
from sb3_explain.agents.policy_views.base import PolicyView
from sb3_explain.agents.policy_views.overrides import list_own_methods
from sb3_explain.agents.policy_views.own_methods import (
    OwnActorView,
    OwnARSView,
    OwnDistributionView,
    OwnForwardView,
    OwnPredictionView,
    OwnRecurrentView,
)
from sb3_explain.agents.policy_views.q_networks import DQNView, QRDQNView
from sb3_explain.agents.policy_views.recurrent import RecurrentActorCriticView
from sb3_explain.common.errors import ExplainError

PolicyClass = type[nn.Module] | tuple[type[nn.Module], ...]

_THROUGH_METHODS = (OwnDistributionView, OwnPredictionView, OwnForwardView)
#: class of the policy, the view of the library's own networks, and views through the policy's
#: methods, the one that the policy acts by first
VIEWS: tuple[tuple[PolicyClass, type[PolicyView], tuple[type[PolicyView], ...]], ...] = (
    (RecurrentActorCriticPolicy, RecurrentActorCriticView, (OwnRecurrentView,)),
    (MaskableActorCriticPolicy, MaskableActorCriticView, _THROUGH_METHODS),
    (ActorCriticPolicy, ActorCriticView, _THROUGH_METHODS),
    (DQNPolicy, DQNView, ()),
    (QRDQNPolicy, QRDQNView, ()),
    ((SACPolicy, TD3Policy, TQCPolicy, CrossQPolicy), ActorQView, (OwnActorView,)),
    (ARSPolicy, ARSView, (OwnARSView,)),
)

#: own methods that the direct views would pass by
READ_THROUGH = {
    "predict", "_predict", "get_distribution", "_get_action_dist_from_latent", "predict_values",
    "extract_features", "_process_sequence", "actor.forward", "actor._predict",
}  # fmt: skip


def list_views(policy: nn.Module) -> list[PolicyView]:
    """List the views that may read a policy, the one that most probably does first.

    Views through the policy's own methods stand first where it changed some of them.

    :param policy: policy of a class of stable-baselines3 or sb3-contrib, or derived from one
    :raises ExplainError: for a policy of any other class
    """
    known = next((row for row in VIEWS if isinstance(policy, row[0])), None)
    if known is None:
        raise ExplainError(
            f"cannot read a policy of class {type(policy).__name__}: "
            "use Agent.from_module with a module that returns scores"
        )
    _, direct, through_methods = known
    if isinstance(policy, ARSPolicy) and not isinstance(policy.action_space, spaces.Box):
        through_methods = ()  # it answers with the best action alone
    views = [direct, *through_methods]
    own = set(list_own_methods(policy))
    network = getattr(policy, "mlp_extractor", None)
    if network is not None and not hasattr(network, "forward_actor"):
        views.sort(key=lambda view: view is not OwnForwardView)
    elif own & READ_THROUGH or (isinstance(policy, ARSPolicy) and "forward" in own):
        views = [*through_methods, direct]
        if "_predict" in own:
            views.sort(key=lambda view: view is not OwnPredictionView)
    return [view(policy) for view in views]


def make_view(policy: nn.Module) -> PolicyView:
    """Make the view that most probably reads scores and values off a policy.

    :param policy: policy of a class of stable-baselines3 or sb3-contrib, or derived from one
    :raises ExplainError: for a policy of any other class
    """
    return list_views(policy)[0]
