"""Calls that may wait for a store, a few at a time, whose results come in their order."""

from __future__ import annotations

import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_T = TypeVar("_T")

LATE_SECONDS = 0.02
"""Waiting so long for a result means that the store is slow. On a local disk more threads than cores only disturb."""
AHEAD = 2
"""Calls that are begun at any store before they are asked for."""


def in_turn(function: Callable[..., _T], calls: Iterable[tuple[Any, ...]], *, threads: int) -> Iterator[_T]:
    """What the calls return, in their order.

    Args:
        function: called with each of `calls`.
        calls: the arguments, taken when there is room.
        threads: the most calls at a time, where they are slow.
    """
    pool = ThreadPoolExecutor(threads, "scythe-reuse")
    begun: deque[Future[_T]] = deque()
    ahead = AHEAD
    try:
        for arguments in calls:
            begun.append(pool.submit(function, *arguments))
            if len(begun) > ahead:
                since = time.monotonic()
                found = begun.popleft().result()
                ahead += 1 if time.monotonic() - since > LATE_SECONDS else -1
                ahead = max(AHEAD, min(ahead, 2 * threads))
                yield found
        while begun:
            yield begun.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
