"""The input files that a run keeps: their names, there and back."""

from __future__ import annotations

import hashlib
import os
import stat
import string
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from servers import BUCKET
from written_files import make

from scythe_cli import errors
from scythe_cli.storage import artifacts, file_names, references
from scythe_cli.storage.cache import Cache
from scythe_cli.storage.local import LocalStore
from scythe_cli.storage.open_store import open_store

if TYPE_CHECKING:
    from servers import FaultProxy, WebServer

pytestmark = pytest.mark.usefixtures("own_cache")


class TestPlan:
    """`plan_uploads`."""

    def test_one_object_for_each_field_name_and_content(self, tmp_path: Path) -> None:
        a, b, c, d = make(tmp_path, {"1/w.epw": "A", "2/w.epw": "A", "3/w.epw": "B", "4/v.epw": "A"})
        plan = artifacts.plan_uploads({"weather": [a, b, c, d, a, a], "other": [a]})
        assert [upload.key for upload in plan.uploads] == [
            "artifacts/weather/w.epw",
            f"artifacts/weather/w-{hashlib.sha256(b'B').hexdigest()[:8]}.epw",
            "artifacts/weather/v.epw",
            "artifacts/other/w.epw",
        ]
        assert plan.keys["weather", a] == plan.keys["weather", b] != plan.keys["weather", c]
        assert [(upload.source, upload.size, upload.sha256) for upload in plan.uploads][:1] == [
            (a, 1, hashlib.sha256(b"A").hexdigest())
        ]

    def test_all_suffixes_stay(self, tmp_path: Path) -> None:
        plan = artifacts.plan_uploads(
            {"f": make(tmp_path, {"1/x.csv.gz": "A", "2/x.csv.gz": "B", "1/.rc": "A", "2/.rc": "B"})}
        )
        names = [Path(upload.key).name for upload in plan.uploads]
        assert [name.replace(hashlib.sha256(b"B").hexdigest()[:8], "#") for name in names] == [
            "x.csv.gz",
            "x-#.csv.gz",
            ".rc",
            ".rc-#",
        ]

    def test_names_that_some_disks_take_for_one(self, tmp_path: Path) -> None:
        plan = artifacts.plan_uploads(
            {"f": make(tmp_path, {"1/A.epw": "A", "2/a.epw": "B", "3/\u00e9": "C", "4/e\u0301": "D"})}
        )
        assert len({upload.key.casefold() for upload in plan.uploads}) == 4

    def test_an_unreadable_file_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(errors.InputFileError, match=r"cannot read .*nope\.epw: No such file"):
            artifacts.plan_uploads({"f": [tmp_path / "nope.epw"]})

    @given(st.lists(st.tuples(st.text(min_size=1, max_size=30), st.binary(max_size=3)), max_size=12))
    def test_the_function_sees_the_original_name(self, given: list[tuple[str, bytes]]) -> None:
        taken: dict[str, str] = {}
        keys: dict[str, bytes] = {}
        for name, content in given:
            if name in {".", ".."} or "/" in name or "\0" in name or any("\ud800" <= c <= "\udfff" for c in name):
                continue
            key = file_names.encode(name, hashlib.sha256(content).hexdigest(), taken)
            assert keys.setdefault(key, content) == content
            assert original(key, content) == name

    def test_a_name_that_brings_its_own_hash_keeps_it(self, tmp_path: Path) -> None:
        digest = hashlib.sha256(b"A").hexdigest()[:8]
        for name in (f"x-{digest}.epw", f"x-{digest}", f"x-{digest}-{digest}.csv.gz"):
            key = file_names.encode(name, hashlib.sha256(b"A").hexdigest(), {})
            assert key != name
            assert original(key, b"A") == name

    def test_long_names_are_shortened_not_refused(self, tmp_path: Path) -> None:
        (path,) = make(tmp_path, {"ü" * 120 + ".epw": "A"})
        (upload,) = artifacts.plan_uploads({"f": [path]}).uploads
        assert len(Path(upload.key).name.encode()) <= 200
        assert upload.key.endswith("ü.epw")


def original(key: str, content: bytes) -> str:
    """The original name, asked with a file as `fetch_artifact` does."""
    import tempfile

    with tempfile.NamedTemporaryFile() as file:
        file.write(content)
        file.flush()
        return artifacts.original_name(key, Path(file.name))


STRANGE = [
    "a b.epw",
    "ü é.epw",
    "-rf",
    "100%.txt",
    ".partial-1",
    "a\nb",
    "x.tar.gz",
    string.punctuation.replace("/", ""),
]


class TestArtifacts:
    """There and back: `send`, `fetch_artifact`."""

    @pytest.mark.parametrize("where", ["folder", "s3"])
    def test_names_and_contents_come_back(self, where: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
        address = str(tmp_path / "run") if where == "folder" else request.getfixturevalue("s3_storage")
        run = open_store(address)
        paths = make(tmp_path, {f"{folder}/{name}": folder for folder in "12" for name in STRANGE})
        plan = artifacts.plan_uploads({"f": paths})
        sent: list[int] = []
        artifacts.send(run, plan.uploads, on_bytes=sent.append)
        assert sum(sent) == len(paths)
        for path in paths:
            got = artifacts.fetch_artifact(run, plan.keys["f", path])
            assert got.name == path.name
            assert got.read_text() == path.parent.name

    def test_what_a_run_holds_is_asked_for_once(self, s3_proxy: FaultProxy, tmp_path: Path) -> None:
        run = open_store(f"s3://{BUCKET}/once/{os.getpid()}")
        run.write("artifacts/f/x", b"1")
        s3_proxy.counts.clear()
        for _ in range(5):
            artifacts.fetch_artifact(run, "artifacts/f/x")
        assert s3_proxy.counts == {"GET": 1}

    def test_the_first_failure_stops_the_rest(self, tmp_path: Path) -> None:
        paths = make(tmp_path, {str(number): str(number) for number in range(100)})
        plan = artifacts.plan_uploads({"f": paths})
        paths[3].unlink()
        run = LocalStore(tmp_path / "run")
        with pytest.raises(errors.InputFileError, match=r"cannot read .*3: No such file"):
            artifacts.send(run, plan.uploads, workers=2)
        assert len(list(run.list())) < 99

    def test_the_run_may_have_moved(self) -> None:
        run = "energy/v1.0.0/2026-01-31_12-00-00"
        assert artifacts.artifact_key(f"/old/place/{run}/artifacts/f/x.epw", run) == "artifacts/f/x.epw"
        assert artifacts.artifact_key(f"s3://b/p/{run}/artifacts/f/x", run) == "artifacts/f/x"
        for other in ("/elsewhere/x.epw", f"s3://b/{run}/results/f/x", "https://a.b/artifacts/f/x"):
            assert artifacts.artifact_key(other, run) is None

    def test_a_copy_is_the_functions_own(self, cache: Cache, web_server: WebServer, tmp_path: Path) -> None:
        web_server.pages["/x.epw"] = b"1"
        fetched = references.fetch(f"{web_server.url}/x.epw", cache=cache)
        assert not fetched.stat().st_mode & stat.S_IWUSR
        first, second = (references.copy_to(fetched, tmp_path / "temp") for _ in range(2))
        first.write_bytes(b"changed")
        assert first != second
        assert first.name == second.name == "x.epw"
        assert fetched.read_bytes() == second.read_bytes() == b"1"
