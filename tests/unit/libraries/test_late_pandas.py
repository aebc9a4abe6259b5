"""Processes that do not use pandas do not import it; those that do see pyarrow treat it as always."""

from __future__ import annotations

import subprocess
import sys

import pytest

START = "import sys\nfrom scythe_cli.libraries.late_pandas import defer_pandas\n"


def says(code: str) -> str:
    """What a fresh process prints."""
    done = subprocess.run([sys.executable, "-c", START + code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("before", ["defer_pandas()\nimport pyarrow as pa", "import pyarrow as pa\ndefer_pandas()"])
def test_pandas_comes_when_it_is_asked_for(before: str) -> None:
    code = f"""{before}
assert pa.array([1, 2]).to_pylist() == [1, 2]
assert "pandas" not in sys.modules
import pandas as pd
assert pa.array(pd.Series([1.0, float("nan")])).null_count == 1
assert type(pa.array([1]).to_pandas()).__name__ == "Series"
assert type(pd.__loader__).__name__ == "SourceFileLoader"
print("fine")"""
    assert says(code) == "fine"


def test_pandas_that_imports_pyarrow_itself_is_whole() -> None:
    code = "defer_pandas()\nimport pandas as pd\nimport pyarrow as pa\n"
    assert says(code + "print(pa.array(pd.Series([1.0, None])).null_count)") == "1"


def test_pandas_that_was_there_stays() -> None:
    assert says("import pandas\ndefer_pandas()\nimport pyarrow as pa\nprint(pa.lib._pandas_api.have_pandas)") == "True"


def test_pandas_that_the_users_module_imports() -> None:
    """The user's module is imported with the libraries before its own folder, by a finder that knows pandas too."""
    code = """from scythe_cli.core.library_names import libraries_first
defer_pandas()
import pyarrow as pa
with libraries_first(["here"]):
    import pandas as pd
assert pa.array(pd.Series([1.0], index=pd.date_range("2026", periods=1))).to_pylist() == [1.0]
print("fine")"""
    assert says(code) == "fine"


def test_pandas_that_is_what_imports_pyarrow() -> None:
    code = """defer_pandas()
import pandas as pd
import pyarrow as pa
assert pa.array(pd.Series([1.0, float("nan")])).null_count == 1
print("fine")"""
    assert says(code) == "fine"


def test_pandas_that_somebody_only_looked_for() -> None:
    """polars looks whether pandas is there, and does not import it."""
    code = """import importlib.util
defer_pandas()
import pyarrow as pa
assert importlib.util.find_spec("pandas") is not None
import pandas as pd
assert pa.array(pd.Series([1.0], index=pd.date_range("2026", periods=1))).to_pylist() == [1.0]
print("fine")"""
    assert says(code) == "fine"
