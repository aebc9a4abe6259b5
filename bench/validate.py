"""Reading and checking a CSV of specs, against one process that calls pydantic on the same rows.

Pydantic's reading is not counted. Of the models, one has ten fields of numbers, choices, dates and text, which go
through column by column; one has a file; one runs a validator of the user's, which sends every row through pydantic.
"""

from __future__ import annotations

import csv
import datetime as dt
import random
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from bench.harness import Row, Usage, in_turn, median, ratio, report, run
from scythe_cli.experiment.file_reference import FileReference
from scythe_cli.experiment.models import ExperimentInputSpec
from scythe_cli.spec_table.read import read_specs

REPEATS = 3
CHUNK = 50_000


class Plain(ExperimentInputSpec):
    """Ten fields such as people have."""

    r_value: float = Field(ge=0, le=15)
    lpd: float = Field(ge=0, le=20)
    setpoint: float = Field(ge=12, le=30)
    economizer: Literal["NoEconomizer", "DifferentialDryBulb", "DifferentialEnthalpy"]
    floors: int = Field(ge=1, le=100)
    name: str
    built: dt.date
    vented: bool
    window: float | None = Field(default=None, ge=0, le=1)
    zone: int = Field(ge=1)


class WithFile(Plain):
    """The name is a file's."""

    name: FileReference  # type: ignore[assignment]  # text in the other models


class Hooked(Plain):
    """Code of the user's looks at each row."""

    @model_validator(mode="after")
    def _look(self) -> Hooked:
        if self.lpd > 19.99999 and self.r_value > 14.99999:
            raise ValueError("not both")
        return self


def write(path: Path, n: int) -> None:
    """The same table each time."""
    draw = random.Random(1)
    choices = ["NoEconomizer", "DifferentialDryBulb", "DifferentialEnthalpy"]
    with path.open("w") as file:
        file.write(",".join(list(Plain.model_fields)[4:]) + "\n")
        for _ in range(n):
            file.write(
                f"{draw.uniform(0, 15)!r},{draw.uniform(0, 20):.3f},{draw.uniform(12, 30):.1f},{draw.choice(choices)},"
                f"{draw.randint(1, 60)},/data/climate-{draw.randint(1, 200):03}.epw,"
                f"{draw.randint(1900, 2020)}-0{draw.randint(1, 9)}-1{draw.randint(0, 9)},"
                f"{draw.choice(['true', 'false'])},{draw.choice(['', '0.4', '0.25'])},{draw.randint(1, 17)}\n"
            )


def ours(path: Path, model: type[ExperimentInputSpec]) -> Usage:
    """Seconds from a file to a typed table."""
    begun = time.perf_counter()
    read_specs(path, model, base=path.parent)
    return Usage(time.perf_counter() - begun, 0)


def pydantics(path: Path, model: type[ExperimentInputSpec]) -> Usage:
    """Seconds in `model_validate` alone: the reading is not counted, and no instance is kept."""
    seconds = 0.0
    with path.open(newline="") as file:
        rows = ({name: cell or None for name, cell in row.items()} for row in csv.DictReader(file))
        while chunk := list(islice(rows, CHUNK)):
            seconds += _validated(chunk, model.model_validate)
    return Usage(seconds, 0)


def _validated(rows: list[dict[str, Any]], validate: Callable[[Any], Any]) -> float:
    begun = time.perf_counter()
    for row in rows:
        validate(row)
    return time.perf_counter() - begun


def peak(path: Path) -> int:
    """The largest memory of a process that does nothing else, in bytes."""
    code = f"from bench.validate import *; ours(Path({str(path)!r}), Plain)"
    return run([sys.executable, "-c", code], cwd=Path(__file__).parent.parent).memory


def main(n: int = 1_000_000) -> None:
    """Measure and report."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "specs.csv"
        write(path, n)
        for what, model, target in (
            ("10 fields", Plain, 0.7),
            ("a file field", WithFile, 0.7),
            ("a validator", Hooked, 3),
        ):
            scythe, plain = in_turn(REPEATS, partial(ours, path, model), partial(pydantics, path, model))
            each = f"scythe {median(scythe):.2f} s, pydantic {median(plain):.2f} s for {n:,} rows"
            rows.append(
                Row(f"read and check a CSV, {what} / model_validate", ratio(scythe, plain), target, detail=each)
            )
        rows.append(Row("memory of reading and checking", peak(path) / 1e9, 1.0, " GB"))
    report("validate", rows)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
