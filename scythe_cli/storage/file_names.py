"""The names of input files: as objects in a run, and as files for the user's function.

Input: a file's name. Output: a name that every store and disk accepts, and the way back.
"""

from __future__ import annotations

import re
import unicodedata
from pathlib import PurePosixPath
from urllib.parse import unquote

MAX_NAME = 200
"""Bytes of a file's name; longer ones are shortened. Stores and disks allow 255."""

HASHED = re.compile(r"(?P<stem>.*)-(?P<hash>[0-9a-f]{8})(?P<suffixes>(\.[^.]*)*)", re.DOTALL)
_NOT_TEXT = re.compile(r"[\udc80-\udcff]")
_UNSAFE = re.compile(r"[\x00-\x1f\x7f%\udc80-\udcff]|^\.(?=partial-)")


def is_encoded(name: str) -> bool:
    """Whether an artifact's name may differ from the name of the file that it was made from."""
    return HASHED.fullmatch(name) is not None or "%" in name


def decode(name: str, sha256: str) -> str:
    """The name that a file had before it became an artifact called `name`.

    A hash in the name was put there by us only if it is the hash of the content: a file whose own name ends in its
    hash gets a second one.
    """
    found = HASHED.fullmatch(name)
    if found and sha256.startswith(found["hash"]):
        name = found["stem"] + found["suffixes"]
    return unquote(name, errors="surrogateescape")


def local_name(name: str) -> str:
    """A name for a file on this machine."""
    short = shorten(name.rpartition("/")[2].replace("\0", ""))
    return short if short not in {"", ".", ".."} else "file"


def encode(name: str, sha256: str, taken: dict[str, str]) -> str:
    """A name no other content of the field has, also on disks that ignore case or compose accents."""
    safe = shorten(_UNSAFE.sub(_quote, name))
    same = unicodedata.normalize("NFC", safe).casefold()
    found = HASHED.fullmatch(safe)
    lent = found is not None and sha256.startswith(found["hash"])
    if not lent and taken.setdefault(same, f"{safe}\0{sha256}") == f"{safe}\0{sha256}":
        return safe
    return with_hash(safe, sha256)


def as_text(name: str) -> str:
    """The name where it is text; bytes of it that are not UTF-8 become `%E4`."""
    return _NOT_TEXT.sub(_quote, name)


def with_hash(name: str, sha256: str) -> str:
    """The name with the start of its content's hash, before the suffixes: `a-1a2b3c4d.csv.gz`."""
    stem, suffixes = _split(name)
    return f"{stem}-{sha256[:8]}{suffixes}"


def _quote(found: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in found[0].encode("utf-8", "surrogateescape"))


def _split(name: str) -> tuple[str, str]:
    """Stem and all suffixes: "a.csv.gz" is "a" and ".csv.gz"; a leading dot belongs to the stem."""
    dot = name.find(".", 1)
    return (name, "") if dot < 0 else (name[:dot], name[dot:])


def shorten(name: str) -> str:
    """At most `MAX_NAME` bytes of a name; its suffix stays."""
    if len(name.encode()) <= MAX_NAME:
        return name
    suffix = PurePosixPath(name).suffix if len(PurePosixPath(name).suffix.encode()) < 20 else ""
    stem = name[: -len(suffix)] if suffix else name
    return stem.encode()[: MAX_NAME - len(suffix.encode())].decode("utf-8", "ignore") + suffix
