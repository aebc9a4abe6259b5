"""Runs the measurements: all of them, or those named.

python -m bench [trivial validate gather frames frame_shapes uneven wide startup energy crash s3 second_run]
"""

from __future__ import annotations

import sys
from importlib import import_module

ALL = (
    *("startup", "validate", "gather", "frames", "frame_shapes", "uneven", "wide", "trivial", "second_run", "crash"),
    *("s3", "energy"),
)


def main(names: list[str]) -> None:
    """Run them one after the other; nothing else should run on the machine."""
    for name in names or ALL:
        print(f"\n{name}: {(import_module(f'bench.{name}').__doc__ or '').strip().splitlines()[0]}", flush=True)
        import_module(f"bench.{name}").main()


if __name__ == "__main__":
    main(sys.argv[1:])
