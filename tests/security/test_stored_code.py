"""No code is imported that the storage names or holds, and none before its hash was compared."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from hostile import HALF, Storage

from scythe_cli.errors import EntryPointError
from scythe_cli.experiment import experiment
from scythe_cli.experiment.source_files import source_hash

EVIL = """
from pathlib import Path
Path({mark!r}).touch()
from scythe_cli import ExperimentInputSpec, ExperimentOutputSpec

class In(ExperimentInputSpec):
    area: float

class Out(ExperimentOutputSpec):
    volume: float

def fill(input_spec: In) -> Out:
    return Out(volume=0)
"""


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    """Exists when the hostile code ran."""
    return tmp_path / "evil ran"


def plant(storage: Storage, mark: Path, file: Path, target: str) -> None:
    """Put hostile code somewhere, and have the run name it with the right hash of it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(EVIL.format(mark=str(mark)))
    name_in_run(storage, target)
    found = storage.half / "manifest.yml"
    digest = source_hash({file.name: file})
    text = re.sub(r"source_hash: \w+", f"source_hash: {digest}", found.read_text())
    found.write_text(re.sub("entry_point: .*", f"entry_point: {target}", text))


def name_in_run(storage: Storage, target: str) -> None:
    frozen = storage.half / "experiment.yml"
    frozen.write_text(frozen.read_text().replace("rain_tanks:fill", target))


def resume(storage: Storage, *more: str, here: Path | None = None) -> str:
    done = storage.scythe("allocate", "--resume", HALF, "--storage", str(storage.root), *more, here=here)
    assert done.code == 2, done.err
    return done.err


@pytest.mark.parametrize("more", [(), ("--allow-changed-code",)], ids=["", "changed"])
@pytest.mark.parametrize("file", ["experiment.yml", "none"])
@pytest.mark.parametrize("where", [f"storage/{HALF}/evil.py", "storage/evil.py", "storage/half/evil.py"])
def test_code_in_the_storage_is_not_run(
    storage: Storage, mark: Path, where: str, file: str, more: tuple[str, ...]
) -> None:
    plant(storage, mark, storage.folder / where, f"{where}:fill")
    if file == "none":
        (storage.folder / "experiment.yml").unlink()
    assert "code is never imported from there" in (said := resume(storage, *more)) or "is of storage/" in said
    assert not mark.exists()


def test_nor_by_a_module_name(storage: Storage, mark: Path) -> None:
    plant(storage, mark, storage.root / "evil.py", "storage.evil:fill")
    (storage.folder / "experiment.yml").unlink()
    assert "code is never imported from there" in resume(storage)
    assert not mark.exists()


def test_nor_an_absolute_path(storage: Storage, mark: Path, tmp_path: Path) -> None:
    plant(storage, mark, tmp_path / "elsewhere" / "evil.py", f"{tmp_path}/elsewhere/evil.py:fill")
    (storage.folder / "experiment.yml").unlink()
    assert "is not in" in resume(storage)
    assert not mark.exists()


def test_nor_what_a_link_leads_to(storage: Storage, mark: Path) -> None:
    plant(storage, mark, storage.half / "evil.py", "innocent:fill")
    (storage.folder / "innocent.py").symlink_to(storage.half / "evil.py")
    (storage.folder / "experiment.yml").unlink()
    assert "code is never imported from there" in resume(storage)
    assert not mark.exists()


def test_nor_an_installed_module(storage: Storage) -> None:
    name_in_run(storage, "antigravity:fly")
    (storage.folder / "experiment.yml").unlink()
    assert "is not in" in resume(storage)


@pytest.mark.parametrize("where", ["root", "run"])
def test_nor_with_the_experiment_file_of_the_storage(storage: Storage, mark: Path, where: str) -> None:
    folder = storage.root if where == "root" else storage.half
    plant(storage, mark, folder / "evil.py", "evil:fill")
    if where == "root":
        shutil.copy(storage.half / "experiment.yml", folder / "experiment.yml")
    assert "code is never imported from there" in resume(storage, here=folder)
    assert not mark.exists()


def test_a_new_run_takes_no_code_from_a_run_either(storage: Storage, mark: Path) -> None:
    plant(storage, mark, storage.half / "evil.py", "evil:fill")
    done = storage.scythe("allocate", here=storage.half)
    assert done.code == 2
    assert "lies in the run's folder" in done.err
    assert not mark.exists()


def test_nor_from_a_download(storage: Storage, mark: Path, tmp_path: Path) -> None:
    (storage.run / "results" / "evil.py").write_text(EVIL.format(mark=str(mark)))
    done = storage.scythe("download", "complete", "brought", "--files", "--storage", "storage")
    assert done.code == 0, done.err
    assert (storage.folder / "brought" / "results" / "evil.py").exists()
    with pytest.raises(EntryPointError, match="was downloaded into"):
        experiment.load("brought/results/evil.py:fill", storage.folder)
    assert not mark.exists()


def test_code_beside_a_download_is_the_users(storage: Storage) -> None:
    assert storage.scythe("download", "complete", ".", "--storage", "storage").code == 0
    assert experiment.load("rain_tanks:fill", storage.folder).name == "fill"


def test_another_function_than_the_runs_is_refused_before_its_import(storage: Storage, mark: Path) -> None:
    (storage.folder / "other.py").write_text(EVIL.format(mark=str(mark)))
    text = (storage.folder / "experiment.yml").read_text()
    (storage.folder / "experiment.yml").write_text(text.replace("rain_tanks:fill", "other:fill"))
    said = resume(storage)
    assert "is of rain_tanks:fill, and this file has other:fill" in said
    assert not mark.exists()


def test_changed_code_is_refused_before_its_import(storage: Storage, mark: Path) -> None:
    module = storage.folder / "rain_tanks.py"
    module.write_text(module.read_text() + f"\nPath({str(mark)!r}).touch()\n")
    assert "the code has changed since this run began" in resume(storage)
    assert not mark.exists()


@pytest.mark.parametrize("command", ["download", "status", "gather", "cancel"])
def test_other_commands_import_no_code(storage: Storage, mark: Path, command: str) -> None:
    (storage.folder / "experiment.yml").write_text("experiment: evil:fill\nspecs: specs.csv\nstorage: storage\n")
    (storage.folder / "evil.py").write_text(EVIL.format(mark=str(mark)))
    done = storage.scythe(command, *(["experiment.yml"] if command != "download" else []))
    assert done.code == 3, done.err
    assert not mark.exists()


def test_a_run_under_a_registered_name_is_found_by_its_function(storage: Storage, mark: Path) -> None:
    """The file gives no name, and the code registers another than the function's."""
    (storage.folder / "experiment.yml").write_text("experiment: rain_tanks:fill\nspecs: specs.csv\nstorage: storage\n")
    (storage.folder / "rain_tanks.py").write_text(f"open({str(mark)!r}, 'w')")
    done = storage.scythe("status", "experiment.yml")
    assert done.code == 0, done.err
    assert "cancelled/v1.0.0" in done.out
    assert not mark.exists()
