"""What a spec can change in the interpreter: handlers, timers, filters, limits, options of libraries.

Input: what they were before the first spec. Output: the same after each spec. To compare everything would cost more
than a quick spec takes. So Python's own functions are wrapped before the user's module is imported: a call of one marks
the process, and a marked process is put right. What is cheap to compare is compared after each spec. What Python keeps
in context variables (numpy's errors, newer libraries' options) each spec has for itself: it runs in a copy of them.
"""

from __future__ import annotations

import decimal
import faulthandler
import functools
import gc
import importlib
import locale
import os
import resource
import signal
import socket
import sys
import threading
import time
import warnings
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Callable

_signal: Any = importlib.import_module("_signal")
_WATCHED: tuple[tuple[Any, tuple[str, ...]], ...] = (
    (_signal, ("signal", "pthread_sigmask", "set_wakeup_fd", "siginterrupt")),
    (signal, ("setitimer", "alarm", "set_wakeup_fd", "siginterrupt")),
    (os, ("umask", "nice", "setpriority", "chdir", "fchdir")),
    (os, ("putenv", "unsetenv")),  # os.environ calls them
    (os, ("sched_setaffinity",)),
    (threading, ("stack_size",)),
    (resource, ("setrlimit",)),
    (locale, ("_setlocale",)),
    (gc, ("disable", "enable", "set_threshold", "set_debug")),
    (sys, ("setrecursionlimit", "setswitchinterval", "settrace", "setprofile", "set_int_max_str_digits")),
    (time, ("tzset",)),
    (socket, ("setdefaulttimeout",)),
    (faulthandler, ("dump_traceback_later", "disable", "register", "unregister")),
)
"""What marks the process when it is called, in the modules where both Python's own code and the user's find it."""


class Marks:
    """Whether something was called since the process was last put right."""

    changed: ClassVar[bool] = False


def watch_changes() -> None:
    """From now on, calls of what changes the interpreter mark the process, also where a module takes them by name."""
    for module, names in _WATCHED:
        for name in names:
            function = getattr(module, name, None)
            if function is not None and "scythe_marks" not in getattr(function, "__dict__", {}):
                setattr(module, name, _marking(function))


def _marking(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def marking(*args: Any, **kwargs: Any) -> Any:
        Marks.changed = True
        return function(*args, **kwargs)

    vars(marking)["scythe_marks"] = True
    return marking


class _DecimalContext(decimal.Context):
    """A context of decimal arithmetic that marks the process when it is changed."""

    def __setattr__(self, name: str, value: object) -> None:
        Marks.changed = True
        super().__setattr__(name, value)


class _Options(dict[str, Any]):
    """A group of pandas' options that marks the process when one is set."""

    def __setitem__(self, key: str, value: Any) -> None:
        Marks.changed = True
        super().__setitem__(key, value)


class PythonState:
    """What the interpreter looked like before the first spec."""

    def __init__(self) -> None:
        self._filters: Any = warnings.filters
        self._shown = [*warnings.filters]
        self._recursion = sys.getrecursionlimit()
        self._switch = sys.getswitchinterval()
        self._collects = gc.isenabled()
        self._thresholds = gc.get_threshold()
        self._locale = locale.setlocale(locale.LC_ALL)
        self._timeout = socket.getdefaulttimeout()
        self._stack = threading.stack_size()
        self._digits = sys.get_int_max_str_digits()
        self._argv = sys.argv
        self._arguments = [*sys.argv]
        self._start_method = _start_method()
        self._loops = _loop_policy()
        self._decimal = decimal.getcontext().copy()
        self._set_decimal()
        self._numpy = self._numpy_errors()
        self._pandas: dict[str, Any] | None = None
        self._watch_pandas(late=False)
        Marks.changed = False

    def restore_quickly(self) -> None:
        """After each spec: what shows without a call, and is cheap to look at."""
        if warnings.filters is not self._filters or self._filters != self._shown:
            self._filters[:] = self._shown
            warnings.filters = self._filters
            _forget_warnings_seen()

        if sys.argv is not self._argv or sys.argv != self._arguments:
            self._argv[:] = self._arguments
            sys.argv = self._argv

    def restore_modules(self) -> None:
        """How multiprocessing starts processes; that asyncio has had its loop, after which it makes no other."""
        context: Any = sys.modules.get("multiprocessing.context")  # which a spec may have removed
        if context is not None and _start_method() is not self._start_method:
            context._default_context._actual_context = self._start_method
        events: Any = sys.modules.get("asyncio.events")
        if events is not None and _loop_policy() is not self._loops:
            events._event_loop_policy = self._loops

    def restore(self) -> None:
        """What a spec changed by a call, but signals and what the kernel keeps."""
        sys.setrecursionlimit(self._recursion)
        sys.setswitchinterval(self._switch)
        (gc.enable if self._collects else gc.disable)()
        gc.set_threshold(*self._thresholds)
        gc.set_debug(0)
        signal.set_wakeup_fd(-1)
        socket.setdefaulttimeout(self._timeout)
        threading.stack_size(self._stack)
        sys.set_int_max_str_digits(self._digits)
        if locale.setlocale(locale.LC_ALL) != self._locale:
            locale.setlocale(locale.LC_ALL, self._locale)
        self._set_decimal()
        self._restore_pandas()

    def restore_slowly(self) -> None:
        """What no call shows and takes long to look at."""
        if self._context.traps != self._decimal.traps or self._context.prec != self._decimal.prec:
            self._set_decimal()
        if (errors := self._numpy) is not None and self._numpy_errors() != errors:
            sys.modules["numpy"].seterr(**errors)
        if self._pandas is None:
            self._watch_pandas(late=True)
            self._restore_pandas()

    def _set_decimal(self) -> None:
        saved = self._decimal
        self._context = _DecimalContext(
            saved.prec, saved.rounding, saved.Emin, saved.Emax, saved.capitals, saved.clamp, [], [*_trapped(saved)]
        )
        decimal.setcontext(self._context)

    @staticmethod
    def _numpy_errors() -> dict[str, Any] | None:
        """How numpy treats errors: before version 2, one setting for the whole thread."""
        numpy = sys.modules.get("numpy")
        return None if numpy is None else dict(numpy.geterr())

    def _watch_pandas(self, *, late: bool) -> None:
        """Note pandas' options. Where a spec has imported it, and may have set some, the defaults count."""
        config = sys.modules.get("pandas._config.config")
        if self._pandas is not None or config is None or not hasattr(config, "_registered_options"):
            return
        known = config._registered_options
        self._pandas = {key: known[key].defval if late else config.get_option(key) for key in known}
        groups = config._global_config
        groups.update({key: _watched(value) for key, value in groups.items() if isinstance(value, dict)})

    def _restore_pandas(self) -> None:
        config = sys.modules.get("pandas._config.config")
        if config is None or self._pandas is None:
            return
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # some options are deprecated
            for key, value in self._pandas.items():
                if config.get_option(key) != value:
                    config.set_option(key, value)


def _start_method() -> Any:
    """How multiprocessing starts processes; None until somebody has asked or said."""
    found = getattr(sys.modules.get("multiprocessing.context"), "_default_context", None)
    return getattr(found, "_actual_context", None)


def _loop_policy() -> Any:
    """What asyncio has its loops from; None until somebody has asked."""
    return getattr(sys.modules.get("asyncio.events"), "_event_loop_policy", None)


def _trapped(context: decimal.Context) -> list[Any]:
    return [kind for kind, trapped in context.traps.items() if trapped]


def _watched(group: dict[str, Any]) -> _Options:
    return _Options({key: _watched(value) if isinstance(value, dict) else value for key, value in group.items()})


def _forget_warnings_seen() -> None:
    """What `simplefilter` calls after it has changed the filters; Python 3.14 has another name for it."""
    for name in ("_filters_mutated", "_filters_mutated_lock_held"):
        if (mutated := getattr(warnings, name, None)) is not None:
            mutated()
            return
