"""What was measured before, as far as it can be read."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest

from scythe_cli.order import measured
from scythe_cli.run.outcomes import DURATION, ROW
from scythe_cli.run.parts import CorruptPart


def test_a_part_that_cannot_be_read_measures_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = [SimpleNamespace(key=key) for key in ("good", "cut")]

    def read_part(_: object, key: str, __: object) -> pa.Table:
        if key == "cut":
            raise CorruptPart("the part is cut")
        return pa.table({ROW: [3, 5], DURATION: [2.0, None]})

    monkeypatch.setattr(measured, "read_state", lambda _: SimpleNamespace(parts=parts))
    monkeypatch.setattr(measured, "read_part", read_part)
    run: Any = SimpleNamespace(store=None)
    assert measured._seconds_of_run(run) == {3: 2.0, 5: 0.0}
