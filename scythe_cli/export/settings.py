"""What a download is to make of the final tables besides copying them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

TableFormat = Literal["parquet", "csv", "xlsx"]


@dataclass(frozen=True)
class Export:
    """How tables are handed on.

    Attributes:
        run_id: name/version/time; addresses of this run's files become relative to the folder.
        format: parquet copies the tables, csv and xlsx write them for other programs as well.
        units: by the name of a field, for the second row of a sheet.
    """

    run_id: str
    format: TableFormat = "parquet"
    units: Mapping[str, str] = field(default_factory=dict)

    @property
    def workbook(self) -> str:
        """The name of the xlsx file."""
        name, version, _ = self.run_id.rsplit("/", 2)
        return f"{name.replace('/', '-')}-{version}.xlsx"
