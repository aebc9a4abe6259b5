"""What the supervisor keeps of what a spec prints."""

from __future__ import annotations

import os
import tempfile
from typing import TYPE_CHECKING

import pytest

from scythe_cli.run.outcomes import LOG_LIMIT
from scythe_cli.supervisor.captured_output import CAPTURE_BYTES, CapturedOutput, RunningRow

if TYPE_CHECKING:
    from collections.abc import Iterator

FIRST, SECOND = RunningRow(1, 5.0), RunningRow(2, 6.0)


@pytest.fixture
def file() -> Iterator[tuple[int, CapturedOutput]]:
    with tempfile.TemporaryFile() as held:
        yield held.fileno(), CapturedOutput(held.fileno())


def test_a_short_text_is_whole(file: tuple[int, CapturedOutput]) -> None:
    os.write(file[0], b"hello")
    assert file[1].text(FIRST) == "hello"


def test_a_long_text_keeps_head_and_tail(file: tuple[int, CapturedOutput]) -> None:
    os.write(file[0], b"head" + b"x" * 2 * LOG_LIMIT + b"tail")
    text = file[1].text(FIRST)
    assert text.startswith("headx")
    assert text.endswith("xtail")
    assert len(text.encode()) <= LOG_LIMIT
    assert "bytes left out" in text


def test_the_file_stays_small(file: tuple[int, CapturedOutput]) -> None:
    os.pwrite(file[0], b"head" + b"x" * CAPTURE_BYTES, 0)
    file[1].bound(FIRST)
    assert os.fstat(file[0]).st_size == 0


def test_what_was_dropped_is_counted(file: tuple[int, CapturedOutput]) -> None:
    os.pwrite(file[0], b"head" + b"x" * CAPTURE_BYTES, 0)
    file[1].bound(FIRST)
    os.pwrite(file[0], b"the end", 0)
    text = file[1].text(FIRST)
    assert text.startswith("head")
    assert text.endswith("the end")
    assert f"{4 + CAPTURE_BYTES + 7 - LOG_LIMIT:,} bytes left out" in text


def test_the_next_spec_has_nothing_of_it(file: tuple[int, CapturedOutput]) -> None:
    os.pwrite(file[0], b"head" + b"x" * CAPTURE_BYTES, 0)
    file[1].bound(FIRST)
    os.pwrite(file[0], b"mine", 0)
    assert file[1].text(SECOND) == "mine"


def test_a_stack_is_found_at_the_end(file: tuple[int, CapturedOutput]) -> None:
    os.write(file[0], b"hello" * LOG_LIMIT)
    assert not file[1].has_stack()
    os.write(file[0], b'Current thread 0x00007f (most recent call first):\n  File "a.py", line 1 in sleeps\n')
    assert file[1].has_stack()
