"""The user's own source files: which modules an experiment is made of, and one hash over them.

Input: the experiment's module and the folders it is imported from. Output: relative names and contents, found by
reading `import` statements, never by importing. The same on every machine: absolute paths and installed packages do not
count.
"""

from __future__ import annotations

import ast
import hashlib
import re
import sysconfig
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from scythe_cli.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

_INIT = "__init__.py"
_FILE = re.compile(r"[^\0\n*]{0,150}[^*./\\\0\n]\.\w{1,10}|[^\0\n*]{1,100}/[^\0\n/]{0,50}\*\.\w{1,10}")
"""What may be the path of a file, with a suffix; `*.json` only within a folder."""
Parts = tuple[str, ...]
"""A module's dotted name in pieces."""


def source_files(module: Path, folders: Sequence[Path]) -> dict[str, Path]:
    """The module's file and each of the user's files that it imports, directly or not, by name relative to its folder.

    Args:
        module: the experiment's own file.
        folders: where the user's modules are found, first come first served.
    """
    package = _relative(module, folders)[0] if is_library(module) else None
    found: dict[str, Path] = {}
    waiting = [module, *_files(_module_parts(module, folders), folders)]
    while waiting:
        file = waiting.pop()
        parts = _relative(file, folders)
        name = "/".join(parts)
        if name in found or (package is not None and parts[0] != package) or (package is None and is_library(file)):
            continue
        found[name] = file
        for imported in _imports(file, _package(parts)):
            waiting += _files(imported, folders)
    return dict(sorted(found.items()))


def included_files(patterns: Iterable[str], folders: Sequence[Path]) -> dict[str, Path]:
    """The files that patterns name, by name relative to the first folder that has any.

    Args:
        patterns: relative paths, with `*` and `**`.
        folders: where they are looked for, first come first served.

    Raises:
        ConfigError: a pattern names no file, or leads out of the folders.
    """
    found: dict[str, Path] = {}
    for pattern in patterns:
        if Path(pattern).is_absolute() or ".." in Path(pattern).parts or not pattern.strip():
            raise ConfigError(f"code.include has {pattern!r}: must be a path from the experiment file's folder")
        for folder in dict.fromkeys(folders):
            if files := [path for path in sorted(folder.glob(pattern)) if path.is_file()]:
                found |= {path.relative_to(folder).as_posix(): path for path in files}
                break
        else:
            raise ConfigError(f"code.include has {pattern!r}, and {folders[0]} has no such file")
    return found


def named_files(sources: Iterable[Path], folder: Path) -> list[str]:
    """The paths and patterns in the text of sources that name files below a folder: what `code.include` may list."""
    found = set()
    for source in sources:
        for node in ast.walk(ast.parse(source.read_bytes())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and _FILE.fullmatch(node.value):
                path = Path(node.value)
                leads_out = path.is_absolute() or ".." in path.parts
                if not leads_out and any(one.is_file() and one.suffix != ".py" for one in folder.glob(node.value)):
                    found.add(path.as_posix())
    return sorted(found)


def source_hash(files: Mapping[str, Path]) -> str:
    """SHA-256 in hex over names and contents; ends of lines do not count."""
    digest = hashlib.sha256()
    for name, file in files.items():
        content = file.read_bytes().replace(b"\r\n", b"\n")
        digest.update(f"{name}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def imported_names(module: Path, folders: Sequence[Path]) -> dict[str, str]:
    """The top-level names that the user's files import, each with the name of the first file that does."""
    found: dict[str, str] = {}
    for name, file in source_files(module, folders).items():
        for imported in _imports(file, _package(_relative(file, folders))):
            if imported:
                found.setdefault(imported[0], name)
    return found


def unguarded(file: Path, line: int) -> bool:
    """Whether a line of a script is run when the script is imported: it is not under `if __name__ == "__main__":`."""
    for statement in ast.parse(file.read_bytes()).body:
        if statement.lineno <= line <= (statement.end_lineno or statement.lineno):
            return not (isinstance(statement, ast.If) and _is_guard(statement.test))
    return False


def is_library(file: Path) -> bool:
    """Whether a file belongs to Python or an installed package, not to the user."""
    return any(part in {"site-packages", "dist-packages"} for part in file.parts) or any(
        file.is_relative_to(folder) for folder in _python_folders()
    )


@lru_cache
def _python_folders() -> tuple[Path, ...]:
    paths = sysconfig.get_paths()
    return tuple({Path(paths[kind]).resolve() for kind in ("stdlib", "platstdlib")})


def _relative(file: Path, folders: Sequence[Path]) -> Parts:
    for folder in folders:
        if file.is_relative_to(folder):
            return file.relative_to(folder).parts
    return (file.name,)


def _module_parts(file: Path, folders: Sequence[Path]) -> Parts:
    *parents, name = _relative(file, folders)
    return tuple(parents) if name == _INIT else (*parents, Path(name).stem)


def _package(relative: Parts) -> Parts:
    return relative[:-1]


def _imports(file: Path, package: Parts) -> Iterator[Parts]:
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):  # a file that only some branch would import: it counts, what it imports does not
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (tuple(alias.name.split(".")) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: max(0, len(package) - node.level + 1)] if node.level else ()
            base = above + (tuple(node.module.split(".")) if node.module else ())
            yield base
            yield from ((*base, alias.name) for alias in node.names)


def _files(parts: Parts, folders: Sequence[Path]) -> list[Path]:
    """The files that importing a module runs: its packages' and its own. Empty when it is not the user's."""
    for folder in folders:
        if not parts or not ((folder / parts[0]).is_dir() or (folder / f"{parts[0]}.py").is_file()):
            continue
        packages = [folder.joinpath(*parts[:end], _INIT) for end in range(1, len(parts) + 1)]
        candidates = [*packages, folder.joinpath(*parts[:-1], f"{parts[-1]}.py")]
        return [file for file in candidates if file.is_file()]
    return []


def guarded_names(file: Path) -> dict[str, int]:
    """What a script defines under `if __name__ == "__main__":` and nowhere else at its top level, and in which line."""
    guarded: dict[str, int] = {}
    outside: set[str] = set()
    for statement in ast.parse(file.read_bytes()).body:
        if isinstance(statement, ast.If) and _is_guard(statement.test):
            guarded |= {name: line for one in statement.body for name, line in _defined(one)}
        else:
            outside |= {name for name, _ in _defined(statement)}
    return {name: line for name, line in guarded.items() if name not in outside}


def _is_guard(test: ast.expr) -> bool:
    return ast.unparse(test) in {"__name__ == '__main__'", "'__main__' == __name__"}


def _defined(statement: ast.stmt) -> Iterator[tuple[str, int]]:
    for node in ast.walk(statement):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name, node.lineno
        elif isinstance(node, ast.alias):
            yield (node.asname or node.name).partition(".")[0], node.lineno
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id, node.lineno
