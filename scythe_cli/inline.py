"""One spec in this very process, without a run: to see it fail under a debugger."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.compute as pc

from scythe_cli import files, layout
from scythe_cli.errors import NotFoundError
from scythe_cli.rows import make_specs
from scythe_cli.specs import file_fields

if TYPE_CHECKING:
    from scythe_cli.allocate import Prepared


def run_inline(prepared: Prepared, sort_index: int) -> Any:
    """Call the experiment's function with one spec and give back what it returns. What it raises passes through.

    Raises:
        NotFoundError: no spec has this sort_index.
    """
    table = prepared.table.table
    row = pc.index(table.column(layout.SORT_INDEX), sort_index).as_py()
    if row < 0:
        raise NotFoundError(f"no spec has sort_index {sort_index}; the table has {table.num_rows:,} specs")
    experiment = prepared.experiment
    ids = {layout.EXPERIMENT_ID: f"{prepared.name}/inline", layout.WORKFLOW_RUN_ID: f"inline-{sort_index}"}
    spec = make_specs(table.slice(row, 1), experiment.input_model, ids)[0]
    with tempfile.TemporaryDirectory(prefix="scythe-inline-") as folder:
        if experiment.options.auto_fetch_files:
            for name in file_fields(experiment.input_model):
                if (value := getattr(spec, name)) is not None:
                    path = files.fetch(str(value))
                    copied = experiment.options.local_file_location == "copied-to-tempdir"
                    spec.__dict__[name] = files.copy_to(path, Path(folder)) if copied else path
        os.chdir(experiment.folder)
        return experiment.call(spec, Path(folder))
