"""Specs whose lane sends outcomes all the time, and changes threads as often as it can."""

from __future__ import annotations

import os
import sys
import time

from trouble import Input, Output, fine, write_diary

from scythe_cli import ExperimentRegistry
from scythe_cli.lane import sender

if "SCYTHE_LANE_OF" in os.environ:
    sender.SEND_AFTER_SECONDS = 2e-4
    sys.setswitchinterval(1e-6)


@ExperimentRegistry.Register()
def work(spec: Input) -> Output:
    """Every seventh spec fails, every third takes a while."""
    write_diary(spec)
    if spec.sort_index % 3 == 0:
        time.sleep(3e-4)
    if spec.sort_index % 7 == 0:
        raise ValueError(spec.sort_index)
    return fine(spec)
