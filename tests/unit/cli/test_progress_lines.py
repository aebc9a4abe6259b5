"""Lines of progress: one a minute and one at each tenth, with time, counts, rate and ETA."""

import re

import pytest

from scythe_cli.cli.progress import Terminal
from scythe_cli.cli.progress_lines import ProgressLines
from scythe_cli.core.events import LeafFinished, Progress

MOMENT = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d  "


def said(events: list[tuple[float, Progress]]) -> list[str]:
    lines = ProgressLines(0.0)
    found = [lines.line(event, now) for now, event in events]
    assert all(line is None or re.match(MOMENT, line) for line in found)
    return [re.sub(MOMENT, "", line) for line in found if line is not None]


def test_a_line_at_each_tenth_and_at_the_end() -> None:
    assert said([(float(at), Progress(at, at // 30, 100)) for at in range(101)])[::3] == [
        "10/100 (10%)  0 failed  1.0/s  ETA 0:01:30",
        "40/100 (40%)  1 failed  1.0/s  ETA 0:01:00",
        "70/100 (70%)  2 failed  1.0/s  ETA 0:00:30",
        "100/100 (100%)  3 failed  1.0/s  in 0:01:40",
    ]


def test_a_line_each_minute_also_when_nothing_ends() -> None:
    lines = said([(float(at), Progress(0 if at < 100 else 2, 0, 1000)) for at in range(0, 200, 10)])
    assert lines == [
        "0/1,000 (0%)  0 failed",
        "2/1,000 (0%)  0 failed  1.0/min  ETA 16:38:00",
        "2/1,000 (0%)  0 failed  0.7/min  ETA 24:57:00",
    ]


def test_a_run_that_is_over_at_once_has_none() -> None:
    assert said([(0.1, Progress(0, 0, 5)), (0.2, Progress(3, 0, 5)), (0.3, Progress(5, 0, 5))]) == []


def test_a_script_has_lines_after_a_minute_only() -> None:
    lines = ProgressLines(0.0, quiet=60.0)
    found = [lines.line(Progress(at, 0, 100), float(at)) for at in range(101)]
    assert [at for at, line in enumerate(found) if line is not None] == [60, 70, 80, 90, 100]


def test_what_was_finished_before_is_neither_news_nor_speed() -> None:
    assert said([(0.0, Progress(50, 0, 100)), (10.0, Progress(55, 0, 100)), (20.0, Progress(60, 0, 100))]) == [
        "60/100 (60%)  0 failed  0.5/s  ETA 0:01:20"
    ]


def test_nothing_is_said_of_the_end_while_nobody_can_run_a_spec() -> None:
    assert said([(0.0, Progress(0, 0, 10)), (5.0, Progress(1, 0, 10)), (65.0, Progress(1, 0, 10, stalled=True))]) == [
        "1/10 (10%)  0 failed"
    ]


def test_a_leaf_says_what_it_gave_back(capsys: pytest.CaptureFixture[str]) -> None:
    terminal = Terminal()
    for left in (0, 1):
        terminal(LeafFinished("walls/v1.0.0/2026-01-31_12-00-00", 8, 8, 0, 32.0, left))
    whole, part = capsys.readouterr().err.splitlines()
    assert whole == "walls/v1.0.0/2026-01-31_12-00-00  specs 8-8  0 failures  32 s"
    assert part == f"{whole}  1 given back without a result"
