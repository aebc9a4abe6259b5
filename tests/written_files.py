"""Small text files that a test writes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def make(folder: Path, contents: dict[str, str]) -> list[Path]:
    """Files by name with their text, and their paths in that order."""
    for name, content in contents.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return [folder / name for name in contents]
