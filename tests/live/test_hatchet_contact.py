"""First contact with an engine, and engines that hang, are old, or are not there: named soon, in plain words."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from desk import Desk, ended
from fleet import FIELD, REAL, fleet, until
from hatchet_double import Settings

from scythe_cli.engines.hatchet.client.engine import HatchetEngine
from scythe_cli.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

pytestmark = pytest.mark.slow

ENGINE_PID = os.environ.get("SCYTHE_TEST_HATCHET_PID")
"""Of a real engine, which the tests may stop for some seconds."""


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Desk]:
    """A folder beside an engine that has no worker."""
    with fleet(tmp_path) as found:
        yield Desk(tmp_path / "desk", found)


class Stopped:
    """A real engine that does nothing while the block lasts."""

    def __enter__(self) -> None:
        os.kill(int(ENGINE_PID or 0), signal.SIGSTOP)

    def __exit__(self, *_: object) -> None:
        os.kill(int(ENGINE_PID or 0), signal.SIGCONT)


def frozen(desk: Desk) -> AbstractContextManager[None]:
    if desk.fleet.double is not None:
        return desk.fleet.double.frozen()
    if ENGINE_PID is None:
        pytest.skip("SCYTHE_TEST_HATCHET_PID does not give the engine's process")
    return Stopped()


def test_status_of_a_run_whose_engine_hangs_takes_five_seconds_and_invents_nothing(alone: Desk) -> None:
    alone.write(4)
    assert alone.scythe("allocate").code == 0
    with frozen(alone):
        done = alone.scythe("status", "grow")
    assert done.code == 0
    assert done.seconds < 7
    assert "does not answer: no answer within three seconds" in done.out
    assert "queued" not in done.out
    assert "MaxRetryError" not in done.out


def test_allocate_is_refused_before_anything_is_written_when_the_engine_hangs(alone: Desk) -> None:
    alone.write(4)
    with frozen(alone):
        done = alone.scythe("allocate")
    assert done.code == 4
    assert "does not answer" in done.err
    assert done.seconds < 10
    assert not list(alone.fleet.storage.rglob("manifest.yml"))


def test_a_run_without_a_worker_has_no_eta(alone: Desk) -> None:
    alone.write(4)
    alone.scythe("allocate")
    shown = alone.scythe("status", "grow")
    assert "1 task queued, 0 with workers" in shown.out
    reasons = ["no worker is connected"]
    if REAL:  # where workers of other tests and people may be
        reasons.append(f"workers has this run's storage {alone.fleet.storage}")
    assert any(why in shown.out for why in reasons), shown.out
    assert "ETA" not in shown.out


def test_status_names_the_workers_that_take_no_specs_of_the_run(alone: Desk, tmp_path: Path) -> None:
    alone.write(4)
    (tmp_path / "elsewhere").mkdir()
    alone.fleet.start("elsewhere", "--storage", str(tmp_path / "elsewhere"))
    alone.scythe("allocate")
    shown = alone.scythe("status", "grow")
    assert "worker elsewhere   2 slots   takes no specs of this run" in shown.out


def test_a_run_that_waits_for_the_lanes_of_another_says_so(alone: Desk) -> None:
    alone.write(400, seconds=0.5)
    alone.fleet.start("busy", slots=1)
    assert alone.scythe("allocate").code == 0
    until(lambda: " 0 of 400" not in alone.scythe("status", "grow").out, "a first spec")
    assert alone.scythe("allocate").code == 0
    until(
        lambda: "the only worker that could take grow is busy with other runs" in alone.scythe("status", "grow").out,
        "the reason",
        state=lambda: alone.scythe("status", "grow").out,
    )


@pytest.mark.parametrize("command", ["allocate", "worker"])
def test_a_forgotten_tls_strategy_is_named(alone: Desk, command: str) -> None:
    alone.write(4)
    alone.fleet.storage.mkdir()
    began = time.monotonic()
    done = ended(alone.start(command, env={"HATCHET_CLIENT_TLS_STRATEGY": None}))
    assert done.code == 4, done.err
    assert "HATCHET_CLIENT_TLS_STRATEGY is not set" in done.err
    assert [line.partition(":")[0] for line in done.err.strip().splitlines()] == ["error", "hint"]
    assert time.monotonic() - began < 30  # five seconds after the SDK's import, which a busy machine makes long


@pytest.mark.skipif(REAL, reason="the real engine is new enough")
def test_an_engine_that_is_too_old_is_named(tmp_path: Path) -> None:
    with fleet(tmp_path, Settings(version="v0.70.1")), pytest.raises(EngineError) as caught:
        HatchetEngine()
    assert "is v0.70.1: this hatchet-sdk needs v0.80.0 or newer" in caught.value.message


def test_a_worker_looks_at_its_storage_first(alone: Desk, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    alone.write(4)
    done = alone.scythe("worker", "--storage", str(tmp_path / "file" / "runs"))
    assert done.code == 4, done.err


def test_two_storages_are_refused(alone: Desk, tmp_path: Path) -> None:
    alone.write(4)
    other = Desk(tmp_path / "other", alone.fleet, name="other").write(4, storage=str(tmp_path / "elsewhere"))
    done = alone.scythe("worker", "experiment.yml", str(other))
    assert done.code == 2
    assert str(tmp_path / "elsewhere") in done.err


def test_a_worker_says_that_it_serves_when_the_engine_knows_it(alone: Desk) -> None:
    alone.fleet.launch("one")
    log = alone.fleet.folder / "one.log"
    until(lambda: "serves" in log.read_text(), "the worker's words", state=alone.fleet.logs)
    assert "one" in {row.name for row in HatchetEngine()._api.workers()}


def test_the_only_worker_with_other_code_is_told_at_once_with_both_hashes(alone: Desk, tmp_path: Path) -> None:
    (tmp_path / "field.py").write_text((FIELD / "field.py").read_text().replace("1.5", "2.5"))
    alone.fleet.start("drifted", "--role", "leaf", cwd=tmp_path)
    alone.fleet.start("follower", "--role", "fan")
    alone.write(4)
    assert alone.scythe("allocate").code == 0
    began = time.monotonic()
    shown = alone.scythe("status", "grow")
    assert "differs from the run's" in shown.out
    assert time.monotonic() - began < 10


def test_a_path_is_mapped_with_a_label(alone: Desk, tmp_path: Path) -> None:
    alone.write(4)
    alone.fleet.storage.mkdir()
    mounted = tmp_path / "mounted"
    mounted.symlink_to(alone.fleet.storage)
    alone.fleet.start(
        "mapped", "--storage", str(mounted), "--label", f"scythe_storage_at={alone.fleet.storage}", slots=1
    )
    done = alone.scythe("allocate", "--wait")
    assert done.code == 0, done.err
