"""From "module:function" to the object it names, imported from the experiment file's folder and from nowhere else.

Input: the target as experiment.yml spells it, and the folder. Output: the imported object, its file, and the folders
its modules are found in. A module of the same name that was imported from another folder is not mistaken for it.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import os
import re
import signal
import sys
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.machinery import PathFinder
from pathlib import Path
from traceback import StackSummary, TracebackException
from typing import TYPE_CHECKING

from scythe_cli.core import extras, library_names, package, signals
from scythe_cli.errors import EntryPointError, ScytheError, did_you_mean
from scythe_cli.experiment import source_files, stored_code
from scythe_cli.experiment.source_files import is_library
from scythe_cli.libraries.fresh_source import FreshSource

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

_INIT = "__init__.py"
_importing = 0


@dataclass(frozen=True)
class ImportedObject:
    """An imported object.

    Attributes:
        value: what `module` has under `name`.
        file: the module's file.
        folders: where the user's modules are found, absolute: first the one the module was imported from.
    """

    module: ModuleType
    name: str
    value: object
    file: Path
    folders: tuple[Path, ...]


@dataclass(frozen=True)
class _ModuleFile:
    """A module's file before it is imported: its dotted name, and the folder that makes the name true."""

    file: Path
    name: str
    root: Path


def resolve(target: str, folder: Path, *, place: str | None = None) -> ImportedObject:
    """Import what a target names.

    Args:
        target: module:function, or path/to/file.py:function.
        folder: the experiment file's folder.
        place: where the target was written, for messages.

    Raises:
        EntryPointError: no such module, file or function, or the module fails at import.
    """
    place, folder = place or target, folder.absolute()
    where, name = _split(target, place)
    module, folders = import_module(where, folder, place=place)
    if name not in vars(module):
        raise _missing_name(place, module, name)
    return ImportedObject(module, name, vars(module)[name], Path(str(module.__file__)), folders)


def import_module(where: str, folder: Path, *, place: str) -> tuple[ModuleType, tuple[Path, ...]]:
    """Import a module by name or file; also returns the folders its own imports are found in.

    Raises:
        EntryPointError: it does not exist, or it fails at import.
    """
    found = _by_file(where, folder, place) if _is_file(where) else _by_name(where, folder)
    if found is not None:
        stored_code.refuse(found.file)
        _refuse_hiding_files(found, tuple(dict.fromkeys([found.root, folder])), place)
    folders = tuple(dict.fromkeys([found.root, folder] if found else [folder]))
    with _undo_ignored_signals(), _first_on_path(folders), _as_entry_point_errors(place, where, folders):
        missing = found is None and _is_missing(where)
        module = None if missing else _import_at(found, folders) if found else importlib.import_module(where)
    if module is None:
        raise _missing_module(place, where, folder)
    if _file(module) is None:
        raise EntryPointError(f"{place}  {where!r} has no Python file of its own; name a module that has")
    return module, folders


def _refuse_hiding_files(found: _ModuleFile, folders: tuple[Path, ...], place: str) -> None:
    """A file of the user's under the name of a library hides the library from everything that imports it."""
    own = found.name.partition(".")[0]
    imported = {own: found.file.name, **source_files.imported_names(found.file, folders)}
    for name, importer in imported.items():
        if library_names.is_taken(name):
            for file in (path for folder in folders for path in (folder / f"{name}.py", folder / name / _INIT)):
                if file.is_file() and not is_library(file):
                    raise EntryPointError(
                        f"{place}  {file} hides Python's or a library's own module {name!r}, which {importer} imports",
                        hint=f"rename {file.name if file.name != _INIT else file.parent.name}",
                    )


def locate(target: str, folder: Path, *, place: str | None = None) -> tuple[Path, tuple[Path, ...]]:
    """The file that `resolve` would import a target from, and the folders. Imports nothing.

    Raises:
        EntryPointError: there is no such module or file.
    """
    place, folder = place or target, folder.absolute()
    where, _ = _split(target, place)
    found = _by_file(where, folder, place) if _is_file(where) else _by_name(where, folder)
    if found is not None:
        stored_code.refuse(found.file)
        return found.file, tuple(dict.fromkeys([found.root, folder]))
    file = _installed(where)
    if file is None:
        raise _missing_module(place, where, folder)
    return file, (folder,)


def _split(target: str, place: str) -> tuple[str, str]:
    where, colon, name = target.rpartition(":")
    if not colon or not where or not name:
        raise EntryPointError(f"{place}  {target!r} must be module:function or path/to/file.py:function")
    return where, name


def _is_file(where: str) -> bool:
    return where.endswith((".py", ".ipynb")) or "/" in where


def _installed(where: str) -> Path | None:
    """The file of an installed module, found without importing the packages above it."""
    parts = where.split(".")
    if not all(part.isidentifier() for part in parts):
        return None
    spec = importlib.util.find_spec(parts[0])
    for end in range(2, len(parts) + 1):
        if spec is None or spec.submodule_search_locations is None:
            return None
        spec = PathFinder.find_spec(".".join(parts[:end]), list(spec.submodule_search_locations))
    return Path(spec.origin) if spec is not None and spec.origin and spec.has_location else None


def is_importing() -> bool:
    """Whether a user's module is being imported here: then it must not start runs."""
    return _importing > 0


def root_of(name: str, file: Path) -> Path | None:
    """The folder from which `import name` gives this file, or None when the name is not the file's."""
    pieces = file.parent.parts if file.name == _INIT else (*file.parent.parts, file.stem)
    parts = tuple(name.split("."))
    return Path(*pieces[: -len(parts)]) if pieces[-len(parts) :] == parts else None


def _by_file(where: str, folder: Path, place: str) -> _ModuleFile:
    file = Path(os.path.abspath(folder / Path(where).expanduser()))  # noqa: PTH100 - drops "..", keeps symbolic links
    if file.suffix != ".py":
        hint = "put the function into a .py file next to the notebook" if file.suffix == ".ipynb" else None
        raise EntryPointError(f"{place}  {where!r} must be a module's name or a .py file", hint=hint)
    if not file.is_file():
        near = did_you_mean(file.name, [other.name for other in file.parent.glob("*.py")])
        raise EntryPointError(f"{place}  there is no file {file}.{near}")
    parts, root = [] if file.name == _INIT else [file.stem], file.parent
    while (root / _INIT).is_file():
        parts.insert(0, root.name)
        root = root.parent
    return _ModuleFile(file, ".".join(parts), root)


def _by_name(where: str, folder: Path) -> _ModuleFile | None:
    path = folder.joinpath(*where.split("."))
    for file in (path / _INIT, path.with_name(f"{path.name}.py")):
        if file.is_file():
            return _ModuleFile(file, where, folder)
    return None


def _is_missing(where: str) -> bool:
    """Whether neither the folder nor Python's path has the module. Imports its packages to look into them."""
    parts = where.split(".")
    if not all(part.isidentifier() for part in parts):
        return True
    for end in range(1, len(parts) + 1):
        name = ".".join(parts[:end])
        try:
            if name not in sys.modules and importlib.util.find_spec(name) is None:
                return True
        except ModuleNotFoundError as exc:
            if exc.name != name:  # a package above it is there and its own imports fail
                raise
            return True
    return False


def _import_at(place: _ModuleFile, folders: tuple[Path, ...]) -> ModuleType:
    _drop_modules_of_other_folders(folders)
    importlib.invalidate_caches()
    top = place.name.partition(".")[0]
    known = sys.modules.get(top)
    usual = all(part.isidentifier() for part in place.name.split(".")) and not (
        known is not None and _is_of_another_folder(known, place.root, top)
    )
    return importlib.import_module(place.name) if usual else _import_alias(place.file)


def _import_alias(file: Path) -> ModuleType:
    """Import a file whose own name cannot be a module's, or is taken by Python's library."""
    mark = hashlib.sha256(str(file).encode()).hexdigest()[:8]
    alias = re.sub(r"\W", "_", f"_{file.parent.name if file.name == _INIT else file.stem}_{mark}")
    if alias in sys.modules:
        return sys.modules[alias]
    inner = [str(file.parent)] if file.name == _INIT else None
    spec = importlib.util.spec_from_file_location(alias, file, submodule_search_locations=inner)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} is not a Python module")
    module = sys.modules[alias] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[alias]
        raise
    return module


def _drop_modules_of_other_folders(folders: tuple[Path, ...]) -> None:
    """Drop modules of other folders that bear the names of modules in these; installed packages stay as they are."""
    for folder in reversed(folders):
        files = {file.stem for file in folder.glob("*.py")} | {init.parent.name for init in folder.glob(f"*/{_INIT}")}
        for name in files & set(sys.modules) - {"__main__"}:
            file = _file(sys.modules[name])
            if file and not is_library(file) and _is_of_another_folder(sys.modules[name], folder, name):
                for known in [known for known in sys.modules if known == name or known.startswith(f"{name}.")]:
                    del sys.modules[known]


def _is_of_another_folder(module: ModuleType, folder: Path, name: str) -> bool:
    file = _file(module)
    if file is None:
        return str(folder / name) not in getattr(module, "__path__", [])
    return file not in {path.resolve() for path in (folder / f"{name}.py", folder / name / _INIT)}


def _file(module: ModuleType) -> Path | None:
    file = getattr(module, "__file__", None)  # built-in modules have none
    return Path(file).resolve() if file else None


@contextmanager
def _first_on_path(folders: tuple[Path, ...]) -> Iterator[None]:
    """Put the folders first while importing, then last: functions import siblings later, but shadow no library then."""
    global _importing  # noqa: PLW0603 - one process imports one experiment at a time
    places = [str(folder) for folder in folders]
    sys.path[:0] = places
    _importing += 1
    try:
        with library_names.libraries_first(places), library_names.asked_before_path(FreshSource(places)):
            yield
    finally:
        _importing -= 1
        for place in places:
            sys.path.remove(place)
        sys.path += [place for place in places if place not in sys.path]


@contextmanager
def _undo_ignored_signals() -> Iterator[None]:
    """Receive stop signals and SIGCHLD again after an import, though the imported module blocks or ignores them."""
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    before = {number: signal.getsignal(number) for number in (*signals.stop_signals_not_ignored(), signal.SIGCHLD)}
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        for number, handler in before.items():
            if signal.getsignal(number) is signal.SIG_IGN and threading.current_thread() is threading.main_thread():
                signal.signal(number, handler)


@contextmanager
def _as_entry_point_errors(place: str, where: str, folders: tuple[Path, ...]) -> Iterator[None]:
    try:
        yield
    except SystemExit as exc:
        text = f"{place}  {where} ends the process when it is imported:\n{_user_frames(exc, folders)}"
        raise EntryPointError(text, hint='put what a script does under `if __name__ == "__main__":`') from exc
    except Exception as exc:  # importing runs the user's code, which may raise anything
        library = (exc.name or "").partition(".")[0] if isinstance(exc, ModuleNotFoundError) else ""
        if sentence := extras.missing(library, where):
            raise EntryPointError(f"{place}  {sentence}") from exc
        hint = exc.hint if isinstance(exc, ScytheError) else None
        raise EntryPointError(f"{place}  {where} cannot be imported:\n{_user_frames(exc, folders)}", hint=hint) from exc


def _user_frames(exc: BaseException, folders: tuple[Path, ...]) -> str:
    """The traceback of an exception, the user's frames alone."""
    trace = TracebackException.from_exception(exc)
    frames = [frame for frame in trace.stack if _is_users(frame.filename, folders)]
    lines = StackSummary.from_list(frames).format() + list(trace.format_exception_only())
    return "".join(lines).rstrip()


def _is_users(filename: str, folders: tuple[Path, ...]) -> bool:
    file = Path(filename)
    if filename.startswith("<") or is_library(file.resolve()):
        return False
    return not file.is_relative_to(package.ROOT) or any(file.is_relative_to(folder) for folder in folders)


def _missing_module(place: str, where: str, folder: Path) -> EntryPointError:
    top, _, below = where.rpartition(".")
    parent = sys.modules.get(top)
    if top and parent is not None:
        inside = [Path(path) for path in getattr(parent, "__path__", [])]
        near = did_you_mean(below, [file.stem for path in inside for file in path.glob("*.py")])
        searched = ", ".join(map(str, inside)) or f"{top}, which is not a package"
        return EntryPointError(f"{place}  there is no module {below!r} in {searched}.{near}")
    near = did_you_mean(where, [file.stem for file in folder.glob("*.py")])
    file = where.replace(".", "/")
    return EntryPointError(
        f"{place}  there is no module {where!r}: no {file}.py or {file}/{_INIT} in {folder}, and none installed in "
        f"{sys.prefix}.{near}"
    )


def _missing_name(place: str, module: ModuleType, name: str) -> EntryPointError:
    own = [key for key, value in vars(module).items() if callable(value) and _is_own(value, module) and key[0] != "_"]
    has = f"it has {', '.join(own[:8])}" if own else "it defines no function"
    return EntryPointError(
        f"{place}  there is no function {name!r} in {module.__file__}.{did_you_mean(name, own)}", hint=has
    )


def _is_own(value: object, module: ModuleType) -> bool:
    return getattr(value, "__module__", "") == module.__name__
