"""Random draws that are the same on every Python: all rest on `random.Random.random`, the one stable method."""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Draw"]

T = TypeVar("T")


class Draw:
    """A stream of random draws.

    Parameters
    ----------
    seed
        Any text; streams of different seeds are independent.
    """

    def __init__(self, seed: str) -> None:
        self.uniform = random.Random(seed).random

    def below(self, limit: int) -> int:
        """A whole number from 0 to `limit` - 1."""
        return int(self.uniform() * limit)

    def between(self, low: int, high: int) -> int:
        """A whole number from `low` to `high`."""
        return low + self.below(high - low + 1)

    def one_of(self, choices: Sequence[T]) -> T:
        """One of `choices`, each as likely as the others."""
        return choices[self.below(len(choices))]

    def weighted(self, choices: Sequence[T], weights: Sequence[float]) -> T:
        """One of `choices`, each as likely as its weight."""
        left = self.uniform() * sum(weights)
        for choice, weight in zip(choices, weights, strict=True):
            left -= weight
            if left < 0:
                return choice
        return choices[-1]

    def some_of(self, choices: Sequence[T], count: int) -> list[T]:
        """`count` different ones of `choices`."""
        rest = list(choices)
        return [rest.pop(self.below(len(rest))) for _ in range(count)]

    def exponential(self, mean: float) -> float:
        """A waiting time with the given mean."""
        return -mean * math.log(1.0 - self.uniform())

    def normal(self, mean: float, deviation: float) -> float:
        """A normal deviate (Box and Muller's transform)."""
        radius = math.sqrt(-2.0 * math.log(1.0 - self.uniform()))
        return mean + deviation * radius * math.cos(2.0 * math.pi * self.uniform())
