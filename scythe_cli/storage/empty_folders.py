"""Folders without objects: a bucket has none, so they mean nothing, and are removed where they are in the way.

Input: a folder. Output: it does not exist any more, if nothing was in it but half-written files of killed writers.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from scythe_cli.storage.base import PARTIAL

if TYPE_CHECKING:
    from collections.abc import Iterable


def clear_folder(path: Path) -> None:
    """Remove a folder without objects that stands where one is written: other stores have no such folders."""
    if path.is_dir() and not path.is_symlink():
        left = list(path.iterdir())
        if all(file.name.startswith(PARTIAL) for file in left):  # of a writer that was killed
            for file in left:
                file.unlink(missing_ok=True)
            path.rmdir()


def remove_empty_folders(top: str | Path, names: Iterable[str] = ()) -> None:
    """Remove a folder if nothing is in it, after the empty folders at any depth below those of its children.

    Args:
        top: the folder.
        names: the children; what else is in the folder is not looked into.
    """
    root = Path(top)
    for name in names:
        for folder, _, _ in os.walk(root / name, topdown=False):
            _remove_if_empty(Path(folder))
    _remove_if_empty(root)


def _remove_if_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):  # something was put there meanwhile, or it may not be removed
        clear_folder(folder)
