"""Random agents of every algorithm, and what became of each; the oracle is SB3's own ``predict``.

``python -m tests.agents.random_agents 2000`` makes 2000 of them and counts; ``--explain-every 1``
runs every explainer that supports an agent, too.
"""

from __future__ import annotations

import argparse
import collections
import sys
import tempfile
import traceback
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded
from stable_baselines3.common.vec_env import DummyVecEnv, VecFrameStack, VecNormalize

from sb3_explain import EXPLAINERS, Agent, ExplainError, StateDataset, load_agent, make_explainer
from sb3_explain.agents.observations import find_feature_keys
from sb3_explain.envs.spaces import split_keys
from sb3_explain.explainers.base import FittedExplainer
from tests.agents.random_specs import ALGORITHMS, PIXELS, Spec, is_picture, specs

N_OBSERVATIONS = 50
#: two scores closer than this are a tie, which rounding decides
TIE = 1e-4


class Noise(gym.Env):
    """Random observations and rewards."""

    def __init__(self, spec: Spec) -> None:
        self.observation_space, self.action_space = spec.observation_space, spec.action_space

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> Any:
        return self.observation_space.sample(), 0.0, False, False, {}

    def action_masks(self) -> np.ndarray:
        return np.ones(count_masks(self.action_space), bool)


def count_masks(space: spaces.Space) -> int:
    """Number of elements of an action mask."""
    if isinstance(space, spaces.Discrete):
        return int(space.n)
    return int(space.nvec.sum()) if isinstance(space, spaces.MultiDiscrete) else 2 * int(space.n)


def make_model(spec: Spec, noise: float = 1) -> Any:
    """The model of a spec, whose weights are drawn so that its actions differ.

    :param noise: how much is drawn; 0 for the weights that Stable-Baselines3 begins with
    """
    torch.manual_seed(spec.seed)
    np.random.seed(spec.seed)  # noqa: NPY002 - SB3 draws from it
    env: Any = DummyVecEnv([lambda: Noise(spec)])
    env.seed(spec.seed)
    for wrapper in spec.wrappers:
        env = VecNormalize(env) if wrapper == "normalize" else VecFrameStack(env, spec.n_stack)
    algorithm, _, settings = ALGORITHMS[spec.algo]
    kwargs = {**spec.policy_kwargs}
    if spec.algo in PIXELS:
        policy, settings = "CnnPolicy", {**settings, "n_stack": 1}
    elif spec.algo == "ars":
        policy = "MlpPolicy"
    elif isinstance(env.observation_space, spaces.Dict):
        policy = "MultiInputPolicy"
    else:
        pixels = is_picture(env.observation_space) and "features_extractor_class" not in kwargs
        policy = "CnnPolicy" if pixels else "MlpPolicy"
    if spec.algo == "ppo_lstm":
        policy = policy.replace("Policy", "LstmPolicy")
    if spec.policy is not None:
        policy = spec.policy
    if spec.use_sde:
        settings = {**settings, "use_sde": True}
    if spec.algo == "crossq" and policy == "CnnPolicy":
        kwargs.pop("activation_fn", None)
    model = algorithm(policy, env, policy_kwargs=kwargs, seed=spec.seed, device="cpu", **settings)
    env = model.get_env()
    if "normalize" in spec.wrappers:
        env.reset()
        for _ in range(3):
            env.step([spec.action_space.sample()])
    with torch.no_grad():
        for parameter in model.policy.parameters():
            scale = 1.5 * parameter[0].numel() ** -0.5 if parameter.ndim > 1 else 0.1
            parameter.add_(noise * scale * torch.randn_like(parameter))
    return model


def draw_observations(space: spaces.Space, rng: np.random.Generator, n: int) -> Any:
    """(n, ...) observations of a space."""
    if isinstance(space, spaces.Dict):
        return {key: draw_observations(part, rng, n) for key, part in space.items()}
    space.seed(int(rng.integers(2**31)))
    return np.stack([space.sample() for _ in range(n)])


def predict(model: Any, spec: Spec, observations: Any, rng: np.random.Generator) -> tuple[Any, ...]:
    """Actions of SB3's ``predict``, of a recurrent policy on two batches in turn, and the masks."""
    masks = None
    if spec.algo == "maskable_ppo":
        masks = rng.random((N_OBSERVATIONS, count_masks(spec.action_space))) < 0.7
        masks[:, :] |= ~masks.any(1, keepdims=True)
        for part in np.split(masks, _mask_groups(spec.action_space), axis=1):
            part |= ~part.any(1, keepdims=True)
        return (model.predict(observations, deterministic=True, action_masks=masks)[0], masks)
    if spec.algo == "ppo_lstm":
        actions, state = model.predict(
            observations, None, np.ones(N_OBSERVATIONS, bool), deterministic=True
        )
        later, _ = model.predict(
            observations, state, np.zeros(N_OBSERVATIONS, bool), deterministic=True
        )
        return (np.stack([actions, later]), None)
    return (model.predict(observations, deterministic=True)[0], None)


def _mask_groups(space: spaces.Space) -> list[int]:
    if isinstance(space, spaces.Discrete):
        return []
    sizes = space.nvec if isinstance(space, spaces.MultiDiscrete) else [2] * int(space.n)
    return np.cumsum(sizes)[:-1].tolist()


def act(agent: Agent, spec: Spec, observations: Any, masks: Any) -> np.ndarray:
    """The agent's actions on the same observations."""
    given = agent.tensor(observations)
    if spec.algo == "ppo_lstm":
        states = agent.initial_lstm_states(N_OBSERVATIONS)
        first = agent.act(given, lstm_states=states)
        states = agent.next_lstm_states(given, states)
        return np.stack([first, agent.act(given, lstm_states=states)])
    return agent.act(given, action_masks=None if masks is None else torch.as_tensor(masks))


def compare(agent: Agent, spec: Spec, observations: Any, expected: np.ndarray, masks: Any) -> str:
    """``"equal"``, or how the actions differ."""
    ours = act(agent, spec, observations, masks)
    if ours.shape != expected.shape:
        return f"shape {ours.shape} in place of {expected.shape}"
    if isinstance(spec.action_space, spaces.Box):
        error = float(np.abs(ours - expected).max())
        return "equal" if error <= 1e-4 else f"actions differ by {error:.2g}"
    differ = (ours != expected).reshape(len(ours), -1).any(1) if spec.algo != "ppo_lstm" else (
        (ours != expected).reshape(2 * N_OBSERVATIONS, -1).any(1))  # fmt: skip
    if not differ.any():
        return "equal"
    return (
        f"{differ.sum()} of {len(differ)} actions differ"
        if not _ties(agent, spec, observations)
        else "equal"
    )


def _ties(agent: Agent, spec: Spec, observations: Any) -> bool:
    """Whether some state's best two scores are equal but for rounding."""
    scores = agent.scores(agent.tensor(observations)).detach()
    if isinstance(spec.action_space, spaces.MultiBinary):
        return bool((scores.abs() < TIE).any())
    sizes = (
        spec.action_space.nvec.tolist()
        if isinstance(spec.action_space, spaces.MultiDiscrete)
        else [scores.shape[1]]
    )
    best = [part.topk(2, dim=1).values for part in scores.split(sizes, dim=1)]
    return any(bool(((top[:, 0] - top[:, 1]) < TIE).any()) for top in best)


def check(spec: Spec, folder: Path) -> tuple[str, str, Agent | None]:
    """What became of the live model and of its zip: equal, refused, or wrong; and the agent."""
    rng = np.random.default_rng(spec.seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            model = make_model(spec)
            observations = draw_observations(model.observation_space, rng, N_OBSERVATIONS)
            expected, masks = predict(model, spec, observations, rng)
        except Exception as error:  # SB3 does not serve every combination; such are no agents
            return f"no model of SB3 ({type(error).__name__}: {one_line(error)})", "", None
        agent = None

        def live() -> Agent:
            nonlocal agent
            agent = Agent.from_model(model)
            return agent

        def saved() -> Agent:
            path = folder / "model.zip"
            model.save(path)
            options: dict[str, Any] = {}
            if "features_extractor_class" in spec.policy_kwargs:
                own = spec.policy_kwargs["features_extractor_class"]
                options["policy_kwargs"] = {"features_extractor_class": own}
            if spec.policy is not None:
                options["policy_class"] = spec.policy
            return load_agent(spec.algo, None, folder=path, **options)

        outcomes = []
        for load in (live, saved):
            try:
                outcomes.append(compare(load(), spec, observations, expected, masks))
            except ExplainError as error:
                outcomes.append(f"refused: {one_line(error)}")
            except Exception as error:
                where = traceback.extract_tb(error.__traceback__)[-1]
                outcomes.append(f"raw error: {type(error).__name__}: {one_line(error)} ({where})")
    return outcomes[0], outcomes[1], agent


#: options with which each explainer takes little time
FAST: dict[str, dict[str, Any]] = {
    "rise": {"n_masks": 8}, "lime": {"n_samples": 12}, "kernel_shap": {"n_samples": 16},
    "integrated_gradients": {"n_steps": 2}, "smoothgrad": {"n_samples": 2},
    "greydanus": {"stride": 18}, "sarfa": {"stride": 18}, "occlusion": {"patch": 12, "stride": 12},
}  # fmt: skip


def explain(agent: Agent, spec: Spec, names: Sequence[str]) -> dict[str, str]:
    """What came of each explainer that says it supports an agent, on two of its observations."""
    rng = np.random.default_rng(spec.seed)
    outcomes = {}
    observations = draw_observations(agent.observation_space, rng, 24)
    for name in names:
        kind = EXPLAINERS[name]
        if kind.unsupported(agent):
            continue
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                outcomes[name] = _explain(agent, name, observations)
        except ExplainError as error:
            outcomes[name] = f"refused: {one_line(error)}"
        except Exception as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            outcomes[name] = f"raw error: {type(error).__name__}: {one_line(error)} ({where})"
    return outcomes


def _explain(agent: Agent, name: str, observations: Any) -> str:
    kind = EXPLAINERS[name]
    states, options = None, dict(FAST.get(name, {}))
    if name == "kernel_shap":  # a pair of sets, or more, for each feature
        options["n_samples"] += 6 * sum(find_feature_keys(agent).values())
    if issubclass(kind, FittedExplainer):
        states = _states(agent, observations)
        options["fit_kwargs"] = {"epochs": 1, "batch_size": 8, "progress": False}
    explainer = make_explainer(name, agent, states, **options)
    two = _take(agent.tensor(observations), 2)
    attributions = explainer.attribute(two)
    by_key = attributions if isinstance(attributions, dict) else {"": attributions}
    shapes = {
        key: part.shape for key, part in (two if isinstance(two, dict) else {"": two}).items()
    }
    if {key: part.shape for key, part in by_key.items()} != shapes:
        return (
            f"shapes {[tuple(part.shape) for part in by_key.values()]}, not {list(shapes.values())}"
        )
    if not all(bool(part.isfinite().all()) for part in by_key.values()):
        return "attributions that are not finite"
    return "finite"


def _states(agent: Agent, observations: Any) -> StateDataset:
    """States of the newest frames of observations, whose stacks consist of them."""
    frames = {
        key: observed[:, -(observed.shape[1] // agent.n_stack) :] if agent.n_stack > 1 else observed
        for key, observed in split_keys(observations).items()
    }
    unlabelled = StateDataset.from_arrays(
        frames, np.arange(24) // 4, np.zeros(24, int), n_stack=agent.n_stack
    )
    greedy = agent.act(agent.tensor(unlabelled.observations(np.arange(24))))
    return unlabelled.with_columns(greedy=greedy.reshape(24, -1)[:, 0])


def _take(observations: Any, n: int) -> Any:
    if isinstance(observations, dict):
        return {key: part[:n] for key, part in observations.items()}
    return observations[:n]


def one_line(error: Exception) -> str:
    """The first 150 characters of an error's message."""
    return " ".join(str(error).split())[:150]


def is_wrong(outcome: str) -> bool:
    """Whether an outcome is a silent difference or a raw error."""
    return outcome not in ("equal", "finite") and not outcome.startswith(("refused", "no model"))


def make_and_check(
    n: int, seed: int, explain_every: int = 0
) -> tuple[collections.Counter[str], list[tuple[str, Spec]]]:
    """Make ``n`` agents whose models SB3 can make; return the counted outcomes, and the wrong ones.

    :param n: number of agents
    :param seed: random seed
    :param explain_every: every so many agents are explained by every explainer; 0 for none
    """
    counts: collections.Counter[str] = collections.Counter()
    wrong: list[tuple[str, Spec]] = []
    with tempfile.TemporaryDirectory() as folder:

        @seeded(seed)
        @settings(
            max_examples=2 * n, deadline=None, database=None, phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(specs())
        def run(spec: Spec) -> None:
            if counts["made"] >= n:
                return
            live, saved, agent = check(spec, Path(folder))
            if live.startswith("no model"):
                counts[live[:90]] += 1
                return
            counts["made"] += 1
            outcomes = {"live": live, "zip": saved}
            if agent is not None and explain_every and counts["made"] % explain_every == 0:
                outcomes |= explain(agent, spec, list(EXPLAINERS))
            for what, outcome in outcomes.items():
                counts[f"{what}: {outcome}"] += 1
                if is_wrong(outcome):
                    wrong.append((f"{what}: {outcome}", spec))

        run()
    return counts, wrong


def main() -> int:
    """Print what became of random agents; 1 if an outcome was wrong."""
    parser = argparse.ArgumentParser(
        description="Make random agents, and count what became of them."
    )
    parser.add_argument("n", type=int, nargs="?", default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--explain-every", type=int, default=0, metavar="N")
    arguments = parser.parse_args()
    counts, wrong = make_and_check(arguments.n, arguments.seed, arguments.explain_every)
    for what, number in sorted(counts.items(), key=lambda pair: -pair[1]):
        print(f"{number:6d}  {what}")
    for outcome, spec in wrong[:20]:
        print(f"\n{outcome}\n  {spec}")
    print(f"\n{counts['made']} agents, {len(wrong)} wrong outcomes")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
