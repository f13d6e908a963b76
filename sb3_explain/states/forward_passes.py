"""Passes of many perturbed copies of the same states through an agent, a chunk at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice, pairwise

import torch
from torch import Tensor
from torch.nn import functional

from sb3_explain.common.errors import ExplainError
from sb3_explain.envs.spaces import are_images
from sb3_explain.states.batch import StateBatch

#: rows of one forward pass: enough to keep the processor busy, few enough to stay in its cache
CHUNK = 128
#: bytes that the perturbed copies of one forward pass take at most, unless told otherwise
MAX_BATCH_BYTES = 2**28


def rows_at_once(observed: Tensor, max_batch_bytes: int = MAX_BATCH_BYTES) -> int:
    """Rows of one pass whose float32 copies of ``key`` (B, ...) take at most so many bytes."""
    return max(1, min(CHUNK, max_batch_bytes // (4 * max(observed[0].numel(), 1))))


def attribute_images(
    batch: StateBatch, explain: Callable[[str, Tensor], Tensor]
) -> dict[str, Tensor]:
    """Maps of the images among the keys of states, one image at a time; zeros for the others.

    :param batch: the states
    :param explain: name and images (B, C, H, W) of a key -> (B, C, H, W); the others are held
    """
    images = batch.images()
    return {
        name: explain(name, observed) if name in images else torch.zeros_like(observed)
        for name, observed in batch.by_key.items()
    }


def read_blocks(
    read: Callable[[Tensor, Tensor], Tensor], blocks: Iterable[Tensor], chunk: int = CHUNK
) -> Tensor:
    """What the agent says about perturbed copies of B states, made one copy at a time.

    Small blocks share a pass and large ones are split, so that a pass has at most ``chunk`` rows
    whatever B is, and no more copies than that exist at once.

    :param read: (R, ...) copies and (R,) numbers of the states that they are copies of -> (R, ...),
        for example :meth:`sb3_explain.states.batch.StateBatch.scores`
    :param blocks: P perturbed copies (B, ...) of the states, all of one shape; a copy may be
        changed in place once the next one is asked for
    :param chunk: rows of one pass, at least 1
    :return: (B, P, ...)
    """
    blocks = iter(blocks)
    first = next(blocks)
    n_rows = len(first)
    blocks = chain([first], blocks)
    numbers = torch.arange(n_rows, device=first.device)
    outputs: list[Tensor] = []
    with torch.no_grad():
        if n_rows > chunk // 2:  # one block fills a pass: read it where it stands
            for block in blocks:
                parts = zip(torch.split(block, chunk), torch.split(numbers, chunk), strict=True)
                outputs.append(torch.cat([read(rows, states) for rows, states in parts]))
            return torch.stack(outputs, dim=1)
        buffer = first.new_empty(chunk // n_rows, *first.shape)
        while True:
            n_blocks = 0
            for n_blocks, block in enumerate(islice(blocks, len(buffer)), start=1):
                buffer[n_blocks - 1] = block
            if n_blocks == 0:
                return torch.cat(outputs).transpose(0, 1)
            rows = read(buffer[:n_blocks].flatten(0, 1), numbers.repeat(n_blocks))
            outputs.append(rows.reshape(n_blocks, n_rows, *rows.shape[1:]))


def read_blends(
    read: Callable[[Tensor, Tensor], Tensor],
    start: Tensor,
    change: Tensor,
    weights: Iterable[Tensor],
    chunk: int = CHUNK,
) -> Iterator[tuple[Tensor, Tensor]]:
    """What the agent says about ``start + weight * change``, all states and some weights at a time.

    Copies are written by one fused operation into one buffer of at most ``chunk`` rows; few weights
    share a pass between states.

    :param read: as :func:`read_blocks` takes it
    :param start: (B, ...) the states where the weight is 0
    :param change: (B, ...) what weight 1 adds to them
    :param weights: blocks (p, ...), p <= ``chunk``, that broadcast over a state's copies
    :param chunk: rows of one pass, at least 1
    :return: for each block in turn, the block and (B, p, ...)
    """
    numbers = torch.arange(len(start), device=start.device)
    buffer = start.new_empty(chunk, *start.shape[1:])
    for block in weights:
        n_copies = len(block)
        outputs = []
        for states in torch.split(numbers, chunk // n_copies):
            copies = buffer[: len(states) * n_copies].view(len(states), n_copies, *start.shape[1:])
            first, last = int(states[0]), int(states[-1]) + 1
            with torch.no_grad():
                torch.addcmul(start[first:last, None], change[first:last, None], block, out=copies)
                told = read(copies.flatten(0, 1), states.repeat_interleave(n_copies))
            outputs.append(told.reshape(len(states), n_copies, *told.shape[1:]))
        yield block, torch.cat(outputs)


def grid_masks(rows: Tensor, columns: Tensor, chunk: int = CHUNK) -> Iterator[Tensor]:
    """A mask of zeros, then the masks rows[i] x columns[j], in blocks of nearly equal size.

    The first leaves the state as it is, so that its own outputs come with those of its copies.

    :param rows: (n, H) profiles along y
    :param columns: (m, W) profiles along x
    :param chunk: masks of one block at most
    :return: blocks (p, 1, H, W) of in all 1 + n * m masks, j running faster than i
    """
    pad = (0, 0, 1, 0)  # a profile of zeros before the others
    rows, columns = (
        functional.pad(rows.repeat_interleave(len(columns), dim=0), pad),
        functional.pad(columns.repeat(len(rows), 1), pad),
    )
    n_blocks = -(-len(rows) // chunk)
    for row, column in zip(rows.chunk(n_blocks), columns.chunk(n_blocks), strict=True):
        yield row[:, None, :, None] * column[:, None, None, :]


def replace_in_order(
    start: Tensor, finish: Tensor, ordering: Tensor, steps: int, fraction: float = 1.0
) -> Iterator[Tensor]:
    """The way from ``start`` to ``finish``, cell by cell: n + 1 copies, each made of the last.

    Copy k has the cells of rank below round(k * fraction * N / n) from ``finish``, k = 0..n (the
    loop of RISE's causal metric).

    :param start: (B, ...) where every cell comes from at first
    :param finish: (B, ...) of the same shape
    :param ordering: (B, N) indices of the cells, first replaced first; N keys of a state, or the
        H * W of an image, whose layers are then replaced together (see :func:`pixel_order`)
    :param steps: n, at least 1
    :param fraction: share of the order that is replaced at the end, in (0, 1]
    :return: float32 copies of the shape of ``start``, each in the memory of the last
    :raises ExplainError: for steps or a fraction out of range
    """
    if steps < 1 or not 0 < fraction <= 1:
        raise ExplainError(
            f"steps={steps} and fraction={fraction}: give at least 1 step and a fraction in (0, 1]"
        )
    n_cells = ordering.shape[1]
    # (B, layers, N), so that one index replaces a cell in all its layers
    current = (
        start.float().reshape(len(start), -1, n_cells).clone(memory_format=torch.contiguous_format)
    )
    source = finish.float().reshape(current.shape)
    bounds = [round(k * fraction * n_cells / steps) for k in range(steps + 1)]
    yield current.view(start.shape)
    for low, high in pairwise(bounds):
        cells = ordering[:, None, low:high].expand(-1, current.shape[1], -1)
        current.scatter_(2, cells, source.gather(2, cells))
        yield current.view(start.shape)


def pixel_order(ordering: Tensor, images: Tensor) -> Tensor:
    """(B, H * W) pixels of images in the order in which the first of their cells comes.

    :param ordering: (B, N) indices of the cells (layer, y, x)
    :param images: (B, C, H, W)
    :raises ExplainError: for observations that are no images
    """
    if not are_images(images):
        raise ExplainError(
            "per_frame=False changes a pixel in all frames of an image at once, and these "
            "observations are no single image: leave it out"
        )
    ranks = torch.empty_like(ordering)
    ranks.scatter_(
        1, ordering, torch.arange(ordering.shape[1], device=ordering.device).expand_as(ordering)
    )
    return ranks.reshape(len(ranks), images.shape[1], -1).amin(dim=1).argsort(dim=1)
