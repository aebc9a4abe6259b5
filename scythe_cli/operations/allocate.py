"""Allocate: from a checked table to a real run, and through an engine to final tables.

Input: what was prepared (everything is checked by then). Output: a run directory. The claim is the first write; the
manifest is the last, and makes the run real.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scythe_cli.core import layout, processes, yaml_document
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
from scythe_cli.errors import BrokenRun, StoreError
from scythe_cli.experiment import config, provenance
from scythe_cli.experiment.experiment import io_spec
from scythe_cli.experiment.field_kinds import file_fields, scalar_fields
from scythe_cli.experiment.registry import TASK_PREFIX, ignored_options
from scythe_cli.operations.gather import FinalReport, gather, gathered
from scythe_cli.operations.seeded import seeded_at_import
from scythe_cli.preparation.specs_file import write_specs
from scythe_cli.run import parts
from scythe_cli.run.claim import Claim, claim, next_version
from scythe_cli.run.code import keep_code
from scythe_cli.run.engine import Ended, Engine, Ticket, Work
from scythe_cli.run.find import real_runs
from scythe_cli.run.generation import latest_code
from scythe_cli.run.input_files import Record, describe_inputs, encode_inputs, shared_names
from scythe_cli.run.outcomes import outcome_schema
from scythe_cli.run.run import Manifest, OriginalRun, Run, spec_id_prefix, write_manifest
from scythe_cli.run.state import read_state
from scythe_cli.run.version import Bump, SemVer
from scythe_cli.storage import artifacts

if TYPE_CHECKING:
    from scythe_cli.core.events import Listener
    from scythe_cli.preparation.prepared import Prepared
    from scythe_cli.storage.base import Store


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
    listed = yaml_document.write({"files": _listed(prepared, ours)}).encode()
    if prepared.uploads.uploads:  # a remove must know these files as ours if this process dies while it sends them
        ours.store.write(layout.INPUT_ARTIFACTS, listed)
    _upload(prepared, ours, listener)
    addresses = _artifact_addresses(prepared, ours)
    store = ours.store
    small = {
        layout.EXPERIMENT_FILE: config.dump(prepared.file).encode(),
        layout.IO_SPEC: yaml_document.write(io_spec(prepared.experiment)).encode(),
        layout.INPUT_ARTIFACTS: listed,
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
    if prepared.reuse is not None:
        prepared.reuse.release()
    return Run(store, manifest)


def _other_code(prepared: Prepared, storage: Store, version: SemVer) -> str | None:
    """A sentence when the latest run of the version had other code."""
    earlier = None
    with suppress(BrokenRun):  # status names it
        earlier = next(real_runs(storage, prepared.name, version), None)
    if earlier is None:
        return None
    theirs = earlier.manifest.source_hash if isinstance(earlier, OriginalRun) else latest_code(earlier).source_hash
    if theirs == prepared.experiment.source_hash:
        return None
    was, now = theirs[:12], prepared.experiment.source_hash[:12]
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
    if work.file.run.order == "longest" and work.file.engine != "local":
        listener(Notice("run.order is longest: only the local engine begins with the longest specs"))
    if seeded := seeded_at_import(work.experiment):
        listener(Notice(seeded))
    ticket = engine.submit(work)
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


def first_work(run: Run, prepared: Prepared, listener: Listener = ignore) -> Work:
    """What a new run has to do: all of it, less the rows that it takes over from an earlier run, which is done here."""
    if prepared.reuse is None:
        return Work(run, prepared.experiment, prepared.file, [Range(0, run.total - 1)], generation=1)
    from scythe_cli.reuse.take_over import take_over

    take_over(run, listener)
    state = read_state(run)
    return Work(run, prepared.experiment, prepared.file, state.missing(), generation=1, done=state.done)
