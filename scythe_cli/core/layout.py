"""Every key of the run directory, spelled once. Keys are relative to the run's root and use "/" on every system.

Input: names. Output: names. Nothing is read or written.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

BLOCK = 4096
"""Rows of specs.pq in one block. A leaf lies in one block, so a leaf's specs are one GET."""

CLAIM = "control/claim.yml"
MANIFEST = "manifest.yml"
EXPERIMENT_FILE = "experiment.yml"
IO_SPEC = "experiment_io_spec.yml"
INPUT_ARTIFACTS = "input_artifacts.yml"
INPUTS = "control/inputs.yml"
TABLE_SUFFIX = ".pq"
SPECS = f"specs{TABLE_SUFFIX}"
ARTIFACTS = "artifacts"
CONTROL = "control"
CODE = "control/code"
INPUT = "scatter-gather/input"
OUTPUT = "scatter-gather/output"
CLAIMS = "scatter-gather/claims"
"""Which worker has which rows, in runs without a server: see `engines/shared/claim_names`."""
REUSE = "control/reuse.pq"
"""The rows that the run takes over from an earlier run, and which rows of that they are."""
OUTCOME_SCHEMA = "control/outcomes.pq"
"""An outcome part without rows: the columns and types of the run's outcomes."""
SLURM_LOGS = "logs"
"""What the tasks of a Slurm job print; see `slurm_log`."""
RESULTS = "results"
FAILED = "failed"
"""What the temporary folders of failed specs held, with `run.keep_failed`."""
FINAL = "final"
DOWNLOAD_RECORD = ".scythe-download.jsonl"
"""Beside what was downloaded: one line for each file, in the order they arrived."""

SCALARS = "scalars"
ERRORS = "errors"
FILE_REFS = "result_file_refs"
EXECUTION = "execution"
OWN_TABLES = frozenset({SCALARS, ERRORS, FILE_REFS})
"""Final tables that no frame has ever been called as."""
RESERVED_FRAMES = frozenset({SCALARS, ERRORS, FILE_REFS, EXECUTION})

EXPERIMENT_ID = "experiment_id"
SORT_INDEX = "sort_index"
WORKFLOW_RUN_ID = "workflow_run_id"
ROOT_WORKFLOW_RUN_ID = "root_workflow_run_id"
SORT_SUBINDEX = "sort_subindex"
INDEX_HEAD = (EXPERIMENT_ID, SORT_INDEX, WORKFLOW_RUN_ID, ROOT_WORKFLOW_RUN_ID)

TIME_FORMAT = "%Y-%m-%d_%H-%M-%S"
_FINAL = re.compile(rf"{FINAL}/([^/]+)\.pq(?:/part-\d+\.parquet)?")
_RUN_TIME = re.compile(r"\d{4}-\d{2}-\d{2}_\d{2}-\d{2}-\d{2}", re.ASCII)
NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"
NAME_PARTS = 4
"""A run's name may have so many parts, with slashes between: `city/baseline`."""
RUN_NAME_PATTERN = rf"{NAME_PATTERN[:-1]}(/{NAME_PATTERN[1:-1]}){{0,{NAME_PARTS - 1}}}$"
RUN_NAME_RULE = (
    f"must be letters, digits, dots, dashes and underscores, a letter or digit first, at most 100 of them; or up to "
    f"{NAME_PARTS} such parts with slashes between, and none of them a version or the time of a run"
)


class Mark(StrEnum):
    """The kinds of numbered objects in the control folder, each written once."""

    LEASE = "lease"
    GENERATION = "generation"
    ENDED = "ended"
    CANCEL = "cancel"
    GATHERED = "gathered"
    REFUSED = "refused"
    REPAIR = "repair"
    PLAN = "plan"
    SLURM = "slurm"
    REMOVED = "removed"


def run_time(moment: datetime) -> str:
    """The folder name of a run claimed at `moment`, in UTC."""
    return moment.astimezone(UTC).strftime(TIME_FORMAT)


def is_run_time(name: str) -> bool:
    """Whether `name` is a run's folder name."""
    return _RUN_TIME.fullmatch(name) is not None


_VERSION = re.compile(r"v?[0-9]+\.[0-9]+\.[0-9]+")
_RUN_ID = re.compile(r"(.+)/v(?:0|[1-9][0-9]{0,8})\.(?:0|[1-9][0-9]{0,8})\.(?:0|[1-9][0-9]{0,8})/([^/]+)")


def is_run_id(text: str) -> bool:
    """Whether a text has the shape of a run's id: name/version/time, and nothing that leaves the storage."""
    found = _RUN_ID.fullmatch(text)
    return found is not None and is_run_name(found[1]) and is_run_time(found[2])


def is_run_name(text: str) -> bool:
    """Whether runs may have this name: one to four safe parts, none of which a version or a time."""
    parts = text.split("/")
    safe = all(is_safe_name(part) and not _VERSION.fullmatch(part) and not is_run_time(part) for part in parts)
    return safe and len(parts) <= NAME_PARTS


def is_safe_name(name: str) -> bool:
    """Whether a user's name may be one path segment: letters, digits, dot, dash, underscore; no leading dot."""
    return re.fullmatch(NAME_PATTERN, name) is not None


def is_frame_name(name: str) -> bool:
    """Whether a frame may have this name: as `is_safe_name`, and spaces inside."""
    return is_safe_name(name.replace(" ", "_")) and not name.endswith(" ")


def block_of(row: int) -> int:
    """The block that holds row number `row`."""
    return row // BLOCK


def input_block(block: int) -> str:
    """The specs of one block."""
    return f"{INPUT}/{block}.pq"


def output_block(block: int) -> str:
    """The folder with the outcomes of one block."""
    return f"{OUTPUT}/{block}"


def artifact(field: str, name: str) -> str:
    """One input file, as the run keeps it."""
    return f"{ARTIFACTS}/{field}/{name}"


def result(field: str, workflow_run_id: str, suffixes: str, *, claim: int = 1) -> str:
    """One output file of one spec; `suffixes` is ".csv.gz" or "".

    A worker that took the spec over from one that seemed dead writes another file: both may be at work.
    """
    again = f".{claim}" if claim > 1 else ""
    return f"{RESULTS}/{field}/{workflow_run_id}{again}{suffixes}"


GATHER_PARTS = 10**17
"""Parts that a gather writes are numbered from here: failures of specs whose frame does not fit the others'."""
CLAIM_PARTS = 1000
"""Where workers claim rows, the parts of one claim are numbered from this times its number."""


def failed(sort_index: int, *, claim: int | None = None) -> str:
    """The folder of what one failed spec left.

    Where workers claim rows, each claim has a folder of its own, because two workers may run the same spec. When the
    tables are built, that of the attempt that counts becomes the one without a claim, into which no worker writes.
    """
    return f"{FAILED}/{sort_index}" if claim is None else f"{FAILED}/{sort_index}.{claim}"


_CLAIM_OF_FAILED = re.compile(r"([0-9]{1,18})\.([0-9]{1,9})", re.ASCII)


def failed_claim(name: str) -> tuple[int, int] | None:
    """The spec and the claim that a folder in `failed` is of; None for one that is of no claim."""
    found = _CLAIM_OF_FAILED.fullmatch(name)
    return (int(found[1]), int(found[2])) if found else None


def final(table: str) -> str:
    """One final table."""
    return f"{FINAL}/{table}.pq"


def final_part(table: str, number: int) -> str:
    """One file of a final table that is a folder of files."""
    return f"{final(table)}/part-{number:05d}.parquet"


def final_name(key: str) -> str | None:
    """The table that a key of the folder `final` belongs to: `<name>.pq`, or a file in a folder of that name."""
    found = _FINAL.fullmatch(key)
    return found[1] if found else None


def without_unfinished(keys: Collection[str]) -> list[str]:
    """Keys of the folder `final`, without folders of files that lack the first, which is written last."""
    known = set(keys)
    kept: list[str] = []
    for key in keys:
        name = final_name(key)
        if name is None or key == final(name) or final_part(name, 0) in known:
            kept.append(key)
    return kept


def mark(kind: Mark, number: int) -> str:
    """A numbered object of the control folder."""
    return f"{CONTROL}/{kind}-{number}.yml"


def claims(generation: int, segment: int | str) -> str:
    """The folder with the claims of one segment of a plan."""
    return f"{CLAIMS}/{generation}/{segment}"


def pulses(generation: int) -> str:
    """The folder with an object of each worker, which the worker replaces while it lives."""
    return claims(generation, "workers")


def slurm_script(generation: int, *, after: bool = False) -> str:
    """The batch script that has the specs of a generation run; or the one that follows it."""
    return f"{CONTROL}/slurm-{generation}{'-next' if after else ''}.sh"


def slurm_log(task: str) -> str:
    """What one task of a Slurm job prints."""
    return f"{SLURM_LOGS}/slurm-{task}.log"


_SLURM_FILE = re.compile(
    rf"{CONTROL}/slurm-[0-9]{{1,9}}(?:-next)?\.sh|{SLURM_LOGS}/slurm-[0-9]{{1,18}}(?:_[0-9]{{1,9}}|-next)\.log"
)


def is_slurm_file(key: str) -> bool:
    """Whether an object is a script that was submitted to Slurm, or what a task of it printed."""
    return _SLURM_FILE.fullmatch(key) is not None


def code(source_hash: str) -> str:
    """The source files that a hash covers."""
    return f"{CODE}/{source_hash}.zip"


_ABOUT = re.compile(
    rf"{CONTROL}/(?:(?:generation|gathered|ended)-\d{{1,9}}\.yml|code/[0-9a-f]{{8,64}}\.zip|inputs\.yml)"
)


def is_about_run(key: str) -> bool:
    """Whether an object of the control folder says what the run is: its code, its inputs, and each generation."""
    return _ABOUT.fullmatch(key) is not None


def aside(part: PartName) -> str:
    """The note that a part cannot be read and counts for nothing."""
    return f"{CONTROL}/aside-{part.block}-{part.file}.yml"


def worker_note(generation: int, worker: str) -> str:
    """What a worker of a generation runs with: its lanes and threads."""
    return f"{CONTROL}/worker-g{generation}-{re.sub(r'[^A-Za-z0-9._-]', '-', worker)[:100]}.yml"


def split(first: int, last: int, generation: int) -> str:
    """The record of where a leaf cut off the rest of its range."""
    return f"{CONTROL}/split-g{generation}-{first}-{last}.yml"


def attempt(row: int, generation: int, number: int) -> str:
    """The note that a worker is about to run a row over which others may have died."""
    return f"{CONTROL}/try-g{generation}-{row}-{number}.yml"


def survived(row: int, generation: int, number: int) -> str:
    """The note that the worker of such an attempt lived on."""
    return f"{CONTROL}/survived-g{generation}-{row}-{number}.yml"


_ATTEMPTS = re.compile(rf"{OUTPUT}/([0-9]{{1,12}})/_attempts/g([0-9]{{1,18}})(?:-[0-9]{{1,18}}){{3}}\.pq", re.ASCII)


def attempts(block: int, generation: int, first: int, last: int, number: int) -> str:
    """Failures of attempts after which specs of a block were tried again. No frame has a name like this."""
    return f"{OUTPUT}/{block}/_attempts/g{generation}-{first}-{last}-{number}.pq"


def attempts_generation(key: str) -> int | None:
    """The generation whose earlier attempts are at a key; None where something else is."""
    found = _ATTEMPTS.fullmatch(key)
    return int(found[2]) if found else None


_BLOCK = re.compile(r"[0-9]{1,12}")
_PART = re.compile(r"g" + "-".join([r"([0-9]{1,18})"] * 6) + r"\.pq", re.ASCII)


@dataclass(frozen=True, order=True)
class PartName:
    """What the name of an outcome part says: enough to count a run without opening it.

    Attributes:
        generation: 1 for the first allocate, one more for each resume.
        first: lowest row number in the part.
        last: highest row number in the part.
        rows: number of outcomes in it; fewer than last - first + 1 means it is sparse.
        failed: how many of them are failures.
        attempt: distinguishes parts that one generation wrote for the same range.
    """

    block: int
    generation: int
    first: int
    last: int
    rows: int
    failed: int
    attempt: int

    @property
    def file(self) -> str:
        """The file name, without its folder."""
        return f"g{self.generation}-{self.first}-{self.last}-{self.rows}-{self.failed}-{self.attempt}.pq"

    @property
    def key(self) -> str:
        """Where the outcomes are."""
        return f"{OUTPUT}/{self.block}/{self.file}"

    def frame_key(self, frame: str) -> str:
        """Where one frame of the same specs is."""
        return f"{OUTPUT}/{self.block}/{frame}/{self.file}"

    @property
    def of_gather(self) -> bool:
        """Whether a gather wrote it: what it says of a spec counts, and not the result that the spec had."""
        return self.attempt >= GATHER_PARTS

    @property
    def sparse(self) -> bool:
        """Whether rows are missing between first and last."""
        return self.rows < self.last - self.first + 1

    @classmethod
    def parse(cls, key: str) -> PartName | None:
        """The name of the outcome part at `key`, or None when it is something else (a frame's part, a stranger).

        A name that contradicts itself, or is in another block's folder, was not written by scythe.
        """
        folder, _, file = key.rpartition("/")
        head, _, block = folder.rpartition("/")
        found = _PART.fullmatch(file)
        if head != OUTPUT or _BLOCK.fullmatch(block) is None or found is None:
            return None
        name = cls(int(block), *map(int, found.groups()))
        return name if name._is_possible() else None

    def _is_possible(self) -> bool:
        """Whether the numbers fit each other and the block."""
        in_block = block_of(self.first) == self.block == block_of(self.last)
        return in_block and 1 <= self.rows <= self.last - self.first + 1 and self.failed <= self.rows
