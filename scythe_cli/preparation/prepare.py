"""Read and check the specs of a run and every file that they name.

Input: settings, an experiment, and a table, a design or models. Output: what was checked. Nothing is written.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from scythe_cli.core import layout
from scythe_cli.core.clock import Clock
from scythe_cli.errors import TableError
from scythe_cli.experiment.field_kinds import user_fields
from scythe_cli.experiment.settings import DesignSettings
from scythe_cli.preparation.prepared import Prepared
from scythe_cli.spec_table.computed_features import compute_features
from scythe_cli.spec_table.read import read_specs
from scythe_cli.storage import artifacts, cache, http, references
from scythe_cli.storage.address import is_remote

if TYPE_CHECKING:
    import pyarrow as pa

    from scythe_cli.designs.design import Design
    from scythe_cli.experiment import config
    from scythe_cli.experiment.experiment import Experiment
    from scythe_cli.experiment.models import ExperimentOutputSpec
    from scythe_cli.spec_table.table import SpecTable


def prepare(
    loaded: config.LoadedSettings,
    experiment: Experiment,
    *,
    specs: Any = None,
    limit: int | None = None,
    shuffle: int | None = None,
    overwrite_sort_index: bool = False,
) -> Prepared:
    """Read and check the table and every file it refers to, as they are now. Writes nothing.

    Args:
        loaded: the settings.
        experiment: the loaded experiment.
        specs: a path, an address, a list of input models or a table; the settings' unless given.
        limit: take the first so many specs.
        shuffle: with a limit, a seed: take so many specs at random instead.
        overwrite_sort_index: number the specs by their place, whatever the source says.

    Raises:
        TableError: rows are wrong, all in one report.
        InputFileError: files are missing.
        StoreError: nothing is wrong but that servers of files are away, fail or refuse.
    """
    cache.revalidate_before(Clock.time())
    http.allow_private(loaded.file.artifacts.allow_private)
    wanted = loaded.specs() if specs is None else specs
    design = None
    if isinstance(wanted, DesignSettings):
        design = design_of(loaded, experiment, wanted)
        wanted = design.table
    table = read_specs(
        wanted,
        experiment.input_model,
        base=loaded.folder,
        limit=limit if shuffle is None else None,
        renumber=overwrite_sort_index,
        place=loaded.place("specs") if specs is None else None,
        check_files=True,
        keeps_nulls=design is not None,
    )
    if limit is not None and shuffle is not None:
        table = table.sampled(limit, shuffle)
    if not table.rows:
        raise TableError(f"{table.name}: no specs; give at least one row")
    local: dict[str, list[Path]] = {}
    remote: dict[str, list[str]] = {}
    for field, addresses in table.references.items():
        remote[field] = [address for address in addresses if is_remote(address)]
        local[field] = [Path(address) for address in addresses if not is_remote(address)]
    features = compute_features(table)
    _check_names(table, features, experiment.output_model)
    copies = None
    if loaded.file.artifacts.copy_remote:
        copies = references.fetch_all(address for addresses in remote.values() for address in addresses)
        for field, addresses in remote.items():
            local[field] += [copies[address] for address in addresses]
    return Prepared(loaded, experiment, table, artifacts.plan_uploads(local), remote, features, copies, design)


def design_of(loaded: config.LoadedSettings, experiment: Experiment, settings: DesignSettings) -> Design:
    """The table that a design of an experiment file makes; messages name the file's line. Raises `ConfigError`."""
    from scythe_cli.designs.design import make_design

    def where(key: str) -> str:
        return f"{loaded.place(f'specs.{key}')}  specs.{key}"

    return make_design(experiment.input_model, settings, loaded.folder, where=where)


def _check_names(table: SpecTable, features: pa.Table | None, output_model: type[ExperimentOutputSpec]) -> None:
    """Refuse a column of the index that has the name of an output: the final tables have room for one.

    Fields of the two models are compared when they are loaded; here it is what the models do not name.
    """
    outputs = user_fields(output_model)
    computed = features.column_names if features is not None else []
    for name in table.extra:
        if name == layout.SORT_SUBINDEX:
            raise TableError(f"{table.name}  column {name!r} has a name that scythe uses itself: rename it")
        if name in outputs:
            clash = f"{table.name}  column {name!r} has the name of a field of the output {output_model.__name__}"
            raise TableError(f"{clash}: rename one of them")
    for name in computed:
        if name in outputs:
            clash = f"computed_features gives {name!r}, which is a field of the output {output_model.__name__}"
            raise TableError(f"{clash}: choose another name")
