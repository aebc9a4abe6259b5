"""Which specs a condition picks, and what it may name."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from scythe_cli.core import layout
from scythe_cli.core.printable import text_for_bytes
from scythe_cli.errors import ConfigError, NotFoundError
from scythe_cli.run.parts import encode
from scythe_cli.show.choice import SpecChoice, choose, row_of
from scythe_cli.show.columns import QueryColumns
from scythe_cli.storage.open_store import open_store

if TYPE_CHECKING:
    from pathlib import Path

NUMBERS = [10, 11, 12, 20]


@pytest.fixture
def run(tmp_path: Path) -> Any:
    """A run of four specs, of which none has an outcome."""
    specs = pl.DataFrame({layout.SORT_INDEX: NUMBERS, "u_value": [1.0, 2.0, 3.0, 4.0], "state": list("abab")})
    specs.write_parquet(tmp_path / layout.SPECS)
    store = open_store(str(tmp_path))
    store.write(layout.input_block(0), encode(specs.to_arrow()))
    manifest = SimpleNamespace(index=specs.columns, scalars=["heat"], files=[])
    return SimpleNamespace(id="city/v1.0.0/2026-11-30_12-00-00", store=store, manifest=manifest, total=len(NUMBERS))


def test_a_spec_is_found_by_its_number_wherever_it_is(run: Any) -> None:
    assert [row_of(run, number) for number in NUMBERS] == [0, 1, 2, 3]
    with pytest.raises(NotFoundError, match="has no spec 3: it has 4 specs"):
        row_of(run, 3)


def test_without_a_condition_all_are_shown_up_to_a_limit(run: Any) -> None:
    assert choose(run, SpecChoice(limit=2)).rows == [0, 1]
    assert (choose(run, SpecChoice(limit=2)).matching, choose(run, SpecChoice()).rows) == (4, [0, 1, 2, 3])
    assert choose(run, SpecChoice(sort_index=20)).rows == [3]


def test_a_name_of_ours_that_an_input_has_gets_an_underscore(run: Any) -> None:
    columns = QueryColumns.of(run)
    assert (columns.inputs, columns.outputs) == (["u_value", "state"], ["heat"])
    assert (columns.own["state"], columns.own["duration"]) == ("state_", "duration")


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("u_valeu > 2", "has no column 'u_valeu'. Did you mean 'u_value'"),
        ("state = b", "has no column 'b'"),
        ("u_value >", "is not a condition"),
    ],
)
def test_a_wrong_condition_is_refused_before_anything_is_read(run: Any, where: str, message: str) -> None:
    with pytest.raises(ConfigError, match="--where") as refused:
        choose(run, SpecChoice(where=where))
    assert message in refused.value.message


@pytest.mark.parametrize(
    ("choice", "filters"),
    [(SpecChoice(limit=3), False), (SpecChoice(failed=True), True), (SpecChoice(where="x > 1"), True)],
)
def test_what_counts_as_a_filter(choice: SpecChoice, filters: bool) -> None:
    assert choice.filters is filters


def test_bytes_become_text_wherever_they_are() -> None:
    assert text_for_bytes({"a": [b"x\xff", 1], "b": None}) == {"a": ["x\\xff", 1], "b": None}
