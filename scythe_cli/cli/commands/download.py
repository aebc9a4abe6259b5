"""`scythe download`: final tables, and result files, on this disk."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from scythe_cli.cli.shared import Json, Storage, find_run, hints_from_here, put_json, put_tables


def download(
    run: Annotated[
        str | None,
        typer.Argument(
            metavar="RUN", help="As for status. Default: the latest run of ./experiment.yml.", show_default=False
        ),
    ] = None,
    dest: Annotated[
        Path | None, typer.Argument(metavar="DEST", help="The folder. Default: ./<name>-<version>.", show_default=False)
    ] = None,
    *,
    files: Annotated[bool, typer.Option("--files", help="The result files too.")] = False,
    only_field: Annotated[
        str | None, typer.Option("--filter", metavar="FIELD", help="Only the result files of this output field.")
    ] = None,
    storage: Storage = None,
    as_json: Json = False,
) -> None:
    """Fetch what is missing or differs. A second call goes on where the first ended."""
    from scythe_cli.cli.formatting import counted, shown, size
    from scythe_cli.cli.progress import Terminal
    from scythe_cli.operations.download import download as fetch

    found = find_run(run, storage)
    with Terminal() as terminal, hints_from_here(found):
        report = fetch(
            found.store,
            dest or Path(f"{found.name}-{found.version}"),
            files=files,
            only_field=only_field,
            fields=found.manifest.files,
            listener=terminal,
        )
    if as_json:
        put_json(report)
        return
    fetched = f"{counted(report.fetched_files, 'file')} fetched ({size(report.fetched_bytes)})"
    typer.echo(f"{found.id}   {fetched}, {counted(report.n_files, 'file')} in {shown(report.folder)}")
    put_tables(report.tables)
