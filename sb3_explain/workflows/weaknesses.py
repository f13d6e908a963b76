"""Weaknesses: from an agent to a page of states of interest, by a generator of its states.

An output folder holds ``states/``, ``generator/``, ``visionmask/`` for the attributions, and
``probes/<target>.safetensors`` and ``.png`` of each target; ``probes.json`` and ``probes.html``
describe them all. Each step uses what an earlier run has finished, and continues what it has not.
"""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import json
import logging
import math
import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from torch import Tensor

from sb3_explain.agents.agent import Agent, read_agent
from sb3_explain.agents.observations import find_image
from sb3_explain.agents.targets.energies import list_targets, require_comparable
from sb3_explain.agents.targets.find import name_search, require_supported_target
from sb3_explain.common.errors import ExplainError, unknown_name
from sb3_explain.common.files import atomic_path, require_file_or_nothing, write_json
from sb3_explain.common.provenance import describe_machine
from sb3_explain.common.signatures import check_arguments
from sb3_explain.common.tensor_files import read_tensors, require_fit
from sb3_explain.explainers.learned.fitted import load_or_fit
from sb3_explain.explainers.learned.visionmask import VisionMask
from sb3_explain.probing import StateGenerator, goggles, novelty, probe
from sb3_explain.probing.search import Probe, require_search
from sb3_explain.report import save
from sb3_explain.report.page import make_title
from sb3_explain.report.probe_page import Probed, write_probe_page
from sb3_explain.states.collection import collect
from sb3_explain.states.dataset import StateDataset
from sb3_explain.workflows.pipeline import fit_visionmask
from sb3_explain.workflows.probe_pictures import show_quality, show_target, write_sentences
from sb3_explain.workflows.splitting import split_states

logger = logging.getLogger(__name__)

#: stands for all targets of an agent
ALL = "all"
#: probability of a random action while states are collected, as in the paper
EPSILON = 0.1
#: folders beside those of `explain`, whose states are those of the agent alone
STATES, VISIONMASK = "generator_states", "probes/visionmask"


@check_arguments
def find_weaknesses(
    agent: Agent | BaseAlgorithm,
    output: str | Path,
    *,
    targets: Sequence[str] = (ALL,),
    n_states: int = 10_000,
    n_samples: int = 64,
    n_episodes: int = 0,
    attributions: bool = True,
    collect_kwargs: Mapping[str, Any] | None = None,
    generator_kwargs: Mapping[str, Any] | None = None,
    fit_kwargs: Mapping[str, Any] | None = None,
    probe_kwargs: Mapping[str, Any] | None = None,
    explainer_kwargs: Mapping[str, Any] | None = None,
    other: Agent | None = None,
    states: StateDataset | None = None,
    max_seconds: float | None = None,
    seed: int = 0,
    progress: bool = True,
) -> Path:
    """Write a page of an agent's states of interest: whatever is missing of states and searches.

    >>> from sb3_explain import find_weaknesses
    >>> page = find_weaknesses(
    ...     agent, folder, targets=["T-"], states=states, n_samples=4,
    ...     generator_kwargs={"latent": 4}, fit_kwargs={"epochs": 1}, probe_kwargs={"steps": 2},
    ...     progress=False,
    ... )
    >>> page.name, (folder / "probes" / "T-minus.png").exists()
    ('probes.html', True)

    :param agent: the agent whose states are generated
    :param output: folder for everything that is written
    :param targets: names of targets, as :func:`sb3_explain.probe` takes them; ``"all"`` stands for
        every action and every target that the agent supports
    :param n_states: number of states to collect, which are saved in ``generator_states/``
    :param n_samples: number of samples of each target
    :param n_episodes: number of episodes played on reconstructions (see
        :func:`sb3_explain.goggles`); 0 leaves them out
    :param attributions: whether to show a VisionMask of each state, if the agent observes images;
        it is that of ``visionmask/``, where :func:`sb3_explain.explain` leaves it, or else is
        fitted and saved in ``probes/visionmask/``
    :param collect_kwargs: further options of :func:`sb3_explain.collect`
    :param generator_kwargs: settings of the :class:`sb3_explain.StateGenerator`
    :param fit_kwargs: training options of the generator, fields of
        :class:`sb3_explain.common.training.TrainingOptions`
    :param probe_kwargs: ``steps``, ``prior``, ``prior_weight``, ``learning_rate`` and ``beta`` of
        :func:`sb3_explain.probe`
    :param explainer_kwargs: settings of the VisionMask
    :param other: a second agent, for the target ``"disagreement"``
    :param states: states of the agent to use, in place of collecting some
    :param max_seconds: limit in seconds. The generator learns for at most half of them, and the
        searches share the rest; targets for which no time is left are skipped, except the first
    :param seed: random seed of the episodes, the split, the training and the searches
    :param progress: show progress bars
    :return: path of the page
    :raises ExplainError: for unknown targets or options, before anything is played
    """
    agent = read_agent(agent)
    start_time = time.perf_counter()
    output = Path(output)
    if max_seconds is not None:
        fit_kwargs = {"max_seconds": max_seconds / 2, **(fit_kwargs or {})}
    # Fail now, not after the long steps.
    unfitted = StateGenerator(agent, seed=seed, **(generator_kwargs or {}))
    unfitted.training_options({"seed": seed, **(fit_kwargs or {})})
    given = [name for one in targets for name in (list_targets(agent) if one == ALL else [one])]
    names = list(dict.fromkeys(name_search(agent, name) for name in given))
    if other is not None:
        require_comparable(agent, other)
    for name in names:
        require_supported_target(agent, name, other)
    require_search_options(n_samples, probe_kwargs or {})
    if attributions and find_image(agent) is not None:
        VisionMask(agent, **(explainer_kwargs or {}))
    if states is None:
        behavior = {"behavior": "epsilon", "epsilon": EPSILON, **(collect_kwargs or {})}
        states = collect(
            agent,
            n_states=n_states,
            folder=output / STATES,
            seed=seed,
            progress=progress,
            **behavior,
        )
    train, validation, test = split_states(states, seed)
    options = {"seed": seed, "progress": progress, **(fit_kwargs or {})}
    generator = load_or_fit(unfitted, output / "generator", train, validation, options)
    explainer = None
    if attributions and find_image(agent) is not None:
        explainer = load_or_fit_visionmask(
            agent, output, states, explainer_kwargs or {}, seed=seed, progress=progress
        )
    probed: list[Probed] = []
    search = {"n_samples": n_samples, "seed": seed, **(probe_kwargs or {})}
    for name in names:
        left = math.inf if max_seconds is None else start_time + max_seconds - time.perf_counter()
        if left <= 0 and probed:
            missing = ", ".join(names[len(probed) :])
            logger.warning("%s: there is no time left to search for %s", output, missing)
            break
        share = max(left, 0.0) / (len(names) - len(probed))
        path = output / "probes" / f"{make_filename(name)}.safetensors"
        result = load_or_probe(path, generator, name, search, train, other, share, progress)
        probed.append(show_target(generator, result, train, explainer))
        save(path.with_suffix(".png"), probed[-1].sheet.png)
    played = None
    if n_episodes:
        played = goggles(generator, n_episodes, seed=seed, progress=progress)
    agreement = generator.agreement(test)
    new = novelty(generator, generator.sample(256, seed), train)
    made = describe_machine()
    quality = show_quality(generator, test, agreement, new)
    sentences = write_sentences(agreement, played, probed)
    write_json(
        output / "probes.json",
        {
            "agreement": agreement,
            "novelty": {str(threshold): share for threshold, share in new.items()},
            "goggles": None if played is None else played.table().to_dict("records"),
            "targets": {row.name: dict(row.figures) for row in probed},
            "sheets": [
                {
                    "file": f"{make_filename(row.name)}.png",
                    "caption": row.sheet.caption,
                    "alt": row.sheet.alt,
                }
                for row in probed
            ],
            "made": made,
        },
    )
    return write_probe_page(
        output / "probes.html",
        title=make_title(agent.describe()),
        sentences=sentences,
        probed=probed,
        quality=quality,
        date=made["date"],
        provenance={
            "Agent": agent.describe(),
            "Generator": dataclasses.asdict(generator.settings),
            "Search": {"samples": n_samples, "seed": seed, **(probe_kwargs or {})},
            "Made with": made,
        },
    )


def load_or_fit_visionmask(
    agent: Agent,
    output: Path,
    states: StateDataset,
    settings: Mapping[str, Any],
    *,
    seed: int,
    progress: bool,
) -> VisionMask:
    """Load the VisionMask that ``explain`` fitted, if no other settings are given, or fit one.

    :param agent: the agent to explain
    :param output: folder of everything that is written
    :param states: states of the agent, to fit on
    :param settings: settings of the VisionMask
    :param seed: random seed of the split and the training
    :param progress: show a progress bar
    """
    of_explain = output / "visionmask"
    if not settings and (of_explain / "visionmask.json").exists():
        return VisionMask.load(of_explain, agent)
    return fit_visionmask(
        agent,
        states,
        output / VISIONMASK,
        explainer_kwargs=settings,
        fit_kwargs={"progress": progress},
        seed=seed,
    )


def require_search_options(n_samples: int, options: Mapping[str, Any]) -> None:
    """Raise an :class:`~sb3_explain.ExplainError` for unknown options, or values out of range."""
    known = inspect.signature(require_search).parameters.keys() - {"n_samples"}
    for name in options:
        if name not in known:
            raise unknown_name("option of the search", name, known)
    require_search(n_samples, **options)


def require_probe(tensors: Mapping[str, Tensor], generator: StateGenerator, n_train: int) -> None:
    """Check that tensors are those of a probe.

    :param tensors: tensors that were read
    :param generator: generator of the probe
    :param n_train: number of states that the generator learned from
    :raises ExplainError: if one is missing, or does not fit the agent
    """
    found = len(tensors["counts"]) if tensors.get("counts", torch.empty(())).dim() else 1
    path = tensors.get("path", torch.empty(()))
    expected = {
        **{f"states.{n}": torch.empty(found, *s) for n, s in generator.shapes.items()},
        "energy": torch.empty(found, dtype=torch.double),
        "counts": torch.empty(found, dtype=torch.long),
        "path": torch.empty(path.shape if path.dim() == 2 else (0, 0), dtype=torch.double),
        "positions": torch.empty(found, dtype=torch.long),
        "distance": torch.empty(found, dtype=torch.double),
        "scores": torch.empty(found, generator.agent.n_targets),
        "values": torch.empty(found),
        "codes": torch.empty(found, generator.settings.latent),
    }
    require_fit(tensors, expected, "the probe", "")
    positions = tensors["positions"]
    if not bool(((positions >= 0) & (positions < n_train) & (tensors["counts"] > 0)).all()):
        raise ExplainError("the probe names states that are not there")


# --- probes on disk ------------------------------------------------------------------------


def make_filename(target: str) -> str:
    """Turn the name of a target into that of a file."""
    words = {"+-": "-plus-minus", "+": "-plus", "-": "-minus"}
    for sign, word in words.items():
        if target.endswith(sign):
            target = target.removesuffix(sign) + word
            break
    return re.sub(r"[^A-Za-z0-9_-]+", "_", target)


def load_or_probe(
    path: Path,
    generator: StateGenerator,
    target: str,
    options: Mapping[str, Any],
    train: StateDataset,
    other: Agent | None,
    max_seconds: float,
    progress: bool,
) -> Probe:
    """Load the probe in ``path`` if it has the same options; else search, and save it there."""
    identity = json.dumps(
        {
            "target": target,
            "options": dict(options),
            "generator": [dataclasses.asdict(generator.settings), generator.learned_from],
            "other": other.fingerprint() if other and target == "disagreement" else None,
        },
        sort_keys=True,
    )
    require_file_or_nothing(path)
    if path.exists():
        with contextlib.suppress(ExplainError):  # a damaged file is replaced
            # an agent without values has NaN in their place
            header, tensors = read_tensors(path, "", finite=False)
            if header.metadata.get("identity") == identity:
                require_probe(tensors, generator, len(train))
                return Probe.from_tensors(target, tensors)
    result = probe(
        generator,
        target,
        states=train,
        other=other,
        max_seconds=max_seconds,
        progress=progress,
        **options,
    )
    with atomic_path(path) as temporary:
        safetensors.torch.save_file(result.to_tensors(), temporary, metadata={"identity": identity})
    return result
