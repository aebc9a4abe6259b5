"""Files inside of nested specs: remote ones go through, local ones are refused before anything runs."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import Field

from scythe_cli import ExperimentInputSpec, FileReference, OptionalFileReference, S3Url
from scythe_cli.errors import TableError
from scythe_cli.spec_table.read import read_specs


class Parent(ExperimentInputSpec):
    weather: FileReference
    drawing: OptionalFileReference = None


class Child(ExperimentInputSpec):
    parent: Parent
    siblings: list[Parent] = Field(default_factory=list)
    by_name: dict[str, Parent] = Field(default_factory=dict)
    results: dict[str, S3Url] = Field(default_factory=dict)


REMOTE = Parent(weather="s3://b/a folder/w.epw")


def read(*specs: Child, tmp_path: Path) -> Any:
    return read_specs(list(specs), Child, base=tmp_path, check_files=True)


def test_remote_files_inside_are_kept(tmp_path: Path) -> None:
    table = read(Child(parent=REMOTE, results={"x": "s3://b/x"}), tmp_path=tmp_path)
    assert table.table["parent"].to_pylist()[0]["weather"] == "s3://b/a folder/w.epw"


@pytest.mark.parametrize(
    ("child", "place"),
    [
        (Child(parent=Parent(weather="w.epw")), "parent.weather = 'w.epw'"),
        (Child(parent=REMOTE, siblings=[REMOTE, Parent(weather="w.epw")]), "siblings[1].weather = 'w.epw'"),
        (Child(parent=REMOTE, by_name={"a": Parent(weather="w.epw")}), "by_name['a'].weather = 'w.epw'"),
        (Child(parent=Parent(weather="https://h/w.epw", drawing="d.dwg")), "parent.drawing = 'd.dwg'"),
    ],
)
def test_a_local_file_inside_is_refused_with_its_place(tmp_path: Path, child: Child, place: str) -> None:
    with pytest.raises(TableError) as caught:
        read(Child(parent=REMOTE), child, tmp_path=tmp_path)
    assert f"specs row 1  {place}: is a local file inside a value" in str(caught.value)
    assert "write its s3:// or https:// address, or give the file a field of its own" in str(caught.value)


def test_a_table_is_looked_at_too(tmp_path: Path) -> None:
    file = tmp_path / "specs.csv"
    file.write_text('parent\n"{""weather"": ""s3://b/w.epw""}"\n"{""weather"": ""w.epw""}"\n')
    with pytest.raises(TableError, match=r"specs\.csv:3  parent\.weather = 'w\.epw'"):
        read_specs(str(file), Child, base=tmp_path, check_files=True)
