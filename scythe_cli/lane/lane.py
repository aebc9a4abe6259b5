"""A lane, a worker process that runs specs: one after the other, their outcomes sent in batches.

Input: commands with row numbers, and blocks of specs. Output: Arrow batches of outcomes and frames, and output files in
the supervisor's outbox. The row at work and its start are in shared memory, where the supervisor's clock watches them;
no message is sent for a row.
"""

from __future__ import annotations

import mmap
import os
from contextlib import suppress
from contextvars import copy_context
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ValidationError

from scythe_cli.columns.model_fields import is_plain
from scythe_cli.columns.rows import make_specs
from scythe_cli.core import layout, processes, spec_random
from scythe_cli.core.clock import Clock, sleep_until_killed
from scythe_cli.experiment.field_kinds import file_fields
from scythe_cli.lane import wire
from scythe_cli.lane.encode import Encoder
from scythe_cli.lane.messages import (
    IDLE,
    LATE,
    LATE_AT,
    MARKER,
    MARKER_SIZE,
    STOP_AT,
    BatchHeader,
    LaneCommand,
)
from scythe_cli.lane.output_model import OutputModel
from scythe_cli.lane.outputs import Outputs
from scythe_cli.lane.process_state import ProcessState
from scythe_cli.lane.sender import Sender
from scythe_cli.lane.spec_streams import Capture, TempDir
from scythe_cli.run.outcomes import (
    LOG_LIMIT_OF_SUCCESS,
    MESSAGE_LIMIT,
    TRACEBACK_LIMIT,
    Failure,
    FailureKind,
    cut,
    from_exception,
)
from scythe_cli.spec_table.repeats import read_repeats
from scythe_cli.storage import cache, http
from scythe_cli.storage.current_run import CURRENT_GENERATION, Generation
from scythe_cli.storage.open_store import open_store
from scythe_cli.storage.spec_inputs import Inputs

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterable, Mapping, Sequence

    from scythe_cli.experiment.experiment import Experiment
    from scythe_cli.lane.job import Job

MODELS_AT_A_TIME = 512
"""Specs made into models at a time."""
WALL_SECONDS = 1e-3
"""The wall clock is asked so often; between, it is taken to go like the monotonic one."""


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
        *,
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
        self._block: tuple[int, pa.Table, dict[str, Any]] | None = None
        self._fork_mark = processes.fork_mark()
        self._late_since = memoryview(self._marker)[LATE_AT : LATE_AT + LATE.size].cast("d")
        self._wall_offset = self._wall_asked = 0.0
        self._ids: dict[str, Any] = {}
        self._calls: list[int] = []
        self._plain = experiment is not None and is_plain(experiment.input_model)
        self._input_files = file_fields(experiment.input_model) if experiment is not None else ()
        self._function: Any = experiment.function if experiment is not None else None
        self._takes_tempdir = experiment is not None and experiment.takes_tempdir
        self._uses_tempdir = self._takes_tempdir or bool(self._input_files)
        self._sender = Sender(connection, self._marker)
        self._process_state = ProcessState(self._capture)

    def serve(self) -> None:
        """Run rows until the supervisor closes the connection, or this process must be replaced."""
        replaced = False
        while not replaced and (message := wire.receive(self._connection)) is not None:
            header, buffers = message
            command = LaneCommand.parse(header)
            if command.job is not None:
                self._begin(command.job)
            if buffers:
                block = pq.ParquetFile(pa.BufferReader(buffers[0])).read(use_threads=False)  # read_table imports: 10 ms
                self._block = (command.block, *_split_ids(block))
                spec_random.CURRENT.repeats = read_repeats(block)
            replaced = self._run_chunk(command)

    def _begin(self, job: Job) -> None:
        self._job = job
        cache.revalidate_before(job.since)
        http.allow_private(job.allow_private)
        CURRENT_GENERATION.set(Generation(job.experiment_id, job.generation, job.root))
        spec_random.CURRENT.seed = job.seed
        self._block = None
        self._process_state.limit_growth(None if job.memory is None else job.memory // 4)
        experiment = self._experiment
        model = self._output_model = OutputModel(experiment.output_model if experiment is not None else BaseModel)
        input_model = experiment.input_model if experiment is not None else None
        self._outputs = Outputs(
            model,
            input_model,
            outbox=job.outbox,
            root=job.root,
            nan_fails=job.nan_fails,
            claim=job.claim,
            at_once=job.keep_failed,
        )
        self._sender.encoder = Encoder(model, worker=job.worker)
        if experiment is not None and self._input_files and experiment.options.auto_fetch_files:
            copied = experiment.options.local_file_location == "copied-to-tempdir"
            self._inputs: Inputs | None = Inputs(open_store(job.root, patient=True), job.experiment_id, copied=copied)
        else:
            self._inputs = None

    def _run_chunk(self, command: LaneCommand) -> bool:
        """Run the rows of a command, and say when they are done; whether this process must be replaced."""
        assert self._block is not None  # noqa: S101 - the supervisor sends a block before it leaves one out
        self._sender.restart_clock()
        self._ids = self._block[2]
        done, why = self._run_rows(self._block[1], command)
        self._mark_idle()
        left = list(command.rows[done:])
        self._sender.send(BatchHeader(done=True, left=left, needs_restart=why, calls=self._calls))
        return why is not None

    def _run_rows(self, block: pa.Table, command: LaneCommand) -> tuple[int, str | None]:
        """Run specs until the rows end, the supervisor says stop, or the process must be replaced.

        Returns:
            How many ran, and why the process must be replaced, if it must.
        """
        rows, offset = command.rows, command.block * layout.BLOCK
        if self._experiment is None:
            self._fail_all(block, offset, rows)
            return len(rows), None
        done = 0
        for at in range(0, len(rows), MODELS_AT_A_TIME):
            some = rows[at : at + MODELS_AT_A_TIME]
            whole = isinstance(some, range)
            part = block.slice(some[0] - offset, len(some)) if whole else block.take([r - offset for r in some])
            sort_indexes: list[Any] = part.column(layout.SORT_INDEX).to_pylist()
            ran, why = self._run_models(some, sort_indexes, self._specs(part), command.attempts)
            done += ran
            if ran < len(some) or why:
                return done, why
        return done, None

    def _run_models(
        self, rows: Sequence[int], sort_indexes: list[int], specs: Iterable[Any], attempts: Mapping[int, int]
    ) -> tuple[int, str | None]:
        """Run these specs; see `_run_rows`."""
        marker, sender = self._marker, self._sender
        done = 0
        for row, sort_index, spec in zip(rows, sort_indexes, specs, strict=True):
            clock = Clock.monotonic()
            MARKER.pack_into(marker, 0, row, clock)
            if marker[STOP_AT]:  # looked at after the row is published: see LaneHandle.is_stuck
                return done, None
            now = self._run_spec(row, sort_index, spec, attempts.get(row, 1), clock)
            done += 1
            why = self._process_state.restore(now - clock, now)
            if self._uses_tempdir:
                self._tempdir.restore()
            if sender.failure is not None:
                self._mark_idle()
                raise sender.failure
            if why:
                return done, why
            if sender.is_due(now):
                self._mark_idle()
                sender.send()
        return done, None

    def _mark_idle(self) -> None:
        """No row is at work, and at least one was."""
        MARKER.pack_into(self._marker, 0, IDLE, Clock.monotonic())

    def _specs(self, part: pa.Table) -> Iterable[Any]:
        """The models of some rows; of a model with code of the user's, the rows, to be made when their clock runs."""
        assert self._experiment is not None  # noqa: S101 - _run_rows holds it
        if self._plain:
            return make_specs(part, self._experiment.input_model, self._ids)
        return (part.slice(at, 1) for at in range(part.num_rows))

    def _run_spec(self, row: int, sort_index: int, spec: Any, attempt: int, clock: float) -> float:
        """Run one spec, which began at `clock`, and keep its outcome; when it ended, on the same clock."""
        experiment, job, sender = self._experiment, self._job, self._sender
        assert experiment is not None  # noqa: S101 - _run_rows holds it
        failure: Failure | None = None
        output = None
        if clock - self._wall_asked > WALL_SECONDS:
            self._wall_offset, self._wall_asked = Clock.time() - clock, clock
        start = clock + self._wall_offset
        sender.in_user_code = True
        try:
            if not self._plain:
                spec = make_specs(spec, experiment.input_model, self._ids)[0]
            if self._inputs is not None:
                self._inputs.resolve(spec, self._input_files, self._tempdir.path)
            call, function = copy_context().run, self._function  # see python_state
            output = call(function, spec, self._tempdir.path) if self._takes_tempdir else call(function, spec)
        except BaseException as exc:  # noqa: BLE001 - around the user's function
            failure = self._failure(exc)
        self._after_user_code()
        ended = Clock.monotonic()
        duration = ended - clock
        pending = sender.pending
        if failure is None and (taken := self._outputs.take(output)) is None:
            taken = self._accept(row, spec, output)
            if type(taken) is Failure:
                failure = taken
        if self._late_since[0] == clock:
            sleep_until_killed()  # the supervisor has ended what ran: that is no result
        log = self._capture.take()
        if failure is None:
            log_kept = cut(log, LOG_LIMIT_OF_SUCCESS) if log else None
            pending.added.append((row, sort_index, taken, attempt, start, duration, log_kept))
        elif attempt < job.max_attempts(failure.kind):
            pending.try_again(
                row, sort_index, failure=failure, attempt=attempt, start=start, duration=duration, log=log
            )
        else:
            pending.fail(row, sort_index, failure=failure, attempt=attempt, start=start, duration=duration, log=log)
            if job.keep_failed:
                self._keep_folder(row, sort_index)
        return ended

    def _keep_folder(self, row: int, sort_index: int) -> None:
        """Give the temporary folder of a failed spec to the supervisor, which uploads it."""
        place = Path(self._job.outbox, f"{row}-{layout.FAILED}-{Clock.monotonic_ns()}")
        if self._tempdir.move_to(place):
            self._sender.pending.uploads.setdefault(row, []).append((str(place), self._job.failed_folder(sort_index)))

    def _accept(self, row: int, spec: Any, output: Any) -> Any:
        """The normalized output, or a `Failure`. An output may be any object, with code of its own."""
        try:
            return self._outputs.keep(self._sender.pending, row, spec, output, self._tempdir.path)
        except BaseException as exc:  # noqa: BLE001 - the same
            return self._failure(exc)
        finally:
            if not self._fork_mark[0]:
                os._exit(0)

    def _after_user_code(self) -> None:
        """A child that the user's code forked goes no further, and no other thread takes outcomes any more."""
        if not self._fork_mark[0]:
            os._exit(0)
        sender = self._sender
        sender.in_user_code = False
        if sender.taking:  # the flag above is cleared first, and the other thread looks at it after it set this one
            sender.wait_until_taken()

    def _failure(self, exc: BaseException) -> Failure:
        """What was raised, as a failure; by its type alone, for its attributes may be the user's code."""
        experiment = self._experiment
        assert experiment is not None  # noqa: S101 - something of it was called
        kind = FailureKind.EXCEPTION
        if issubclass(type(exc), ValidationError):
            if exc.title == experiment.output_model.__pydantic_validator__.title:  # type: ignore[attr-defined]
                kind = FailureKind.INVALID_OUTPUT
        elif issubclass(type(exc), MemoryError) and self._job.memory is not None:
            kind = FailureKind.MEMORY
        failure = from_exception(exc, folder=str(experiment.folder), kind=kind)
        if kind is FailureKind.INVALID_OUTPUT:
            with suppress(Exception):  # pydantic shows the user's values, which may not want that
                problems = "; ".join(map(str, self._output_model.problems(cast("ValidationError", exc))))
                failure = replace(failure, message=cut(f"{problems}\n{failure.message}", MESSAGE_LIMIT))
        return failure

    def _fail_all(self, block: pa.Table, offset: int, rows: Sequence[int]) -> None:
        """The import failed in this process, so every row fails, without another attempt."""
        text = self._broken or ""
        last = text.rstrip().rpartition("\n")[2]
        failure = Failure(
            FailureKind.EXCEPTION,
            last.partition(":")[0],
            cut(last, MESSAGE_LIMIT),
            cut(text, TRACEBACK_LIMIT),
            "import",
        )
        sort_indexes: list[Any] = block.column(layout.SORT_INDEX).to_pylist()
        for row in rows:
            self._sender.pending.fail(
                row, sort_indexes[row - offset], failure=failure, attempt=1, start=Clock.time(), duration=0.0
            )


def _split_ids(block: pa.Table) -> tuple[pa.Table, dict[str, Any]]:
    """A block without the ids that all rows of a run share, and these."""
    shared = (layout.EXPERIMENT_ID, layout.ROOT_WORKFLOW_RUN_ID)
    return block.drop_columns(list(shared)), {name: block.column(name)[0].as_py() for name in shared}
