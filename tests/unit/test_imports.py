"""Each heavy library has its homes, stores and engines are reached through the visible tables, start-up is light."""

import ast
import subprocess
import sys

import pytest
from test_layers import MODULES, imports

HOMES = {
    "boto3": {"storage/s3_client"},
    "botocore": {"storage/s3_client"},
    "obstore": {"storage/s3_client", "storage/s3"},
    "hatchet_sdk": {name for name in MODULES if name.startswith("engines/hatchet/")},
    "psutil": {"core/processes"},
    "rich": {"cli/progress", "cli/formatting"},
    "typer": {name for name in MODULES if name.startswith("cli/")},
    "ruamel": {"core/yaml_document"},
    "pandas": {"experiment/models", "columns/pandas_frames", "columns/pandas_labels"},
}
"""The only modules that import a library."""


def libraries(module: str) -> set[str]:
    """The top names of all that a module imports anywhere in its text."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").partition(".")[0])
    return found


@pytest.mark.parametrize("library", HOMES)
def test_libraries_stay_at_home(library: str) -> None:
    assert {module for module in MODULES if library in libraries(module)} <= HOMES[library]


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
    own = {"storage/local", "storage/s3", "engines/local", "engines/hatchet/client/engine"}
    tables = {"storage/open_store", "engines/open_engine", "operations/estimate"}
    tables |= {"engines/engine_activity", "engines/open_follower"}
    assert {module for module in MODULES if imports(module) & own} <= tables | own


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
