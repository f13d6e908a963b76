"""Find the statistics of VecNormalize that an agent was trained with."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from gymnasium import spaces

from sb3_explain.agents.last_observations import shows_normalization
from sb3_explain.agents.loading.environment import read_normalize, read_normalizers
from sb3_explain.agents.loading.folder import AgentFiles
from sb3_explain.agents.loading.pickled_statistics import read_reward_scale, read_statistics
from sb3_explain.agents.loading.saved_observations import read_observations
from sb3_explain.agents.loading.saved_spaces import read_space
from sb3_explain.common.errors import ExplainError
from sb3_explain.common.untrusted import quote
from sb3_explain.envs.recipe import Normalizer
from sb3_explain.envs.spaces import check_keys, spaces_by_key, stack_shape

logger = logging.getLogger(__name__)

#: names that users and the Hub give the file
WORDS = ("vecnormalize", "vec_normalize")
#: algorithms whose files hold the raw observation beside the normalized one if, and only if,
#: VecNormalize was there; others hold it always, or not in older versions
TELLING = ("a2c", "ppo", "ppo_lstm", "trpo")

Given = str | Path | bool | None


class Normalization(NamedTuple):
    """What VecNormalize did while an agent learned.

    :param normalizers: the statistics that normalize the agent's observations, per key
    :param reward_scale: by what it divided rewards; ``None`` if it did not, or nothing says so
    :param notes: what to know of the statistics
    """

    normalizers: dict[str, Normalizer]
    reward_scale: float | None = None
    notes: Sequence[str] = ()


def find_normalization(
    files: AgentFiles,
    config: Mapping[str, Any],
    data: Mapping[str, Any],
    algo: str,
    given: Given,
    trusted: tuple[str, ...],
) -> Normalization:
    """Find what VecNormalize did while an agent learned.

    :param files: the files of the agent
    :param config: content of ``config.yml``, empty if there is none
    :param data: JSON of the algorithm's attributes
    :param algo: name of the algorithm that trained the agent
    :param given: what the user gives: a path, ``False`` to leave out statistics, or ``None``
    :param trusted: further names that the file may hold
    :raises ExplainError: if the statistics are missing, ambiguous or damaged
    """
    if given is False:
        return Normalization({})
    if given is not None:
        if not isinstance(given, str | Path):
            raise ExplainError(f"vec_normalize is {quote(given)}: give a path, or False for none")
        return _read_both(Path(given), trusted)
    path = find_statistics(files)
    if files.config is not None:
        normalize = config.get("normalize")
        normalizers = read_normalizers(normalize, path, trusted)
        if path is None or not read_normalize(normalize):
            return Normalization(normalizers)
        return Normalization(normalizers, read_reward_scale(path, trusted))
    was_normalized = tell_normalized(data, algo)
    model, found, note = files.model.name, Normalization({}), ""
    if path is None and was_normalized:
        note = (
            f"{model} was trained with VecNormalize, whose statistics are not beside it: give "
            "vec_normalize=FILE, or vec_normalize=False if only rewards were normalized"
        )
    elif path is not None and was_normalized is False:
        note = f"{path.name} beside {model} is left out: the agent was trained without VecNormalize"
    elif path is not None:
        found = _read_both(path, trusted)
        if found.normalizers:
            note = f"observations are normalized by {path.name}, which stands beside {model}"
    if note:
        logger.warning("%s", note)
    return found._replace(notes=[note] if note else [])


def _read_both(path: Path, trusted: tuple[str, ...]) -> Normalization:
    return Normalization(read_statistics(path, trusted), read_reward_scale(path, trusted))


def tell_normalized(data: Mapping[str, Any], algo: str) -> bool | None:
    """Whether a file says that it was trained with VecNormalize; ``None`` if it does not say.

    :param data: JSON of the algorithm's attributes
    :param algo: name of the algorithm
    """
    if algo not in TELLING:
        last, raw = (
            read_observations(data.get(name)) for name in ("_last_obs", "_last_original_obs")
        )
        space = read_space(data.get("observation_space"))
        return shows_normalization(last, raw, space) or None
    if "_last_original_obs" not in data:
        return None
    if data["_last_original_obs"] is not None:
        return True
    # a model that was never trained tells nothing
    return False if data.get("_last_obs") is not None else None


def find_statistics(files: AgentFiles) -> Path | None:
    """The file of the statistics that belongs to a model; ``None`` if there is none.

    Files that are named after the model come first, then those of its run, then those beside it.

    :param files: the files of the agent
    :raises ExplainError: if several files of one kind differ
    """
    model, beside = files.model, files.model.parent
    names: list[list[Path]] = []
    if steps := re.fullmatch(r"(.+)_(\d+)_steps", model.stem):  # as SB3's CheckpointCallback writes
        names.append([beside / f"{steps[1]}_{word}_{steps[2]}_steps.pkl" for word in WORDS])
    stem = model.stem
    names.append(
        [
            beside / name
            for word in WORDS
            for name in (f"{stem}_{word}.pkl", f"{stem}-{word}.pkl", f"{word}_{stem}.pkl")
        ]
    )
    if files.config is not None:
        names.append([files.config.parent / f"{word}.pkl" for word in WORDS])
    names.append([beside / f"{word}.pkl" for word in WORDS])
    if files.statistics is not None:
        names.append([files.statistics])
    for paths in names:
        there = [path for path in paths if path.exists()]
        if len(there) > 1 and not _are_equal(there):
            raise ExplainError(
                f"{there[0].name} and {there[1].name} both stand beside {model.name}, and differ: "
                "give vec_normalize=FILE, or vec_normalize=False"
            )
        if there:
            return there[0]
    return None


def _are_equal(paths: list[Path]) -> bool:
    """Whether files have the same size and statistics."""
    if len({path.stat().st_size for path in paths}) > 1:
        return False
    fingerprints = [
        {key: each.fingerprint() for key, each in read_statistics(path).items()} for path in paths
    ]
    return all(each == fingerprints[0] for each in fingerprints)


def count_normalized_frames(
    normalizers: Mapping[str, Normalizer], space: spaces.Space[Any], n_stack: int | None
) -> int | None:
    """Check that statistics are of the policy's observations, or of one of their frames.

    :param normalizers: statistics by key
    :param space: observation space of the policy
    :param n_stack: number of stacked frames, if it is known
    :return: number of frames on the first axis of an observation, if the statistics tell it
    :raises ExplainError: if the statistics are of anything else
    """
    by_key = spaces_by_key(space)
    check_keys(normalizers, by_key, "the agent")
    counts = [
        _count_frames(normalizer.mean.shape, tuple(by_key[key].shape or ()), n_stack)
        for key, normalizer in normalizers.items()
    ]
    return min((n for n in counts if n is not None), default=None)


def _count_frames(shape: tuple[int, ...], seen: tuple[int, ...], n_stack: int | None) -> int | None:
    """Number of frames of this shape on the first axis; ``None`` for statistics of it all."""
    frames = [shape] + ([(shape[2], *shape[:2])] if len(shape) == 3 else [])
    if seen in frames:
        return None
    for frame in frames if len(seen) == len(shape) else []:
        for axis, size in enumerate(frame):
            n = n_stack or seen[axis] // max(size, 1)
            if n > 1 and stack_shape(frame, n, axis) == seen:
                return n if axis == 0 else 1
    raise ExplainError(
        f"the statistics of shape {shape} do not fit the agent, which observes {seen}"
        f"{f' ({n_stack} stacked)' if n_stack else ''}: give the right ones by "
        "vec_normalize=FILE, or vec_normalize=False"
    )
