"""Keeps numpy from starting a thread for each core in the processes of the commands.

numpy brings OpenBLAS, which starts its threads when it is loaded, and reads how many from the environment. The user's
code in these processes, as with `--inline`, has one thread then, as it has in the workers of a run.
"""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from scythe_cli.core.machine import THREAD_VARIABLES
from scythe_cli.libraries.import_hook import ImportHook

if TYPE_CHECKING:
    from collections.abc import Iterator

_VARIABLE = "OPENBLAS_NUM_THREADS"


def one_blas_thread() -> None:
    """Have numpy start with one thread when it is imported, unless the user's environment says how many.

    The environment is as before when numpy is imported: the processes that specs run in have settings of their own.
    """
    if "numpy" not in sys.modules:
        sys.meta_path.insert(0, ImportHook("numpy", during=_one_thread))


@contextmanager
def _one_thread() -> Iterator[None]:
    if set(THREAD_VARIABLES) & os.environ.keys():
        yield
        return
    os.environ[_VARIABLE] = "1"
    try:
        yield
    finally:
        if os.environ.get(_VARIABLE) == "1":
            del os.environ[_VARIABLE]
