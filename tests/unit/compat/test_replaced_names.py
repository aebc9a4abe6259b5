"""Names of scythe-engine that do not exist here: importing one says what to write instead."""

import subprocess
import sys

import pytest

import scythe_cli
from scythe_cli.compat.replaced_names import REPLACEMENTS


@pytest.mark.parametrize("name", ["SerializableRunnable", "hatchet", "BaseSpec", "timeout_settings", *REPLACEMENTS])
def test_an_import_names_the_replacement(name: str) -> None:
    with pytest.raises(ImportError) as caught:
        getattr(scythe_cli, name)
    assert str(caught.value).startswith(f"scythe_cli has no {name}: {REPLACEMENTS[name]}")


@pytest.mark.parametrize("name", REPLACEMENTS)
def test_no_replaced_name_exists(name: str) -> None:
    assert name not in scythe_cli.__all__


def test_a_script_that_imports_one_ends_with_the_replacement() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from scythe_cli import hatchet"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "ImportError: scythe_cli has no hatchet: use `ref.result()` and `open_run(name).status()`" in done.stderr


def test_any_other_name_is_an_attribute_that_is_missing() -> None:
    assert not hasattr(scythe_cli, "nothing_of_this_name")
