"""A module that was changed within the second in which Python had compiled it is imported as it is now."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

IMPORT = """
import sys
from pathlib import Path
from scythe_cli.experiment.importer import resolve
print(resolve(sys.argv[1], Path(sys.argv[2])).value)
"""


def value(target: str, folder: Path) -> str:
    """What a fresh process finds."""
    environment = {name: text for name, text in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, "-c", IMPORT, target, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return done.stdout.strip()


def write(file: Path, text: str, second: int) -> None:
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)
    os.utime(file, (second, second))


def compiled(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.pyc"))


@pytest.mark.parametrize(
    ("target", "text", "file"),
    [
        ("work:VALUE", None, "work.py"),
        ("work:VALUE", "from helper import VALUE\n", "helper.py"),
        ("work:VALUE", "from inner.helper import VALUE\n", "inner/helper.py"),
    ],
)
def test_an_older_text_of_the_same_size_and_second_is_not_taken(
    tmp_path: Path, target: str, text: str | None, file: str
) -> None:
    second = 1_700_000_000
    if text is not None:
        write(tmp_path / "work.py", text, second - 100)
    write(tmp_path / file, "VALUE = 1\n", second)
    assert value(target, tmp_path) == "1"
    assert compiled(tmp_path)
    for one in compiled(tmp_path):
        os.utime(one, (second + 0.9, second + 0.9))
    write(tmp_path / file, "VALUE = 2\n", second)
    assert value(target, tmp_path) == "2"


def test_compiled_code_of_a_later_second_is_used(tmp_path: Path) -> None:
    second = 1_700_000_000
    write(tmp_path / "work.py", "VALUE = 1\n", second)
    assert value("work:VALUE", tmp_path) == "1"
    write(tmp_path / "work.py", "VALUE = 2\n", second)  # nobody can do that: the second is over
    assert value("work:VALUE", tmp_path) == "1"
