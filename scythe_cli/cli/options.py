"""Every argument and option of the commands, each in one place. The signature of a command names those it takes.

Input: nothing. Output: annotated types for typer, `--help` text included.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

VersionBump = Literal["major", "minor", "patch", "keep"]
TemplateName = Literal["minimal", "energy"]

RunArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="RUN",
        help="name, name/v1, name/v1.2.0, name/v1.2.0/time, a run's folder or address, or an experiment file. "
        "Default: the latest run of ./experiment.yml.",
        show_default=False,
    ),
]
Storage = Annotated[
    str | None, typer.Option(metavar="S", help="Where runs live: a folder or s3://bucket/prefix.", show_default=False)
]
Json = Annotated[bool, typer.Option("--json", help="Print exactly one JSON document on stdout.")]
AllowChangedCode = Annotated[
    bool, typer.Option("--allow-changed-code", help="With --resume: the code may differ from the run's.")
]

# scythe init
Folder = Annotated[Path, typer.Argument(metavar="DIR", help="Where to write; made when it is not there.")]
Template = Annotated[
    TemplateName | None,
    typer.Option(help="The starter: `minimal` is pure Python (the default), `energy` runs EnergyPlus."),
]
FromFunction = Annotated[
    str | None,
    typer.Option(
        "--from",
        metavar="MODULE:FUNCTION",
        help="Write experiment.yml and the header of specs.csv for a function that exists, found from DIR.",
    ),
]

# scythe allocate
ExperimentFile = Annotated[Path, typer.Argument(metavar="FILE", readable=False, help="The experiment file.")]
Bump = Annotated[VersionBump | None, typer.Option(help="Count the version up from the latest run's.")]
Version = Annotated[str | None, typer.Option(metavar="X.Y.Z", help="Give the version yourself.")]
Engine = Annotated[str | None, typer.Option(metavar="E", help="local or hatchet.")]
Sets = Annotated[
    list[str] | None, typer.Option("--set", metavar="K=V", help="Overrule any key of the file: run.timeout=20m.")
]
Limit = Annotated[int | None, typer.Option(min=1, metavar="N", help="Take the first N specs.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Check everything, write nothing, tell what would be.")]
Probe = Annotated[int | None, typer.Option(min=1, metavar="K", help="Run K specs first and estimate the rest.")]
Wait = Annotated[
    bool | None, typer.Option("--wait/--no-wait", help="Follow a run on Hatchet to its end. Local always does.")
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Resume = Annotated[str | None, typer.Option(metavar="RUN", help="Run what is missing or failed of this run.")]
OnlyFailed = Annotated[bool, typer.Option("--failed", help="With --resume: only what failed.")]
OnlyMissing = Annotated[bool, typer.Option("--missing", help="With --resume: only what is missing.")]
OnlySpec = Annotated[int | None, typer.Option(min=0, metavar="SORT_INDEX", help="With --inline: this one spec.")]
Inline = Annotated[
    bool,
    typer.Option("--inline", help="Run one spec in this process, without a run, under the debugger if it raises."),
]

# scythe status
Watch = Annotated[bool, typer.Option("--watch", help="Go on until the run is over.")]
Errors = Annotated[bool, typer.Option("--errors", help="Group the failures by kind, type and place.")]

# scythe gather
Partial = Annotated[bool, typer.Option("--partial", help="Although specs are missing.")]

# scythe download
RunToDownload = Annotated[
    str | None,
    typer.Argument(
        metavar="RUN", help="As for status. Default: the latest run of ./experiment.yml.", show_default=False
    ),
]
Destination = Annotated[
    Path | None, typer.Argument(metavar="DEST", help="The folder. Default: ./<name>-<version>.", show_default=False)
]
WithFiles = Annotated[bool, typer.Option("--files", help="The result files too.")]
FilterField = Annotated[
    str | None, typer.Option("--filter", metavar="FIELD", help="Only the result files of this output field.")
]

# scythe worker
Targets = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[FILE | MODULE ...]",
        help="Experiment files, modules, or module:function. Default: ./experiment.yml.",
        show_default=False,
    ),
]
Slots = Annotated[int | None, typer.Option(min=1, metavar="N", help="Specs at a time. Default: the cores.")]
WorkerName = Annotated[str | None, typer.Option(metavar="NAME", help="Default: one that tells the machine.")]
Labels = Annotated[
    list[str] | None, typer.Option("--label", metavar="K=V", help="What leaves may ask for: has_gpu=true.")
]
Roles = Annotated[
    list[str] | None,
    typer.Option("--role", metavar="fan|leaf", help="fan follows runs, leaf runs specs. Default: both."),
]
Embedded = Annotated[bool, typer.Option("--embedded", help="Start an engine on this machine first.")]
WorkOnChangedCode = Annotated[
    bool, typer.Option("--allow-changed-code", help="Take leaves of runs whose code differs.")
]
JsonLines = Annotated[bool, typer.Option("--json", help="One JSON document a line on stdout.")]
