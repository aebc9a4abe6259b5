"""Numbers, times and text as a terminal shows them."""

from pathlib import Path

import pytest

from scythe_cli.cli import formatting
from scythe_cli.core.printable import printable


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (formatting.duration(0.04), "0.0 s"),
        (formatting.brief(0.04), "40 ms"),
        (formatting.brief(0.00004), "40 us"),
        (formatting.duration(59.6), "1 min 0 s"),
        (formatting.duration(3 * 3600 + 61), "3 h 1 min"),
        (formatting.duration(90_000), "1 d 1 h"),
        (formatting.clock(21.4), "0:00:21"),
        (formatting.clock(97_380), "27:03:00"),
        (formatting.rate(0.0012), "4.3/h"),
        (formatting.rate(0.05), "3.0/min"),
        (formatting.rate(1.2), "1.2/s"),
        (formatting.rate(42_000), "42,000/s"),
        (formatting.size(6_100_000), "6.1 MB"),
        (formatting.cut("a" * 9 + "\nb", 6), "aaa..."),
    ],
)
def test_numbers_and_times(text: str, expected: str) -> None:
    assert text == expected


def test_escape_codes_of_a_users_program_are_removed() -> None:
    assert printable("\x1b[31mred\x1b[0m\a\r\nnext\x1b]0;title\x07", lines=True) == "red\nnext"


def test_an_address_below_the_working_folder_is_relative(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert formatting.display_path(tmp_path / "runs" / "a") == "runs/a"


def test_other_addresses_stay_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert formatting.display_path("s3://bucket/runs") == "s3://bucket/runs"
