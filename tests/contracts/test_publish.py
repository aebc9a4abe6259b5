"""Final tables whose gather is killed: between any two steps, in a folder and on S3.

What can be read is always one gather's whole table, and the mark is there only for tables that are whole.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from scythe_cli.core import layout
from scythe_cli.core.layout import Mark
from scythe_cli.final_tables.publish import FinishedTable, mark_gathered, publish
from scythe_cli.operations.scan import final_tables
from scythe_cli.run.state import read_mark
from scythe_cli.storage.open_store import open_store

if TYPE_CHECKING:
    from scythe_cli.storage.base import Store

FRAME = "hourly"
STEPS = 40
"""More than any gather here has."""


class Killed(BaseException):
    """The process ends here."""


class Mortal:
    """A store that is used by a process which is killed before its n-th change."""

    def __init__(self, store: Store, steps: int) -> None:
        self._store = store
        self._left = steps
        self._lock = threading.Lock()

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)
        return self._counted(method) if name in ("write", "delete", "upload") else method

    def _counted(self, method: Any) -> Any:
        def change(*given: Any, **named: Any) -> Any:
            with self._lock:
                self._left -= 1
                if self._left < 0:
                    raise Killed
                return method(*given, **named)

        return change


def gather(store: Store, folder: Path, text: str, files: int) -> None:
    """Put tables in the store whose files say which gather they are from."""
    folder.mkdir(exist_ok=True)
    made = {}
    for name, n in ((layout.SCALARS, 1), (layout.ERRORS, 1), (FRAME, files)):
        paths = [folder / f"{name}-{at}" for at in range(n)]
        for path in paths:
            path.write_text(f"{text} {path.name}")
        made[name] = FinishedTable(paths, rows=files)
    publish(store, made, 1)
    mark_gathered(store, made, 1, about={"outputs": {}})


def expected(text: str, files: int) -> list[str]:
    return [f"{text} {FRAME}-{at}" for at in range(files)]


def readable(store: Store) -> list[str] | None:
    """What the files of the frame's table say; None where there is no table."""
    keys = final_tables(store).get(FRAME)
    return None if keys is None else [store.read(key).decode() for key in keys]


@pytest.fixture(params=["folder", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """An empty store."""
    address = tmp_path / "run" if request.param == "folder" else request.getfixturevalue("s3_storage")
    return open_store(address)


@pytest.mark.parametrize(("before", "after"), [(1, 3), (5, 3), (3, 1), (3, 3), (1, 1)])
def test_a_gather_that_is_killed_leaves_whole_tables_or_none(
    store: Store, tmp_path: Path, before: int, after: int
) -> None:
    old, new = expected("old", before), expected("new", after)
    for steps in range(STEPS):
        gather(store, tmp_path / "made", "old", before)
        try:
            gather(cast("Store", Mortal(store, steps)), tmp_path / "made", "new", after)
        except Killed:
            found = readable(store)
            assert found in (old, new, None), f"killed before change {steps + 1}"
            if read_mark(store, Mark.GATHERED, 1) is not None:
                assert found is not None
            gather(store, tmp_path / "made", "new", after)
        else:
            break
    else:
        pytest.fail("the gather did not end")
    assert readable(store) == new
    assert read_mark(store, Mark.GATHERED, 1) is not None
    keys = {entry.key for entry in store.list(layout.FINAL)}
    assert keys == {key for of_table in final_tables(store).values() for key in of_table}


def test_a_folder_without_its_first_file_is_no_table(store: Store) -> None:
    store.write(layout.final_part(FRAME, 1), b"x")
    store.write(layout.final("monthly"), b"x")
    assert final_tables(store) == {"monthly": [layout.final("monthly")]}
