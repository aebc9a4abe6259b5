"""A process tells whether lanes may be forked from it: real processes, each with another import behind it."""

from __future__ import annotations

import subprocess
import sys

import pytest

CHECK = "\nfrom scythe_cli.lane.fork_safety import reason_not_to_fork\nprint(reason_not_to_fork())"


def reason(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code + CHECK], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.parametrize(
    "code",
    [
        "import numpy as np; np.ones((500, 500)) @ np.ones((500, 500))",
        "import pandas as pd; pd.DataFrame({'a': [1] * 100_000}).to_parquet('/dev/null')",
        "import polars",
    ],
)
def test_what_survives_a_fork_is_no_obstacle(code: str) -> None:
    assert reason(code) == "None"


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (
            "import threading as t, time; t.Thread(target=time.sleep, args=(99,), daemon=True).start()",
            "Python thread",
        ),
        (
            "import _thread, time; _thread.start_new_thread(time.sleep, (9,)); time.sleep(0.1)",
            "starts threads",
        ),
        ("import polars as pl; pl.DataFrame({'a': [1, 2]}).group_by('a').len()", "polars"),
    ],
)
def test_what_does_not_survive_is_named(code: str, said: str) -> None:
    assert said in reason(code)
