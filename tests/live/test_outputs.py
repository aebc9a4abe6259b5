"""Files and scalars that user functions return, on the folder store: taken over, named, refused."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from scythe_cli import BaseExperiment
from scythe_cli.experiment import experiment

MODULE = """
import os
from contextlib import suppress
from datetime import UTC, date, datetime, time, timedelta, timezone
from enum import Enum
from pathlib import Path
import numpy as np
from pydantic import AwareDatetime, Field
from scythe_cli import ExperimentInputSpec, ExperimentOutputSpec, ExperimentRegistry, FileReference

EAST = timezone(timedelta(hours=5))

class Grade(Enum):
    GOOD = "good"

class In(ExperimentInputSpec):
    case: str
    outside: Path

class Out(ExperimentOutputSpec):
    n: int = Field(default=1, ge=0)
    note: str = ""
    grade: Grade = Grade.GOOD
    day: date = date(2026, 1, 31)
    spread: list[float] = [0.5]
    when: datetime | None = None
    aware: AwareDatetime | None = None
    clock: time | None = None
    whens: list[datetime] = []
    table: FileReference
    picture: FileReference | None = None

@ExperimentRegistry.Register(retries=0)
def make(input_spec: In, tempdir: Path) -> Out:
    outside = input_spec.outside
    file = tempdir / "out.csv"
    file.write_text(input_spec.case)
    match input_spec.case:
        case "plain":
            return Out(table=file)
        case "suffixes":
            return Out(table=file.rename(tempdir / "a.b.csv.gz"))
        case "no_suffix":
            return Out(table=file.rename(tempdir / "README"))
        case "hidden":
            return Out(table=file.rename(tempdir / ".csv"))
        case "unicode":
            return Out(table=file.rename(tempdir / "Zürich größe.csv"))
        case "control":
            return Out(table=file.rename(tempdir / "r.t\\nx\\x01t.\\t"))
        case "not_unicode":
            return Out(table=file.rename(tempdir / "r.\\udcff.g?z"))
        case "bad_address":
            return Out.model_construct(table="s3://bucket/\\ud800")
        case "long":
            return Out(table=file.rename(tempdir / ("x" + ".y" * 100)))
        case "folder_below":
            (tempdir / "deep/er").mkdir(parents=True)
            return Out(table=file.rename(tempdir / "deep/er/out.csv"))
        case "two_fields":
            return Out(table=file, picture=file)
        case "optional":
            other = tempdir / "p.png"
            other.write_bytes(bytes(3_000_000))
            return Out(table=file, picture=other)
        case "missing":
            return Out(table=tempdir / "never.csv")
        case "folder":
            return Out(table=tempdir)
        case "pipe":
            os.mkfifo(tempdir / "pipe")
            return Out(table=tempdir / "pipe")
        case "no_outbox":
            for folder in tempdir.parents[1].glob("*"):
                with suppress(OSError):
                    folder.rmdir()
            return Out(table=file)
        case "link":
            (tempdir / "link.csv").symlink_to(outside)
            return Out(table=tempdir / "link.csv")
        case "dead_link":
            (tempdir / "dead.csv").symlink_to("/nowhere/at/all")
            return Out(table=tempdir / "dead.csv")
        case "outside" | "outside_again":
            return Out(table=outside)
        case "relative":
            Path("beside.csv").write_text("beside")
            return Out(table=Path("beside.csv"))
        case "remote":
            return Out(table="s3://bucket/there.csv")
        case "none":
            return Out.model_construct(table=None)
        case "number":
            return Out.model_construct(table=3)
        case "numpy":
            return Out.model_construct(table=file, n=np.int64(7), spread=np.array([1.0, 2.0]).tolist())
        case "moments":
            return Out(table=file, when=datetime(2024, 1, 1, 12), aware=datetime(2024, 1, 1, 12, tzinfo=EAST))
        case "zone":
            return Out(table=file, when=datetime(2024, 1, 1, 12, tzinfo=EAST))
        case "zone_of_time":
            return Out(table=file, clock=time(12, tzinfo=UTC))
        case "zone_in_list":
            return Out(table=file, whens=[datetime(2024, 1, 1), datetime(2024, 1, 1, tzinfo=UTC)])
        case "wide":
            return Out(table=file, n=2**70)
        case "not_utf8":
            return Out(table=file, note="\\udcff")
        case "out_of_bounds":
            output = Out(table=file)
            output.n = -1
            return output
        case "wrong_type":
            return Out.model_construct(table=file, n="many")
        case "other_model":
            return input_spec
        case "nothing":
            return None
"""
CASES = [
    *(
        "plain",
        "no_outbox",
        "suffixes",
        "no_suffix",
        "hidden",
        "unicode",
        "long",
        "control",
        "not_unicode",
        "folder_below",
        "two_fields",
        "optional",
    ),
    *("link", "outside", "outside_again", "relative", "remote", "numpy", "moments"),
    *(
        "missing",
        "bad_address",
        "folder",
        "pipe",
        "dead_link",
        "none",
        "number",
        "out_of_bounds",
        "wrong_type",
        "other_model",
        "nothing",
    ),
    *("zone", "zone_of_time", "zone_in_list", "wide", "not_utf8"),
]


@dataclass
class Made:
    """What a run over all cases left."""

    root: Path
    outside: Path
    scalars: dict[str, dict[str, Any]]
    files: dict[str, dict[str, Any]]
    errors: dict[str, dict[str, Any]]
    groups: dict[str, int]

    def file(self, case: str, field: str = "table") -> Path:
        """An output file, where result_file_refs says it is."""
        path = Path(self.files[case][field])
        assert path.parent == self.root / "results" / field
        assert path.name.startswith(self.files[case]["workflow_run_id"])
        return path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    folder = tmp_path_factory.mktemp("outputs")
    (folder / "filemaker.py").write_text(MODULE)
    outside = folder / "mine.csv"
    outside.write_text("mine")
    path = list(sys.path)
    function = experiment.load("filemaker:make", folder).function
    module: Any = sys.modules["filemaker"]
    specs = [module.In(case=case, outside=outside) for case in CASES]
    run, ref = BaseExperiment(experiment=function, storage=folder / "runs").allocate(
        specs, workers=2, max_failures="all"
    )
    ref.result()
    tables = [run.scalars(), run.table("result_file_refs"), run.errors()]
    assert tables[0]["sort_index"].equals(tables[1]["sort_index"])
    scalars, files, errors = [{row["case"]: row for row in table.rows(named=True)} for table in tables]
    groups = {group.place: group.count for group in run.status(errors=True).failures}
    yield Made(Path(run.address), outside, scalars, files, errors, groups)
    sys.path[:] = path
    del sys.modules["filemaker"]


def test_every_case_has_its_outcome(made: Made) -> None:
    bad = set(CASES[CASES.index("missing") :])
    assert set(made.errors) == bad, {case: made.errors[case]["message"] for case in set(made.errors) - bad}
    assert set(made.scalars) == set(CASES) - bad
    assert {row["kind"] for row in made.errors.values()} == {"invalid_output"}


@pytest.mark.parametrize(
    ("case", "suffixes"),
    [
        ("plain", ".csv"),
        ("suffixes", ".b.csv.gz"),
        ("no_suffix", ""),
        ("unicode", ".csv"),
        ("folder_below", ".csv"),
        ("control", ".txt"),
        ("not_unicode", ".gz"),
    ],
)
def test_files_are_named_by_their_spec_with_all_suffixes(made: Made, case: str, suffixes: str) -> None:
    file = made.file(case)
    assert file.name == made.files[case]["workflow_run_id"] + suffixes
    assert file.read_text() == case


def test_odd_names_do_not_break_a_key(made: Made) -> None:
    for case in ("hidden", "long"):
        assert made.file(case).read_text() == case
        assert len(made.file(case).name) < 255


def test_optional_files(made: Made) -> None:
    assert made.files["plain"]["picture"] is None
    assert made.file("optional", "picture").stat().st_size == 3_000_000


def test_one_file_in_two_fields_and_of_two_specs(made: Made) -> None:
    assert made.file("two_fields").read_text() == made.file("two_fields", "picture").read_text() == "two_fields"
    assert made.file("outside") != made.file("outside_again")
    assert made.file("outside").read_text() == made.file("outside_again").read_text() == "mine"


def test_what_is_not_the_specs_own_is_copied_not_moved(made: Made) -> None:
    assert made.outside.read_text() == "mine"
    assert made.file("link").read_text() == "mine"
    assert not made.file("link").is_symlink()
    assert made.file("relative").read_text() == "beside"


def test_a_remote_address_is_left_as_it_is(made: Made) -> None:
    assert made.files["remote"]["table"] == "s3://bucket/there.csv"


def test_scalars_have_the_models_types(made: Made) -> None:
    row = made.scalars["plain"]
    assert (row["n"], row["grade"], row["day"].isoformat(), row["spread"]) == (1, "good", "2026-01-31", [0.5])
    assert (made.scalars["numpy"]["n"], made.scalars["numpy"]["spread"]) == (7, [1.0, 2.0])
    moments = made.scalars["moments"]
    assert (moments["when"], moments["aware"]) == (datetime(2024, 1, 1, 12), datetime(2024, 1, 1, 7, tzinfo=UTC))
    table = pl.read_parquet(made.root / "final/scalars.pq")
    assert "table" not in table.columns
    assert table.schema["spread"] == pl.List(pl.Float64)


@pytest.mark.parametrize(
    ("case", "said"),
    [
        ("missing", "never.csv' does not exist; the function must write the file before it returns"),
        ("folder", "is a folder"),
        ("pipe", "is no regular file; the function must write the file before it returns"),
        ("bad_address", "is not an address"),
        ("dead_link", "does not exist"),
        ("none", "table"),
        ("number", "table = 3"),
        ("out_of_bounds", "n = -1: must be"),
        ("wrong_type", "n = 'many'"),
        ("wide", "n = 1180591620717411303424: does not fit 64 bits"),
        ("zone", "has a time zone, which the field does not keep: annotate it AwareDatetime, or leave the offset out"),
        ("zone", "when = 2024-01-01T12:00:00"),
        ("zone_of_time", "has a time zone, which no column of times keeps"),
        ("zone_in_list", "whens = [2024-01-01T00:00:00, "),
        ("zone_in_list", "has a time zone"),
        ("not_utf8", "note = '\\udcff': is not a string: "),
        ("other_model", "the function returned filemaker.In, not Out"),
        ("nothing", "the function returned None, not Out"),
    ],
)
def test_what_is_no_output_fails_its_spec(made: Made, case: str, said: str) -> None:
    assert said in made.errors[case]["message"]


def test_failures_are_told_apart_by_the_part_of_the_output(made: Made) -> None:
    assert made.groups == {
        "Out.table": 7,
        "Out.n": 3,
        "Out.note": 1,
        "Out.when": 1,
        "Out.clock": 1,
        "Out.whens": 1,
        "return filemaker.In": 1,
        "return None": 1,
    }
