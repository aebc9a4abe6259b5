"""Which part's outcome counts for a row."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from scythe_cli.core import layout
from scythe_cli.core.layout import PartName
from scythe_cli.run.outcomes import KIND, ROW
from scythe_cli.run.parts import encode
from scythe_cli.run.precedence import list_parts, resolve
from scythe_cli.storage.local import LocalStore

GOOD, BAD, GATHER = "success", "failure", "failure of a gather"


def write(store: LocalStore, what: str, *, generation: int = 1, claim: int = 0) -> PartName:
    attempt = layout.GATHER_PARTS if what == GATHER else claim * layout.CLAIM_PARTS
    failed = what != GOOD
    part = PartName(0, generation, 0, 0, 1, int(failed), attempt)
    kinds = pa.array(["exception" if failed else None], pa.string())
    store.write(part.key, encode(pa.table({ROW: [0], KIND: kinds})))
    return part


@pytest.mark.parametrize(
    ("winner", "loser"),
    [
        ({"what": GOOD}, {"what": BAD, "generation": 2}),
        ({"what": GOOD, "generation": 2}, {"what": GOOD}),
        ({"what": BAD, "generation": 2}, {"what": BAD}),
        ({"what": GOOD, "claim": 3}, {"what": GOOD, "claim": 2}),
        ({"what": GATHER}, {"what": GOOD}),
        ({"what": GATHER}, {"what": GOOD, "claim": 3}),
        ({"what": GATHER, "generation": 2}, {"what": GOOD}),
        ({"what": GOOD, "generation": 2}, {"what": GATHER}),
        ({"what": BAD, "generation": 2}, {"what": GATHER}),
    ],
)
def test_one_of_two_counts(tmp_path: Path, winner: dict[str, object], loser: dict[str, object]) -> None:
    store = LocalStore(tmp_path)
    part = write(store, **winner)  # type: ignore[arg-type]  # as the table above has them
    write(store, **loser)  # type: ignore[arg-type]  # the same
    found = resolve(store, list_parts(store))
    assert found.by_part == {part: [0]}
    assert (found.rows, found.failed) == (1, part.failed)


def test_a_newer_failure_counts_where_the_success_before_does_not_fit(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    write(store, GOOD)
    write(store, GATHER)
    part = write(store, BAD, generation=2)
    assert resolve(store, list_parts(store)).by_part == {part: [0]}
    part = write(store, GOOD, generation=3)
    assert resolve(store, list_parts(store)).by_part == {part: [0]}
