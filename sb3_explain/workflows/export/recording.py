"""A recording for Rerun: pictures, maps and series of numbers on one time line."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np

from sb3_explain.common.errors import ExplainError
from sb3_explain.common.files import atomic_path
from sb3_explain.common.progress import progress_bar
from sb3_explain.report.overlay_styles import OverlayStyle, draw_overlay
from sb3_explain.report.target_attributions import encode_png
from sb3_explain.workflows.export.explained_steps import ExplainedSteps
from sb3_explain.workflows.pictures import name_measure

#: name of the time line: numbers of steps within the episode
TIMELINE = "step"


def import_rerun() -> Any:
    """Import ``rerun`` with its module ``blueprint``.

    :raises ExplainError: if it is not installed
    """
    try:
        importlib.import_module("rerun.blueprint")
        return importlib.import_module("rerun")
    except ImportError as error:
        raise ExplainError(
            "a recording for Rerun needs rerun-sdk: pip install 'sb3-explain[rerun]'"
        ) from error


def write_recording(
    path: Path,
    explained: ExplainedSteps,
    *,
    style: OverlayStyle,
    fps: float,
    progress: bool = True,
) -> None:
    """Write a recording; the file appears only when it is complete.

    It has the pictures ``game`` and ``overlay``, the tensors ``attributions/KEY``, the series
    ``value``, ``reward``, ``advantage`` and others, and one of all probabilities, or positions.

    :param path: path of the file, which ends in ``.rrd``
    :param explained: the steps
    :param style: how maps are drawn
    :param fps: steps per second
    :param progress: show a progress bar
    """
    rr = import_rerun()
    with atomic_path(path) as temporary:
        recording = rr.RecordingStream("sb3_explain", send_properties=False)
        # one time line: when something was written says nothing of the agent
        recording.set_log_time_enabled(False)
        recording.set_log_tick_enabled(False)
        recording.save(temporary, default_blueprint=arrange_views(rr, explained, fps))
        recording.send_recording_name(f"{explained.explainer.name}, {explained.steps}")
        log_series(rr, recording, explained)
        with progress_bar("recording", len(explained.steps), "steps", progress) as bar:
            for rows in explained.chunks():
                log_pictures(rr, recording, explained, rows, style)
                bar.update(len(rows))
        recording.flush()
        recording.disconnect()


def log_series(rr: Any, recording: Any, explained: ExplainedSteps) -> None:
    """Log numbers over time, each kind at once."""
    steps = explained.steps.numbers
    names = list(explained.agent.target_names)
    series = {name: (column[:, None], [name]) for name, column in explained.columns.items()}
    series[name_series(explained)] = (explained.shares, names)
    if explained.features is not None:
        named, values, attributions = explained.features
        series |= {"features": (values, named), "attributions": (attributions, named)}
    for name, (values, labels) in series.items():
        recording.log(name, rr.SeriesLines(names=labels), static=True)
        known = np.isfinite(values).all(axis=1)
        recording.send_columns(
            name,
            [rr.TimeColumn(TIMELINE, sequence=steps[known])],
            rr.Scalars.columns(scalars=values[known].astype(np.float64).reshape(-1)).partition(
                [values.shape[1]] * int(known.sum())
            ),
        )
    for row, number in enumerate(explained.taken.tolist()):
        recording.set_time(TIMELINE, sequence=int(steps[row]))
        recording.log("action", rr.TextLog(names[number]))


def log_pictures(
    rr: Any, recording: Any, explained: ExplainedSteps, rows: Any, style: OverlayStyle
) -> None:
    """Log pictures, their maps, and the attributions of every key that is no vector of features.

    :param rows: numbers of the steps among those that are exported
    """
    pictures = explained.pictures(rows)
    for place, row in enumerate(rows.tolist()):
        recording.set_time(TIMELINE, sequence=int(explained.steps.numbers[row]))
        if pictures is not None:
            game = encode_png(pictures[place])
            recording.log("game", rr.EncodedImage(contents=game, media_type="image/png"))
        if explained.scaled is None:
            continue
        for key, each in explained.by_key.items():
            recording.log(
                ["map", key] if key else ["map"],
                rr.Tensor(each[row].numpy(), dim_names=name_axes(each.dim() - 1)),
            )
        if pictures is not None:
            shown = draw_overlay(
                pictures[place], explained.scaled[row], signed=explained.signed, style=style
            )
            overlay = encode_png(shown)
            recording.log("overlay", rr.EncodedImage(contents=overlay, media_type="image/png"))


def name_series(explained: ExplainedSteps) -> str:
    """Name the series of all targets, such as ``probability``, as a part of a path."""
    return name_measure(explained.agent).replace(" ", "_")


def name_axes(n: int) -> list[str]:
    """Name the axes of attributions: channels and pixels of a picture, or features."""
    return ["channel", "row", "column"] if n == 3 else ["feature"][:n]


def arrange_views(rr: Any, explained: ExplainedSteps, fps: float) -> Any:
    """Arrange what is shown first: pictures on the left, series on the right.

    :param fps: steps per second
    """
    rrb = rr.blueprint
    pictures = []
    if explained.pictures(np.arange(1)) is not None:
        pictures.append(rrb.Spatial2DView(origin="game", name="game"))
        if explained.scaled is not None:
            pictures.append(rrb.Spatial2DView(origin="overlay", name="map"))
    names = [*explained.columns, name_series(explained)]
    names += ["features", "attributions"] if explained.features is not None else []
    series = [rrb.TimeSeriesView(origin=name, name=name) for name in names]
    return rrb.Blueprint(
        rrb.Horizontal(
            *([rrb.Vertical(*pictures)] if pictures else []),
            rrb.Vertical(*series),
            column_shares=[2, 3] if pictures else None,
        ),
        rrb.TimePanel(timeline=TIMELINE, fps=fps, state="collapsed"),
        collapse_panels=True,
    )
