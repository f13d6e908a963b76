"""Published agents get maps from every explainer that does not refuse them."""

import pytest

from sb3_explain.agents.loading import load_agent
from sb3_explain.explainers import EXPLAINERS
from tests.agents.loading.test_zoo_agents import AGENTS
from tests.explainers.kinds import quick, random_states


@pytest.mark.parametrize(("algo", "env"), AGENTS)
def test_maps_are_finite(agents_folder, algo, env):
    agent = load_agent(algo, env, folder=agents_folder)
    states = random_states(agent)
    observed = states.observations(range(3))
    supported = [name for name, one in EXPLAINERS.items() if one.unsupported(agent) is None]
    assert {"integrated_gradients", "kernel_shap", "feature_ablation", "lime"} <= set(supported)
    for name in supported:
        attributions = quick(name, agent, states, n_samples=128).attribute(observed)
        given = {"": observed} if not isinstance(observed, dict) else observed
        attributions = {"": attributions} if not isinstance(attributions, dict) else attributions
        for key, found in attributions.items():
            assert found.shape == given[key].shape and found.isfinite().all(), name
        assert any(found.any() for found in attributions.values()) or name == "empty", name
