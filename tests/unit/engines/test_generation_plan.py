"""What a message may name as a run, and how the rows of a generation are grouped."""

from __future__ import annotations

import pytest

from scythe_cli.core.layout import is_run_id


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("energy/v1.2.0/2026-01-31_12-00-00", True),
        ("../v1.2.0/2026-01-31_12-00-00", False),
        ("energy/v1.2.0/2026-01-31_12-00-00/..", False),
        ("energy/v1.2/2026-01-31_12-00-00", False),
        ("/etc/v1.0.0/2026-01-31_12-00-00", False),
        ("energy/v1.2.0/2026-01-31_12-00-00\n", False),
        ("", False),
    ],
)
def test_only_a_runs_id_is_looked_for(text: str, is_one: bool) -> None:
    assert is_run_id(text) is is_one
