"""What is given as a frame and is no table is refused with what to write."""

from __future__ import annotations

from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from scythe_cli.columns import frames
from scythe_cli.columns.bad_frame import BadFrame


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (pd.Series([1.0, 2.0], name="load"), "is a pandas Series, one column and not a table: give series.to_frame()"),
        (pl.Series("load", [1.0]), "is a polars Series, one column and not a table: give series.to_frame()"),
        (pa.chunked_array([[1.0]]), "pyarrow.lib.ChunkedArray, not a table: give pandas, polars, pyarrow"),
        ({"load": [1.0]}, "is builtins.dict, not a table: give pandas, polars, pyarrow"),
    ],
    ids=["pandas", "polars", "array", "dict"],
)
def test_a_column_or_a_dict_is_refused_with_what_to_give(given: Any, message: str) -> None:
    with pytest.raises(BadFrame) as caught:
        frames.to_arrow("hourly", given, {})
    assert message in str(caught.value)
    assert "hourly" in str(caught.value)
