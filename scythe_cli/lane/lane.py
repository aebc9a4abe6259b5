"""The lane's side: work through a range of rows, one spec after the other, and hand outcomes over in batches.

Takes messages with row numbers and a block of specs; leaves Arrow batches of outcomes and frames, and output files in
the supervisor's outbox. The row at work and its start stand in shared memory, where the supervisor's clock watches
them; no message is sent for a row.
"""

from __future__ import annotations

import mmap
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ValidationError

from scythe_cli.columns.model_fields import is_plain
from scythe_cli.columns.rows import make_specs
from scythe_cli.core import layout
from scythe_cli.core.clock import Clock, sleep_until_killed
from scythe_cli.experiment.field_kinds import file_fields
from scythe_cli.experiment.hatchet_workflow import CURRENT_GENERATION, Generation
from scythe_cli.lane import wire
from scythe_cli.lane.inputs import Inputs
from scythe_cli.lane.job import Job
from scythe_cli.lane.outputs import Outputs, Pending
from scythe_cli.lane.process_state import Capture, Sanity, TempDir
from scythe_cli.lane.shared_memory import IDLE, JUDGED, LATE, LATE_AT, MARKER, MARKER_SIZE, STOP_AT, TELLING_AT
from scythe_cli.run.outcomes import (
    EXCEPTION,
    INVALID_OUTPUT,
    LOG_LIMIT_OF_SUCCESS,
    MEMORY,
    MESSAGE_LIMIT,
    RETRIED,
    TRACEBACK_LIMIT,
    Failure,
    cut,
    from_exception,
)
from scythe_cli.storage import cache
from scythe_cli.storage.open_store import open_store

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterable, Sequence

    from scythe_cli.experiment.experiment import Experiment

JUDGE_AT_ONCE = 0.05
"""Seconds after which a spec's output is judged when the spec ends, and not at its hand-over with others."""

HAND_OVER_SECONDS = 0.4
"""Finished rows wait no longer than this for their hand-over, whatever runs next."""
BATCH_BYTES = 16 << 20
CHUNK = 512
"""Specs made into models at a time."""


class Lane:
    """One child process's work.

    Args:
        connection: to the supervisor.
        marker_fd: the shared memory with the row at work.
        capture_fd: the file that takes what user code prints.
        experiment: the loaded experiment, or None when its import failed.
        broken: the traceback of that import.
        folder: for this lane's temporary files.
    """

    def __init__(
        self,
        connection: socket.socket,
        marker_fd: int,
        capture_fd: int,
        experiment: Experiment | None,
        broken: str | None,
        folder: str,
    ) -> None:
        self._connection = connection
        self._marker = mmap.mmap(marker_fd, MARKER_SIZE)
        self._experiment = experiment
        self._broken = broken
        self._capture = Capture(capture_fd)
        self._tempdir = TempDir(Path(folder))
        self._job: Job | None = None
        self._block: tuple[int, pa.Table, dict[str, Any]] | None = None
        self._pending = Pending()
        self._handed = Clock.monotonic()
        self._swap = threading.Lock()
        self._calling = self._taking = False
        self._send = threading.Lock()
        self._trouble: BaseException | None = None
        self._pid = os.getpid()
        self._ids: dict[str, Any] = {}
        self._plain = experiment is not None and is_plain(experiment.input_model)
        self._input_files = file_fields(experiment.input_model) if experiment is not None else ()
        self._uses_tempdir = experiment is not None and (experiment.takes_tempdir or bool(self._input_files))
        threading.Thread(target=self._hand_over_what_waits, daemon=True, name="scythe-hand-over").start()
        self._sanity = Sanity(self._capture)

    def serve(self) -> None:
        """Take ranges until the supervisor closes the connection, or this process is no longer fit for work."""
        unfit = False
        while not unfit and (message := wire.receive(self._connection)) is not None:
            header, buffers = message
            if header["do"] == "job":
                self._begin(Job(**header["job"]))
            else:
                unfit = self._take(header, buffers)

    def _begin(self, job: Job) -> None:
        self._job = job
        cache.revalidate_before(job.since)
        CURRENT_GENERATION.set(Generation(job.key.replace("#", "/"), job.root))
        self._block = None
        self._sanity.limit_growth(None if job.memory is None else job.memory // 4)
        experiment = self._experiment
        self._outputs = Outputs(
            experiment.output_model if experiment is not None else BaseModel,
            experiment.input_model if experiment is not None else None,
            worker=job.worker,
            outbox=job.outbox,
            root=job.root,
        )
        self._loose = experiment is not None and self._outputs.loose
        if experiment is not None and self._input_files and experiment.options.auto_fetch_files:
            copied = experiment.options.local_file_location == "copied-to-tempdir"
            self._inputs: Inputs | None = Inputs(open_store(job.root, patient=True), job.experiment_id, copied=copied)
        else:
            self._inputs = None

    def _take(self, header: dict[str, Any], buffers: list[bytes]) -> bool:
        if buffers:
            block = pq.ParquetFile(pa.BufferReader(buffers[0])).read(use_threads=False)  # read_table imports for 10 ms
            self._block = (header["block"], *_split_ids(block))
        assert self._block is not None  # noqa: S101 - the supervisor sends a block before it leaves one out
        rows: Sequence[int] = header["listed"] or range(header["rows"][0], header["rows"][1] + 1)
        attempts = {int(row): n for row, n in header["attempts"].items()}
        self._handed = Clock.monotonic()
        self._ids = self._block[2]
        done, unfit = self._work(self._block[1], header["block"] * layout.BLOCK, rows, attempts)
        self._rest()
        self._hand_over({"done": True, "left": list(rows[done:]), "unfit": unfit})
        return unfit is not None

    def _work(
        self, block: pa.Table, offset: int, rows: Sequence[int], attempts: dict[int, int]
    ) -> tuple[int, str | None]:
        """Run specs until the rows end, the supervisor says stop, or the process is unfit; tell how many ran."""
        if self._experiment is None:
            self._fail_all(block, offset, rows)
            return len(rows), None
        done = 0
        for at in range(0, len(rows), CHUNK):
            chunk = rows[at : at + CHUNK]
            whole = isinstance(chunk, range)
            part = block.slice(chunk[0] - offset, len(chunk)) if whole else block.take([r - offset for r in chunk])
            sort_indexes: list[Any] = part.column(layout.SORT_INDEX).to_pylist()
            for row, sort_index, spec in zip(chunk, sort_indexes, self._specs(part), strict=True):
                clock = Clock.monotonic()
                MARKER.pack_into(self._marker, 0, row, clock)
                if self._marker[STOP_AT]:  # looked at after the row is told: see LaneHandle.hangs
                    return done, None
                now = self._one(row, sort_index, spec, attempts.get(row, 1), clock)
                done += 1
                unfit = self._sanity.restore(now - clock, now)
                if self._uses_tempdir:
                    self._tempdir.tidy()
                if self._trouble is not None:
                    self._rest()
                    raise self._trouble
                if unfit:
                    return done, unfit
                if self._pending.weight > BATCH_BYTES or now - self._handed > HAND_OVER_SECONDS:
                    self._rest()
                    self._hand_over({})
        return done, None

    def _rest(self) -> None:
        """No row is at work, and at least one was."""
        MARKER.pack_into(self._marker, 0, IDLE, Clock.monotonic())

    def _specs(self, part: pa.Table) -> Iterable[Any]:
        """The models of a chunk; of a model with code of its user's, the rows, to be made when their clock runs."""
        assert self._experiment is not None  # noqa: S101 - _work holds it
        if self._plain:
            return make_specs(part, self._experiment.input_model, self._ids)
        return (part.slice(at, 1) for at in range(part.num_rows))

    def _one(self, row: int, sort_index: int, spec: Any, attempt: int, clock: float) -> float:
        """Run one spec, which began at `clock`, and keep its outcome; when it ended, on the same clock."""
        experiment, job = self._experiment, self._job
        assert experiment is not None and job is not None  # noqa: S101 - _work holds it
        failure: Failure | None = None
        output = None
        start = Clock.time()
        self._calling = True
        try:
            if not self._plain:
                spec = make_specs(spec, experiment.input_model, self._ids)[0]
            if self._inputs is not None:
                self._inputs.resolve(spec, self._input_files, self._tempdir.path)
            output = experiment.call(spec, self._tempdir.path)
        except BaseException as exc:  # noqa: BLE001 - around the user's function
            failure = self._failure(exc, experiment, job)
        self._join_in()
        if LATE.unpack_from(self._marker, LATE_AT)[0] == clock:
            sleep_until_killed()  # the word of the supervisor has ended what ran: that is no result
        ended = Clock.monotonic()
        duration = ended - clock
        log = self._capture.take()
        pending = self._pending
        if failure is None:
            try:
                failure = self._outputs.accept(pending, row, spec, output, self._tempdir.path)
            except BaseException as exc:  # noqa: BLE001 - an output may be any object, with code of its own
                failure = self._failure(exc, experiment, job)
        if failure is None and (duration > JUDGE_AT_ONCE or self._loose):
            output = self._asked(output, duration)
            if type(output) is Failure:
                failure = output
                pending.forget(row)
        if failure is None:
            log_kept = cut(log, LOG_LIMIT_OF_SUCCESS) if log else None
            pending.add(row, sort_index, output, attempt, start, duration, log_kept)
        elif failure.kind in RETRIED and attempt < job.max_attempts:
            pending.retry.append(row)
        else:
            pending.fail(row, sort_index, failure, attempt, start, duration, log)
        return ended

    def _join_in(self) -> None:
        """After code of the user's: a forked child goes no further, and no other thread takes outcomes any more."""
        if os.getpid() != self._pid:
            os._exit(0)
        self._calling = False
        if self._taking:
            self._swap.acquire()  # when it has taken them
            self._swap.release()

    def _asked(self, output: Any, duration: float) -> Any:
        """An output without code of the user's that may run later, while another spec is at work; or a `Failure`."""
        try:
            return self._outputs.judge(output) if duration > JUDGE_AT_ONCE else self._outputs.settle(output)
        except BaseException:  # noqa: BLE001 - values may be of any class
            return self._outputs.judge(output)

    @staticmethod
    def _failure(exc: BaseException, experiment: Experiment, job: Job) -> Failure:
        """What was raised, as a failure; by its type alone, for its attributes may be the user's code."""
        kind = EXCEPTION
        if issubclass(type(exc), ValidationError):
            if exc.title == experiment.output_model.__pydantic_validator__.title:  # type: ignore[attr-defined]
                kind = INVALID_OUTPUT
        elif issubclass(type(exc), MemoryError) and job.memory is not None:
            kind = MEMORY
        return from_exception(exc, folder=str(experiment.folder), kind=kind)

    def _fail_all(self, block: pa.Table, offset: int, rows: Sequence[int]) -> None:
        """The import failed in this process: so does every row, at once and for good."""
        text = self._broken or ""
        last = text.rstrip().rpartition("\n")[2]
        failure = Failure(
            EXCEPTION, last.partition(":")[0], cut(last, MESSAGE_LIMIT), cut(text, TRACEBACK_LIMIT), "import"
        )
        sort_indexes: list[Any] = block.column(layout.SORT_INDEX).to_pylist()
        for row in rows:
            self._pending.fail(row, sort_indexes[row - offset], failure, 1, Clock.time(), 0.0, "")

    def _hand_over_what_waits(self) -> None:
        """A finished row does not wait for the next to end, however long that takes.

        What cannot be told ends the process, but between two rows: the one at work has no part in it. Without a
        connection there is nobody to tell.
        """
        try:
            while True:
                Clock.sleep(HAND_OVER_SECONDS / 2)
                if self._pending and Clock.monotonic() - self._handed > HAND_OVER_SECONDS:
                    self._hand_over({}, judge=False)
        except OSError:
            os._exit(1)
        except BaseException as exc:  # noqa: BLE001 - raised again in the main thread
            self._trouble = exc

    def _hand_over(self, ending: dict[str, Any], *, judge: bool = True) -> None:
        """Send what is pending; `ending` goes with the last message of it.

        What must be judged by code of the user's waits for the main thread and the end of the spec at work. Outcomes
        are the main thread's, but while it calls the user's function: it tells that it calls no more before it looks
        whether another thread is taking them, and that one looks after it has told.
        """
        with self._send:
            with self._swap:
                self._taking = True
                if not judge and not self._calling:
                    self._taking = False
                    return
                pending, self._pending = self._pending, Pending()
                self._handed = Clock.monotonic()
                if not judge:
                    self._marker[TELLING_AT] = 1
                    self._pending = self._outputs.set_aside(pending)
                self._taking = False
            if not pending and not ending:
                self._marker[TELLING_AT] = 0
                return
            judged: list[int] = []
            watch = (lambda row: self._tell_judged(row, judged)) if judge else None
            *before, last = self._outputs.batches(pending, watch)
            if judged:
                self._recover()
            self._marker[TELLING_AT] = 0
            for header, buffers in before:
                self._connection.sendall(wire.pack(header, buffers))
            self._connection.sendall(wire.pack({**last[0], **ending}, last[1]))

    def _tell_judged(self, row: int, judged: list[int]) -> None:
        judged.append(row)
        MARKER.pack_into(self._marker, 0, JUDGED - row, Clock.monotonic())

    def _recover(self) -> None:
        """After a judgement, as after a spec; but what was printed is nobody's."""
        self._join_in()
        self._rest()
        self._capture.take()
        self._sanity.restore(HAND_OVER_SECONDS, Clock.monotonic())


def _split_ids(block: pa.Table) -> tuple[pa.Table, dict[str, Any]]:
    """A block without the ids that all rows of a run share, and these."""
    shared = (layout.EXPERIMENT_ID, layout.ROOT_WORKFLOW_RUN_ID)
    return block.drop_columns(list(shared)), {name: block.column(name)[0].as_py() for name in shared}
