"""What an agent does where parts of a state are hidden, against what it does on the state."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from sb3_explain.states.batch import StateBatch

#: probability that keeps the logarithm of what is lost finite
EPSILON = 1e-2


class Outcomes(ABC):
    """How near what an agent does on copies of B states is to what it does on the states.

    :param batch: B states with their targets
    """

    def __init__(self, batch: StateBatch) -> None:
        self.batch = batch

    @abstractmethod
    def read(self, rows: dict[str, Tensor], states: Tensor) -> Tensor:
        """Read what :meth:`keep` and :meth:`lose` take, (R, C), of copies of the states."""

    @abstractmethod
    def keep(self, read: Tensor) -> Tensor:
        """Compute how far what was read of copies (B, C) is from what shall be preserved: (B,)."""

    def lose(self, read: Tensor) -> Tensor:
        """Compute how much of the target is left on copies that shall lose it: (B,).

        :param read: (B, C) logarithms of what is left, at most 0
        """
        return -(1 - self.of_target(read).exp().clamp(0, 1) + EPSILON).log()

    def of_target(self, read: Tensor) -> Tensor:
        """Select what was read of the explained targets: (B,)."""
        return read.gather(1, self.batch.target[:, None])[:, 0]


class ScalarOutcomes(Outcomes):
    """By how much a quantity f, such as the value, changes on copies of the states.

    Changes are measured in units of D, what hiding the whole state s changes, abs(f(s) - f(r)), and
    at least the spread of f over training states: what is small beside both is no change. A copy c
    that shall preserve f costs log(1 + ((f(c) - f(s)) / D)^2), and one that shall lose it
    log(1 + ((f(c) - f(r)) / D)^2): f is lost where it is as if everything were hidden, and not
    better lost beyond.

    :param batch: B states whose target is the quantity
    :param hidden: (B, ...) by key: the states of which all is hidden
    :param spread: standard deviation of the quantity over training states
    """

    def __init__(self, batch: StateBatch, hidden: dict[str, Tensor], spread: float) -> None:
        super().__init__(batch)
        with torch.no_grad():
            self.own = read_quantity(batch, batch.by_key)
            change = read_quantity(batch, hidden) - self.own
        #: (B,) D, in units of the quantity
        self.unit = change.abs().clamp_min(spread)
        #: (B,) the change where all is hidden, in units of D
        self.blind = change / self.unit

    def read(self, rows: dict[str, Tensor], states: Tensor) -> Tensor:
        """Read the changes (R, 1), in units of D."""
        change = (read_quantity(self.batch, rows, states) - self.own[states]) / self.unit[states]
        return change[:, None]

    def keep(self, read: Tensor) -> Tensor:
        return torch.log1p(read[:, 0].square())  # one outlier would dominate the gradient

    def lose(self, read: Tensor) -> Tensor:
        return torch.log1p((read[:, 0] - self.blind).square())


def read_quantity(
    batch: StateBatch, rows: dict[str, Tensor], states: Tensor | None = None
) -> Tensor:
    """Read the quantity (R,) that a batch explains, in full precision, whatever the network's."""
    with torch.autocast(batch.device.type, enabled=False):
        return batch.target_scores(rows, states)[:, 0].float()
