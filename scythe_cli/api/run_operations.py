"""What a program does with one run: status, tables, waiting.

Input: an object with a `run`. Output: the results of the operations that the commands call too.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from scythe_cli.api.places import say_once
from scythe_cli.core import layout
from scythe_cli.core.events import ignore
from scythe_cli.errors import NotFinishedError
from scythe_cli.run.run import OriginalRun, refuse_original

if TYPE_CHECKING:
    import polars as pl

    from scythe_cli.engines.generation.follow import RunFollower
    from scythe_cli.export.settings import TableFormat
    from scythe_cli.operations.download import DownloadReport
    from scythe_cli.operations.gather import FinalReport
    from scythe_cli.operations.status import RunStatus
    from scythe_cli.run.engine import Ended
    from scythe_cli.run.run import Run


class HasRun(Protocol):
    """An object that has a run."""

    @property
    def run(self) -> Run:
        """The run."""

    def results(self) -> dict[str, str]:
        """The address of each final table by name."""

    def table(self, name: str) -> pl.DataFrame:
        """One final table."""


class RunOperations:
    """The operations on a run, as methods."""

    def status(self: HasRun, *, errors: bool = False) -> RunStatus:
        """Counts, rate and ETA, from the store alone; with `errors`, failures by kind, type and place."""
        from scythe_cli.operations.status import status

        return status(self.run, errors=errors)

    def wait(self: HasRun, timeout: float | None = None) -> RunStatus:
        """Wait until the run is over, whichever process or machine works on it: its tables exist, or it was stopped.

        Args:
            timeout: seconds; without it there is no limit.

        Raises:
            NotFinishedError: nobody works on the run, and it is not finished.
            WaitTimeout: the run is not over yet; it continues. It is a `TimeoutError` too.
        """
        from scythe_cli.operations.status import quick_status

        if not isinstance(self.run, OriginalRun):
            _follower(self.run, timeout).wait(ignore)
        return quick_status(self.run)

    def result(self: HasRun, timeout: float | None = None) -> dict[str, str]:
        """Wait for the final tables.

        Returns:
            The address of each by name: scalars, errors, execution, result_file_refs, and the user's frames.

        Raises:
            NotFinishedError: the run was cancelled or stopped, or nobody works on it.
            WaitTimeout: the run is not over after `timeout` seconds; it continues.
        """
        if isinstance(self.run, OriginalRun):
            return _tables_of_original(self)
        return _tables(self, _follower(self.run, timeout).wait(ignore))

    async def aio_result(self: HasRun, timeout: float | None = None) -> dict[str, str]:
        """The same as `result`, for asyncio. Cancelling the wait does not stop the run."""
        if isinstance(self.run, OriginalRun):
            return await asyncio.to_thread(_tables_of_original, self)
        follower = await asyncio.to_thread(_follower, self.run, timeout)
        try:
            ended = await asyncio.to_thread(follower.wait, ignore)
        finally:
            follower.stop()
        return await asyncio.to_thread(_tables, self, ended)

    def gather(self: HasRun, *, partial: bool = False) -> FinalReport:
        """Build the final tables. Raises `NotFinishedError` when specs are missing, unless `partial`."""
        from scythe_cli.operations.gather import gather

        return gather(self.run, partial=partial)

    def download(
        self: HasRun,
        dest: str | Path | None = None,
        *,
        files: bool = False,
        only_field: str | None = None,
        table_format: TableFormat = "parquet",
    ) -> DownloadReport:
        """Fetch the final tables, manifest, specs and code, and with `files` the result files, to a folder here."""
        from scythe_cli.export.settings import Export
        from scythe_cli.operations.download import download
        from scythe_cli.show.field_notes import units_of

        target = Path(dest) if dest is not None else Path(f"{self.run.name}-{self.run.version}".replace("/", "-"))
        return download(
            self.run.store,
            target,
            files=files,
            only_field=only_field,
            fields=self.run.manifest.files,
            export=Export(self.run.id, table_format, units_of(self.run)),
        )

    def results(self: HasRun) -> dict[str, str]:
        """The address of each final table by name."""
        from scythe_cli.operations.scan import final_tables

        return {name: self.run.store.locate(layout.final(name)) for name in final_tables(self.run.store)}

    def scan(self: HasRun, table: str = layout.SCALARS) -> pl.LazyFrame:
        """One final table, read only where and when it is needed. Raises `NotFoundError` as `table` does."""
        from scythe_cli.operations.scan import scan_table

        _say_if_partial(self.run)
        return scan_table(self.run, table)

    def table(self: HasRun, name: str) -> pl.DataFrame:
        """One final table. Raises `NotFoundError` when no table has this name."""
        from scythe_cli.operations.scan import load_table

        _say_if_partial(self.run)
        return load_table(self.run, name)

    def scalars(self: HasRun, *, tidy: bool = False) -> pl.DataFrame:
        """scalars.pq: one row for each spec that succeeded; `tidy` has inputs and outputs, and no ids."""
        table = self.table(layout.SCALARS)
        if not tidy:
            return table
        inputs = _inputs(self.run, table)
        return table.select(*inputs, *(name for name in _outputs(self.run, table) if name not in inputs))

    def xy(self: HasRun, table: str = layout.SCALARS) -> tuple[pl.DataFrame, pl.DataFrame]:
        """The inputs and the outputs of one final table as two frames with the same rows, for a model to be fitted."""
        found = self.table(table)
        return found.select(_inputs(self.run, found)), found.select(_outputs(self.run, found))

    def errors(self: HasRun, *, all_attempts: bool = False) -> pl.DataFrame:
        """errors.pq: one row for each spec that failed.

        Args:
            all_attempts: one row for each attempt that failed, also of specs that succeeded later, and of a run that is
                not finished. `attempts` is its number; `start`, `generation` and `final` (whether it is the result
                of its spec) are added.
        """
        if not all_attempts:
            return self.table(layout.ERRORS)
        import polars as pl

        from scythe_cli.failures.every_attempt import every_attempt

        refuse_original(self.run)
        return pl.DataFrame(every_attempt(self.run))


def _say_if_partial(run: Run) -> None:
    """Who reads part of the rows should know it."""
    from scythe_cli.operations.scan import partial_sentence

    if (sentence := partial_sentence(run)) is not None:
        say_once(f"{run.id}: {sentence}")


def _inputs(run: Run, table: pl.DataFrame) -> list[str]:
    """The columns that are input fields or computed features."""
    columns = set(table.columns)
    return [name for name in run.manifest.index if name in columns and name not in layout.INDEX_HEAD]


def _outputs(run: Run, table: pl.DataFrame) -> list[str]:
    """The columns that are neither inputs nor ids."""
    others = {*run.manifest.index, *layout.INDEX_HEAD, layout.SORT_SUBINDEX}
    return [name for name in table.columns if name not in others]


def _tables(found: HasRun, ended: Ended | None) -> dict[str, str]:
    """The addresses of the final tables of a run that is over. Raises `NotFinishedError` when it ended before."""
    if ended is None:
        return found.results()
    address = found.run.store.locate("")
    raise NotFinishedError(f"{found.run.id}: {ended.detail}", hint=f"scythe allocate --resume {address}")


def _tables_of_original(found: HasRun) -> dict[str, str]:
    """The tables of a run of scythe-engine. Raises `NotFinishedError` when it has none: that cannot be waited for."""
    tables = found.results()
    if not tables:
        raise NotFinishedError(f"{found.run.id} was made by scythe-engine and has no final tables")
    return tables


def _follower(run: Run, timeout: float | None) -> RunFollower:
    from scythe_cli.engines.open_follower import open_follower

    return open_follower(run, timeout=timeout)
