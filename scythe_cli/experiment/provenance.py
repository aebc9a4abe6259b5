"""Where a run came from: commit, package versions, machine."""

from __future__ import annotations

import ast
import platform
import subprocess
import sys
from importlib import metadata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from scythe_cli.experiment.experiment import Experiment

_ALWAYS = ("scythe-runner", "pydantic", "pyarrow", "polars")
GIT_SECONDS = 5.0


def python() -> str:
    """The interpreter, as `3.11.7 (CPython, Linux x86_64)`."""
    system = f"{platform.system()} {platform.machine()}"
    return f"{platform.python_version()} ({platform.python_implementation()}, {system})"


def git_commit(folder: Path) -> str | None:
    """The commit of a folder's checkout, followed by `-dirty` when tracked files differ; None outside one."""
    commit = _git(folder, "rev-parse", "HEAD")
    if not commit:
        return None
    return f"{commit}-dirty" if _git(folder, "status", "--porcelain", "--untracked-files=no") else commit


def _git(folder: Path, *args: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *args], capture_output=True, text=True, timeout=GIT_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def packages(experiment: Experiment) -> dict[str, str]:
    """Versions of scythe's own libraries and of the distributions that the experiment's files import."""
    imported: set[str] = set()
    for file in experiment.modules:
        for node in ast.walk(ast.parse(file.read_bytes())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                imported.add(node.module.partition(".")[0])
    own = {name.partition("/")[0].removesuffix(".py") for name in experiment.sources}
    foreign = imported - own - sys.stdlib_module_names - {"scythe_cli"}
    found = {name: version for name in sorted({*_ALWAYS, *foreign}) if (version := _version(name)) is not None}
    found |= _distributions_of({name for name in foreign if name not in found})
    return dict(sorted(found.items()))


def _distributions_of(modules: set[str]) -> dict[str, str]:
    """The distributions that modules of other names come from, `scikit-learn` of `sklearn`, and their versions.

    `metadata.packages_distributions` takes apart the list of files of every distribution. Where there are many, that
    takes longer than all else at the start of a run.
    """
    if not modules:
        return {}
    found = {}
    for distribution in metadata.distributions():
        files = "\n" + (distribution.read_text("RECORD") or distribution.read_text("SOURCES.txt") or "")
        named = (distribution.read_text("top_level.txt") or "").split()
        if modules.intersection(named) or any(f"\n{name}/" in files or f"\n{name}." in files for name in modules):
            found[distribution.metadata["Name"]] = distribution.version
    return found


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
