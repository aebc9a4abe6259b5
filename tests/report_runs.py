"""A run for the tests of `scythe report`: every kind of column, failures, and texts that attack a page."""

from __future__ import annotations

import csv
import io
import random

EVIL = "</script><script>alert(1)</script><!-- <b>bold</b> <img src=x onerror=alert(2)> %{x} 'q' \"d\""

MODULE = f'''
import math
from datetime import date
from typing import Literal
from pydantic import Field
from scythe_cli import ExperimentInputSpec, ExperimentOutputSpec, ExperimentRegistry

EVIL = {EVIL!r}


class In(ExperimentInputSpec):
    """Docstring </script><img src=http://evil.example/x.png> of the input."""
    x: float = Field(ge=0, le=10, description="A </script><!-- number [m<sup>2</sup>]")
    n: int = Field(ge=0, le=5, description="Whole [-]")
    day: date = date(2024, 1, 1)
    kind: Literal["plain", "</script>", "<!--", "<b>x</b>"] = "plain"
    free: str = ""
    on: bool = False
    tags: list[int] = []
    maybe: float | None = Field(default=None, ge=-1, description="Optional [W/m2]")


class Out(ExperimentOutputSpec):
    heat: float = Field(ge=0, le=50, description="Heat <script>alert(3)</script> [kWh/m2]")
    same: int = 7
    nan: float
    inf: float
    what: str
    flag: bool
    opt: float | None = None


@ExperimentRegistry.Register()
def nasty(input_spec: In) -> Out:
    print(EVIL)
    if input_spec.kind == "<!--" and input_spec.x > 5:
        raise ValueError(EVIL)
    heat = input_spec.x * 6 + input_spec.n
    return Out(
        heat=heat,
        nan=math.nan if input_spec.n == 3 else heat,
        inf=math.inf if input_spec.n == 2 else 2e307 * (input_spec.x - 5),
        what=input_spec.kind,
        flag=input_spec.on,
        opt=None if input_spec.n else 2.5,
    )
'''


def specs(rows: int) -> str:
    """A table of specs for `MODULE`."""
    rng = random.Random(1)
    written = io.StringIO()
    table = csv.writer(written)
    table.writerow(["x", "n", "day", "kind", "free", "on", "maybe"])
    for at in range(rows):
        kind = rng.choice(["plain", "</script>", "<!--", "<b>x</b>"])
        day, maybe = f"2024-0{rng.randint(1, 9)}-11", rng.choice(["", 1.5, 2.5])
        x, n, on = round(rng.uniform(0, 10), 3), rng.randint(0, 5), rng.choice(["true", "false"])
        table.writerow([x, n, day, kind, f"text {at} <i>", on, maybe])
    return written.getvalue()
