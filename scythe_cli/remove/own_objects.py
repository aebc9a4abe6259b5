"""Which objects below a run's address scythe wrote, in the order in which they are removed.

Input: a run and the listing of its folder. Output: their keys; and the keys of what others put there, which stays.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scythe_cli.core import layout, yaml_document
from scythe_cli.core.layout import Mark
from scythe_cli.errors import ConfigError, KeyMissing, StoreError
from scythe_cli.run.run import spec_id_prefix
from scythe_cli.run.state import list_marks, read_mark
from scythe_cli.storage.artifacts import artifact_key
from scythe_cli.storage.base import PLAN_LIMIT

if TYPE_CHECKING:
    from collections.abc import Iterable

    from scythe_cli.run.run import Run

_BLOCK_OF_SPECS = re.compile(rf"{layout.INPUT}/\d{{1,12}}\.pq")
_PART = re.compile(rf"{layout.OUTPUT}/\d{{1,12}}/(?:([^/]+)/)?g\d+(?:-\d+){{5}}\.pq", re.ASCII)
_CONTROL = re.compile(rf"{layout.CONTROL}/(?:[a-z0-9._-]+/)*[a-zA-Z0-9._-]+\.(?:yml|pq|zip|json)")
_CLAIM = re.compile(rf"{layout.CLAIMS}/\d{{1,9}}/[a-z0-9]+/[^/]+\.yml")
_FAILED = re.compile(rf"{layout.FAILED}/\d{{1,18}}(?:\.\d{{1,9}})?/.+")
_AT_THE_TOP = (layout.EXPERIMENT_FILE, layout.IO_SPEC, layout.INPUT_ARTIFACTS, layout.SPECS)
REMOVED = layout.mark(Mark.REMOVED, 1)
_LAST = (layout.CLAIM, REMOVED, layout.MANIFEST)
"""The mark that the run is being removed stays until the end. The manifest goes last: without it there is no run."""


@dataclass(frozen=True)
class Contents:
    """What is in the folder of a run.

    Attributes:
        bulk: the keys of files, tables and parts.
        rest: the keys of what says what the run is, the manifest last.
        n_bytes: bytes of both.
        foreign: the keys of what others wrote.
    """

    bulk: list[str]
    rest: list[str]
    n_bytes: int
    foreign: list[str]

    @property
    def n_files(self) -> int:
        """Objects that scythe wrote."""
        return len(self.bulk) + len(self.rest)


def contents(run: Run) -> Contents:
    """List a run's folder. Raises `StoreError`."""
    entries = {entry.key: entry.size for entry in run.store.list()}
    result = re.compile(rf"{layout.RESULTS}/[^/]+/{spec_id_prefix(run.id)}-[0-9a-f]{{12}}(?:\.[^/]*)?")
    artifacts = _artifacts(run)
    tables = _tables(run, entries)
    bulk: list[str] = []
    control: list[str] = []
    foreign: list[str] = []
    for key in sorted(entries):
        if key in _LAST or key in _AT_THE_TOP:
            continue
        if _CONTROL.fullmatch(key):
            control.append(key)
        elif (
            any(pattern.fullmatch(key) for pattern in (result, _PART, _BLOCK_OF_SPECS, _CLAIM, _FAILED))
            or layout.attempts_generation(key) is not None
            or layout.is_slurm_file(key)
            or key in artifacts
            or layout.final_name(key) in tables
        ):
            bulk.append(key)
        else:
            foreign.append(key)
    rest = [*control, *(key for key in (*_AT_THE_TOP, *_LAST) if key in entries)]
    # the parts say which tables are ours, so they go after these
    bulk.sort(key=lambda key: key.startswith(f"{layout.OUTPUT}/"))
    return Contents(bulk, rest, sum(entries[key] for key in (*bulk, *rest)), foreign)


def _artifacts(run: Run) -> set[str]:
    """The keys of the run's own copies of input files."""
    try:
        text = run.store.read(layout.INPUT_ARTIFACTS, limit=PLAN_LIMIT).decode(errors="replace")
        files = yaml_document.read(text, layout.INPUT_ARTIFACTS).data.get("files") or {}
    except (KeyMissing, ConfigError):
        return set()
    addresses = [str(address) for listed in files.values() for address in listed or []]
    return {key for address in addresses if (key := artifact_key(address, run.id)) is not None}


def _tables(run: Run, keys: Iterable[str]) -> set[str | None]:
    """The names of the run's tables: the usual ones, those of a gather, and the frames that parts have."""
    found: set[str | None] = {*layout.RESERVED_FRAMES, f"{layout.EXECUTION}_"}
    found |= {part[1] for key in keys if (part := _PART.fullmatch(key)) and part[1]}
    for number in list_marks(run.store).get(Mark.GATHERED, []):
        try:
            found |= {*(read_mark(run.store, Mark.GATHERED, number) or {"tables": []})["tables"]}
        except StoreError:  # it cannot be read, and then it names nothing
            continue
    return found
