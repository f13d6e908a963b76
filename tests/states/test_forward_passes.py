"""Chunked passes: the same numbers as one pass, few rows at once, copies made one at a time."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sb3_explain.common.attributions import order
from sb3_explain.common.errors import ExplainError
from sb3_explain.states.forward_passes import (
    make_grid_masks,
    order_pixels,
    read_blends,
    read_blocks,
    replace_in_order,
)


@settings(max_examples=60, deadline=None)
@given(
    n_states=st.integers(1, 7),
    n_blocks=st.integers(1, 9),
    chunk=st.integers(1, 20),
)
def test_blocks_are_read_as_if_at_once(n_states, n_blocks, chunk):
    blocks = torch.arange(n_blocks * n_states * 3.0).reshape(n_blocks, n_states, 3)
    rows = []

    def read(batch, states):
        rows.append(len(batch))
        return torch.cat([2 * batch[:, :2], states[:, None]], dim=1)

    result = read_blocks(read, blocks, chunk)
    assert torch.equal(result[:, :, :2], 2 * blocks[:, :, :2].transpose(0, 1))
    assert torch.equal(result[:, :, 2], torch.arange(1.0 * n_states)[:, None].expand(-1, n_blocks))
    assert max(rows) <= chunk
    assert sum(rows) == n_blocks * n_states


def test_blocks_are_made_when_they_are_needed():
    made, made_at_pass = [], []

    def blocks():
        copy = torch.empty(2, 3)
        for i in range(7):
            made.append(i)
            yield copy.fill_(i)  # changed in place, as replace_in_order does

    def read(batch, _states):
        made_at_pass.append(len(made))
        return batch.clone()

    result = read_blocks(read, blocks(), chunk=4)
    assert result[:, :, 0].tolist() == [[0, 1, 2, 3, 4, 5, 6]] * 2
    assert made_at_pass == [2, 4, 6, 7]


def test_no_graph_stays():
    weight = torch.ones(3, requires_grad=True)
    result = read_blocks(lambda batch, _: batch * weight, torch.ones(2, 2, 3))
    assert not result.requires_grad


def test_replacing_by_hand():
    start, finish = torch.zeros(2, 4), torch.tensor([[1.0, 2, 3, 4], [5, 6, 7, 8]])
    ordering = torch.tensor([[3, 0, 1, 2], [1, 2, 3, 0]])
    copies = torch.stack([c.clone() for c in replace_in_order(start, finish, ordering, steps=2)])
    assert copies[:, 0].tolist() == [[0, 0, 0, 0], [1, 0, 0, 4], [1, 2, 3, 4]]
    assert copies[:, 1].tolist() == [[0, 0, 0, 0], [0, 6, 7, 0], [5, 6, 7, 8]]
    assert not start.any()


@pytest.mark.parametrize("steps", [1, 3, 7, 40])
@pytest.mark.parametrize("fraction", [1.0, 0.55])
def test_replacing_against_ranks(steps, fraction):
    generator = torch.Generator().manual_seed(steps)
    # integers, bytes and transposed memory are taken as they come
    start = torch.randint(0, 256, (2, 5, 3, 4), dtype=torch.uint8, generator=generator)
    finish = torch.rand(2, 3, 5, 4, generator=generator).transpose(1, 2)
    ordering = torch.stack([torch.randperm(60, generator=generator) for _ in range(2)])
    ranks = ordering.argsort(dim=1).reshape(start.shape)
    copies = [copy.clone() for copy in replace_in_order(start, finish, ordering, steps, fraction)]
    assert len(copies) == steps + 1
    for k, copy in enumerate(copies):
        replaced = ranks < round(k * fraction * 60 / steps)
        assert torch.equal(copy, torch.where(replaced, finish, start.float()))


def test_a_shorter_order_replaces_all_layers_at_once():
    start, finish = torch.zeros(1, 2, 1, 3), torch.arange(1.0, 7).reshape(1, 2, 1, 3)
    ordering = torch.tensor([[2, 0, 1]])
    copies = [c.flatten().tolist() for c in replace_in_order(start, finish, ordering, steps=3)]
    assert copies[1] == [0, 0, 3, 0, 0, 6]
    assert copies[2] == [1, 0, 3, 4, 0, 6]
    assert copies[3] == [1, 2, 3, 4, 5, 6]


def test_pixels_come_with_the_highest_of_their_cells():
    attributions = torch.rand(3, 4, 5, 6, generator=torch.Generator().manual_seed(0))
    expected = order(attributions.amax(dim=1))
    assert torch.equal(order_pixels(order(attributions), attributions), expected)
    slow = np.argsort(-attributions.numpy().max(axis=1).reshape(3, -1), axis=1)
    assert np.array_equal(expected.numpy(), slow)


@pytest.mark.parametrize(("steps", "fraction"), [(0, 1.0), (5, 0.0), (5, 1.5)])
def test_impossible_steps_are_told(steps, fraction):
    zeros = torch.zeros(1, 2)
    with pytest.raises(ExplainError, match="at least 1 step"):
        next(replace_in_order(zeros, zeros, torch.tensor([[0, 1]]), steps, fraction))


@settings(max_examples=60, deadline=None)
@given(
    n_states=st.integers(1, 7),
    sizes=st.lists(st.integers(1, 6), min_size=1, max_size=4),
    chunk=st.integers(6, 20),
)
def test_blends_are_read_as_if_at_once(n_states, sizes, chunk):
    generator = torch.Generator().manual_seed(0)
    start, change = torch.rand(2, n_states, 2, 3, generator=generator)
    blocks = [torch.rand(size, 1, 3, generator=generator) for size in sizes]
    n_rows = []

    def read(copies, states):
        n_rows.append(len(copies))
        return torch.cat([copies.flatten(1), states[:, None]], dim=1)

    pairs = list(read_blends(read, start, change, blocks, chunk))
    assert all(block is own for (block, _), own in zip(pairs, blocks, strict=True))
    outputs = torch.cat([output for _, output in pairs], dim=1)
    weights = torch.cat(blocks)
    for b in range(n_states):
        for p, weight in enumerate(weights):
            copy = start[b] + weight * change[b]
            torch.testing.assert_close(outputs[b, p, :-1], copy.flatten())
            assert outputs[b, p, -1] == b
    assert max(n_rows) <= chunk and sum(n_rows) == n_states * len(weights)


@pytest.mark.parametrize("chunk", [1, 4, 7, 100])
def test_grid_masks_are_products_in_blocks_of_nearly_equal_size(chunk):
    rows, columns = torch.rand(3, 5), torch.rand(4, 6)
    blocks = list(make_grid_masks(rows, columns, chunk))
    masks = torch.cat(blocks)
    assert masks.shape == (13, 1, 5, 6) and not masks[0].any()
    for i in range(3):
        for j in range(4):
            expected = torch.outer(rows[i], columns[j])
            torch.testing.assert_close(masks[1 + 4 * i + j, 0], expected)
    lengths = [len(block) for block in blocks]
    assert max(lengths) <= chunk and max(lengths[:-1], default=0) - lengths[-1] <= len(lengths)
