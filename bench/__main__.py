"""Runs the measurements: all of them, or those named; then prints one table of all results.

python -m bench [startup quick validate gather frames frame_shapes uneven wide trivial where many crash ...]
python -m bench --table      prints the table of the last results, and writes it into docs/performance.md
"""

from __future__ import annotations

import sys
from importlib import import_module

from bench.results_table import print_table, write_page

ALL = (
    *("startup", "quick", "validate", "gather", "frames", "frame_shapes", "large_frames", "uneven", "wide"),
    *("trivial", "where", "many", "second_run", "crash", "s3", "shared", "energy"),
)


def main(names: list[str]) -> int:
    """Run them one after the other; nothing else should run on the machine. Returns 1 where a target was missed."""
    for name in () if names == ["--table"] else names or ALL:
        print(f"\n{name}: {(import_module(f'bench.{name}').__doc__ or '').strip().splitlines()[0]}", flush=True)
        import_module(f"bench.{name}").main()
    write_page()
    return 1 if print_table() else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
