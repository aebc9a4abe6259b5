"""What a removal of a run did, as `remove` returns it and `--json` prints it."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Removed:
    """What a removal deleted.

    Attributes:
        run: the run's id.
        address: its folder.
        n_files: files and objects that were deleted.
        n_bytes: their bytes.
        left: keys of files that scythe did not write; they are still there.
    """

    run: str
    address: str
    n_files: int
    n_bytes: int
    left: list[str] = field(default_factory=list)
