"""Code that lies in a storage, a run or a download: it is never imported, for others may have written it.

Input: the file of a module. Output: nothing, or one `EntryPointError`.
"""

from __future__ import annotations

from pathlib import Path

from scythe_cli.core import layout
from scythe_cli.errors import EntryPointError

_OF_A_RUN = (layout.CONTROL, layout.IO_SPEC, layout.SPECS, "scatter-gather")
"""Beside the manifest, one of these makes a folder a run."""
_DOWNLOADED = {layout.RESULTS, layout.FINAL, layout.ARTIFACTS, layout.FAILED, layout.CONTROL}
_HINT = "copy it to a folder of your own, read it, and run it from there"


def refuse(file: Path, *, storage: Path | None = None) -> None:
    """Raise when a module's file, or what a link of its name leads to, lies where others may write.

    Args:
        file: the module's file, or the experiment file.
        storage: the folder of the runs, where it is known.

    Raises:
        EntryPointError: it lies in `storage`, in a run's folder, or among downloaded files.
    """
    for path in {file.absolute(), file.resolve()}:
        if storage is not None and path.is_relative_to(storage.resolve()):
            raise _refused(file, f"lies in the storage {storage}")
        for folder in path.parents:
            if _is_download(folder) and path.relative_to(folder).parts[0] in _DOWNLOADED:
                raise _refused(file, f"was downloaded into {folder}")
            if _is_run(folder):
                raise _refused(file, f"lies in the run's folder {folder}")


def _refused(file: Path, why: str) -> EntryPointError:
    return EntryPointError(f"{file} {why}: code is never imported from there, others may have written it", hint=_HINT)


def _is_run(folder: Path) -> bool:
    return (folder / layout.MANIFEST).exists() and any((folder / name).exists() for name in _OF_A_RUN)


def _is_download(folder: Path) -> bool:
    return (folder / layout.DOWNLOAD_RECORD).exists()
