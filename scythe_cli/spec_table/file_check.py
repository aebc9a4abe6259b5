"""The files that a table's rows name: each address once, with the first row that has it and how many rows do.

Input: columns of file fields. Output: a line in the report for each file that cannot be read.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from scythe_cli.core.printable import mask_secrets
from scythe_cli.storage import references
from scythe_cli.storage.address import Address, is_remote

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scythe_cli.columns.checks import Column
    from scythe_cli.spec_table.report import TableReport
    from scythe_cli.storage.cache import Remote


class ReferencedFiles:
    """ReferencedFiles by field, for as many rows as there are.

    Args:
        folders: what relative paths start from.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = folders
        self._seen: dict[tuple[str, str], tuple[int, int]] = {}

    def add(self, field: str, column: Column, first: int = 0) -> None:
        """The cells of a field; `first` is the row of the first of them. Later rows come later."""
        rows = pa.array(range(first, first + len(column)), pa.int64())
        alike = pa.table({"address": column, "row": rows}).group_by("address", use_threads=False)
        for cell in alike.aggregate([("row", "min"), ("row", "count")]).to_pylist():
            if cell["address"] is not None:
                key = (field, absolute(cell["address"], self._folders))
                row, count = self._seen.get(key, (cell["row_min"], 0))
                self._seen[key] = (min(row, cell["row_min"]), count + cell["row_count"])

    def check(self, report: TableReport, found: Mapping[str, references.FileProblem | Remote] | None = None) -> None:
        """Report each file that cannot be read, in the order of rows.

        Args:
            report: gets a line for each.
            found: what `references.probe` found for the addresses, where that is known.
        """
        found = found if found is not None else references.probe(address for _, address in self._seen)
        missing = []
        for (field, address), (row, count) in self._seen.items():
            if isinstance(problem := found[address], references.FileProblem):
                missing.append((row, _Missing(field, address, problem, count)))
        for row, one in sorted(missing, key=lambda pair: pair[0]):
            report.add_file(row, one, refused=one.problem.refused)


@dataclass(frozen=True)
class _Missing:
    """A file that cannot be read; its folder is listed only if the report shows it."""

    field: str
    address: str
    problem: references.FileProblem
    rows: int

    def __str__(self) -> str:
        others = self.rows - 1
        more = f" (and {others:,} more row{'s' * (others > 1)})" if others else ""
        near = "" if is_remote(self.address) else references.nearest_file(Path(self.address))
        return f"{self.field} = {mask_secrets(self.address)!r}: {self.problem.message}{more}{near and '.'}{near}"


def absolute(address: str, folders: Sequence[Path]) -> str:
    """A local path made absolute: from the first folder where it exists, else from the first."""
    tried = [Address.parse(address, folder) for folder in folders]
    if tried[0].is_remote:
        return address
    return str(next((one.path for one in tried if one.path.exists()), tried[0].path).absolute())
