"""An experiment whose specs misbehave, each in the way its input field `trouble` names."""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path
from typing import cast

import pyarrow as pa
from misdeeds import crashes, exceptions, limits, outputs, state
from misdeeds.models import ACTS, FAILS, LIVES, Input, Output, fine, write_diary
from misdeeds.sanity import check_sanity

from scythe_cli import ExperimentRegistry

_KINDS = [module.__name__ for module in (crashes, exceptions, limits, outputs, state)]
__all__ = [
    "FAILS",
    "LIVES",
    "Input",
    "Output",
    "crashes",
    "exceptions",
    "fine",
    "limits",
    "outputs",
    "state",
    "write_diary",
]


@ExperimentRegistry.Register()
def work(spec: Input, tempdir: Path) -> Output:
    """Do what the spec says, and give it away when the spec before left traces."""
    write_diary(spec)
    check_sanity(tempdir)
    if spec.seconds:
        time.sleep(spec.seconds)
    if spec.trouble == "none":
        return fine(spec)
    given = ACTS[spec.trouble](spec, tempdir)
    return fine(spec) if given is None and spec.trouble in LIVES else cast("Output", given)


@ExperimentRegistry.Register()
def without_tempdir(spec: Input) -> Output:
    """Leave no place for temporary files, as the spec says; find it again."""
    tempfile.TemporaryFile().close()
    if spec.trouble != "none":
        shutil.rmtree(tempfile.gettempdir())
    return fine(spec)


@ExperimentRegistry.Register()
def second_time(spec: Input) -> Output:
    """Fail as the spec says the first time it runs, and not the second."""
    write_diary(spec)
    if Path(spec.diary).read_text().splitlines().count(str(spec.sort_index)) == 1 and spec.trouble != "none":
        ACTS[spec.trouble](spec, Path())
    return fine(spec)


@ExperimentRegistry.Register()
def steady(spec: Input, tempdir: Path) -> Output:
    """Take a while and give a bit of everything, always the same."""
    write_diary(spec)
    time.sleep(spec.seconds)
    output = fine(spec, text=f"spec {spec.sort_index}")
    if spec.sort_index % 3 == 0:
        output.dataframes["monthly"] = pa.table({"month": [1, 2], "value": [float(spec.sort_index), 0.5]})
    if spec.sort_index % 5 == 0:
        output.report = tempdir / "report.txt"
        output.report.write_text(f"report {spec.sort_index}")
    return output
