"""Boxes of objects: from pixels of a frame to those observed, and from a detector's file."""

import json

import numpy as np
import pytest

from sb3_explain.common.errors import ExplainError
from sb3_explain.evaluation.boxes import rasterize_boxes, read_boxes
from sb3_explain.evaluation.evaluate import evaluate
from sb3_explain.evaluation.metrics import bind_options
from sb3_explain.evaluation.targets import select_metrics
from sb3_explain.explainers.controls import Constant
from tests.toys import SIZE, dot_agent, dot_states


def test_every_pixel_that_a_box_touches_by_hand():
    """Pong's frame of 210 x 160 at 84 x 84: each pixel is 2.5 of its pixels high and 1.905 wide."""
    inside = rasterize_boxes([(35, 16, 16, 4)], (210, 160), (84, 84))
    # rows 14 to 20.4, columns 8.4 to 10.5
    ys, xs = np.nonzero(inside)
    assert (ys.min(), ys.max(), xs.min(), xs.max()) == (14, 20, 8, 10)
    assert inside.sum() == 7 * 3


@pytest.mark.parametrize("size", [(210, 160), (84, 84), (33, 47)])
def test_against_a_loop_over_pixels(size):
    rng = np.random.default_rng(0)
    observed = (21, 30)
    for _ in range(20):
        top, left = (int(rng.integers(0, side - 2)) for side in size)
        height, width = int(rng.integers(1, size[0] - top)), int(rng.integers(1, size[1] - left))
        expected = np.zeros(observed, dtype=bool)
        for y in range(observed[0]):
            for x in range(observed[1]):
                # whether the open rectangles overlap, in whole numbers
                rows = y * size[0] < (top + height) * observed[0] and top * observed[0] < (
                    y + 1) * size[0]  # fmt: skip
                columns = x * size[1] < (left + width) * observed[1] and left * observed[1] < (
                    x + 1) * size[1]  # fmt: skip
                expected[y, x] = rows and columns
        np.testing.assert_array_equal(rasterize_boxes([(top, left, height, width)], size, observed),
                                      expected)  # fmt: skip


def test_what_leaves_the_frame_is_cut_off():
    inside = rasterize_boxes([(-5, -5, 6, 6), (9, 9, 5, 5), (3, 3, 0, 4)], (10, 10), (10, 10))
    assert np.argwhere(inside).tolist() == [[0, 0], [9, 9]]


@pytest.fixture
def detected(tmp_path):
    """What a detector that knows the dot and the corner would write of six rendered frames."""
    states = dot_states(dot_agent(), n=6)
    objects = []
    for position in range(6):
        ys, xs = np.nonzero(states.frames([position])[0, 0].numpy() == 255)
        dot = [2 * int(xs.min()), 2 * int(ys.min()), 2 * int(np.ptp(xs)) + 2, 6]
        corner = {"category": "Corner", "xywh": [0, 0, 2, 2]}
        objects.append([{"category": "Dot", "xywh": dot}, corner])
    path = tmp_path / "boxes.json"
    written = {"size": [2 * SIZE, 2 * SIZE], "states": states.fingerprint(), "objects": objects}
    path.write_text(json.dumps(written))
    return states, path, written


def test_a_detectors_file_marks_the_objects_pixels(detected):
    states, path, _ = detected
    inside = read_boxes(path, states, categories={"Dot"})
    bright = states.frames(slice(None))[:, 0].numpy() == 255
    np.testing.assert_array_equal(inside, bright)
    corner = read_boxes(path, states)
    assert corner[:, 0, 0].all()
    np.testing.assert_array_equal(corner[:, 1:], bright[:, 1:])


def test_evaluate_measures_relevance_mass_where_it_has_boxes(detected):
    states, path, _ = detected
    agent = dot_agent()
    boxes = read_boxes(path, states, ["Dot"])
    given = evaluate(
        agent, states, [Constant(agent)], ["relevance_mass"], boxes=boxes, n_evaluated=4
    )
    assert given.rows["constant"].intervals["relevance_mass"].mean == pytest.approx(1.0)
    # the agent looks at bright pixels of the newest frame's left half, as the dot is one
    assert given.rows["gradient"].intervals["relevance_mass"].mean > 20
    assert "relevance_mass" not in select_metrics(bind_options(None), None, agent, named=False)
    with pytest.raises(ExplainError, match="relevance_mass needs boxes"):
        evaluate(agent, states, [], ["sparseness", "relevance_mass"])
    with pytest.raises(ExplainError, match="boxes of 5 states for 6"):
        evaluate(agent, states, [], boxes=boxes[:5])


def test_files_of_other_states_and_other_files_are_refused(detected):
    states, path, written = detected
    with pytest.raises(ExplainError, match="other states"):
        read_boxes(path, states.subset(range(5)))
    path.write_text(json.dumps({**written, "states": "0123"}))
    with pytest.raises(ExplainError, match="other states"):
        read_boxes(path, states)
    for damaged in ({"objects": []}, [], {**written, "objects": [[{"xywh": [1, 2]}]]}):
        path.write_text(json.dumps(damaged))
        with pytest.raises(ExplainError, match="holds no boxes"):
            read_boxes(path, states, None)
