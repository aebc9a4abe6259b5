"""Which run a RUN means, and which folders of a storage are names: also names with slashes, among folders of others."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from scythe_cli.core import layout
from scythe_cli.errors import NotFoundError
from scythe_cli.run import find
from scythe_cli.run.run import Manifest, write_manifest
from scythe_cli.storage.local import LocalStore

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

MOMENT = "2026-01-31_12-00-0{}"


class Counting(LocalStore):
    """A store that counts listings."""

    counts: Counter[str]

    def children(self, prefix: str = "") -> Sequence[str]:
        self.counts[prefix] += 1
        return super().children(prefix)


@pytest.fixture
def storage(tmp_path: Path) -> Counting:
    store = Counting(tmp_path)
    store.counts = Counter()
    for at, folder in enumerate(
        ["city/baseline/v1.0.0", "city/baseline/v1.10.0", "city/2024/v2.0.0", "plain/v1.0.0", "a/b/c/d/v1.0.0"]
    ):
        run_id = f"{folder}/{MOMENT.format(at)}"
        note = dict.fromkeys(("experiment_name", "input_artifacts", "io_spec", "specs_uri", "source_hash"), "x")
        note |= dict.fromkeys(("root_workflow_run_id", "entry_point", "python", "host", "place"), "x")
        lists: dict[str, list[str]] = {name: [] for name in ("index", "scalars", "files")}
        manifest = Manifest.model_validate(
            {"experiment_id": run_id, "created": datetime.now(UTC), "n_specs": 1, "block_size": layout.BLOCK}
            | {"workflow_run_id": None, "git_commit": None, "packages": {}, "engine": "local"}
            | note
            | lists
        )
        write_manifest(store.within(run_id), manifest)
    return store


@pytest.mark.parametrize(
    ("pattern", "name", "version"),
    [
        ("city/baseline", "city/baseline", "v1.10.0"),
        ("city/baseline/", "city/baseline", "v1.10.0"),
        ("city/baseline/v1", "city/baseline", "v1.10.0"),
        ("city/baseline/1.0", "city/baseline", "v1.0.0"),
        ("city/baseline/v1.0.0", "city/baseline", "v1.0.0"),
        (f"city/baseline/v1.0.0/{MOMENT.format(0)}", "city/baseline", "v1.0.0"),
        ("city/2024", "city/2024", "v2.0.0"),
        ("plain/v1", "plain", "v1.0.0"),
        ("a/b/c/d", "a/b/c/d", "v1.0.0"),
        ("a/b/c/d/v1.0", "a/b/c/d", "v1.0.0"),
    ],
)
def test_every_form_of_a_name_with_slashes(storage: Counting, pattern: str, name: str, version: str) -> None:
    run = find.find(storage, pattern)
    assert run.name == name
    assert str(run.version) == version


@pytest.mark.parametrize("pattern", ["city", "baseline", "city/baseline/v3", "a/b/c", "city/baseline/v1.0.0/x", ""])
def test_what_is_not_a_run_is_not_found(storage: Counting, pattern: str) -> None:
    with pytest.raises(NotFoundError, match="no run matches"):
        find.find(storage, pattern)


def test_a_name_that_is_nearly_right_is_proposed(storage: Counting) -> None:
    with pytest.raises(NotFoundError, match="Did you mean 'city/baseline'"):
        find.find(storage, "city/basline")


def test_a_run_is_found_without_looking_at_other_folders(storage: Counting) -> None:
    find.find(storage, "city/baseline")
    assert set(storage.counts) == {"city/baseline", "city/baseline/v1.10.0"}


def test_listing_stops_where_a_folder_has_versions(storage: Counting) -> None:
    assert find.names(storage) == ["a/b/c/d", "city/2024", "city/baseline", "plain"]
    assert not any(layout.is_run_time(prefix.rpartition("/")[2]) for prefix in storage.counts)
    assert "plain/v1.0.0" not in storage.counts


def test_latest_runs_of_all_names(storage: Counting) -> None:
    assert [run.name for run in find.latest(storage, 2)] == ["a/b/c/d", "plain"]
    assert [run.name for run in find.latest(storage, 9, only="city/baseline")] == ["city/baseline"] * 2


def test_a_thousand_foreign_folders_cost_a_listing_each(storage: Counting, tmp_path: Path) -> None:
    for at in range(1000):
        (tmp_path / f"foreign-{at}").mkdir()
        (tmp_path / f"foreign-{at}" / "data.txt").touch()
    assert find.names(storage) == ["a/b/c/d", "city/2024", "city/baseline", "plain"]
    assert storage.counts.total() < 1020


def test_deep_foreign_folders_do_not_cost_more_than_the_limit(storage: Counting, tmp_path: Path) -> None:
    for at in range(60):
        for below in range(60):
            (tmp_path / f"x{at}" / f"y{below}" / "z" / "deep" / "er").mkdir(parents=True)
    assert "plain" in find.names(storage)
    assert storage.counts.total() <= 1 + find.LISTINGS


def test_nothing_is_looked_for_below_four_folders(storage: Counting, tmp_path: Path) -> None:
    (tmp_path / "p/q/r/s/t/v1.0.0").mkdir(parents=True)
    assert "p/q/r/s/t" not in find.names(storage)
    assert "p/q/r/s/t" not in storage.counts


@pytest.mark.parametrize("name", ["a", "a/b", "city/base-line_2.0", "a/b/c/d", "2024", "v1"])
def test_good_names(name: str) -> None:
    assert layout.is_run_name(name)


@pytest.mark.parametrize(
    "name", ["", "/", "a/", "/a", "a//b", "a/../b", "a/.b", "a/b/c/d/e", "a/v1.0.0", "1.0.0", f"a/{MOMENT.format(1)}"]
)
def test_bad_names(name: str) -> None:
    assert not layout.is_run_name(name)
