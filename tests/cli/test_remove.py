"""What `remove` promises, over every store: all that scythe wrote goes, in an order that a repeat can continue."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from command import project, scythe, tree

from scythe_cli.core import layout, yaml_document
from scythe_cli.core.layout import Mark
from scythe_cli.errors import ConfigError, NotFinishedError, NotFoundError, StoreError
from scythe_cli.operations.gather import gather
from scythe_cli.operations.resume import remaining
from scythe_cli.operations.status import status
from scythe_cli.remove.own_objects import REMOVED, contents
from scythe_cli.remove.remove import refuse_at_work, remove
from scythe_cli.remove.selection import RunSelection, select
from scythe_cli.run import lease
from scythe_cli.run.claim import claim
from scythe_cli.run.find import find
from scythe_cli.run.run import OriginalRun, Run, open_run, spec_id_prefix
from scythe_cli.run.version import SemVer
from scythe_cli.storage.open_store import open_store

if TYPE_CHECKING:
    from scythe_cli.errors import StoreError as Broken
    from scythe_cli.storage.base import Store

MODULE = """
from pathlib import Path
import pandas as pd
from scythe_cli import ExperimentInputSpec, ExperimentOutputSpec, ExperimentRegistry, FileReference

class In(ExperimentInputSpec):
    x: float
    weather: FileReference

class Out(ExperimentOutputSpec):
    y: float
    report: FileReference

@ExperimentRegistry.Register()
def double(input_spec: In, tempdir: Path) -> Out:
    if input_spec.x == 3:
        (tempdir / "eplusout.err").touch()
        raise ValueError("too much")
    path = tempdir / "report.tar.gz"
    path.write_text("report")
    frame = pd.DataFrame({"hour": [1, 2]})
    return Out(y=2 * input_spec.x, report=path, dataframes={"hourly": frame})
"""
STRANGERS = ("notes.txt", "final/mine.pq", "results/report/mine.csv", "artifacts/weather/mine.epw", "control/notes.txt")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run with every kind of object."""
    folder = project(tmp_path_factory.mktemp("project"), "x,weather\n1,w.epw\n2,w.epw\n3,w.epw\n", module=MODULE)
    (folder / "w.epw").write_text("sunny")
    done = scythe("allocate", "--set", "run.keep_failed=true", "--set", "run.retries=1", cwd=folder)
    assert done.code == 1, done
    (run,) = folder.glob("scythe-runs/doubles/*/*")
    return run


def clone(finished: Path, storage: Store, moment: str) -> str:
    """The same run at another time; its id."""
    run_id, ours = f"doubles/v1.0.0/{moment}", spec_id_prefix(f"doubles/v1.0.0/{finished.name}")
    for path in finished.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            if path.name in {layout.MANIFEST, layout.INPUT_ARTIFACTS}:
                data = data.replace(finished.name.encode(), moment.encode())
            key = path.relative_to(finished).as_posix()
            storage.write(f"{run_id}/{key.replace(ours, spec_id_prefix(run_id))}", data)
    return run_id


def chosen(storage: Store, pattern: str, **how: object) -> list[Run]:
    """The runs that a `remove` is about; none is left out with a sentence."""
    skipped: list[str] = []
    broken: list[Broken] = []
    found = select(
        storage, pattern, RunSelection(**how), on_skipped=skipped.append, on_broken=broken.append  # type: ignore[arg-type]
    )  # fmt: skip
    assert (skipped, broken) == ([], [])
    return found


class Promises:
    """The contract. A subclass gives the storage."""

    @pytest.fixture
    def storage(self, address: str, finished: Path) -> Store:
        """Two runs of one version."""
        storage = open_store(address)
        for moment in (finished.name, "2026-01-31_12-00-00"):
            clone(finished, storage, moment)
        return storage

    @pytest.fixture
    def run(self, storage: Store, finished: Path) -> Run:
        return open_run(storage, f"doubles/v1.0.0/{finished.name}")

    def test_nothing_is_left(self, storage: Store, run: Run) -> None:
        before = contents(run)
        assert before.foreign == []
        kinds = {key.partition("/")[0] for key in before.bulk}
        assert kinds == {"artifacts", "failed", "final", "results", "scatter-gather"}
        assert any("/_attempts/" in key for key in before.bulk)
        done = remove(run)
        assert (done.run, done.n_files, done.n_bytes, done.left) == (run.id, before.n_files, before.n_bytes, [])
        assert list(run.store.list()) == []
        assert storage.children("doubles/v1.0.0") == ["2026-01-31_12-00-00"]

    def test_what_others_wrote_stays(self, run: Run) -> None:
        for key in STRANGERS:
            run.store.write(key, b"mine")
        assert remove(run).left == sorted(STRANGERS)
        assert sorted(entry.key for entry in run.store.list()) == sorted(STRANGERS)

    @pytest.mark.parametrize("n", [0, 3, 15])
    def test_a_removal_that_was_cut_is_seen_and_continues(
        self, storage: Store, run: Run, n: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        deleted: list[str] = []
        store_type = type(run.store)
        original = store_type.delete

        def fails(store: Store, key: str) -> None:
            if len(deleted) == n:
                raise StoreError("the network is gone")
            deleted.append(key)
            original(store, key)

        with monkeypatch.context() as patched:
            patched.setattr(store_type, "delete", fails)
            patched.setattr("scythe_cli.remove.remove.DELETERS", 1)
            with pytest.raises(StoreError, match="network"):
                remove(run)
        left = {entry.key for entry in run.store.list()}
        assert {REMOVED, layout.MANIFEST} <= left
        again = open_run(storage, run.id)
        assert status(again).state == "removing"
        for operation in (remaining, gather):
            with pytest.raises(NotFoundError, match="partly removed"):
                operation(again)
        assert remove(again).n_files == len(left)
        assert list(run.store.list()) == []

    def test_the_mark_comes_first_and_the_manifest_goes_last(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        deleted: list[str] = []
        store_type = type(run.store)
        original = store_type.delete

        def noted(store: Store, key: str) -> None:
            if not deleted:
                assert store.stat(REMOVED)
            deleted.append(key)
            original(store, key)

        monkeypatch.setattr(store_type, "delete", noted)
        remove(run)
        assert deleted[-2:] == [REMOVED, layout.MANIFEST]

    def test_a_run_at_work_is_refused_and_unchanged(self, run: Run) -> None:
        before = {entry.key for entry in run.store.list()}
        with lease.hold(run.store):
            note = lease.seen_holder(run.store)
            assert note is not None
            with pytest.raises(NotFinishedError, match=rf"is at work \(process {os.getpid()} on"):
                remove(run)
        assert {entry.key for entry in run.store.list()} >= before

    def test_a_run_that_is_about_to_begin_is_refused(self, run: Run) -> None:
        store = run.store
        for entry in list(store.list(layout.CONTROL)):
            if entry.key != layout.CLAIM:
                store.delete(entry.key)
        claim = yaml_document.read(store.read(layout.CLAIM).decode(), layout.CLAIM).data
        created = "2999-01-01T00:00:00+00:00"  # after this process has begun
        store.write(layout.CLAIM, yaml_document.write({**claim, "pid": os.getpid(), "created": created}).encode())
        with pytest.raises(NotFinishedError, match=f"at work .process {os.getpid()} on"):
            refuse_at_work(run)

    def test_a_claim_without_a_manifest(self, storage: Store, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        """What an allocate leaves that was killed before the manifest goes by its whole id, and the claim goes last."""
        run.store.delete(layout.MANIFEST)
        for kind in (Mark.GENERATION, Mark.ENDED, Mark.GATHERED):
            run.store.delete(layout.mark(kind, 1))
        run.store.write("artifacts/weather/mine.epw", b"mine")
        before = {entry.key for entry in run.store.list()}
        with pytest.raises(NotFoundError, match="is not a run: its allocate") as told:
            find(storage, run.id)
        assert told.value.hint is not None
        assert told.value.hint.endswith(f"scythe remove {run.id}")
        (claimed,) = chosen(storage, run.id)
        for pattern in ("doubles/v1.0.0/2026-01-31_12-00-01", "nobody"):
            with pytest.raises(NotFoundError):
                chosen(storage, pattern)
        assert [one.id for one in chosen(storage, "doubles", every=True)] == ["doubles/v1.0.0/2026-01-31_12-00-00"]
        deleted: list[str] = []
        store_type = type(run.store)
        original = store_type.delete

        def noted(store: Store, key: str) -> None:
            deleted.append(key)
            original(store, key)

        monkeypatch.setattr(store_type, "delete", noted)
        done = remove(claimed)
        assert deleted[-2:] == [REMOVED, layout.CLAIM]
        assert done.n_files == len(before) - 1
        assert (done.left, [entry.key for entry in run.store.list()]) == (["artifacts/weather/mine.epw"],) * 2
        with pytest.raises(NotFoundError):
            chosen(storage, run.id)

    @pytest.mark.parametrize(
        ("change", "hours", "refused"),
        [
            ({}, 0.0, f"process {os.getpid()} on"),
            ({"pid": 2**22 + 1}, 0.0, None),
            ({"host": "elsewhere"}, 3.0, "process on elsewhere claimed it less than a day ago"),
            ({"namespace": "another container"}, 3.0, "claimed it less than a day ago"),
            ({"host": "elsewhere"}, 25.0, None),
        ],
        ids=["at work", "ended", "elsewhere", "another container", "elsewhere and old"],
    )
    def test_a_claim_that_may_be_at_work(
        self, storage: Store, change: dict[str, object], hours: float, refused: str | None
    ) -> None:
        ours = claim(storage, "doubles", SemVer(), now=lambda: datetime.now(UTC) - timedelta(hours=hours))
        note = yaml_document.read(ours.store.read(layout.CLAIM).decode(), layout.CLAIM).data
        ours.store.write(layout.CLAIM, yaml_document.write({**note, **change}).encode())
        (found,) = chosen(storage, ours.id)
        with pytest.raises(NotFinishedError, match=refused) if refused else nullcontext():
            remove(found)
        assert bool(list(ours.store.list())) == bool(refused)

    def test_workers_elsewhere_that_were_just_stopped(self, run: Run) -> None:
        key = layout.mark(Mark.GENERATION, 1)
        note = yaml_document.read(run.store.read(key).decode(), key).data
        run.store.write(key, yaml_document.write({**note, "engine": "hatchet"}).encode())
        run.store.delete(layout.mark(Mark.ENDED, 1))
        for ago, refused in ((5.0, True), (300.0, False)):
            at = (datetime.now(UTC) - timedelta(seconds=ago)).isoformat()
            run.store.write(layout.mark(Mark.CANCEL, 1), yaml_document.write({"by": "me", "at": at}).encode())
            with pytest.raises(NotFinishedError, match="stopped 5 s ago") if refused else nullcontext():
                refuse_at_work(run)

    def test_a_run_of_scythe_engine_is_refused(self, run: Run) -> None:
        with pytest.raises(ConfigError, match="made by scythe-engine"):
            refuse_at_work(OriginalRun(run.store, run.manifest))

    def test_which_runs_a_name_means(self, storage: Store, run: Run) -> None:
        older = "doubles/v1.0.0/2026-01-31_12-00-00"

        def ids(pattern: str, **how: object) -> list[str]:
            return [one.id for one in chosen(storage, pattern, **how)]

        assert ids(run.id) == [run.id]
        with pytest.raises(ConfigError, match="'doubles/v1' fits 2 runs"):
            ids("doubles/v1")
        assert sorted(ids("doubles", every=True)) == sorted([run.id, older])
        assert len(ids("doubles/v1.0.0", keep_latest=True)) == 1
        assert ids("doubles", older_than=10 * 365 * 86400.0) == []
        assert ids(older, older_than=0.0) == [older]
        with pytest.raises(NotFoundError):
            ids("doubles/v2", every=True)


class TestFolder(Promises):
    """A folder of the disk."""

    @pytest.fixture
    def address(self, tmp_path: Path) -> str:
        return str(tmp_path / "store")

    def test_its_folders_go_too_and_others_stay(self, storage: Store, run: Run, tmp_path: Path) -> None:
        (tmp_path / "store" / run.id / "plots").mkdir()
        remove(run)
        assert [path.name for path in (tmp_path / "store" / run.id).iterdir()] == ["plots"]
        remove(open_run(storage, "doubles/v1.0.0/2026-01-31_12-00-00"))
        (tmp_path / "store" / run.id / "plots").rmdir()
        assert [path.name for path in (tmp_path / "store/doubles/v1.0.0").iterdir()] == [run.id.rpartition("/")[2]]

    def test_a_copy_and_a_link_out_of_it(self, run: Run, tmp_path: Path) -> None:
        copy = tmp_path / "copy"
        (tmp_path / "store" / run.id).rename(copy)
        (tmp_path / "mine.pq").write_bytes(b"mine")
        (copy / "final" / "scalars.pq").unlink()
        (copy / "final" / "scalars.pq").symlink_to(tmp_path / "mine.pq")
        (copy / "results" / "elsewhere").symlink_to(tmp_path)
        remove(open_run(open_store(str(copy)), ""))
        assert (tmp_path / "mine.pq").read_bytes() == b"mine"
        assert [path.name for path in copy.rglob("*") if path.is_symlink()] == ["scalars.pq", "elsewhere"]

    def test_the_last_run_leaves_the_storage(self, storage: Store, run: Run, tmp_path: Path) -> None:
        remove(run)
        remove(open_run(storage, "doubles/v1.0.0/2026-01-31_12-00-00"))
        assert list((tmp_path / "store").iterdir()) == []


class TestS3(Promises):
    """Moto's server, over HTTP."""

    @pytest.fixture
    def address(self, s3_storage: str) -> str:
        return s3_storage


def test_the_command(finished: Path, tmp_path: Path) -> None:
    for moment in ("2026-01-31_12-00-00", "2026-02-28_12-00-00"):
        run_id = clone(finished, open_store(str(tmp_path / "runs")), moment)
        (tmp_path / "runs" / run_id / "notes.txt").touch()
    before = tree(tmp_path / "runs")
    several = scythe("remove", "doubles", "--storage", "runs", cwd=tmp_path)
    assert several.end == (
        2,
        "",
        f"error: 'doubles' fits 2 runs: {run_id}, doubles/v1.0.0/2026-01-31_12-00-00\n"
        "hint: name one of them, or add --all, --older-than 90d or --keep-latest\n",
    )
    asked = scythe("remove", run_id, "--storage", "runs", cwd=tmp_path)
    assert (asked.code, asked.out) == (2, "")
    assert re.match(rf"{run_id}   \d+ files, [\d.]+ kB, .* old\nerror: remove asks .*\nhint: add --yes\n", asked.err)
    assert scythe("remove", "doubles", "--storage", "runs", "--older-than", "90x", cwd=tmp_path).code == 2
    nothing = scythe("remove", "doubles", "--storage", "runs", "--all", "--older-than", "9999d", cwd=tmp_path)
    assert (nothing.code, nothing.err) == (0, "nothing to remove: no run of doubles is left after these options\n")
    assert tree(tmp_path / "runs") == before
    done = scythe("remove", "doubles", "--storage", "runs", "--keep-latest", "-y", "--json", cwd=tmp_path)
    (gone,) = done.json("remove")["removed"]
    assert (gone["run"], gone["left"]) == ("doubles/v1.0.0/2026-01-31_12-00-00", ["notes.txt"])
    assert scythe("status", "doubles", "--storage", "runs", "--json", cwd=tmp_path).json("status")["run"] == run_id
    last = scythe("remove", f"runs/{run_id}", "--yes", cwd=tmp_path)
    assert re.fullmatch(rf"removed {run_id}   \d+ files, [\d.]+ kB\n.*\n", last.out)
    stays = f"  1 file that scythe did not write stays in runs/{run_id}: notes.txt"
    assert last.out.splitlines()[1] == stays
    assert scythe("remove", run_id, "--storage", "runs", "--yes", cwd=tmp_path).code == 3


def test_what_a_killed_allocate_left(tmp_path: Path) -> None:
    """A real one, killed while it uploads: the files that it has sent are known as its own."""
    folder = project(tmp_path / "project", "x,weather\n1,w.epw\n", module=MODULE)
    (folder / "w.epw").write_text("sunny")
    kill = "import os\nfrom scythe_cli.operations import allocate\nfrom scythe_cli.cli.app import main\n"
    kill += "allocate.write_specs = lambda *_, **__: os._exit(9)\nmain()"
    killed = subprocess.run([sys.executable, "-c", kill, "allocate"], cwd=folder, capture_output=True, check=False)
    assert killed.returncode == 9, killed.stderr
    (left,) = folder.glob("scythe-runs/doubles/v1.0.0/*")
    run_id = f"doubles/v1.0.0/{left.name}"
    assert [path.name for path in left.glob("artifacts/weather/*")] == ["w.epw"]
    shown = scythe("status", run_id, cwd=folder)
    assert (shown.code, shown.err.count(f"scythe remove {run_id}")) == (3, 1), shown
    done = scythe("remove", run_id, "--yes", cwd=folder)
    assert (done.code, "never became a run\n" in done.err) == (0, True), done
    assert done.out.startswith(f"removed {run_id}   ")
    assert not (folder / "scythe-runs" / "doubles").exists()
