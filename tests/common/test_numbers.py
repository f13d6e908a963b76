"""Numbers and paths of users are refused before anything is played or written."""

import math
from pathlib import Path

import numpy as np
import pytest

from sb3_explain import ExplainError
from sb3_explain.common.numbers import require_number, require_whole
from sb3_explain.common.signatures import check_arguments
from sb3_explain.report.video import require_video


@pytest.mark.parametrize("given", [7, 7.0, "7", "7e0", np.int8(7), np.float32(7)])
def test_whole_numbers_are_read_however_they_are_written(given):
    assert require_whole("n", given) == 7
    assert type(require_whole("n", given)) is int


NO_WHOLE = [True, None, "a", 1.5, "1.5", math.nan, math.inf, 0, -1, 10**20, 10**400, b"1", [1]]


@pytest.mark.parametrize("given", NO_WHOLE)
def test_what_is_no_whole_number_is_refused(given):
    with pytest.raises(ExplainError, match=r"^n=.*: give a whole number"):
        require_whole("n", given)


def test_large_whole_numbers_are_exact():
    assert require_whole("n", 2**63 - 1) == 2**63 - 1


@pytest.mark.parametrize("given", [math.nan, "a", None, True, 1j, 3, -1, 10**400])
def test_what_is_no_number_in_range_is_refused(given):
    with pytest.raises(ExplainError, match=r"^x=.*: give a number"):
        require_number("x", given, 0, 2)


@check_arguments
def call(
    folder: str | Path | None = None, *, n: int = 1, seed: int = 0, limit: int | None = 3,
    share: float = 0.5, **others: object,
) -> object:  # fmt: skip
    return folder, n, seed, limit, share, others


def test_calls_take_numbers_and_paths_as_they_are_annotated():
    assert call("a", n=1e3, limit=None, share="1e-3", more=True) == (
        "a", 1000, 0, None, 0.001, {"more": True},
    )  # fmt: skip


@pytest.mark.parametrize(
    "given",
    [
        {"folder": b"a"}, {"folder": 3}, {"folder": "a\0"}, {"n": None}, {"n": True}, {"n": 1.5},
        {"seed": -1}, {"seed": None}, {"seed": 99999999999999999999}, {"limit": 1.5},
        {"share": None}, {"share": math.nan}, {"share": "a"},
    ],
)  # fmt: skip
def test_calls_refuse_what_is_none(given):
    with pytest.raises(ExplainError, match=f"^{next(iter(given))}="):
        call(**given)


@pytest.mark.parametrize(
    "given",
    [("a", 64), (math.nan, 64), (0, 64), (-1, 64), (15, 0), (15, "a"), (15, 10**6), (15, 1.5)],
)
def test_no_video_is_begun_with_numbers_out_of_range(given):
    with pytest.raises(ExplainError, match=r"^(fps|height)="):
        require_video(*given)
