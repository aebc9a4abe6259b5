"""The visible table of stores. Takes an address, returns the store that speaks to it.

A new store is one file in this folder, one line here, and a subclass of the contract tests. Each library is imported in
its own branch.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from scythe_cli.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from scythe_cli.storage.base import Store

SCHEMES = ("s3",)


def open_store(address: str | Path, *, base: Path | None = None, patient: bool = False) -> Store:
    """Open the store at `address`: `s3://bucket/prefix`, or a folder relative to `base` (default: the working folder).

    With `patient`, for workers, an outage at the very start is waited out too, where a person would rather be told.

    Raises:
        ConfigError: the address is empty or its scheme is unknown.
        StoreError: the store cannot be spoken to as this machine is configured.
    """
    text = str(address)
    scheme, separator, rest = text.partition("://")
    if isinstance(address, Path) or not separator:
        if not text.strip():
            raise ConfigError("the storage address is empty; give a folder or s3://bucket/prefix")
        from scythe_cli.storage.local import LocalStore

        return LocalStore((base or Path()) / Path(text).expanduser())
    if scheme == "s3":
        from scythe_cli.storage.s3 import S3Store

        return S3Store.open(rest, patient=patient)
    raise ConfigError(
        f"storage {text!r}: no store for {scheme}://.{did_you_mean(scheme, SCHEMES)} Known: s3:// or a folder."
    )
