"""Every argument and option of the commands, each in one place. The signature of a command names those it takes.

Input: nothing. Output: annotated types for typer, `--help` text included; and what a duration in one of them means.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from scythe_cli.cli.completion import complete_run
from scythe_cli.errors import ConfigError

TableFormat = Literal["parquet", "csv", "xlsx"]
VersionBump = Literal["major", "minor", "patch", "keep"]
TemplateName = Literal["minimal", "energy"]

_RUN_FORMS = (
    "The run: NAME, NAME/v1, NAME/v1.2.0, NAME/v1.2.0/TIME, the folder or address of a run, or an experiment file "
    "(its latest run)."
)

RunArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="RUN",
        help=f"{_RUN_FORMS} Default: the latest run of ./experiment.yml.",
        show_default=False,
        autocompletion=complete_run,
    ),
]
FirstRun = Annotated[
    str, typer.Argument(metavar="RUN", help=_RUN_FORMS, show_default=False, autocompletion=complete_run)
]
SecondRun = Annotated[
    str, typer.Argument(metavar="RUN", help="The other run.", show_default=False, autocompletion=complete_run)
]
Storage = Annotated[
    str | None,
    typer.Option(
        metavar="S",
        help="Where the runs are: a folder or s3://bucket/prefix. Default: `storage` of ./experiment.yml.",
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout and nothing else there.")]
AllowChangedCode = Annotated[
    bool,
    typer.Option(
        "--allow-changed-code",
        help="With --resume or --reuse: allow code that has changed since the run began.",
    ),
]

# scythe init
Folder = Annotated[
    Path, typer.Argument(metavar="DIR", help="The folder to write to. It is created if it does not exist.")
]
Template = Annotated[
    TemplateName | None,
    typer.Option(help="`minimal` needs Python only (the default); `energy` runs EnergyPlus."),
]
FromFunction = Annotated[
    str | None,
    typer.Option(
        "--from",
        metavar="MODULE:FUNCTION",
        help="Write experiment.yml and the header of specs.csv for your own function. MODULE is imported from DIR.",
    ),
]

# scythe sample
Design = Annotated[
    str | None,
    typer.Option(
        metavar="D",
        help="The method, in place of the one in FILE: sobol, halton, lhs, random, grid, one_at_a_time, morris or "
        "saltelli.",
    ),
]
Points = Annotated[int | None, typer.Option("-n", min=1, metavar="N", help="Points, in place of `n` in FILE.")]
Seed = Annotated[int | None, typer.Option(min=0, metavar="S", help="Seed, in place of the one in FILE.")]
TableFile = Annotated[
    Path | None,
    typer.Option("-o", metavar="OUT", help="Where to write: a .csv or .parquet file. Default: CSV on stdout."),
]

# scythe allocate
ExperimentFile = Annotated[Path, typer.Argument(metavar="FILE", readable=False, help="The experiment file.")]
FileOrFunction = Annotated[
    Path,
    typer.Argument(
        metavar="FILE",
        readable=False,
        help="The experiment file; or the function itself, MODULE:FUNCTION, where there is no file.",
    ),
]
SpecsTable = Annotated[
    str | None,
    typer.Argument(
        metavar="SPECS",
        help="The table of specs, in place of `specs` in FILE. MODULE:FUNCTION needs it.",
        show_default=False,
    ),
]
Bump = Annotated[
    VersionBump | None, typer.Option(help="The part of the latest run's version to increase. Default: keep.")
]
Version = Annotated[str | None, typer.Option(metavar="X.Y.Z", help="Set the version of the run.")]
Engine = Annotated[
    str | None,
    typer.Option(metavar="E", help="Where specs run: local, hatchet, shared or slurm. Default: `engine` of FILE."),
]
Sets = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="K=V", help="Replace a setting of FILE, for example run.timeout=20m. Repeatable."),
]
Limit = Annotated[
    int | None, typer.Option("--limit", "-n", min=1, metavar="N", help="Run only the first N specs of the table.")
]
Shuffle = Annotated[
    bool, typer.Option("--shuffle", help="With --limit: take N specs of the table at random, not the first N.")
]
ShuffleSeed = Annotated[
    int | None, typer.Option("--seed", min=0, metavar="S", help="With --shuffle: the same seed takes the same specs.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Check everything and print what would run. Write nothing.")]
Probe = Annotated[
    int | None,
    typer.Option(min=1, metavar="K", help="Run K specs, print an estimate for all, and ask before running them."),
]
Wait = Annotated[
    bool | None,
    typer.Option("--wait/--no-wait", help="Wait until the run ends. Local runs always wait, others only if asked."),
]
Notify = Annotated[
    str | None,
    typer.Option(
        metavar="COMMAND",
        help="Run this shell command at the end, also after Ctrl-C. The run's JSON document is on its stdin.",
        show_default=False,
    ),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Answer yes to all questions.")]
Resume = Annotated[
    str | None,
    typer.Option(
        metavar="RUN",
        help="Continue this run: run its missing and failed specs.",
        autocompletion=complete_run,
    ),
]
ReuseRun = Annotated[
    str | None,
    typer.Option(
        "--reuse",
        metavar="RUN",
        help="Use the results of an earlier run for specs that have not changed, and run the rest: a RUN, or latest.",
        autocompletion=complete_run,
    ),
]
ReuseBy = Annotated[
    Literal["sort_index"] | None,
    typer.Option("--reuse-by", help="With --reuse: a spec is the same only if its sort_index is the same too."),
]
OnlyFailed = Annotated[bool, typer.Option("--failed", help="With --resume: run only the failed specs.")]
OnlyMissing = Annotated[bool, typer.Option("--missing", help="With --resume: run only the missing specs.")]
OnlySpec = Annotated[
    int | None, typer.Option(min=0, metavar="SORT_INDEX", help="With --inline: the number of the spec to run.")
]
Inline = Annotated[
    bool,
    typer.Option("--inline", help="Run one spec in this terminal and write nothing. If it fails, the debugger opens."),
]

# scythe report
ReportFile = Annotated[
    Path | None,
    typer.Option("-o", metavar="FILE", help="Where to write the page. Default: report.html.", show_default=False),
]
OpenReport = Annotated[bool, typer.Option("--open", help="Open the page in the browser.")]
ReportJson = Annotated[
    bool,
    typer.Option("--json", help="Print the same numbers as one JSON document. Write a page only with -o or --open."),
]

# scythe status
RunOrLatest = Annotated[
    str | None,
    typer.Argument(
        metavar="RUN",
        help=f"{_RUN_FORMS} Default: list the latest runs; with --watch or --errors, the latest run of "
        "./experiment.yml.",
        show_default=False,
        autocompletion=complete_run,
    ),
]
Watch = Annotated[bool, typer.Option("--watch", help="Show the progress until the run ends.")]
Errors = Annotated[
    bool, typer.Option("--errors", help="Show the failures, grouped by kind, type and place, with one example each.")
]
ListSpecs = Annotated[
    bool, typer.Option("--list", help="As --errors, and the numbers of all failed specs of each group.")
]
AllAttempts = Annotated[
    bool,
    typer.Option("--all-attempts", help="Show also the failures of earlier attempts, before a retry or a resume."),
]

# scythe wait
WaitTimeout = Annotated[
    str | None,
    typer.Option("--timeout", metavar="T", help="Stop waiting after 30s, 10m or 1h30m, with exit code 5."),
]

# scythe show
SortIndex = Annotated[
    int | None,
    typer.Argument(metavar="SORT_INDEX", min=0, help="The number of one spec.", show_default=False),
]
Slowest = Annotated[int | None, typer.Option(min=1, metavar="N", help="The N specs that took longest.")]
ShowFailed = Annotated[bool, typer.Option("--failed", help="Only specs that failed.")]
Where = Annotated[
    str | None,
    typer.Option(
        metavar="SQL",
        help="Only specs for which a condition is true, such as \"system = 'heatpump' AND duration > 60\". Its columns "
        "are inputs, outputs, and those of execution.pq, error_type and message.",
    ),
]
Head = Annotated[
    bool, typer.Option("--head", help="The first specs in short columns; of one spec, the first rows of its frames.")
]
OnlyLog = Annotated[bool, typer.Option("--log", help="Only what the spec printed.")]
ShowLimit = Annotated[
    int | None,
    typer.Option(
        "--limit", "-n", min=1, metavar="N", help="At most N specs. Default: 20; with --head 10, with --json 1000."
    ),
]

# scythe gather
Partial = Annotated[bool, typer.Option("--partial", help="Build the tables even if some specs have no result yet.")]

# scythe download
Destination = Annotated[
    Path | None,
    typer.Argument(metavar="DEST", help="The folder to copy to. Default: ./NAME-VERSION.", show_default=False),
]
WithFiles = Annotated[
    bool, typer.Option("--files", help="Copy the result files too, and what failed specs left (run.keep_failed).")
]
Format = Annotated[
    TableFormat,
    typer.Option(
        "--format",
        help="csv: write each table as a CSV file too. xlsx: write one Excel workbook with a sheet for each table.",
    ),
]
FilterField = Annotated[
    str | None, typer.Option("--filter", metavar="FIELD", help="Copy only the result files of this output field.")
]

# scythe remove
RemoveAll = Annotated[bool, typer.Option("--all", help="Remove all runs that RUN fits.")]
OlderThan = Annotated[
    str | None,
    typer.Option("--older-than", metavar="T", help="Remove the runs that are older than 90d, 12h or 30m."),
]
KeepLatest = Annotated[
    bool, typer.Option("--keep-latest", help="Keep the run that RUN means to other commands: the latest.")
]

# scythe worker
Targets = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[FILE | MODULE ...]",
        help="What to serve: experiment files, modules, or module:function. Default: ./experiment.yml.",
        show_default=False,
    ),
]
Slots = Annotated[
    int | None,
    typer.Option(
        "--slots",
        "--workers",
        min=1,
        metavar="N",
        help="Number of specs to run at the same time. Default: the number of cores.",
    ),
]
WorkerName = Annotated[
    str | None, typer.Option(metavar="NAME", help="The name of this worker. Default: made from the host name.")
]
Labels = Annotated[
    list[str] | None,
    typer.Option(
        "--label", metavar="K=V", help="A label that an experiment can require, for example has_gpu=true. Repeatable."
    ),
]
Roles = Annotated[
    list[str] | None,
    typer.Option(
        "--role", metavar="fan|leaf", help="fan: follow runs and hand out their work. leaf: run specs. Default: both."
    ),
]
WorkOnRun = Annotated[
    str | None,
    typer.Option(
        "--run",
        metavar="RUN",
        help="Work on one run of `engine: shared` or `slurm`, straight from its directory, until nothing is left. No "
        "server.",
    ),
]
Until = Annotated[
    str | None,
    typer.Option(metavar="T", help="With --run: end within 30m or 3h50m. No spec begins that would not end before."),
]
IdleTimeout = Annotated[
    str | None,
    typer.Option(metavar="T", help="With --run: end when no specs were free for this long. Default: wait for the end."),
]
Embedded = Annotated[bool, typer.Option("--embedded", help="Start a Hatchet engine on this machine first.")]
WorkOnChangedCode = Annotated[
    bool, typer.Option("--allow-changed-code", help="Also work on runs whose code differs from this worker's.")
]
JsonLines = Annotated[bool, typer.Option("--json", help="Print events on stdout, one JSON document per line.")]


def seconds_of(flag: str, text: str | None) -> float | None:
    """What an option that takes a duration means. Raises `ConfigError`, which names the option."""
    from scythe_cli.core.units import parse_duration

    try:
        return None if text is None else parse_duration(text)
    except ValueError as exc:
        raise ConfigError(f"{flag} {text}  {exc}") from None
