"""Wide models: 20 trivial specs with thousands of fields, from the command to the final tables."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

from bench.harness import SCYTHE, Row, report, run

MODULE = """
from pydantic import create_model
from scythe_cli import ExperimentInputSpec, ExperimentOutputSpec, ExperimentRegistry

INPUTS, OUTPUTS = {inputs}, {outputs}
fields = {{f"x{{i}}": (float, ...) for i in range(INPUTS)}}
results = {{f"y{{i}}": (float, ...) for i in range(OUTPUTS)}}
In = create_model("In", __base__=ExperimentInputSpec, __module__=__name__, **fields)
Out = create_model("Out", __base__=ExperimentOutputSpec, __module__=__name__, **results)

@ExperimentRegistry.Register()
def work(spec: In) -> Out:
    return Out(**{{f"y{{i}}": spec.x0 + i for i in range(OUTPUTS)}})
"""
SPECS = 20


def write(folder: Path, inputs: int, outputs: int) -> None:
    """An experiment of such a model."""
    (folder / "wide.py").write_text(MODULE.format(inputs=inputs, outputs=outputs))
    (folder / "experiment.yml").write_text("experiment: wide:work\nspecs: specs.csv\n")
    rows = [",".join(f"x{at}" for at in range(inputs))]
    rows += [",".join(str(row + at / 10) for at in range(inputs)) for row in range(SPECS)]
    (folder / "specs.csv").write_text("\n".join(rows) + "\n")


def seconds(inputs: int, outputs: int) -> float:
    """Wall time of the whole command."""
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        write(folder, inputs, outputs)
        began = time.perf_counter()
        run([*SCYTHE, "allocate"], cwd=folder)
        return time.perf_counter() - began


def main(times: int = 3) -> None:
    """Measure and report."""

    def typical(inputs: int, outputs: int) -> float:
        return statistics.median(seconds(inputs, outputs) for _ in range(times))

    rows = [
        Row("300 inputs, 1 output", typical(300, 1), 1.5, "s"),
        Row("2,000 inputs, 1 output", typical(2_000, 1), 3.0, "s"),
        Row("10 inputs, 3,000 outputs", typical(10, 3_000), 4.0, "s"),
        Row("3,000 inputs, 3,000 outputs", typical(3_000, 3_000), 6.0, "s"),
    ]
    report("wide", rows)
