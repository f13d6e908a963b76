"""``view``: an output folder as a page that a local server fills, however large its store is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sb3_explain.agents.agent import Agent
from sb3_explain.agents.targets.find import TargetLike, find_target
from sb3_explain.agents.targets.scalars import ScalarTarget
from sb3_explain.common.controls import CONTROLS, list_controls
from sb3_explain.common.errors import ExplainError
from sb3_explain.common.signatures import check_arguments
from sb3_explain.evaluation.kind import describe_kind
from sb3_explain.explainers import EXPLAINERS
from sb3_explain.explainers.base import Explainer, FittedExplainer
from sb3_explain.explainers.make import list_explainers
from sb3_explain.report.live_page import write_live_page
from sb3_explain.report.measured import read_metrics
from sb3_explain.report.page import make_title
from sb3_explain.report.viewer.encode import Trust
from sb3_explain.report.viewer.trust import describe_trust
from sb3_explain.report.wording import Wording
from sb3_explain.report.words import get_metric_words, list_metric_names
from sb3_explain.states.parts import Part, StoreReader
from sb3_explain.workflows.chosen_explainers import list_defaults, list_fitted
from sb3_explain.workflows.live.chunks import Chunks
from sb3_explain.workflows.live.mapper import Mapper
from sb3_explain.workflows.live.server import LiveServer
from sb3_explain.workflows.whole_episodes import STORES


@check_arguments
def open_live(
    agent: Agent,
    folder: str | Path,
    *,
    states: str | None = None,
    target: TargetLike = None,
    host: str = "127.0.0.1",
    port: int = 0,
) -> LiveServer:
    """Open a store as a page on this machine: ``serve_forever()`` answers until it is closed.

    The explainers of the page are those that were fitted in the folder, and all that support the
    agent and need no fit; none explains before it is asked to.

    :param agent: the agent of the states
    :param folder: output folder of `explain`, `highlights` or `collect`
    :param states: name of the store's folder within it; the first of :data:`STORES` that is there
        when not given
    :param target: what is explained (see :mod:`sb3_explain.agents.targets`); any action when not
        given
    :param host: address or name that the server is bound to; one that other machines can reach has
        a token
    :param port: port of the server; 0 for any that is free
    :raises ExplainError: if the folder has no store, the states are of another agent, or the
        address cannot be used
    """
    folder = Path(folder)
    reader = StoreReader(find_store(folder, states))
    first = reader.read([Part(0, 0, 1)])
    first.require_labels_of(agent)  # which may name its actions
    found = None if target is None else find_target(agent, target)
    asked = found if isinstance(found, ScalarTarget) else None
    explainers = choose_live(agent, folder, found)
    mapper = Mapper(reader, agent, explainers, read_trust(folder, list(explainers)), asked)
    _ = agent.layout, agent.categories  # found by a pass, while nothing else passes
    title = make_title(agent.describe())
    chunks = Chunks(
        reader, agent, name=title, explainers=mapper.list_explainers(),
        asked="" if asked is None else asked.name, target=found if isinstance(found, int) else None,
    )  # fmt: skip
    wording = Wording.read(describe_kind(first.batch(agent, [0])))
    page = write_live_page(
        wording, n_steps=chunks.n_steps, title=title,
        provenance={"Agent": agent.describe(), "States": reader.description},
    )  # fmt: skip
    return LiveServer(host, port, page, chunks, mapper)


def find_store(folder: Path, name: str | None = None) -> Path:
    """Find the store of an output folder, or the folder itself if it is one.

    :param folder: output folder
    :param name: name of the store's folder; the first of :data:`STORES` that is there when not
        given
    :raises ExplainError: if there is none
    """
    if not folder.is_dir():
        raise ExplainError(f"{folder} is no folder: give one that explain or collect has written")
    places = [folder / one for one in (STORES if name is None else (name,))]
    found = [one for one in places if (one / "states.json").exists()]
    if not found:
        looked = " or ".join(f"{one.name}/" for one in places)
        raise ExplainError(
            f"{folder} holds no states (it has no {looked}): run explain, highlights or collect "
            "with this folder as -o"
        )
    return found[0]


def choose_live(
    agent: Agent, folder: Path, target: int | ScalarTarget | None = None
) -> dict[str, Explainer | None]:
    """Choose explainers by name: what was fitted first, then the defaults; controls last.

    :param agent: the agent that they explain
    :param folder: output folder, whose fitted explainers are loaded
    :param target: what is explained
    :return: those that need no fit are ``None``: they are made when they are asked
    """
    chosen: dict[str, Explainer | None] = {}
    asked = target.name if isinstance(target, ScalarTarget) else None
    for name in list_fitted(folder):
        kind = EXPLAINERS[name]
        assert issubclass(kind, FittedExplainer)
        loaded = kind.load(folder / name, agent)
        own = None if loaded.own_target is None else loaded.own_target.name
        if own == asked:
            chosen[name] = loaded
    supported = [
        name
        for name in list_explainers(agent)
        if not issubclass(EXPLAINERS[name], FittedExplainer)
        and not (asked is not None and EXPLAINERS[name].actions_only)
    ]
    first = [name for name in list_defaults(agent, target) if name in supported]
    others = [name for name in supported if name not in first and name not in CONTROLS]
    controls = [name for name in supported if name in CONTROLS and name not in first]
    return chosen | dict.fromkeys([*first, *others, *controls])


def read_trust(folder: Path, explainers: Sequence[str]) -> Trust:
    """Read how far explainers can be trusted, from what was measured in a folder, if anything."""
    path = folder / "metrics.json"
    if not path.exists():
        return {}
    measured = read_metrics(path)
    table = measured["explainers"]
    wording = Wording.read(measured.get("states") or {})
    words = {name: get_metric_words(name, None, wording) for name in list_metric_names(table)}
    controls = list_controls(table)
    return {name: describe_trust(table, name, controls, words) for name in explainers}
