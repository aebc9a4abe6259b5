"""The SDK's settings, quiet in every process they reach.

The SDK logs to stdout, which belongs to results, also in the listener process that it starts. That process is given
these settings. Unpickling them imports this module, and importing it replaces the SDK's log: an engine that does not
answer is one line on stderr, another error is one line, and the rest is dropped.
"""

from __future__ import annotations

import logging
import re
import sys
import time

from hatchet_sdk import ClientConfig
from hatchet_sdk.logger import logger

from scythe_cli.core.printable import printable

HEARTBEAT_SECONDS = 4.0
NEW_OUTAGE_SECONDS = 60.0
"""After so long without a missed heartbeat, the next one begins another outage."""
_MISSED = re.compile(r"heartbeat.*?\((\d+)\)")
_BACK = "action listener established"


class QuietConfig(ClientConfig):
    """`HATCHET_CLIENT_*`, and a silent SDK."""


class OneLine(logging.Handler):
    """One line for each outage of the engine and each error, without tracebacks."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self._last_missed = 0.0
        self._out = False

    def emit(self, record: logging.LogRecord) -> None:
        """Print the line of a record, if it has one."""
        line = self.line_of(record, time.time())
        if line is not None:
            print(printable(line, lines=True), file=sys.stderr, flush=True)

    def line_of(self, record: logging.LogRecord, now: float) -> str | None:
        """What a person should read of a record at a time; None for what says nothing new."""
        message = record.getMessage()
        if "heartbeat" in message and record.levelno >= logging.WARNING:
            return self._missed(message, now)
        if message == _BACK and self._out:
            self._out = False
            return "the engine answers again"
        if record.levelno < logging.ERROR or self._out:
            return None
        exc = record.exc_info[1] if record.exc_info else None
        why = f": {type(exc).__name__}: {str(exc).strip().partition(chr(10))[0]}" if exc is not None else ""
        return f"Hatchet's SDK: {message.strip().partition(chr(10))[0]}{why}"[:400]

    def _missed(self, message: str, now: float) -> str | None:
        if message.startswith("time since"):  # one was late and came
            return None
        found = _MISSED.search(message)
        missed = int(found[1]) if found else 1
        known = self._out and now - self._last_missed < NEW_OUTAGE_SECONDS
        self._out, self._last_missed = True, now
        since = time.strftime("%H:%M:%S", time.localtime(now - HEARTBEAT_SECONDS * missed))
        return None if known else f"the engine does not answer since {since}; what runs continues, and is kept"


def print_progress_to_stderr() -> None:
    """Have the SDK say on stderr what it does while it gets its embedded engine ready."""
    progress = logging.getLogger(f"{logger.name}.embedded")
    progress.handlers = [logging.StreamHandler(sys.stderr)]
    progress.propagate = False


logger.handlers = [OneLine()]
logger.setLevel(logging.INFO)
logger.propagate = False
