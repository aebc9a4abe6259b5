"""A large run is gathered in a process of its own, with the same tables and the same errors."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from fleet import Fleet, begin, plots

from scythe_cli.engines.generation import gather_process
from scythe_cli.engines.local import LocalEngine
from scythe_cli.errors import EngineError, NotFinishedError
from scythe_cli.operations.gather import gather

if TYPE_CHECKING:
    from pathlib import Path

    from scythe_cli.run.engine import Work


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Work:
    monkeypatch.setattr(gather_process, "LARGE_BYTES", 1)
    return begin(Fleet(tmp_path, {}), plots(5), engine="local")


def test_its_report_is_that_of_a_gather_here(work: Work) -> None:
    with closing(LocalEngine(1).submit(work)) as ticket:
        ticket.wait(lambda _: None)
    assert gather_process.gather_apart(work.run) == gather(work.run)


def test_it_imports_no_pandas(work: Work, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    with closing(LocalEngine(1).submit(work)) as ticket:
        ticket.wait(lambda _: None)
    monkeypatch.setenv("PYTHONPROFILEIMPORTTIME", "1")
    gather_process.gather_apart(work.run)
    imported = {line.rpartition("|")[2].strip() for line in capfd.readouterr().err.splitlines()}
    assert "pyarrow" in imported
    assert "pandas.core" not in imported  # pyarrow looks for pandas, in vain


def test_its_error_is_raised_here(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gather_process, "_is_large", lambda _: True)
    with pytest.raises(NotFinishedError, match="5 of 5 specs have no outcome yet"):
        gather_process.gather_apart(work.run)


def test_a_process_that_ends_without_a_word_is_an_error(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(LocalEngine(1).submit(work)) as ticket:
        ticket.wait(lambda _: None)
    monkeypatch.setattr("sys.executable", "/bin/false")
    with pytest.raises(EngineError, match="ended with"):
        gather_process.gather_apart(work.run)
