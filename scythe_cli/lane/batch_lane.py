"""A lane whose function takes many specs in one call.

Input: commands and blocks as those of any lane. Output: an outcome for each spec, the same as from a function of one. A
call that raises, or returns another number of outputs, is made again with each half of its specs, until the guilty ones
are alone; of a call that ends the process its supervisor does the same. So n specs cost at most 2n - 1 calls.
"""

from __future__ import annotations

from collections import deque
from contextvars import copy_context
from dataclasses import dataclass, field
from functools import cached_property
from itertools import takewhile
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from scythe_cli.columns.batch_tables import BadTable, from_table, to_table, wrong_number
from scythe_cli.columns.rows import make_specs
from scythe_cli.core import layout
from scythe_cli.core.clock import Clock, sleep_until_killed
from scythe_cli.experiment.signature import Form
from scythe_cli.lane.lane import Lane
from scythe_cli.lane.messages import MARKER, STOP_AT, TOGETHER, TOGETHER_AT
from scythe_cli.lane.output_model import invalid
from scythe_cli.lane.pending import CallOutcomes
from scythe_cli.run.outcomes import LOG_LIMIT_OF_SUCCESS, Failure, cut, scalar_schema

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scythe_cli.lane.messages import LaneCommand


SEND_ABOVE = 0.01
"""Seconds of a call above which its outcomes are sent at once: sending them costs less than a millisecond."""


class WrongOutputs(ValueError):
    """What a call returned is not one output for each spec; with fewer specs it may be."""


@dataclass
class _Call:
    """Rows that go into one call, and what became of it.

    Attributes:
        rows: the rows.
        part: their specs.
        attempts: the number of the attempt, for rows on their second or later.
        began: the call, on the wall clock.
        specs: instances, by their place in the rows; a row that is refused before the call has none.
        refused: failures of single rows, by place, from before the call or after it.
        log: what it printed.
        seconds: how long it took for each of its rows.
    """

    rows: Sequence[int]
    part: pa.Table
    attempts: Mapping[int, int]
    began: float = 0.0
    specs: dict[int, Any] = field(default_factory=dict)
    refused: dict[int, Failure] = field(default_factory=dict)
    log: str = ""
    seconds: float = 0.0

    @cached_property
    def column(self) -> pa.Array[Any]:
        """The sort_index of its specs."""
        return self.part.column(layout.SORT_INDEX).combine_chunks()

    @cached_property
    def sort_indexes(self) -> list[int]:
        """The same as numbers."""
        numbers: list[Any] = self.column.to_pylist()
        return numbers


class BatchLane(Lane):
    """See the module; `Lane` says what it takes."""

    def _run_rows(self, block: pa.Table, command: LaneCommand) -> tuple[int, str | None]:
        if self._experiment is None:
            return super()._run_rows(block, command)
        rows, offset = command.rows, command.block * layout.BLOCK
        size = min(command.batch or layout.BLOCK, self._experiment.options.batch or 1)
        waiting = deque(rows[at : at + size] for at in range(0, len(rows), size))
        done = 0
        while waiting:
            self._calls = [*takewhile(lambda n: n < size, map(len, waiting))]
            some = waiting[0]
            whole = isinstance(some, range)
            part = block.slice(some[0] - offset, len(some)) if whole else block.take([r - offset for r in some])
            clock = Clock.monotonic()
            TOGETHER.pack_into(self._marker, TOGETHER_AT, len(some))
            MARKER.pack_into(self._marker, 0, some[0], clock)
            if self._marker[STOP_AT]:
                return done, None
            now, ran = self._run_call(_Call(some, part, command.attempts), clock)
            waiting.popleft()
            if ran:
                done += len(some)
            else:
                half = -(-len(some) // 2)
                waiting.extendleft((some[half:], some[:half]))
            careful = now - clock > SEND_ABOVE or len(some) < size
            if why := self._between_calls(now, now - clock, careful=careful):
                self._calls = [*takewhile(lambda n: n < size, map(len, waiting))]
                return done, why
        self._calls = []
        return done, None

    def _between_calls(self, now: float, seconds: float, *, careful: bool) -> str | None:
        """What is done after each spec of any lane; why the process must be replaced, if it must.

        With `careful`, outcomes are sent at once: the next call may end the process, and they would be made again.
        """
        why = self._process_state.restore(seconds, now)
        if self._uses_tempdir:
            self._tempdir.restore()
        if self._sender.failure is not None:
            self._mark_idle()
            raise self._sender.failure
        if why is None and (careful or self._sender.is_due(now)):
            self._mark_idle()
            self._sender.send()
        return why

    def _run_call(self, call: _Call, clock: float) -> tuple[float, bool]:
        """Call the function once. Returns when it ended, and whether the rows have outcomes; otherwise it is halved."""
        failure: Failure | None = None
        splits = True
        returned: Any = None
        call.began = Clock.time()
        self._sender.in_user_code = True
        try:
            returned = self._call(call)
        except BaseException as exc:  # noqa: BLE001 - around the user's function
            failure = self._failure(exc)
        self._after_user_code()
        ended = Clock.monotonic()
        call.seconds = (ended - clock) / len(call.rows)
        if self._late_since[0] == clock:
            sleep_until_killed()  # the supervisor has ended what ran: that is no result
        if failure is None:
            try:
                return ended, self._accept_all(call, returned)
            except WrongOutputs as exc:
                failure = invalid(str(exc), "return")
            except BadTable as exc:
                failure, splits = invalid(str(exc), "return"), exc.splits
            except BaseException as exc:  # noqa: BLE001 - what was returned may be of any class
                failure, splits = self._outputs.refusal(exc), False
        if splits and len(call.rows) > 1:
            self._capture.take()
            return ended, False
        call.log = self._capture.take()
        for place in range(len(call.rows)):
            self._fail(call, place, call.refused.get(place, failure))
        return ended, True

    def _call(self, call: _Call) -> Any:
        """What the function returns; None where no spec is left to call it with."""
        experiment = self._experiment
        assert experiment is not None and experiment.form is not None  # noqa: S101 - this lane is for those
        folder = self._tempdir.path
        if experiment.form is not Form.LIST:
            return copy_context().run(
                experiment.call, to_table(call.part, experiment.input_model, experiment.form), folder
            )
        self._make_specs(call)
        if not call.specs:
            return []
        return copy_context().run(experiment.call, [*call.specs.values()], folder)  # see python_state

    def _make_specs(self, call: _Call) -> None:
        """The instances, with the paths of their files; a row whose model or file is not there fails alone."""
        experiment = self._experiment
        assert experiment is not None  # noqa: S101 - see above
        made = self._specs(call.part)
        for place, spec in enumerate(made):
            try:
                one = spec if self._plain else make_specs(spec, experiment.input_model, self._ids)[0]
                if self._inputs is not None:
                    folder = self._tempdir.path / str(place)  # files of two specs may share a name
                    if experiment.options.local_file_location == "copied-to-tempdir":
                        folder.mkdir()
                    self._inputs.resolve(one, self._input_files, folder)
                call.specs[place] = one
            except BaseException as exc:  # noqa: BLE001 - the model's validators are the user's code
                call.refused[place] = self._failure(exc)

    def _accept_all(self, call: _Call, returned: Any) -> bool:
        """Take over what a call returned; every row has its outcome then."""
        experiment = self._experiment
        assert experiment is not None  # noqa: S101 - see above
        if experiment.form is not Form.LIST:
            self._accept_table(call, returned)
            return True
        if not isinstance(returned, list | tuple):
            given = "None" if returned is None else f"{type(returned).__module__}.{type(returned).__qualname__}"
            raise BadTable(f"the function returned {given}, not a list of {experiment.output_model.__name__}")
        if len(returned) != len(call.specs):
            raise WrongOutputs(wrong_number(len(returned), len(call.specs)))
        outputs = dict(zip(call.specs, returned, strict=True))
        self._refuse_shared_files(call, outputs)
        accepted = {
            place: self._accept(call.rows[place], call.specs[place], out)
            for place, out in outputs.items()
            if place not in call.refused
        }
        self._take_log(call)
        for place in range(len(call.rows)):
            output = call.refused.get(place) or accepted[place]
            if type(output) is Failure:
                self._fail(call, place, output)
            else:
                self._add(call, place, output)
        return True

    def _refuse_shared_files(self, call: _Call, outputs: Mapping[int, Any]) -> None:
        """A file that several specs return has what the last of them wrote."""
        owners: dict[str, list[int]] = {}
        for place, output in outputs.items():
            for name in self._outputs.files:
                if (path := getattr(output, "__dict__", {}).get(name)) is not None and "://" not in str(path):
                    owners.setdefault(str(path), []).append(place)
        for path, places in owners.items():
            for place in places if len({*places}) > 1 else ():
                message = f"{len(places)} specs of the call return the file {path!r}: give each spec one of its own"
                call.refused[place] = invalid(message, self._outputs.files[0])

    def _accept_table(self, call: _Call, returned: Any) -> None:
        """Columns go on as they are; a row that only the model can judge is judged alone."""
        experiment, rows = self._experiment, call.rows
        assert experiment is not None  # noqa: S101 - see above
        model = experiment.output_model
        found = from_table(returned, call.column, model, scalar_schema(model))
        judged = {place: self._judge(rows[place], found.given, place) for place in found.needs_validation}
        self._take_log(call)
        for place, output in judged.items():
            if type(output) is Failure:
                self._fail(call, place, output)
            else:
                self._add(call, place, output)
        if len(judged) == len(rows):
            return
        sure = [place for place in range(len(rows)) if place not in judged]
        kept: Any = pa.array(sure) if judged else None
        self._sender.pending.add_block(
            CallOutcomes(
                rows if kept is None else [rows[place] for place in sure],
                call.column if kept is None else call.column.take(kept),
                found.columns if kept is None else [column.take(kept) for column in found.columns],
                [call.attempts.get(rows[place], 1) for place in sure] if call.attempts else None,
                call.began,
                call.seconds,
                cut(call.log, LOG_LIMIT_OF_SUCCESS) if call.log and 0 not in judged else None,
            )
        )

    def _judge(self, row: int, given: pa.Table, place: int) -> Any:
        """One row of a returned table as its model takes it, or a `Failure`."""
        experiment = self._experiment
        assert experiment is not None  # noqa: S101 - see above
        values = {name: cell for name, cell in given.slice(place, 1).to_pylist()[0].items() if name}
        try:
            output = experiment.output_model.model_validate(values)
        except BaseException as exc:  # noqa: BLE001 - the model's validators are the user's code
            return self._outputs.refusal(exc)
        return self._accept(row, None, output)

    def _take_log(self, call: _Call) -> None:
        call.log = self._capture.take()

    def _add(self, call: _Call, place: int, output: Any) -> None:
        row = call.rows[place]
        log = cut(call.log, LOG_LIMIT_OF_SUCCESS) if call.log and place == 0 else None
        self._sender.pending.add(
            row,
            call.sort_indexes[place],
            output=output,
            attempt=call.attempts.get(row, 1),
            start=call.began,
            duration=call.seconds,
            log=log,
        )

    def _fail(self, call: _Call, place: int, failure: Failure | None) -> None:
        """A row's failure, or another attempt, alone."""
        assert failure is not None  # noqa: S101 - a row without an output has one
        row, pending = call.rows[place], self._sender.pending
        attempt = call.attempts.get(row, 1)
        add = pending.try_again if attempt < self._job.max_attempts(failure.kind) else pending.fail
        add(
            row,
            call.sort_indexes[place],
            failure=failure,
            attempt=attempt,
            start=call.began,
            duration=call.seconds,
            log=cut(call.log, LOG_LIMIT_OF_SUCCESS) if len(call.rows) > 1 else call.log,
        )
        if self._job.keep_failed and add == pending.fail and len(call.rows) == 1:  # else whose files are they?
            self._keep_folder(row, call.sort_indexes[place])
