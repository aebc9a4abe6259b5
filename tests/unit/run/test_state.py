"""What a run's state says of its rows."""

from __future__ import annotations

from pathlib import Path

from scythe_cli.core.layout import PartName
from scythe_cli.run.precedence import Resolved
from scythe_cli.run.state import RunState
from scythe_cli.storage.local import LocalStore


def test_rows_of_a_part_with_gaps_are_counted_as_they_are(tmp_path: Path) -> None:
    sparse, some, other = (
        PartName(0, 1, 0, 9, 4, 0, 1),
        PartName(0, 2, 1, 8, 3, 0, 1),
        PartName(1, 2, 4096, 4097, 2, 0, 1),
    )
    first, second = Resolved({sparse: None, some: [1, 8]}, 0, 6, []), Resolved({other: None}, 0, 2, [])
    state = RunState(LocalStore(str(tmp_path)), 5000, [sparse, some, other], {0: first, 1: second}, {}, [])
    assert state.rows_by_generation() == {1: 4, 2: 4}
