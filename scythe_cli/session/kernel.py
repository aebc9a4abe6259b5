"""Whether this process is the kernel of a notebook: Jupyter, JupyterLab, VS Code.

Input: what the process has imported. Output: yes or no, and the shell.
"""

from __future__ import annotations

import sys
from typing import Any


def kernel_shell() -> Any | None:
    """The IPython shell of a notebook's kernel; None in a script, at a prompt, and in IPython at a terminal."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell if shell is not None and type(shell).__name__ == "ZMQInteractiveShell" else None


def in_kernel() -> bool:
    """Whether there is a cell to draw in."""
    return kernel_shell() is not None
