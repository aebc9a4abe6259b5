"""The visible table of stores. Input: an address. Output: the store that reads and writes there.

A new store is one file in this folder, one line here, and a subclass of the contract tests. Each library is imported in
its own branch.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from scythe_cli.errors import ConfigError, did_you_mean
from scythe_cli.storage.address import Address, Scheme, UnknownScheme, WindowsPath

if TYPE_CHECKING:
    from scythe_cli.storage.base import Store

SCHEMES = (Scheme.S3,)


def open_store(address: str | Path, *, base: Path | None = None, patient: bool = False) -> Store:
    """Open the store at `address`: `s3://bucket/prefix`, or a folder relative to `base` (default: the working folder).

    With `patient`, for workers, the store waits for a server that does not answer at the very start. Without it, it
    fails early, which a person prefers.

    Raises:
        ConfigError: the address is empty or its scheme is unknown.
        StoreError: this machine's configuration does not allow access to the store.
    """
    if not str(address).strip():
        raise ConfigError("the storage address is empty; give a folder or s3://bucket/prefix")
    try:
        parsed = Address.parse(address, base or Path())
    except WindowsPath as exc:
        raise ConfigError(f"storage {str(address)!r} {exc}") from exc
    except UnknownScheme as exc:
        raise _no_store(str(address), exc.scheme) from exc
    if not parsed.is_remote:
        from scythe_cli.storage.local import LocalStore

        return LocalStore(parsed.path)
    if parsed.scheme is Scheme.S3:
        from scythe_cli.storage.s3 import S3Store

        return S3Store.open(parsed, patient=patient)
    raise _no_store(str(address), parsed.scheme)


def _no_store(address: str, scheme: str) -> ConfigError:
    known = f"Known: {', '.join(f'{scheme}://' for scheme in SCHEMES)} or a folder."
    return ConfigError(
        f"storage {address!r}: there is no store for {scheme}://.{did_you_mean(scheme, SCHEMES)} {known}"
    )
