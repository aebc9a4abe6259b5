"""The points of a design in the unit cube. They come from scipy's `qmc` and from SALib; none of them is our own.

Input: the method, the number of fields, n and the seed. Output: an array of shape (points, fields) with numbers from 0
to 1. The same versions of scipy, numpy and SALib give the same bytes.
"""

from __future__ import annotations

import warnings
from importlib import metadata
from typing import TYPE_CHECKING, Any

import numpy as np

from scythe_cli.core.extras import load_extra

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Points = NDArray[np.float64]

SAMPLED = ("sobol", "halton", "lhs", "random")
"""`n` is the number of points."""
LISTED = ("grid", "one_at_a_time")
"""The levels of the fields decide how many points there are."""
SENSITIVITY = ("morris", "saltelli")
"""`n` is the number of trajectories, or of base samples; the method makes more points of it."""
MORRIS_LEVELS = 4
_PURPOSE = "a design of specs"


def sampled_points(method: str, fields: int, n: int, seed: int) -> Points:
    """`n` points of the unit cube, or for morris and saltelli the points that `n` asks for."""
    if method == "random":
        found: Points = np.random.default_rng(seed).random((n, fields))
        return found
    if method in SENSITIVITY:
        return _sensitivity_points(method, fields, n, seed)
    qmc = load_extra("scipy.stats.qmc", extra="design", purpose=_PURPOSE)
    kinds = {"sobol": qmc.Sobol, "halton": qmc.Halton, "lhs": qmc.LatinHypercube}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # on numbers that are not powers of two: the design has a note
        return np.asarray(kinds[method](fields, **_seeded(seed)).random(n), dtype=np.float64)


def _seeded(seed: int) -> dict[str, Any]:
    """scipy renamed the argument in 1.15."""
    major, minor = map(int, metadata.version("scipy").split(".")[:2])
    return {"rng": seed} if (major, minor) >= (1, 15) else {"seed": np.random.default_rng(seed)}


def _sensitivity_points(method: str, fields: int, n: int, seed: int) -> Points:
    problem = {"num_vars": fields, "names": [f"x{at}" for at in range(fields)], "bounds": [[0.0, 1.0]] * fields}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if method == "morris":
            morris = load_extra("SALib.sample.morris", extra="design", purpose="the design morris")
            return np.asarray(morris.sample(problem, n, num_levels=MORRIS_LEVELS, seed=seed), dtype=np.float64)
        sobol = load_extra("SALib.sample.sobol", extra="design", purpose="the design saltelli")
        return np.asarray(sobol.sample(problem, n, seed=seed), dtype=np.float64)


def versions(method: str) -> dict[str, str]:
    """The versions of the libraries that made the points: with others, the points may differ."""
    names = ["numpy", "scipy"] if method not in LISTED else ["numpy"]
    return {name: metadata.version(name) for name in [*names, *(["SALib"] if method in SENSITIVITY else [])]}
