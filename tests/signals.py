"""How a process is started, for the signals that it inherits."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def inherited(number: signal.Signals, how: signal.Handlers) -> Iterator[None]:
    """What starts in the block ignores a signal or does not, whatever the tests do themselves: `nohup` may run them."""
    before = signal.signal(number, how)
    try:
        yield
    finally:
        signal.signal(number, before)
