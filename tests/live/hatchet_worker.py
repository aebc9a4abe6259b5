"""`scythe worker` with the patience of a test: `python hatchet_worker.py [arguments of scythe worker]`."""

from __future__ import annotations

import sys

if __name__ == "__main__":  # the SDK's listener process imports this file too, and needs none of it
    from scythe_cli.cli.app import run
    from scythe_cli.engines.hatchet.worker import leaf_task, root_task, worker_context

    if sys.argv[1] == "--quick":
        root_task.LOOK_SECONDS = 0.2
        root_task.QUIET_SECONDS = 0.5
        root_task.LOST_SECONDS = 1.0
        root_task.STUCK_SECONDS = 1.0
        root_task.LEASE_SECONDS = 0.2
        worker_context.SEEN_SECONDS = 0.5
        worker_context.DRAIN_SECONDS = 0.5
        leaf_task.SHORT_LEAF = 0.5
        leaf_task.PATIENCE_SECONDS = 1.0
    sys.exit(run(["worker", *sys.argv[2:]]))
