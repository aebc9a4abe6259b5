"""A cache of input files for each test, in place of the machine's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from scythe_cli.storage import cache as cache_module
from scythe_cli.storage.cache import Cache

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    """A cache in the test's folder."""
    return Cache(tmp_path / "cache", 1 << 30)


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine's cache is in the test's folder, and what it has counts."""
    monkeypatch.setenv("SCYTHE_CACHE_DIR", str(tmp_path / "machine"))
    cache_module.revalidate_before(0.0)
