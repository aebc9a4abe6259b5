"""`fetch_uri`: any file by its address, to a path of your choice.

Input: an address. Output: the file at that path.
"""

from __future__ import annotations

import shutil
from pathlib import Path


def fetch_uri(uri: object, local_path: str | Path, use_cache: bool = True) -> Path:
    """Copy a file to `local_path`: from a path, `file://`, `s3://` or `https://`.

    Args:
        uri: the address, text or an address type.
        local_path: where the file goes; its folder is made when needed.
        use_cache: keep a file that is there already.

    Returns:
        `local_path`.

    Raises:
        InputFileError: it does not exist or cannot be read.
        StoreError: its server is unavailable, fails or refuses.
    """
    from scythe_cli.storage.references import fetch

    target = Path(local_path)
    if use_cache and target.exists():
        return target
    found = fetch(str(uri))
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(found, target)
    return target
