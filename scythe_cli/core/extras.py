"""Libraries that are not installed with scythe itself: each belongs to an extra, which pip installs on request."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from scythe_cli.errors import ConfigError

LIBRARIES = {
    "SALib": "design",
    "openpyxl": "excel",
    "pandas": "pandas",
    "plotly": "report",
    "pyenergyplus": "energy",
    "scipy": "design",
    "xlsxwriter": "excel",
}
"""The extra that brings each library."""


def missing(library: str, purpose: str) -> str | None:
    """The sentence about a library of an extra that is not installed; None for a library of no extra."""
    extra = LIBRARIES.get(library)
    if extra is None:
        return None
    return f"{purpose} needs {library}, which is not installed: pip install 'scythe-runner[{extra}]'"


def load_extra(module: str, *, extra: str, purpose: str) -> Any:
    """Import a library of an extra.

    Args:
        module: its dotted name.
        extra: the extra of pyproject.toml that has it.
        purpose: what needs it, for the message.

    Raises:
        ConfigError: it is not installed; the message has the pip line.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as exc:
        library = module.partition(".")[0]
        if (exc.name or "").partition(".")[0] != library:
            raise
        raise ConfigError(
            f"{purpose} needs {library}, which is not installed: pip install 'scythe-runner[{extra}]'"
        ) from None
