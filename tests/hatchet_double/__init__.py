"""An in-process Hatchet engine for tests: real gRPC and REST, real workers, no database.

    with HatchetDouble() as engine:
        subprocess.Popen([...a worker...], env={**os.environ, **engine.env})

Input: what an unmodified hatchet-sdk 1.43 sends. Output: runs, tasks and workers to look at. The rules were read in the
engine's source (v0.104 and the SDK's newer protocol) and measured on a real one. README.md says how to use it
and how it differs from a real engine.
"""

from . import sdk  # noqa: F401  first, so that the SDK's import is quiet where warnings are errors
from .double import HatchetDouble
from .records import Run, Status, Task, Worker
from .settings import Settings
from .trouble import Trouble

__all__ = ["HatchetDouble", "Run", "Settings", "Status", "Task", "Trouble", "Worker"]
