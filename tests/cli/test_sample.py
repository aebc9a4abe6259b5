"""`scythe sample`, and `allocate` of specs that a design makes."""

from __future__ import annotations

import io
from pathlib import Path

import polars as pl
import pytest
from command import Done, scythe, tree

pytestmark = pytest.mark.slow

MODULE = """
from typing import Literal

from pydantic import Field

from scythe_cli import ExperimentInputSpec, ExperimentOutputSpec, ExperimentRegistry, FileReference


class Wall(ExperimentInputSpec):
    r_value: float = Field(ge=1, le=8)
    floors: int = Field(ge=1, le=4)
    system: Literal["gas", "heatpump"]
    weather_file: FileReference


class Heat(ExperimentOutputSpec):
    heat: float


@ExperimentRegistry.Register()
def wall(input_spec: Wall) -> Heat:
    return Heat(heat=input_spec.floors / input_spec.r_value)
"""
DESIGN = "{design: sobol, n: 8, seed: 7, space: {r_value: [2.0, 4.0]}, cross: {weather_file: 'weather/*.epw'}}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "walls.py").write_text(MODULE)
    (tmp_path / "weather").mkdir()
    for name in ("chicago", "miami"):
        (tmp_path / "weather" / f"{name}.epw").write_text(name)
    return write(tmp_path, DESIGN)


def write(folder: Path, specs: str) -> Path:
    (folder / "experiment.yml").write_text(f"experiment: walls:wall\nspecs: {specs}\nrun: {{workers: 2}}\n")
    return folder


def sampled(done: Done) -> pl.DataFrame:
    assert done.code == 0, done.err
    return pl.read_csv(io.StringIO(done.out))


def test_the_table_of_the_design_is_csv_on_stdout(folder: Path) -> None:
    table = sampled(scythe("sample", cwd=folder))
    assert table.columns == ["r_value", "floors", "system", "weather_file"]
    assert table.height == 16
    assert table["r_value"].is_between(2, 4).all()


def test_nothing_is_written(folder: Path) -> None:
    before = tree(folder)
    scythe("sample", cwd=folder)
    assert tree(folder) == before


def test_flags_replace_the_file(folder: Path) -> None:
    table = sampled(scythe("sample", "--design", "halton", "-n", "3", "--seed", "1", cwd=folder))
    assert table.height == 6


@pytest.mark.parametrize("name", ["table.csv", "table.parquet"])
def test_the_table_is_written_to_a_file(folder: Path, name: str) -> None:
    done = scythe("sample", "-o", name, cwd=folder)
    read = pl.read_csv if name.endswith(".csv") else pl.read_parquet
    assert (done.code, done.out) == (0, "")
    assert done.err == f"wrote {name}: 16 specs, 4 fields\n"
    assert read(folder / name).height == 16


def test_allocate_runs_what_sample_shows(folder: Path) -> None:
    shown = sampled(scythe("sample", cwd=folder))
    done = scythe("allocate", "--json", cwd=folder)
    assert done.code == 0, done.err
    final = next((folder / "scythe-runs").rglob("scalars.pq"))
    scalars = pl.read_parquet(final).sort("sort_index")
    assert scalars["r_value"].to_list() == pytest.approx(shown["r_value"].to_list())
    assert scalars["floors"].to_list() == shown["floors"].to_list()


def test_the_manifest_has_the_design(folder: Path) -> None:
    scythe("allocate", cwd=folder)
    text = next((folder / "scythe-runs").rglob("manifest.yml")).read_text()
    for words in ("method: sobol", "n: 8", "seed: 7", "scipy:", "numpy:", "points: 8"):
        assert words in text


def test_a_design_resumes_from_the_run_alone(folder: Path) -> None:
    scythe("allocate", cwd=folder)
    done = scythe("allocate", "--resume", "wall", cwd=folder)
    assert done.code == 0, done.err


def test_the_note_on_powers_of_two_is_printed(folder: Path) -> None:
    write(folder, DESIGN.replace("n: 8", "n: 6"))
    note = "note: n = 6 is not a power of two: a sobol design is balanced at 4 or 8 points\n"
    assert scythe("sample", cwd=folder).err == note
    assert note in scythe("allocate", "--dry-run", cwd=folder).out


@pytest.mark.parametrize(
    ("specs", "message"),
    [
        ("{design: sobl, n: 8}", "experiment.yml:2  specs.design is 'sobl': must be 'sobol', "),
        ("{design: sobol, n: 0}", "experiment.yml:2  specs.n is 0: must be 1 or more"),
        ("{design: sobol, m: 8}", "experiment.yml:2  specs.m is not a setting of a design."),
        (
            "{n: 8}",
            "experiment.yml:2  specs.design is missing: specs is the address of a table, or a table such as "
            '{file: cases.csv, separator: ";", decimal: ","}, or a design such as {design: sobol, n: 64}',
        ),
        (DESIGN.replace("n: 8, ", ""), "experiment.yml:2  specs.n is missing: how many points the sobol design has"),
        ("{design: sobol, n: 4}", "experiment.yml:2  specs.space.weather_file: a file has no bounds"),
        (
            DESIGN.replace("weather/*", "wether/*"),
            "experiment.yml:2  specs.cross.weather_file: no file matches 'wether/*.epw' in ",
        ),
        (
            "\n  design: sobol\n  n: 4\n  space:\n    r_value: [0, 4]",
            "experiment.yml:6  specs.space.r_value: 0 is not a value of the field",
        ),
    ],
)
def test_a_wrong_design_names_its_line(folder: Path, specs: str, message: str) -> None:
    write(folder, specs)
    before = tree(folder)
    done = scythe("allocate", cwd=folder)
    assert (done.code, done.out) == (2, "")
    assert message in done.err
    assert tree(folder) == before


def test_a_table_is_not_a_design(folder: Path) -> None:
    write(folder, "specs.csv")
    done = scythe("sample", cwd=folder)
    assert (done.code, done.out) == (2, "")
    assert "experiment.yml:2  specs is a table, not a design" in done.err


def test_a_design_may_be_named_without_one_in_the_file(folder: Path) -> None:
    code = MODULE.replace("    weather_file: FileReference\n", "")
    (folder / "walls.py").write_text(code)
    write(folder, "specs.csv")
    assert sampled(scythe("sample", "--design", "lhs", cwd=folder)).height == 64


@pytest.fixture
def tabled(folder: Path) -> Path:
    rows = [f"{1 + at % 7},{1 + at % 4},gas,weather/miami.epw" for at in range(40)]
    (folder / "specs.csv").write_text("\n".join(["r_value,floors,system,weather_file", *rows]) + "\n")
    return write(folder, "specs.csv")


def indexes(folder: Path, *arguments: str) -> list[int]:
    done = scythe("allocate", "--limit", "6", "--bump", "minor", *arguments, cwd=folder)
    assert done.code == 0, done.err
    final = max((folder / "scythe-runs").rglob("scalars.pq"), key=lambda path: path.parts)
    return sorted(pl.read_parquet(final)["sort_index"].to_list())


def test_shuffle_takes_specs_at_random_with_their_sort_index(tabled: Path) -> None:
    first, again, other = (indexes(tabled, "--shuffle", "--seed", seed) for seed in ("1", "1", "2"))
    assert len(set(first)) == 6
    assert first != list(range(6))
    assert again == first
    assert other != first


def test_without_shuffle_the_first_specs_run(tabled: Path) -> None:
    assert indexes(tabled) == list(range(6))


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--shuffle"], "--shuffle needs --limit N"),
        (["--seed", "3"], "--seed belongs to --shuffle"),
    ],
)
def test_shuffle_and_seed_need_what_they_belong_to(tabled: Path, flags: list[str], message: str) -> None:
    done = scythe("allocate", *flags, cwd=tabled)
    assert (done.code, done.out) == (2, "")
    assert message in done.err
