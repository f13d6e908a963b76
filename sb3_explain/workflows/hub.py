"""push_to_hub and from_hub: what was learned about an agent, shared and taken up again.

A repository holds ``sb3_explain.json`` (which kind it is), ``<kind>.json`` and
``<kind>.safetensors``, and for people ``README.md``, ``metrics.json`` and pictures. Nothing else is
ever read from it, so that nothing of it can run.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sb3_explain.agents.agent import Agent
from sb3_explain.agents.loading.hub import Repository
from sb3_explain.common.errors import ExplainError
from sb3_explain.common.files import read_json, write_json
from sb3_explain.evaluation.evaluate import Evaluation
from sb3_explain.explainers import EXPLAINERS
from sb3_explain.explainers.learned.base import MaskExplainer
from sb3_explain.probing import StateGenerator
from sb3_explain.workflows.model_card import Learned, model_card

FORMAT = 1
#: says what a repository holds
MANIFEST = "sb3_explain.json"


def push_to_hub(
    learned: Learned,
    repo_id: str,
    *,
    evaluation: Evaluation | Mapping[str, Any] | None = None,
    pictures: Mapping[str, bytes] | None = None,
    load_agent: str | None = None,
    private: bool = False,
    revision: str | None = None,
    token: str | None = None,
    message: str | None = None,
) -> str:
    """Upload a fitted explainer or generator with a model card, in one commit.

    :param learned: fitted
    :param repo_id: ``organization/name``; made if there is none
    :param evaluation: its metrics with intervals, or the content of ``metrics.json``
    :param pictures: PNGs by name, shown on the card in this order
    :param load_agent: how to load the explained agent, as Python code
    :param private: of a repository that is made
    :param revision: branch; the main one when not given
    :param token: of an account; the one that is logged in when not given
    :param message: of the commit
    :return: address of the commit
    :raises ExplainError: if it has not been fitted, or without a network, a token or a right
    """
    learned.require_fitted()
    repository = Repository(repo_id, revision, token)
    metrics = evaluation.to_dict() if isinstance(evaluation, Evaluation) else evaluation
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        learned.save(folder)
        write_json(folder / MANIFEST, {"format": FORMAT, "kind": learned.name})
        if metrics is not None:
            write_json(folder / "metrics.json", metrics)
        names = []
        for name, png in (pictures or {}).items():
            names.append(f"{name.removesuffix('.png').replace('/', '_')}.png")
            (folder / names[-1]).write_bytes(png)
        if len(set(names)) < len(names):
            raise ExplainError(f"two pictures have the same name: {', '.join(names)}")
        card = model_card(
            learned,
            repo_id,
            metrics=metrics or {},
            pictures=names,
            settings=read_json(folder / f"{learned.name}.json")["settings"],
            load_agent=load_agent,
        )
        (folder / "README.md").write_text(card, encoding="utf-8")
        return repository.upload(folder, message or f"Add {learned.name}", private=private)


def from_hub(
    repo_id: str, agent: Agent, *, revision: str | None = None, token: str | None = None
) -> Learned:
    """What :func:`push_to_hub` uploaded; from the cache where there is no network.

    :param repo_id: ``organization/name``
    :param agent: that it was fitted to
    :param revision: branch, tag or commit; the newest when not given
    :param token: of an account; the one that is logged in when not given
    :raises ExplainError: if there is no such repository, it holds something else, it is damaged, or
        it is of another agent
    """
    repository = Repository(repo_id, revision, token)
    manifest = repository.file(MANIFEST)
    if manifest is None:
        raise ExplainError(
            f"{repo_id} holds nothing that push_to_hub wrote (it has: {repository.files()}); "
            "pickles are never read"
        )
    said = read_json(manifest)
    known = kinds()
    kind = said.get("kind") if isinstance(said, dict) else None
    if not isinstance(kind, str) or kind not in known:
        raise ExplainError(f"{repo_id} holds a {kind!r}, which is none of {', '.join(known)}")
    if said.get("format") != FORMAT:
        raise ExplainError(
            f"{repo_id} is of format {said.get('format')!r}, and this version reads {FORMAT}: "
            "update sb3_explain"
        )
    # the cache's folders are named by commit: what follows is of the same one
    repository.revision = manifest.parent.name
    for name in (f"{kind}.json", f"{kind}.safetensors"):
        if repository.file(name) is None:
            raise ExplainError(f"{repo_id} has no {name}: it is not whole")
    return known[kind].load(manifest.parent, agent)


def kinds() -> dict[str, type[Learned]]:
    """What can be shared, by name."""
    learned: dict[str, type[Learned]] = {
        name: observed
        for name, observed in EXPLAINERS.items()
        if issubclass(observed, MaskExplainer)
    }
    return {**learned, StateGenerator.name: StateGenerator}
