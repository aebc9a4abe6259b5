"""Rows of models that run the user's code: each is validated once, and made again the same."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Annotated, Any
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import BaseModel, BeforeValidator, Field, ValidationError, field_validator, model_validator
from spec_tables import Doubled, House, Plain, Wall, made_again, refused, write

from scythe_cli.columns.model_fields import is_plain
from scythe_cli.columns.rows import RAW_INPUT, spec_factories
from scythe_cli.experiment.models import ExperimentInputSpec
from scythe_cli.spec_table.read import read_specs


def test_a_validator_that_is_not_idempotent_runs_once(tmp_path: Path) -> None:
    specs = read_specs(write(tmp_path, "x\n4\n"), Doubled)
    assert specs.table["x"].to_pylist() == [8]
    assert [spec.x for spec in made_again(specs)] == [8]
    assert [spec.x for spec in made_again(read_specs([Doubled(x=4)], Doubled))] == [8]
    assert RAW_INPUT not in specs.index


def test_a_row_that_the_model_refuses_now_raises_when_it_is_made(tmp_path: Path) -> None:
    class Later(Doubled):
        x: int = Field(le=4)

    doubled = read_specs(write(tmp_path, "x\n1\n7\n2\n"), Doubled).table
    first, second, third = spec_factories(doubled, Later, {})
    assert (first(), third()) == (Later(x=1), Later(x=2, sort_index=2))
    with pytest.raises(ValidationError):
        second()


def test_a_validator_that_raises_is_told_by_row(tmp_path: Path) -> None:
    class Touchy(ExperimentInputSpec):
        x: int
        y: int

        @model_validator(mode="after")
        def _look(self) -> Touchy:
            if self.x == 1:
                raise ValueError("x and y do not go together")
            if self.x == 2:
                raise RuntimeError("no luck")
            return self

    assert refused(write(tmp_path, "x,y\n0,1\n1,1\n2,1\nz,1\n"), Touchy)[:-1] == [
        "specs.csv:3  row = {'x': '1', 'y': '1'}: x and y do not go together",
        "specs.csv:4  this row: Touchy raises RuntimeError: no luck",
        "specs.csv:5  x = 'z': must be a whole number",
    ]


def test_instances_that_were_changed_are_checked() -> None:
    spec = House(zip_code="1", setpoint=20, wall=Wall.WOOD)
    spec.setpoint = 99
    assert refused([House(zip_code="1", setpoint=20, wall=Wall.WOOD), spec])[0] == (
        "specs row 1  setpoint = 99: must be <= 30"
    )
    assert "is a Doubled, and the experiment takes House" in refused([Doubled(x=1)])[0]


def test_indexes_of_instances_count_only_when_set() -> None:
    def house(**more: Any) -> House:
        return House(zip_code="1", setpoint=20, wall=Wall.WOOD, **more)

    assert read_specs([house(), house()], House).table["sort_index"].to_pylist() == [0, 1]
    assert read_specs([house(sort_index=5), house(sort_index=2)], House).table["sort_index"].to_pylist() == [2, 5]
    assert "sort_index is set on 1 of 2 specs" in refused([house(sort_index=5), house()])[0]


def test_none_of_an_instance_stays_none() -> None:
    class Defaulted(ExperimentInputSpec):
        x: int | None = 5

    assert made_again(read_specs([Defaulted(x=None), Defaulted()], Defaulted)) == [
        Defaulted(x=None),
        Defaulted(sort_index=1),
    ]


def test_open_models_keep_what_they_do_not_name(tmp_path: Path) -> None:
    class Open(ExperimentInputSpec, extra="allow"):
        x: int

    specs = read_specs(write(tmp_path, "x,colour\n1,red\n2,\n"), Open)
    assert [spec.model_extra for spec in made_again(specs)] == [{"colour": "red"}, {"colour": None}]
    assert specs.index[-2:] == ("x", "colour")


def test_made_up_defaults_are_made_up_once(tmp_path: Path) -> None:
    numbers = iter(range(100, 200))

    class Seeded(ExperimentInputSpec):
        x: int
        seed: int = Field(default_factory=lambda: next(numbers))

    class Hooked(Seeded):
        @model_validator(mode="after")
        def _nothing(self) -> Hooked:
            return self

    for model in (Seeded, Hooked):
        specs = read_specs(write(tmp_path, "x\n1\n2\n"), model)
        assert [spec.seed for spec in made_again(specs)] == specs.table["seed"].to_pylist()


def test_models_and_lists_in_cells(tmp_path: Path) -> None:
    class Layer(BaseModel):
        thickness: float = Field(gt=0)

    class Layered(ExperimentInputSpec):
        layers: list[Layer]
        best: Layer | None = None

    row = {"layers": [{"thickness": 1}, {"thickness": 0.5}], "best": {"thickness": 2}}
    write(tmp_path, json.dumps(row) + "\n", "a.jsonl")
    write(tmp_path, """layers,best\n"[{""thickness"":1},{""thickness"":0.5}]","{""thickness"":2}"\n""", "a.csv")
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "a.parquet")
    tables = [read_specs(name, Layered, base=tmp_path) for name in ("a.jsonl", "a.csv", "a.parquet")]
    assert all(made_again(specs) == [Layered.model_validate(row)] for specs in tables)
    assert tables[0].table.schema.field("best").type == pa.struct([("thickness", pa.float64())])
    write(tmp_path, 'layers\n[1\n"[{""thickness"":0}]"\n', "bad.csv")
    assert refused("bad.csv", Layered, tmp_path)[:-1] == [
        "bad.csv:2  layers = '[1': must be a list; in a cell of text, write it as JSON",
        "bad.csv:3  layers[0].thickness = 0: must be > 0",
    ]


def test_a_constructor_of_ours_is_not_in_the_way_of_quick_rows() -> None:
    assert is_plain(Plain)
    assert not Plain.__pydantic_custom_init__


class Key(BaseModel):
    text: str = Field(default_factory=lambda: uuid4().hex)


class Drawn(ExperimentInputSpec):
    a: int
    key: str = ""

    @model_validator(mode="after")
    def _fill(self) -> Drawn:
        self.key = self.key or uuid4().hex
        return self


class DrawnInside(Doubled):
    inner: Key


class DrawnByDefault(Doubled):
    key: str = Field(default_factory=lambda: uuid4().hex)
    again: str = ""

    @model_validator(mode="after")
    def _fill(self) -> DrawnByDefault:
        self.again = self.key
        return self


REPEAT = "this row: cannot be made again in another process: validating its own values again fails or changes them"


def test_a_validator_that_gives_another_value_each_time_is_refused(tmp_path: Path) -> None:
    assert refused(write(tmp_path, "a\n1\n2\n3\n4\n"), Drawn)[:3] == [
        f"specs.csv:{line}  {REPEAT}" for line in (2, 3, 4)
    ]
    assert refused([{"a": 1}], Drawn)[0] == f"specs row 0  {REPEAT}"
    assert refused(write(tmp_path, 'x,inner\n1,"{}"\n'), DrawnInside)[0] == f"specs.csv:2  {REPEAT}"
    kept = read_specs(write(tmp_path, "a,key\n1,k\n"), Drawn)
    assert [spec.key for spec in made_again(kept)] == ["k"]


def test_a_random_default_is_one_value_for_the_index_and_the_function(tmp_path: Path) -> None:
    specs = read_specs(write(tmp_path, "x\n1\n2\n"), DrawnByDefault)
    keys = specs.table["key"].to_pylist()
    assert len(set(keys)) == 2
    assert [spec.key for spec in made_again(specs)] == keys
    assert [spec.again for spec in made_again(specs)] == keys


def test_a_validator_may_change_the_row_that_it_is_given() -> None:
    class Popped(ExperimentInputSpec):
        x: float

        @model_validator(mode="before")
        @classmethod
        def _scale(cls, row: dict[str, Any]) -> dict[str, Any]:
            row["x"] = row["x"] * 2
            return row

    specs = read_specs([{"x": 1.0}], Popped)
    assert specs.table["x"].to_pylist() == [2.0]
    assert [spec.x for spec in made_again(specs)] == [2.0]


def _split(value: Any) -> Any:
    return value.split(";") if isinstance(value, str) else value


class Names(ExperimentInputSpec):
    names: Annotated[list[str], BeforeValidator(_split)]


class NamesOfRow(ExperimentInputSpec):
    names: list[str]

    @model_validator(mode="before")
    @classmethod
    def _split(cls, row: dict[str, Any]) -> dict[str, Any]:
        return {name: _split(cell) if name == "names" else cell for name, cell in row.items()}


class Numbers(ExperimentInputSpec):
    xs: list[int] | None = None
    y: float | list[float] = 0.0


@pytest.mark.parametrize("model", [Names, NamesOfRow])
def test_text_that_a_validator_splits_is_not_read_as_a_number_first(tmp_path: Path, model: Any) -> None:
    text = 'names\na;b\n1e5\n1.10\nnull\n123456789012345678901\n"[""c""]"\n'
    wanted = [["a", "b"], ["1e5"], ["1.10"], ["null"], ["123456789012345678901"], ["c"]]
    assert [spec.names for spec in made_again(read_specs(write(tmp_path, text), model))] == wanted


def test_json_in_a_cell_is_read_where_no_validator_splits_it(tmp_path: Path) -> None:
    specs = read_specs(write(tmp_path, 'xs,y\n"[1, 2]",1e5\nnull,"[1]"\n'), Numbers)
    assert [(spec.xs, spec.y) for spec in made_again(specs)] == [([1, 2], 1e5), (None, [1.0])]


class Bare(ExperimentInputSpec):
    a: int
    when: dt.datetime = dt.datetime(2024, 1, 1)

    @field_validator("a")
    @classmethod
    def _check(cls, a: int) -> int:
        if a == 1:
            raise AssertionError  # as `assert a != 1` does outside of pytest
        if a == 2:
            raise ValueError("bad\nvalue")
        return a


def test_a_check_of_the_models_own_gives_one_line(tmp_path: Path) -> None:
    assert refused(write(tmp_path, "a,when\n1,\n2,\n3,20240131\n"), Bare)[:-1] == [
        "specs.csv:2  a = '1': is refused by the model, which gives no reason: write one, as in "
        '`assert x > 0, "must be > 0"`',
        "specs.csv:3  a = '2': bad value",
        "specs.csv:4  when = '20240131': is a number, which stands for seconds in UTC: write a date and time such as "
        "2026-01-31T12:00:00, or annotate the field AwareDatetime",
    ]
