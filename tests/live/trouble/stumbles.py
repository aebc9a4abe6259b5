"""Specs whose lane comes to grief when it hands over the outcomes of some: with an exception, or with its end."""

from __future__ import annotations

import os
import time
from typing import Any

from trouble import Input, Output, fine, write_diary

from scythe_cli import ExperimentRegistry
from scythe_cli.lane import encode
from scythe_cli.lane.pending import Pending

if "SCYTHE_LANE_OF" in os.environ:
    arrays = encode.Encoder._arrays

    def stumble(self: Any, pending: Pending, columns: Any) -> Any:
        """As the method does, but for batches that it cannot bear."""
        texts = {getattr(output, "text", None) for output in pending.outputs}
        if "raises" in texts:
            raise LookupError("no way to tell this")
        if "exits" in texts:
            os._exit(1)
        return arrays(self, pending, columns)

    encode.Encoder._arrays = stumble  # type: ignore[method-assign]  # an error that nobody has found yet


@ExperimentRegistry.Register()
def work(spec: Input) -> Output:
    """Every tenth spec has an output that its hand-over cannot bear."""
    write_diary(spec)
    time.sleep(spec.seconds)
    output = fine(spec)
    if spec.sort_index % 10 == 3:
        output.text = spec.trouble
    return output
