"""Brings a run's tables and files to disk. Input: the run's store and a folder. Output: the tree of the run in it.

A file is only fetched when it is missing or differs: a record next to the files says which version of which object each
of them is. What arrives is compared with the size the store announced. With an `Export`, manifest, specs and code come
along, and the tables are also written in another format.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from scythe_cli.core import layout
from scythe_cli.core.events import DownloadAdvanced, DownloadStarted, Exported, ExportStarted, Notice, ignore
from scythe_cli.errors import ConfigError, KeyMissing, NotFinishedError, NotFoundError, StoreError, did_you_mean
from scythe_cli.export.csv_tables import write_csv
from scythe_cli.export.record import DownloadRecord
from scythe_cli.export.relative_references import make_relative
from scythe_cli.export.tables import etag_of, sources
from scythe_cli.export.workbook import refuse_too_large, require_library, slow_sentence, write_workbook
from scythe_cli.final_tables.shown_files import shown_files
from scythe_cli.storage.base import Entry

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from scythe_cli.core.events import Listener
    from scythe_cli.export.settings import Export
    from scythe_cli.export.tables import TableSource
    from scythe_cli.storage.base import Store

WORKERS = 16


@dataclass(frozen=True)
class DownloadReport:
    """What a download copied.

    Attributes:
        folder: the folder, absolute.
        tables: the path of each final table by name; with `--format xlsx` all of them are sheets of one file.
        n_files: number of tables and result files in the folder now; manifest, specs and code are not counted.
        n_bytes: their bytes.
        fetched_files: how many of them were copied now; the others were there already.
        fetched_bytes: their bytes.
    """

    folder: Path
    tables: dict[str, Path]
    n_files: int
    n_bytes: int
    fetched_files: int
    fetched_bytes: int


def download(
    run: Store,
    dest: Path,
    *,
    files: bool = False,
    only_field: str | None = None,
    fields: Iterable[str] = (),
    export: Export | None = None,
    listener: Listener = ignore,
) -> DownloadReport:
    """Fetch the final tables, and with `files` the result files, that are missing in `dest` or differ.

    Args:
        run: the store, rooted at the run.
        dest: made when needed; gets `final/` and `results/`.
        files: fetch `results/` too, and what failed specs left.
        only_field: fetch the files of this output field only; means `files`.
        fields: the file fields of the run's output, as its manifest has them; one may be without any file.
        export: also fetch manifest, specs and code, and write the tables in this format; None: only copy tables.
        listener: gets the progress in bytes.

    Raises:
        NotFinishedError: the run has no final tables yet.
        NotFoundError: no output field of files has this name.
        ConfigError: the format cannot hold a table, or its library is not installed.
        StoreError: the store does not answer, or `dest` cannot be written.
    """
    listed = {entry.key: entry for entry in run.list(layout.FINAL) if _is_table(entry.key)}
    tables = [listed[key] for key in layout.without_unfinished(listed)]
    if not tables:
        raise NotFinishedError(f"{run.address} has no final tables yet", hint=_how_to_build(run))
    dest = Path(os.path.normpath(dest.expanduser().absolute()))
    record = DownloadRecord(dest)
    if export is not None and export.format == "xlsx":
        _check_workbook(run, tables, record, export, listener)
    entries = tables + (list(_results(run, only_field, fields)) if files or only_field else [])
    about = _about_run(run, dest, listener) if export is not None else []
    entries = [*entries, *about]
    rewrite = _rewriter(export)
    missing = [entry for entry in entries if not record.holds(entry, rewritten=entry.key in rewrite)]
    _refuse_to_overwrite(record, [entry for entry in missing if entry in about])
    listener(DownloadStarted(len(missing), sum(entry.size for entry in missing)))
    record.remove_others({entry.key for entry in tables})
    record.remove_stale(_of_other_runs(run, record, about))
    if missing:
        _fetch_all(run, missing, record, listener, rewrite)
    found = sources(tables, dest)
    paths = {source.name: dest / layout.final(source.name) for source in found}
    if export is not None:
        paths |= _write_export(found, tables, record, export, listener)
    names = {entry.key for entry in about}
    return _report(
        dest,
        paths,
        [entry for entry in entries if entry.key not in names],
        [entry for entry in missing if entry.key not in names],
    )


def _report(folder: Path, tables: dict[str, Path], entries: list[Entry], fetched: list[Entry]) -> DownloadReport:
    return DownloadReport(
        folder=folder,
        tables=tables,
        n_files=len(entries),
        n_bytes=sum(entry.size for entry in entries),
        fetched_files=len(fetched),
        fetched_bytes=sum(entry.size for entry in fetched),
    )


def _check_workbook(
    run: Store, tables: list[Entry], record: DownloadRecord, export: Export, listener: Listener
) -> None:
    """Before anything is fetched, refuse tables larger than a sheet, and say what takes long. Reads footers."""
    import polars as pl

    require_library()
    keys: dict[str, list[str]] = {}
    for entry in sorted(tables, key=lambda entry: entry.key):
        if name := layout.final_name(entry.key):
            keys.setdefault(name, []).append(entry.key)
    cells = 0
    for name, of_table in keys.items():
        frame = run.scan(of_table)
        rows, columns = int(frame.select(pl.len()).collect().item()), len(frame.collect_schema())
        refuse_too_large(name, rows=rows, columns=columns)
        cells += rows * columns
    slow = slow_sentence(cells)
    if slow is not None and not record.holds(_book(export, tables), rewritten=True):
        listener(Notice(slow))


def _book(export: Export, tables: list[Entry]) -> Entry:
    """The workbook of a download, as the record has it."""
    return Entry(export.workbook, 0, etag_of(sorted(tables, key=lambda entry: entry.key)))


def _about_run(run: Store, dest: Path, listener: Listener) -> list[Entry]:
    """What else to fetch, unless the folder must stay one of the user's own."""
    if (why := _why_alone(dest)) is None:
        return list(_about(run))
    listener(Notice(f"manifest, specs and code are left out: {why}; for the whole run give a new folder"))
    return []


def _about(run: Store) -> Iterator[Entry]:
    """The objects that say what the run is: manifest, specs, models, code, and what each generation was made of."""
    for key in (layout.MANIFEST, layout.IO_SPEC, layout.INPUT_ARTIFACTS, layout.SPECS):
        try:
            yield run.stat(key)
        except KeyMissing:  # of scythe-engine, or of an older version
            continue
    yield from (entry for entry in run.list(layout.CONTROL) if layout.is_about_run(entry.key))


def _of_other_runs(run: Store, record: DownloadRecord, about: list[Entry]) -> set[str]:
    """What an earlier download brought to the folder, of another run of the same version, under names of any run."""
    stale = record.keys_below(layout.CONTROL) - {entry.key for entry in about} if about else set[str]()
    if left := record.keys_below(layout.FAILED):
        stale |= left - {entry.key for entry in run.list(layout.FAILED)}
    return stale


def _why_alone(dest: Path) -> str | None:
    """Why a folder cannot get a manifest: it would count as a run, and code in or below it would not be imported."""
    if Path.cwd().is_relative_to(dest):
        return f"{dest} is the current folder, or one above it"
    if next(dest.glob("*.py"), None) is not None:
        return f"{dest} has code of yours"
    return None


def _refuse_to_overwrite(record: DownloadRecord, entries: list[Entry]) -> None:
    """Raise `ConfigError` where a file of the user's own has the name of one that says what the run is."""
    for entry in entries:
        path = record.path(entry.key)
        if not record.knows(entry.key) and path.exists() and path.stat().st_size != entry.size:
            raise ConfigError(f"{path} is there already and is not from a download", hint="choose another folder")


def _rewriter(export: Export | None) -> dict[str, str]:
    """The tables that are not kept as they are, and the run whose addresses in them become relative."""
    return {} if export is None else {layout.final(layout.FILE_REFS): export.run_id}


def _write_export(
    found: list[TableSource], tables: list[Entry], record: DownloadRecord, export: Export, listener: Listener
) -> dict[str, Path]:
    """Write the tables in the format of the export; what is there and up to date stays. Returns the paths by table."""
    by_table = {f"{layout.FINAL}/{source.name}.csv": source.etag for source in found}
    book = _book(export, tables)
    removed = record.remove_outdated({**by_table, book.key: book.etag})
    written = {"csv": set(by_table), "xlsx": {book.key}}.get(export.format, set())
    if gone := sorted(set(removed) - written):
        listener(Notice(f"removed {', '.join(gone)}: made here from other tables than those of now"))
    paths: dict[str, Path] = {}

    def on_rows(n_rows: int) -> None:
        listener(Exported(n_rows))

    listener(ExportStarted(sum(source.rows for source in found) if export.format != "parquet" else 0))
    with record:
        try:
            for source in found if export.format == "csv" else []:
                entry = Entry(f"{layout.FINAL}/{source.name}.csv", 0, source.etag)
                paths[source.name] = record.path(entry.key)
                if record.holds(entry, rewritten=True):
                    on_rows(source.rows)
                else:
                    write_csv(source, paths[source.name], on_rows)
                    record.add(entry, rewritten=True)
            if export.format == "xlsx":
                paths = {source.name: record.path(book.key) for source in found}
                if not record.holds(book, rewritten=True):
                    for sentence in write_workbook(found, record.path(book.key), export.units, on_rows):
                        listener(Notice(sentence))
                    record.add(book, rewritten=True)
        except OSError as exc:
            raise StoreError(f"cannot write {exc.filename or record.folder}: {exc.strerror or exc}") from exc
    return paths


def _how_to_build(run: Store) -> str | None:
    """The command that builds the tables; a run of scythe-engine has no frozen file, and only it can build its own."""
    try:
        run.stat(layout.EXPERIMENT_FILE)
    except KeyMissing:
        return None
    return f"scythe gather {run.address}"


def _results(run: Store, only_field: str | None, fields: Iterable[str]) -> Iterator[Entry]:
    if only_field is None:
        yield from shown_files(run, run.list(layout.RESULTS))
        yield from (entry for entry in run.list(layout.FAILED) if _counts(entry.key))
        return
    known = sorted({*fields, *run.children(layout.RESULTS)})
    if only_field not in known:
        raise NotFoundError(
            f"no output field {only_field!r} has files in {run.address}.{did_you_mean(only_field, known)}"
            f" Fields of files: {', '.join(known) or 'none'}."
        )
    yield from shown_files(run, run.list(f"{layout.RESULTS}/{only_field}"))


def _counts(key: str) -> bool:
    """Whether what a failed spec left is of the attempt that counts: workers write elsewhere."""
    return layout.failed_claim(key.split("/")[1]) is None


def _is_table(key: str) -> bool:
    """A table or a part of one. A key that leads elsewhere is one too: it is refused before it is written."""
    return layout.final_name(key) is not None or key.endswith(layout.TABLE_SUFFIX)


def _fetch_all(
    run: Store, entries: list[Entry], record: DownloadRecord, listener: Listener, rewrite: dict[str, str]
) -> None:
    """Several files at a time. The first failure stops the rest; what has arrived stays."""

    def fetch(entry: Entry) -> None:
        path = record.path(entry.key)
        run.download(entry.key, path, on_bytes=lambda n_bytes: listener(DownloadAdvanced(n_bytes)))
        size = path.stat().st_size
        if size != entry.size:
            path.unlink()
            raise StoreError(
                f"{run.locate(entry.key)} has {size} bytes instead of {entry.size}: it is being changed; "
                "repeat the download"
            )
        if entry.key in rewrite:
            make_relative(path, rewrite[entry.key])
        record.add(entry, rewritten=entry.key in rewrite)

    with record, ThreadPoolExecutor(WORKERS) as pool:
        try:
            for _ in pool.map(fetch, entries):
                pass
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
