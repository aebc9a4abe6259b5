"""`scythe allocate`: what it says on both streams, what it leaves, and how it ends."""

from __future__ import annotations

import json
import re
import shlex
import signal
import subprocess
import time
from pathlib import Path

import polars as pl
import pytest
from command import FILE, MODULE, SCYTHE, Done, environment, installed, project, runs, scythe, tree
from signals import inherited

SOME_FAIL = "x,how\n1,well\n2,badly\n3,well\n4,badly\n5,well\n"
PLACE = "double (doubles.py:23)"
CHECKED = """
    def model_post_init(self, context: object) -> None:
        {}
"""


@pytest.fixture(scope="module")
def some_fail(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Done]:
    folder = project(tmp_path_factory.mktemp("some"), SOME_FAIL)
    return folder, installed("allocate", "experiment.yml", "--bump", "minor", cwd=folder)


def test_what_is_said_and_where(some_fail: tuple[Path, Done]) -> None:
    folder, done = some_fail
    (run,) = runs(folder)
    run_id = f"doubles/v1.0.0/{run.name}"
    assert done.code == 1
    first, *rest = done.out.splitlines()
    assert re.fullmatch(r"3 succeeded, 2 failed in \d+(\.\d)? s", first)
    assert rest == [
        f"  scalars  3 rows  scythe-runs/{run_id}/final/scalars.pq",
        "  errors   2 rows  .../final/errors.pq",
        "  in Python  scythe_cli.open_run('doubles').scalars(tidy=True)",
        f"2x ValueError: cannot double 2.0 in {PLACE}, spec 1",
    ]
    assert done.err.splitlines() == [
        "doubles v1.0.0: 5 specs valid",
        f"run  {run_id}   local, 2 workers",
        "report: scythe report doubles",
        "next: scythe status doubles --errors",
    ]


def test_the_first_run_is_1_0_0_and_a_bump_counts_from_the_latest(some_fail: tuple[Path, Done]) -> None:
    folder, _ = some_fail
    plan = "  run      scythe-runs/doubles/v{}/<time>"
    for flags, version in [
        (["--bump", "major"], "2.0.0"),
        (["--bump", "minor"], "1.1.0"),
        (["--bump", "patch"], "1.0.1"),
        (["--version", "v3.2.1"], "3.2.1"),
        ([], "1.0.0"),
    ][::2]:
        assert plan.format(version) in scythe("allocate", "--dry-run", *flags, cwd=folder).out.splitlines()


def test_json_is_one_document_and_the_exit_code_stays(tmp_path: Path) -> None:
    folder = project(tmp_path, SOME_FAIL)
    done = scythe("allocate", "--json", "--set", "run.workers=1", cwd=folder)
    assert done.code == 1
    document = done.json("allocate")
    (run,) = runs(folder)
    assert document["address"] == str(run)
    assert (document["total"], document["succeeded"], document["failed"], document["missing"]) == (5, 3, 2, 0)
    assert document["rows"] == {"scalars": 3, "errors": 2, "execution": 5}
    assert document["tables"]["errors"] == str(run / "final" / "errors.pq")
    assert "1 worker\n" in done.err


def test_limit_no_wait_and_another_folder(tmp_path: Path) -> None:
    project(tmp_path / "sub")
    done = scythe("allocate", "sub/experiment.yml", "--limit", "1", "--no-wait", "--storage", "there", cwd=tmp_path)
    assert done.code == 0
    assert re.match(r"1 succeeded, 0 failed in .*\n  scalars  1 row   there/doubles/v1.0.0/", done.out)
    assert "--no-wait has no effect: a local run ends with this command\n" in done.err
    assert done.err.endswith("next: scythe download doubles --storage there\n")
    again = scythe("status", "doubles", "--storage", "there", cwd=tmp_path)
    assert again.code == 0
    assert "  1 of 1 spec done, 0 failed" in again.out


def test_a_dry_run_writes_nothing_and_tells_the_leaves(tmp_path: Path) -> None:
    folder = project(tmp_path, file=FILE.replace("retries", "leaf_size: 2, retries"))
    before = tree(folder)
    done = scythe("allocate", "--dry-run", cwd=folder)
    assert done.end == (
        0,
        "doubles: 3 specs valid; a dry run, nothing was written\n"
        "  run      scythe-runs/doubles/v1.0.0/<time>\n"
        "  files    0 input files to upload\n"
        "  work     handed out in 2 packets of up to 2 specs\n"
        "  objects  14 or more\n",
        "",
    )
    document = scythe("allocate", "--dry-run", "--json", "--limit", "1", cwd=folder).json("plan")
    assert (document["n_specs"], document["leaves"], document["largest_leaf"]) == (1, 1, 1)
    assert tree(folder) == before


def test_a_dry_run_prints_the_script_that_slurm_would_get(tmp_path: Path) -> None:
    folder = project(tmp_path, "x\n1\n2\n3\n4\n")
    slurm = ["--engine", "slurm", "--dry-run"]
    assert "#SBATCH --array=0-3\n" in scythe("allocate", *slurm, cwd=folder).out, "a task for each spec"
    assert "#SBATCH --array=0-1\n" in scythe("allocate", *slurm, "--set", "slurm.tasks=2", cwd=folder).out
    assert scythe("allocate", "--limit", "3", cwd=folder).code == 0
    assert "#SBATCH --array=0-0\n" in scythe("allocate", *slurm, "--reuse", "latest", cwd=folder).out


def test_a_probe_without_a_terminal_tells_and_stops(tmp_path: Path) -> None:
    folder = project(tmp_path, SOME_FAIL)
    before = tree(folder)
    done = scythe("allocate", "--probe", "3", cwd=folder)
    assert done.code == 0
    told = done.out.splitlines()
    assert told[0] == "doubles: 3 specs probed, 0 failed"
    assert [line[:11] for line in told[1:]] == ["  a spec   ", "  all      ", "  here     ", "  objects  "]
    assert done.err == "next: the same with --yes runs them all\n"
    assert tree(folder) == before


def test_a_probe_as_json_is_one_document_and_with_yes_the_runs(tmp_path: Path) -> None:
    folder = project(tmp_path, "x,how\n1,badly\n2,well\n")
    document = scythe("allocate", "--probe", "9", "--json", cwd=folder).json("estimate")
    assert (document["probed"], document["n_specs"], document["failed"]) == (2, 2, 1)
    assert document["failures"][0]["error_type"] == "ValueError"
    assert not runs(folder)
    done = scythe("allocate", "--probe", "1", "--json", "--yes", cwd=folder)
    assert done.code == 1
    assert done.json("allocate")["succeeded"] == 1
    assert "doubles: 1 spec probed, 1 failed\n" in done.err


def test_a_probe_of_a_run_that_reuses_another(tmp_path: Path) -> None:
    folder = project(tmp_path)
    assert scythe("allocate", cwd=folder).code == 0
    specs = folder / "specs.csv"
    lines = specs.read_text().splitlines()
    specs.write_text("\n".join([*lines, *lines[1:]]) + "\n")
    rows = len(lines) - 1
    done = scythe("allocate", "--probe", str(2 * rows), "--yes", "--reuse", "latest", cwd=folder)
    assert done.code == 0, done.err
    assert f"{rows} of {2 * rows} specs reused" in done.err + done.out
    assert pl.read_parquet(sorted(runs(folder))[-1] / "final" / "execution.pq")["reused_from"].null_count() == rows


def test_a_probe_of_a_model_that_computes_features(tmp_path: Path) -> None:
    features = "    @property\n    def computed_features(self):\n        return {'root': self.x ** 0.5}\n"
    folder = project(tmp_path, SOME_FAIL, module=MODULE.replace("class Out(", features + "\nclass Out(", 1))
    done = scythe("allocate", "--probe", "2", "--json", cwd=folder)
    assert (done.code, done.json("estimate")["probed"]) == (0, 2), done.err
    assert not runs(folder)


def test_one_spec_alone(some_fail: tuple[Path, Done]) -> None:
    folder, _ = some_fail
    before = tree(folder)
    done = scythe("allocate", "experiment.yml", "--only", "0", "--inline", "--json", cwd=folder)
    assert (done.code, done.err) == (0, "doubling 1.0\n")
    assert done.out == '{\n  "double": 2.0,\n  "note": null,\n  "count": null\n}\n'
    done = scythe("allocate", "--only", "1", "--inline", cwd=folder)
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith(
        f'doubling 2.0\nTraceback (most recent call last):\n  File "{folder}/doubles.py", line 23, in double\n'
    )
    failed = scythe("allocate", "--only", "1", "--inline", "--json", cwd=folder).json("error")["error"]
    assert failed == {"message": "ValueError: cannot double 2.0\nneither now nor later", "hint": None, "exit_code": 1}
    done = scythe("allocate", "--only", "9", "--inline", cwd=folder)
    assert done.end == (3, "", "error: no spec has sort_index 9; the table has 5 specs\n")
    assert tree(folder) == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_run_says_how_to_go_on_and_resume_finishes_it(tmp_path: Path, number: signal.Signals) -> None:
    folder = project(tmp_path, "x,how\n1,well\n2,well\n3,slowly\n4,slowly\n5,slowly\n")
    with inherited(number, signal.SIG_DFL):
        process = subprocess.Popen(
            [SCYTHE, "allocate", "--set", "run.flush=10ms", "--json"], cwd=folder, env=environment(), text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
    deadline = time.monotonic() + 60
    while len(list(folder.glob("scythe-runs/*/*/*/scatter-gather/output/*/*.pq"))) < 1:
        assert time.monotonic() < deadline, tree(folder)
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    (run,) = runs(folder)
    run_id = f"doubles/v1.0.0/{run.name}"
    stopped = Done(process.returncode, out, err)
    assert stopped.code == 130
    assert stopped.json("allocate")["state"] == "incomplete"
    assert stopped.err.splitlines()[-2:] == [
        f"interrupted; {stopped.json('allocate')['succeeded']} of 5 specs are done and kept",
        f"next: scythe allocate --resume {run_id}",
    ]
    if number != signal.SIGINT:
        return
    assert scythe("gather", cwd=folder).code == 5
    (folder / "go").touch()
    done = scythe("allocate", "--resume", run_id, cwd=folder)
    assert (done.code, runs(folder)) == (0, [run])
    assert done.out.startswith("5 succeeded, 0 failed in ")
    assert re.search(rf"resuming {run_id}: \d specs? to run \(\d missing\), \d kept\n", done.err)
    again = scythe("allocate", "--resume", "doubles", "--json", cwd=folder)
    assert (again.code, again.json("allocate")["succeeded"]) == (0, 5)
    assert f"{run_id}: nothing to run; all 5 specs are finished\n" in again.err


def test_resume_runs_the_failed_again_with_the_frozen_settings(tmp_path: Path) -> None:
    folder = project(tmp_path, "x,how\n1,well\n2,badly\n")
    assert scythe("allocate", cwd=folder).code == 1
    (folder / "doubles.py").write_text(MODULE.replace('== "badly"', '== "no more"'))
    (folder / "specs.csv").write_text("x\n7\n")
    refused = scythe("allocate", "--resume", "doubles", cwd=folder)
    assert refused.code == 2
    assert "the code has changed since this run began (" in refused.err
    assert refused.err.endswith("hint: add --allow-changed-code to run the rest with the code as it is now\n")
    nothing = scythe("allocate", "--resume", "doubles", "--missing", cwd=folder)
    assert (nothing.code, nothing.out.splitlines()[0][:21]) == (1, "1 succeeded, 1 failed")
    assert ("nothing to run; all 2 specs are finished" in nothing.err, len(runs(folder))) == (True, 1)
    done = scythe("allocate", "--resume", "doubles", "--failed", "--allow-changed-code", cwd=folder)
    assert done.code == 0
    assert "1 spec to run (1 failed before), 1 kept" in done.err
    (run,) = runs(folder)
    assert pl.read_parquet(run / "final" / "scalars.pq")["double"].to_list() == [2.0, 4.0]


def test_a_resume_that_leaves_specs_out_says_that_the_run_is_not_finished(tmp_path: Path) -> None:
    folder = project(tmp_path, "x\n1\n")
    assert scythe("allocate", cwd=folder).code == 0
    (run,) = runs(folder)
    for part in run.glob("scatter-gather/output/*/*.pq"):
        part.unlink()
    done = scythe("allocate", "--resume", "doubles", "--failed", "--json", cwd=folder)
    run_id = f"doubles/v1.0.0/{run.name}"
    assert (done.code, done.json("allocate")["missing"]) == (5, 1)
    assert done.err == (
        f"{run_id}: nothing to run; 0 of 1 spec is finished\n"
        f"error: {run_id}: 1 of 1 spec has no outcome yet\nhint: scythe allocate --resume {run_id}\n"
    )
    assert scythe("allocate", "--resume", "doubles", "--missing", cwd=folder).code == 0
    alone = scythe("allocate", "--only", "9", "--inline", cwd=folder)
    assert alone.end == (3, "", "error: no spec has sort_index 9; the table has 1 spec\n")


def test_what_the_users_module_prints_is_no_result(tmp_path: Path) -> None:
    module = 'print("importing")\n' + MODULE
    folder = project(tmp_path, "x\n1\n", module=module)
    done = scythe("allocate", "--json", cwd=folder)
    assert (done.code, done.json("allocate")["succeeded"]) == (0, 1)
    assert "importing\n" in done.err
    done = scythe("allocate", "--only", "0", "--inline", "--json", cwd=folder)
    assert (done.code, json.loads(done.out)["double"]) == (0, 2.0)


def test_what_the_users_code_writes_past_python_is_no_result(tmp_path: Path) -> None:
    """Descriptor 1 itself, a child process, and what C code holds back."""
    write = "import ctypes, os, subprocess; os.write(1, b'raw\\n'); subprocess.run(['echo', 'child'], check=True); "
    write += "ctypes.CDLL(None).puts(b'held')"
    module = f"{write}\n{MODULE}".replace("class Out(", CHECKED.format(write) + "\nclass Out(", 1)
    module = module.replace("    print(", f"    {write}; print(")
    folder = project(tmp_path, "x\n1\n", module=module)
    for arguments in ([], ["--dry-run"], ["--probe", "1"], ["--only", "0", "--inline"]):
        done = scythe("allocate", "--json", *arguments, cwd=folder)
        assert (done.code, type(json.loads(done.out))) == (0, dict), arguments
        times = done.err.count("raw\n"), done.err.count("child\n"), done.err.count("held\n")
        assert min(times) == max(times) >= 2, arguments


def test_the_command_to_go_on_with_finds_the_code_of_a_file_elsewhere(tmp_path: Path) -> None:
    project(tmp_path / "sub", "x,how\n1,well\n" + "1,badly\n" * 30)
    stopped = scythe("allocate", "sub/experiment.yml", "--set", "run.max_failures=3", cwd=tmp_path)
    assert stopped.code == 5
    command = shlex.split(stopped.err.splitlines()[-1].rpartition("   ")[2])
    assert command[:4] == ["scythe", "allocate", "sub/experiment.yml", "--resume"]
    for resume in (command[1:], ["allocate", "--resume", "sub/experiment.yml"]):
        done = scythe(*resume, "--set", "run.max_failures=all", cwd=tmp_path)
        assert (done.code, done.out.splitlines()[0][:22]) == (1, "1 succeeded, 30 failed"), done.err


def test_one_spec_alone_is_judged_as_in_a_run(tmp_path: Path) -> None:
    ending = {"a wrong output": "return None", "an exit": "raise SystemExit(3)"}
    for at, (name, line) in enumerate(ending.items()):
        folder = project(tmp_path / name, "x\n1\n", module=MODULE.replace("return Out(double=2 * input_spec.x)", line))
        done = scythe("allocate", "--only", "0", "--inline", cwd=folder)
        told = ["invalid_output: the function returned None, not Out", "SystemExit: 3"][at]
        assert (done.code, told in done.err) == (1, True), done


def test_a_resume_with_other_models_is_refused(tmp_path: Path) -> None:
    folder = project(tmp_path, "x,how\n1,well\n2,badly\n")
    assert scythe("allocate", cwd=folder).code == 1
    before = tree(folder / "scythe-runs")
    module = MODULE.replace("double: float", "double: str").replace("    how: Lit", "    more: int\n    how: Lit")
    (folder / "doubles.py").write_text(module.replace("=2 * input_spec.x", '=""'))
    refused = scythe("allocate", "--resume", "doubles", "--allow-changed-code", cwd=folder)
    assert refused.code == 2
    assert "Out.double was double and is string; In.more is new and has no default\nhint: allocate a new" in refused.err
    assert tree(folder / "scythe-runs") == before
    (folder / "doubles.py").write_text(
        MODULE.replace('== "badly"', '== "no more"').replace(
            "x: float", "more: int = Field(default_factory=lambda: 1)\n    x: float"
        )
    )
    done = scythe("allocate", "--resume", "doubles", "--allow-changed-code", cwd=folder)
    assert (done.code, done.out.splitlines()[0][:21]) == (0, "2 succeeded, 0 failed"), done.err
    assert re.search(r"the code has changed since this run began \(\w{12} then, \w{12} now\)\n", done.err)


def test_a_resume_of_a_complete_run_writes_nothing(tmp_path: Path) -> None:
    folder = project(tmp_path, "x\n1\n2\n")
    assert scythe("allocate", cwd=folder).code == 0
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("scythe-runs/**/*")}
    done = scythe("allocate", "--resume", "doubles", cwd=folder)
    assert (done.code, done.out.splitlines()[0][:21]) == (0, "2 succeeded, 0 failed")
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("scythe-runs/**/*")} == before
    typo = scythe("allocate", "--resume", "doubles", "--set", "run.timout=3", cwd=folder)
    assert (typo.code, "Did you mean 'timeout'?" in typo.err) == (2, True)


@pytest.mark.parametrize("command", ["allocate", "gather"])
def test_a_termination_outside_of_specs_is_told_and_leaves_nothing(tmp_path: Path, command: str) -> None:
    folder = project(tmp_path / "home", "x\n1\n")
    (tmp_path / "temp").mkdir()
    if command == "gather":
        assert scythe("allocate", cwd=folder).code == 0
    waits = tmp_path / "sitecustomize.py"
    waits.write_text(
        "import time, scythe_cli.operations.gather as g\nfrom pathlib import Path\n"
        "def wait(self):\n    Path(r'%s').touch()\n    time.sleep(60)\ng._Gather.build = wait\n" % (tmp_path / "there")
    )
    env = environment(PYTHONPATH=str(tmp_path), TMPDIR=str(tmp_path / "temp"))
    process = subprocess.Popen(
        [SCYTHE, command, *["doubles"][: command == "gather"]], cwd=folder, env=env, text=True, stderr=subprocess.PIPE
    )
    deadline = time.monotonic() + 60
    while not (tmp_path / "there").exists():
        assert time.monotonic() < deadline and process.poll() is None, process.communicate()
        time.sleep(0.02)
    process.terminate()
    said = process.communicate(timeout=60)[1]
    assert (process.returncode, "interrupted" in said) == (130, True), said
    assert list((tmp_path / "temp").rglob("*")) == []


def test_a_resume_keeps_what_makes_the_run(tmp_path: Path) -> None:
    folder = project(tmp_path, "x,how\n1,badly\n")
    assert scythe("allocate", cwd=folder).code == 1
    refused = scythe("allocate", "--resume", "doubles", "--set", "name=other", cwd=folder)
    assert refused.end == (
        2, "", "error: --set name  a resume cannot change name\nhint: leave it out\n",
    )  # fmt: skip
    away = scythe("allocate", "--resume", "doubles", "--engine", "hatchet", cwd=folder)
    assert away.code == 4, "the engine that was asked for is the one that is used"
    assert "HATCHET_CLIENT_TOKEN is not set" in away.err


def test_a_run_that_is_stopped_says_why_and_exits_5(tmp_path: Path) -> None:
    folder = project(tmp_path, "x,how\n" + "1,badly\n" * 30)
    done = scythe("allocate", cwd=folder)
    (run,) = runs(folder)
    assert done.code == 5
    assert re.fullmatch(rf"\d+x ValueError: cannot double 1.0 in {re.escape(PLACE)}, spec \d+\n", done.out)
    assert "error: the first 2" in done.err
    assert f"hint: scythe status doubles/v1.0.0/{run.name} --errors   then, after you fixed it:   " in done.err


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--bump", "minor", "--version", "1.2.3"], "use --bump or --version, not both"),
        (["--only", "3"], "use --only and --inline together\nhint: scythe allocate --only SORT_INDEX --inline"),
        (["--inline"], "use --only and --inline together\nhint: scythe allocate --only SORT_INDEX --inline"),
        (["--resume", "a", "--bump", "major"], "--bump cannot be used with --resume"),
        (["--resume", "a", "--dry-run"], "--dry-run cannot be used with --resume"),
        (["--failed"], "--failed and --missing need --resume\nhint: add --resume RUN"),
        (
            ["--resume", "a", "--failed", "--missing"],
            "use --failed or --missing, not both\nhint: without them, --resume runs the missing and the failed specs",
        ),
        (["--dry-run", "--probe", "3"], "use --probe or --dry-run, not both"),
        (
            ["--allow-changed-code"],
            "--allow-changed-code needs --resume or --reuse\nhint: add --resume RUN or --reuse RUN",
        ),
        (
            ["--limit", "0"],
            "Invalid value for '--limit': Input should be greater than or equal to 1\nhint: scythe allocate --help",
        ),
        (["--version", "1.2"], "'1.2' is not a version: write three numbers, as in v1.2.3"),
        (["--set", "run.timout=3"], "--set run.timout=3  run.timout is not a setting. Did you mean 'timeout'?"),
        (
            ["--engine", "locl"],
            "--engine locl  engine is 'locl': must be 'local', 'hatchet', 'shared' or 'slurm'. Did you mean 'local'?",
        ),
    ],
)
def test_flags_that_do_not_go_together(tmp_path: Path, flags: list[str], told: str) -> None:
    folder = project(tmp_path)
    before = tree(folder)
    assert scythe("allocate", *flags, cwd=folder).end == (2, "", f"error: {told}\n")
    assert tree(folder) == before


def test_reuse_latest_in_the_file_allows_a_first_run(tmp_path: Path) -> None:
    folder = project(tmp_path, "x,how\n1,badly\n", file=FILE + "reuse: latest\n")
    note = "experiment.yml:5  reuse: no earlier run of doubles has a spec that succeeded; all specs run\n"
    for specs, code in (("x,how\n1,badly\n", 1), ("x,how\n1,well\n", 0)):
        (folder / "specs.csv").write_text(specs)
        done = scythe("allocate", "--bump", "minor", cwd=folder)
        assert (done.code, note in done.err) == (code, True), done.err
    done = scythe("allocate", "--bump", "minor", cwd=folder)
    assert (done.code, "1 of 1 specs reused from v1.1.0" in done.err) == (0, True), done.err
    (folder / "experiment.yml").write_text(FILE.replace("name: doubles", "name: others"))
    flag = scythe("allocate", "--reuse", "latest", cwd=folder)
    assert (flag.code, flag.err.startswith("error: --reuse latest: no run of others in ")) == (3, True), flag.err
