"""How long a command takes before it does anything, against importing the two libraries it is drawn with."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.harness import SCYTHE, Row, Usage, in_turn, median, ratio, report, run

HERE = Path(__file__).parent


def timed(command: list[str], cwd: Path | None = None) -> Usage:
    """Wall time alone; a sampler would be a good part of it."""
    began = time.perf_counter()
    subprocess.run(command, check=True, cwd=cwd, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return Usage(time.perf_counter() - began, 0)


def main(times: int = 9) -> None:
    """Measure and report."""
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text) / "small"
        run([*SCYTHE, "init", str(folder)])
        run([*SCYTHE, "allocate"], cwd=folder)
        helped, status, bare = in_turn(
            times,
            lambda: timed([*SCYTHE, "--help"]),
            lambda: timed([*SCYTHE, "status", "epidemic"], folder),
            lambda: timed([sys.executable, "-c", "import typer, rich"]),
        )
        shutil.rmtree(folder)
    each = f"help {median(helped):.3f} s, status {median(status):.3f} s, imports {median(bare):.3f} s"
    rows = [
        Row("scythe --help / import typer, rich", ratio(helped, bare), 1.5, detail=each),
        Row("scythe status of a small run / import typer, rich", ratio(status, bare), 5.0, detail=each),
    ]
    report("startup", rows)


if __name__ == "__main__":
    main()
