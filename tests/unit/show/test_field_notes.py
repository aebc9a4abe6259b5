"""Descriptions and units of fields."""

from __future__ import annotations

from typing import Any

import pytest

from scythe_cli.show.field_notes import FieldNote, note_of


@pytest.mark.parametrize(
    ("schema", "note"),
    [
        ({}, FieldNote()),
        ({"description": "Heating demand [kWh/m2]"}, FieldNote("Heating demand", "kWh/m2")),
        ({"description": "Share [-]"}, FieldNote("Share", "")),
        ({"description": "Share [-] of area [m2]"}, FieldNote("Share [-] of area", "m2")),
        ({"description": "Power [W] of the pump."}, FieldNote("Power of the pump.", "W")),
        ({"description": "Wind speed [m/s], clipped to [0, 30]"}, FieldNote("Wind speed, clipped to [0, 30]", "m/s")),
        ({"description": "Power", "unit": "W"}, FieldNote("Power", "W")),
        ({"description": "Power [kW]", "unit": "W"}, FieldNote("Power", "W")),
    ],
)
def test_a_description_is_a_text_and_a_unit(schema: dict[str, Any], note: FieldNote) -> None:
    assert note_of(schema) == note
