"""What is looked at between two quick specs, and what only after a call that changes the interpreter."""

from __future__ import annotations

import subprocess
import sys

CODE = """
import os
from scythe_cli.core.clock import Clock
from scythe_cli.lane import process_state, python_state

class Capture:
    fd = 1
    def restore(self): ...
    def restore_input(self): ...
    def take(self): ...

python_state.watch_changes()
state = process_state.ProcessState(Capture())
whole = []
state._python_state.restore = lambda: whole.append(1)
now = Clock.monotonic()
for at in range(100):
    assert state.restore(1e-6, now + at) is None
print(len(whole))
os.umask(os.umask(0o022))
state.restore(1e-6, now)
print(len(whole))
"""


def test_the_whole_interpreter_is_put_right_only_after_a_call_that_changes_it() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["0", "1"], done.stderr
