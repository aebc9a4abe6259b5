"""Sheets of Excel files whose own notes about their size are wrong."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

import openpyxl
import pytest

from scythe_cli.experiment.models import ExperimentInputSpec
from scythe_cli.spec_table.read import read_specs


class Room(ExperimentInputSpec):
    a: int
    b: float = 1.0


@pytest.mark.parametrize("dimension", ["A1:A6", "A1:B3", "A1", "A1:XFD1048576", "B2:C3"])
def test_a_wrong_size_of_the_sheet_loses_no_row_or_column(tmp_path: Path, dimension: str) -> None:
    book = openpyxl.Workbook()
    for row in [["a", "b"], [1, 2.0], [2, 3.0], [3, 4.0]]:
        book.worksheets[0].append(row)
    book.save(tmp_path / "right.xlsx")
    path = tmp_path / "specs.xlsx"
    with zipfile.ZipFile(tmp_path / "right.xlsx") as right, zipfile.ZipFile(path, "w") as wrong:
        for name in right.namelist():
            text = right.read(name)
            if name.endswith("sheet1.xml"):
                text = re.sub(rb'<dimension ref="[^"]*"', b'<dimension ref="%s"' % dimension.encode(), text)
            wrong.writestr(name, text)
    table = read_specs(path, Room).table
    assert table["a"].to_pylist() == [1, 2, 3]
    assert table["b"].to_pylist() == [2.0, 3.0, 4.0]
