"""A module whose import is the trouble; `TROUBLE_IMPORT` says which. In the process that allocates it does nothing."""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path

from trouble import Input, Output, fine, write_diary

from scythe_cli import ExperimentRegistry

HOW = os.environ.get("TROUBLE_IMPORT", "") if "SCYTHE_LANE_OF" in os.environ else ""
if diary := os.environ.get("TROUBLE_IMPORTS"):
    with Path(diary).open("a") as file:
        file.write(f"{os.getpid()}\n")
if HOW == "fails":
    raise RuntimeError("only in the lane")
if HOW == "dies":
    print("the last words")
    sys.stdout.flush()
    os._exit(3)
if HOW == "hangs":
    time.sleep(3600)
if HOW == "slow":
    print("hello" * 100_000)
    time.sleep(1.5)
if HOW == "threads":
    threading.Thread(target=time.sleep, args=(3600,), daemon=True).start()
if HOW == "polars":
    import polars as pl

    pl.DataFrame({"a": [1, 2]}).group_by("a").len()


@ExperimentRegistry.Register()
def work(spec: Input) -> Output:
    """Use what was imported."""
    write_diary(spec)
    if HOW == "threads":
        assert threading.active_count() == 3
    if HOW == "polars":
        return fine(spec, free=float(pl.Series([1.0, 2.0]).sum()))
    return fine(spec)
