"""The model card of an explainer or a generator on the Hub."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sb3_explain.agents.loading.hub import huggingface_hub
from sb3_explain.common.controls import list_controls
from sb3_explain.common.provenance import describe_machine
from sb3_explain.explainers.learned.base import MaskExplainer
from sb3_explain.probing import StateGenerator
from sb3_explain.report.summary import describe_own_controls
from sb3_explain.report.words import (
    MISSING,
    Table,
    format_number,
    get_explainer_label,
    get_metric_words,
    join_words,
    list_metric_names,
    read_bounds,
)

#: what can be shared
Learned = MaskExplainer | StateGenerator

_TEXT = """---
{header}
---

# {title}

Learned by [sb3_explain](https://pypi.org/project/sb3-explain/) about an agent of
Stable-Baselines3. {words}

| The agent | |
|---|---|
{agent}
{pictures}{replay}{metrics}
## How to load it

```python
from sb3_explain import from_hub, load_agent

{load}
{name} = from_hub("{repo_id}", agent)
```

It belongs to this agent alone: weights with another SHA-256 are refused. The files are safetensors
and JSON; nothing is unpickled.

## How it was made

Settings: `{settings}`

Learned in {seconds:.0f} s. Uploaded on {date} with {versions}.
"""


def write_model_card(
    learned: Learned,
    repo_id: str,
    *,
    metrics: Mapping[str, Any],
    pictures: Sequence[str],
    replay: str = "",
    settings: Mapping[str, Any],
    load_agent: str | None,
) -> str:
    """Return the content of ``README.md``.

    :param learned: the explainer or generator
    :param repo_id: ``organization/name`` of the repository
    :param metrics: metrics as in ``metrics.json``; may be empty
    :param pictures: names of the picture files beside it
    :param replay: name of the video beside it; empty for none
    :param settings: settings of the explainer or generator
    :param load_agent: Python code that makes ``agent``; that for an agent of the zoo when not given
    """
    agent = learned.agent.describe()
    environment = learned.agent.environment or "environment"
    label = get_explainer_label(learned.name)
    made = describe_machine()
    words = (type(learned).__doc__ or "").strip().partition("\n")[0]
    tags = ["sb3_explain", "stable-baselines3", "explainability", "reinforcement-learning"]
    load = f'agent = load_agent("{agent["algo"]}", "{environment}", folder="logs")'
    rows = {
        "Algorithm": agent["algo"],
        "Environment": environment,
        "Observations": agent["observation_space"],
        "Actions": ", ".join(agent["actions"]),
        "Source": agent.get("repository") or agent.get("file") or "a model in memory",
        "SHA-256 of its weights": f"`{agent['weights_sha256']}`",
    }
    return _TEXT.format(
        header=write_header(
            [*tags, environment, agent["algo"], learned.name], label, environment, learned, metrics
        ),
        title=f"{label} of {agent['algo'].upper()} on {environment}",
        words=words,
        agent="\n".join(f"| {name} | {value} |" for name, value in rows.items()),
        pictures="".join(f"\n![{name.removesuffix('.png')}]({name})\n" for name in pictures),
        replay=f"\n[The agent at play]({replay}), with what speaks for its actions.\n"
        if replay
        else "",
        metrics=write_metrics_table(metrics),
        load=load_agent or load,
        name=learned.name,
        repo_id=repo_id,
        settings=json.dumps(dict(settings)),
        seconds=learned.training.seconds,
        date=made["date"],
        versions=", ".join(f"{name} {version}" for name, version in made["versions"].items()),
    )


def write_header(
    tags: Sequence[str],
    label: str,
    environment: str,
    learned: Learned,
    metrics: Mapping[str, Any],
) -> str:
    """Return the YAML that the Hub reads: library, tags and the metrics as ``model-index``."""
    hub = huggingface_hub()
    own = metrics.get("explainers", {}).get(learned.name, {})
    results = [
        hub.EvalResult(
            task_type="reinforcement-learning",
            dataset_type=environment,
            dataset_name=environment,
            metric_type=metric,
            metric_name=get_metric_words(metric).label,
            metric_value=round(estimate["mean"], 4),
        )
        for metric, estimate in own.items()
        if metric != "cost" and read_bounds(estimate) is not None
    ]
    data = hub.ModelCardData(
        library_name="stable-baselines3",
        tags=list(dict.fromkeys(tags)),
        model_name=label if results else None,
        eval_results=results or None,
    )
    text: str = data.to_yaml()
    return text


def describe_controls(table: Table) -> str:
    """Say which rows of a table are controls, in one sentence."""
    labels = [get_explainer_label(name) for name in list_controls(table)]
    are = "is a control" if len(labels) == 1 else "are controls"
    return f"{join_words(labels)} {are}, for comparison." if labels else ""


def write_metrics_table(metrics: Mapping[str, Any]) -> str:
    """Return means and intervals of all explainers in Markdown; empty without metrics."""
    table = metrics.get("explainers", {})
    names = list_metric_names(table)
    if not names:
        return ""
    heads = [f"{(w := get_metric_words(name)).label} {w.arrow}".strip() for name in names]
    states = metrics.get("states", {})
    lines = [
        "\n## Metrics\n",
        f"Means over {states.get('n', '?')} states of {states.get('episodes', '?')} episodes, with "
        f"{100 * states.get('confidence', 0.95):.0f} % intervals. ↑ more is better, ↓ less is. "
        f"{describe_controls(table)}\n",
        f"| | {' | '.join(heads)} |",
        f"|---|{'---|' * len(heads)}",
    ]
    for name, row in table.items():
        columns = []
        for metric in names:
            bounds = read_bounds(row.get(metric))
            if bounds is None:
                columns.append(MISSING)
            elif bounds[2] > bounds[1]:
                mean, low, high = map(format_number, bounds[:3])
                columns.append(f"{mean} ({low} to {high})")
            else:
                columns.append(format_number(bounds[0]))
        lines.append(f"| {get_explainer_label(name)} | {' | '.join(columns)} |")
    lines += [f"\n{sentence}" for name in table for sentence in describe_own_controls(table, name)]
    return "\n".join(lines) + "\n"
