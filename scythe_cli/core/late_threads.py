"""Lets a run that outlives the main script start threads, on the Pythons that refuse it.

CPython 3.12.0 to 3.12.2 refuse new threads from the moment the main script ends, although they wait for the threads
that still run (https://github.com/python/cpython/issues/113964). There, and only when Python refuses, the thread is
started by the C library; Python adopts it at its first call.
"""

from __future__ import annotations

import _thread
import ctypes
import sys
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_REFUSING = (3, 12, 0) <= sys.version_info[:3] <= (3, 12, 2)
_BODY = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)
_bodies: list[Any] = []
"""What C may still call: kept for the process's life."""


def allow_late_threads() -> None:
    """From now on, threads may be started until the last run of this process is over."""
    if _REFUSING:
        threading._start_new_thread = _start  # type: ignore[attr-defined]  # what Thread.start calls


def _start(function: Callable[..., object], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None) -> int:
    try:
        return _thread.start_new_thread(function, args, kwargs or {})
    except RuntimeError as exc:
        if "shutdown" not in str(exc):
            raise
    _start_in_c(lambda: function(*args, **(kwargs or {})))
    return 0


def _start_in_c(call: Callable[[], object]) -> None:
    def body(_: object) -> None:
        call()

    held = _BODY(body)
    _bodies.append(held)
    library, handle = ctypes.CDLL(None), ctypes.c_void_p()
    if code := library.pthread_create(ctypes.byref(handle), None, held, None):
        raise RuntimeError(f"can't start new thread: error {code}")
    library.pthread_detach(handle)
