"""`python -m scythe_cli`: the command, where no `scythe` is on the PATH."""

import os
import sys
from pathlib import Path

if __name__ == "__main__":
    here = os.getcwd()  # noqa: PTH109 - as Python writes it into the path
    if sys.path[:1] in (
        [
            "",
        ],
        [here],
    ) and Path(__file__).parents[1] != Path(here):
        del sys.path[0]  # as for `scythe`: a file of the current folder hides no library
    from scythe_cli.cli.app import main

    main()
