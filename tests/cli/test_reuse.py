"""`allocate --reuse`: what an earlier run has computed is not computed again, and is the new run's own."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from command import Done, scythe
from servers import WebServer

pytestmark = pytest.mark.slow

MODULE = """
import os
import random
import shutil
from collections.abc import Sequence
from pathlib import Path

import polars as pl
from pydantic import Field

from scythe_cli import ExperimentInputSpec, ExperimentOutputSpec, ExperimentRegistry, FileReference

DIARY = Path(__file__).with_name("diary")


class Case(ExperimentInputSpec):
    a: float
    weather: FileReference
    tags: list[int] = Field(default_factory=list)


class Found(ExperimentOutputSpec):
    twice: float
    report: FileReference


@ExperimentRegistry.Register()
def study(input_spec: Case, tempdir: Path) -> Found:
    with DIARY.open("a") as diary:
        diary.write(f"{input_spec.a}\\n")
    if input_spec.a == 3:
        raise ValueError("three")
    report = tempdir / "report.csv.gz"
    report.write_text(f"{input_spec.a} {Path(input_spec.weather).read_text()}")
    steps = pl.DataFrame({"step": [1, 2, 3], "value": [1.0, 2.0, input_spec.a]})
    return Found(twice=2 * input_spec.a, report=report, dataframes={"steps": steps})
"""
FIRST = [0, 1, 2, 3, 4, 5, 5]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "study.py").write_text(MODULE)
    (tmp_path / "weather").mkdir()
    for name in ("chicago", "miami"):
        (tmp_path / "weather" / f"{name}.epw").write_text(name)
    settings = "experiment: study:study\nspecs: specs.csv\nrun: {workers: 2, retries: 0, max_failures: all}\n"
    (tmp_path / "experiment.yml").write_text(settings)
    table(tmp_path, FIRST)
    return tmp_path


def table(folder: Path, values: Sequence[float]) -> None:
    rows = [f"{value},weather/{'chicago' if value % 2 else 'miami'}.epw" for value in values]
    (folder / "specs.csv").write_text("\n".join(["a,weather", *rows]) + "\n")


def ran(folder: Path) -> list[float]:
    """The specs that ran since the last call."""
    diary = folder / "diary"
    found = sorted(map(float, diary.read_text().split())) if diary.exists() else []
    diary.unlink(missing_ok=True)
    return found


def allocate(folder: Path, *arguments: str, code: int = 1) -> Done:
    done = scythe("allocate", *arguments, cwd=folder)
    assert done.code == code, done.err
    return done


def newest(folder: Path) -> Path:
    return max((folder / "scythe-runs" / "study").glob("v*/*"), key=lambda path: path.as_posix())


def final(folder: Path, name: str) -> pl.DataFrame:
    return pl.read_parquet(newest(folder) / "final" / f"{name}.pq")


@pytest.fixture
def grown(folder: Path) -> Path:
    """A second run: two rows of the first are gone, two are new, all are in another order."""
    allocate(folder)
    ran(folder)
    table(folder, [8, 5, 5, 5, 4, 3, 1, 0])
    done = allocate(folder, "--reuse", "latest", "--bump", "minor")
    assert "5 of 8 specs reused from v1.0.0, 3 to run" in done.err
    return folder


def test_only_new_and_failed_rows_run(grown: Path) -> None:
    assert ran(grown) == [3, 5, 8]


def test_the_table_has_all_rows(grown: Path) -> None:
    scalars = final(grown, "scalars").sort("sort_index")
    assert scalars["a"].to_list() == [8, 5, 5, 5, 4, 1, 0]
    assert scalars["twice"].to_list() == [16, 10, 10, 10, 8, 2, 0]


def test_frames_are_the_new_run_s_own(grown: Path) -> None:
    steps = final(grown, "steps").sort("sort_index", "sort_subindex")
    assert steps.height == 7 * 3
    assert steps.filter(pl.col("step") == 3)["value"].to_list() == [8, 5, 5, 5, 4, 1, 0]
    assert set(steps["experiment_id"]) == {"/".join(newest(grown).parts[-3:])}


def test_files_are_copies_in_the_new_run(grown: Path) -> None:
    refs = final(grown, "result_file_refs").sort("sort_index")
    assert all(Path(path).is_relative_to(newest(grown)) for path in refs["report"])
    assert [Path(path).read_text().split()[0] for path in refs["report"]] == [
        "8.0",
        "5.0",
        "5.0",
        "5.0",
        "4.0",
        "1.0",
        "0.0",
    ]
    assert all(path.endswith(".csv.gz") for path in refs["report"])


def test_a_copy_shares_nothing_with_the_earlier_run(grown: Path) -> None:
    path = Path(final(grown, "result_file_refs").filter(pl.col("a") == 0)["report"][0])
    path.write_text("edited")
    (old,) = [file for file in newest(grown).parents[1].glob("v1.0.0/*/results/report/*") if file.read_text()[0] == "0"]
    assert old.read_text() == "0.0 miami"


def test_execution_names_the_origin(grown: Path) -> None:
    execution = final(grown, "execution").sort("sort_index")
    reused = execution.filter(pl.col("reused_from").is_not_null())
    assert reused["a"].to_list() == [5, 5, 4, 1, 0]
    assert set(reused["generation"]) == {0}
    assert set(execution.filter(pl.col("reused_from").is_null())["generation"]) == {1}
    assert all(name.startswith("study/v1.0.0/") for name in reused["reused_from"])


def test_what_a_run_took_over_can_be_taken_over_again(grown: Path) -> None:
    ran(grown)
    done = allocate(grown, "--reuse", "study/v1.1.0", "--bump", "minor")
    assert "7 of 8 specs reused from v1.1.0, 1 to run" in done.err
    assert ran(grown) == [3]


def test_nothing_runs_where_all_is_there(folder: Path) -> None:
    table(folder, [1, 2, 4])
    allocate(folder, code=0)
    ran(folder)
    done = allocate(folder, "--reuse", "latest", "--bump", "minor", code=0)
    assert "3 of 3 specs reused from v1.0.0, 0 to run" in done.err
    assert ran(folder) == []
    assert final(folder, "scalars")["twice"].to_list() == [2, 4, 8]


def test_the_setting_reuse_is_the_flag(folder: Path) -> None:
    allocate(folder)
    with (folder / "experiment.yml").open("a") as file:
        file.write("reuse: latest\n")
    assert "6 of 7 specs reused from v1.0.0" in allocate(folder, "--bump", "minor").err


def test_a_dry_run_says_the_same_and_writes_nothing(folder: Path) -> None:
    allocate(folder)
    before = sorted(folder.rglob("*"))
    done = allocate(folder, "--reuse", "latest", "--dry-run", code=0)
    assert "6 of 7 specs reused from v1.0.0, 1 to run" in done.out
    assert sorted(folder.rglob("*")) == before


def test_a_file_with_other_content_is_another_spec(folder: Path) -> None:
    allocate(folder)
    (folder / "weather" / "miami.epw").write_text("warmer")
    done = allocate(folder, "--reuse", "latest", "--bump", "minor")
    assert "3 of 7 specs reused" in done.err


def test_a_file_of_another_name_is_another_spec(folder: Path) -> None:
    allocate(folder)
    (folder / "weather" / "miami.epw").rename(folder / "weather" / "florida.epw")
    text = (folder / "specs.csv").read_text()
    (folder / "specs.csv").write_text(text.replace("miami", "florida"))
    assert "3 of 7 specs reused" in allocate(folder, "--reuse", "latest", "--bump", "minor").err


@pytest.mark.parametrize("etags", [True, False])
def test_a_remote_file_without_a_version_is_never_reused(folder: Path, web_server: WebServer, etags: bool) -> None:
    web_server.etags = etags
    web_server.pages |= {"/there.epw": b"1"}
    (folder / "specs.csv").write_text(f"a,weather\n1,{web_server.url}/there.epw\n2,weather/miami.epw\n")
    allocate(folder, code=0)
    ran(folder)
    plan = allocate(folder, "--reuse", "latest", "--dry-run", code=0)
    said = f"{web_server.url}/there.epw has no version (ETag): specs that name it run again"
    shown = plan.out + plan.err
    assert ("2 of 2 specs reused" if etags else "1 of 2 specs reused") in shown
    assert (said in shown) is not etags


def test_lists_are_compared(folder: Path) -> None:
    (folder / "specs.ndjson").write_text(
        "\n".join(json.dumps({"a": 1, "weather": "weather/miami.epw", "tags": tags}) for tags in ([], [1], [1, 2]))
    )
    text = (folder / "experiment.yml").read_text().replace("specs.csv", "specs.ndjson")
    (folder / "experiment.yml").write_text(text)
    allocate(folder, code=0)
    rows = (folder / "specs.ndjson").read_text().replace("[1, 2]", "[2, 1]")
    (folder / "specs.ndjson").write_text(rows)
    assert "2 of 3 specs reused" in allocate(folder, "--reuse", "latest", "--bump", "minor", code=0).err


def test_other_code_is_refused_with_the_changed_file(folder: Path) -> None:
    allocate(folder)
    before = sorted((folder / "scythe-runs").rglob("*"))
    (folder / "study.py").write_text(MODULE.replace("2 * input_spec.a", "3 * input_spec.a"))
    done = allocate(folder, "--reuse", "latest", "--bump", "minor", code=2)
    assert "the code has changed since study/v1.0.0/" in done.err
    assert ": study.py\n" in done.err
    assert sorted((folder / "scythe-runs").rglob("*")) == before


def test_other_code_may_be_allowed(folder: Path) -> None:
    allocate(folder)
    (folder / "study.py").write_text(MODULE.replace("2 * input_spec.a", "3 * input_spec.a"))
    done = allocate(folder, "--reuse", "latest", "--allow-changed-code", "--bump", "minor")
    assert "6 of 7 specs reused" in done.err


def test_a_name_for_the_code_replaces_its_hash(folder: Path) -> None:
    (folder / "study.py").write_text(MODULE.replace("Register()", 'Register(version="a")'))
    allocate(folder)
    changed = MODULE.replace("2 * input_spec.a", "input_spec.a * 2")
    (folder / "study.py").write_text(changed.replace("Register()", 'Register(version="a")'))
    assert "6 of 7 specs reused" in allocate(folder, "--reuse", "latest", "--bump", "minor").err
    (folder / "study.py").write_text(changed.replace("Register()", 'Register(version="b")'))
    done = allocate(folder, "--reuse", "study/v1.0.0", "--bump", "minor", code=2)
    assert "ran code of the version 'a', and this is 'b'" in done.err


def test_another_seed_is_refused(folder: Path) -> None:
    allocate(folder)
    done = allocate(folder, "--reuse", "latest", "--set", "run.seed=5", "--bump", "minor", code=2)
    assert "ran with run.seed 0, and this run has 5" in done.err


def test_a_function_that_reads_its_place_needs_a_word(folder: Path) -> None:
    code = MODULE.replace("2 * input_spec.a", "2 * input_spec.a + 0 * input_spec.sort_index")
    (folder / "study.py").write_text(code)
    allocate(folder)
    done = allocate(folder, "--reuse", "latest", "--bump", "minor", code=2)
    assert "study reads sort_index" in done.err
    assert "--reuse-by sort_index" in done.err
    table(folder, [0, 2, 1, 3, 4, 5, 5])
    done = allocate(folder, "--reuse", "latest", "--reuse-by", "sort_index", "--bump", "minor")
    assert "4 of 7 specs reused" in done.err


def test_other_input_fields_are_refused(folder: Path) -> None:
    allocate(folder)
    (folder / "study.py").write_text(MODULE.replace("    tags:", "    more: int = 1\n    tags:"))
    done = allocate(folder, "--reuse", "latest", "--allow-changed-code", "--bump", "minor", code=2)
    assert "the input fields differ from those of the earlier run: more is new" in done.err


def test_another_experiment_s_run_is_refused(folder: Path) -> None:
    allocate(folder)
    (folder / "study.py").write_text(MODULE.replace("def study(", "def other("))
    text = (folder / "experiment.yml").read_text().replace("study:study", "study:other")
    (folder / "experiment.yml").write_text(text)
    done = allocate(folder, "--reuse", "study/v1.0.0", code=2)
    assert "is a run of study, not of other" in done.err


def test_latest_without_a_run_is_said(folder: Path) -> None:
    done = allocate(folder, "--reuse", "latest", code=3)
    assert "--reuse latest: no run of study in" in done.err


def test_latest_passes_over_runs_without_a_success(folder: Path) -> None:
    allocate(folder)
    table(folder, [3])
    allocate(folder, "--bump", "minor")
    table(folder, FIRST)
    assert "6 of 7 specs reused from v1.0.0" in allocate(folder, "--reuse", "latest", "--bump", "minor").err


def test_an_unfinished_run_gives_what_it_has(folder: Path) -> None:
    table(folder, [0, 1, 3, 3, 3, 3, 3, 3, 4, 5])
    allocate(folder, "--set", "run.max_failures=1", "--set", "run.workers=1", code=5)
    table(folder, [0, 1, 4])
    done = allocate(folder, "--reuse", "latest", "--bump", "minor", code=0)
    assert "2 of 3 specs reused from v1.0.0, 1 to run" in done.err
    assert sorted(final(folder, "scalars")["a"]) == [0, 1, 4]


@pytest.mark.parametrize("delay", [0.0, 0.2, 0.5, 1.0])
def test_killed_and_resumed_the_tables_are_the_same(folder: Path, delay: float) -> None:
    allocate(folder)
    table(folder, [8, 5, 5, 5, 4, 3, 1, 0])
    allocate(folder, "--reuse", "latest", "--bump", "minor")
    wanted = [
        final(folder, name).drop("experiment_id", "workflow_run_id", "root_workflow_run_id")
        for name in ("scalars", "steps")
    ]
    code = "import sys; from scythe_cli.cli.app import run; sys.exit(run(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "allocate", "--reuse", "study/v1.0.0", "--bump", "minor"]
    with subprocess.Popen(command, cwd=folder, stderr=subprocess.DEVNULL, start_new_session=True) as child:
        wait_for(lambda: list((folder / "scythe-runs" / "study").glob("v1.2.0/*/manifest.yml")))
        time.sleep(delay)
        os.killpg(child.pid, signal.SIGKILL)
    done = scythe("allocate", "--resume", "study/v1.2.0", cwd=folder)
    assert done.code in {0, 1}, done.err
    found = [
        final(folder, name).drop("experiment_id", "workflow_run_id", "root_workflow_run_id")
        for name in ("scalars", "steps")
    ]
    assert [one.equals(other) for one, other in zip(found, wanted, strict=True)] == [True, True]


def wait_for(condition: Any) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "the run never began"
        time.sleep(0.01)


def test_a_bucket_gives_its_files_too(folder: Path, s3_storage: str) -> None:
    keys = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}

    def run(*arguments: str) -> Done:
        return scythe("allocate", "--storage", s3_storage, *arguments, cwd=folder, env=keys)

    assert run().code == 1
    ran(folder)
    done = run("--reuse", "latest", "--bump", "minor")
    assert "6 of 7 specs reused from v1.0.0, 1 to run" in done.err
    assert ran(folder) == [3]
    fetched = scythe("download", "study", "here", "--files", "--storage", s3_storage, cwd=folder, env=keys)
    assert fetched.code == 0, fetched.err
    texts = sorted(path.read_text()[:1] for path in (folder / "here").rglob("*.csv.gz"))
    assert texts == ["0", "1", "2", "4", "5", "5"]


MANY = """
import polars as pl
from scythe_cli import ExperimentInputSpec, ExperimentOutputSpec, ExperimentRegistry


class Case(ExperimentInputSpec):
    a: int


class Found(ExperimentOutputSpec):
    twice: int


@ExperimentRegistry.Register()
def study(input_spec: Case) -> Found:
    steps = {"steps": pl.DataFrame({"value": [input_spec.a, 1]})} if input_spec.a % 7 == 0 else {}
    return Found(twice=2 * input_spec.a, dataframes=steps)
"""


def test_blocks_of_a_table_in_another_order_with_frames_and_without(tmp_path: Path) -> None:
    """Each block has rows of all blocks of the earlier run. Taken over in part, a resume takes the rest."""
    (tmp_path / "study.py").write_text(MANY)
    (tmp_path / "experiment.yml").write_text("experiment: study:study\nspecs: specs.csv\n")
    values = list(range(13_000))
    (tmp_path / "specs.csv").write_text("\n".join(["a", *map(str, values)]) + "\n")
    allocate(tmp_path, code=0)
    random.Random(1).shuffle(values)
    (tmp_path / "specs.csv").write_text("\n".join(["a", *map(str, values)]) + "\n")
    done = allocate(tmp_path, "--reuse", "latest", "--bump", "minor", code=0)
    assert "13,000 of 13,000 specs reused" in done.err

    def check() -> None:
        scalars = final(tmp_path, "scalars")
        assert scalars["a"].to_list() == values
        assert scalars["twice"].to_list() == [2 * value for value in values]
        steps = final(tmp_path, "steps")
        assert steps["value"].to_list() == [found for value in values if value % 7 == 0 for found in (value, 1)]

    check()
    run = newest(tmp_path)
    parts = sorted((run / "scatter-gather" / "output").glob("*/g*.pq"))
    assert len(parts) >= 4
    for lost in parts[::2]:
        lost.unlink()
    shutil.rmtree(run / "final")
    for mark in (run / "control").glob("gathered*"):
        mark.unlink()
    assert scythe("allocate", "--resume", "study/v1.1.0", cwd=tmp_path).code == 0
    check()
    assert set(final(tmp_path, "execution")["reused_from"]) == {
        "/".join(min(run.parents[1].glob("v1.0.0/*")).parts[-3:])
    }


def test_files_that_scythe_does_not_know_are_named(tmp_path: Path) -> None:
    (tmp_path / "study.py").write_text(
        "from pathlib import Path\n"
        "from scythe_cli import ExperimentInputSpec, ExperimentOutputSpec, ExperimentRegistry\n\n\n"
        "class Case(ExperimentInputSpec):\n    weather: str\n\n\n"
        "class Found(ExperimentOutputSpec):\n    length: int\n\n\n"
        "@ExperimentRegistry.Register()\ndef study(case: Case) -> Found:\n"
        "    known = Path(__file__).with_name('known.txt').read_text()\n"
        "    return Found(length=len(known + Path(__file__).with_name('data.csv').read_text() + case.weather))\n"
    )
    (tmp_path / "known.txt").write_text("no Python: of any kind\n")
    (tmp_path / "data.csv").write_text("1\n")
    (tmp_path / "a.epw").write_text("a\n")
    (tmp_path / "specs.csv").write_text("weather\na.epw\nno.epw\n")
    (tmp_path / "experiment.yml").write_text(
        "experiment: study:study\nspecs: specs.csv\ncode: {include: [known.txt]}\n"
    )
    assert scythe("allocate", cwd=tmp_path).code == 0
    done = scythe("allocate", "--reuse", "latest", cwd=tmp_path)
    assert done.code == 0, done.err
    assert "2 of 2 specs reused" in done.err
    assert "the code names data.csv: changes there may not be seen. Use code.include" in done.err
    assert "weather = 'a.epw' is a file, and the field is text" in done.err
    assert "known.txt" not in done.err
