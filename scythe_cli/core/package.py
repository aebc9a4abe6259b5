"""Where this package is: its own frames are left out of users' tracebacks, its modules out of their source hash."""

from pathlib import Path

ROOT = str(Path(__file__).parents[1])
