"""What a spec changes, the next does not see, also where specs take microseconds: every second changes something."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

MODULE = """
import asyncio, decimal, faulthandler, gc, locale, os, signal, socket, sys, threading, time, warnings
from signal import setitimer, signal as set_handler
from os import umask
import numpy as np
import pandas as pd
from scythe_cli import ExperimentInputSpec, ExperimentOutputSpec, ExperimentRegistry

def mask():
    now = umask(0o077)
    umask(now)
    return now

def loop():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = asyncio.get_event_loop()
        except RuntimeError as exc:  # from Python 3.14 on for every spec
            return str(exc)
    found.close()
    return type(found).__name__

CORES = os.sched_getaffinity(0)
ROOT = os.open("/", os.O_RDONLY)
ACTS = {
    "handler": (lambda: set_handler(signal.SIGTERM, signal.SIG_IGN), lambda: signal.getsignal(signal.SIGTERM)),
    "rare handler": (lambda: signal.signal(signal.SIGQUIT, lambda *_: None), lambda: signal.getsignal(signal.SIGQUIT)),
    "blocked": (lambda: signal.pthread_sigmask(signal.SIG_BLOCK, {10}), lambda: signal.pthread_sigmask(0, ())),
    "timer": (lambda: setitimer(signal.ITIMER_REAL, 99), lambda: signal.getitimer(signal.ITIMER_REAL)[0] > 0),
    "alarm": (lambda: signal.alarm(99), lambda: signal.getitimer(signal.ITIMER_REAL)[0] > 0),
    "profiling timer": (lambda: setitimer(signal.ITIMER_PROF, 99), lambda: signal.getitimer(signal.ITIMER_PROF)[0] > 0),
    "folder": (lambda: os.chdir("/"), os.getcwd),
    "environment": (lambda: os.environ.update(TROUBLE="yes"), lambda: os.environ.get("TROUBLE")),
    "folder by descriptor": (lambda: os.fchdir(ROOT), os.getcwd),
    "environment without a name": (lambda: os.environ.pop("HOME"), lambda: os.environ.get("HOME")),
    "environment as bytes": (lambda: os.environb.update({b"TROUBLE": b"yes"}), lambda: os.environ.get("TROUBLE")),
    "stdout": (lambda: setattr(sys, "stdout", None), lambda: sys.stdout is None),
    "umask": (lambda: umask(0o777), mask),
    "locale": (lambda: locale.setlocale(locale.LC_ALL, "C"), lambda: locale.setlocale(locale.LC_ALL)),
    "warnings": (lambda: warnings.simplefilter("error"), lambda: len(warnings.filters)),
    "recursion": (lambda: sys.setrecursionlimit(5000), sys.getrecursionlimit),
    "low recursion": (lambda: sys.setrecursionlimit(300), sys.getrecursionlimit),
    "gc": (gc.disable, gc.isenabled),
    "gc threshold": (lambda: gc.set_threshold(5), gc.get_threshold),
    "numpy errors": (lambda: np.seterr(all="raise"), lambda: np.geterr()["divide"]),
    "numpy print": (lambda: np.set_printoptions(precision=1), lambda: np.get_printoptions()["precision"]),
    "decimal": (lambda: setattr(decimal.getcontext(), "prec", 5), lambda: decimal.getcontext().prec),
    "rounding": (lambda: setattr(decimal.getcontext(), "rounding", "ROUND_UP"), lambda: decimal.getcontext().rounding),
    "decimal context": (lambda: decimal.setcontext(decimal.Context(prec=3)), lambda: decimal.getcontext().prec),
    "pandas": (lambda: pd.set_option("display.max_rows", 3), lambda: pd.get_option("display.max_rows")),
    "pandas attribute": (lambda: setattr(pd.options.display, "precision", 1), lambda: pd.options.display.precision),
    "path": (lambda: sys.path.insert(0, "/trouble"), lambda: "/trouble" in sys.path),
    "replaced path": (lambda: setattr(sys, "path", []), lambda: len(sys.path) > 0),
    "socket timeout": (lambda: socket.setdefaulttimeout(1), socket.getdefaulttimeout),
    "time zone": (lambda: (os.environ.update(TZ="TRB-3"), time.tzset()), lambda: time.tzname),
    "digits": (lambda: sys.set_int_max_str_digits(0), sys.get_int_max_str_digits),
    "cores": (lambda: os.sched_setaffinity(0, {min(CORES)}), lambda: sorted(os.sched_getaffinity(0))),
    "stack size": (lambda: threading.stack_size(1 << 20), threading.stack_size),
    "arguments": (lambda: sys.argv.append("--trouble"), lambda: sys.argv[-1]),
    "replaced arguments": (lambda: setattr(sys, "argv", ["x"]), lambda: sys.argv[-1]),
    "stream": (lambda: sys.stdout.reconfigure(encoding="ascii", errors="strict"), lambda: sys.stdout.errors),
    "buffered": (lambda: sys.stderr.reconfigure(write_through=False), lambda: sys.stderr.write_through),
    "loops": (lambda: asyncio.run(asyncio.sleep(0)), loop),
    "no modules": (lambda: sys.modules.pop("asyncio.events", None), int),
    "trace": (lambda: sys.settrace(lambda *_: None), sys.gettrace),
}

class In(ExperimentInputSpec):
    act: str

class Out(ExperimentOutputSpec):
    seen: str

@ExperimentRegistry.Register()
def work(spec: In) -> Out:
    change, look = ACTS[spec.act]
    seen = repr(look())
    if spec.sort_index % 2:
        change()
    return Out(seen=seen)
"""
PAIRS = 200


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """For each act, what the specs saw before it; those that change something are every second."""
    folder = tmp_path_factory.mktemp("between")
    (folder / "between.py").write_text(MODULE)
    names = acts()
    (folder / "specs.csv").write_text("act\n" + "\n".join(name for name in names for _ in range(2 * PAIRS)))
    (folder / "experiment.yml").write_text("experiment: between:work\nspecs: specs.csv\nrun: {workers: 1}\n")
    found: dict[str, set[str]] = {name: set() for name in names}
    for row in allocate(folder):
        found[row["act"]].add(row["seen"])
    return found


def allocate(folder: Path) -> list[dict[str, Any]]:
    """Run the experiment of a folder; the rows of its results."""
    command = [str(Path(sys.executable).parent / "scythe"), "allocate"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    (table,) = folder.glob("scythe-runs/*/v*/*/final/scalars.pq")
    return pq.read_table(table).to_pylist()


def acts() -> list[str]:
    return [line.split('"')[1] for line in MODULE.splitlines() if line.startswith('    "')]


@pytest.mark.parametrize("act", acts())
def test_the_next_spec_does_not_see_it(seen: dict[str, set[str]], act: str) -> None:
    assert len(seen[act]) == 1


SHARED = """
from scythe_cli import ExperimentInputSpec, ExperimentOutputSpec, ExperimentRegistry

class In(ExperimentInputSpec):
    n: int

class Out(ExperimentOutputSpec):
    seen: int

OUT = Out(seen=0)

@ExperimentRegistry.Register()
def again(spec: In) -> Out:
    OUT.seen = spec.n
    return OUT
"""


def test_an_output_that_the_next_spec_changes_keeps_its_values(tmp_path: Path) -> None:
    (tmp_path / "shared.py").write_text(SHARED)
    (tmp_path / "specs.csv").write_text("n\n" + "\n".join(map(str, range(100))))
    (tmp_path / "experiment.yml").write_text("experiment: shared:again\nspecs: specs.csv\nrun: {workers: 1}\n")
    assert [row["seen"] for row in allocate(tmp_path)] == [*range(100)]
