"""The file fields of a row: in a lane, an artifact of the run or a remote address, nothing else."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from scythe_cli.errors import InputFileError, ScytheError
from scythe_cli.storage import artifacts, references
from scythe_cli.storage.local import LocalStore
from scythe_cli.storage.spec_inputs import Inputs

if TYPE_CHECKING:
    from pathlib import Path

RUN = "energy/v1.0.0/2026-01-31_12-00-00"


@pytest.fixture
def run(tmp_path: Path) -> LocalStore:
    store = LocalStore(tmp_path / RUN)
    store.write("artifacts/weather/a.epw", b"sun")
    (tmp_path / "secret").write_text("secret")
    return store


def resolve(run: LocalStore, address: str, tmp_path: Path) -> Path:
    spec = SimpleNamespace(weather=address)
    Inputs(run, RUN, copied=False).resolve(spec, ["weather"], tmp_path)
    found: Path = spec.weather
    return found


def test_an_artifact_of_the_run(run: LocalStore, tmp_path: Path) -> None:
    assert resolve(run, f"/elsewhere/{RUN}/artifacts/weather/a.epw", tmp_path).read_text() == "sun"


@pytest.mark.parametrize(
    "address",
    [
        "{tmp}/secret",
        "secret",
        "~/secret",
        "/etc/passwd",
        "file:///etc/passwd",
        "gs://bucket/x",
        "/dev/zero",
        "/x/{run}/artifacts/../../../../secret",
        "/x/{run}/artifacts/weather/../../../../../../secret",
        "/x/{run}/artifacts/",
        "/x/{run}/artifacts",
        "/x/{run}/results/x",
        "/x/{run}/artifacts/weather/missing.epw",
        "/x/{run}/artifacts/weather/link.epw",
        "/x/{run}/artifacts/linked/secret",
        "/x/{run}/artifacts/weather/link-12345678.epw",
        "/x/{run}/artifacts/weather/pipe",
    ],
)
@pytest.mark.timeout(20)
def test_any_other_file_fails_its_spec_alone(run: LocalStore, address: str, tmp_path: Path) -> None:
    folder = tmp_path / RUN / "artifacts"
    for name in ("weather/link.epw", "weather/link-12345678.epw"):
        (folder / name).symlink_to(tmp_path / "secret")
    (folder / "linked").symlink_to(tmp_path)
    os.mkfifo(folder / "weather" / "pipe")
    with pytest.raises(ScytheError):
        resolve(run, address.format(tmp=tmp_path, run=RUN), tmp_path)


@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
@pytest.mark.timeout(20)
def test_an_input_file_without_an_end_is_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x.epw"
    match kind:
        case "pipe":
            os.mkfifo(path)
        case "device":
            path.symlink_to("/dev/zero")
        case "folder":
            path.mkdir()
    (found,) = references.probe([str(path)]).values()
    assert isinstance(found, references.FileProblem)
    with pytest.raises(InputFileError, match="not a file"):
        artifacts.plan_uploads({"weather": [path]})
    with pytest.raises(InputFileError, match="not a file"):
        LocalStore(tmp_path / "store").upload("k", path)


@pytest.mark.parametrize("how", ["rewritten", "replaced", "removed"])
def test_a_file_that_changes_between_hash_and_upload_is_noticed(tmp_path: Path, how: str) -> None:
    path = tmp_path / "x.epw"
    path.write_text("before")
    plan = artifacts.plan_uploads({"weather": [path]})
    if how == "rewritten":
        path.write_text("after.")
    elif how == "replaced":
        (tmp_path / "new").write_text("after.")
        (tmp_path / "new").replace(path)
    else:
        path.unlink()
    with pytest.raises(InputFileError, match=r"changed while it was being uploaded|cannot read"):
        artifacts.send(LocalStore(tmp_path / "store"), plan.uploads)
