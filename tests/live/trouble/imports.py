"""A module whose import is the trouble; `TROUBLE_IMPORT` says which. In the process that allocates it does nothing."""

from __future__ import annotations

import faulthandler
import os
import signal
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
if os.environ.get("TROUBLE_IMPORT") in ("deaf", "strange"):  # also where it is only looked at
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGALRM})
if HOW == "strange":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.alarm(1)
    faulthandler.dump_traceback_later(1, exit=True)
    os.closerange(0, 3)
    os.chdir("/")
    os.umask(0o777)
    os.environ.clear()
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
    if spec.trouble == "exits_hard":
        os._exit(0)
    if spec.trouble == "sleeps":
        time.sleep(3600)
    if HOW == "threads":
        assert threading.active_count() == 3
    if HOW == "polars":
        return fine(spec, free=float(pl.Series([1.0, 2.0]).sum()))
    return fine(spec)
