"""``push_to_hub`` and ``from_hub``: fitted explainers and generators on the Hugging Face Hub.

A repository holds ``sb3_explain.json`` (its kind), ``<kind>.json`` and ``<kind>.safetensors``, and
for people ``README.md``, ``metrics.json``, pictures and a video. Only the first three are ever
read, so that nothing in a repository can run code.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sb3_explain.agents.agent import Agent
from sb3_explain.agents.loading.hub import Repository
from sb3_explain.common.errors import ExplainError
from sb3_explain.common.files import write_json
from sb3_explain.common.schema import read_document, record
from sb3_explain.common.signatures import check_arguments
from sb3_explain.common.untrusted import require_regular_file
from sb3_explain.evaluation.evaluate import Evaluation
from sb3_explain.explainers import EXPLAINERS
from sb3_explain.explainers.learned.base import MaskExplainer
from sb3_explain.probing import StateGenerator
from sb3_explain.report.measured import read_metrics
from sb3_explain.workflows.model_card import Learned, write_model_card

FORMAT = 1
#: name of the video that the Hub plays on the page of a model
REPLAY = "replay.mp4"
#: file that names the kind of what a repository holds
MANIFEST = "sb3_explain.json"


def push_to_hub(
    learned: Learned,
    repo_id: str,
    *,
    evaluation: Evaluation | Mapping[str, Any] | None = None,
    pictures: Mapping[str, bytes] | None = None,
    replay: str | Path | None = None,
    load_agent: str | None = None,
    private: bool = False,
    revision: str | None = None,
    token: str | None = None,
    message: str | None = None,
) -> str:
    """Upload a fitted explainer or generator with a model card, in one commit.

    >>> from sb3_explain import StateGenerator, push_to_hub
    >>> push_to_hub(StateGenerator(agent, latent=4), "somebody/generator")
    Traceback (most recent call last):
    sb3_explain.common.errors.ExplainError: this generator has not been fitted: ...

    :param learned: a fitted explainer that learns masks, or a fitted generator
    :param repo_id: ``organization/name``; the repository is created if it does not exist
    :param evaluation: its metrics with intervals, or the content of ``metrics.json``
    :param pictures: PNGs by name, shown on the card in this order
    :param replay: MP4 video of the agent, such as :func:`export` writes, which the Hub plays
    :param load_agent: Python code that loads the explained agent, for the card
    :param private: whether a repository that is created is private
    :param revision: branch to commit to; the main branch when not given
    :param token: access token of an account; that of the logged-in account when not given
    :param message: message of the commit
    :return: address of the commit
    :raises ExplainError: if it has not been fitted, or if the upload fails for lack of a network, a
        token or a permission
    """
    learned.require_fitted()
    repository = Repository(repo_id, revision, token)
    metrics = evaluation.to_dict() if isinstance(evaluation, Evaluation) else evaluation
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        learned.save(folder)
        write_json(folder / MANIFEST, {"format": FORMAT, "kind": learned.name})
        measured: Mapping[str, Any] = {}
        if metrics is not None:
            write_json(folder / "metrics.json", metrics)
            measured = read_metrics(folder / "metrics.json")
        names = []
        for name, png in (pictures or {}).items():
            names.append(f"{name.removesuffix('.png').replace('/', '_')}.png")
            (folder / names[-1]).write_bytes(png)
        if len(set(names)) < len(names):
            raise ExplainError(f"two pictures have the same name: {', '.join(names)}")
        if replay is not None:
            require_regular_file(replay)
            shutil.copyfile(replay, folder / REPLAY)
        card = write_model_card(
            learned,
            repo_id,
            metrics=measured,
            pictures=names,
            replay="" if replay is None else REPLAY,
            settings=learned.plain_settings(),
            load_agent=load_agent,
        )
        (folder / "README.md").write_text(card, encoding="utf-8")
        return repository.upload(folder, message or f"Add {learned.name}", private=private)


@check_arguments
def from_hub(
    repo_id: str, agent: Agent, *, revision: str | None = None, token: str | None = None
) -> Learned:
    """Load what :func:`push_to_hub` uploaded; without a network, from the cache.

    >>> from sb3_explain import from_hub
    >>> from_hub("no-organization", agent)
    Traceback (most recent call last):
    sb3_explain.common.errors.ExplainError: ...

    :param repo_id: ``organization/name``
    :param agent: the agent that it was fitted to
    :param revision: branch, tag or commit; the newest commit of the main branch when not given
    :param token: access token of an account; that of the logged-in account when not given
    :return: the fitted explainer or generator
    :raises ExplainError: if there is no such repository, or it holds something else, is damaged, or
        belongs to another agent
    """
    repository = Repository(repo_id, revision, token)
    manifest = repository.file(MANIFEST)
    if manifest is None:
        raise ExplainError(
            f"{repo_id} holds nothing that push_to_hub wrote (it has: {repository.files()}); "
            "pickles are never read"
        )
    stated = read_document(manifest, record({}), "push it again")
    known = list_kinds()
    kind = stated.get("kind")
    if not isinstance(kind, str) or kind not in known:
        raise ExplainError(f"{repo_id} holds a {kind!r}, which is none of {', '.join(known)}")
    if stated.get("format") != FORMAT:
        raise ExplainError(
            f"{repo_id} is of format {stated.get('format')!r}, and this version reads {FORMAT}: "
            "update sb3_explain"
        )
    # the cache's folders are named by commit, so that all files are of the same one
    repository.revision = manifest.parent.name
    for name in (f"{kind}.json", f"{kind}.safetensors"):
        if repository.file(name) is None:
            raise ExplainError(f"{repo_id} has no {name}: it is incomplete")
    return known[kind].load(manifest.parent, agent)


def list_kinds() -> dict[str, type[Learned]]:
    """Return the classes that can be shared, by name."""
    learned: dict[str, type[Learned]] = {
        name: observed
        for name, observed in EXPLAINERS.items()
        if issubclass(observed, MaskExplainer)
    }
    return {**learned, StateGenerator.name: StateGenerator}
