"""A run and its specs, as `show` reads them, which a notebook draws. Input: a `Shown`. Output: the same with HTML."""

from __future__ import annotations

from dataclasses import dataclass

from scythe_cli.notebook import html
from scythe_cli.show.show import Shown


@dataclass(frozen=True)
class ShownInNotebook(Shown):
    """What `run.show()` gives."""

    @classmethod
    def of(cls, found: Shown) -> ShownInNotebook:
        """The same content."""
        return cls(**vars(found))

    def _repr_html_(self) -> str:
        """The specs as a notebook shows them."""
        return html.shown(self)
