"""What a module does when it is imported: threads of libraries, random generators, seeds."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
import textwrap
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

pytestmark = pytest.mark.slow

BEGIN = """
import os, time
from scythe_cli import ExperimentInputSpec, ExperimentOutputSpec, ExperimentRegistry
class In(ExperimentInputSpec):
    x: int
"""
END = """
class Out(ExperimentOutputSpec):
    value: float
    parent: int
@ExperimentRegistry.Register()
def work(spec: In) -> Out:
    if spec.x == 7 and MORTAL:
        os._exit(3)
    time.sleep(0.005)
    return Out(value=draw(), parent=os.getppid())
"""


def allocate(folder: Path, module: str, n: int = 40, **run: Any) -> subprocess.CompletedProcess[str]:
    """One run of a module whose `draw` gives each spec's value."""
    (folder / "imported.py").write_text(BEGIN + "MORTAL = False\n" + textwrap.dedent(module) + END)
    (folder / "specs.csv").write_text("x\n" + "\n".join(map(str, range(n))))
    settings = json.dumps({"workers": 4, "retries": 0, "timeout": "20s", "max_failures": "all"} | run)
    (folder / "experiment.yml").write_text(f"experiment: imported:work\nspecs: specs.csv\nrun: {settings}\n")
    command = [str(Path(sys.executable).parent / "scythe"), "allocate"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=100, check=False)


def values(folder: Path) -> list[float]:
    """What the specs that succeeded gave."""
    (table,) = folder.glob("scythe-runs/work/v*/*/final/scalars.pq")
    found: list[Any] = pq.read_table(table).column("value").to_pylist()
    return found


UNSEEDED = """
import random
import numpy as np
DEFAULT, OLD, SEQUENCE = np.random.default_rng(), np.random.RandomState(), np.random.SeedSequence()
PYTHON = random.Random()
class Held:
    bits = np.random.Generator(np.random.Philox())
DRAWS = {
    "default_rng": DEFAULT.random,
    "its child": lambda: DEFAULT.spawn(1)[0].random(),
    "RandomState": OLD.rand,
    "bit generator": Held.bits.random,
    "seed sequence": lambda: np.random.default_rng(SEQUENCE.spawn(1)[0]).random(),
    "numpy's own": np.random.rand,
    "random.Random": PYTHON.random,
    "Python's own": random.random,
}
def draw():
    with open("draws", "a") as file:
        file.write("".join(f"{name},{one()}\\n" for name, one in DRAWS.items()))
    return 0.0
MORTAL = True
"""


def test_generators_without_a_seed_draw_different_numbers_in_each_worker(tmp_path: Path) -> None:
    """Also in the worker that takes the place of one that died."""
    done = allocate(tmp_path, UNSEEDED)
    drawn = [line.split(",") for line in (tmp_path / "draws").read_text().split("\n") if line]
    repeated = {name: count for (name, _), count in Counter(map(tuple, drawn)).items() if count > 1}
    assert len(drawn) >= 39 * len({name for name, _ in drawn}), done.stderr
    assert repeated == {}
    assert "seeded" not in done.stderr


def test_a_seed_at_import_is_told_with_what_to_write(tmp_path: Path) -> None:
    done = allocate(tmp_path, "import numpy as np\nRNG = np.random.default_rng(42)\ndraw = RNG.random", n=2)
    (told,) = [text for text in done.stderr.splitlines() if "seeded" in text]
    assert "imported.py:8: random numbers are seeded when the module is imported" in told
    assert "input_spec.rng()" in told


OPENMP = """
#include <omp.h>
int twice(int n) {
  int sum = 0;
  #pragma omp parallel for reduction(+:sum) num_threads(4)
  for (int i = 0; i < n; i++) sum += 2;
  return sum;
}
"""
FOREST = """
import numpy as np
from sklearn.ensemble import HistGradientBoostingRegressor
X = np.linspace(0, 1, 400).reshape(-1, 2)
MODEL = HistGradientBoostingRegressor(max_iter=5).fit(X, X[:, 0])
draw = lambda: float(MODEL.fit(X, X[:, 0]).predict(X[:1])[0])
"""
NUMBA = """
from numba import njit, prange
@njit(parallel=True)
def total(n):
    found = 0.0
    for at in prange(n):
        found += 1.0
    return found
total(10)
draw = lambda: total(100)
"""


def needs(module: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(importlib.util.find_spec(module) is None, reason=f"{module} is not installed")


@pytest.mark.parametrize(
    ("module", "threads"),
    [pytest.param(FOREST, "2", marks=needs("sklearn")), pytest.param(NUMBA, "1", marks=needs("numba"))],
)
def test_a_library_with_threads_at_import_hangs_no_spec(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, threads: str
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", threads)
    done = allocate(tmp_path, module, n=4, workers=2, timeout="60s")
    assert len(values(tmp_path)) == 4, done.stderr


def library(folder: Path) -> str:
    """A C library that runs OpenMP threads, as Python that has used it."""
    if shutil.which("gcc") is None:
        pytest.skip("no C compiler")
    (folder / "twice.c").write_text(OPENMP)
    subprocess.run(["gcc", "-fopenmp", "-shared", "-fPIC", "-o", "twice.so", "twice.c"], cwd=folder, check=True)
    return f"import ctypes\nTWICE = ctypes.CDLL({str(folder / 'twice.so')!r}).twice\nTWICE(10)\n"


def test_a_c_library_with_threads_at_import_hangs_no_spec(tmp_path: Path) -> None:
    done = allocate(tmp_path, library(tmp_path) + "draw = lambda: float(TWICE(50))", n=4)
    assert values(tmp_path) == [100.0] * 4, done.stderr


IMPORTS = """
with open("imports", "a") as file:
    file.write(f"{os.getpid()}\\n")
draw = float
"""


def imports(folder: Path) -> int:
    """How many processes have imported the module, apart from the one that allocates."""
    return len((folder / "imports").read_text().split()) - 1


def test_numpy_pandas_and_pyarrow_are_imported_once_for_all_workers(tmp_path: Path) -> None:
    used = (
        "import numpy as np, pandas as pd, pyarrow as pa, pyarrow.compute as pc\nnp.ones((500, 500)) @ np.ones(500)\n"
    )
    allocate(
        tmp_path, used + "pc.sum(pa.array([1] * 100_000))\npd.DataFrame({'a': [1]}).to_parquet('x.pq')\n" + IMPORTS
    )
    assert imports(tmp_path) == 1


def test_fresh_workers_import_the_module_themselves(tmp_path: Path) -> None:
    allocate(tmp_path, IMPORTS, workers=2, fresh_workers=True)
    assert imports(tmp_path) == 3


def test_workers_that_make_no_progress_are_told_of(tmp_path: Path) -> None:
    """A lock that somebody holds when the module was imported is held in each forked process, for ever."""
    held = "import threading\nLOCK = threading.Lock()\nLOCK.acquire()\ndraw = lambda: float(LOCK.acquire())"
    done = allocate(tmp_path, held, n=4, timeout="1s", workers=2)
    (told,) = [text for text in done.stderr.splitlines() if "no worker makes progress" in text]
    assert "run.fresh_workers: true" in told


OWN = """
@ExperimentRegistry.Register()
def own(spec: In) -> Out:
    if spec.sort_index == 3 and not os.path.exists("died"):
        open("died", "w").close()
        os._exit(3)
    return Out(value=spec.rng().random(), parent=0)
"""


def draws(folder: Path, **run: Any) -> dict[int, float]:
    """What the specs of a run drew from their own generators, by sort_index; each two rows are equal."""
    folder.mkdir()
    (folder / "imported.py").write_text(f"{BEGIN}MORTAL = False\ndraw = float\n{END}{OWN}")
    (folder / "specs.csv").write_text("x\n" + "\n".join(str(at // 2) for at in range(20)))
    (folder / "experiment.yml").write_text(f"experiment: imported:own\nspecs: specs.csv\nrun: {json.dumps(run)}\n")
    command = [str(Path(sys.executable).parent / "scythe"), "allocate"]
    subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=100, check=True)
    (table,) = folder.glob("scythe-runs/own/v*/*/final/scalars.pq")
    rows = pq.read_table(table).to_pylist()
    return {row["sort_index"]: row["value"] for row in rows}


def test_a_specs_own_numbers_are_the_same_on_any_number_of_workers(tmp_path: Path) -> None:
    one, three = draws(tmp_path / "one", workers=1), draws(tmp_path / "three", workers=3, fresh_workers=True)
    assert one == three
    assert len(set(one.values())) == 20, "equal rows draw the same numbers"
    assert draws(tmp_path / "seven", seed=7) != one
