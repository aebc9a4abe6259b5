"""`scythe show`: a run, one spec with all that is known of it, and specs that a condition chooses."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command import Done, project, runs, scythe

from scythe_cli.cli import app
from scythe_cli.storage.open_store import open_store

MODULE = '''
import time
from pathlib import Path

import polars as pl
from pydantic import Field
from scythe_cli import ExperimentInputSpec, ExperimentOutputSpec, ExperimentRegistry, FileReference


class In(ExperimentInputSpec):
    u_value: float = Field(description="U-value of the wall [W/m2K]")
    system: str = Field(description="Heating system")
    weather: FileReference


class Out(ExperimentOutputSpec):
    heating: float = Field(description="Heating demand [kWh/m2]")
    share: float = Field(description="Share of the roof [-]")
    report: FileReference


@ExperimentRegistry.Register()
def house(input_spec: In, tempdir: Path) -> Out:
    """Heat a house."""
    print("heating with", input_spec.system)
    if input_spec.system == "heatpump":
        time.sleep(0.05)
    if input_spec.u_value > 4:
        raise ValueError(f"too cold at {input_spec.u_value}")
    report = tempdir / "report.txt"
    report.write_text("warm")
    hours = pl.DataFrame({"hour": range(10), "kwh": [input_spec.u_value] * 10})
    return Out(heating=10 * input_spec.u_value, share=0.5, report=report, dataframes={"hourly": hours})
'''
SPECS = "u_value,system,weather\n1,gas,a.epw\n2,heatpump,b.epw\n5,gas,a.epw\n3,gas,b.epw\n6,heatpump,b.epw\n"
FILE = "experiment: house:house\nspecs: specs.csv\nname: houses\nrun: {retries: 0, workers: 1, max_failures: all}\n"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = project(tmp_path_factory.mktemp("home"), SPECS, file=FILE)
    (folder / "house.py").write_text(MODULE)
    for name in ("a.epw", "b.epw"):
        (folder / name).write_text(name)
    done = scythe("allocate", cwd=folder)
    assert done.code == 1, done.err
    return folder


@pytest.fixture(scope="module")
def at_work(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same run before its tables were built, and moved."""
    folder = tmp_path_factory.mktemp("moved") / "copy"
    shutil.copytree(runs(home, "houses")[0], folder)
    shutil.rmtree(folder / "final")
    for mark in ("gathered-1.yml", "ended-1.yml"):
        (folder / "control" / mark).unlink()
    return folder


@pytest.fixture
def called(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """`scythe show` in the folder of the experiment, in this process."""

    def call(*arguments: str) -> Done:
        monkeypatch.chdir(home)
        code = app.run(["show", *arguments])
        said = capsys.readouterr()
        return Done(code, said.out, said.err)

    return call


@pytest.fixture
def show(called: Callable[..., Done]) -> Callable[..., Any]:
    """The document of `scythe show --json`."""

    def call(*arguments: str) -> Any:
        done = called(*arguments, "--json")
        assert done.code == 0, done.err
        return done.json("show")

    return call


def numbers(document: Any) -> list[int]:
    return [one["sort_index"] for one in document["specs"]]


def test_a_spec_has_all_that_is_known_of_it(show: Callable[..., Any]) -> None:
    (spec,) = show("houses", "3")["specs"]
    assert spec["inputs"]["u_value"] == 3
    assert spec["inputs"]["system"] == "gas"
    assert spec["state"] == "succeeded"
    assert spec["outputs"] == {"heating": 30, "share": 0.5}
    assert spec["attempts"] == 1
    assert spec["duration"] > 0
    assert spec["worker"]
    assert "heating with gas" in spec["log"]
    assert spec["frames"] == [{"name": "hourly", "rows": 10, "columns": ["hour", "kwh"], "head": []}]
    assert spec["command"] == "scythe allocate --only 3 --inline"


def test_its_files_open(at_work: Path, show: Callable[..., Any]) -> None:
    for run in ("houses", str(at_work)):
        (spec,) = show(run, "3")["specs"]
        assert Path(spec["files"]["report"]).read_text() == "warm"
        assert Path(spec["inputs"]["weather"]).read_text() == "b.epw"
    assert spec["files"]["report"].startswith(str(at_work))


def test_units_come_from_the_descriptions(called: Callable[..., Done], show: Callable[..., Any]) -> None:
    document = show("houses")
    assert document["fields"]["heating"] == {"description": "Heating demand", "unit": "kWh/m2"}
    assert document["fields"]["share"]["unit"] == ""
    done = called("houses", "0")
    assert "  heating  10 kWh/m2" in done.out
    assert "10 W/m2K" not in done.out
    assert "1 W/m2K" in done.out


def test_a_failure_has_its_traceback(called: Callable[..., Done]) -> None:
    done = called("houses", "2")
    assert done.code == 0
    heading, facts, *_ = done.out.splitlines()
    assert heading.endswith("   spec 2   failed")
    assert facts.startswith("  exception in house (house.py:")
    assert "ValueError: too cold at 5.0" in done.out
    assert "raise ValueError" in done.out
    assert "alone\n  scythe allocate --only 2 --inline\n" in done.out


def test_the_log_alone(called: Callable[..., Done]) -> None:
    assert called("houses", "1", "--log").end == (0, "heating with heatpump\n", "")


@pytest.mark.parametrize(
    ("flags", "wanted"),
    [
        (["--failed"], [2, 4]),
        (["--where", "system = 'heatpump'"], [1, 4]),
        (["--where", "u_value > 2 AND heating < 100"], [3]),
        (["--where", "weather = 'a.epw'"], [0, 2]),
        (["--where", "error_type = 'ValueError' and system = 'gas'"], [2]),
        (["--failed", "--where", "u_value = 6"], [4]),
        (["--head", "-n", "2"], [0, 1]),
        (["--where", "u_value > 100"], []),
    ],
)
def test_choices_are_the_same_before_and_after_the_tables_are_built(
    at_work: Path, flags: list[str], wanted: list[int], show: Callable[..., Any]
) -> None:
    assert numbers(show("houses", *flags)) == wanted
    assert numbers(show(str(at_work), *flags)) == wanted


def test_the_slowest_come_first(at_work: Path, show: Callable[..., Any]) -> None:
    for run in ("houses", str(at_work)):
        document = show(run, "--slowest", "2")
        assert sorted(numbers(document)) == [1, 4]
        first, second = document["specs"]
        assert first["duration"] >= second["duration"]


def test_a_number_alone_is_a_spec_of_the_latest_run(called: Callable[..., Done], show: Callable[..., Any]) -> None:
    assert numbers(show("3")) == [3]
    assert called("99").code == 3


def test_a_spec_without_a_result(
    at_work: Path, tmp_path: Path, called: Callable[..., Done], show: Callable[..., Any]
) -> None:
    partial = tmp_path / "partial"
    shutil.copytree(at_work, partial)
    for part in partial.glob("scatter-gather/output/0/*.pq"):
        part.unlink()
    (spec,) = show(str(partial), "3")["specs"]
    assert (spec["state"], spec["inputs"]["u_value"], spec["outputs"]) == ("missing", 3, {})
    assert numbers(show(str(partial), "--where", "state = 'missing'")) == [0, 1, 2, 3, 4]
    assert numbers(show(str(partial), "--slowest", "3")) == []
    assert "spec 3   no result yet" in called(str(partial), "3").out


def test_a_run_in_a_bucket(at_work: Path, s3_storage: str, capsys: pytest.CaptureFixture[str]) -> None:
    store = open_store(f"{s3_storage}/copy")
    for path in filter(Path.is_file, at_work.rglob("*")):
        store.write(str(path.relative_to(at_work)), path.read_bytes())
    assert app.run(["show", f"{s3_storage}/copy", "1"]) == 0
    said = capsys.readouterr().out
    assert f"report  {s3_storage}/copy/results/report/" in said
    assert app.run(["show", f"{s3_storage}/copy", "--where", "system = 'heatpump'", "--log"]) == 0
    assert capsys.readouterr().out == "== spec 1\nheating with heatpump\n== spec 4\nheating with heatpump\n"


def test_a_download_is_shown_from_its_tables(
    home: Path, called: Callable[..., Done], show: Callable[..., Any], tmp_path: Path
) -> None:
    done = scythe("download", "houses", tmp_path / "got", "--files", cwd=home)
    assert done.code == 0, done.err
    got = str(tmp_path / "got")
    (spec,) = show(got, "3")["specs"]
    (original,) = show("houses", "3")["specs"]
    same = ("outputs", "state", "frames", "attempts", "start", "duration", "worker", "generation")
    assert {name: spec[name] for name in same} == {name: original[name] for name in same}
    assert spec["inputs"]["u_value"] == 3
    assert Path(spec["files"]["report"]).read_text() == "warm"
    assert spec["files"]["report"].startswith(got)
    (failed,) = show(got, "2")["specs"]
    assert (failed["state"], failed["kind"], failed["error_type"]) == ("failed", "exception", "ValueError")
    assert "raise ValueError" in failed["traceback"]
    assert numbers(show(got, "--where", "system = 'heatpump'")) == [1, 4]
    assert len(show(got, "0", "--head")["specs"][0]["frames"][0]["head"]) == 5
    assert called(got, "99").code == 3


def test_the_run_itself(called: Callable[..., Done]) -> None:
    done = called("houses")
    assert "3 of 5 specs succeeded, 2 failed" in done.out
    assert "house:house" in done.out
    assert "run.max_failures all" in done.out
    assert "final/scalars.pq" in done.out
    assert done.err == "next: scythe show houses --failed\n"


def test_first_rows_of_frames(called: Callable[..., Done], show: Callable[..., Any]) -> None:
    (spec,) = show("houses", "0", "--head")["specs"]
    assert spec["frames"][0]["head"][:2] == [{"hour": 0, "kwh": 1.0}, {"hour": 1, "kwh": 1.0}]
    assert len(spec["frames"][0]["head"]) == 5
    assert "  hourly  10 rows x 2 columns  hour, kwh\n" in called("houses", "0").out
    assert "hour  kwh" in called("houses", "0", "--head").out


def test_what_is_wrong_is_said(home: Path, called: Callable[..., Done]) -> None:
    assert called("houses", "7").end == (
        3,
        "",
        f"error: {runs(home, 'houses')[0].relative_to(home / 'scythe-runs')} has no spec 7: "
        "it has 5 specs, numbered from 0 to 4\n",
    )
    unknown = called("houses", "--where", "sytem = 'gas'")
    assert (unknown.code, "no column 'sytem'. Did you mean 'system'?" in unknown.err) == (2, True)
    broken = called("houses", "--where", "system = = 1")
    assert (broken.code, "is not a condition" in broken.err) == (2, True)
    unquoted = called("houses", "--where", "system = heatpump")
    assert (unquoted.code, "'heatpump'" in unquoted.err) == (2, True)
    number = called("houses", "--where", "u_value")
    assert (number.code, "Traceback" in number.err) == (2, False)
    assert called("houses", "1", "--failed").code == 2
    assert called("houses", "--log").code == 2
