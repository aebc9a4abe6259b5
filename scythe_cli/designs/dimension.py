"""One field of a design: how a number between 0 and 1 becomes a value of the field.

Input: points of the unit interval, as a design makes them. Output: values within the field's bounds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Points = NDArray[np.float64]

LEAST_POINT = 2.0**-32
"""A quantile of 0 or 1 may be infinite: points stay this far from both ends."""


class Dimension(Protocol):
    """One field that a design varies."""

    @property
    def name(self) -> str:
        """The field."""

    @property
    def levels(self) -> Sequence[Any] | None:
        """All its values in order, or None when it is continuous."""

    @property
    def described(self) -> Any:
        """The field's entry of `space`, as the manifest keeps it."""

    def values(self, points: Points) -> list[Any] | NDArray[Any]:
        """The value for each point of the unit interval."""


@dataclass(frozen=True)
class Levels:
    """A field that takes one of a few values, each for an equal share of the unit interval."""

    name: str
    levels: Sequence[Any]

    @property
    def described(self) -> dict[str, list[Any]]:
        """The values, as `levels`."""
        return {"levels": list(self.levels)}

    def values(self, points: Points) -> list[Any]:
        """The value whose share each point falls into."""
        last = len(self.levels) - 1
        places = np.minimum((points * len(self.levels)).astype(np.int64), last)
        return [self.levels[place] for place in places]


@dataclass(frozen=True)
class Integers:
    """Whole numbers from `low` to `high`, both included, each as often as the others."""

    name: str
    low: int
    high: int
    step: int = 1

    @property
    def levels(self) -> Sequence[int]:
        """The numbers in order."""
        return range(self.low, self.high + 1, self.step)

    @property
    def described(self) -> list[int]:
        """The range."""
        return [self.low, self.high]

    def values(self, points: Points) -> NDArray[np.int64]:
        """The number whose share each point falls into."""
        count = len(self.levels)
        return self.low + self.step * np.minimum((points * count).astype(np.int64), count - 1)


@dataclass(frozen=True)
class Uniform:
    """Numbers between `low` and `high`, all equally likely."""

    name: str
    low: float
    high: float
    levels: None = None

    @property
    def described(self) -> list[float]:
        """The range."""
        return [self.low, self.high]

    def values(self, points: Points) -> Points:
        """The numbers at these shares of the way from `low` to `high`."""
        found: Points = np.clip(self.low * (1 - points) + self.high * points, self.low, self.high)
        return found


@dataclass(frozen=True)
class Distributed:
    """Numbers that follow a distribution, cut to the bounds of the field.

    Attributes:
        name: the field.
        law: a frozen distribution of `scipy.stats`.
        described: the entry of `space`, `{normal: {mean: 8, std: 2}}`.
        low: the lowest number that the field takes, or minus infinity.
        high: the highest number that the field takes, or infinity.
        integer: whether the numbers are whole.
    """

    name: str
    law: Any
    described: Any
    low: float = -math.inf
    high: float = math.inf
    integer: bool = False
    levels: None = None

    @property
    def mass(self) -> float:
        """The probability that the law gives to the numbers between `low` and `high`."""
        below, above = self._ends()
        return max(0.0, above - below)

    def _ends(self) -> tuple[float, float]:
        margin = 0.5 if self.integer else 0.0
        return float(self.law.cdf(self.low - margin)), float(self.law.cdf(self.high + margin))

    def values(self, points: Points) -> NDArray[Any]:
        """The quantiles of the cut distribution at these points."""
        below, above = self._ends()
        shares = below + np.clip(points, LEAST_POINT, 1 - LEAST_POINT) * (above - below)
        found: Points = np.clip(self.law.ppf(shares), self.low, self.high)
        return np.rint(found).astype(np.int64) if self.integer else found
