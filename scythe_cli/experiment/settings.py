"""The settings of one experiment, `ExperimentFile`: each key of experiment.yml with its type, bounds and description.

Input: values as people write them. Output: frozen models of plain numbers, and so the JSON schema for editors.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    WithJsonSchema,
    model_validator,
)

from scythe_cli.core import layout
from scythe_cli.core.units import (
    NONE,
    Bytes,
    Limit,
    MaxFailures,
    OptionalBytes,
    OptionalSeconds,
    PositiveSeconds,
    Seconds,
)

DEFAULT_FILE = "experiment.yml"
DEFAULT_STORAGE = "./scythe-runs"
AUTO = "auto"
EngineName = Literal["local", "hatchet", "shared", "slurm"]
ENGINES = get_args(EngineName)
LEAST_MEMORY = 16 << 20
"""Less than this no Python process can start in."""

_TARGET = r"^.+:[^\W\d]\w*$"
_LINE = r"^[^\x00-\x1f\x7f]+$"
_STORAGE = r"^(s3://[^/\s]+(/.*)?|(?![A-Za-z0-9+.-]+:[/\\]).+)$"


def _check_target(value: str) -> str:
    if not re.match(_TARGET, value):
        raise ValueError("must be module:function or path/to/file.py:function")
    return value


def _check_storage(value: str) -> str:
    if not re.match(_STORAGE, value):
        raise ValueError("must be a folder (in WSL, C: is /mnt/c) or s3://bucket/prefix")
    return value


def _check_name(value: str) -> str:
    if not layout.is_run_name(value):
        raise ValueError(layout.RUN_NAME_RULE)
    return value


def _check_leaf_size(value: object) -> object:
    if value == AUTO or (isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= layout.BLOCK):
        return value
    raise ValueError(f"must be auto or a whole number from 1 to {layout.BLOCK}")


def _check_memory(value: int | None) -> int | None:
    if value is not None and value < LEAST_MEMORY:
        raise ValueError("must be at least 16MiB, with a unit, such as 4GiB")
    return value


def _check_file(value: int) -> int:
    if value < 1:
        raise ValueError("must be more than nothing, such as 1GiB")
    return value


class Settings(BaseModel):
    """Common to the sections: nothing unknown, nothing converted silently, nothing changed later."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class RunSettings(Settings):
    """How the specs are run."""

    timeout: OptionalSeconds = Field(
        default=None,
        description="Time limit for one attempt of one spec. After it, the process and all its children "
        "are killed. Default: none.",
        examples=["10m", "1h30m", 45],
    )
    retries: int | None = Field(
        default=None,
        ge=0,
        description="Number of further attempts of a failed spec after any failure except a wrong output. "
        "Default: 1 if its process crashed, otherwise none.",
        examples=[1],
    )
    max_failures: Limit = Field(
        default=MaxFailures(),
        description="Stop the run when more specs than this have failed: a number, or a percentage of the finished "
        "specs (checked from the 20th finished spec on). `all`: never stop, even if the first 20 specs all fail in the "
        "same way. Default: none.",
        examples=["5%", 12, "all"],
        json_schema_extra={"default": NONE},
    )
    memory: Annotated[OptionalBytes, AfterValidator(_check_memory)] = Field(
        default=None,
        description="Memory limit for the process of one spec and its children. Above it they are killed. "
        "Default: none.",
        examples=["4GiB", "500MB"],
    )
    grace: Seconds = Field(
        default=30.0,
        description="Time that running specs may continue after a stop request.",
        examples=["30s", "2m"],
        json_schema_extra={"default": "30s"},
    )
    flush: PositiveSeconds = Field(
        default=30.0,
        description="Write finished results to storage at least this often.",
        examples=["30s"],
        json_schema_extra={"default": "30s"},
    )
    leaf_size: Annotated[
        int | Literal["auto"],
        BeforeValidator(_check_leaf_size),
        WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 1, "maximum": layout.BLOCK}, {"const": AUTO}]}),
    ] = Field(
        default="auto",
        description=f"Maximum number of specs per task, up to {layout.BLOCK}; `auto` adapts to the measured run time.",
        examples=["auto", 100],
    )
    nan: Literal["keep", "fail"] = Field(
        default="keep",
        description="`fail`: a spec with an output that is NaN fails. `keep`: NaN is a value.",
        examples=["fail"],
    )
    keep_failed: bool = Field(
        default=False,
        description="Keep the temporary folder of each spec that fails in `failed/<sort_index>` of the run: at most 64 "
        "MiB of a spec, the smallest files first, and 2 GiB of a run. Several workers together may keep more, by what "
        "they upload within a second.",
        examples=[True],
    )
    seed: int = Field(
        default=0, ge=0, description="Seed of `input_spec.rng()`, together with the spec's inputs.", examples=[7]
    )
    order: Literal["table", "longest"] = Field(
        default="table",
        description="Local engine: `longest`: begin with the specs that may take longest, estimated from those that "
        "were measured by `allocate --probe`, by the run that is reused, or before a resume. Results do not depend on "
        "it.",
        examples=["longest"],
    )
    workers: int | None = Field(
        default=None, ge=1, description="Local engine: number of worker processes. Default: one per core.", examples=[4]
    )
    fresh_workers: bool = Field(
        default=False,
        description="Local engine: have each worker process import the module by itself. Default: workers are forked "
        "from a process that has imported it, unless a library that it uses does not allow that.",
    )


class CodeSettings(Settings):
    """What counts as the experiment's code."""

    include: list[str] = Field(
        default_factory=list,
        description="Files that count as code: paths or patterns, from this file's folder.",
        examples=[["factors.txt", "data/*.json"]],
    )


class ArtifactSettings(Settings):
    """How input files are handled."""

    copy_remote: bool = Field(default=False, description="Also copy s3:// and https:// input files into the run.")
    allow_private: bool = Field(
        default=False,
        description="Follow redirects of public web servers to this machine and its private network.",
    )


class Resources(Settings):
    """Which workers may run the specs."""

    high_memory: bool = Field(default=False, description="Only workers with the label high_memory=true.")
    high_cpu: bool = Field(default=False, description="Only workers with the label high_cpu=true.")
    has_gpu: bool = Field(default=False, description="Only workers with the label has_gpu=true.")


class FrameSettings(Settings):
    """How the final tables of frames are written."""

    max_file: Annotated[Bytes, AfterValidator(_check_file)] = Field(
        default=1 << 30,
        description="A frame's final table that is larger becomes a folder of files of about this size. A file also "
        "ends at 50,000 column chunks or a footer of 16 MB.",
        examples=["1GiB", "500MB"],
        json_schema_extra={"default": "1GiB"},
    )


class TreeSettings(Settings):
    """Hatchet: how the work is divided among tasks."""

    factor: int = Field(default=16, ge=2, description="Hatchet: number of child tasks of a task.")
    max_depth: int = Field(
        default=4, ge=0, description="Hatchet: number of levels between the root task and the tasks that run specs."
    )


class SlurmSettings(Settings):
    """Slurm: the array job whose tasks run the specs."""

    tasks: int = Field(
        default=10, ge=1, examples=[20], description="Slurm: tasks of the array. Each takes specs until none is left."
    )
    cpus_per_task: int = Field(
        default=1, ge=1, examples=[8], description="Slurm: cores of a task; so many specs run in it at a time."
    )
    time: OptionalSeconds = Field(
        default=None,
        description="Slurm: walltime of a task. It begins no spec that cannot end before. Default: the partition's.",
        examples=["4h"],
    )
    partition: Annotated[str, Field(pattern=_LINE)] | None = Field(
        default=None, description="Slurm: the partition. Default: the cluster's.", examples=["compute"]
    )
    options: list[Annotated[str, Field(pattern=f"^-{_LINE[1:]}")]] = Field(
        default_factory=list, description="Slurm: further options of sbatch.", examples=[["--account=lab", "--mem=16G"]]
    )
    setup: str | None = Field(
        default=None,
        description="Slurm: lines of shell that a task runs first.",
        examples=["module load EnergyPlus/24.1"],
    )
    resubmit: int = Field(
        default=10,
        ge=0,
        examples=[3],
        description="Slurm: how often the array is submitted again when its tasks have ended and specs are left.",
    )


Method = Literal["sobol", "halton", "lhs", "random", "grid", "one_at_a_time", "morris", "saltelli"]
DESIGNS = get_args(Method)


class DesignSettings(Settings):
    """Specs that a design makes, in place of a file."""

    design: Method = Field(
        description="The method. sobol, halton and random: a larger design with the same seed begins with these points."
    )
    n: int | None = Field(
        default=None,
        ge=1,
        description="Points, before `cross`. morris: trajectories; saltelli: base samples. Leave it out for grid and "
        "one_at_a_time: the levels decide.",
        examples=[64],
    )
    seed: int = Field(default=0, ge=0, description="The same seed makes the same points.")
    space: dict[str, Any] = Field(
        default_factory=dict,
        description="Field: [low, high], or {levels: [...]}, or {normal: {mean: 8, std: 2}} (also lognormal, uniform, "
        "triangular), cut to the model's bounds. Default: each required field within the model's bounds and choices.",
        examples=[{"r_value": [1.0, 8.0], "setpoint": {"levels": [19, 20, 21]}}],
    )
    fixed: dict[str, Any] = Field(default_factory=dict, description="Field: one value for all specs.")
    cross: dict[str, Any] = Field(
        default_factory=dict,
        description="Field: values, or a pattern of files. Each point of the design is combined with each of them.",
        examples=[{"weather_file": "weather/*.epw"}],
    )


class SpecsFile(Settings):
    """A file of specs, and how it is written."""

    file: str = Field(
        min_length=1,
        description="A path relative to this file, or an s3:// or https:// address.",
        examples=["cases.csv"],
    )
    separator: str = Field(
        default=",", min_length=1, max_length=1, description="CSV: the character between two cells.", examples=[";"]
    )
    decimal: Literal[".", ","] = Field(
        default=".", description="CSV: the mark between the whole part and the fraction of a number.", examples=[","]
    )

    @model_validator(mode="after")
    def _differ(self) -> SpecsFile:
        if self.separator == self.decimal:
            raise ValueError(f"separator and decimal are both {self.separator!r}: a cell would end within a number")
        return self

    def __str__(self) -> str:
        return self.file


def _form_of_specs(value: object) -> str:
    if isinstance(value, dict):
        return "table" if "design" not in value and value.keys() & SpecsFile.model_fields.keys() else "design"
    if isinstance(value, DesignSettings):
        return "design"
    return "table" if isinstance(value, SpecsFile) else "file"


Specs = Annotated[
    Annotated[str, Field(min_length=1), Tag("file")]
    | Annotated[SpecsFile, Tag("table")]
    | Annotated[DesignSettings, Tag("design")],
    Discriminator(_form_of_specs),
]
"""Where specs come from: the address of a table, a table with how it is written, or a design."""


class ExperimentFile(Settings):
    """One experiment and how to run it: the content of experiment.yml."""

    experiment: Annotated[str, AfterValidator(_check_target)] = Field(
        description="The function to run: module:function or path/to/file.py:function, relative to this file.",
        examples=["building_energy:simulate_energy", "models/epidemic.py:simulate"],
        json_schema_extra={"pattern": r"^.+:[^\s:]+$"},
    )
    specs: Specs | None = Field(
        default=None,
        description="The table of specs, a csv, parquet, feather, ndjson or xlsx file or a folder of parquet files: a "
        "path relative to this file, or an s3:// or https:// address.",
        examples=["specs.csv", "s3://bucket/specs.parquet"],
    )
    reuse: str | None = Field(
        default=None,
        min_length=1,
        description="Use the results of an earlier run of this experiment for specs that have not changed: a RUN, or "
        "`latest`. Default: run all specs.",
        examples=["latest", "building_energy/v1.2.0"],
    )
    name: Annotated[str, AfterValidator(_check_name)] | None = Field(
        default=None,
        description="The name of the runs and of their folder; it may have slashes. Default: the function's name.",
        examples=["building_energy", "city/baseline"],
        json_schema_extra={"pattern": layout.RUN_NAME_PATTERN},
    )
    storage: Annotated[str, AfterValidator(_check_storage)] = Field(
        default=DEFAULT_STORAGE,
        description="Where runs are stored: a folder (relative to this file) or s3://bucket/prefix.",
        examples=[DEFAULT_STORAGE, "s3://bucket/prefix"],
        json_schema_extra={"pattern": _STORAGE},
    )
    engine: EngineName = Field(
        default="local",
        description="Where specs run: `local` (this machine), `hatchet` (workers of a Hatchet server), `shared` "
        "(workers that share the storage, without a server) or `slurm` (the same, as an array job).",
    )
    code: CodeSettings = Field(
        default_factory=CodeSettings,
        description="Files that count as code of the experiment, in addition to its modules.",
    )
    run: RunSettings = Field(default_factory=RunSettings, description="How the specs are run.")
    artifacts: ArtifactSettings = Field(default_factory=ArtifactSettings, description="How input files are handled.")
    resources: Resources = Field(default_factory=Resources, description="Which workers may run the specs.")
    frames: FrameSettings = Field(
        default_factory=FrameSettings, description="How the final tables of frames are written."
    )
    tree: TreeSettings = Field(
        default_factory=TreeSettings, description="Hatchet: how the work is divided among tasks."
    )
    slurm: SlurmSettings = Field(
        default_factory=SlurmSettings, description="Slurm: the array job whose tasks run the specs."
    )


def _paths(model: type[BaseModel]) -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []
    for name, field in model.model_fields.items():
        section = _section(field.annotation)
        found += [(name, *below) for below in _paths(section)] if section else [(name,)]
    return found


def _section(annotation: object) -> type[BaseModel] | None:
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


SETTINGS = tuple(_paths(ExperimentFile))
"""The path of every key, in the order of the file."""
SECTIONS = {name: kind for name, field in ExperimentFile.model_fields.items() if (kind := _section(field.annotation))}
"""The keys that have keys below them."""
