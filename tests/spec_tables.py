"""Models and helpers of the tests of specs tables."""

from __future__ import annotations

import datetime as dt
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import Field, field_validator

from scythe_cli.columns.rows import make_specs
from scythe_cli.errors import TableError
from scythe_cli.experiment.file_reference import FileReference
from scythe_cli.experiment.models import ExperimentInputSpec
from scythe_cli.spec_table.read import read_specs
from scythe_cli.spec_table.table import SpecTable


class Wall(StrEnum):
    BRICK = "brick"
    WOOD = "wood"


class House(ExperimentInputSpec):
    zip_code: str
    setpoint: float = Field(ge=12, le=30)
    wall: Wall
    floors: Literal[1, 2, 3] = 1
    built: dt.date | None = None
    heated: bool = True


class Weather(ExperimentInputSpec):
    x: int
    weather_file: FileReference
    other: FileReference | None = None


class Doubled(ExperimentInputSpec):
    x: int

    @field_validator("x")
    @classmethod
    def _double(cls, value: int) -> int:
        return 2 * value


class Plain(ExperimentInputSpec):
    x: int


HEADER = "zip_code,setpoint,wall\n"
GOOD = HEADER + "01234,20,brick\n"


def write(folder: Path, text: str | bytes, name: str = "specs.csv") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def refused(
    source: Any, model: type[ExperimentInputSpec] = House, base: Path | None = None, *, check_files: bool = False
) -> list[str]:
    """The lines of the report."""
    with pytest.raises(TableError) as caught:
        read_specs(source, model, base=base, check_files=check_files)
    assert caught.value.exit_code == 2
    return caught.value.message.splitlines()


def made_again(specs: SpecTable) -> list[Any]:
    """What a lane makes of a table that went through parquet."""
    sink = pa.BufferOutputStream()
    pq.write_table(specs.table, sink)
    return make_specs(pq.read_table(pa.BufferReader(sink.getvalue())), specs.model, {})
