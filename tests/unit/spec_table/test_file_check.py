"""Files that rows name: one report with wrong values and missing files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from spec_tables import Weather, refused, write

from scythe_cli.errors import InputFileError
from scythe_cli.experiment.models import ExperimentInputSpec
from scythe_cli.spec_table import reading, sources
from scythe_cli.spec_table.read import read_specs


def test_paths_start_from_the_specs_file_then_from_the_experiment(tmp_path: Path, clean_environment: Path) -> None:
    (tmp_path / "data").mkdir()
    write(tmp_path, "", "both.epw")
    write(tmp_path / "data", "", "both.epw")
    write(tmp_path, "", "here.epw")
    cells = [
        "both.epw",
        "here.epw",
        "nowhere.epw",
        "~/mine.epw",
        "s3://bucket/a b.epw",
        "https://x.org/a.epw",
        "both.epw",
    ]
    text = "x,weather_file\n" + "".join(f"{at},{cell}\n" for at, cell in enumerate(cells))
    specs = read_specs(write(tmp_path / "data", text), Weather, base=tmp_path)
    assert specs.references == {
        "weather_file": [
            f"{tmp_path}/data/both.epw",
            f"{tmp_path}/here.epw",
            f"{tmp_path}/data/nowhere.epw",
            f"{clean_environment}/mine.epw",
            "s3://bucket/a b.epw",
            "https://x.org/a.epw",
        ],
        "other": [],
    }
    assert specs.table["weather_file"].to_pylist()[6] == f"{tmp_path}/data/both.epw"
    assert specs.where(6) == "specs.csv:8"


def test_files_of_rows_on_the_disk_are_in_the_one_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MEMORY_LIMIT", 1)
    lines = ["x,weather_file", "1,/nowhere.epw", *["1,/etc/passwd"] * 2 * sources.CHUNK, "one,/etc/passwd", ""]
    assert refused(write(tmp_path, "\n".join(lines)), Weather, check_files=True)[:2] == [
        "specs.csv:2  weather_file = '/nowhere.epw': does not exist",
        f"specs.csv:{2 * sources.CHUNK + 3}  x = 'one': must be a whole number",
    ]


def checked(source: Any, model: type[ExperimentInputSpec] = Weather) -> list[str]:
    """The lines of the report about files alone."""
    with pytest.raises(InputFileError) as caught:
        read_specs(source, model, check_files=True)
    return caught.value.message.splitlines()


def test_wrong_values_and_missing_files_are_one_report(tmp_path: Path) -> None:
    write(tmp_path, "", "here.epw")
    text = "x,weather_file,other\n1,here.epw,\n2,her.epw,gone.epw\n,ftp://x/y,her.epw\nno,her.epw,\n5,./her.epw,{}\n"
    lines = refused(write(tmp_path, text.format(tmp_path)), Weather, check_files=True)
    assert lines == [
        f"specs.csv:3  weather_file = '{tmp_path}/her.epw': does not exist (and 2 more rows). Did you mean 'here.epw'?",
        f"specs.csv:3  other = '{tmp_path}/gone.epw': does not exist",
        "specs.csv:4  x: is empty, and needs a value",
        "specs.csv:4  weather_file = 'ftp://x/y': must be a local path, s3:// or https://",
        f"specs.csv:4  other = '{tmp_path}/her.epw': does not exist. Did you mean 'here.epw'?",
        "specs.csv:5  x = 'no': must be a whole number",
        f"specs.csv:6  other = '{tmp_path}': is a folder, not a file",
        "7 errors (rows are lines of the file, the header is line 1)",
    ]


def test_an_address_that_no_object_has(tmp_path: Path) -> None:
    path = write(tmp_path, "x,weather_file\n1,s3://bucket/w//a.epw\n2,s3://bucket/dir/\n")
    rule = "is not a valid key: the segment '' is not allowed"
    assert checked(path) == [
        f"specs.csv:2  weather_file = 's3://bucket/w//a.epw': 'w//a.epw' {rule}",
        f"specs.csv:3  weather_file = 's3://bucket/dir/': 'dir/' {rule}",
        "2 files cannot be read (rows are lines of the file, the header is line 1)",
    ]


def test_files_of_rows_before_the_first_error_are_in_the_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "CHUNK", 2)
    text = "x,sort_index,weather_file\n" + "".join(f"{at},{at},{at % 3}.epw\n" for at in range(7))
    lines = refused(write(tmp_path, text + "7,2,3.epw\n"), Weather, check_files=True)
    assert lines == [
        f"specs.csv:2  weather_file = '{tmp_path}/0.epw': does not exist (and 2 more rows)",
        f"specs.csv:3  weather_file = '{tmp_path}/1.epw': does not exist (and 1 more row)",
        f"specs.csv:4  weather_file = '{tmp_path}/2.epw': does not exist (and 1 more row)",
        "specs.csv:9  sort_index = 2: must be unique, and specs.csv:4 has it too",
        f"specs.csv:9  weather_file = '{tmp_path}/3.epw': does not exist",
        "5 errors (rows are lines of the file, the header is line 1)",
    ]


def test_missing_files_alone_say_how_rows_are_counted(tmp_path: Path) -> None:
    text = "x,sort_index,weather_file\n" + "".join(f"{at},{40 - at},{at % 30}.epw\n" for at in range(40))
    lines = checked(write(tmp_path, text))
    assert len(lines) == 21
    assert lines[0] == f"specs.csv:2  weather_file = '{tmp_path}/0.epw': does not exist (and 1 more row)"
    assert lines[19] == f"specs.csv:21  weather_file = '{tmp_path}/19.epw': does not exist"
    counted = "(rows are lines of the file, the header is line 1)"
    assert lines[20] == f"... and 10 more, 30 files cannot be read in all {counted}"
    assert checked([Weather(x=1, weather_file=tmp_path / "a")])[1] == "1 file cannot be read (rows are counted from 0)"
