"""The distributions that a field of a design may follow, by name.

Input: the name and numbers that the experiment file gives. Output: a frozen distribution of `scipy.stats`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from scythe_cli.core.extras import load_extra
from scythe_cli.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping

PARAMETERS = {
    "normal": ("mean", "std"),
    "lognormal": ("mean", "std"),
    "uniform": ("low", "high"),
    "triangular": ("low", "mode", "high"),
}
"""What each takes. The mean and std of a lognormal are those of the numbers themselves, not of their logarithms."""


def read_law(given: Mapping[str, Any], where: str) -> Any:
    """The distribution that `{normal: {mean: 8, std: 2}}` describes.

    Raises:
        ConfigError: the name is unknown, a number is missing, or the numbers describe no distribution.
    """
    name, parameters = next(iter(given.items()))
    wanted = PARAMETERS.get(name)
    if wanted is None:
        known = ", ".join(("levels", *PARAMETERS))
        raise ConfigError(
            f"{where}: {name!r} is not a distribution.{did_you_mean(str(name), PARAMETERS)} Known: {known}"
        )
    example = f"{{{name}: {{{', '.join(f'{key}: 1.0' for key in wanted)}}}}}"
    if not isinstance(parameters, dict) or set(parameters) != set(wanted):
        raise ConfigError(f"{where}: {name} takes {' and '.join(wanted)}: write {example}")
    for key, value in parameters.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise ConfigError(f"{where}: {name}.{key} is {value!r}: it must be a number")
    numbers = {key: float(parameters[key]) for key in wanted}
    return _law(name, numbers, where)


def _law(name: str, numbers: dict[str, float], where: str) -> Any:
    stats = load_extra("scipy.stats", extra="design", purpose="a design of specs")
    if name == "normal":
        _hold(numbers["std"] > 0, where, "std must be above 0")
        return stats.norm(numbers["mean"], numbers["std"])
    if name == "lognormal":
        _hold(numbers["mean"] > 0 and numbers["std"] > 0, where, "mean and std must be above 0")
        variance = math.log1p((numbers["std"] / numbers["mean"]) ** 2)
        return stats.lognorm(math.sqrt(variance), scale=math.exp(math.log(numbers["mean"]) - variance / 2))
    low, high = numbers["low"], numbers["high"]
    _hold(low < high, where, "low must be below high")
    if name == "uniform":
        return stats.uniform(low, high - low)
    _hold(low <= numbers["mode"] <= high, where, "mode must be between low and high")
    return stats.triang((numbers["mode"] - low) / (high - low), low, high - low)


def _hold(rule: bool, where: str, text: str) -> None:
    if not rule:
        raise ConfigError(f"{where}: {text}")
