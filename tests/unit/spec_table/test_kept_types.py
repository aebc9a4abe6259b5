"""A value inside of a list or a dict has the same type in another process, or is refused."""

from __future__ import annotations

import datetime as dt
import uuid
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, Field
from spec_tables import made_again, refused

from scythe_cli.experiment.models import ExperimentInputSpec
from scythe_cli.spec_table.read import read_specs

DAY = dt.date(2024, 1, 1)


class Note(BaseModel):
    model_config = ConfigDict(extra="allow")

    what: Any = None


class Loose(ExperimentInputSpec):
    d: dict[str, Any] = Field(default_factory=dict)
    xs: list[Any] = Field(default_factory=list)
    days: list[dt.date | str] = Field(default_factory=list)
    note: Note | None = None


class Extra(ExperimentInputSpec):
    model_config = ConfigDict(extra="allow")

    a: int = 1


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({"days": [DAY]}, "days[0] = 2024-01-01: is a date, and another process would get a str: give the field"),
        ({"d": {"s": DAY}}, "d['s'] = 2024-01-01: is a date, and another process would get a str"),
        ({"d": {"s": [Decimal("1.10")]}}, "d['s'][0] = 1.10: is a Decimal, and another process would get a str"),
        ({"d": {"s": uuid.UUID(int=1)}}, "is a UUID, and another process would get a str"),
        ({"d": {"s": Path("/x")}}, "is a PosixPath, and another process would get a str"),
        ({"d": {"s": (1, 2)}}, "d['s'] = (1, 2): is a tuple, and another process would get a list"),
        ({"d": {"s": {1}}}, "d['s'] = {1}: is a set, and another process would get a list"),
        ({"d": {"s": {1: 2}}}, "d['s'] = {1: 2}: cannot be made again in another process: "),
        ({"xs": [dt.timedelta(hours=1)]}, "xs[0] = 1:00:00: is a timedelta, and another process would get a str"),
        ({"note": Note(what=DAY)}, "note.what = 2024-01-01: is a date, and another process would get a str"),
        ({"note": Note.model_validate({"when": DAY})}, "note.when = 2024-01-01: is a date"),
    ],
)  # fmt: skip
def test_a_type_that_json_changes_is_refused_inside_of_a_value(given: dict[str, Any], wanted: str) -> None:
    for rows in [[Loose(**given)], [given]]:
        line, _ = refused(rows, Loose)
        assert wanted in line


def test_what_json_has_is_kept_inside_of_a_value() -> None:
    value = {"d": {"a": [1, 2.0, True, None, {"b": "2024-01-01"}]}, "xs": [1.0, "1"], "days": ["2024-01-01"]}
    for rows in [[Loose.model_validate(value)], [value]]:
        [made] = made_again(read_specs(rows, Loose))
        assert repr((made.d, made.xs)) == repr((value["d"], value["xs"]))


@pytest.mark.parametrize(
    ("when", "part"),
    [(DAY, "when = 2024-01-01"), ([DAY], "when[0] = 2024-01-01"), ({"x": DAY}, "when['x'] = 2024-01-01")],
)
def test_a_type_that_json_changes_is_refused_in_a_column_without_a_field(when: Any, part: str) -> None:
    for rows in [[{"when": when}], [Extra.model_validate({"when": when})]]:
        line, _ = refused(rows, Extra)
        assert f"{part}: is a date, and another process would get a str" in line
