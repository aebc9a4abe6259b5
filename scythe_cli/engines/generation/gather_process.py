"""Builds the final tables of a large run in a process of its own, whose memory goes back when it ends.

Input: a run. Output: its final tables. Arrow's pools keep what a gather used: a worker that gathers run after run in
its own process would grow with each of them. A small run is gathered here, where no process has to start.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

from scythe_cli import errors
from scythe_cli.core import layout, processes
from scythe_cli.core.signals import describe_status
from scythe_cli.engines.generation import fence
from scythe_cli.engines.generation.progress import GenerationProgress
from scythe_cli.errors import EngineError, NotFinishedError, ScytheError
from scythe_cli.operations.gather import FinalReport, gather
from scythe_cli.operations.output_counts import OutputCounts
from scythe_cli.run.engine import EndReason
from scythe_cli.run.run import open_run
from scythe_cli.run.state import read_state
from scythe_cli.storage.open_store import open_store

if TYPE_CHECKING:
    from scythe_cli.engines.generation.plan import GenerationPlan
    from scythe_cli.run.run import Run

GATHERS = 3
"""Each of them sets aside all parts that it cannot read."""
LARGE_BYTES = 16 << 20
"""Outcomes and frames, as stored, beyond which a gather gets its own process."""


def gather_apart(run: Run) -> FinalReport:
    """Build the final tables, in a process of its own where that is worth it.

    Raises:
        NotFinishedError: specs have no outcome.
        StoreError: the store does not answer or refuses.
        EngineError: the process ended without a message.
    """
    return _in_child(run.store.address) if _is_large(run) else gather(run)


def gather_generation(plan: GenerationPlan) -> FinalReport:
    """Build the final tables of a run whose generation has all of its outcomes.

    Another part may have the rows of one that was set aside: then it gathers again. Where rows of an earlier generation
    are missing, which this one does not run, this one ends.

    Raises:
        NotFinishedError: rows are missing.
        StoreError: the store does not answer or refuses.
        EngineError: the process ended without a message.
    """
    for _ in range(GATHERS):
        try:
            return gather_apart(plan.run)
        except NotFinishedError as exc:
            why = exc
        now = read_state(plan.run)
        if now.done < now.total:
            break
    else:
        raise why
    if not GenerationProgress(plan).read().missing:
        fence.end_generation(plan.run, plan.generation, EndReason.STOPPED, why.message)
    raise why


def _is_large(run: Run) -> bool:
    total = 0
    for entry in run.store.list(layout.OUTPUT):
        total += entry.size
        if total > LARGE_BYTES:
            return True
    return False


def _in_child(address: str) -> FinalReport:
    code = (
        f"import sys; sys.path[:] = {sys.path!r}\n"
        "from scythe_cli.libraries.lean_imports import lean_imports; lean_imports()\n"
        f"from {__name__} import main; main(sys.argv[1])"
    )
    command = [sys.executable, "-c", code, address]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, check=False)
    lines = done.stdout.strip().splitlines()
    if not lines:
        how = describe_status(done.returncode)
        raise EngineError(f"the process that builds the final tables ended with {how}")
    answer = json.loads(lines[-1])
    if "error" in answer:
        kind: type[ScytheError] = getattr(errors, answer["error"], NotFinishedError)  # `CorruptPart` is one
        raise kind(answer["message"], hint=answer["hint"])
    outputs = {name: OutputCounts(**counts) for name, counts in answer.pop("outputs").items()}
    return FinalReport(**answer, outputs=outputs)


def main(address: str) -> None:
    """Be that process: print the report, or the error, as one line of JSON."""
    processes.set_parent_death_signal()
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # sent to the worker's group: its root waits for the tables
    try:
        answer = asdict(gather(open_run(open_store(address), "")))
    except ScytheError as exc:
        answer = {"error": type(exc).__name__, "message": exc.message, "hint": exc.hint}
    print(json.dumps(answer), flush=True)
