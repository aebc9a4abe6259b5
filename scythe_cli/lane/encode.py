"""Outcomes as messages: Arrow batches with a header.

Input: pending outcomes, normalized. Output: one message, or several where the frames of some specs have types that do
not go with the others'. No code of the user's runs here, so any thread may call it.
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from scythe_cli.columns import frames
from scythe_cli.columns.frame_header import read_header, write_header
from scythe_cli.experiment.field_kinds import file_fields
from scythe_cli.lane.messages import BatchHeader, FailureSample
from scythe_cli.run.outcomes import Failure, outcome_schema

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scythe_cli.lane.output_model import OutputModel
    from scythe_cli.lane.pending import CallOutcomes, Pending

SAMPLES = 20
"""Failures of a batch that its header describes."""
_ERRORS = ("error_type", "message", "traceback", "kind", "place")


class Encoder:
    """Makes messages of the outcomes of one run.

    Args:
        outputs: the output model.
        worker: who runs, for the outcome's column.
    """

    def __init__(self, outputs: OutputModel, *, worker: str) -> None:
        self._outputs = outputs
        self._worker = worker
        self._files = file_fields(outputs.model)
        self._schema = outcome_schema(outputs.model)

    def messages(self, pending: Pending) -> list[tuple[BatchHeader, list[bytes]]]:
        """The messages of what is pending, at least one.

        An outcome that nothing foresaw and that cannot be encoded fails alone: it is found by halving.
        """
        pending.flush()
        if pending.blocks:
            return self._with_blocks(pending)
        try:
            return self._messages(pending)
        except BaseException as exc:  # what the checks before it did not foresee must not end the lane
            if not pending.rows:
                raise
            if len(pending.rows) == 1:
                pending.logs = [None]
                pending.refuse(0, self._outputs.refusal(exc))
                return [self._message(pending, self._outputs.columns(pending.outputs), {})]
        rest = pending.split_off({*pending.rows[len(pending.rows) // 2 :]})
        return self.messages(pending) + self.messages(rest)

    def _with_blocks(self, pending: Pending) -> list[tuple[BatchHeader, list[bytes]]]:
        """Outcomes that are columns already need no look; those of single specs go in messages of their own."""
        blocks, pending.blocks = pending.blocks, []
        outcomes = pa.concat_tables(self._block_table(block) for block in blocks)
        header = BatchHeader(
            rows=_joined([block.rows for block in blocks]),
            seconds=sum(block.duration * len(block.rows) for block in blocks),
        )
        others = self.messages(pending) if pending else []
        return [(header, [_stream(outcomes)]), *others]

    def _block_table(self, block: CallOutcomes) -> pa.Table:
        n = len(block.rows)
        text = pa.nulls(n, pa.string())
        log = text if block.log is None else pa.concat_arrays([pa.array([block.log]), pa.nulls(n - 1, pa.string())])
        start = pa.scalar(int(block.start * 1e6), pa.timestamp("us", tz="UTC"))
        arrays: list[Any] = [
            pa.array(np.asarray(block.rows, dtype="i8")),
            block.sort_indexes,
            *block.columns,
            *[text] * len(_ERRORS),
            pa.array([1] * n if block.attempts is None else block.attempts, type=pa.int64()),
            pa.repeat(start, n),
            pa.repeat(pa.scalar(block.duration), n),
            pa.repeat(pa.scalar(self._worker, pa.string()), n),
            log,
        ]
        return pa.Table.from_arrays(arrays, schema=self._schema)

    def _messages(self, pending: Pending) -> list[tuple[BatchHeader, list[bytes]]]:
        columns = self._checked(pending)
        united: dict[str, pa.Table] = {}
        for name, tables in pending.frames.items():
            if not tables:
                continue
            united[name], apart = _stack(tables)
            if apart:
                rest = pending.split_off(apart)
                return self.messages(pending) + self.messages(rest)
        return [self._message(pending, columns, united)]

    def _checked(self, pending: Pending) -> list[pa.Array[Any]]:
        """The scalar columns, after outputs that their model refuses have become failures."""
        columns = self._outputs.columns(pending.outputs)
        needs_validation = self._outputs.needs_validation(pending.outputs, columns)
        for at in needs_validation:
            valid = self._outputs.validate(pending.outputs[at])
            if isinstance(valid, Failure):
                pending.refuse(at, valid)
            else:
                pending.outputs[at] = valid
        return self._outputs.columns(pending.outputs) if needs_validation else columns

    def _message(
        self, pending: Pending, columns: list[pa.Array[Any]], united: dict[str, pa.Table]
    ) -> tuple[BatchHeader, list[bytes]]:
        failures = [(row, f) for row in pending.rows if (f := pending.failures.get(row)) is not None]
        header = BatchHeader(
            rows=pending.rows,
            failed=len(failures),
            samples=[FailureSample(row, f.kind, f.error_type, f.place) for row, f in failures[:SAMPLES]],
            uploads=[pair for pairs in pending.uploads.values() for pair in pairs],
            frames=list(united),
            seconds=sum(pending.durations),
        )
        buffers = [_stream(self._table(pending, columns)), *(_stream(table) for table in united.values())]
        if (again := pending.again) is None:
            return header, buffers
        again.flush()
        attempts = self._table(again, self._outputs.columns(again.outputs))
        return replace(header, retry=again.rows), [*buffers, _stream(attempts)]

    def _table(self, pending: Pending, columns: list[pa.Array[Any]]) -> pa.Table:
        files = [
            pa.array([pending.files.get(row, {}).get(name) for row in pending.rows], type=pa.string())
            for name in self._files
        ]
        return pa.Table.from_arrays(self._arrays(pending, [*columns, *files]), schema=self._schema)

    def _arrays(self, pending: Pending, columns: list[pa.Array[Any]]) -> list[pa.Array[Any]]:
        n = len(pending.rows)
        if pending.failures:
            held = [pending.failures.get(row) for row in pending.rows]
            errors = [
                pa.array([None if f is None else getattr(f, name) for f in held], type=pa.string()) for name in _ERRORS
            ]
        else:
            errors = [pa.nulls(n, pa.string())] * len(_ERRORS)
        return [
            pa.array(pending.rows, type=pa.int64()),
            pa.array(pending.sort_indexes, type=pa.int64()),
            *columns,
            *errors,
            pa.array(pending.attempts, type=pa.int64()),
            pa.array((np.asarray(pending.starts, dtype="f8") * 1e6).astype("i8"), type=pa.timestamp("us", tz="UTC")),
            pa.array(pending.durations, type=pa.float64()),
            pa.repeat(pa.scalar(self._worker, pa.string()), n),
            pa.array(pending.logs, type=pa.string()),
        ]


def _stack(tables: dict[int, pa.Table]) -> tuple[pa.Table, set[int]]:
    """The frames of several specs as one, with the row of each one's spec; and the rows that do not fit."""
    united, apart = frames.stack(list(tables.values()))
    misfits = {row for at, row in enumerate(tables) if at in set(apart)}
    fitting = [row for row in tables if row not in misfits]
    rows: Any = pa.array(np.repeat(fitting, [tables[row].num_rows for row in fitting]).astype("i8"))
    if united.num_columns:
        return united.append_column(frames.ROW, rows), misfits
    return write_header(pa.table({frames.ROW: rows}), read_header(united.schema)), misfits


def _joined(rows: list[Sequence[int]]) -> Sequence[int]:
    """Rows of several calls; a range where they are one."""
    whole = all(isinstance(some, range) for some in rows)
    if whole and all(after[0] == before[-1] + 1 for before, after in itertools.pairwise(rows)):
        return range(rows[0][0], rows[-1][-1] + 1)
    return [row for some in rows for row in some]


def _stream(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()
