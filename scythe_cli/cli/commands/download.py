"""`scythe download`: final tables, and result files, on this disk."""

from __future__ import annotations

from pathlib import Path

from scythe_cli.cli import options
from scythe_cli.cli.at_work import hint_if_at_work
from scythe_cli.cli.output import print_json, print_tables, put
from scythe_cli.cli.run_argument import find_run, hints_from_here
from scythe_cli.core.printable import printable


def download(
    run: options.RunArgument = None,
    dest: options.Destination = None,
    *,
    files: options.WithFiles = False,
    only_field: options.FilterField = None,
    table_format: options.Format = "parquet",
    storage: options.Storage = None,
    as_json: options.Json = False,
) -> None:
    """Copy the result tables here. Repeat the command to continue."""
    from scythe_cli.cli.formatting import counted, display_path, size
    from scythe_cli.cli.progress import Terminal
    from scythe_cli.export.settings import Export
    from scythe_cli.operations.download import download as fetch
    from scythe_cli.operations.scan import partial_sentence
    from scythe_cli.run.run import OriginalRun
    from scythe_cli.run.state import list_marks, refuse_removed
    from scythe_cli.show.field_notes import units_of

    found = find_run(run, storage)
    if not isinstance(found, OriginalRun):
        refuse_removed(found, list_marks(found.store))
    with Terminal() as terminal, hint_if_at_work(found), hints_from_here(found):
        report = fetch(
            found.store,
            dest or Path(f"{found.name}-{found.version}".replace("/", "-")),
            files=files,
            only_field=only_field,
            fields=found.manifest.files,
            export=Export(found.id, table_format, units_of(found)),
            listener=terminal,
        )
    if as_json:
        print_json(report)
        return
    fetched = f"{counted(report.fetched_files, 'file')} fetched ({size(report.fetched_bytes)})"
    put(printable(f"{found.id}   {fetched}, {counted(report.n_files, 'file')} in {display_path(report.folder)}"))
    if table_format == "xlsx":
        put(printable(f"  {display_path(next(iter(report.tables.values())))}   {counted(len(report.tables), 'sheet')}"))
    else:
        print_tables(report.tables)
    if (partial := partial_sentence(found)) is not None:
        put(printable(f"  {partial}"))
