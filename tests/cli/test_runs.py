"""`scythe status`, `gather`, `download` and `cancel`: every form of RUN, their words and their documents."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
from command import FILE, MODULE, SCYTHE, Done, check, environment, installed, project, runs, scythe, together, tree

from scythe_cli.cli import app
from scythe_cli.core import layout
from scythe_cli.core.layout import Mark
from scythe_cli.storage.open_store import open_store

SOME_FAIL = "x,how\n1,well\n2,badly\n3,well\n"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of v1.0.0, v1.1.0 and v2.0.0, the latest of them in time v1.1.0."""
    folder = project(tmp_path_factory.mktemp("home"), SOME_FAIL)
    for version in ("1.0.0", "2.0.0", "1.1.0"):
        assert scythe("allocate", "--version", version, cwd=folder).code == 1
        began = max(run.name for run in runs(folder))
        while datetime.now(UTC).strftime(layout.TIME_FORMAT) <= began:  # which is the latest is told to the second
            time.sleep(0.01)
    return folder


@pytest.fixture(scope="module")
def ids(home: Path) -> list[str]:
    return [str(run.relative_to(home / "scythe-runs")) for run in runs(home)]


def test_every_form_of_run(home: Path, ids: list[str]) -> None:
    first, second, third = ids
    wanted = {
        "doubles": third,
        "doubles/v1": second,
        "doubles/1": second,
        "doubles/v1.0": first,
        "doubles/v1.0.0": first,
        first: first,
        f"{home}/scythe-runs/{first}": first,
        f"scythe-runs/{first}/": first,
        "experiment.yml": third,
        f"{home}/experiment.yml": third,
    }
    ended = together({run: (["status", run, "--json"], home) for run in wanted})
    assert {run: (done.code, json.loads(done.out)["run"]) for run, done in ended.items()} == {
        run: (0, run_id) for run, run_id in wanted.items()
    }


def test_a_run_is_found_from_elsewhere(home: Path, ids: list[str], tmp_path: Path) -> None:
    for arguments, env in [
        (["--storage", str(home / "scythe-runs")], {}),
        ([], {"SCYTHE_STORAGE": str(home / "scythe-runs")}),
    ]:
        done = scythe("status", "doubles", "--json", *arguments, cwd=tmp_path, env=env)
        assert (done.code, done.json("status")["run"]) == (0, ids[2])
    moved = tmp_path / "moved"
    shutil.copytree(home / "scythe-runs", moved)
    done = scythe("gather", f"moved/{ids[0]}", "--json", cwd=tmp_path)
    assert done.json("gather")["tables"]["scalars"] == str(moved / ids[0] / "final" / "scalars.pq")


def test_a_copy_of_a_run_goes_by_its_folder(home: Path, ids: list[str], tmp_path: Path) -> None:
    copy = tmp_path / "a copy"
    shutil.copytree(home / "scythe-runs" / ids[0], copy)
    shutil.rmtree(copy / "final")
    seen = scythe("status", copy, "--json", cwd=home).json("status")
    assert (seen["run"], seen["address"], seen["done"]) == (ids[0], str(copy), 3)
    done = scythe("gather", "a copy", cwd=tmp_path)
    assert done.end == (
        0,
        f"{ids[0]}   2 succeeded, 1 failed\n"
        "  scalars  2 rows  a copy/final/scalars.pq\n"
        "  errors   1 row   .../final/errors.pq\n",
        "next: scythe download 'a copy'\n",
    )
    got = scythe("download", f"{copy}/", "got", cwd=home)
    assert (got.code, (home / "got" / "final" / "scalars.pq").is_file()) == (0, True), got.err
    shutil.rmtree(home / "got")
    for part in copy.glob("scatter-gather/output/*/*.pq"):
        part.unlink()
    done = scythe("gather", ".", cwd=copy)
    assert (done.code, "hint: scythe allocate --resume . " in done.err) == (5, True), done.err
    refused = scythe("allocate", "--resume", copy, "--engine", "hatchet", cwd=home)
    assert (refused.code, f"hint: move it to <storage>/{ids[0]}, or add --engine local\n" in refused.err) == (2, True)
    done = scythe("allocate", "--resume", copy, cwd=home)
    assert (done.code, done.out[:21], f"next: scythe status '{copy}' --errors\n" in done.err) == (
        1,
        "2 succeeded, 1 failed",
        True,
    )
    assert scythe("status", tmp_path, cwd=home).code == 3


def test_a_copy_in_a_bucket_goes_by_its_address(
    home: Path, ids: list[str], s3_storage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    copy, run = open_store(f"{s3_storage}/copy"), home / "scythe-runs" / ids[0]
    for path in filter(Path.is_file, run.rglob("*")):
        copy.write(str(path.relative_to(run)), path.read_bytes())
    assert app.run(["status", f"{s3_storage}/copy/"]) == 0
    said = capsys.readouterr()
    assert said.out.startswith(f"{ids[0]}   finished (1 failed)\n")
    assert said.err == f"next: scythe status {s3_storage}/copy --errors\n"
    assert app.run(["status", f"{s3_storage}/nothing"]) == 3
    assert capsys.readouterr().err == f"error: {s3_storage}/nothing is not a run: it has no manifest.yml\n"


@pytest.mark.parametrize("command", ["status", "gather", "download", "cancel"])
@pytest.mark.parametrize(
    ("run", "message"),
    [
        ("duobles", "no run matches 'duobles' in {storage}. Did you mean 'doubles'?"),
        ("doubles/v3", "no run matches 'doubles/v3' in {storage}."),
        ("doubles/v1.0.0/2020-01-01_00-00-00", "no run matches 'doubles/v1.0.0/2020-01-01_00-00-00' in {storage}."),
    ],
)
def test_a_run_that_is_not_there_is_3_with_the_nearest(
    home: Path, ids: list[str], command: str, run: str, message: str
) -> None:
    done = scythe(command, run, cwd=home)
    assert (done.code, done.out) == (3, "")
    said, hint = done.err.splitlines()
    assert said == "error: " + message.format(storage=home / "scythe-runs")
    assert hint.startswith("hint: the latest runs: ")
    assert set(hint.removeprefix("hint: the latest runs: ").split(", ")) == set(ids)
    told = scythe(command, run, "--json", cwd=home)
    assert (told.code, told.err.splitlines()[0]) == (3, said)
    assert told.json("error")["error"]["message"] == message.format(storage=home / "scythe-runs")


def test_without_run_and_without_file(tmp_path: Path) -> None:
    told = "error: RUN is missing, and this folder has no experiment.yml\nhint: scythe status lists the latest runs\n"
    for command in ("gather", "download", "cancel"):
        assert scythe(command, cwd=tmp_path).end == (2, "", told)
    assert scythe("status", cwd=tmp_path).end == (0, "no runs in scythe-runs\n", "next: scythe init DIR\n")
    assert tree(tmp_path) == {}


def test_status_of_one(home: Path, ids: list[str]) -> None:
    done = installed("status", "doubles", cwd=home)
    heading, counts, *tables = done.out.splitlines()
    assert (done.code, done.err) == (0, f"next: scythe status {ids[2]} --errors\n")
    assert heading == f"{ids[2]}   finished (1 failed)"
    assert counts.startswith("  3 of 3 specs done, 1 failed   ")
    assert tables == [f"  scalars  scythe-runs/{ids[2]}/final/scalars.pq", "  errors   .../final/errors.pq"]


def test_the_errors_of_one(home: Path, ids: list[str]) -> None:
    done = scythe("status", "doubles/v1.0.0", "--errors", cwd=home)
    assert done.code == 0
    assert done.out.splitlines()[4:] == [
        "",
        "1x ValueError: cannot double 2.0 in double (doubles.py:23), spec 1",
        "  kind     exception, 1 attempt",
        "  inputs   x=2.0, how='badly'",
        "  message  neither now nor later",
        f'  trace    File "{home}/doubles.py", line 23, in double',
        """             raise ValueError(f"cannot double {input_spec.x}\\nneither now nor later")""",
        "  log      doubling 2.0",
        "  alone    scythe allocate --only 1 --inline",
    ]
    resume = f"scythe allocate --resume {ids[0]} --allow-changed-code"
    assert done.err == (
        f"next: scythe allocate --only 1 --inline   then, after a fix:   {resume}   or: scythe download {ids[0]}\n"
    )
    (group,) = scythe("status", "--errors", "--json", cwd=home).json("status")["failures"]
    assert (group["count"], group["sort_index"], group["inputs"]) == (1, 1, {"x": 2.0, "how": "badly"})
    assert group["traceback"].endswith('neither now nor later")')
    alone = scythe("allocate", "--only", "1", "--inline", cwd=home)
    assert (alone.code, alone.err.splitlines()[-2:]) == (
        1,
        ["ValueError: cannot double 2.0", "neither now nor later"],
    )


def test_the_command_that_runs_one_spec_fits_the_folder(home: Path, ids: list[str], tmp_path: Path) -> None:
    done = scythe("status", f"{home}/experiment.yml", "--errors", cwd=tmp_path)
    assert f"  alone    scythe allocate {home}/experiment.yml --only 1 --inline\n" in done.out
    done = scythe("status", "doubles", "--errors", "--storage", home / "scythe-runs", cwd=tmp_path)
    assert "  alone    in the experiment's folder: scythe allocate FILE --only 1 --inline\n" in done.out
    (tmp_path / "experiment.yml").write_text(FILE)
    here = scythe("status", f"{home}/scythe-runs/{ids[0]}", "--errors", cwd=tmp_path)
    assert "  alone" not in here.out, "the file in this folder has a storage, and so perhaps specs, of its own"


def test_other_experiment_files_of_the_folder_are_not_read(home: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.yml").write_text(FILE)
    done = scythe("status", "doubles", "--errors", "--storage", home / "scythe-runs", cwd=tmp_path)
    assert "  alone    in the experiment's folder: scythe allocate FILE --only 1 --inline\n" in done.out


def test_the_command_that_runs_one_spec_takes_the_specs_of_the_run(tmp_path: Path) -> None:
    folder = project(tmp_path)
    for name, specs in {"a": "x\n1\n2\n", "b": "x,how\n1,well\n2,badly\n"}.items():
        (folder / f"{name}.csv").write_text(specs)
        (folder / f"{name}.yml").write_text(
            FILE.replace("specs.csv", f"{name}.csv").replace("s\nrun", f"s_{name}\nrun")
        )
    assert scythe("allocate", "b.yml", cwd=folder).code == 1

    def alone(run: str) -> str:
        lines = scythe("status", run, "--errors", cwd=folder).out.splitlines()
        return next((line.removeprefix("  alone    ") for line in lines if line.startswith("  alone")), "")

    assert alone("b.yml") == "scythe allocate b.yml --only 1 --inline"
    done = scythe(*alone("b.yml").split()[1:], cwd=folder)
    assert (done.code, "cannot double 2.0" in done.err) == (1, True)
    (folder / "b.yml").unlink()
    assert alone("doubles_b") == "scythe allocate --set specs=b.csv --only 1 --inline"
    (folder / "b.csv").unlink()
    assert alone("doubles_b") == ""


def test_the_latest_runs(home: Path, ids: list[str]) -> None:
    done = scythe("status", cwd=home)
    width = len(ids[0])
    assert (done.code, done.err) == (0, f"next: scythe status {ids[1]}\n")
    heading, *lines = done.out.splitlines()
    assert heading.startswith(f"{'run':<{width}}  state     done  failed  ")
    for line, run in zip(lines, (ids[1], ids[2], ids[0]), strict=True):
        assert line.startswith(f"{run}  finished   3/3       1  ")
    document = scythe("status", "--json", cwd=home).json("runs")
    assert document["storage"] == str(home / "scythe-runs")
    assert [run["run"] for run in document["runs"]] == [ids[1], ids[2], ids[0]]
    for run in document["runs"]:
        check(run, "status")
    assert document["runs"][0] == scythe("status", ids[1], "--json", cwd=home).json("status") | {"failures": []}


def test_the_table_does_not_read_the_parts_of_a_gathered_run(home: Path, ids: list[str], tmp_path: Path) -> None:
    shutil.copytree(home / "scythe-runs", tmp_path / "scythe-runs")
    for part in tmp_path.glob("scythe-runs/*/*/*/scatter-gather/output"):
        shutil.rmtree(part)
    with_parts, without = (scythe("status", cwd=folder).out.splitlines() for folder in (home, tmp_path))
    assert [line.split()[:4] for line in without] == [line.split()[:4] for line in with_parts]
    assert "0 of 3 specs done" in scythe("status", ids[0], cwd=tmp_path).out


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        (layout.MANIFEST, "; restore it from a copy; other runs are not affected"),
        (layout.mark(Mark.GENERATION, 1), "; restore it from a copy, or remove "),
    ],
)
def test_the_table_leaves_out_a_run_that_cannot_be_read(
    home: Path, ids: list[str], tmp_path: Path, key: str, hint: str
) -> None:
    shutil.copytree(home, tmp_path / "home")
    broken = tmp_path / "home" / "scythe-runs" / ids[1] / key
    broken.write_bytes(broken.read_bytes()[:9])
    done = scythe("status", cwd=tmp_path / "home")
    assert done.code == 0
    assert [line.split()[0] for line in done.out.splitlines()] == ["run", ids[2], ids[0]]
    said, following = done.err.splitlines()
    assert said.startswith(f"left out: {broken} is empty, cut or changed")
    assert hint in said
    assert following == "next: scythe status doubles"
    document = scythe("status", "--json", cwd=tmp_path / "home").json("runs")
    assert [run["run"] for run in document["runs"]] == [ids[2], ids[0]]
    assert scythe("status", ids[1], cwd=tmp_path / "home").code == 4
    missing = scythe("status", "trebles", cwd=tmp_path / "home")
    assert (missing.code, f"{ids[0]}" in missing.err) == (3, True)


def test_a_storage_of_runs_that_cannot_be_read(home: Path, tmp_path: Path) -> None:
    shutil.copytree(home, tmp_path / "home")
    for run in runs(tmp_path / "home"):
        (run / layout.MANIFEST).write_text("")
    done = scythe("status", cwd=tmp_path / "home")
    assert (done.code, done.out) == (0, "no runs that can be read in scythe-runs\n")
    assert [line.partition(":")[0] for line in done.err.splitlines()] == ["left out"] * 3


def test_watch_ends_with_the_run(home: Path, ids: list[str]) -> None:
    done = scythe("status", "--watch", cwd=home)
    assert (done.code, done.out.splitlines()[0]) == (0, f"{ids[2]}   finished (1 failed)")
    assert scythe("status", "--watch", "--json", cwd=home).json("status")["run"] == ids[2]


def test_gather(home: Path, ids: list[str]) -> None:
    done = scythe("gather", "doubles/v1.0.0", cwd=home)
    assert done.end == (
        0,
        f"{ids[0]}   2 succeeded, 1 failed\n"
        f"  scalars  2 rows  scythe-runs/{ids[0]}/final/scalars.pq\n"
        "  errors   1 row   .../final/errors.pq\n",
        f"next: scythe download {ids[0]}\n",
    )
    document = scythe("gather", "--json", cwd=home).json("gather")
    assert (document["succeeded"], document["failed"], document["missing"]) == (2, 1, 0)


def test_download(home: Path, ids: list[str], tmp_path: Path) -> None:
    storage = ["--storage", str(home / "scythe-runs")]
    done = scythe("download", "doubles/v1.0.0", *storage, cwd=tmp_path)
    said, *tables = done.out.splitlines()
    assert done.code == 0
    assert said.startswith(f"{ids[0]}   3 files fetched (")
    assert said.endswith("), 3 files in doubles-v1.0.0")
    assert tables == ["  scalars  doubles-v1.0.0/final/scalars.pq", "  errors   .../final/errors.pq"]
    again = scythe("download", "doubles/v1.0.0", *storage, cwd=tmp_path)
    assert again.out.startswith(f"{ids[0]}   0 files fetched (0 bytes), 3 files in ")
    document = scythe("download", ids[1], "there", "--files", "--json", *storage, cwd=tmp_path).json("download")
    assert (document["fetched_files"], document["folder"]) == (3, str(tmp_path / "there"))
    done = scythe("download", ids[1], "other", "--filter", "nothing", *storage, cwd=tmp_path)
    assert (done.code, done.out) == (3, "")
    (tmp_path / "a-file").touch()
    done = scythe("download", ids[1], "a-file", *storage, cwd=tmp_path)
    assert (done.code, done.out) == (4, "")


def test_cancel_of_a_complete_run(home: Path, ids: list[str]) -> None:
    done = scythe("cancel", cwd=home)
    assert done.end == (0, f"{ids[2]} is complete; there is nothing to cancel\n", "")
    assert scythe("cancel", "--json", cwd=home).json("cancel")["done"] == 3


@pytest.fixture(scope="module")
def cut(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, dict[str, Done]]:
    """A run that is watched, cancelled while it is under way, and looked at from every side."""
    folder = project(tmp_path_factory.mktemp("cut"), "x,how\n1,well\n2,slowly\n3,slowly\n")
    process = subprocess.Popen(
        [SCYTHE, "allocate", "--set", "run.flush=10ms"], cwd=folder, env=environment(), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    ended = {}
    while not list(folder.glob("scythe-runs/*/*/*/scatter-gather/output/*/*.pq")):
        assert process.poll() is None, process.communicate()
    ended["running"] = scythe("status", "doubles", cwd=folder)
    ended["resume while it runs"] = scythe("allocate", "--resume", "doubles", cwd=folder)
    ended["cancel"] = scythe("cancel", cwd=folder)
    ended["cancel again"] = scythe("cancel", cwd=folder)
    out, err = process.communicate(timeout=60)
    ended["allocate"] = Done(process.returncode, out, err)
    ended["status"] = scythe("status", "doubles", cwd=folder)
    ended["gather"] = scythe("gather", cwd=folder)
    ended["download"] = scythe("download", cwd=folder)
    (elsewhere := folder / "elsewhere").mkdir()
    for command in ("gather", "download"):
        ended[f"{command} from elsewhere"] = scythe(command, "doubles", "--storage", "../scythe-runs", cwd=elsewhere)
    ended["partial"] = scythe("gather", "--partial", cwd=folder)
    (folder / "go").touch()
    ended["resume"] = scythe("allocate", "--resume", "doubles", cwd=folder)
    (run,) = runs(folder)
    return folder, f"doubles/v1.0.0/{run.name}", ended


def test_a_run_under_way(cut: tuple[Path, str, dict[str, Done]]) -> None:
    _, run, ended = cut
    assert ended["running"].code == 0
    assert ended["running"].out.startswith(f"{run}   running (by process ")
    assert "\n  1 of 3 specs done, 0 failed" in ended["running"].out
    assert ended["running"].err == f"next: scythe status {run} --watch\n"
    assert ended["resume while it runs"].code == 5
    assert "error: the run is held by process " in ended["resume while it runs"].err


def test_a_cancelled_run(cut: tuple[Path, str, dict[str, Done]]) -> None:
    _, run, ended = cut
    todo = f"next: scythe gather {run} --partial   or: scythe allocate --resume {run}\n"
    said = f"{run} is cancelled; its specs stop within seconds; 1 of 3 specs are done\n"
    assert ended["cancel"].end == (0, said, todo)
    assert (ended["cancel again"].code, ended["cancel again"].err) == (0, todo)
    assert ended["cancel again"].out.startswith(f"{run} was cancelled by ")
    assert (ended["allocate"].code, ended["allocate"].out) == (5, "")
    assert "error: cancelled by " in ended["allocate"].err
    assert ended["allocate"].err.endswith(f"; 1 of 3 specs are done and kept\nhint: scythe allocate --resume {run}\n")
    assert ended["status"].out.startswith(f"{run}   cancelled (by ")
    assert ended["status"].err == f"next: scythe allocate --resume {run}\n"


def test_an_incomplete_run(cut: tuple[Path, str, dict[str, Done]]) -> None:
    folder, run, ended = cut
    assert (ended["gather"].code, ended["gather"].out) == (5, "")
    assert ended["gather"].err.startswith(f"error: {run}: 2 of 3 specs have no outcome yet\nhint: scythe allocate --r")
    assert (ended["download"].code, ended["download"].out) == (5, "")
    assert ended["download"].err.endswith(f"hint: scythe gather {run}\n")
    there = f"{run} --storage {folder}/scythe-runs"
    partial = f"{there}   or, to build the tables without them:   scythe gather {there} --partial"
    assert ended["gather from elsewhere"].err.endswith(f"\nhint: scythe allocate --resume {partial}\n")
    assert ended["download from elsewhere"].err.endswith(f"\nhint: scythe gather {there}\n")
    assert ended["partial"].out.startswith(f"{run}   1 succeeded, 0 failed, 2 missing: the tables are partial\n")
    assert ended["partial"].err == f"next: scythe allocate --resume {run}\n"
    assert (ended["resume"].code, ended["resume"].out[:21]) == (0, "3 succeeded, 0 failed")
    assert re.search(r"\nthis run was cancelled by \S+@\S+ at \d{4}-\S+; it continues now\n", ended["resume"].err)


def test_a_run_whose_function_has_another_name(tmp_path: Path) -> None:
    module = MODULE.replace("Register()", 'Register(name="twice")')
    folder = project(tmp_path, module=module, file=FILE.replace("name: doubles\n", ""))
    assert scythe("allocate", cwd=folder).code == 0
    assert "twice/v1.0.0/" in scythe("gather", cwd=folder).out


def test_a_log_that_paints_the_terminal_is_told_plainly(tmp_path: Path) -> None:
    module = MODULE.replace('"doubling", input_spec.x', r'"\x1b[2J\x1b[31mred\x1b[0m :bug: [bold]\x07"')
    module = module.replace(
        'f"cannot double {input_spec.x}\\nneither now nor later"', r'"\x1b]0;title\x07 gone \x1b[1A"'
    )
    folder = project(tmp_path, "x,how\n1,badly\n2,well\n", module=module)
    done = scythe("allocate", cwd=folder)
    assert "1x ValueError: gone in double (doubles.py:23), spec 0\n" in done.out
    assert "  log      red :bug: [bold]\n" in scythe("status", "doubles", "--errors", cwd=folder).out


def test_a_message_and_a_stack_without_end_are_told_in_some_lines(tmp_path: Path) -> None:
    module = MODULE.replace(
        'f"cannot double {input_spec.x}\\nneither now nor later"',
        r'"\n".join(["m" * 3000] * 99)',
    )
    module = module.replace("class In(", "def deep(n):\n    return 1 / 0 if n == 0 else deep(n - 1)\n\nclass In(")
    module = module.replace("while input_spec.how", "deep(200) if input_spec.x == 3 else 0\n    while input_spec.how")
    folder = project(tmp_path, "x,how\n1,badly\n3,well\n", module=module)
    assert scythe("allocate", cwd=folder).code == 1
    lines = scythe("status", "doubles", "--errors", cwd=folder).out.splitlines()
    assert max(map(len, lines)) < 200
    assert len(lines) < 45
    deepest = lines.index("1x ZeroDivisionError: division by zero in deep (doubles.py:10), spec 1")
    shown = [line[11:] for line in lines[deepest + 1 :] if line.startswith(("  trace  ", "           "))]
    assert len(shown) == 6
    assert shown[-1].strip().startswith("[Previous line repeated ")
    groups = scythe("status", "doubles", "--errors", "--json", cwd=folder).json("status")["failures"]
    assert {len(group["traceback"]) <= 2048 for group in groups} == {True}


def test_a_reader_that_leaves(home: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as gone:
        for stream in ({"stdout": gone, "stderr": subprocess.PIPE}, {"stdout": subprocess.PIPE, "stderr": gone}):
            done = subprocess.run([SCYTHE, "status"], cwd=home, env=environment(), check=False, text=True, **stream)  # type: ignore[call-overload]  # two streams
            assert (done.returncode, done.stderr or "") == (141, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
def test_a_full_disk_is_no_bug(home: Path) -> None:
    for arguments in (["status"], ["status", "--json"], ["--help"]):
        with Path("/dev/full").open("w") as full:
            done = subprocess.run(
                [SCYTHE, *arguments],
                cwd=home,
                env=environment(),
                check=False,
                text=True,
                stdout=full,
                stderr=subprocess.PIPE,
            )
        assert (done.returncode, done.stderr) == (4, "error: nothing more can be written: No space left on device\n")


BROKEN = {
    "manifest": (
        b"experiment_id: doub",
        "manifest.yml is empty, cut or changed, or was written by another version of scythe",
    ),
    "lease": (b"", "control/lease-9.yml is empty, cut or changed"),
    "cut lease": (b"host: a\nboot_id", "control/lease-9.yml is empty, cut or changed"),
    "specs": (None, "scatter-gather/input/0.pq cannot be read: "),
    "columns": (None, "control/outcomes.pq cannot be read: "),
}


@pytest.mark.parametrize("which", BROKEN)
def test_an_object_that_is_cut_is_named(home: Path, ids: list[str], tmp_path: Path, which: str) -> None:
    shutil.copytree(home, tmp_path, dirs_exist_ok=True)
    run = tmp_path / "scythe-runs" / ids[0]
    data, said = BROKEN[which]
    path = run / said.split()[0]
    path.write_bytes(path.read_bytes()[:-100] if data is None else data)
    arguments = {"specs": ["gather", ids[0]], "columns": ["gather", ids[0]]}.get(
        which, ["allocate", "--resume", ids[0]]
    )
    done = scythe(*arguments, cwd=tmp_path)
    assert done.code == 4, done.err
    lines = [line for line in done.err.splitlines() if not line.startswith("resuming")]
    assert lines[-2].startswith(f"error: {run}/{said}")
    assert lines[-1].startswith("hint: ")


def test_specs_that_are_cut_end_a_resume(home: Path, ids: list[str], tmp_path: Path) -> None:
    shutil.copytree(home, tmp_path, dirs_exist_ok=True)
    block = tmp_path / "scythe-runs" / ids[0] / "scatter-gather/input/0.pq"
    block.write_bytes(block.read_bytes()[:-100])
    done = scythe("allocate", "--resume", ids[0], cwd=tmp_path)
    assert (done.code, f"error: {block} cannot be read: " in done.err) == (4, True), done.err


def test_stray_files_beside_a_runs_own_are_passed_over(home: Path, ids: list[str], tmp_path: Path) -> None:
    shutil.copytree(home, tmp_path, dirs_exist_ok=True)
    run = tmp_path / "scythe-runs" / ids[0]
    for name in ("control/lease-5.yml.swp", "control/lease-x.yml", "control/.DS_Store", "final/x.txt", "manifest.yml~"):
        (run / name).write_bytes(b"\xff")
    for arguments in (["status", ids[0]], ["gather", ids[0]], ["allocate", "--resume", ids[0]]):
        done = scythe(*arguments, cwd=tmp_path)
        assert done.code in (0, 1), done.err


def test_a_store_that_fails_in_a_run_leaves_a_way_on(tmp_path: Path) -> None:
    module = MODULE.replace("print(", "Path(__file__).with_name('began').touch(); print(")
    folder = project(tmp_path, "x,how\n1,slowly\n2,slowly\n3,well\n", module=module)
    with ThreadPoolExecutor(1) as pool:
        ending = pool.submit(scythe, "allocate", cwd=folder)
        while not (folder / "began").exists():
            time.sleep(0.01)
        (run,) = runs(folder)
        (run / "scatter-gather" / "output").write_text("a file where a folder should be")
        (folder / "go").touch()
        done = ending.result()
    assert done.code == 4
    run_id = run.relative_to(folder / "scythe-runs")
    assert done.err.endswith(f"\nhint: what is done is kept; then: scythe allocate --resume {run_id}\n"), done.err
    (run / "scatter-gather" / "output").unlink()
    assert scythe("allocate", "--resume", str(run_id), cwd=folder).code == 0


def test_a_cancel_counts_what_its_process_has_not_stored_yet(tmp_path: Path) -> None:
    folder = project(tmp_path, "x,how\n1,well\n2,slowly\n3,slowly\n")
    process = subprocess.Popen(
        [SCYTHE, "allocate"], cwd=folder, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 60
    while True:
        now = scythe("status", "doubles", "--json", cwd=folder)
        live = json.loads(now.out).get("live") if now.code == 0 else None
        if live and live["done"]:
            break
        assert time.monotonic() < deadline, now
        time.sleep(0.2)
    done = scythe("cancel", cwd=folder)
    process.wait(60)
    said, more = done.out.splitlines()
    assert said.endswith("; 0 of 3 specs are done")
    assert more == "  1 more is done and is stored before its process ends"
    assert "1 of 3 specs done" in scythe("status", "doubles", cwd=folder).out
