"""`scythe worker` with the patience of a test: `python hatchet_worker.py [arguments of scythe worker]`."""

from __future__ import annotations

import sys

if __name__ == "__main__":  # the SDK's listener process imports this file too, and needs none of it
    from scythe_cli.cli.app import run
    from scythe_cli.engines.hatchet.worker import leaf_task as hatchet_leaf
    from scythe_cli.engines.hatchet.worker import root_task as hatchet_root
    from scythe_cli.engines.hatchet.worker import serving as hatchet_tasks

    if sys.argv[1] == "--quick":
        hatchet_root.LOOK_SECONDS = 0.2
        hatchet_root.QUIET_SECONDS = 0.5
        hatchet_root.LOST_SECONDS = 1.0
        hatchet_root.STUCK_SECONDS = 1.0
        hatchet_root.LEASE_SECONDS = 0.2
        hatchet_tasks.SEEN_SECONDS = 0.5
        hatchet_tasks.DRAIN_SECONDS = 0.5
        hatchet_leaf.SHORT_LEAF = 0.5
        hatchet_leaf.PATIENCE_SECONDS = 1.0
    sys.exit(run(["worker", *sys.argv[2:]]))
