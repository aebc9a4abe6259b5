"""Names of modules that belong to Python and to the libraries that scythe is made of.

Input: the name of a module. Output: whether a file of the user's under this name would hide it from the libraries.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from importlib.machinery import PathFinder
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager
    from importlib.machinery import ModuleSpec

    from _typeshed.importlib import MetaPathFinderProtocol

LIBRARIES = frozenset(
    {
        *(
            "boto3",
            "botocore",
            "filelock",
            "grpc",
            "hatchet_sdk",
            "numpy",
            "obstore",
            "openpyxl",
            "pandas",
            "platformdirs",
        ),
        *("polars", "psutil", "pyarrow", "pydantic", "pydantic_core", "rich", "ruamel", "SALib", "scipy", "scythe_cli"),
        *("typer", "typing_extensions", "urllib3"),
    }
)
"""What the package imports, besides Python's own modules."""


def is_taken(name: str) -> bool:
    """Whether a module's name belongs to Python or to a library of ours."""
    return name in sys.stdlib_module_names or name in LIBRARIES


def hidden_library(folder: str) -> Path | None:
    """A file or package of a folder that hides a library of ours from this process, or would once it is imported."""
    for name in sorted(LIBRARIES):
        for path in (Path(folder, f"{name}.py"), Path(folder, name, "__init__.py")):
            loaded = getattr(sys.modules.get(name), "__file__", None)
            if path.is_file() and (name not in sys.modules or (loaded and Path(loaded) == path)):
                return path
    return None


def libraries_first(folders: Sequence[str]) -> AbstractContextManager[None]:
    """Import taken names from where they belong, although the user's folders are first on the path."""
    return asked_before_path(_LibrariesFirst(folders))


@contextmanager
def asked_before_path(finder: MetaPathFinderProtocol) -> Iterator[None]:
    """Have a finder of modules asked right before the one that looks along the path.

    Those before it do something when a library is imported.
    """
    sys.meta_path.insert(sys.meta_path.index(PathFinder), finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


class _LibrariesFirst:
    def __init__(self, folders: Sequence[str]) -> None:
        self._folders = {*folders, ""}

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: object = None) -> ModuleSpec | None:  # noqa: ARG002 - Python's protocol
        if path is not None or not is_taken(name):
            return None
        return PathFinder.find_spec(name, [place for place in sys.path if place not in self._folders])
