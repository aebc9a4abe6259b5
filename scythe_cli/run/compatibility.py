"""What the code of a run may not change while the run is unfinished: what its specs are, and what its tables hold.

Input: a run, and an experiment with other code. Output: an error that names the fields, or nothing.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from scythe_cli.columns.schema import arrow_schema
from scythe_cli.core import layout
from scythe_cli.errors import BrokenRun, InputError, KeyMissing
from scythe_cli.run.outcomes import outcome_schema
from scythe_cli.run.parts import read_block, read_schema
from scythe_cli.run.run import refuse_download

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from scythe_cli.experiment.experiment import Experiment
    from scythe_cli.run.run import Run


def refuse_wrong_total(run: Run) -> None:
    """Hold that a run has the specs that its manifest counts. Costs the last block of them.

    Raises:
        BrokenRun: it has fewer, and nobody could ever finish them; or more.
        ConfigError: it is a download, which has none.
    """
    refuse_download(run)
    total, found = run.total, 0
    block = layout.block_of(max(total - 1, 0))
    with suppress(KeyMissing):
        run.store.stat(layout.input_block(block))
        found = block * layout.BLOCK + read_block(run.store, block, [layout.SORT_INDEX]).num_rows
        run.store.stat(layout.input_block(block + 1))
        found = max(found, total) + 1
    if found != total:
        message = f"{run.store.locate(layout.MANIFEST)} says {total:,} specs, and the run has another number of them"
        raise BrokenRun(message, hint="put a copy of the right manifest back")


def refuse_other_models(run: Run, experiment: Experiment) -> None:
    """Hold that a changed experiment still takes a run's specs and gives the columns of its parts.

    Raises:
        InputError: fields have other types, or the input has a new one without a default.
    """
    specs, outcomes = read_block(run.store, 0).schema, read_schema(run.store)
    input_model, output_model = experiment.input_model, experiment.output_model
    problems = [
        *_retyped(input_model.__name__, arrow_schema(input_model), specs),
        *_retyped(output_model.__name__, outcome_schema(output_model), outcomes),
    ]
    problems += [
        f"{input_model.__name__}.{name} is new and has no default"
        for name in arrow_schema(input_model).names
        if name not in specs.names and input_model.model_fields[name].is_required()
    ]
    if problems:
        raise InputError(
            f"{run.id} cannot continue with the code as it is now: {'; '.join(problems)}",
            hint="allocate a new run, or restore the fields that the models had when the run began",
        )


def _retyped(model: str, now: pa.Schema, then: pa.Schema) -> Iterator[str]:
    for field in now:
        at = then.get_field_index(field.name)
        if at >= 0 and then.field(at).type != field.type:
            yield f"{model}.{field.name} was {then.field(at).type} and is {field.type}"
