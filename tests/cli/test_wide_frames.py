"""Frames of very many columns: a probe and a dry run say that rows would be quicker."""

from __future__ import annotations

from pathlib import Path

from command import scythe

MODULE = """
import numpy as np
import pandas as pd
from scythe_cli import ExperimentInputSpec, ExperimentOutputSpec, ExperimentRegistry

class In(ExperimentInputSpec):
    x: float

class Out(ExperimentOutputSpec):
    y: float

@ExperimentRegistry.Register()
def simulate(spec: In) -> Out:
    wide = pd.DataFrame(np.full((1, 1001), spec.x), columns=[f"h{at}" for at in range(1001)])
    return Out(y=spec.x, dataframes={"hourly": wide, "monthly": wide.iloc[:, :12]})
"""
NOTE = "a row for each value is quicker to write and to read"


def test_a_probe_and_a_dry_run_after_a_run_name_wide_frames(tmp_path: Path) -> None:
    (tmp_path / "wide.py").write_text(MODULE)
    (tmp_path / "specs.csv").write_text("x\n1\n2\n")
    (tmp_path / "experiment.yml").write_text("experiment: wide:simulate\nspecs: specs.csv\nrun: {workers: 1}\n")
    before = scythe("allocate", "--dry-run", cwd=tmp_path)
    assert NOTE not in before.out, "nobody knows yet"
    done = scythe("allocate", "--probe", "1", "--yes", cwd=tmp_path)
    assert done.code == 0, done.err
    assert f"  frame    hourly has 1,001 columns; {NOTE}\n" in done.out + done.err
    assert "monthly has" not in done.out + done.err
    after = scythe("allocate", "--dry-run", cwd=tmp_path)
    assert f"  frame    hourly had 1,001 columns in the latest run; {NOTE}\n" in after.out
    document = scythe("allocate", "--dry-run", "--json", cwd=tmp_path).json("plan")
    assert document["wide_frames"] == {"hourly": 1001}
