"""A run that was resumed with other code: each command has the code and the settings of its latest generation."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from command import MODULE, project, runs, scythe

from scythe_cli.core import yaml_document

SPECS = "x,how\n1,well\n2,badly\n3,well\n"
FIXED = MODULE.replace('== "badly"', '== "no more"')


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = project(tmp_path_factory.mktemp("resumed"), SPECS)
    assert scythe("allocate", cwd=folder).code == 1
    (folder / "doubles.py").write_text(FIXED)
    done = scythe("allocate", "--resume", "doubles", "--allow-changed-code", "--set", "run.timeout=9m", cwd=folder)
    assert done.code == 0, done.err
    return folder


@pytest.fixture(scope="module")
def hashes(folder: Path) -> list[str]:
    (run,) = runs(folder)
    return [_note(run, number)["source_hash"] for number in (1, 2)]


def _note(run: Path, number: int) -> Any:
    return yaml_document.read((run / f"control/generation-{number}.yml").read_text(), "").data


def test_show_has_the_latest_code_and_both_with_their_rows(folder: Path, hashes: list[str]) -> None:
    was, now = (one[:12] for one in hashes)
    assert was != now
    said = re.sub(r"\s+", " ", scythe("show", cwd=folder).out)
    assert f"hash {now}" in said
    assert f"made by {was} (generation 1, 2 rows), {now} (generation 2, 1 row) " in said
    assert "run.timeout 9m" in said
    document = scythe("show", "--json", cwd=folder).json("show")
    assert (document["source_hash"], document["settings"]["run"]["timeout"]) == (hashes[1], "9m")


def test_the_report_has_it_too(folder: Path, hashes: list[str]) -> None:
    document = scythe("report", "--json", cwd=folder).json("report")
    was, now = (one[:12] for one in hashes)
    assert document["head"]["source_hash"] == hashes[1]
    note = f"different code made the rows: {was} (generation 1, 2 rows), {now} (generation 2, 1 row)"
    assert note in document["notes"]


def test_another_run_of_the_latest_code_has_the_same_code(folder: Path, hashes: list[str]) -> None:
    done = scythe("allocate", "--bump", "keep", cwd=folder)
    assert (done.code, "has a run with other code" in done.err) == (0, False), done.err
    first, second = ("/".join(one.parts[-3:]) for one in runs(folder))
    document = json.loads(scythe("compare", first, second, "--json", cwd=folder).out)
    assert document["code"] == {"first": hashes[1], "second": hashes[1], "changed": []}
    assert [one["name"] for one in document["settings"]] == ["run.timeout"]
    assert document["notes"][0].startswith(f"different code made the rows of {first}: {hashes[0][:12]} (generation 1")


def test_reuse_says_which_rows_other_code_made(folder: Path, hashes: list[str]) -> None:
    was, now = (one[:12] for one in hashes)
    first = "/".join(runs(folder)[0].parts[-3:])
    done = scythe("allocate", "--reuse", first, "--dry-run", cwd=folder)
    note = f"2 specs of v1.0.0 ran with other code ({was} then, {now} now) and are not reused; --allow-changed-code"
    assert (done.code, note in done.err + done.out) == (0, True), done
    allowed = scythe("allocate", "--reuse", first, "--dry-run", "--allow-changed-code", cwd=folder)
    assert "ran with other code" not in allowed.err + allowed.out


def test_a_resume_that_is_refused_names_the_files(tmp_path: Path) -> None:
    folder = project(tmp_path, SPECS)
    assert scythe("allocate", cwd=folder).code == 1
    (folder / "doubles.py").write_text(FIXED)
    refused = scythe("allocate", "--resume", "doubles", cwd=folder)
    assert (refused.code, " now): doubles.py\nhint: " in refused.err) == (2, True), refused.err
