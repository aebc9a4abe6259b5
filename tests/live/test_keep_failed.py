"""`run.keep_failed` keeps what a spec left in its temporary folder, whatever its end was, and nothing of the others."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from scythe_cli.cli import app

MODULE = """
import os, time
from pathlib import Path
from scythe_cli import ExperimentInputSpec, ExperimentOutputSpec, ExperimentRegistry

class In(ExperimentInputSpec):
    how: str

class Out(ExperimentOutputSpec):
    y: float

@ExperimentRegistry.Register()
def simulate(input_spec: In, tempdir: Path) -> Out:
    (tempdir / "eplusout.err").write_text(input_spec.how)
    if input_spec.how == "raises":
        raise ValueError("severe")
    if input_spec.how == "dies":
        os._exit(3)
    if input_spec.how == "hangs":
        time.sleep(60)
    if input_spec.how == "is wrong":
        return "no output"
    return Out(y=1.0)
"""
HOW = ["is fine", "raises", "dies", "hangs", "is wrong", "is fine"]


def test_each_way_to_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "plant.py").write_text(MODULE)
    (tmp_path / "specs.csv").write_text("\n".join(["how", *HOW]))
    settings = "run: {keep_failed: true, timeout: 1s, max_failures: all, workers: 2}"
    (tmp_path / "experiment.yml").write_text(f"experiment: plant:simulate\nspecs: specs.csv\n{settings}\n")
    monkeypatch.chdir(tmp_path)
    assert app.run(["allocate"]) == 1
    found = {
        path.relative_to(path.parents[1]).as_posix(): path.read_text()
        for path in tmp_path.glob("scythe-runs/*/*/*/failed/*/*")
    }
    assert found == {f"{at}/eplusout.err": HOW[at] for at in range(1, 5)}
    (run,) = tmp_path.glob("scythe-runs/*/*/*")
    capsys.readouterr()
    assert app.run(["status", "simulate", "--errors"]) == 0
    folder = f"  left     {run.relative_to(tmp_path)}/failed/1\n"
    assert folder in capsys.readouterr().out
    assert app.run(["show", "simulate", "1", "--json"]) == 0
    (spec,) = json.loads(capsys.readouterr().out)["specs"]
    assert spec["files"] == {"eplusout.err": str(run / "failed/1/eplusout.err")}
