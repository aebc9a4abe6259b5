"""An experiment of files: reads one or two, writes one or two, says what it saw."""

import shutil
import time
from pathlib import Path

import pyarrow as pa

from scythe_cli import ExperimentInputSpec, ExperimentOutputSpec, ExperimentRegistry, FileReference


class Input(ExperimentInputSpec):
    """One spec."""

    a: int = 0
    weather: FileReference
    tariff: FileReference | None = None
    diary: str = ""
    seconds: float = 0.0


class Output(ExperimentOutputSpec):
    """What the function saw, and a report of it."""

    name: str
    text: str
    report: FileReference
    copy_of_tariff: FileReference | None = None


@ExperimentRegistry.Register()
def plant(spec: Input, tempdir: Path) -> Output:
    """Read the weather, write a report."""
    if spec.diary:
        with Path(spec.diary).open("a") as diary:
            diary.write(f"{spec.sort_index}\n")
    time.sleep(spec.seconds)
    text = spec.weather.read_text()
    report = tempdir / "report.csv.gz"
    report.write_text(f"{spec.a} {text}")
    copied = None
    if spec.tariff is not None:
        copied = tempdir / "tariff.txt"
        shutil.copyfile(spec.tariff, copied)
    hours = pa.table({"hour": [1, 2], "x": [spec.a, -spec.a]})
    return Output(name=spec.weather.name, text=text, report=report, copy_of_tariff=copied, dataframes={"hourly": hours})


class Number(ExperimentInputSpec):
    """One small spec."""

    a: int
    seconds: float = 0.0


class Doubled(ExperimentOutputSpec):
    """Its double."""

    b: int


@ExperimentRegistry.Register()
def double(spec: Number) -> Doubled:
    """Twice the number."""
    time.sleep(spec.seconds)
    return Doubled(b=2 * spec.a)


class Bulk(ExperimentInputSpec):
    """One large file."""

    source: FileReference


class Bulky(ExperimentOutputSpec):
    """One large file."""

    copied: FileReference


@ExperimentRegistry.Register()
def copy_bulk(spec: Bulk, tempdir: Path) -> Bulky:
    """The same file again."""
    copied = tempdir / "copied.bin"
    shutil.copyfile(spec.source, copied)
    return Bulky(copied=copied)
