"""The run that a lane works on, and whether somebody has stopped it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from scythe_cli.core import layout
from scythe_cli.core.layout import Mark
from scythe_cli.storage.current_run import Generation
from scythe_cli.storage.local import LocalStore

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("kind", [Mark.CANCEL, Mark.ENDED])
def test_a_generation_is_over_when_its_own_mark_is_there(tmp_path: Path, kind: Mark) -> None:
    store = LocalStore(str(tmp_path))
    found = Generation("e/v1.0.0/t", 2, str(tmp_path))
    store.write(layout.mark(kind, 1), b"{}")
    assert not found.is_over()
    store.write(layout.mark(kind, 2), b"{}")
    assert found.is_over()
    assert found.tag == "e/v1.0.0/t/2"
