"""What the package imports is what pip installs with it: an extra's libraries are imported only where they are used."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

import scythe_cli

ROOT = Path(scythe_cli.__file__).parent
FILES = [path for path in ROOT.rglob("*.py") if "templates" not in path.relative_to(ROOT).parts]
PROJECT = tomllib.loads((ROOT.parent / "pyproject.toml").read_text())["project"]
KNOWN = packages_distributions()
FOREIGN = {"IPython", "distributed", "dask", "joblib", "submitit", "ray", "google"}
"""What is used only in a process of somebody who has it."""


EXACT = {"pydantic_core": "pydantic"}
"""Comes in the one version that another package needs."""


def names(requirements: list[str]) -> set[str]:
    return {re.split(r"[^A-Za-z0-9._-]", one)[0].lower().replace("_", "-") for one in requirements}


def imported(node: ast.AST, *, at_once: bool) -> Iterator[tuple[str, bool]]:
    """The top packages that a module imports, and whether when it is imported itself."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        if isinstance(child, ast.Import):
            yield from ((alias.name.partition(".")[0], at_once) for alias in child.names)
        elif isinstance(child, ast.ImportFrom) and child.module and not child.level:
            yield child.module.partition(".")[0], at_once
        inside = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)
        yield from imported(child, at_once=at_once and not inside)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_what_a_module_imports_is_installed(path: Path) -> None:
    needed = names(PROJECT["dependencies"])
    possible = needed | {name for extra in PROJECT["optional-dependencies"].values() for name in names(extra)}
    for module, at_once in imported(ast.parse(path.read_text(encoding="utf-8")), at_once=True):
        if module in sys.stdlib_module_names or module in {"scythe_cli", *FOREIGN}:
            continue
        of = {name.lower().replace("_", "-") for name in KNOWN.get(EXACT.get(module, module), [module])}
        assert of & (needed if at_once else possible), f"{module} is not in pyproject.toml"
