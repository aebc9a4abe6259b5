"""`scythe allocate --dry-run` and `--probe`: what a run would be and cost, before anything is spent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scythe_cli.cli.formatting import brief, counted, display_path, size
from scythe_cli.cli.output import MOST_FAILURES, confirm, failure_line, print_json, print_next, put
from scythe_cli.core.printable import printable

if TYPE_CHECKING:
    from scythe_cli.cli.progress import Terminal
    from scythe_cli.operations.estimate import Estimate, Plan
    from scythe_cli.preparation.prepared import Prepared
    from scythe_cli.run.version import Bump, SemVer

_LONG_IS_QUICKER = "a row for each value is quicker to write and to read"


def print_plan(prepared: Prepared, version: Bump | SemVer, *, as_json: bool) -> None:
    """`--dry-run`: print what the run would be."""
    from scythe_cli.operations.estimate import plan
    from scythe_cli.storage.open_store import open_store

    found = plan(prepared, open_store(prepared.file.storage), version)
    if as_json:
        print_json(found)
    else:
        _show_plan(found, prepared.name)
        for note in prepared.notes:
            put(printable(f"note: {note}"))
        if prepared.file.engine == "slurm":
            _print_slurm_script(prepared)


def _print_slurm_script(prepared: Prepared) -> None:
    """`--dry-run` with `engine: slurm`: print the script that sbatch would get."""
    from scythe_cli.engines.shared.range_plan import cut_by_settings
    from scythe_cli.engines.slurm.jobs import job_of
    from scythe_cli.engines.slurm.script import array_script

    file, experiment, run = prepared.file, prepared.experiment, f"{prepared.name}/<version>/<time>"
    ranges = len(cut_by_settings(prepared.to_run, file, experiment.options.batch))
    folder, path = experiment.folder, prepared.loaded.path
    job = job_of(f"{file.storage}/{run}", run, 1, file=file, ranges=ranges, folder=folder, path=path)
    put(printable(array_script(job), lines=True))


def _show_plan(found: Plan, name: str) -> None:
    put(printable(f"{name}: {counted(found.n_specs, 'spec')} valid; a dry run, nothing was written"))
    put(printable(f"  run      {display_path(found.address)}/<time>"))
    weight = f" ({size(found.n_bytes)})" if found.n_files else ""
    remote = f", {found.n_remote:,} remote, not copied" if found.n_remote else ""
    put(printable(f"  files    {counted(found.n_files, 'input file')} to upload{weight}{remote}"))
    packets = counted(found.leaves, "packet") if found.leaves is not None else "packets"
    put(printable(f"  work     handed out in {packets} of up to {counted(found.largest_leaf, 'spec')}"))
    put(printable(f"  objects  {found.objects:,} or more"))
    for frame, width in found.wide_frames.items():
        put(printable(f"  frame    {frame} had {width:,} columns in the latest run; {_LONG_IS_QUICKER}"))


def probe_first(terminal: Terminal, prepared: Prepared, *, k: int, yes: bool, as_json: bool) -> bool:
    """`--probe`: run a few specs, print the estimate, and ask whether to run all."""
    from scythe_cli.engines.open_engine import open_local
    from scythe_cli.operations.estimate import probe

    with terminal.busy(f"probing {counted(min(k, prepared.table.rows), 'spec')}"):
        found = probe(prepared, k, open_local(prepared.file))
    if as_json and not yes:
        print_json(found)
        return False
    _show_estimate(found, prepared.name, to_stderr=as_json)
    if yes or confirm(f"Run all {counted(found.n_specs, 'spec')}?", yes):
        return True
    print_next("the same with --yes runs them all")
    return False


def _show_estimate(found: Estimate, name: str, *, to_stderr: bool) -> None:
    def say(text: str) -> None:
        put(printable(text), err=to_stderr)

    cpu = f"{found.cpu_hours:,.1f} CPU hours" if found.cpu_hours >= 1 else f"{brief(found.cpu_hours * 3600)} of CPU"
    say(f"{name}: {counted(found.probed, 'spec')} probed, {found.failed:,} failed")
    say(f"  a spec   {brief(found.seconds)} on average, {brief(found.slowest)} at most")
    say(f"  all      {cpu} for {counted(found.n_specs, 'spec')}")
    say(f"  here     {brief(found.wall_hours * 3600)} on {counted(found.lanes, 'worker')}")
    say(f"  objects  {found.objects:,} or more")
    for frame, width in found.wide_frames.items():
        say(f"  frame    {frame} has {width:,} columns; {_LONG_IS_QUICKER}")
    for group in found.failures[:MOST_FAILURES]:
        say(failure_line(group))
