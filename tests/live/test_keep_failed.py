"""`run.keep_failed` keeps what a spec left in its temporary folder, whatever its end was, and nothing of the others."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from scythe_cli.cli import app

MODULE = """
import os, time
from pathlib import Path
from pydantic import Field
from scythe_cli import ExperimentInputSpec, ExperimentOutputSpec, ExperimentRegistry

class In(ExperimentInputSpec):
    how: str

class Out(ExperimentOutputSpec):
    y: float = Field(ge=0)

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
    if input_spec.how == "is out of bounds":
        return Out.model_construct(y=-1.0)
    return Out(y=1.0)

@ExperimentRegistry.Register(batch=4)
def simulate_many(specs: list[In], tempdir: Path) -> list[Out]:
    (tempdir / "eplusout.err").write_text(" ".join(spec.how for spec in specs))
    if any(spec.how == "raises" for spec in specs):
        raise ValueError("severe")
    return [Out(y=1.0) for _ in specs]
"""
HOW = ["is fine", "raises", "dies", "hangs", "is wrong", "is out of bounds", "is fine"]


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
    assert found == {f"{at}/eplusout.err": HOW[at] for at in range(1, 6)}
    (run,) = tmp_path.glob("scythe-runs/*/*/*")
    capsys.readouterr()
    assert app.run(["status", "simulate", "--errors"]) == 0
    folder = f"  left     {run.relative_to(tmp_path)}/failed/1\n"
    assert folder in capsys.readouterr().out
    assert app.run(["show", "simulate", "1", "--json"]) == 0
    (spec,) = json.loads(capsys.readouterr().out)["specs"]
    assert spec["files"] == {"eplusout.err": str(run / "failed/1/eplusout.err")}


def test_of_a_function_of_many_the_folder_of_the_call_with_the_failed_spec_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "plant.py").write_text(MODULE)
    (tmp_path / "specs.csv").write_text("\n".join(["how", "is fine", "is fine", "raises", "is fine"]))
    settings = "run: {keep_failed: true, max_failures: all, workers: 1}"
    (tmp_path / "experiment.yml").write_text(f"experiment: plant:simulate_many\nspecs: specs.csv\n{settings}\n")
    monkeypatch.chdir(tmp_path)
    assert app.run(["allocate"]) == 1
    (kept,) = tmp_path.glob("scythe-runs/*/*/*/failed/*/*")
    assert kept.relative_to(kept.parents[1]).as_posix() == "2/eplusout.err"
    assert kept.read_text() == "raises"
