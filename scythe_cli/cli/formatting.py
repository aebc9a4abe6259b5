"""Numbers, times and addresses for people. Input: values. Output: short text. Imports nothing heavy."""

from __future__ import annotations

from pathlib import Path

from scythe_cli.storage.address import is_remote


def counted(n: int, noun: str) -> str:
    """`1 spec`, `2,000 specs`."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def are(n: int, one: str = "is", many: str = "are") -> str:
    """The verb after `counted`: `1 spec is`, `2 specs are`."""
    return one if n == 1 else many


def duration(seconds: float) -> str:
    """`1.5 s`, `21 s`, `4 min 10 s`, `3 h 20 min`, `2 d 4 h`."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{whole} s"
    for size, unit, below, small in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            return f"{whole // size} {unit} {whole % size // below} {small}"
    return f"{whole} s"


def brief(seconds: float) -> str:
    """As `duration`, but `40 ms` or `12 us` below a second."""
    if seconds >= 0.95:
        return duration(seconds)
    return f"{seconds * 1e3:.0f} ms" if seconds >= 0.00095 else f"{seconds * 1e6:.0f} us"


def clock(seconds: float) -> str:
    """`0:00:21`, `27:03:00`: its width is constant, for a line that is redrawn."""
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"


def rate(value: float) -> str:
    """`1.2/s`, `42,000/s`, `3.1/min`, `2.5/h`."""
    if value >= 9.95:
        return f"{value:,.0f}/s"
    if value >= 0.1:
        return f"{value:.1f}/s"
    return f"{value * 60:.1f}/min" if value * 60 >= 0.1 else f"{value * 3600:.1f}/h"


def size(n_bytes: int) -> str:
    """`1 byte`, `512 bytes`, `6.1 MB`. As `rich.filesize.decimal`, without the import of rich."""
    if n_bytes < 1000:
        return "1 byte" if n_bytes == 1 else f"{n_bytes:,} bytes"
    value, units = n_bytes / 1000, iter(("kB", "MB", "GB", "TB", "PB"))
    unit = next(units)
    while value >= 999.95 and unit != "PB":
        value, unit = value / 1000, next(units)
    return f"{value:,.1f} {unit}"


def display_path(address: str | Path) -> str:
    """An address as one types it here: a path below the working folder becomes relative; others stay as they are."""
    try:
        return str(address) if is_remote(address) else str(Path(address).relative_to(Path.cwd()))
    except (ValueError, OSError):
        return str(address)


def cut(text: str, limit: int) -> str:
    """The first line, no longer than `limit` characters."""
    return shortened(text.strip().partition("\n")[0].rstrip(), limit)


def shortened(line: str, limit: int) -> str:
    """A line, no longer than `limit` characters."""
    return line if len(line) <= limit else line[: limit - 3].rstrip() + "..."
