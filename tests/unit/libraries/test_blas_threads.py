"""Processes of the commands import numpy without a thread for each core, and change nobody's environment for it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from scythe_cli.core.machine import THREAD_VARIABLES, cores

pytestmark = pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="threads are counted in /proc")

NUMPY = """
import os, sys
from scythe_cli.libraries.blas_threads import one_blas_thread
one_blas_thread()
{then}
import numpy
from pathlib import Path
print(len(list(Path("/proc/self/task").iterdir())), os.environ.get("OPENBLAS_NUM_THREADS"))
"""


def says(then: str = "", **environment: str) -> list[str]:
    """What a fresh process prints that imports numpy."""
    given = {name: value for name, value in os.environ.items() if name not in THREAD_VARIABLES} | environment
    done = subprocess.run(
        [sys.executable, "-c", NUMPY.format(then=then)], capture_output=True, text=True, check=True, env=given
    )
    return done.stdout.split()


def test_numpy_starts_no_threads() -> None:
    threads, variable = says()
    assert threads == "1"
    assert variable == "None"


@pytest.mark.skipif(cores() < 2, reason="more threads than one need more cores")
def test_what_the_user_says_counts() -> None:
    threads, variable = says(OPENBLAS_NUM_THREADS="2")
    assert threads == "2"
    assert variable == "2"


def test_the_environment_is_as_before_where_the_import_fails() -> None:
    code = "try:\n    sys.modules['numpy._core'] = None\n    import numpy\n"
    code += "except ImportError:\n    print(os.environ.get('OPENBLAS_NUM_THREADS')); sys.exit()\n"
    assert says(code) == ["None"]


def test_an_import_that_failed_may_be_tried_again() -> None:
    code = "try:\n    sys.modules['numpy._core'] = None\n    import numpy\nexcept ImportError:\n"
    code += "    del sys.modules['numpy._core']\n"
    assert says(code) == ["1", "None"]
