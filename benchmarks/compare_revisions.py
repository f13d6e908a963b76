"""Whether two revisions give the same attributions and metrics, to the bit.

``python benchmarks/compare_revisions.py BEFORE [AFTER]`` measures the revision ``BEFORE`` and the
revision ``AFTER``, the working copy when not given: attributions of explainers of every family on
the same states and seeds, a state generator and its probe, an evaluation, and the metrics.json of
the demo agent, with fewer states and epochs than ``sb3-explain demo`` has (``--demo`` runs that
command as it is). Seconds, dates and versions are left out. The exit code is 1 if anything differs.

Both revisions are measured by this same file, so what they call by different names stands in one
place, under "What was renamed".
"""

import argparse
import contextlib
import hashlib
import importlib
import inspect
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from stable_baselines3.common.envs import FakeImageEnv
from torch import nn

ROOT = Path(__file__).resolve().parents[1]
SEED = 0
Json = dict[str, Any]

# --- What was renamed ---------------------------------------------------------------------------

#: what the package calls it -> modules and names where it may stand, the newest first
PLACES = {
    "main": ("sb3_explain.cli:main",),
    "demo_agent": ("sb3_explain.agents.demo:demo_agent", "sb3_explain.demo:demo_agent"),
    "counterfactual": (
        "sb3_explain.explainers.counterfactual:counterfactual",
        "sb3_explain.counterfactual:counterfactual",
    ),
}
#: names of parameters -> what older revisions call them
PARAMETERS = {
    "attributions": "maps",
    "baseline": "reference",
    "n_evaluated": "n_states",
    "n_samples": "n",
    "n_states": "n",
}
#: parameters that some revisions do not have, since they own what it gives
OPTIONAL = {"agent"}
#: names of explainers and keys of metrics.json that older revisions have -> the newest
NAMES = {
    "explainer": "stalder",
    "gradient_x_input": "input_x_gradient",
    "noise_sensitivity": "max_sensitivity",
    "localisation": "relevance_mass",
    "reference": "baseline",
    "agent_passes": "forwards",
    "metric_passes": "metric_forwards",
}


def find(name: str) -> Any:
    """Something of the package, from the first place that this revision has."""
    places = [place.partition(":") for place in PLACES.get(name, (f"sb3_explain:{name}",))]
    for module, _, attribute in places:
        with contextlib.suppress(ModuleNotFoundError):
            return getattr(importlib.import_module(module), attribute)
    raise SystemExit(f"this revision has no {name}: add its place to PLACES")


def call(function: Callable[..., Any], **given: Any) -> Any:
    """Call by keywords, each under the name that this revision has for it."""
    parameters = inspect.signature(function).parameters
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    named = {}
    for name, value in given.items():
        if name in parameters:
            named[name] = value
        elif PARAMETERS.get(name) in parameters:
            named[PARAMETERS[name]] = value
        elif name == "states" and "frames" in parameters:
            by_key = "frames_by_key" if hasattr(value, "frames_by_key") else "entries"
            named["frames"] = getattr(value, by_key)()
        elif takes_any:
            named[name] = value
        elif name not in OPTIONAL:
            raise SystemExit(f"{function} takes no {name}: add what it is called to PARAMETERS")
    return function(**named)


def make(name: str, agent: Any, **options: Any) -> Any:
    """An explainer of the demo agent or of vectors, by its newest name."""
    explainers = find("EXPLAINERS")
    names = (name, *(old for old, new in NAMES.items() if new == name))
    known = next(name for name in names if name in explainers)
    return call(explainers[known], agent=agent, **options)


# --- Measuring one revision, in a process of its own ----------------------------------------------

#: explainers of images that need no fitting -> options that make them quick
OF_IMAGES: dict[str, Json] = {
    "gradient": {},
    "input_x_gradient": {},
    "integrated_gradients": {"baseline": "mean", "n_steps": 8},
    "smoothgrad": {"n_samples": 8},
    "guided_backprop": {},
    "grad_cam": {},
    "guided_grad_cam": {},
    "greydanus": {},
    "sarfa": {},
    "occlusion": {"baseline": "background"},
    "rise": {"baseline": "mean", "n_masks": 100},
    "lime": {"n_samples": 100},
    "empty": {},
    "constant": {},
    "random": {},
}
OF_VECTORS: dict[str, Json] = {
    "feature_ablation": {"baseline": "mean"},
    "kernel_shap": {"baseline": "mean"},
    "integrated_gradients": {"baseline": "background"},
}
FITTED = ("visionmask", "stalder", "ssinet")
TRAINING = {"epochs": 1, "batch_size": 8, "precision": "no", "progress": False}
N_IMAGES, N_VECTORS, N_EXPLAINED, N_EVALUATED, PER_EPISODE = 200, 60, 3, 4, 10


def measure(tree: Path, folder: Path, demo: bool) -> None:
    """Write ``folder/measured.json``: a digest of each array and, of what is JSON, all values."""
    # an installed working copy would lend modules that the revision does not have
    sys.meta_path = [f for f in sys.meta_path if "__editable__" not in getattr(f, "__module__", "")]
    agent = find("demo_agent")()
    measured: Json = {}
    for name, value in (
        *of_images(agent, folder),
        *of_vectors(folder),
        *of_sgqn(),
        *of_demo(folder / "demo", demo),
    ):
        measured[name] = value if isinstance(value, dict) else digest(value)
    for name, module in list(sys.modules.items()):
        if (
            name.partition(".")[0] == "sb3_explain"
            and tree not in Path(str(module.__file__)).parents
        ):
            raise SystemExit(f"{module.__file__} was imported, and not what is in {tree}")
    (folder / "measured.json").write_text(json.dumps(measured))


def of_images(agent: Any, folder: Path) -> Iterator[tuple[str, Any]]:
    """Explainers, counterfactual, generator and evaluation of the agent that plays Pong."""
    states = collected(agent, folder / "images", N_IMAGES)
    yield "states", states.observations(states.spread(N_IMAGES))
    train, validation, test = states.split(seed=SEED)
    observations = agent.tensor(test.observations(test.spread(N_EXPLAINED)))
    explainers = {
        name: make(name, agent, **options, **({"states": train} if "baseline" in options else {}))
        for name, options in OF_IMAGES.items()
    }
    for name in FITTED:
        explainers[name] = make(name, agent, seed=SEED)
        explainers[name].fit(train, validation, seed=SEED, **TRAINING)
    for name, explainer in explainers.items():
        yield f"images / {name}", explainer.attribute(observations)
        yield f"images / {name}, target 2", explainer.attribute(observations, 2)

    one = observations[:1]
    attributions = explainers["visionmask"].attribute(one)
    found = call(find("counterfactual"), agent=agent, observation=one, attributions=attributions)
    removals = (found.before, *found.alone, *found.together)
    yield "counterfactual / scores", np.stack([removal.scores for removal in removals])

    generator = find("StateGenerator")(agent, seed=SEED, latent=8)
    generator.fit(train, validation, seed=SEED, **TRAINING)
    yield "generator / samples", generator.sample(4, SEED)
    yield "generator / reconstructions", generator.reconstruct(observations)
    probed = call(
        find("probe"), generator=generator, agent=agent, target="action:RIGHT", n_samples=4,
        steps=5, states=train, seed=SEED, progress=False,
    )  # fmt: skip
    yield "probe / states", probed.states
    yield "probe / path", probed.path

    boxes = np.zeros((len(test), *observations.shape[2:]), bool)
    boxes[:, 30:50, 20:70] = True
    chosen = ("visionmask", "ssinet", "input_x_gradient", "occlusion")
    evaluation = call(
        find("evaluate"), agent=agent, states=test, boxes=boxes, baseline="background", seed=SEED,
        explainers={name: explainers[name] for name in chosen}, n_evaluated=N_EVALUATED,
    )  # fmt: skip
    for name, row in evaluation.to_dict()["explainers"].items():
        yield f"evaluate / {name}", row


def of_vectors(folder: Path) -> Iterator[tuple[str, Any]]:
    """Explainers of features, of a random network that plays CartPole."""
    torch.manual_seed(SEED)
    network = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 2))
    env = gym.make("CartPole-v1")
    agent = find("Agent").from_module(
        network, env.observation_space, env.action_space, recipe=find("EnvRecipe")("CartPole-v1")
    )
    states = collected(agent, folder / "vectors", N_VECTORS)
    observations = states.observations(states.spread(N_EXPLAINED))
    for name, options in OF_VECTORS.items():
        explainer = make(name, agent, states=states, **options)
        yield f"vectors / {name}", explainer.attribute(observations)


def of_sgqn() -> Iterator[tuple[str, Any]]:
    """What an SGQN agent says of random images, after some updates on others."""
    env = FakeImageEnv(
        screen_height=84, screen_width=84, n_channels=3, channel_first=True, discrete=False
    )
    env.observation_space.seed(SEED)
    model = find("SGQN")(
        "SGQNPolicy", env, n_stack=1, buffer_size=100, learning_starts=6, batch_size=4, seed=SEED,
        device="cpu",
    )  # fmt: skip
    model.learn(10)
    images = torch.from_numpy(np.stack([env.observation_space.sample() for _ in range(2)]))
    yield "sgqn / actions", model.predict(images.numpy(), deterministic=True)[0]
    yield "sgqn / sgqn", make("sgqn", find("Agent").from_model(model)).attribute(images)


def collected(agent: Any, folder: Path, n: int) -> Any:
    """States of many short episodes, without pictures."""
    return call(
        find("collect"), agent=agent, n_states=n, folder=folder, seed=SEED, render=False,
        max_per_episode=PER_EPISODE, progress=False,
    )  # fmt: skip


def of_demo(output: Path, demo: bool) -> Iterator[tuple[str, Any]]:
    """What the command line writes in ``metrics.json`` about the agent of the demo."""
    weights = Path(inspect.getfile(find("demo_agent"))).parent
    arguments = ["demo"] if demo else [
        "explain", "--algo", "ppo", "--env", "PongNoFrameskip-v4", "-f", str(weights), "-n", "400",
        "--max-per-episode", "20", "--n-evaluated", "12", "--epochs", "1", "--temperature", "0.2",
    ]  # fmt: skip
    with contextlib.redirect_stdout(io.StringIO()):
        if find("main")([*arguments, "--no-progress", "-o", str(output)]):
            raise SystemExit(f"sb3-explain {arguments[0]} failed")
    metrics = json.loads((output / "metrics.json").read_text())
    for part in ("agent", "states"):
        yield f"metrics.json / {part}", metrics[part]
    for name, row in metrics["explainers"].items():
        yield f"metrics.json / {name}", row


def digest(array: Any) -> Json:
    """What an array is, to the bit, and how many values it has, so that a constant is seen."""
    values = np.ascontiguousarray(array.detach().numpy() if torch.is_tensor(array) else array)
    return {
        "sha256": hashlib.sha256(values.tobytes()).hexdigest(),
        "shape": "x".join(map(str, values.shape)),
        "dtype": str(values.dtype),
        "distinct": len(np.unique(values)),
    }


# --- Comparing ------------------------------------------------------------------------------------

#: what no two runs share
TIMINGS = ("seconds", "fit_seconds", "metric_seconds")


def values_of(measured: Json, prefix: str = "") -> Json:
    """All values of nested JSON by the newest names of their keys, without timings."""
    values: Json = {}
    for key, value in measured.items():
        name = prefix + NAMES.get(key, key)
        if isinstance(value, dict):
            values |= values_of(value, f"{name}.")
        elif key not in TIMINGS:
            values[name] = json.dumps(value)
    return values


def compare(before: Json, after: Json) -> bool:
    """Print a line for each item, and for each value that differs; whether all are equal."""
    sides = [{renamed(name): values_of(item) for name, item in m.items()} for m in (before, after)]
    all_equal = True
    for name in dict.fromkeys([*sides[0], *sides[1]]):
        old, new = (side.get(name, {}) for side in sides)
        all_equal &= old == new
        verdict = "equal" if old == new else "DIFFERS"
        print(f"{verdict:8} {name:42} {short(old)}  {short(new)}  {described(new or old)}")
        if "distinct" not in old:
            for key in dict.fromkeys([*old, *new]):
                if old.get(key) != new.get(key):
                    print(f"{'':11}{key}: {old.get(key, 'none')} -> {new.get(key, 'none')}")
    return all_equal


def renamed(item: str) -> str:
    """The newest name of an item: the last part is an explainer."""
    kind, slash, name = item.rpartition(" / ")
    return kind + slash + NAMES.get(name, name)


def short(values: Json) -> str:
    """A dozen hexadecimal digits of an item."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:12]


def described(values: Json) -> str:
    """How large an item is."""
    if "distinct" not in values:
        return f"{len(values)} values"
    shape, dtype, distinct = (values[key].strip('"') for key in ("shape", "dtype", "distinct"))
    return f"{shape} {dtype}, {distinct} distinct values"


def measured_at(revision: str | None, folder: Path, demo: bool) -> Json:
    """What a revision gives; ``None`` stands for the working copy."""
    tree = ROOT
    folder.mkdir()
    if revision is not None:
        tree = folder / "tree"
        archive = subprocess.run(
            ["git", "archive", revision], cwd=ROOT, check=True, stdout=subprocess.PIPE
        )
        with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as files:
            files.extractall(tree, filter="data")
    name = revision or "working copy"
    print(f"measuring {name} ...", file=sys.stderr)
    command = [sys.executable, __file__, name, "--measure", str(tree), str(folder)]
    environment = {**os.environ, "PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1"}
    if subprocess.run([*command, *(["--demo"] if demo else [])], env=environment).returncode:
        raise SystemExit(f"{name} could not be measured")
    measured: Json = json.loads((folder / "measured.json").read_text())
    return measured


def main() -> int:
    """Compare what the command line names."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("before", help="a revision, as git names it")
    parser.add_argument("after", nargs="?", help="another one; default: the working copy")
    parser.add_argument("--demo", action="store_true", help="run `sb3-explain demo` as it is")
    parser.add_argument("--measure", nargs=2, type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        tree, folder = options.measure
        measure(tree, folder, options.demo)
        return 0
    with tempfile.TemporaryDirectory() as scratch:
        before = measured_at(options.before, Path(scratch, "before"), options.demo)
        after = measured_at(options.after, Path(scratch, "after"), options.demo)
    return 0 if compare(before, after) else 1


if __name__ == "__main__":
    sys.exit(main())
