"""The code of a run, kept to be read: `control/code/<hash>.zip` has the text files that a source hash covers.

Input: an experiment. Output: a zip in the run, at most 5 MB, and a sentence for each file that is left out. No command
that runs specs imports or unpacks it: what runs is the code of the machine that runs it.
"""

from __future__ import annotations

import io
import re
import zipfile
from typing import TYPE_CHECKING

from scythe_cli.core import layout
from scythe_cli.errors import BrokenRun, KeyExists, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from scythe_cli.experiment.experiment import Experiment
    from scythe_cli.storage.base import Store

MOST_BYTES = 5_000_000
"""Of all files together, before they are compressed."""
_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The date of each file in the zip: equal code makes equal bytes."""
_SECRET_NAME = re.compile(
    r"(?i)(^|/)(\.env(\..*)?|\.?netrc|\.pgpass|id_(rsa|dsa|ecdsa|ed25519)|credentials?(\.\w+)?|secrets?(\.\w+)?)$"
    r"|\.(pem|key|p12|pfx|jks|keystore)$"
)
_SECRET_TEXT = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----"
    r"|\b(AKIA|ASIA)[0-9A-Z]{16}\b"
    r"|\b(ghp|gho|ghs|github_pat|glpat|xox[abp]|sk|hf)[-_][0-9A-Za-z_-]{20,}"
    r"|\beyJ[0-9A-Za-z_-]{10,}\.eyJ[0-9A-Za-z_-]{10,}\."
    r"|(?i:\b\w*(password|passwd|secret|api_?key|access_?key|auth_?token|token)\b\s*[:=]\s*['\"][^'\"\s]{8,}['\"])"
)


def keep_code(store: Store, experiment: Experiment) -> list[str]:
    """Write the zip of an experiment's code unless the run has it.

    Args:
        store: rooted at the run.
        experiment: the experiment.

    Returns:
        A sentence for each file that is left out.
    """
    kept, left_out = _choose(experiment.sources)
    try:
        store.write(layout.code(experiment.source_hash), _zipped(kept), new=True)
    except KeyExists:
        return []
    return left_out


def read_code(store: Store, source_hash: str) -> dict[str, bytes]:
    """The files of kept code by name, as text to read and compare.

    Raises:
        NotFoundError: the run has no code of this hash; older runs have none.
        BrokenRun: the zip is damaged, or larger than what is kept.
    """
    key = layout.code(source_hash)
    if key not in {entry.key for entry in store.list(layout.CODE)}:
        raise NotFoundError(f"{store.locate('')} keeps no code with the hash {source_hash[:12]}")
    try:
        with zipfile.ZipFile(io.BytesIO(store.read(key, limit=2 * MOST_BYTES))) as archive:
            if sum(one.file_size for one in archive.infolist()) > MOST_BYTES:
                raise BrokenRun(f"{store.locate(key)} holds more than {MOST_BYTES:,} bytes")
            return {one.filename: archive.read(one) for one in archive.infolist()}
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as exc:
        raise BrokenRun(f"{store.locate(key)} is empty, cut or changed", hint="restore it from a copy") from exc


def changed_files(store: Store, source_hash: str, sources: Mapping[str, Path]) -> list[str]:
    """The names of source files that differ from those that a run keeps of this hash; empty where it keeps none.

    Args:
        store: rooted at the run.
        source_hash: of the run's code.
        sources: the files of now, by name.
    """
    try:
        kept = read_code(store, source_hash)
    except (BrokenRun, NotFoundError):
        return []
    now = {name: path.read_bytes() for name, path in sources.items()}
    return sorted(name for name in {*kept, *now} if kept.get(name) != now.get(name))


def _choose(sources: Mapping[str, Path]) -> tuple[dict[str, bytes], list[str]]:
    kept: dict[str, bytes] = {}
    left_out: list[str] = []
    room = MOST_BYTES
    for name, path in sources.items():
        content = path.read_bytes()
        if why := _why_not(name, content, room):
            left_out.append(f"{name} counts as code, but the run keeps no copy of it: {why}")
        else:
            kept[name] = content
            room -= len(content)
    return kept, left_out


def _why_not(name: str, content: bytes, room: int) -> str | None:
    if _SECRET_NAME.search(name):
        return "its name is that of a file with secrets"
    if len(content) > room:
        return f"all copies together are at most {MOST_BYTES // 1_000_000} MB"
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return "it is not text"
    if "\0" in text:
        return "it is not text"
    if found := _SECRET_TEXT.search(text):
        return f"line {text.count(chr(10), 0, found.start()) + 1} looks like a secret"
    return None


def _zipped(files: Mapping[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in sorted(files.items()):
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), content, zipfile.ZIP_DEFLATED)
    return stream.getvalue()
