"""What a process of ours does before it imports libraries, so that it imports and starts only what it uses."""

from __future__ import annotations

from scythe_cli.libraries.blas_threads import one_blas_thread
from scythe_cli.libraries.late_pandas import defer_pandas


def lean_imports() -> None:
    """Import pandas only for who asks for it, and numpy with one thread. Before any other thread is started."""
    defer_pandas()
    one_blas_thread()
