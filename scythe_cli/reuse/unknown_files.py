"""Files that a run depends on without scythe's knowledge: a reuse does not see that they have changed.

Input: an experiment and the table. Output: a sentence for each kind.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from scythe_cli.experiment.field_kinds import file_fields
from scythe_cli.experiment.source_files import named_files

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from scythe_cli.experiment.experiment import Experiment

ROWS = 100
"""Rows of the table whose texts are looked at."""
SHOWN = 3


def unknown_files(experiment: Experiment, specs: pa.Table) -> list[str]:
    """Sentences about files that the code names and `code.include` does not, and about files that are mere text."""
    known = set(experiment.sources)
    known |= {str(experiment.input_model.model_fields[name].default) for name in file_fields(experiment.input_model)}
    notes = []
    if named := [name for name in named_files(experiment.modules, experiment.folder) if name not in known]:
        more = f" and {len(named) - SHOWN} more" if len(named) > SHOWN else ""
        notes.append(
            f"the code names {', '.join(named[:SHOWN])}{more}: changes there may not be seen. Use code.include"
        )
    for field, name in _files_as_text(experiment, specs):
        notes.append(
            f"{field} = {name!r} is a file, and the field is text: changes of the file are not seen. "
            f"Write {field}: FileReference"
        )
    return notes


def _files_as_text(experiment: Experiment, specs: pa.Table) -> Iterator[tuple[str, str]]:
    """Each field of text with a value that names a file of the experiment's folder, and the first such value."""
    for name, field in experiment.input_model.model_fields.items():
        if field.annotation is not str or name not in specs.column_names:
            continue
        values = specs.column(name).slice(0, ROWS).unique().to_pylist()
        if first := next(
            (text for text in values if isinstance(text, str) and _is_file(experiment.folder, text)), None
        ):
            yield name, first


def _is_file(folder: Path, text: str) -> bool:
    try:
        return "." in text and (folder / text).is_file()
    except (OSError, ValueError):  # too long for a name, or a character that no name has
        return False
