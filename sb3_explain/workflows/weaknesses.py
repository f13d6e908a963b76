"""Weaknesses: from an agent to a page of states that it fears, wants, and cannot decide in.

An output folder holds ``states/``, ``generator/``, for the maps ``visionmask/``, and of each target
``probes/<target>.safetensors`` and ``.png``; ``probes.json`` and ``probes.html`` tell of all. A
step finds what an earlier run has finished, and goes on with what it has not.
"""

from __future__ import annotations

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

import safetensors
import safetensors.torch

from sb3_explain.agents.agent import Agent
from sb3_explain.agents.observations import find_image
from sb3_explain.common.errors import unknown_name
from sb3_explain.common.files import atomic_path, write_json
from sb3_explain.common.provenance import describe_machine
from sb3_explain.common.signatures import check_arguments
from sb3_explain.explainers.learned.fitted import load_or_fit
from sb3_explain.explainers.learned.visionmask import VisionMask
from sb3_explain.probing import StateGenerator, goggles, novelty, probe
from sb3_explain.probing.search import Probe, require_search
from sb3_explain.probing.targets import list_targets, require_comparable, require_supported_target
from sb3_explain.report import save
from sb3_explain.report.page import make_title
from sb3_explain.report.probe_page import Probed, write_probe_page
from sb3_explain.states.collection import collect
from sb3_explain.states.dataset import StateDataset
from sb3_explain.workflows.pipeline import fit_visionmask
from sb3_explain.workflows.probe_pictures import probed_of, quality_of, sentences_of

logger = logging.getLogger(__name__)

#: every target that tells something of its own about an agent
ALL = "all"
#: random actions among the greedy ones that states are collected with, as in the paper
EPSILON = 0.1


@check_arguments
def find_weaknesses(
    agent: Agent,
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
    """Everything that is missing for a page of an agent's states of interest.

    :param agent: to be probed
    :param output: folder for all that is made
    :param targets: names, see :func:`sb3_explain.probing.targets.make_target`; ``"all"`` for
        :func:`sb3_explain.probing.targets.list_targets` the agent
    :param n_states: states to collect
    :param n_samples: samples of each target
    :param n_episodes: episodes through goggles; 0 to leave them out
    :param attributions: show the VisionMask of each state; it is fitted if ``visionmask/`` has none
    :param collect_kwargs: further options of :func:`sb3_explain.collect`
    :param generator_kwargs: of the generator
    :param fit_kwargs: fields of :class:`sb3_explain.common.training.TrainingOptions`, of the
        generator
    :param probe_kwargs: ``steps``, ``prior``, ``prior_weight``, ``learning_rate`` and ``beta`` of
        :func:`sb3_explain.probing.probe`
    :param explainer_kwargs: settings of the VisionMask
    :param other: a second agent, for the target ``"disagreement"``
    :param states: at hand, in place of those that would be collected
    :param max_seconds: the generator learns for half of them at most; the searches share what is
        left, and those for which nothing is left are left out, but for the first
    :param seed: of all chance
    :param progress: show bars
    :return: the page
    """
    began = time.perf_counter()
    output = Path(output)
    if max_seconds is not None:
        fit_kwargs = {"max_seconds": max_seconds / 2, **(fit_kwargs or {})}
    # What cannot work shall fail now, not after the long steps.
    wanted = StateGenerator(agent, seed=seed, **(generator_kwargs or {}))
    wanted.training_options({"seed": seed, **(fit_kwargs or {})})
    given = [name for one in targets for name in (list_targets(agent) if one == ALL else [one])]
    names = list(dict.fromkeys(given))
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
            folder=output / "states",
            seed=seed,
            progress=progress,
            **behavior,
        )
    train, validation, test = states.split(seed=seed)
    options = {"seed": seed, "progress": progress, **(fit_kwargs or {})}
    generator = load_or_fit(wanted, output / "generator", train, validation, options)
    explainer = None
    if attributions and find_image(agent) is not None:
        explainer = fit_visionmask(
            agent,
            states,
            output / "visionmask",
            explainer_kwargs=explainer_kwargs or {},
            fit_kwargs={"progress": progress},
            seed=seed,
        )
    found: list[Probed] = []
    search = {"n_samples": n_samples, "seed": seed, **(probe_kwargs or {})}
    for name in names:
        left = math.inf if max_seconds is None else began + max_seconds - time.perf_counter()
        if left <= 0 and found:
            missing = ", ".join(names[len(found) :])
            logger.warning("%s: there is no time left to search for %s", output, missing)
            break
        share = max(left, 0.0) / (len(names) - len(found))
        path = output / "probes" / f"{filename(name)}.safetensors"
        result = load_or_probe(path, generator, name, search, train, other, share, progress)
        found.append(probed_of(generator, result, train, explainer))
        save(path.with_suffix(".png"), found[-1].sheet.png)
    played = None
    if n_episodes:
        played = goggles(generator, n_episodes, seed=seed, progress=progress)
    agreement = generator.agreement(test)
    new = novelty(generator, generator.sample(256, seed), train)
    made = describe_machine()
    quality = quality_of(generator, test, agreement, new)
    sentences = sentences_of(agreement, played, found)
    write_json(
        output / "probes.json",
        {
            "agreement": agreement,
            "novelty": {str(threshold): share for threshold, share in new.items()},
            "goggles": None if played is None else played.table().to_dict("records"),
            "targets": {row.name: dict(row.figures) for row in found},
            "made": made,
        },
    )
    return write_probe_page(
        output / "probes.html",
        title=make_title(agent.describe()),
        sentences=sentences,
        probed=found,
        quality=quality,
        date=made["date"],
        provenance={
            "Agent": agent.describe(),
            "Generator": dataclasses.asdict(generator.settings),
            "Search": {"samples": n_samples, "seed": seed, **(probe_kwargs or {})},
            "Made with": made,
        },
    )


def require_search_options(n_samples: int, options: Mapping[str, Any]) -> None:
    """:raises ExplainError: for options of the search that do not exist, or values out of range"""
    known = inspect.signature(require_search).parameters.keys() - {"n_samples"}
    for name in options:
        if name not in known:
            raise unknown_name("option of the search", name, known)
    require_search(n_samples, **options)


# --- probes on disk ------------------------------------------------------------------------


def filename(target: str) -> str:
    """A target's name as that of a file."""
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
    """The probe that ``path`` holds, if it is of these options; else it is made and kept there."""
    identity = json.dumps(
        {
            "target": target,
            "options": dict(options),
            "generator": [dataclasses.asdict(generator.settings), generator.learned_from],
            "other": other.fingerprint() if other and target == "disagreement" else None,
        },
        sort_keys=True,
    )
    if path.exists():
        try:
            with safetensors.safe_open(path, framework="pt") as file:
                if (file.metadata() or {}).get("identity") == identity:
                    tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
                    return Probe.from_tensors(target, tensors)
        except (safetensors.SafetensorError, OSError, KeyError):
            pass  # a damaged file is made anew
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
