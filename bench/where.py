"""Where the time of a trivial spec goes in a worker, in microseconds: the least of many rounds, in one process."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa

from bench.harness import RESULTS, machine
from scythe_cli.columns.rows import make_specs
from scythe_cli.core import layout
from scythe_cli.experiment.experiment import load
from scythe_cli.lane.job import Job
from scythe_cli.lane.lane import Lane
from scythe_cli.lane.messages import MARKER_SIZE, LaneCommand
from scythe_cli.lane.process_state import LOOK_EVERY
from scythe_cli.lane.python_state import watch_changes

N = layout.BLOCK
ROUNDS = 40


def block() -> pa.Table:
    """A block of the trivial experiment's specs."""
    at = np.arange(N)
    inputs = {"width": at % 97 * 1.0, "height": at % 91 * 1.0, "floors": at % 200 + 1}
    texts = {"use": ["office"] * N, "code": [str(row) for row in at]}
    ids = {layout.EXPERIMENT_ID: ["e"] * N, layout.SORT_INDEX: at, layout.WORKFLOW_RUN_ID: [f"id{row}" for row in at]}
    return pa.table({**ids, layout.ROOT_WORKFLOW_RUN_ID: ["r"] * N, **inputs, **texts})


def least(work: Callable[[], object], n: int, rounds: int = ROUNDS) -> float:
    """Microseconds of CPU of this thread for one of `n`, the least of the rounds."""
    taken = []
    for _ in range(rounds):
        began = time.thread_time()
        work()
        taken.append(time.thread_time() - began)
    return min(taken) / n * 1e6


def measure(folder: Path) -> dict[str, float]:
    """The parts of a spec's time. It changes this process: see `main`."""
    watch_changes()
    shutil.copy(Path(__file__).with_name("trivial_experiment.py"), folder / "trivial.py")
    experiment = load("trivial:measure", folder)
    ours, theirs = socket.socketpair()
    threading.Thread(target=lambda: [*iter(lambda: theirs.recv(1 << 20), b"")], daemon=True).start()
    marker = os.open(folder / "marker", os.O_RDWR | os.O_CREAT)
    os.truncate(marker, MARKER_SIZE)
    capture = os.open(folder / "capture", os.O_RDWR | os.O_CREAT | os.O_APPEND)
    lane = Lane(ours, marker, capture_fd=capture, experiment=experiment, broken=None, folder=str(folder / "lane"))
    specs = block()
    lane._begin(Job("k", "e", str(folder), str(folder), None, "w"))
    ids = {name: specs[name][0].as_py() for name in (layout.EXPERIMENT_ID, layout.ROOT_WORKFLOW_RUN_ID)}
    lane._block = (0, specs.drop_columns([*ids]), ids)
    command = LaneCommand(0, range(N), {})
    whole = least(lambda: lane._run_chunk(command), N)
    made = make_specs(lane._block[1], experiment.input_model, ids)
    outputs = [experiment.function(spec) for spec in made]
    taken = [lane._outputs.take(one) for one in outputs]
    state = lane._process_state

    def quick() -> None:
        state._looked, state._checks_left = time.monotonic() + 1e9, 0
        for _ in range(N):
            state.restore(1e-6, 0.0)

    def encode() -> None:
        for row, values in enumerate(taken):
            lane._sender.pending.added.append((row, row, values, 1, 0.0, 0.0, None))
        lane._sender.send()

    look = least(lambda: state._restore_slowly(1e-6, 0.0, changed=False), 1) / 1e6
    parts = {
        "your function": least(lambda: [experiment.function(spec) for spec in made], N),
        "making the instance of your model from Arrow columns": least(
            lambda: make_specs(specs, experiment.input_model, ids), N
        ),
        "checking after each spec: streams, path, filters of warnings, threads, calls that change the process": least(
            quick, N
        ),
        "what it printed": least(lambda: [lane._capture.take() for _ in range(N)], N),
        "holding the output against its model": least(lambda: [lane._outputs.take(one) for one in outputs], N),
        "its share of sending the results": least(encode, N),
        "the checks that are made once a millisecond, for each spec": look / LOOK_EVERY * whole,
    }
    rest = whole - sum(parts.values())
    return {**parts, "row and clock in shared memory, two clocks, bookkeeping": max(0.0, rest), "together": whole}


def main() -> None:
    """Measure in a process of its own, for a lane takes over the standard streams of its process."""
    with tempfile.TemporaryDirectory() as text:
        out = Path(text) / "parts.json"
        subprocess.run([sys.executable, "-m", "bench.where", str(out)], check=True, cwd=Path(__file__).parents[1])
        parts = json.loads(out.read_text())
    document = {"measurement": "where", "machine": machine(), "rows": [], "parts": parts}
    (RESULTS / "where.json").write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        target = Path(sys.argv[1])
        target.write_text(json.dumps(measure(target.parent)))
        os._exit(0)
    main()
