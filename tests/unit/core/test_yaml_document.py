"""Large documents are written and read as JSON, which YAML is."""

from typing import Any

import pytest

from scythe_cli.core import yaml_document
from scythe_cli.errors import ConfigError


def large(**more: Any) -> dict[str, Any]:
    names = [f"output_{at}" for at in range(yaml_document.LARGE)]
    return {
        "names": names,
        "none": None,
        "yes": True,
        "x": 0.5,
        "n": 3,
        "day": "2026-01-01",
        "in": {"a": ["ü"]},
        **more,
    }


def test_a_large_document_is_read_as_it_was_written() -> None:
    text = yaml_document.write(large())
    assert text.startswith("{")
    assert yaml_document.read(text, "m.yml").data == large()


def test_json_and_yaml_mean_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    text = yaml_document.write(large())
    fast = yaml_document.read(text, "m.yml").data
    monkeypatch.setattr(yaml_document, "LONG", len(text))
    assert yaml_document.read(text, "m.yml").data == fast


@pytest.mark.parametrize(
    "change", [('"n": 3', '"n": 3, "n": 4'), ('"n": 3', '"n": 3,,'), ('"yes": true', '"yes": [&a 1]')]
)
def test_what_is_not_plain_json_gets_the_message_of_yaml(change: tuple[str, str]) -> None:
    text = yaml_document.write(large()).replace(*change)
    with pytest.raises(ConfigError, match=r"m\.yml:\d+"):
        yaml_document.read(text, "m.yml")
