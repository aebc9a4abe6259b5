"""Compressed tables: `.csv.gz`, `.csv.zst`, `.ndjson.bz2`.

Input: a path. Output: the path of a plain file, which is deleted when the process ends.
"""

from __future__ import annotations

import shutil
import tempfile
import weakref
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from scythe_cli.errors import StoreError, TableError

if TYPE_CHECKING:
    from typing import Any

COMPRESSIONS = {".gz": "gzip", ".zst": "zstd", ".bz2": "bz2"}
"""By suffix, the name that Arrow has for it."""


class Unpacked:
    """A plain copy of a compressed file; it lives as long as this object.

    Args:
        path: the compressed file.
        where: how messages call it.

    Raises:
        TableError: the file is not compressed as its name says, or is cut off.
        StoreError: the temporary folder is full.
    """

    def __init__(self, path: Path, where: str) -> None:
        folder = tempfile.mkdtemp(prefix="scythe-specs-")
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        self.path = Path(folder) / path.stem
        source: Any = pa
        try:
            with source.input_stream(str(path), compression=COMPRESSIONS[path.suffix.lower()]) as packed:
                _copy(packed, self.path, where)
        except (pa.ArrowException, EOFError) as exc:
            raise _damaged(where, path, exc) from exc
        except OSError as exc:
            if exc.errno is not None:
                raise
            raise _damaged(where, path, exc) from exc


def _copy(packed: Any, target: Path, where: str) -> None:
    with target.open("wb") as plain:
        while block := packed.read(4 << 20):
            try:
                plain.write(block)
            except OSError as exc:
                raise StoreError(
                    f"cannot unpack {where} in the temporary folder: {exc.strerror or exc}",
                    hint="free some space there, or set TMPDIR to a folder with more",
                ) from exc


def _damaged(where: str, path: Path, exc: BaseException) -> TableError:
    reason = str(exc).strip().partition("\n")[0]
    return TableError(f"{where} is cut off, or is not compressed as its name ({path.suffix}) says ({reason})")
