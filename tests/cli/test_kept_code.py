"""The code of a run: `control/code/<hash>.zip`, `code.include`, and what is said when a version has other code."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import pytest
from command import FILE, MODULE, project, runs, scythe

from scythe_cli.core import yaml_document

pytestmark = pytest.mark.slow
INCLUDE = FILE + "code: {include: [factors.txt, data/*.json]}\n"


def made(folder: Path, *, file: str = FILE, files: dict[str, str] | None = None) -> Path:
    for name, text in (files or {}).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return project(folder, file=file)


def source_hash(run: Path) -> str:
    manifest: Any = yaml_document.read((run / "manifest.yml").read_text("utf-8"), "manifest.yml").data
    return str(manifest["source_hash"])


def kept(run: Path) -> dict[str, str]:
    path = run / "control" / "code" / f"{source_hash(run)}.zip"
    with zipfile.ZipFile(io.BytesIO(path.read_bytes())) as archive:
        return {name: archive.read(name).decode() for name in archive.namelist()}


def allocated(folder: Path) -> Path:
    done = scythe("allocate", cwd=folder)
    assert done.code == 0, done.err
    return runs(folder)[-1]


def test_the_modules_are_kept(tmp_path: Path) -> None:
    assert kept(allocated(made(tmp_path))) == {"doubles.py": MODULE}


def test_included_files_are_kept_and_count(tmp_path: Path) -> None:
    folder = made(tmp_path, file=INCLUDE, files={"factors.txt": "1.2", "data/a.json": "{}", "data/b.txt": "no"})
    first = allocated(folder)
    assert sorted(kept(first)) == ["data/a.json", "doubles.py", "factors.txt"]
    (folder / "factors.txt").write_text("1.3")
    assert scythe("allocate", "--bump", "patch", cwd=folder).code == 0
    assert source_hash(runs(folder)[-1]) != source_hash(first)


def test_a_resume_sees_that_an_included_file_has_changed(tmp_path: Path) -> None:
    folder = made(tmp_path, file=INCLUDE, files={"factors.txt": "1.2", "data/a.json": "{}"})
    (folder / "specs.csv").write_text("x,how\n1,badly\n")
    assert scythe("allocate", cwd=folder).code == 1
    assert scythe("allocate", "--resume", "doubles", cwd=folder).code == 1
    (folder / "factors.txt").write_text("1.3")
    refused = scythe("allocate", "--resume", "doubles", cwd=folder)
    assert refused.code == 2
    assert "--allow-changed-code" in refused.err


def test_a_resume_with_other_code_keeps_both(tmp_path: Path) -> None:
    folder = made(tmp_path)
    (folder / "specs.csv").write_text("x,how\n1,badly\n")
    assert scythe("allocate", cwd=folder).code == 1
    (folder / "doubles.py").write_text(MODULE.replace("raise ValueError", "pass  # ValueError"))
    assert scythe("allocate", "--resume", "doubles", "--allow-changed-code", cwd=folder).code == 0
    (run,) = runs(folder)
    assert len(list((run / "control" / "code").iterdir())) == 2


@pytest.mark.parametrize(("pattern", "rule"), [("none.txt", "has no such file"), ("../x.txt", "must be a path from")])
def test_a_pattern_that_names_no_file_is_refused(tmp_path: Path, pattern: str, rule: str) -> None:
    folder = made(tmp_path, file=FILE + f"code: {{include: [{pattern}]}}\n")
    done = scythe("allocate", cwd=folder)
    assert done.code == 2
    assert rule in done.err
    assert not (folder / "scythe-runs").exists()


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        (".env.txt", "A=1", "its name is that of a file with secrets"),
        ("server.pem", "x", "its name is that of a file with secrets"),
        ("settings.txt", 'a = 1\napi_key = "0123456789abcdef"\n', "line 2 looks like a secret"),
        ("settings.txt", "-----BEGIN RSA PRIVATE KEY-----", "line 1 looks like a secret"),
        ("settings.txt", "AKIAIOSFODNN7EXAMPLE", "line 1 looks like a secret"),
    ],
)
def test_a_file_that_looks_like_a_secret_is_told_and_not_kept(tmp_path: Path, name: str, text: str, why: str) -> None:
    folder = made(tmp_path, file=FILE + f"code: {{include: [{name}]}}\n", files={name: text})
    done = scythe("allocate", cwd=folder)
    assert done.code == 0
    assert f"{name} counts as code, but the run keeps no copy of it: {why}" in done.err
    assert list(kept(runs(folder)[0])) == ["doubles.py"]


def test_at_most_five_megabytes_are_kept(tmp_path: Path) -> None:
    files = {"a.txt": "a" * 3_000_000, "b.txt": "b" * 3_000_000}
    folder = made(tmp_path, file=FILE + "code: {include: ['*.txt']}\n", files=files)
    done = scythe("allocate", cwd=folder)
    assert "b.txt counts as code, but the run keeps no copy of it: all copies together are at most 5 MB" in done.err
    assert sorted(kept(runs(folder)[0])) == ["a.txt", "doubles.py"]


def test_a_binary_file_is_not_kept(tmp_path: Path) -> None:
    folder = made(tmp_path, file=FILE + "code: {include: [model.bin]}\n", files={"model.bin": "a\0b"})
    assert "model.bin counts as code, but the run keeps no copy of it: it is not text" in (
        scythe("allocate", cwd=folder).err
    )


def test_kept_code_is_never_run_nor_unpacked(tmp_path: Path) -> None:
    folder = made(tmp_path)
    (folder / "specs.csv").write_text("x,how\n1,badly\n")
    assert scythe("allocate", cwd=folder).code == 1
    (run,) = runs(folder)
    (code,) = (run / "control" / "code").iterdir()
    with zipfile.ZipFile(code, "w") as archive:
        for name in ("doubles.py", "sitecustomize.py", "../doubles.py"):
            archive.writestr(name, f"open({str(tmp_path / 'ran')!r}, 'w')\n" + MODULE)
    planted = code.read_bytes()
    assert scythe("allocate", "--resume", "doubles", cwd=folder).code == 1
    assert scythe("gather", "doubles", cwd=folder).code == 0
    assert not (tmp_path / "ran").exists()
    assert code.read_bytes() == planted
    assert not list(run.glob("control/**/*.py"))


def test_a_version_whose_earlier_run_had_other_code_is_told(tmp_path: Path) -> None:
    folder = made(tmp_path)
    assert "other code" not in scythe("allocate", cwd=folder).err
    assert "other code" not in scythe("allocate", cwd=folder).err
    (folder / "doubles.py").write_text(MODULE + "\nMORE = 1\n")
    assert "v1.0.0 has a run with other code (" in scythe("allocate", cwd=folder).err
    assert "other code" not in scythe("allocate", "--bump", "patch", cwd=folder).err


def test_init_from_proposes_the_files_that_the_code_names(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "factors.txt").write_text("1.2")
    (tmp_path / "data" / "a.json").write_text("{}")
    names = '\nFILES = ["factors.txt", "data/*.json", "none.txt", "*.txt"]\n'
    (tmp_path / "doubles.py").write_text(MODULE + names)
    done = scythe("init", "--from", "doubles:double", cwd=tmp_path)
    assert done.code == 0, done.err
    text = (tmp_path / "experiment.yml").read_text()
    written: Any = yaml_document.read(text, "experiment.yml").data
    assert written["code"]["include"] == ["data/*.json", "factors.txt"]
