"""What the user's modules were like when this process imported them.

Input: modules, as they are imported and when a run begins. Output: the files that have changed since. A run imports its
modules afresh; a process that holds older ones would check its specs with other models than those that run.
"""

from __future__ import annotations

import hashlib
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import ModuleType


@dataclass(frozen=True)
class _SeenModule:
    """A module as it was when it was looked at first.

    Attributes:
        spec: its import specification: a reload gives it another one.
        digest: hash of its file.
    """

    spec: Any
    digest: str


_LIBRARIES = "-packages/"
"""In the paths of installed packages, which may be below the user's folder."""
_seen: dict[str, _SeenModule] = {}
_reloaded: set[str] = set()


def remember(name: str) -> None:
    """Note a module that is being imported, and those of its folder that were imported before it.

    Costs a dictionary's look-up when nothing is new.
    """
    module = sys.modules.get(name)
    file = getattr(module, "__file__", None)  # built-in modules and those of a notebook have none
    if module is None or file is None or _is_known(module, name):
        return
    folder = str(Path(file).parent)
    for other, one in list(sys.modules.items()):
        path = getattr(one, "__file__", None)  # a lazy module of a library may lack it
        own = isinstance(path, str) and path.startswith(folder) and path.endswith(".py") and _LIBRARIES not in path
        if own and not _is_known(one, other):
            _note(one, other, str(path))


def changed_modules(files: Iterable[Path]) -> dict[str, str]:
    """The modules of these files that were imported here and whose file differs from what was imported.

    Returns:
        The name of the file by the name of the module.
    """
    wanted = {str(file.resolve()): file for file in files}
    found = {}
    for name, module, path in _modules_of(wanted):
        if not _is_known(module, name):  # imported or reloaded since: this is how it is now
            _note(module, name, str(path))
        elif _digest(str(path)) != _seen[name].digest:
            found[name] = path.name
    return found


def was_reloaded(name: str) -> bool:
    """Whether a module was reloaded since it was first imported: what was taken from it before is old."""
    return name in _reloaded


def _modules_of(files: dict[str, Path]) -> Iterator[tuple[str, ModuleType, Path]]:
    names = {Path(path).name for path in files}
    for name, module in list(sys.modules.items()):
        path = getattr(module, "__file__", None)  # a lazy module of a library may lack it
        if isinstance(path, str) and Path(path).name in names and name != "__main__":
            resolved = str(Path(path).resolve())
            if resolved in files:
                yield name, module, files[resolved]


def _is_known(module: ModuleType, name: str) -> bool:
    known = _seen.get(name)
    return known is not None and known.spec is module.__spec__


def _note(module: ModuleType, name: str, path: str) -> None:
    if name in _seen and name not in _reloaded:
        _reloaded.add(name)
    with suppress(OSError):
        _seen[name] = _SeenModule(module.__spec__, _digest(path))


def _digest(path: str) -> str:
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()
    except OSError:  # it was removed
        return ""
