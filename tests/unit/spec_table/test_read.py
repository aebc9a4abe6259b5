"""The specs table: its types, its order, and the report of what is wrong with it."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError, field_validator
from pydantic_core import PydanticCustomError
from spec_tables import GOOD, HEADER, House, Wall, Weather, refused, write

from scythe_cli.columns.rows import make_specs
from scythe_cli.spec_table import reading, sources
from scythe_cli.spec_table.read import read_specs


def test_types_follow_the_model(tmp_path: Path) -> None:
    text = "zip_code,setpoint,wall,floors,built,heated\n01234,2e1,wood,3,2020-02-29,no\n9,12,brick,,,\n"
    specs = read_specs(write(tmp_path, text), House)
    day = dt.date(2020, 2, 29)
    assert specs.table.drop_columns(["sort_index"]).to_pylist() == [
        {"zip_code": "01234", "setpoint": 20.0, "wall": "wood", "floors": 3, "built": day, "heated": False},
        {"zip_code": "9", "setpoint": 12.0, "wall": "brick", "floors": 1, "built": None, "heated": True},
    ]
    made = make_specs(specs.table, House, {"experiment_id": "e"})
    assert made[0] == House(
        experiment_id="e",
        zip_code="01234",
        setpoint=20,
        wall=Wall.WOOD,
        floors=3,
        built=dt.date(2020, 2, 29),
        heated=False,
    )
    assert specs.rows == 2
    assert specs.name == "specs.csv"
    assert not specs.computed


def test_a_row_out_of_bounds_says_line_value_and_rule(tmp_path: Path) -> None:
    lines = refused(write(tmp_path, GOOD + "1,45,brick\n\n2,,wool\n"))
    assert lines == [
        "specs.csv:3  setpoint = '45': must be <= 30",
        "specs.csv:5  setpoint: is empty, and needs a value",
        "specs.csv:5  wall = 'wool': must be 'brick' or 'wood'",
        "3 errors (rows are lines of the file, the header is line 1)",
    ]


def test_a_long_report_shows_twenty_and_the_total(tmp_path: Path) -> None:
    lines = refused(write(tmp_path, HEADER + "1,99,brick\n" * 3000))
    assert len(lines) == 21
    assert lines[19] == "specs.csv:21  setpoint = '99': must be <= 30"
    assert lines[20] == "... and 2,980 more, 3,000 errors in all (rows are lines of the file, the header is line 1)"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("zip_code,setpont,wall\n1,20,wood\n", "column 'setpont' is not a field of House. Did you mean 'setpoint'?"),
        ("zip_code,SETPOINT,wall\n1,20,wood\n", "column 'SETPOINT' is not a field of House. Did you mean 'setpoint'?"),
        ("zip_code,wall\n1,wood\n", "column 'setpoint' is missing"),
        ("zip_code,setpoint,wall,colour\n1,20,wood,red\n", "column 'colour' is not a field of House."),
        ("zip_code, setpoint,wall\n1,20,wood\n", "column ' setpoint' has spaces around its name; write 'setpoint'"),
        ("zip_code,setpoint,wall,wall\n1,20,wood,wood\n", "column 'wall' is there twice"),
        (
            "zip_code,setpoint,wall,\n1,20,wood,\n",
            "delete the empty column 4 (D), or give it a name in the header",
        ),
        (
            "zip_code,setpoint,wall,,,\n1,20,wood,,,\n",
            "delete the empty columns 4 to 6 (D to F), or give them names in the header",
        ),
        (
            "zip_code,,setpoint,wall\n1,,20,wood\n",
            "column 2 (B) has no name",
        ),
        (
            ",zip_code,setpoint,wall\n0,1,20,wood\n",
            "column 1 (A) has no name; an index that pandas wrote goes with df.to_csv(..., index=False)",
        ),
        (
            "Unnamed: 0,zip_code,setpoint,wall\n0,1,20,wood\n",
            "column 'Unnamed: 0' is an index that pandas wrote: leave it out with df.to_csv(..., index=False)",
        ),
        (
            "zip_code,setpoint [°C],wall\n1,20,wood\n",
            "column 'setpoint [°C]' is not a field of House. Did you mean 'setpoint'?",
        ),
        ("Zip Code,setpoint,wall\n1,20,wood\n", "column 'Zip Code' is not a field of House. Did you mean 'zip_code'?"),
        (
            "zip_code,setpoint(C),wall\n1,20,wood\n",
            "column 'setpoint(C)' is not a field of House. Did you mean 'setpoint'?",
        ),
    ],
)
def test_each_wrong_column_is_one_error(tmp_path: Path, text: str, wanted: str) -> None:
    assert refused(write(tmp_path, text))[:-1] == [f"specs.csv  {wanted}"]


def test_limit_takes_the_first(tmp_path: Path) -> None:
    assert read_specs(write(tmp_path, GOOD + "1,99,brick\n1,2\n"), House, limit=1).rows == 1


def test_given_indexes_sort_the_rows_and_are_unique(tmp_path: Path) -> None:
    text = "sort_index,zip_code,setpoint,wall,experiment_id\n7,a,20,brick,placeholder\n3,b,21,wood,placeholder\n"
    specs = read_specs(write(tmp_path, text), House)
    assert specs.table.select(["sort_index", "zip_code"]).to_pylist() == [
        {"sort_index": 3, "zip_code": "b"},
        {"sort_index": 7, "zip_code": "a"},
    ]
    assert (specs.where(0), specs.where(1)) == ("specs.csv:3", "specs.csv:2")
    lines = refused(write(tmp_path, text + "7,c,20,wood,\n-1,d,20,wood,\nx,e,20,wood,\n,f,20,wood,\n"))
    assert lines[:-1] == [
        "specs.csv:4  sort_index = 7: must be unique, and specs.csv:2 has it too",
        "specs.csv:5  sort_index = '-1': must be >= 0",
        "specs.csv:6  sort_index = 'x': must be a whole number",
        "specs.csv:7  sort_index: is empty, and needs a value",
    ]


@pytest.mark.parametrize("indexes", ["none", "counting", "shuffled"])
def test_a_large_table_waits_on_the_disk_and_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, indexes: str
) -> None:
    (tmp_path / "a.epw").touch()
    n = 3 * sources.CHUNK + 5
    index = {"none": None, "counting": lambda at: 7 * at, "shuffled": lambda at: (7 * at) % n}[indexes]
    head = "x,weather_file,other" + (",sort_index" if index else "")
    lines = [f"{at},a.epw,{'' if at < 2 * n // 3 else 'a.epw'}" + (f",{index(at)}" if index else "") for at in range(n)]
    source = write(tmp_path, "\n".join([head, *lines, ""]))
    held = read_specs(source, Weather)
    monkeypatch.setattr(reading, "MEMORY_LIMIT", 1)
    spilled = read_specs(source, Weather, check_files=True)
    assert (held._disk, spilled._disk is None) == (None, False)
    spilled.drop_pages()
    assert spilled.table.equals(held.table)
    assert spilled.references == held.references
    assert spilled.where(n - 1) == held.where(n - 1)


def test_an_argument_that_is_no_field_names_the_nearest() -> None:
    class Checked(House):
        @field_validator("zip_code")
        @classmethod
        def _never(cls, value: str) -> str:
            raise PydanticCustomError("own", "not {this}", {"this": value})

    given: dict[str, Any] = {"setpont": 20, "zip_code": "{x}", "wall": "wool"}
    with pytest.raises(ValidationError) as caught:
        Checked(**given)
    said = [(error["type"], error["loc"], error["msg"]) for error in caught.value.errors()]
    assert caught.value.title == "Checked"
    assert said == [
        ("own", ("zip_code",), "not {x}"),
        ("missing", ("setpoint",), "Field required"),
        ("enum", ("wall",), "Input should be 'brick' or 'wood'"),
        ("extra_forbidden", ("setpont",), "setpont is not a field of Checked. Did you mean 'setpoint'?"),
    ]
