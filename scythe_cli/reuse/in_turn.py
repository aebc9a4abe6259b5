"""Calls that may wait for a store, a few at a time, whose results come in their order."""

from __future__ import annotations

import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable

_T = TypeVar("_T")

LATE_SECONDS = 0.02
"""A call that waits so long, and longer than it computes, is at a slow store: more of them at a time are quicker. At a
local disk more threads than cores only disturb each other."""
FEW = 2
"""Calls at a time at a store that is not slow."""


def in_turn(
    function: Callable[..., _T], calls: Iterable[tuple[Any, ...]], *, threads: int
) -> Generator[_T, None, None]:
    """What the calls return, in their order.

    Args:
        function: called with each of `calls`.
        calls: the arguments, taken when there is room.
        threads: the most calls at a time, and the most results that wait.
    """

    def timed(*arguments: Any) -> tuple[_T, bool]:
        began, computed = time.monotonic(), time.thread_time()
        result = function(*arguments)
        computed = time.thread_time() - computed
        return result, time.monotonic() - began - computed > max(LATE_SECONDS, computed)

    pool = ThreadPoolExecutor(threads, "scythe-reuse")
    begun: deque[Future[tuple[_T, bool]]] = deque()
    few = ahead = min(FEW, threads)
    try:
        for arguments in calls:
            begun.append(pool.submit(timed, *arguments))
            if len(begun) > ahead:
                result, is_late = begun.popleft().result()
                ahead = min(ahead + 1, threads) if is_late else max(few, ahead - 1)
                yield result
        while begun:
            yield begun.popleft().result()[0]
    finally:
        pool.shutdown(cancel_futures=True)
