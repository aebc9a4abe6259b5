"""Keeps Python from running an older text of a file of the user's than the one whose hash the run has.

Python keeps the compiled code of a module, and takes it for that of any text of the same size and the same second. A
file that was changed within the second in which it was compiled is compiled again here.
"""

from __future__ import annotations

import os
from importlib.machinery import PathFinder, SourceFileLoader
from importlib.util import cache_from_source
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec


class FreshSource:
    """A finder for `sys.meta_path`, right before Python's own.

    Args:
        folders: where the user's modules are.
    """

    def __init__(self, folders: Sequence[str]) -> None:
        self._folders = [*folders]
        self._inside = tuple(os.path.join(folder, "") for folder in folders)  # noqa: PTH118 - text is compared

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: object = None) -> ModuleSpec | None:
        """Python's own spec of a module of the user's, which reads no compiled code that may be of an older text."""
        places = self._folders if path is None else [place for place in path if place.startswith(self._inside)]
        spec = PathFinder.find_spec(name, places, target)  # type: ignore[arg-type]  # typeshed wants a module
        if spec is None or type(spec.loader) is not SourceFileLoader or spec.origin is None:
            return None
        if not _may_be_older(spec.origin):
            return None
        spec.loader = _FromText(spec.name, spec.origin)
        return spec


def _may_be_older(file: str) -> bool:
    """Whether compiled code was written before the second was over in which its file was."""
    try:
        compiled = os.stat(cache_from_source(file)).st_mtime  # noqa: PTH116 - once for each module
        return int(compiled) <= int(os.stat(file).st_mtime)  # noqa: PTH116 - the same
    except (OSError, NotImplementedError):
        return False  # nothing is compiled


class _FromText(SourceFileLoader):
    """Compiles the text, and keeps nothing: what it kept would be as doubtful."""

    def path_stats(self, path: str) -> dict[str, int]:
        """Refuse: then Python looks for no compiled code."""
        raise OSError(path)
