"""Input files: what the tables call them, and what `control/inputs.yml` says of them."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from command import FILE, project, runs, scythe

from scythe_cli.core import yaml_document

if TYPE_CHECKING:
    from servers import WebServer

MODULE = '''
from scythe_cli import ExperimentInputSpec, ExperimentOutputSpec, ExperimentRegistry, FileReference

class In(ExperimentInputSpec):
    weather: FileReference
    x: int = 1

class Out(ExperimentOutputSpec):
    text: str

@ExperimentRegistry.Register()
def double(input_spec: In) -> Out:
    """Read a file."""
    return Out(text=input_spec.weather.read_text() if input_spec.x != 3 else 1 / 0)
'''


def allocated(folder: Path) -> Path:
    done = scythe("allocate", cwd=folder)
    assert done.code == 0, done.err
    return runs(folder)[-1]


def weather(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    rows = "".join(f"{name},{at}\n" for at, name in enumerate(files))
    return project(folder, f"weather,x\n{rows}", module=MODULE)


def table(run: Path, name: str = "scalars") -> pl.DataFrame:
    return pl.read_parquet(run / "final" / f"{name}.pq")


def inputs(run: Path) -> Any:
    path = run / "control" / "inputs.yml"
    return yaml_document.read(path.read_text("utf-8"), str(path)).data["files"]


def short_hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two runs of the same files."""
    folder = weather(tmp_path_factory.mktemp("two"), {"w/rain.epw": "rain", "w/sun.epw": "sun", "w/fog.v2.epw": "fog"})
    for version in ("1.0.0", "1.1.0"):
        assert scythe("allocate", "--version", version, cwd=folder).code == 0
    first, second = runs(folder)
    return first, second


def test_the_index_has_the_names_of_the_files(two: tuple[Path, Path]) -> None:
    assert table(two[0])["weather"].to_list() == ["rain.epw", "sun.epw", "fog.v2.epw"]


def test_two_runs_join_on_their_inputs(two: tuple[Path, Path]) -> None:
    assert table(two[0]).join(table(two[1]), on=["weather", "x"]).height == 3


@pytest.mark.parametrize("name", ["scalars", "execution"])
def test_every_table_has_the_same_index(two: tuple[Path, Path], name: str) -> None:
    assert table(two[0], name)["weather"].to_list() == ["rain.epw", "sun.epw", "fog.v2.epw"]


def test_specs_have_the_address(two: tuple[Path, Path]) -> None:
    addresses = pl.read_parquet(two[0] / "specs.pq")["weather"].to_list()
    assert addresses[0] == str(two[0] / "artifacts" / "weather" / "rain.epw")


def test_inputs_have_hash_and_size(two: tuple[Path, Path]) -> None:
    first = inputs(two[0])["weather"][0]
    assert first["name"] == "rain.epw"
    assert first["sha256"] == hashlib.sha256(b"rain").hexdigest()
    assert first["size"] == 4


def test_a_moved_run_gathers_the_same_index(two: tuple[Path, Path], tmp_path: Path) -> None:
    run = two[0]
    moved = shutil.copytree(run, tmp_path / "there" / "v1.0.0" / run.name)
    shutil.rmtree(moved / "final")
    assert scythe("gather", moved, cwd=tmp_path).code == 0
    assert table(moved)["weather"].to_list() == ["rain.epw", "sun.epw", "fog.v2.epw"]


def test_contents_that_share_a_name_all_get_a_hash(tmp_path: Path) -> None:
    folder = weather(tmp_path, {"a/w.epw.gz": "one", "b/w.epw.gz": "two", "c/w.epw.gz": "one", "c/other.epw": "three"})
    done = scythe("allocate", cwd=folder)
    assert done.code == 1
    assert "weather: 2 different files are called 'w.epw.gz'" in done.err
    one, two = (f"w-{short_hash(text)}.epw.gz" for text in ("one", "two"))
    assert table(runs(folder)[0])["weather"].to_list() == [one, two, one]
    assert table(runs(folder)[0], "errors")["weather"].to_list() == ["other.epw"]


def test_nothing_is_said_of_names_that_differ(tmp_path: Path) -> None:
    folder = weather(tmp_path, {"a/w.epw": "one", "b/v.epw": "two", "c/w.epw": "one"})
    done = scythe("allocate", cwd=folder)
    assert "different files" not in done.err
    assert table(runs(folder)[0])["weather"].to_list() == ["w.epw", "v.epw", "w.epw"]


def test_a_remote_file_keeps_its_address(tmp_path: Path, web_server: WebServer) -> None:
    web_server.pages["/w.epw"] = b"windy"
    address = f"{web_server.url}/w.epw"
    folder = project(tmp_path, f"weather\n{address}\n", module=MODULE)
    run = allocated(folder)
    assert table(run)["weather"].to_list() == [address]
    (record,) = inputs(run)["weather"]
    assert record["address"] == address
    assert record["size"] == 5
    assert "sha256" not in record


def test_a_copied_remote_file_has_its_name(tmp_path: Path, web_server: WebServer) -> None:
    web_server.pages["/w.epw"] = b"windy"
    address = f"{web_server.url}/w.epw"
    folder = project(tmp_path, f"weather\n{address}\n", module=MODULE, file=FILE + "artifacts: {copy_remote: true}\n")
    run = allocated(folder)
    assert table(run)["weather"].to_list() == ["w.epw"]
    (record,) = inputs(run)["weather"]
    assert (record["address"], record["sha256"]) == (address, hashlib.sha256(b"windy").hexdigest())
