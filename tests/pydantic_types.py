"""Every type that pydantic documents, with values of it: those that a table holds, and those that are refused."""

from __future__ import annotations

import datetime as dt
import enum
import ipaddress
import re
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Generator, Hashable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, NamedTuple, NewType, Union
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pandas as pd
import polars as pl
import pyarrow as pa
import pydantic
from pydantic import BaseModel, Field, RootModel
from typing_extensions import TypedDict


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Share(enum.Enum):
    ALL = 1
    HALF = 0.5


class Name(enum.StrEnum):
    A = "a"


class Rights(enum.Flag):
    READ = 1
    WRITE = 2


class Bits(enum.IntFlag):
    ONE = 1
    TWO = 2


class Pair(enum.Enum):
    AB = (1, 2)


class Layer(BaseModel):
    name: str
    thickness: float | None = None


class Aliased(BaseModel):
    count: int = Field(alias="n")


class Tree(BaseModel):
    name: str
    below: list[Tree] = []


class Numbers(RootModel[list[int]]):
    pass


class Point(NamedTuple):
    x: int
    label: str


class Options(TypedDict):
    a: int
    b: str


@dataclass
class Day:
    number: int
    date: dt.date


class Thing:
    """A class that pydantic knows nothing of."""


class Tagged:
    """A class that says how pydantic reads and writes it, as text."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Tagged) and other.text == self.text

    def __hash__(self) -> int:
        return hash(self.text)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        from pydantic_core import core_schema

        return core_schema.no_info_plain_validator_function(
            lambda value: value if isinstance(value, cls) else cls(str(value)),
            serialization=core_schema.plain_serializer_function_ser_schema(
                lambda value: value.text, return_schema=core_schema.str_schema()
            ),
        )


Metres = NewType("Metres", float)
_UTC = dt.UTC
_NOON = dt.datetime(2024, 2, 29, 12, 0, 0, 123)
_UUID = UUID("12345678-1234-4234-8234-123456789abc")

HELD: dict[str, tuple[Any, list[Any]]] = {
    "int": (int, [3, -(2**63), 2**63 - 1]),
    "float": (float, [1.5, float("inf"), -0.0]),
    "bool": (bool, [True, False]),
    "str": (str, ["a", "", " x ", "01", "None", "1e5", "é\n"]),
    "bytes": (bytes, [b"a", b"\xff\x00"]),
    "complex": (complex, [1 + 2j, 1j]),
    "None": (type(None), [None]),
    "Decimal": (Decimal, [Decimal("1.10"), Decimal("1E+5")]),
    "Fraction": (Fraction, [Fraction(1, 3)]),
    "date": (dt.date, [dt.date(2024, 2, 29)]),
    "datetime": (dt.datetime, [_NOON, dt.datetime(1, 1, 1)]),
    "time": (dt.time, [dt.time(1, 2, 3, 4)]),
    "timedelta": (dt.timedelta, [dt.timedelta(days=-1, microseconds=3)]),
    "AwareDatetime": (pydantic.AwareDatetime, [_NOON.replace(tzinfo=_UTC)]),
    "NaiveDatetime": (pydantic.NaiveDatetime, [_NOON]),
    "PastDatetime": (pydantic.PastDatetime, [_NOON]),
    "FutureDatetime": (pydantic.FutureDatetime, [dt.datetime(2999, 1, 1)]),
    "PastDate": (pydantic.PastDate, [dt.date(2020, 1, 1)]),
    "FutureDate": (pydantic.FutureDate, [dt.date(2999, 1, 1)]),
    "UUID": (UUID, [_UUID]),
    "UUID4": (pydantic.UUID4, [_UUID]),
    "IPv4Address": (ipaddress.IPv4Address, [ipaddress.IPv4Address("1.2.3.4")]),
    "IPv4Network": (ipaddress.IPv4Network, [ipaddress.IPv4Network("10.0.0.0/8")]),
    "IPv4Interface": (ipaddress.IPv4Interface, [ipaddress.IPv4Interface("1.2.3.4/8")]),
    "IPv6Address": (ipaddress.IPv6Address, [ipaddress.IPv6Address("::1")]),
    "IPv6Network": (ipaddress.IPv6Network, [ipaddress.IPv6Network("2001:db8::/32")]),
    "IPv6Interface": (ipaddress.IPv6Interface, [ipaddress.IPv6Interface("::1/64")]),
    "IPvAnyAddress": (pydantic.IPvAnyAddress, [ipaddress.ip_address("1.2.3.4"), ipaddress.ip_address("::1")]),
    "IPvAnyNetwork": (pydantic.IPvAnyNetwork, [ipaddress.ip_network("10.0.0.0/8")]),
    "IPvAnyInterface": (pydantic.IPvAnyInterface, [ipaddress.ip_interface("1.2.3.4/8")]),
    "AnyUrl": (pydantic.AnyUrl, [pydantic.AnyUrl("http://a.b/c?d=1")]),
    "HttpUrl": (pydantic.HttpUrl, [pydantic.HttpUrl("https://a.b/c")]),
    "FileUrl": (pydantic.FileUrl, [pydantic.FileUrl("file:///a/b")]),
    "RedisDsn": (pydantic.RedisDsn, [pydantic.RedisDsn("redis://a.b:1/0")]),
    "MongoDsn": (pydantic.MongoDsn, [pydantic.MongoDsn("mongodb://a.b:1")]),
    "Pattern": (re.Pattern, [re.compile("a+")]),
    "Pattern of str": (re.Pattern[str], [re.compile("[0-9]")]),
    "ZoneInfo": (ZoneInfo, [ZoneInfo("Europe/Paris")]),
    "ByteSize": (pydantic.ByteSize, [pydantic.ByteSize(2000)]),
    "PurePath": (PurePosixPath, [PurePosixPath("a/b")]),
    "Enum": (Colour, [Colour.RED, Colour.BLUE]),
    "IntEnum": (Level, [Level.HIGH]),
    "Enum of numbers": (Share, [Share.ALL, Share.HALF]),
    "StrEnum": (Name, [Name.A]),
    "Flag": (Rights, [Rights.READ, Rights.READ | Rights.WRITE, Rights(0)]),
    "IntFlag": (Bits, [Bits.ONE, Bits.ONE | Bits.TWO]),
    "Literal of text": (Literal["a", "b"], ["a"]),
    "Literal of numbers": (Literal[1, 2], [2]),
    "Literal of kinds": (Literal[1, "a"], [1, "a"]),
    "Literal of bool": (Literal[True], [True]),
    "list of int": (list[int], [[1, 2], []]),
    "list": (list, [[1, "a", None]]),
    "list of lists": (list[list[float]], [[[1.0], [2.0, 3.0]]]),
    "list of optional": (list[int | None], [[1, None]]),
    "list of Decimal": (list[Decimal], [[Decimal("1.0")]]),
    "list of date": (list[dt.date], [[dt.date(2024, 1, 1)]]),
    "list of Enum": (list[Colour], [[Colour.RED]]),
    "list of timedelta": (list[dt.timedelta], [[dt.timedelta(1)]]),
    "list of IP": (list[pydantic.IPvAnyAddress], [[ipaddress.ip_address("1.2.3.4")]]),
    "set": (set[int], [{1, 2}]),
    "frozenset": (frozenset[str], [frozenset("ab")]),
    "tuple": (tuple[int, str], [(1, "a")]),
    "tuple of one kind": (tuple[float, ...], [(1.0, 2.0)]),
    "deque": (deque[int], [deque([1])]),
    "Sequence": (Sequence[int], [[1, 2]]),
    "Set": (AbstractSet[int], [{1}]),
    "dict": (dict[str, int], [{"a": 1}, {}]),
    "dict by int": (dict[int, float], [{1: 2.0}]),
    "dict by date": (dict[dt.date, float], [{dt.date(2024, 1, 1): 2.0}]),
    "dict by Enum": (dict[Colour, int], [{Colour.RED: 1}]),
    "dict of date": (dict[str, dt.date], [{"a": dt.date(2024, 1, 1)}]),
    "dict of Any": (dict[str, Any], [{"a": [1, None, {"b": 2.5}]}]),
    "dict of models": (dict[str, Layer], [{"a": Layer(name="x")}]),
    "Mapping": (Mapping[str, int], [{"a": 1}]),
    "defaultdict": (defaultdict[str, list[int]], [defaultdict(list, a=[1])]),
    "OrderedDict": (OrderedDict[str, int], [OrderedDict(a=1)]),
    "Counter": (Counter[str], [Counter("aab")]),
    "Any": (Any, [1, "a", [1], {"a": 1}, 2.5, True]),
    "object": (object, [1, "a"]),
    "int or str": (int | str, [1, "a", "1"]),
    "float or int": (float | int, [1, 2.5, 2**53]),
    "int or float": (int | float, [3, 2.5]),
    "bounded int or float": (Annotated[int, Field(ge=0)] | Annotated[float, Field(gt=0)], [3, 2.5]),
    "int or bool": (int | bool, [True, 1]),
    "date or datetime": (dt.date | dt.datetime, [dt.date(2024, 1, 1), _NOON]),
    "number or auto": (int | Literal["auto"], [3, "auto"]),
    "two models": (Layer | Numbers, [Layer(name="x"), Numbers([1])]),
    "model": (Layer, [Layer(name="x", thickness=0.5), Layer(name="y")]),
    "model with alias": (Aliased, [Aliased(n=1)]),
    "model of itself": (Tree, [Tree(name="a", below=[Tree(name="b")])]),
    "list of models": (list[Layer], [[Layer(name="x")]]),
    "RootModel": (Numbers, [Numbers([1])]),
    "TypedDict": (Options, [{"a": 1, "b": "x"}]),
    "NamedTuple": (Point, [Point(1, "x")]),
    "dataclass": (Day, [Day(1, dt.date(2024, 1, 1))]),
    "conint": (pydantic.conint(ge=0, multiple_of=2), [4]),
    "confloat": (pydantic.confloat(gt=0), [1.0]),
    "constr": (pydantic.constr(min_length=1, pattern="a+"), ["aa"]),
    "condecimal": (pydantic.condecimal(max_digits=5), [Decimal("1.1")]),
    "conlist": (pydantic.conlist(int, max_length=3), [[1]]),
    "conset": (pydantic.conset(int, min_length=1), [{1}]),
    "condate": (pydantic.condate(gt=dt.date(2000, 1, 1)), [dt.date(2024, 1, 1)]),
    "StrictInt": (pydantic.StrictInt, [3]),
    "StrictStr": (pydantic.StrictStr, ["3"]),
    "StrictBool": (pydantic.StrictBool, [True]),
    "PositiveInt": (pydantic.PositiveInt, [3]),
    "NonNegativeFloat": (pydantic.NonNegativeFloat, [0.0]),
    "FiniteFloat": (pydantic.FiniteFloat, [3.0]),
    "NewType": (Metres, [1.5]),
    "SkipValidation": (Annotated[int, pydantic.SkipValidation], [3]),
    "own text type": (Tagged, [Tagged("kg")]),
    "np.float64": (np.float64, [np.float64(1.5)]),
    "np.float32": (np.float32, [np.float32(0.1)]),
    "np.int64": (np.int64, [np.int64(3)]),
    "np.int8": (np.int8, [np.int8(-3)]),
    "np.uint64": (np.uint64, [np.uint64(3)]),
    "np.bool": (np.bool_, [np.bool_(True)]),
    "np.str": (np.str_, [np.str_("a")]),
    "np.datetime64": (np.datetime64, [np.datetime64("2024-01-01T01")]),
    "np.timedelta64": (np.timedelta64, [np.timedelta64(3, "h")]),
    "np.complex128": (np.complex128, [np.complex128(1 + 2j)]),
    "pd.Timestamp": (pd.Timestamp, [pd.Timestamp("2024-01-01 01:00:00.000001")]),
    "pd.Timedelta": (pd.Timedelta, [pd.Timedelta("1h")]),
    "list of pd.Timestamp": (list[pd.Timestamp], [[pd.Timestamp("2024-01-01")]]),
}
"""By name: the annotation, and values that come back as they were."""

OUTPUT_ONLY: dict[str, tuple[Any, list[Any]]] = {
    "Json": (pydantic.Json, ["[1, 2]"]),
    "Json of list": (pydantic.Json[list[int]], ["[1, 2]"]),
    "Literal of Enum": (Literal[Colour.RED], [Colour.RED]),
    "Base64Bytes": (pydantic.Base64Bytes, [b"aGVsbG8="]),
    "text or date": (str | dt.date, ["x", dt.date(2024, 1, 1)]),
}
"""Held as outputs; as inputs refused, or only some of their values."""

REFUSED: dict[str, tuple[Any, str]] = {
    "SecretStr": (pydantic.SecretStr, "environment variable"),
    "SecretBytes": (pydantic.SecretBytes, "environment variable"),
    "Secret": (pydantic.Secret[int], "environment variable"),
    "ImportString": (pydantic.ImportString, "write str"),
    "ImportString of type": (pydantic.ImportString[Any], "write str"),  # type: ignore[misc]  # a class, for mypy
    "Callable": (Callable[[int], int], "write str"),
    "type": (type, "write str"),
    "type of int": (type[int], "write str"),
    "Iterable": (Iterable[int], "write list"),
    "Iterator": (Iterator[int], "write list"),
    "Generator": (Generator[int, None, None], "write list"),
    "Hashable": (Hashable, "Hashable"),
    "DirectoryPath": (pydantic.DirectoryPath, "FileReference"),
    "list of Path": (list[Path], "FileReference"),
    "Path or str": (Path | str, "FileReference"),
    "Enum of tuples": (Pair, "text or numbers"),
    "dict by tuple": (dict[tuple[int, int], float], "list of [key, value] pairs"),
    "ndarray": (np.ndarray, "list[float]"),
    "NDArray": (npt.NDArray[np.float64], "list[float]"),
    "DataFrame": (pd.DataFrame, "pandas.DataFrame"),
    "Series": (pd.Series, "pandas.Series"),
    "polars DataFrame": (pl.DataFrame, "polars.DataFrame"),
    "polars Series": (pl.Series, "polars.Series"),
    "pyarrow Table": (pa.Table, "pyarrow.Table"),
    "own class": (Thing, "Thing"),
    "InstanceOf": (pydantic.InstanceOf[Thing], "Thing"),
    "bytearray": (bytearray, "bytearray"),
    "range": (range, "range"),
    "slice": (slice, "slice"),
}
"""By name: the annotation, and a part of what the message says to write instead."""


def _inside_a_model(annotation: Any) -> Any:
    config = pydantic.ConfigDict(arbitrary_types_allowed=True)
    return pydantic.create_model("Inside", inside=(annotation, ...), __config__=config)


_WRAPPERS: dict[str, Callable[[Any], Any]] = {
    "alone": lambda annotation: annotation,
    "optional": lambda annotation: Union[annotation, None],  # noqa: UP007 - of types made here
    "annotated": lambda annotation: Annotated[annotation, Field(description="x")],
    "in a list": lambda annotation: list[annotation],  # type: ignore[valid-type]  # made here
    "in a dict": lambda annotation: dict[str, annotation],  # type: ignore[valid-type]  # made here
    "in a tuple": lambda annotation: tuple[annotation, int],  # type: ignore[valid-type]  # made here
    "in a model": _inside_a_model,
}
HOW = tuple(_WRAPPERS)


def wrapped(annotation: Any, how: str) -> Any:
    """A type as a field may have it: alone, optional, with metadata, or inside of another."""
    return _WRAPPERS[how](annotation)


def wrapped_value(value: Any, how: str, annotation: Any) -> Any:
    """A value of the wrapped type."""
    match how:
        case "in a list":
            return [value]
        case "in a dict":
            return {"k": value}
        case "in a tuple":
            return (value, 1)
        case "in a model":
            return annotation(inside=value)
    return value
