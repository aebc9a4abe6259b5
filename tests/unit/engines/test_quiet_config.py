"""What the SDK logs becomes at most one line."""

from __future__ import annotations

import logging

import pytest

from scythe_cli.engines.hatchet.quiet_config import OneLine

FAILURE = RuntimeError("first line\nsecond line")


def record(level: int, message: str, *, error: BaseException | None = None) -> logging.LogRecord:
    about = (type(error), error, error.__traceback__) if error is not None else None
    return logging.LogRecord("hatchet", level, "file", 1, message, None, about)


def test_an_outage_is_one_line() -> None:
    handler = OneLine()
    lines = [
        handler.line_of(record(logging.WARNING, f"failed to send heartbeat ({n}): unavailable"), 1000.0 + 4 * n)
        for n in range(2, 5)
    ]
    lines += [handler.line_of(record(logging.ERROR, "failed heartbeat (5)", error=FAILURE), 1020.0)]
    told = [line for line in lines if line]
    assert len(told) == 1
    assert told[0].startswith("the engine does not answer since ")


def test_the_next_outage_is_told_again() -> None:
    handler = OneLine()
    missed = record(logging.WARNING, "failed to send heartbeat (2): unavailable")
    handler.line_of(missed, 1000.0)
    assert handler.line_of(record(logging.INFO, "action listener established"), 1010.0) == "the engine answers again"
    assert handler.line_of(missed, 1020.0) is not None


def test_an_error_is_one_line_without_its_traceback() -> None:
    line = OneLine().line_of(record(logging.ERROR, "could not start\nmore", error=FAILURE), 1.0)
    assert line == "Hatchet's SDK: could not start: RuntimeError: first line"


@pytest.mark.parametrize("level", [logging.INFO, logging.WARNING])
def test_the_rest_is_dropped(level: int) -> None:
    assert OneLine().line_of(record(level, "rx: start step run"), 1.0) is None
