"""The run that this process works on.

Input: what a lane sets before it runs a spec. Output: where that run is, and whether somebody has stopped it.
"""

from __future__ import annotations

from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass

from scythe_cli.core import layout
from scythe_cli.core.layout import Mark
from scythe_cli.errors import KeyMissing
from scythe_cli.storage.open_store import open_store


@dataclass(frozen=True)
class Generation:
    """The generation of a run that is at work.

    Attributes:
        run: the run's id.
        number: which generation of it.
        root: the address of the run.
    """

    run: str
    number: int
    root: str

    @property
    def tag(self) -> str:
        """What its tasks are known by."""
        return f"{self.run}/{self.number}"

    def is_over(self) -> bool:
        """Whether somebody has stopped it."""
        store = open_store(self.root, patient=True)
        for kind in (Mark.CANCEL, Mark.ENDED):
            with suppress(KeyMissing):
                store.stat(layout.mark(kind, self.number))
                return True
        return False


CURRENT_GENERATION: ContextVar[Generation] = ContextVar("scythe_run")
"""A lane sets it."""
