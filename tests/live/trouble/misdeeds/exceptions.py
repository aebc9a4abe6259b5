"""Misdeeds that raise."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import Any

from misdeeds.models import Input, fails


@fails("exception")
def raises(spec: Input, tempdir: Path) -> Any:
    raise ValueError("on purpose")


@fails("exception")
def raises_ten_megabytes(spec: Input, tempdir: Path) -> Any:
    raise ValueError("x" * 10_000_000)


class NoText(Exception):
    """Cannot be shown."""

    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


@fails("exception")
def raises_without_text(spec: Input, tempdir: Path) -> Any:
    raise NoText


class NoPickle(Exception):
    """Cannot be pickled."""

    def __init__(self, lock: object) -> None:
        super().__init__("not to be pickled")
        self.lock = lock

    def __reduce__(self) -> Any:
        raise TypeError("not to be pickled")


@fails("exception")
def raises_unpicklable(spec: Input, tempdir: Path) -> Any:
    raise NoPickle(threading.Lock())


@fails("exception")
def raises_of_a_class_with_a_long_name(spec: Input, tempdir: Path) -> Any:
    raise type("X" * 10_000_000, (Exception,), {})("on purpose")


class Text(str):
    """Cannot be written."""

    __slots__ = ()

    def encode(self, *_: object) -> bytes:
        raise RuntimeError("no bytes")


class WithText(Exception):
    """Its text is of a class of its own."""

    def __str__(self) -> str:
        return Text("on purpose")


@fails("exception")
def raises_with_text_of_its_own(spec: Input, tempdir: Path) -> Any:
    raise WithText


class NoName(type):
    """Classes that will not say what they are called."""

    @property
    def __name__(cls) -> str:  # type: ignore[override]  # the trouble
        raise RuntimeError("no name")


class Nameless(Exception, metaclass=NoName):
    """Nor what it is, nor where it was raised."""

    def __str__(self) -> Any:
        return 3  # noqa: PLE0307 - the trouble

    @property  # type: ignore[misc]  # the trouble
    def __class__(self) -> Any:
        raise RuntimeError("no class")

    @property
    def __traceback__(self) -> Any:  # type: ignore[override]  # the trouble
        raise RuntimeError("no traceback")


@fails("exception")
def raises_what_will_not_be_described(spec: Input, tempdir: Path) -> Any:
    raise Nameless


@fails("exception")
def raises_a_group(spec: Input, tempdir: Path) -> Any:
    raise ExceptionGroup("many", [ValueError(str(n)) for n in range(1000)])


@fails("exception")
def raises_surrogates(spec: Input, tempdir: Path) -> Any:
    raise ValueError("half a character: \ud800")


@fails("exception")
def raises_a_chain(spec: Input, tempdir: Path) -> Any:
    error: Exception = ValueError("first")
    for n in range(300):
        after = ValueError(str(n))
        after.__cause__ = error
        error = after
    raise error


@fails("exception")
def never_stops_calling(spec: Input, tempdir: Path) -> Any:
    return never_stops_calling(spec, tempdir)


@fails("exception")
def exits(spec: Input, tempdir: Path) -> Any:
    sys.exit(3)


@fails("exception")
def interrupts(spec: Input, tempdir: Path) -> Any:
    raise KeyboardInterrupt


@fails("exception")
def input_refused(spec: Input, tempdir: Path) -> Any:
    Input(seconds="long")
    return None
