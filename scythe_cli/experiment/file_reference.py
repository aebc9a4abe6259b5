"""`FileReference` and `S3Url`: the types of a field that holds a file.

Input: a path or an address, as a person writes it. Output: a `Path`, an `S3Url` or an https address.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import AfterValidator, BeforeValidator, Field, GetCoreSchemaHandler, HttpUrl
from pydantic_core import CoreSchema, core_schema

from scythe_cli.storage.address import FILE, Address, UnknownScheme


class S3Url(str):
    """An object's address, `s3://bucket/key`, kept letter by letter: a key may hold spaces and any script."""

    __slots__ = ()
    _pattern: ClassVar[str] = r"^s3://[^/\s]+/.+$"

    @property
    def scheme(self) -> str:
        """s3."""
        return Address.parse(self).scheme.value

    @property
    def host(self) -> str:
        """The bucket's name."""
        return Address.parse(self).host

    @property
    def path(self) -> str:
        """The address after the bucket, with the leading slash."""
        return f"/{self.key}"

    @property
    def bucket(self) -> str:
        """The bucket's name."""
        return Address.parse(self).host

    @property
    def key(self) -> str:
        """The address after the bucket, without the leading slash."""
        return Address.parse(self).key

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(
            cls,
            core_schema.str_schema(pattern=cls._pattern),
            serialization=core_schema.to_string_ser_schema(),
            metadata={
                "pydantic_js_functions": [lambda _schema, _handler: {"type": "string", "format": "uri", "minLength": 1}]
            },
        )


class FileMark:
    """Marks a field's annotation as a file."""


def _not_empty(path: Path) -> Path:
    if path == Path():
        raise ValueError("the address of a file is empty")
    return path


def _with_readable_scheme(value: Any) -> Any:
    if isinstance(value, str) and value[:7].lower() == FILE:
        return Address.parse(value).path
    if isinstance(value, str) and value.strip() in {".", "./", ".."}:
        raise ValueError("is a folder: name a file")
    if isinstance(value, str):
        try:
            Address.parse(value)
        except UnknownScheme as exc:
            raise ValueError(str(exc)) from exc
    return value


if TYPE_CHECKING:
    FileReference = Path
    OptionalFileReference = Path | None
else:
    FileReference = Annotated[
        S3Url | HttpUrl | Annotated[Path, AfterValidator(_not_empty)],
        Field(union_mode="left_to_right"),
        BeforeValidator(_with_readable_scheme),
        FileMark(),
    ]
"""A file. In a table: a local path, an `s3://` or an `https://` address. When the function runs: a local `Path`."""

if not TYPE_CHECKING:
    OptionalFileReference = FileReference | None
"""A file, or None."""
