"""Python's clocks as they were before any user code ran.

Imported before the user's module. What freezes time for a test replaces the clocks in every module it finds, and is not
always undone; it does not look into classes, so the ones that our time limits and measures use are in a class.
"""

from __future__ import annotations

import time
from typing import NoReturn


class Clock:
    """The functions of `time` that scythe counts on."""

    monotonic = time.monotonic
    monotonic_ns = time.monotonic_ns
    perf_counter = time.perf_counter
    sleep = time.sleep
    time = time.time


def sleep_until_killed() -> NoReturn:
    """For a process that is about to be killed and must not report anything until then."""
    while True:
        Clock.sleep(60)
