"""Where something is: a path on this machine, an object in a bucket, a file on a web server.

Input: an address as a user writes it. Output: a frozen `Address`. This is the one place that takes addresses apart.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from urllib.parse import unquote, urlsplit

RULE = "a local path, s3:// or https://"
"""What the address of a file may be."""
FILE = "file://"
"""How the address of a local path begins where everything is an address."""
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", re.DOTALL)
_WINDOWS = re.compile(r"([A-Za-z]):[\\/](?!/)(.*)", re.DOTALL)


class Scheme(StrEnum):
    """How an address is reached."""

    PATH = "path"
    S3 = "s3"
    HTTPS = "https"
    HTTP = "http"


class UnknownScheme(ValueError):
    """An address with a scheme that scythe does not read: `gs://`, `ftp://`.

    Attributes:
        scheme: the scheme, without `://`.
    """

    def __init__(self, scheme: str) -> None:
        super().__init__(f"must be {RULE}")
        self.scheme = scheme


class WindowsPath(UnknownScheme):
    """A path with a drive, `C:\\runs`, which does not exist on this system."""

    def __init__(self, drive: str, rest: str) -> None:
        super().__init__(drive)
        in_wsl = f"/mnt/{drive.lower()}/{rest}".replace("\\", "/")
        self.args = (f"is a path of Windows; in WSL write {in_wsl}",)


@dataclass(frozen=True)
class Address:
    """A parsed address; `str()` gives its text.

    Attributes:
        scheme: how it is reached.
        host: the bucket or the web server; empty for a path.
        key: the object's key, or path and query on the web server; the whole path on this machine.
    """

    scheme: Scheme
    host: str
    key: str

    @classmethod
    def parse(cls, text: str | Path, base: Path | None = None) -> Address:
        """Read an address.

        Args:
            text: `s3://bucket/key`, `https://host/path`, `file:///path`, or a path; `~` is the home folder.
            base: the folder that a relative path starts from; without it the path stays relative.

        Raises:
            UnknownScheme: it has a scheme that scythe does not read.
        """
        found = None if isinstance(text, Path) else _SCHEME.match(text)
        if found is None:
            if os.name == "posix" and isinstance(text, str) and (windows := _WINDOWS.fullmatch(text)):
                raise WindowsPath(windows[1], windows[2])
            path = Path(text)
            with suppress(RuntimeError):  # `~somebody` whom this machine does not know: a name like any other
                path = path.expanduser()
            return cls(Scheme.PATH, "", str(path if base is None else base / path))
        scheme, rest = found[1], found[2]
        if scheme == Scheme.S3:
            host, _, key = rest.partition("/")
            return cls(Scheme.S3, host, key)
        if scheme.lower() == "file" and rest.removeprefix("localhost").startswith("/"):
            return cls(Scheme.PATH, "", unquote(rest.removeprefix("localhost")))
        if scheme.lower() not in (Scheme.HTTPS, Scheme.HTTP):
            raise UnknownScheme(scheme)
        host = re.split(r"[/?#]", rest, maxsplit=1)[0]
        return cls(Scheme(scheme.lower()), host, rest[len(host) :].removeprefix("/"))

    @property
    def is_remote(self) -> bool:
        """Whether it needs a network."""
        return self.scheme is not Scheme.PATH

    @property
    def is_web(self) -> bool:
        """Whether a web server has it."""
        return self.scheme in (Scheme.HTTPS, Scheme.HTTP)

    @property
    def server(self) -> str:
        """The bucket or web server as an address: `s3://bucket`, `https://host`; empty for a path."""
        return f"{self.scheme}://{self.host}" if self.is_remote else ""

    @property
    def hostname(self) -> str:
        """The host without port, user and password, in lower case."""
        return urlsplit(f"//{self.host}").hostname or ""

    @property
    def name(self) -> str:
        """The last segment: a web address's without its query, and with its escapes decoded."""
        key = unquote(urlsplit(f"//host/{self.key}").path) if self.is_web else self.key
        return key.rpartition("/")[2]

    @property
    def path(self) -> Path:
        """The path on this machine. Raises `ValueError` for a remote address."""
        if self.is_remote:
            raise ValueError(f"{self} is not a path on this machine")
        return Path(self.key)

    def __truediv__(self, below: str) -> Address:
        """What lies below it."""
        if not self.is_remote:
            return replace(self, key=str(Path(self.key) / below))
        return replace(self, key=f"{self.key.rstrip('/')}/{below}".lstrip("/"))

    def __str__(self) -> str:
        if not self.is_remote:
            return self.key
        return f"{self.server}/{self.key}" if self.key else self.server


def is_remote(text: str | Path) -> bool:
    """Whether an address needs a network; False for a path and for a scheme that scythe does not read."""
    try:
        return Address.parse(text).is_remote
    except UnknownScheme:
        return False
