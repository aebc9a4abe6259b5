"""Files on the web. Input: an `https://` address. Output: what the server says about it, or the whole file.

Nothing but an answer of 200 is ever written, and only as many bytes as the server announced.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from functools import cache
from typing import TYPE_CHECKING, ClassVar

from scythe_cli.core.printable import mask_secrets, printable
from scythe_cli.storage import redirects
from scythe_cli.storage.address import Address
from scythe_cli.storage.cache import Remote

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from urllib3 import BaseHTTPResponse, PoolManager

RETRIES = 4
CONNECT_TIMEOUT = 10.0
READ_TIMEOUT = 60.0
CHUNK = 1 << 20
UNSIZED_LIMIT = 8 << 30
"""Bytes of a file whose server does not say how large it is: it might never end."""
_HEADERS = {"Accept-Encoding": "identity", "User-Agent": "scythe"}
_NO_HEAD = {400, 403, 405, 501}


class _Redirects:
    """A process's own setting.

    Attributes:
        allow_private: follow redirects from public addresses to this machine and its network.
    """

    allow_private: ClassVar[bool] = False


def allow_private(allowed: bool) -> None:
    """Set for this process what `artifacts.allow_private` says."""
    _Redirects.allow_private = allowed


class WebError(Exception):
    """A web server refused, failed, or was not reached.

    Args:
        message: what it said, without the address.
        status: the HTTP status, or None when there was no answer.
    """

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


def head(address: str) -> Remote:
    """Ask for size and version of a file, without getting it. Raises `WebError`."""
    with _answer("HEAD", address) as answer:
        if answer.status not in _NO_HEAD:
            return _remote(answer)
    # addresses signed for GET, and some servers, refuse HEAD alone
    with _answer("GET", address) as answer:
        return _remote(answer)


def download(address: str, path: Path) -> None:
    """Get a file. `path` is only complete when this returns. Raises `WebError`."""
    with _answer("GET", address) as answer, path.open("wb") as file:
        _check(answer)
        size = _remote(answer).size
        free = shutil.disk_usage(path.parent).free
        if size is not None and size > free:
            raise WebError(f"has {size:,} bytes, and the disk of the cache has {free:,} left")
        for chunk in answer.stream(CHUNK, decode_content=False):
            file.write(chunk)
            if size is None and file.tell() > UNSIZED_LIMIT:
                raise WebError(f"the server does not say how large it is, and it has more than {UNSIZED_LIMIT:,} bytes")
        file.flush()
        os.fsync(file.fileno())


@contextlib.contextmanager
def _answer(method: str, address: str) -> Iterator[BaseHTTPResponse]:
    from urllib3.exceptions import HTTPError

    try:
        answer = _followed(method, address)
        try:
            yield answer
        except BaseException:
            answer.close()
            raise
        if method == "HEAD":
            answer.drain_conn()
        else:
            answer.close()  # what is left of an unread body is not worth reading
    except HTTPError as exc:
        reason = getattr(exc, "reason", None) or exc.__cause__ or exc
        raise WebError(mask_secrets(str(reason))) from exc


def _followed(method: str, address: str) -> BaseHTTPResponse:
    """The answer at the end of the redirects."""
    for _ in range(redirects.MOST + 1):
        answer = _pool(address, os.getpid()).request(
            method, address, headers=_HEADERS, preload_content=False, redirect=False
        )
        location = answer.get_redirect_location()
        if not location:
            return answer
        answer.close()
        try:
            address = redirects.follow(address, location, allow_private=_Redirects.allow_private)
        except ValueError as exc:
            raise WebError(mask_secrets(str(exc)), 403) from exc
    raise WebError(f"redirects more than {redirects.MOST} times", 403)


def _check(answer: BaseHTTPResponse) -> None:
    if answer.status != 200:
        raise WebError(printable(f"{answer.status} {answer.reason or ''}".strip()[:200]), answer.status)


def _remote(answer: BaseHTTPResponse) -> Remote:
    _check(answer)
    size = answer.headers.get("Content-Length", "")
    known = size.isascii() and size.isdecimal() and len(size) < 20
    return Remote(int(size) if known else None, answer.headers.get("ETag") or answer.headers.get("Last-Modified") or "")


def _pool(address: str, process: int) -> PoolManager:
    from urllib.request import getproxies, proxy_bypass

    parsed = Address.parse(address)
    proxies = getproxies()
    proxy = proxies.get(parsed.scheme) or proxies.get("all")
    return _manager(proxy if proxy and not proxy_bypass(parsed.hostname) else None, process)


@cache
def _manager(proxy: str | None, process: int) -> PoolManager:  # noqa: ARG001 - a fork must not share connections
    from urllib3 import PoolManager, ProxyManager, Retry, Timeout

    retries = Retry(
        total=RETRIES,
        connect=2,
        backoff_factor=0.5,
        backoff_jitter=0.5,
        status_forcelist=(429, 500, 502, 503, 504),
        raise_on_status=False,
        respect_retry_after_header=False,
    )
    timeout = Timeout(connect=CONNECT_TIMEOUT, read=READ_TIMEOUT)
    if proxy is None:
        return PoolManager(maxsize=32, retries=retries, timeout=timeout)
    return ProxyManager(proxy, maxsize=32, retries=retries, timeout=timeout)
