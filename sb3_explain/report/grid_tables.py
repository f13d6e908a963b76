"""Tables of explainers x metrics with intervals for several agents, as Markdown and LaTeX."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sb3_explain.common.controls import list_controls
from sb3_explain.report.tables import make_metric_rows
from sb3_explain.report.wording import Wording
from sb3_explain.report.words import (
    MISSING,
    MetricWords,
    Table,
    get_metric_words,
    to_finite,
)

#: agent -> explainer -> reason why it has no figures, or not those of every seed
Notes = Mapping[str, Mapping[str, str]]
#: columns of the costs: head, key, factor, format
COSTS: Sequence[Any] = (
    ("passes a state", "forwards", 1, ",.0f"),
    ("ms a state", "seconds", 1000, ",.1f"),
    ("fit, s", "fit_seconds", 1, ",.0f"),
)
_LATEX = str.maketrans(
    {
        "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
        "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
        "<": r"\textless{}", ">": r"\textgreater{}",
        "↑": r"$\uparrow$", "↓": r"$\downarrow$", "\N{EN DASH}": "--",
    }
)  # fmt: skip


@dataclass(frozen=True)
class Line:
    """One explainer's row of a table.

    :param label: label of the explainer
    :param values: for each metric: mean, interval, and whether the mean is among the best
    :param costs: formatted costs
    :param note: reason why there are no figures, or not those of every seed
    """

    label: str
    values: Sequence[tuple[str, str, bool]]
    costs: Sequence[str]
    note: str

    @property
    def empty(self) -> bool:
        """Whether the row has no figures at all."""
        return all(mean == MISSING for mean, *_ in self.values)


def markdown_table(
    tables: Mapping[str, Table],
    names: Sequence[str],
    notes: Notes,
    caption: str,
    *,
    controls: Collection[str] | None = None,
    words: Mapping[str, MetricWords] | None = None,
    wordings: Mapping[str, Wording] | None = None,
) -> str:
    """Write a section per agent; the best mean and those not clearly worse are bold.

    :param tables: agent -> explainer -> metric -> estimate, with ``cost`` for one state
    :param names: names of the metrics, in the order of the columns
    :param notes: agent -> explainer -> reason why it has no figures
    :param caption: text under the last table
    :param controls: names of the controls, which come last and are never bold; when not given,
        those of each table
    :param words: presentation of further metrics
    :param wordings: words for the kind of each agent
    """
    parts = []
    for agent, table in tables.items():
        lines = _make_lines(table, names, notes.get(agent, {}), controls, words)
        heads = _make_heads(names, words, (wordings or {}).get(agent))
        rows = [heads, ["---", *["---:"] * (len(heads) - 1)]]
        for line in lines:
            if line.empty:
                rows.append([line.label, line.note, *[""] * (len(heads) - 2)])
                continue
            texts = [
                f"**{mean}** {span}" if best else f"{mean} {span}"
                for mean, span, best in line.values
            ]
            rows.append([line.label, *(cell.rstrip() for cell in texts), *line.costs])
        body = [" | ".join(cell.replace("|", r"\|") for cell in row) for row in rows]
        parts += [f"## {agent}", "\n".join(f"| {row} |" for row in body)]
        parts += [f"{line.label}: {line.note}" for line in lines if line.note and not line.empty]
    return "\n\n".join([*parts, caption]) + "\n"


def latex_table(
    tables: Mapping[str, Table],
    names: Sequence[str],
    notes: Notes,
    caption: str,
    *,
    controls: Collection[str] | None = None,
    words: Mapping[str, MetricWords] | None = None,
    wordings: Mapping[str, Wording] | None = None,
) -> str:
    r"""Write a ``table*`` per agent, with the arguments of :func:`markdown_table`.

    The document needs the packages booktabs and graphicx.
    """
    parts = [r"% \usepackage{booktabs,graphicx}"]
    for agent, table in tables.items():
        lines = _make_lines(table, names, notes.get(agent, {}), controls, words)
        heads = _make_heads(names, words, (wordings or {}).get(agent))
        rows = [_join_row(map(_escape, heads)), r"\midrule"]
        for line in lines:
            label = _escape(line.label)
            if line.empty:
                span = rf"\multicolumn{{{len(heads) - 1}}}{{l}}{{{_escape(line.note)}}}"
                rows.append(_join_row([label, span]))
                continue
            texts = [
                (rf"\textbf{{{_escape(mean)}}}" if best else _escape(mean))
                + (rf" {{\tiny [{_escape(span)}]}}" if span else "")
                for mean, span, best in line.values
            ]
            rows.append(_join_row([label, *texts, *map(_escape, line.costs)]))
        partial = [f" {line.label}: {line.note}." for line in lines if line.note and not line.empty]
        parts.append(
            "\n".join(
                [
                    r"\begin{table*}",
                    r"\centering",
                    rf"\caption{{{_escape(f'{agent}. {caption}' + ''.join(partial))}}}",
                    r"\resizebox{\textwidth}{!}{%",
                    rf"\begin{{tabular}}{{l{'r' * (len(heads) - 1)}}}",
                    r"\toprule",
                    *rows,
                    r"\bottomrule",
                    r"\end{tabular}}",
                    r"\end{table*}",
                ]
            )
        )
    return "\n\n".join(parts) + "\n"


def _make_lines(
    table: Table,
    names: Sequence[str],
    notes: Mapping[str, str],
    controls: Collection[str] | None,
    words: Mapping[str, MetricWords] | None,
) -> list[Line]:
    controls = list_controls(table) if controls is None else controls
    return [
        Line(
            row["label"],
            [(cell["mean"], cell["interval"], cell["best"]) for cell in row["values"]],
            [_format_cost(table[row["name"]].get("cost", {}), *form) for _, *form in COSTS],
            notes.get(row["name"], ""),
        )
        for row in make_metric_rows(table, names, controls, words)
    ]


def _make_heads(
    names: Sequence[str], words: Mapping[str, MetricWords] | None, wording: Wording | None
) -> list[str]:
    said = [get_metric_words(name, words, wording) for name in names]
    labels = (f"{each.label} {each.arrow}".rstrip() for each in said)
    return ["", *labels, *(head for head, *_ in COSTS)]


def _format_cost(cost: Mapping[str, Any], key: str, factor: float, form: str) -> str:
    known = to_finite(cost.get(key))
    return MISSING if known is None else format(known * factor, form)


def _join_row(texts: Iterable[str]) -> str:
    return " & ".join(texts) + r" \\"


def _escape(text: str) -> str:
    return text.translate(_LATEX)
