"""What is checked before a run is claimed, and what is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from scythe_cli.errors import InputFileError, TableError
from scythe_cli.experiment import config, experiment
from scythe_cli.preparation.prepare import prepare

if TYPE_CHECKING:
    from pathlib import Path

    from scythe_cli.preparation.prepared import Prepared

MODULE = """
from scythe_cli import ExperimentInputSpec, ExperimentOutputSpec, ExperimentRegistry, FileReference

class In(ExperimentInputSpec):
    x: float
    weather: FileReference | None = None
    @property
    def computed_features(self):
        return {FEATURES}

class Out(ExperimentOutputSpec):
    y: float

@ExperimentRegistry.Register()
def measure(spec: In) -> Out:
    return Out(y=spec.x)
"""


def prepared(folder: Path, specs: str, *, features: str = "{}", **more: Any) -> Prepared:
    """What a folder with this table gives."""
    module = f"measured_{abs(hash((str(folder), features)))}"
    (folder / f"{module}.py").write_text(MODULE.replace("{FEATURES}", features))
    (folder / "experiment.yml").write_text(f"experiment: {module}:measure\nspecs: specs.csv\nname: city\n")
    (folder / "specs.csv").write_text(specs)
    loaded = config.load(folder / "experiment.yml")
    return prepare(loaded, experiment.load(loaded.file.experiment, folder), **more)


def test_files_that_are_used_twice_are_sent_once(tmp_path: Path) -> None:
    (tmp_path / "a.epw").write_bytes(b"12345")
    found = prepared(tmp_path, "x,weather\n1,a.epw\n2,a.epw\n3,\n")
    assert (found.table.rows, len(found.uploads.uploads), found.n_bytes) == (3, 1, 5)
    assert (found.name, found.remote) == ("city", {"weather": []})


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match=r"specs\.csv:3.*b\.epw"):
        (tmp_path / "a.epw").touch()
        prepared(tmp_path, "x,weather\n1,a.epw\n2,b.epw\n")


def test_the_first_specs_or_some_at_random(tmp_path: Path) -> None:
    table = "x\n" + "".join(f"{at}\n" for at in range(100))
    assert prepared(tmp_path, table, limit=2).table.table["x"].to_pylist() == [0.0, 1.0]
    picked = prepared(tmp_path, table, limit=5, shuffle=1).table.table
    assert picked == prepared(tmp_path, table, limit=5, shuffle=1).table.table
    assert picked["x"].to_pylist() == picked["sort_index"].to_pylist() != [0, 1, 2, 3, 4]


def test_a_table_without_rows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TableError, match=r"specs\.csv"):
        prepared(tmp_path, "x\n")


def test_a_computed_feature_with_the_name_of_an_output_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="computed_features gives 'y', which is a field of the output Out"):
        prepared(tmp_path, "x\n1\n", features='{"y": 1.0}')


def test_a_null_of_a_design_is_none(tmp_path: Path) -> None:
    (tmp_path / "opened.py").write_text(MODULE.replace("x: float", "x: float | None = 1.5").replace("{FEATURES}", "{}"))
    design = "{design: grid, space: {x: {levels: [null, 2.0]}}}"
    (tmp_path / "experiment.yml").write_text(f"experiment: opened:measure\nspecs: {design}\n")
    loaded = config.load(tmp_path / "experiment.yml")
    found = prepare(loaded, experiment.load(loaded.file.experiment, tmp_path))
    assert found.table.table["x"].to_pylist() == [None, 2.0]
