"""One run, one truth: a run has one live generation, whoever allocates, resumes, cancels or dies."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from fleet import Fleet, begin, fleet, look, plots, until

from scythe_cli.core import layout
from scythe_cli.engines.hatchet.client.engine import HatchetEngine
from scythe_cli.operations import resume
from scythe_cli.operations.cancel import cancel
from scythe_cli.run.engine import EndReason

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from scythe_cli.run.engine import Work


pytestmark = pytest.mark.slow


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Fleet]:
    """An engine that has no worker yet."""
    with fleet(tmp_path) as found:
        yield found


def next_generation(work: Work) -> Work:
    """All that is left of a run, as a generation of its own."""
    return resume.resumed_work(work.run, work.experiment, resume.remaining(work.run))


def at_work(engine: HatchetEngine, work: Work) -> int:
    """Tasks of every generation that are queued or running."""
    return sum(engine._api.counts(f"{work.run.id}/1", f"{work.run.id}/2"))


def test_a_cancel_ends_every_generation(empty: Fleet, tmp_path: Path) -> None:
    diary = tmp_path / "diary"
    work, engine = begin(empty, plots(20, diary=str(diary))), HatchetEngine()
    engine.submit(work)
    engine.submit(next_generation(work))
    cancel(work.run)
    empty.start("late")
    until(lambda: at_work(engine, work) == 0, "no task at work", state=empty.logs)
    assert not diary.exists()
    assert look(work).left == 20


def test_the_mark_in_the_directory_stops_what_runs_without_the_engine(empty: Fleet) -> None:
    empty.start("one")
    work, engine = begin(empty, plots(40, seconds=0.5), run__grace=1, run__flush=0.2), HatchetEngine()
    engine.submit(work)
    until(lambda: look(work).done, "a first part", state=empty.logs)
    cancel(work.run)
    until(lambda: at_work(engine, work) == 0, "no task at work", state=empty.logs, timeout=30)
    assert look(work).left > 20


def test_a_later_generation_ends_an_earlier_one(empty: Fleet, tmp_path: Path) -> None:
    diary = tmp_path / "diary"
    work, engine = begin(empty, plots(20, diary=str(diary))), HatchetEngine()
    engine.submit(work)
    later = engine.submit(next_generation(work))
    empty.start("late")
    assert later.wait(lambda _: None) is None, empty.logs()
    until(lambda: at_work(engine, work) == 0, "no task at work", state=empty.logs)
    assert sorted(map(int, diary.read_text().split())) == list(range(20))


def test_a_damaged_part_of_an_earlier_generation_ends_this_one(empty: Fleet) -> None:
    empty.start("one")
    work, engine = begin(empty, plots(20, seconds=0.5), run__grace=1, run__flush=0.2), HatchetEngine()
    engine.submit(work)
    until(lambda: look(work).done, "a first part", state=empty.logs)
    cancel(work.run)
    until(lambda: at_work(engine, work) == 0, "no task at work", state=empty.logs, timeout=30)
    later = next_generation(work)
    store = work.run.store
    parts = [part for entry in store.list(layout.OUTPUT) if (part := layout.PartName.parse(entry.key)) is not None]
    data = bytearray(store.read(parts[0].key))
    data[len(data) // 2] ^= 0xFF
    store.write(parts[0].key, bytes(data))
    ended = engine.submit(later).wait(lambda _: None)
    assert ended is not None
    assert ended.reason is EndReason.STOPPED
    assert store.locate(parts[0].key) in ended.detail
    assert sum(map(len, resume.remaining(work.run).missing)) == parts[0].rows
