"""What misbehaves in what specs return."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa

from misdeeds.models import FOREVER, Input, Output, fails, fine, lives


@fails("invalid_output")
def returns_none(spec: Input, tempdir: Path) -> Any:
    return None


@fails("invalid_output")
def returns_another_type(spec: Input, tempdir: Path) -> Any:
    return {"value": 1.0}


@fails("invalid_output")
def returns_out_of_bounds(spec: Input, tempdir: Path) -> Any:
    return Output.model_construct(value=-1.0)


@fails("invalid_output")
def makes_out_of_bounds(spec: Input, tempdir: Path) -> Any:
    return Output(value=-1.0)


@fails("invalid_output")
def returns_a_wrong_field(spec: Input, tempdir: Path) -> Any:
    output = fine(spec)
    output.__dict__["value"] = "many"
    return output


@fails("invalid_output")
def returns_nan_where_forbidden(spec: Input, tempdir: Path) -> Any:
    return Output.model_construct(value=float("nan"))


@fails("invalid_output")
def returns_infinity_where_forbidden(spec: Input, tempdir: Path) -> Any:
    return Output.model_construct(value=float("inf"))


@fails("invalid_output")
def returns_a_missing_file(spec: Input, tempdir: Path) -> Any:
    return fine(spec, report=tempdir / "nothing.txt")


@fails("invalid_output")
def returns_no_table(spec: Input, tempdir: Path) -> Any:
    output = fine(spec)
    output.dataframes["frame"] = object()
    return output


@fails("invalid_output")
def returns_what_its_validator_explodes_on(spec: Input, tempdir: Path) -> Any:
    return Output.model_construct(value=-1.0, text="explode")


@fails("invalid_output")
def returns_what_its_validator_exits_on(spec: Input, tempdir: Path) -> Any:
    return Output.model_construct(value=-1.0, text="exit")


@fails("crash")
def returns_what_its_validator_exits_hard_on(spec: Input, tempdir: Path) -> Any:
    return Output.model_construct(value=-1.0, text="exit hard")


@fails("timeout")
def returns_what_its_validator_hangs_on(spec: Input, tempdir: Path) -> Any:
    return Output.model_construct(value=-1.0, text="hang")


@fails("invalid_output")
def returns_what_its_validator_forks_on(spec: Input, tempdir: Path) -> Any:
    return Output.model_construct(value=-1.0, text="fork")


class Shy(dict[str, Any]):
    """A value that is asked for what it holds and answers as it was told to."""

    def __init__(self, answer: Callable[[], Any]) -> None:
        super().__init__()
        self.answer = answer

    def items(self) -> Any:
        return {"answer": self.answer()}.items()


@lives
def returns_a_value_with_text_of_its_own(spec: Input, tempdir: Path) -> Any:
    return fine(spec, anything=Shy(lambda: "text"))


@fails("invalid_output")
def returns_a_value_that_raises(spec: Input, tempdir: Path) -> Any:
    return fine(spec, anything=Shy(lambda: 1 / 0))


@fails("invalid_output")
def returns_a_value_that_exits(spec: Input, tempdir: Path) -> Any:
    return fine(spec, anything=Shy(sys.exit))


@fails("crash")
def returns_a_value_that_exits_hard(spec: Input, tempdir: Path) -> Any:
    return fine(spec, anything=Shy(lambda: os._exit(4)))


@fails("timeout")
def returns_a_value_that_hangs(spec: Input, tempdir: Path) -> Any:
    return fine(spec, anything=Shy(lambda: time.sleep(FOREVER)))


@fails("crash")
def takes_a_while_and_returns_a_value_that_exits_hard(spec: Input, tempdir: Path) -> Any:
    time.sleep(0.1)
    return returns_a_value_that_exits_hard(spec, tempdir)


class Hostile:
    """A table that does what it wants when it is read."""

    def __arrow_c_stream__(self, schema: object = None) -> object:
        raise KeyError("hostile")


@fails("exception")
def returns_a_hostile_table(spec: Input, tempdir: Path) -> Any:
    output = fine(spec)
    output.dataframes["frame"] = Hostile()
    return output


@fails("timeout")
def returns_a_table_that_hangs(spec: Input, tempdir: Path) -> Any:
    output = fine(spec)
    output.dataframes["frame"] = type("Slow", (), {"__arrow_c_stream__": lambda *_: time.sleep(FOREVER)})()
    return output


@lives
def returns_nan_where_allowed(spec: Input, tempdir: Path) -> Any:
    return fine(spec, free=float("nan"))


@lives
def returns_infinity_where_allowed(spec: Input, tempdir: Path) -> Any:
    return fine(spec, free=float("-inf"))


@lives
def returns_a_file(spec: Input, tempdir: Path) -> Any:
    path = tempdir / "report.txt"
    path.write_text("well done")
    return fine(spec, report=path)


@lives
def returns_a_table(spec: Input, tempdir: Path) -> Any:
    output = fine(spec)
    output.dataframes["frame"] = pa.table({"month": [1, 2, 3]})
    return output
