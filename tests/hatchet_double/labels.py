"""Does a worker's set of labels suit a task: the engine's rule, label by label."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from hatchet_sdk.contracts.v1.shared.trigger_pb2 import DesiredWorkerLabels

Label = str | int

# In the order of the enum WorkerLabelComparator.
_COMPARATORS: tuple[Callable[[Label, Label], bool], ...] = (
    operator.eq,
    operator.ne,
    operator.gt,
    operator.ge,
    operator.lt,
    operator.le,
)
_ORDERING = 2  # from here on the comparators are for integers only


@dataclass(frozen=True)
class Desired:
    """One wish of a task about its worker."""

    key: str
    value: Label
    required: bool
    comparator: int
    weight: int

    @classmethod
    def from_proto(cls, key: str, wish: DesiredWorkerLabels) -> Desired:
        value: Label = wish.int_value if wish.HasField("int_value") else wish.str_value
        weight = wish.weight if wish.HasField("weight") else 100
        return cls(key=key, value=value, required=wish.required, comparator=int(wish.comparator), weight=weight)

    def met_by(self, actual: Label) -> bool:
        if type(actual) is not type(self.value):
            return False
        if self.comparator >= _ORDERING and isinstance(actual, str):
            return False
        return _COMPARATORS[self.comparator](actual, self.value)


def weigh(wishes: tuple[Desired, ...], labels: Mapping[str, Label]) -> int | None:
    """How well a worker suits, or None when a required wish is not met."""
    total = 0
    for wish in wishes:
        met = wish.key in labels and wish.met_by(labels[wish.key])
        if met:
            total += wish.weight
        elif wish.required:
            return None
    return total
