"""A package imports only packages above it, and no package has a cycle inside; lazy and typing imports count."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path, PurePosixPath

import pytest

import scythe_cli

ROOT = Path(scythe_cli.__file__).parent
PACKAGES = [
    *(
        "errors",
        "core",
        "libraries",
        "session",
        "storage",
        "experiment",
        "columns",
        "designs",
        "spec_table/readers",
        "spec_table",
        "run",
        "reuse",
        "preparation",
        "lane",
        "supervisor",
        "order",
        "final_tables",
        "export",
        "timing",
        "operations",
        "show",
        "failures",
        "report",
    ),
    *(
        "engines/generation",
        "engines/hatchet",
        "engines/hatchet/worker",
        "engines/hatchet/client",
        "engines/shared",
        "engines/slurm",
        "engines",
        "remove",
        "cli",
        "cli/views",
        "cli/allocation",
        "cli/commands",
    ),
    *("__main__", "compat", "notebook", "run_future", "api", "contrib"),
]
"""From the top down. A module of the public face is a package of its own."""

MODULES = {
    path.relative_to(ROOT).with_suffix("").as_posix(): path
    for path in ROOT.rglob("*.py")
    if "templates" not in path.relative_to(ROOT).parts and path.name != "__init__.py"
}


def package(module: str) -> str:
    folder = PurePosixPath(module).parent.as_posix()
    return module if folder == "." else folder


def imports(module: str) -> set[str]:
    """The modules of ours that a module imports anywhere in its text."""
    names = [
        f"{node.module}.{alias.name}".removeprefix("scythe_cli.").replace(".", "/")
        for node in ast.walk(ast.parse(MODULES[module].read_text()))
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "scythe_cli"
        for alias in node.names
    ]
    return {found for name in names for found in (name, name.rpartition("/")[0]) if found in MODULES}


def test_the_list_has_every_package() -> None:
    assert {package(module) for module in MODULES} == set(PACKAGES)


@pytest.mark.parametrize("module", MODULES)
def test_a_package_imports_only_packages_above_it(module: str) -> None:
    place = PACKAGES.index(package(module))
    assert [found for found in sorted(imports(module)) if PACKAGES.index(package(found)) > place] == []


def test_no_package_has_a_cycle() -> None:
    TopologicalSorter({module: imports(module) for module in MODULES}).prepare()


def test_no_folder_has_more_than_seventeen_modules() -> None:
    counts = {name: sum(package(module) == name for module in MODULES) for name in PACKAGES}
    assert {name: count for name, count in counts.items() if count > 17} == {}


def test_init_files_are_empty() -> None:
    assert [path for path in ROOT.glob("*/**/__init__.py") if path.stat().st_size] == []
