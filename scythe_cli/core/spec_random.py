"""The random numbers of one spec: the same wherever and whenever it runs.

Input: the run's seed, a spec's inputs, and its place among rows that are equal. Output: a numpy Generator.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from pydantic_core import to_jsonable_python

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import numpy as np


@dataclass
class RunRandom:
    """What this process knows of the run whose specs it runs.

    Attributes:
        seed: `run.seed`.
        repeats: by sort_index, how many equal rows come before a row; 0 for a row that is not here.
    """

    seed: int = 0
    repeats: Mapping[int, int] = field(default_factory=dict)


CURRENT = RunRandom()
"""One run at a time; the threads of a spec see it too."""


def spec_generator(inputs: Mapping[str, Any], files: Iterable[str], sort_index: int) -> np.random.Generator:
    """The generator of one spec. Each call begins the same numbers.

    Args:
        inputs: the values of the spec's own fields.
        files: the fields that hold files: they count by name, for the folder of one is another on each machine.
        sort_index: the spec's place in its table.
    """
    import numpy as np

    names = {name: PurePosixPath(str(inputs[name])).name for name in files if inputs.get(name) is not None}
    values = {name: names.get(name, _plain(value)) for name, value in inputs.items()}
    text = json.dumps([CURRENT.seed, values, CURRENT.repeats.get(sort_index, 0)], sort_keys=True)
    return np.random.default_rng(int.from_bytes(hashlib.sha256(text.encode()).digest(), "big"))


def _plain(value: Any) -> Any:
    if isinstance(value, set | frozenset):
        return sorted((_plain(one) for one in value), key=repr)  # a set has another order in each process
    return to_jsonable_python(value, inf_nan_mode="strings", serialize_unknown=True)
