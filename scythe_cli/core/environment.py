"""Variables of the environment in paths: `${DATA}/weather.epw`.

Input: text, and the environment. Output: the text with the values, or the variable that is not set.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_VARIABLE = re.compile(r"\$\{([^}]*)\}")


class UnsetVariable(ValueError):
    """A variable that a path names and the environment does not have; the message follows "path = value: "."""


def expand(text: str, environ: Mapping[str, str] | None = None) -> str:
    """The text with the value of each `${NAME}`.

    Raises:
        UnsetVariable: the environment has no value under the name.
    """
    values = os.environ if environ is None else environ

    def value(found: re.Match[str]) -> str:
        name = found[1]
        if not values.get(name):
            raise UnsetVariable(f"the environment variable {name} is not set: export {name}=... or write the path out")
        return values[name]

    return _VARIABLE.sub(value, text)
