"""Forward passes of many perturbed copies of the same states, a chunk of copies at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice, pairwise

import torch
from torch import Tensor
from torch.nn import functional

from sb3_explain.common.errors import ExplainError
from sb3_explain.envs.spaces import are_images
from sb3_explain.states.batch import StateBatch

#: copies in one forward pass: enough to keep the processor busy, and few enough for its cache
CHUNK = 128
#: largest size of the perturbed copies of one forward pass, in bytes, by default
MAX_BATCH_BYTES = 2**28


def count_rows(observed: Tensor, max_batch_bytes: int = MAX_BATCH_BYTES) -> int:
    """Compute how many copies of an observation one forward pass takes.

    :param observed: (B, ...) what stands under a key, in float32
    :param max_batch_bytes: largest size of the copies in bytes
    :return: number of copies, from 1 to :data:`CHUNK`
    """
    return max(1, min(CHUNK, max_batch_bytes // (4 * max(observed[0].numel(), 1))))


def attribute_images(
    batch: StateBatch, explain: Callable[[str, Tensor], Tensor]
) -> dict[str, Tensor]:
    """Attribute the images of the states, one key at a time; other keys get zeros.

    :param batch: the states
    :param explain: function of a key and its images (B, C, H, W) that returns their attributions
        (B, C, H, W); what stands under the other keys is not perturbed
    :return: (B, ...) attributions by key
    """
    images = batch.images()
    return {
        name: explain(name, observed) if name in images else torch.zeros_like(observed)
        for name, observed in batch.by_key.items()
    }


def read_blocks(
    read: Callable[[Tensor, Tensor], Tensor], blocks: Iterable[Tensor], chunk: int = CHUNK
) -> Tensor:
    """Pass perturbed copies of B states through the agent, which are made one block at a time.

    Small blocks share a forward pass and large ones are split, so that a pass has at most ``chunk``
    rows whatever B is, and no more copies than that exist at the same time.

    :param read: function of copies (R, ...) and of the indices (R,) of the states that they are
        copies of, which returns (R, ...), for example
        :meth:`sb3_explain.StateBatch.scores`
    :param blocks: P blocks, each a perturbed copy (B, ...) of all states; a block may be changed in
        place once the next one is requested
    :param chunk: largest number of rows of a forward pass, at least 1
    :return: (B, P, ...) what ``read`` returned
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
    """Pass ``start + weight * change`` through the agent for all states and many weights.

    One fused operation writes the copies into one buffer of at most ``chunk`` rows. Where a block
    has few weights, several states share a forward pass.

    :param read: function as :func:`read_blocks` takes it
    :param start: (B, ...) the copies with a weight of 0
    :param change: (B, ...) what a weight of 1 adds to them
    :param weights: blocks (p, ...) of at most ``chunk`` weights, which broadcast over a state's
        copies
    :param chunk: largest number of rows of a forward pass, at least 1
    :return: for each block, the block and what ``read`` returned (B, p, ...)
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
                rows = read(copies.flatten(0, 1), states.repeat_interleave(n_copies))
            outputs.append(rows.reshape(len(states), n_copies, *rows.shape[1:]))
        yield block, torch.cat(outputs)


def make_grid_masks(rows: Tensor, columns: Tensor, chunk: int = CHUNK) -> Iterator[Tensor]:
    """Make a mask of zeros, then the masks rows[i] x columns[j], in blocks of nearly equal size.

    The first mask leaves the state as it is, so that its outputs come with those of its copies.

    :param rows: (n, H) profiles along y
    :param columns: (m, W) profiles along x
    :param chunk: largest number of masks in a block
    :return: blocks (p, 1, H, W) of 1 + n * m masks altogether, where j runs faster than i
    """
    return make_masks(*pair_profiles(rows, columns), chunk)


def pair_profiles(rows: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
    """Pair profiles of zeros, then each profile along y with each along x.

    :param rows: (n, H) profiles along y
    :param columns: (m, W) profiles along x
    :return: (1 + n * m, H) and (1 + n * m, W) profiles, where those along x run faster
    """
    pad = (0, 0, 1, 0)  # a profile of zeros before the others
    return (
        functional.pad(rows.repeat_interleave(len(columns), dim=0), pad),
        functional.pad(columns.repeat(len(rows), 1), pad),
    )


def make_masks(rows: Tensor, columns: Tensor, chunk: int = CHUNK) -> Iterator[Tensor]:
    """Make the masks rows[i] x columns[i], in blocks (p, 1, H, W) of nearly equal size.

    :param rows: (P, H) profiles along y
    :param columns: (P, W) profiles along x
    :param chunk: largest number of masks in a block
    """
    n_blocks = -(-len(rows) // chunk)
    for row, column in zip(rows.chunk(n_blocks), columns.chunk(n_blocks), strict=True):
        yield row[:, None, :, None] * column[:, None, None, :]


def replace_in_order(
    start: Tensor, finish: Tensor, ordering: Tensor, steps: int, fraction: float = 1.0
) -> Iterator[Tensor]:
    """Replace the features of ``start`` by those of ``finish`` in n steps, in a given order.

    In copy k = 0..n the first round(k * fraction * N / n) features come from ``finish`` (the loop
    of RISE's causal metric).

    :param start: (B, ...) states before the first step
    :param finish: (B, ...) what replaces their features
    :param ordering: (B, N) indices of the features, in the order in which they are replaced; N is
        the number of a state's features, or H * W for an image whose channels are replaced
        together (see :func:`order_pixels`)
    :param steps: number of steps n, at least 1
    :param fraction: share of the features that is replaced at the end, in (0, 1]
    :return: n + 1 float32 copies in the shape of ``start``; each overwrites the one before
    :raises ExplainError: for steps or a fraction out of range
    """
    if steps < 1 or not 0 < fraction <= 1:
        raise ExplainError(
            f"steps={steps} and fraction={fraction}: give at least 1 step and a fraction in (0, 1]"
        )
    n_features = ordering.shape[1]
    # (B, channels, N), so that one index replaces a pixel in all its channels
    current = (
        start.float()
        .reshape(len(start), -1, n_features)
        .clone(memory_format=torch.contiguous_format)
    )
    source = finish.float().reshape(current.shape)
    bounds = [round(k * fraction * n_features / steps) for k in range(steps + 1)]
    yield current.view(start.shape)
    for low, high in pairwise(bounds):
        replaced = ordering[:, None, low:high].expand(-1, current.shape[1], -1)
        current.scatter_(2, replaced, source.gather(2, replaced))
        yield current.view(start.shape)


def order_pixels(ordering: Tensor, images: Tensor) -> Tensor:
    """Order pixels by the first of their channels in an order of all features.

    :param ordering: (B, C * H * W) indices of the features (channel, y, x) in order
    :param images: (B, C, H, W) images
    :return: (B, H * W) indices of the pixels in order
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
