"""Allocate: from a checked table to a real run, and through an engine to final tables.

Input: settings, an experiment and a table. Output: a run directory. Everything is checked before the first write,
the claim; the manifest is the last, and makes the run real.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scythe_cli.core import layout, processes, yaml_document
from scythe_cli.core.clock import Clock
from scythe_cli.core.events import (
    Notice,
    RunReady,
    SpecsValidated,
    UploadAdvanced,
    UploadFinished,
    UploadStarted,
    ignore,
)
from scythe_cli.core.row_ranges import Range
from scythe_cli.designs.design import make_design
from scythe_cli.errors import BrokenRun, StoreError, TableError
from scythe_cli.experiment import config, provenance
from scythe_cli.experiment.experiment import io_spec
from scythe_cli.experiment.field_kinds import file_fields, scalar_fields, user_fields
from scythe_cli.experiment.registry import TASK_PREFIX, ignored_options
from scythe_cli.experiment.settings import DesignSettings
from scythe_cli.operations.gather import FinalReport, gather, gathered
from scythe_cli.operations.seeded import seeded_at_import
from scythe_cli.reuse.keys import identity, remote_identity
from scythe_cli.reuse.plan import Wanted, find_source, plan_reuse
from scythe_cli.reuse.take_over import take_over
from scythe_cli.run import parts
from scythe_cli.run.claim import Claim, claim, next_version
from scythe_cli.run.code import keep_code
from scythe_cli.run.engine import Ended, Engine, Ticket, Work
from scythe_cli.run.find import real_runs
from scythe_cli.run.input_files import Record, describe_inputs, encode_inputs, shared_names
from scythe_cli.run.outcomes import outcome_schema
from scythe_cli.run.run import Manifest, Run, spec_id_prefix, write_manifest
from scythe_cli.run.specs_file import write_specs
from scythe_cli.run.state import read_state
from scythe_cli.run.version import Bump, SemVer
from scythe_cli.spec_table.computed_features import compute_features
from scythe_cli.spec_table.read import read_specs
from scythe_cli.storage import artifacts, cache, http, references
from scythe_cli.storage.address import is_remote

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa

    from scythe_cli.core.events import Listener
    from scythe_cli.designs.design import Design
    from scythe_cli.experiment.experiment import Experiment
    from scythe_cli.experiment.models import ExperimentOutputSpec
    from scythe_cli.reuse.plan import ReusePlan
    from scythe_cli.spec_table.table import SpecTable
    from scythe_cli.storage.artifacts import UploadPlan
    from scythe_cli.storage.base import Store


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

    loaded: config.Loaded
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
        return [*design, *(self.reuse.notes if self.reuse is not None else [])]

    @property
    def name(self) -> str:
        """The name of the runs' folder."""
        return self.file.name or self.experiment.name

    @property
    def n_bytes(self) -> int:
        """Bytes of the local input files."""
        return sum(upload.size for upload in self.uploads.uploads)


def prepare(
    loaded: config.Loaded,
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


@dataclass(frozen=True)
class Reuse:
    """What an allocate is to take over from an earlier run.

    Attributes:
        source: a RUN, or `latest`.
        changed_code: also what other code computed.
        by_sort_index: a spec is the same only where its sort_index is.
    """

    source: str
    changed_code: bool = False
    by_sort_index: bool = False


def with_reuse(prepared: Prepared, storage: Store, reuse: Reuse) -> Prepared:
    """Find the specs that an earlier run has computed. Writes nothing.

    Raises:
        NotFoundError: there is no such run.
        InputError: its rows are not those of this experiment, these models or this code.
    """
    source = find_source(storage, prepared.name, reuse.source)
    wanted = Wanted(
        prepared.experiment,
        prepared.file.run.seed,
        prepared.table.table,
        _identities(prepared),
        [] if prepared.features is None else prepared.features.column_names,
    )
    plan = plan_reuse(wanted, source, changed_code=reuse.changed_code, by_sort_index=reuse.by_sort_index)
    return replace(prepared, reuse=plan)


def _identities(prepared: Prepared) -> dict[str, dict[str, str | None]]:
    """By file field and address: what the file is, to compare it with the files of other runs."""
    content = {upload.key: identity(upload.source.name, upload.sha256) for upload in prepared.uploads.uploads}
    found: dict[str, dict[str, str | None]] = {field: {} for field in file_fields(prepared.experiment.input_model)}
    for (field, path), key in prepared.uploads.keys.items():
        found[field][str(path)] = content[key]
    copies = prepared.copies or {}
    for field, addresses in prepared.remote.items():
        for address in addresses:
            head = prepared.table.heads.get(address)
            copy = found[field].get(str(copies[address])) if address in copies else None
            found[field][address] = copy or remote_identity(address, head.etag if head else None)
    return found


def design_of(loaded: config.Loaded, experiment: Experiment, settings: DesignSettings) -> Design:
    """The table that a design of an experiment file makes; messages name the file's line. Raises `ConfigError`."""

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


def begin(prepared: Prepared, storage: Store, *, version: Bump | SemVer = "keep", listener: Listener = ignore) -> Run:
    """Claim a run id, bring everything the leaves need, and write the manifest. The table's rows are released.

    Raises:
        StoreError: the store does not answer or refuses. Without a manifest there is no run, only a claim.
    """
    wanted = next_version(storage, prepared.name, version)
    for sentence in [*prepared.loaded.notices, *ignored_options(prepared.experiment.options)]:
        listener(Notice(sentence))
    listener(SpecsValidated(prepared.name, str(wanted), prepared.table.rows))
    if (other := _other_code(prepared, storage, wanted)) is not None:
        listener(Notice(other))
    for field, name, contents in shared_names(prepared.uploads.uploads):
        listener(Notice(_shared_name(field, name, contents)))
    for note in prepared.notes:
        listener(Notice(note))
    ours = claim(storage, prepared.name, wanted)
    _upload(prepared, ours, listener)
    addresses = _artifact_addresses(prepared, ours)
    store = ours.store
    small = {
        layout.EXPERIMENT_FILE: config.dump(prepared.file).encode(),
        layout.IO_SPEC: yaml_document.write(io_spec(prepared.experiment)).encode(),
        layout.INPUT_ARTIFACTS: yaml_document.write({"files": _listed(prepared, ours)}).encode(),
        layout.INPUTS: encode_inputs(_inputs(prepared)),
        layout.OUTCOME_SCHEMA: parts.encode(outcome_schema(prepared.experiment.output_model).empty_table()),
    }
    with ThreadPoolExecutor(len(small)) as pool:
        list(pool.map(store.write, small, small.values()))
    write_specs(
        store,
        prepared.table,
        experiment_id=ours.id,
        root_workflow_run_id=ours.root_workflow_run_id,
        spec_id_prefix=spec_id_prefix(ours.id),
        addresses=addresses,
        features=prepared.features,
    )
    if prepared.reuse is not None:
        store.write(layout.REUSE, prepared.reuse.encode())
    manifest = _manifest(prepared, ours)
    write_manifest(store, manifest)
    prepared.table.release()
    return Run(store, manifest)


def _other_code(prepared: Prepared, storage: Store, version: SemVer) -> str | None:
    """A sentence when the latest run of the version had other code."""
    earlier = None
    with suppress(BrokenRun):  # status names it
        earlier = next(real_runs(storage, prepared.name, version), None)
    if earlier is None or earlier.manifest.source_hash == prepared.experiment.source_hash:
        return None
    was, now = earlier.manifest.source_hash[:12], prepared.experiment.source_hash[:12]
    return f"{version} has a run with other code ({was} then, {now} now); --bump patch gives this code its own version"


def _upload(prepared: Prepared, ours: Claim, listener: Listener) -> None:
    uploads = prepared.uploads.uploads
    if not uploads:
        return
    listener(UploadStarted(len(uploads), prepared.n_bytes))
    artifacts.send(ours.store, uploads, on_bytes=lambda n: listener(UploadAdvanced(n)))
    listener(UploadFinished(len(uploads), prepared.n_bytes))


def _artifact_addresses(prepared: Prepared, ours: Claim) -> dict[str, dict[str, str]]:
    """By field, the address in the run of each address in the table that has one."""
    found: dict[str, dict[str, str]] = {}
    for (field, path), key in prepared.uploads.keys.items():
        found.setdefault(field, {})[str(path)] = ours.store.locate(key)
    copies = prepared.copies or {}
    for field, addresses in prepared.remote.items():
        for address in filter(copies.__contains__, addresses):
            found[field][address] = found[field][str(copies[address])]
    return found


def _listed(prepared: Prepared, ours: Claim) -> dict[str, list[str]]:
    """input_artifacts.yml: the addresses of all input files, by field."""
    listed: dict[str, list[str]] = {field: [] for field in file_fields(prepared.experiment.input_model)}
    for upload in prepared.uploads.uploads:
        listed[upload.field].append(ours.store.locate(upload.key))
    if not prepared.file.artifacts.copy_remote:
        for field, addresses in prepared.remote.items():
            listed[field] += addresses
    return {field: sorted(addresses) for field, addresses in listed.items()}


def _inputs(prepared: Prepared) -> dict[str, list[Record]]:
    """The content of control/inputs.yml."""
    heads, copies = prepared.table.heads, prepared.copies or {}
    stay = {
        field: {address: heads.get(address) for address in addresses if address not in copies}
        for field, addresses in prepared.remote.items()
    }
    sources = {str(path): address for address, path in copies.items()}
    return describe_inputs(file_fields(prepared.experiment.input_model), prepared.uploads.uploads, stay, sources)


def _shared_name(field: str, name: str, contents: int) -> str:
    return (
        f"{field}: {contents} different files are called {name!r}; in the tables each has the start of its hash in its "
        f"name, and joins with other runs on {field} will not match"
    )


def _manifest(prepared: Prepared, ours: Claim) -> Manifest:
    experiment = prepared.experiment
    code = experiment.function.__code__ if hasattr(experiment.function, "__code__") else None
    line = f":{code.co_firstlineno}" if code else ""
    return Manifest(
        experiment_id=ours.id,
        experiment_name=f"{TASK_PREFIX}{experiment.name}",
        input_artifacts=ours.store.locate(layout.INPUT_ARTIFACTS),
        io_spec=ours.store.locate(layout.IO_SPEC),
        specs_uri=ours.store.locate(layout.SPECS),
        workflow_run_id=ours.root_workflow_run_id if prepared.file.engine == "local" else None,
        root_workflow_run_id=ours.root_workflow_run_id,
        created=ours.created,
        n_specs=prepared.table.rows,
        block_size=layout.BLOCK,
        entry_point=prepared.file.experiment,
        source_hash=experiment.source_hash,
        git_commit=provenance.git_commit(experiment.folder),
        packages=provenance.packages(experiment),
        python=provenance.python(),
        host=processes.host(),
        engine=prepared.file.engine,
        seed=prepared.file.run.seed,
        index=[*prepared.table.index, *(prepared.features.column_names if prepared.features is not None else [])],
        scalars=list(scalar_fields(experiment.output_model)),
        files=list(file_fields(experiment.output_model)),
        place=f"{experiment.name} ({experiment.file.name}{line})",
        code_version=experiment.options.version,
        design=prepared.design.record if prepared.design is not None else None,
    )


@dataclass(frozen=True)
class Allocation:
    """How an allocate ended.

    Attributes:
        run: the run.
        ended: why it stopped early; None when every spec has its outcome.
        final: the final tables; None when it stopped early or nobody waited.
    """

    run: Run
    ended: Ended | None
    final: FinalReport | None


def start(work: Work, engine: Engine, listener: Listener = ignore) -> Ticket:
    """Hand work to an engine. Before that the run gets a copy of the code that it will run."""
    for message in keep_code(work.run.store, work.experiment):
        listener(Notice(message))
    ticket = engine.submit(work)
    if seeded := seeded_at_import(work.experiment):
        listener(Notice(seeded))
    listener(
        RunReady(
            work.run.id,
            work.run.store.locate(""),
            work.file.engine,
            engine.lanes,
            work.generation,
            work.todo,
            work.run.total,
            ticket.link,
        )
    )
    return ticket


def finish(work: Work, ticket: Ticket, listener: Listener = ignore) -> Allocation:
    """Wait for work and build the final tables when every spec has its outcome."""
    with closing(ticket):
        try:
            ended = ticket.wait(listener)
        except StoreError as exc:
            exc.hint = exc.hint or f"what is done is kept; then: scythe allocate --resume {work.run.id}"
            raise
        if ended is not None:
            return Allocation(work.run, ended, None)
        return Allocation(work.run, None, final_tables(work, listener))


def final_tables(work: Work, listener: Listener = ignore) -> FinalReport:
    """Build the final tables of finished work, where its engine has not."""
    built = gathered(work.run) if work.file.engine != "local" else None
    return built or gather(work.run, listener=listener)


def first_work(run: Run, prepared: Prepared) -> Work:
    """What a new run has to do: all of it, less the rows that it takes over from an earlier run, which is done here."""
    if prepared.reuse is None:
        return Work(run, prepared.experiment, prepared.file, [Range(0, run.total - 1)], generation=1)
    take_over(run)
    state = read_state(run)
    return Work(run, prepared.experiment, prepared.file, state.missing(), generation=1, done=state.done)
