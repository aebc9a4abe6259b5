"""The input files of a spec.

Input: a spec whose file fields hold addresses. Output: local paths in them, fetched once per machine.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from scythe_cli.errors import InputFileError
from scythe_cli.storage import artifacts, references
from scythe_cli.storage.address import is_remote

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scythe_cli.storage.base import Store

KEPT = 4096
"""Fetched files a lane keeps in use at a time."""


class Inputs:
    """Fetches what the specs of one run refer to.

    Args:
        run: the store, rooted at the run.
        experiment_id: identifies the run's own artifacts, also if the run has moved since their addresses were written.
        copied: give each spec its own copy, in its temporary folder.
    """

    def __init__(self, run: Store, experiment_id: str, *, copied: bool) -> None:
        self._run = run
        self._experiment_id = experiment_id
        self._copied = copied
        self._paths: dict[str, Path] = {}

    def resolve(self, spec: Any, fields: Sequence[str], tempdir: Path) -> None:
        """Put local paths into a spec's file fields.

        Raises:
            InputFileError: a file does not exist or cannot be read.
            StoreError: its server is unavailable, fails or refuses.
        """
        for name in fields:
            value = spec.__dict__.get(name)
            if value is not None:
                path = self._local(str(value))
                spec.__dict__[name] = references.copy_to(path, tempdir) if self._copied else path

    def _local(self, address: str) -> Path:
        path = self._paths.get(address)
        if path is None:
            if len(self._paths) >= KEPT:
                self._paths.clear()
                references.release()
            path = self._paths[address] = self._fetch(address)
        return path

    def _fetch(self, address: str) -> Path:
        """An artifact of the run, or a remote file. Whoever writes to the storage may name any other file here."""
        key = artifacts.artifact_key(address, self._experiment_id)
        if key is not None:
            return artifacts.fetch_artifact(self._run, key)
        if not is_remote(address):
            raise InputFileError(f"{address} is neither an input file of this run nor a remote address")
        return references.fetch(address)
