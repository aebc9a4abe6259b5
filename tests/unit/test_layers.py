"""Imports go up one list: what a module needs stands above it. And each heavy library has its homes."""

import ast
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

import scythe_cli

ROOT = Path(scythe_cli.__file__).parent
GROUPS = {
    "words and numbers": "clocks errors events layout quantities wire processes hangup yamlfile rules usercode entry",
    "the visible tables, which import in their branches": "stores/base backends",
    "the experiment": "specs workflows registry signature experiment provenance",
    "its settings": "experimentfile origins config",
    "its files and table": "anatomy schema rows columns texts csvfile jsonfile cache web files sources "
    "spill cells hooked report addresses header table",
    "the run": "tree engines/base run outcomes kinds frames seals parts spectable changes winners ledger lease",
    "the lane": "inputs outputs kernelstate sanity leaf forkserver",
    "the supervisor": "scratch take printed lanehandle death serverhandle pool runwork backlog watch blame supervisor",
    "the verbs": "status final stretches gather download cancel underway inline allocate",
    "the stores": "stores/disk stores/local stores/bucket stores/s3",
    "the local engine": "engines/local",
    "the Hatchet engine": "engines/plan engines/lost engines/progress engines/embedded engines/hatchet_config "
    "engines/hatchet lanes engines/hatchet_tasks engines/hatchet_leaf engines/hatchet_root "
    "engines/hatchet_workflows worker",
    "what uses all of it": "estimate documents schemas starter",
    "the doors": "cli/words cli/ui original ref api "
    "cli/options cli/alone cli/forecast cli/resume "
    "cli/init cli/allocate cli/status cli/gather cli/download cli/cancel cli/worker cli/app",
}
"""The one list, in the order of imports; CONTRIBUTING.md says what each module is."""

ORDER = [name for names in GROUPS.values() for name in names.split()]

BELOW = {
    ("specs", "files"): "`fetch_uri` is a method of the input model, and models stand above all that reads files",
    ("underway", "engines/hatchet"): "an engine is asked only where the manifest names one",
    ("engines/hatchet", "engines/hatchet_tasks"): "the client starts the root by the name that its task declares",
    ("engines/hatchet_tasks", "engines/hatchet_leaf"): "declarations name the bodies, imported when one runs",
    ("engines/hatchet_tasks", "engines/hatchet_root"): "the same",
}
"""Imports that go down the list, inside a function, and why."""

HOMES = {
    "boto3": {"stores/bucket"},
    "botocore": {"stores/bucket"},
    "obstore": {"stores/bucket", "stores/s3"},
    "hatchet_sdk": {
        *("engines/hatchet", "engines/hatchet_tasks", "engines/hatchet_config", "engines/embedded", "worker"),
        *("engines/hatchet_leaf", "engines/hatchet_root"),
    },
    "psutil": {"processes"},
    "rich": {"cli/ui", "cli/words"},
    "typer": {name for name in ORDER if name.startswith("cli/")},
    "ruamel": {"yamlfile"},
    "pandas": {"specs"},
}
"""The only modules that import a library."""


class Import(NamedTuple):
    """One import statement's target: a module of ours, or the top name of a library."""

    module: str
    target: str
    level: str
    """top, typing or function."""


def modules() -> dict[str, Path]:
    paths = {path.relative_to(ROOT).with_suffix("").as_posix(): path for path in ROOT.rglob("*.py")}
    return {
        name: path for name, path in paths.items() if not name.startswith("templates/") and path.name != "__init__.py"
    }


MODULES = modules()


def imports(module: str) -> list[Import]:
    found: list[Import] = []

    def walk(node: ast.AST, level: str) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import | ast.ImportFrom):
                found.extend(Import(module, target, level) for target in targets(child))
            inside = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)
            typing = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)
            walk(child, "function" if inside else "typing" if typing else level)

    walk(ast.parse(MODULES[module].read_text()), "top")
    return found


def targets(node: ast.Import | ast.ImportFrom) -> list[str]:
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    else:
        names = [f"{node.module}.{alias.name}" for alias in node.names]
    found = []
    for name in names:
        package, _, rest = name.partition(".")
        if package != "scythe_cli":
            found.append(package)
            continue
        path = rest.replace(".", "/")
        found.append(path if path in MODULES else path.rpartition("/")[0])
    return [target for target in found if target]


IMPORTS = [one for module in MODULES for one in imports(module)]


def test_the_list_has_every_module() -> None:
    assert sorted(ORDER) == sorted(MODULES)


@pytest.mark.parametrize("module", ORDER)
def test_imports_go_up(module: str) -> None:
    place = {name: at for at, name in enumerate(ORDER)}
    down = {
        (one.module, one.target): one.level
        for one in imports(module)
        if one.target in place and place[one.target] > place[module]
    }
    unexplained = {
        pair: level
        for pair, level in down.items()
        if level != "typing" and not (level == "function" and (pair in BELOW or module == "backends"))
    }
    assert not unexplained, f"{module} imports what stands below it in the list: {unexplained}"


def test_no_exception_is_left_over() -> None:
    used = {(one.module, one.target) for one in IMPORTS if one.level != "typing"}
    assert set(BELOW) <= used


@pytest.mark.parametrize("library", HOMES)
def test_libraries_stay_at_home(library: str) -> None:
    at = {one.module for one in IMPORTS if one.target == library}
    assert at <= HOMES[library]


def test_no_module_reads_tables_with_threads_that_outlive_it() -> None:
    """The pool of `pq.read_table` can abort the interpreter while it ends."""
    named = {
        module
        for module, path in MODULES.items()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute | ast.Name | ast.alias)
        and "read_table" in (getattr(node, "attr", ""), getattr(node, "id", ""), getattr(node, "name", ""))
    }
    assert not named


def test_stores_and_engines_are_reached_through_the_visible_tables() -> None:
    """Nothing but `backends` names a store or an engine, apart from those themselves and who serves them."""
    own = {"stores/local", "stores/s3", "engines/local", "engines/hatchet"}
    allowed = {"backends", "estimate", "worker", "underway", "lanes"}
    by = {
        (one.module, one.target)
        for one in IMPORTS
        if one.target in own and one.level != "typing" and not one.module.startswith(("stores/", "engines/"))
    }
    assert {module for module, _ in by} <= allowed, by


@pytest.mark.parametrize(
    ("command", "unwanted"),
    [
        (["-c", "import scythe_cli"], {"polars", "pyarrow", "boto3", "obstore", "hatchet_sdk", "pandas", "typer"}),
        (["-m", "scythe_cli.cli.app", "--help"], {"polars", "pyarrow", "boto3", "obstore", "hatchet_sdk", "pandas"}),
        (["-m", "scythe_cli.cli.app", "allocate", "--help"], {"polars", "pyarrow", "boto3", "hatchet_sdk", "pandas"}),
    ],
)
def test_what_start_up_does_not_load(command: list[str], unwanted: set[str]) -> None:
    done = subprocess.run([sys.executable, "-X", "importtime", *command], capture_output=True, text=True, check=True)
    loaded = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert "scythe_cli" in loaded
    assert not loaded & unwanted
