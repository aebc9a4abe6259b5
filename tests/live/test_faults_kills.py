"""Any process may die at any time: lanes, their fork server, allocate, all at once. Resume makes it good."""

from __future__ import annotations

import contextlib
import os
import random
import re
import signal
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import faults
import psutil
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from scythe_cli.core import layout
from scythe_cli.core.events import ignore
from scythe_cli.operations.gather import gather
from scythe_cli.run.outcomes import KIND, ROW
from scythe_cli.run.parts import read_part
from scythe_cli.run.precedence import list_parts
from scythe_cli.run.state import read_state
from scythe_cli.supervisor import pool

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from scythe_cli.run.run import Run

pytestmark = pytest.mark.slow

N = 120
SECONDS = 0.03
SEED = int(os.environ.get("SCYTHE_TEST_SEED", time.time_ns() % 100_000))


@pytest.fixture(autouse=True)
def traces(tmp_path: Path) -> Iterator[faults.Traces]:
    with faults.temporary(tmp_path / "tmp") as traces:
        yield traces
        traces.check()


def specs(diary: Path, n: int = N) -> list[dict[str, Any]]:
    """Of all kinds, and each row takes the same time."""
    return [{"trouble": "none", "diary": str(diary), "seconds": SECONDS} for _ in range(n)]


def begin(tmp_path: Path, diary: Path, n: int = N, **settings: Any) -> Run:
    settings = {"flush": 0.3, "retries": 3} | settings
    return faults.begin(tmp_path / "runs", specs(diary, n), function="trouble:steady", **settings)


def contents(run: Run) -> dict[str, pa.Table]:
    """The final tables without what differs from run to run: ids, paths, timings."""
    report = gather(run)
    found = {}
    for name in report.tables:
        table = pq.read_table(pa.BufferReader(run.store.read(layout.final(name))))
        for column in ("experiment_id", "workflow_run_id", "root_workflow_run_id", "diary"):
            table = table.drop_columns([column])
        if name == layout.EXECUTION:
            table = table.drop_columns(["attempts", "start", "duration", "worker", "generation"])
        if name == layout.FILE_REFS:
            files = table.column("report").to_pylist()
            texts = [file and run.store.read(file.removeprefix(f"{run.store.locate('')}/")).decode() for file in files]
            table = table.set_column(0, "report", pa.array(texts, pa.string()))
        found[name] = table.replace_schema_metadata(None)
    return found


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, pa.Table]:
    folder = tmp_path_factory.mktemp("undisturbed")
    run = begin(folder, folder / "diary")
    assert faults.drive(faults.first(run)) is None
    found = contents(run)
    assert {name: table.num_rows for name, table in found.items()} == {
        "scalars": N,
        "errors": 0,
        "result_file_refs": N,
        "monthly": 2 * N // 3,
        "execution": N,
    }
    return found


def flushed(run: Run) -> set[int]:
    """The rows that have succeeded, as the store tells it."""
    rows: set[int] = set()
    for part in list_parts(run.store):
        table = read_part(run.store, part.key, [ROW, KIND])
        rows |= {
            int(row) for row in table.filter(pc.is_null(table.column(KIND))).column(ROW).to_pylist() if row is not None
        }
    return rows


def descend(pid: int) -> list[psutil.Process]:
    """A driver's fork server and lanes."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).children(recursive=True)
    return []


def fork_servers(pid: int) -> list[int]:
    """Those of a process's runs; a test's process has other children too."""
    return [
        child.pid
        for child in psutil.Process(pid).children()
        if "scythe_cli.lane.fork_server" in " ".join(child.cmdline())
    ]


def kill(victims: list[int]) -> None:
    for victim in victims:
        with contextlib.suppress(ProcessLookupError):
            os.kill(victim, signal.SIGKILL)


def victims(driver: int, what: str, chance: random.Random) -> list[int]:
    below = descend(driver)
    server = [process.pid for process in below if process.ppid() == driver]
    lanes = [process.pid for process in below if process.pid not in server]
    return {
        "lane": chance.sample(lanes, 1) if lanes else [],
        "server": server,
        "allocate": [driver],
        "everything": [driver, *server, *lanes],
    }[what]


def one_round(tmp_path: Path, undisturbed: dict[str, pa.Table], chance: random.Random, kills: int) -> None:
    """Kill at random moments, resume until done, compare."""
    tmp_path.mkdir()
    diary = tmp_path / "diary"
    diary.touch()
    run = begin(tmp_path, diary)
    repeated = 0
    options: list[str] = []
    for _ in range(chance.randint(1, kills)):
        what = chance.choice(["lane", "server", "allocate", "everything"])
        safe, before = flushed(run), diary.read_text().split()
        with faults.driver(run, *options) as process:
            faults.wait_for(lambda: descend(process.pid) or process.poll() is not None, seconds=20)
            with contextlib.suppress(Exception):
                process.wait(chance.uniform(0, 3.0))
            with contextlib.suppress(psutil.NoSuchProcess):
                if process.poll() is None:  # its number is another's once it is reaped
                    kill(victims(process.pid, what, chance))
            if what in ("allocate", "everything"):
                process.wait()
            else:
                assert process.wait(faults.DEADLINE) == 0, process.stdout and process.stdout.read()
        assert not safe & {int(row) for row in diary.read_text().split()[len(before) :]}, "a flushed spec ran again"
        repeated += 2
        options = ["--resume"]
    safe, before = flushed(run), diary.read_text().split()
    with faults.driver(run, *options) as process:
        faults.result(process)
    ran = [int(row) for row in diary.read_text().split()]
    assert not safe & set(ran[len(before) :]), "a flushed spec ran again"
    assert set(ran) == set(range(N))
    per_kill = faults.LANES * (1 + (0.3 + 1.0) / SECONDS)
    assert len(ran) - N <= repeated * per_kill, f"{len(ran) - N} specs were repeated"
    assert contents(run) == undisturbed


def rounds(tmp_path: Path, undisturbed: dict[str, pa.Table], n: int, *, kills: int) -> None:
    for at in range(n):
        seed = SEED + at
        try:
            one_round(tmp_path / str(at), undisturbed, random.Random(seed), kills)
        except BaseException:
            print(f"round {at} of seed {SEED}: SCYTHE_TEST_SEED={seed} repeats it as the first")
            raise


def test_killed_at_random_and_resumed(tmp_path: Path, undisturbed: dict[str, pa.Table]) -> None:
    print(f"SCYTHE_TEST_SEED={SEED}")
    rounds(tmp_path, undisturbed, 2, kills=1)


@pytest.mark.soak
def test_killed_thirty_times(tmp_path: Path, undisturbed: dict[str, pa.Table]) -> None:
    print(f"SCYTHE_TEST_SEED={SEED}")
    rounds(tmp_path, undisturbed, 30, kills=3)


def test_a_killed_fork_server_is_nobodys_fault(tmp_path: Path, traces: faults.Traces) -> None:
    specs = [{"trouble": "none", "seconds": 0.05} for _ in range(40)]
    specs[5] = {"trouble": "waits_for_an_endless_tree", "tag": traces.tag}
    run = faults.begin(tmp_path / "runs", specs, retries=0, timeout=4)
    ticket = faults.submit(faults.first(run))
    with faults.later(traces.processes_of_specs, lambda: kill(fork_servers(os.getpid()))):
        assert ticket.wait(ignore) is None
    tables = faults.tables(run)
    assert tables.kinds == {"timeout": 1}


def test_a_spec_that_kills_the_fork_server_is_found(tmp_path: Path) -> None:
    specs = [{"trouble": "kills_its_parent" if at == 5 else "none", "seconds": 0.02} for at in range(20)]
    run = faults.begin(tmp_path / "runs", specs, retries=0)
    assert faults.drive(faults.first(run)) is None
    tables = faults.tables(run)
    assert {row: failure["kind"] for row, failure in tables.bad.items()} == {5: "crash"}


def test_a_fork_server_that_tells_of_no_death_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "KILL_SECONDS", 1.0)
    specs = [{"trouble": "stops_its_parent" if at == 5 else "none", "seconds": 0.02} for at in range(20)]
    run = faults.begin(tmp_path / "runs", specs, retries=0, timeout=0.7)
    assert faults.drive(faults.first(run)) is None
    assert {row: failure["kind"] for row, failure in faults.tables(run).bad.items()} == {5: "timeout"}


def test_the_second_signal_does_not_wait_for_a_fork_server(tmp_path: Path) -> None:
    diary = tmp_path / "diary"
    diary.touch()
    run = faults.begin(tmp_path / "runs", [{"trouble": "stops_its_parent", "diary": str(diary)}] * 4)
    with faults.driver(run) as process:
        faults.wait_for(diary.read_text)
        process.send_signal(signal.SIGINT)
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        began = time.monotonic()
        faults.result(process, 130)
    assert time.monotonic() - began < 8


def has_lines(diary: Path, n: int) -> bool:
    return len(diary.read_text().split()) > n


def test_killed_lanes_cost_a_second_at_most(tmp_path: Path) -> None:
    diary = tmp_path / "diary"
    diary.touch()
    run = begin(tmp_path, diary, 120, flush=30)
    with faults.driver(run, lanes=1) as process:
        for _ in range(2):
            enough = len(diary.read_text().split()) + 35
            faults.wait_for(partial(has_lines, diary, enough))
            kill(victims(process.pid, "lane", random.Random(0)))
        faults.result(process)
    ran = diary.read_text().split()
    assert len(ran) - 120 <= 2 * (1 + 1.0 / SECONDS)
    assert read_state(run).complete


def test_what_specs_started_dies_with_a_killed_allocate(tmp_path: Path, traces: faults.Traces) -> None:
    specs = [{"trouble": "waits_for_an_endless_tree", "tag": traces.tag}] * 2
    run = faults.begin(tmp_path / "runs", specs)
    with faults.driver(run) as process:
        faults.wait_for(lambda: len(traces.processes_of_specs()) >= 4, traces.processes)
        process.kill()
        process.wait()
        faults.wait_for(lambda: not traces.processes(), traces.processes, seconds=5)
    assert re.search("scythe-", str(sorted(tmp_path.rglob("tmp/*")))), "the folder of the dead is swept by the next"
    with faults.driver(begin(tmp_path, tmp_path / "diary", 2)) as process:
        faults.result(process)


def test_leftovers_of_a_kill_of_everything_are_swept_by_the_next(tmp_path: Path, traces: faults.Traces) -> None:
    run = faults.begin(tmp_path / "runs", [{"trouble": "waits_for_an_endless_tree", "tag": traces.tag}] * 2)
    with faults.driver(run) as process:
        faults.wait_for(lambda: len(traces.processes_of_specs()) >= 4, traces.processes)
        below = victims(process.pid, "everything", random.Random(0))
        kill([pid for pid in below if not _is_sleep(pid)])
        process.wait()
    with faults.driver(begin(tmp_path, tmp_path / "diary", 2)) as process:
        faults.result(process)


def _is_sleep(pid: int) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).name() in ("sleep", "sh", "setsid")
    return True
