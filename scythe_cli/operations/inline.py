"""One spec in this very process, without a run: to see it fail under a debugger."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import ValidationError

from scythe_cli.columns.batch_tables import BadTable, from_table, to_table, wrong_number
from scythe_cli.columns.rows import make_specs
from scythe_cli.core import layout, spec_random
from scythe_cli.errors import NotFoundError
from scythe_cli.experiment.field_kinds import file_fields
from scythe_cli.experiment.signature import Form
from scythe_cli.lane.encode import Encoder
from scythe_cli.lane.output_model import OutputModel, invalid
from scythe_cli.lane.outputs import Outputs
from scythe_cli.lane.pending import Pending
from scythe_cli.run.outcomes import Failure, from_exception, scalar_schema
from scythe_cli.spec_table.repeats import repeats
from scythe_cli.storage import references

if TYPE_CHECKING:
    from collections.abc import Callable

    from scythe_cli.experiment.experiment import Experiment
    from scythe_cli.preparation.prepared import Prepared


def run_inline(
    prepared: Prepared, sort_index: int, *, debug: Callable[[BaseException], None]
) -> tuple[Any, Failure | None]:
    """Call the experiment's function with one spec, and validate what it returns as a lane does.

    Args:
        prepared: the checked experiment and table.
        sort_index: the spec's.
        debug: called with what the function raises, while the spec's temporary folder is still there.

    Returns:
        What the function returned, None where it raised; and its failure, None where all is well.

    Raises:
        NotFoundError: no spec has this sort_index.
    """
    table = prepared.table.table
    row = pc.index(table.column(layout.SORT_INDEX), sort_index).as_py()
    if row < 0:
        held = f"{table.num_rows:,} specs" if table.num_rows != 1 else "1 spec"
        raise NotFoundError(f"no spec has sort_index {sort_index}; the table has {held}")
    experiment = prepared.experiment
    ids = {layout.EXPERIMENT_ID: f"{prepared.name}/inline", layout.WORKFLOW_RUN_ID: f"inline-{sort_index}"}
    spec = make_specs(table.slice(row, 1), experiment.input_model, ids)[0]
    spec_random.CURRENT.seed = prepared.file.run.seed
    spec_random.CURRENT.repeats = repeats(table)
    with tempfile.TemporaryDirectory(prefix="scythe-inline-") as folder:
        if experiment.options.auto_fetch_files:
            for name in file_fields(experiment.input_model):
                if (value := getattr(spec, name)) is not None:
                    path = references.fetch(str(value))
                    copied = experiment.options.local_file_location == "copied-to-tempdir"
                    spec.__dict__[name] = references.copy_to(path, Path(folder)) if copied else path
        os.chdir(experiment.folder)
        taken: Any = spec
        if experiment.form is Form.LIST:
            taken = [spec]
        elif experiment.form is not None:
            taken = to_table(table.slice(row, 1), experiment.input_model, experiment.form)
        try:
            output = experiment.call(taken, Path(folder))
        except (Exception, SystemExit) as exc:  # noqa: BLE001 - around the user's function
            debug(exc)
            return None, from_exception(exc, folder=str(experiment.folder))
        if experiment.form is not None:
            output = _only_output(experiment, output, sort_index)
            if isinstance(output, Failure):
                return None, output
        return output, _validate(experiment, spec, output, Path(folder), nan_fails=prepared.file.run.nan == "fail")


def _only_output(experiment: Experiment, returned: Any, sort_index: int) -> Any:
    """The output in what a function of many specs returned for one, or a `Failure`."""
    model = experiment.output_model
    try:
        if experiment.form is not Form.LIST:
            found = from_table(returned, pa.array([sort_index], pa.int64()), model, scalar_schema(model))
            values = {name: cell for name, cell in found.given.to_pylist()[0].items() if name}
            return model.model_validate(values)
    except BadTable as exc:
        return invalid(str(exc), "return")
    except ValidationError as exc:
        return OutputModel(model).refusal(exc)
    if not isinstance(returned, list | tuple):
        return invalid(f"the function returned a {type(returned).__name__}, not a list of {model.__name__}", "return")
    return returned[0] if len(returned) == 1 else invalid(wrong_number(len(returned), 1), "return")


def _validate(experiment: Experiment, spec: Any, output: Any, folder: Path, *, nan_fails: bool) -> Failure | None:
    """What a lane would say of an output. Its files are moved."""
    outbox = folder / "outbox"
    outbox.mkdir(exist_ok=True)
    model = OutputModel(experiment.output_model)
    outputs = Outputs(model, experiment.input_model, outbox=str(outbox), root="", nan_fails=nan_fails)
    pending = Pending()
    accepted = outputs.accept(pending, 0, spec, output, folder)
    if isinstance(accepted, Failure):
        return accepted
    pending.add(0, spec.sort_index, output=accepted, attempt=1, start=0.0, duration=0.0)
    Encoder(model, worker="").messages(pending)
    return pending.failures.get(0)
