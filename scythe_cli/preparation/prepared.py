"""What was read and checked before a run is claimed.

Input: settings, an experiment, a table and the files that its rows name. Output: one record of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scythe_cli.core.row_ranges import missing, ranges_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import pyarrow as pa

    from scythe_cli.core.row_ranges import Range
    from scythe_cli.designs.design import Design
    from scythe_cli.experiment import config
    from scythe_cli.experiment.experiment import Experiment
    from scythe_cli.reuse.plan import ReusePlan
    from scythe_cli.spec_table.table import SpecTable
    from scythe_cli.storage.artifacts import UploadPlan


@dataclass(frozen=True)
class Prepared:
    """Everything that was checked, before anything is written.

    Attributes:
        loaded: the settings.
        experiment: the loaded experiment.
        table: the validated specs.
        uploads: the local input files and their places in the run.
        remote: the remote input files, by field.
        features: the computed features, row by row; None where the model computes none.
        copies: the local copies of the remote files, by address; None unless the run is to have its own.
        design: what made the specs; None where they were given.
        reuse: the specs that an earlier run has computed; None where all are to run.
    """

    loaded: config.LoadedSettings
    experiment: Experiment
    table: SpecTable
    uploads: UploadPlan
    remote: dict[str, list[str]]
    features: pa.Table | None = None
    copies: Mapping[str, Path] | None = None
    design: Design | None = None
    reuse: ReusePlan | None = None

    @property
    def file(self) -> config.ExperimentFile:
        """The settings."""
        return self.loaded.file

    @property
    def notes(self) -> list[str]:
        """What the user should know of the specs before they run."""
        design = self.design.notes if self.design is not None else []
        return [*self.table.notes, *design, *(self.reuse.notes if self.reuse is not None else [])]

    @property
    def name(self) -> str:
        """The name of the runs' folder."""
        return self.file.name or self.experiment.name

    @property
    def n_bytes(self) -> int:
        """Bytes of the local input files."""
        return sum(upload.size for upload in self.uploads.uploads)

    @property
    def to_run(self) -> list[Range]:
        """The rows that no earlier run has computed."""
        reused: list[Any] = self.reuse.rows.column("row").to_pylist() if self.reuse is not None else []
        return missing(self.table.rows, ranges_of(reused))
