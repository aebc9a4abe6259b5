"""Many runs: `scythe compare`, `scan`, `xy`, tidy scalars."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import polars as pl
import pytest
from command import SCHEMAS, Done, scythe

import scythe_cli
from scythe_cli.errors import ConfigError, InputError, NotFoundError

MODULE = """
from scythe_cli import ExperimentInputSpec, ExperimentOutputSpec, ExperimentRegistry


class Case(ExperimentInputSpec):
    a: float
    kind: str = "plain"


class Found(ExperimentOutputSpec):
    heat: float
    note: str


@ExperimentRegistry.Register()
def study(input_spec: Case) -> Found:
    if input_spec.a < 0:
        raise ValueError("negative")
    return Found(heat=2 * input_spec.a, note=input_spec.kind)
"""


def allocate(folder: Path, rows: list[float], module: str = MODULE, *flags: str) -> Done:
    (folder / "study.py").write_text(module)
    (folder / "specs.csv").write_text("\n".join(["a", *map(str, rows)]) + "\n")
    (folder / "experiment.yml").write_text("experiment: study:study\nspecs: specs.csv\nrun: {max_failures: all}\n")
    return scythe("allocate", "--bump", "minor", *flags, cwd=folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs: v1.0.0, and v1.1.0 with other code, other settings and other rows."""
    folder = tmp_path_factory.mktemp("study")
    assert allocate(folder, [1, 2, 3, -4]).code == 1
    changed = MODULE.replace("2 * input_spec.a", "2 * input_spec.a + (input_spec.a == 2)")
    assert allocate(folder, [1, 2, 30, -4, 5], changed, "--set", "run.timeout=10m").code == 1
    return folder


def test_outputs_may_have_any_name(tmp_path: Path) -> None:
    module = MODULE.replace("heat: float", "second: float\n    first: float\n    load: float\n    load_now: float")
    module = module.replace("heat=2 * input_spec.a", "second=input_spec.a, first=1, load=2, load_now=3")
    assert allocate(tmp_path, [1, 2], module).code == 0
    assert allocate(tmp_path, [1, 2], module + "# other code\n").code == 0
    done = scythe("compare", "study/v1.0.0", "study/v1.1.0", "--json", cwd=tmp_path)
    assert {one["name"]: one["rows_changed"] for one in json.loads(done.out)["outputs"]} == dict.fromkeys(
        ["second", "first", "load", "load_now", "note"], 0
    )


def test_a_field_called_run_keeps_its_name(tmp_path: Path) -> None:
    assert allocate(tmp_path, [1, 2], MODULE.replace("note: str", "note: str\n    run: int = 7")).code == 0
    found = scythe_cli.scan("study", storage=tmp_path / "scythe-runs").collect()
    assert found["run"].to_list() == [7, 7]
    assert set(found["run_"].str.slice(0, 13)) == {"study/v1.0.0/"}


@pytest.fixture(scope="module")
def document(folder: Path) -> Any:
    done = scythe("compare", "study/v1.0.0", "study/v1.1.0", "--json", cwd=folder)
    assert done.code == 0, done.err
    return json.loads(done.out)


def test_the_document_has_its_schema(document: Any) -> None:
    jsonschema.validate(document, json.loads((SCHEMAS / "compare.schema.json").read_text()))


def test_rows_are_matched_by_their_inputs(document: Any) -> None:
    assert document["rows"] == {"same": 3, "changed": 1, "added": 1, "removed": 0}


def test_outputs_are_compared_over_equal_rows(document: Any) -> None:
    heat = next(one for one in document["outputs"] if one["name"] == "heat")
    assert heat == {
        "name": "heat",
        "count": 2,
        "first_mean": 3.0,
        "second_mean": 3.5,
        "largest_change": 1.0,
        "rows_changed": 1,
    }


def test_text_is_compared_too(document: Any) -> None:
    note = next(one for one in document["outputs"] if one["name"] == "note")
    assert (note["rows_changed"], note["first_mean"]) == (0, None)


def test_changed_files_are_named(document: Any) -> None:
    assert document["code"]["changed"] == ["study.py"]


def test_changed_settings_are_named(document: Any) -> None:
    assert {"name": "run.timeout", "first": "null", "second": "10m"} in document["settings"]


def test_failures_are_new_gone_or_in_both(document: Any) -> None:
    assert document["failures"] == {"both": 1, "new": 0, "gone": 0}


def test_the_lines_say_the_same(folder: Path) -> None:
    done = scythe("compare", "study/v1.0.0", "study/v1.1.0", cwd=folder)
    assert done.code == 0
    assert "rows    3 rows the same, 1 changed, 1 added, 0 removed" in done.out
    assert "output  heat: 1 of 2 rows changed, mean 3 -> 3.5, largest change 1" in done.out
    assert "setting run.timeout: null -> 10m" in done.out


def test_a_run_equals_itself(folder: Path) -> None:
    done = scythe("compare", "study/v1.0.0", "study/v1.0.0", cwd=folder)
    assert "code    the same" in done.out
    assert "output  heat: the same in 3 rows" in done.out


def test_an_unknown_run_is_3(folder: Path) -> None:
    assert scythe("compare", "study/v1.0.0", "nothing", cwd=folder).code == 3


def scan(folder: Path, **given: Any) -> pl.LazyFrame:
    return scythe_cli.scan("study", storage=folder / "scythe-runs", **given)


def test_scan_has_the_rows_of_all_runs(folder: Path) -> None:
    table = scan(folder).collect()
    assert sorted(table["a"]) == [1, 1, 2, 2, 3, 5, 30]
    assert [one[:12] for one in table["run"].unique().sort()] == ["study/v1.0.0", "study/v1.1.0"]


def test_scan_takes_a_range_of_versions(folder: Path) -> None:
    assert sorted(scan(folder, versions=">=1.1,<2").collect()["a"]) == [1, 2, 5, 30]


def test_scan_reads_other_tables(folder: Path) -> None:
    assert scan(folder, table="execution").collect().height == 9


def test_scan_is_lazy(folder: Path) -> None:
    plan = scan(folder).select("heat").explain()
    assert "PROJECT 1/" in plan


@pytest.mark.parametrize(
    ("given", "kind"),
    [({"table": "nothing"}, NotFoundError), ({"versions": ">=9"}, NotFoundError), ({"versions": "new"}, ConfigError)],
)
def test_what_scan_cannot_find_is_said(folder: Path, given: dict[str, str], kind: type[Exception]) -> None:
    with pytest.raises(kind):
        scan(folder, **given)


def test_schemas_are_widened_and_clashes_name_both_runs(tmp_path: Path) -> None:
    allocate(tmp_path, [1])
    allocate(tmp_path, [1], MODULE.replace("heat: float", "heat: int").replace("2 * input_spec.a", "int(input_spec.a)"))
    more = MODULE.replace("    note: str", "    note: str\n    extra: int = 7")
    allocate(tmp_path, [1], more)
    table = scan(tmp_path).collect()
    assert table["heat"].to_list() == [2.0, 1.0, 2.0]
    assert table["extra"].to_list() == [None, None, 7]
    allocate(tmp_path, [1], MODULE.replace("heat: float", "heat: str").replace("2 * input_spec.a", '"warm"'))
    with pytest.raises(InputError) as caught:
        scan(tmp_path)
    assert "column 'heat' is Float64 in study/v1.0.0/" in caught.value.message
    assert "and String in study/v1.3.0/" in caught.value.message


def test_xy_gives_inputs_and_outputs(folder: Path) -> None:
    x, y = scythe_cli.open_run("study/v1.0.0", storage=folder / "scythe-runs").xy()
    assert x.to_dict(as_series=False) == {"a": [1, 2, 3], "kind": ["plain"] * 3}
    assert y.to_dict(as_series=False) == {"heat": [2, 4, 6], "note": ["plain"] * 3}


def test_tidy_scalars_have_no_ids(folder: Path) -> None:
    tidy = scythe_cli.open_run("study/v1.0.0", storage=folder / "scythe-runs").scalars(tidy=True)
    assert tidy.columns == ["a", "kind", "heat", "note"]


def test_specs_that_have_not_run_are_no_failures_that_are_gone(tmp_path: Path) -> None:
    assert allocate(tmp_path, [1, -2, -3]).code == 1
    assert allocate(tmp_path, [1, -2, -3]).code == 1
    _, second = sorted((tmp_path / "scythe-runs" / "study").glob("*/*"))
    for table in ("scalars", "errors"):
        path = second / "final" / f"{table}.pq"
        pl.read_parquet(path).filter(pl.col("sort_index") < 2).write_parquet(path)
    done = scythe("compare", "study/v1.0.0", "study/v1.1.0", cwd=tmp_path)
    *_, failed, note = done.out.splitlines()
    assert failed == "failed  0 new, 0 gone, 1 in both"
    assert note == f"note: study/v1.1.0/{second.name} is not finished: 1 of 3 specs not run yet"
    assert json.loads(scythe("compare", "study/v1.1.0", "study/v1.0.0", "--json", cwd=tmp_path).out)["failures"] == {
        "both": 1,
        "new": 0,
        "gone": 0,
    }
