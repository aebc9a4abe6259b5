"""Runs in a bucket. Input: bytes and files. Output: objects. Only this module and `s3_client` know S3.

obstore moves the bytes. The credentials come from boto3's default session: environment, profiles, SSO, roles. obstore
retries with backoff: for seconds until the server has answered once, so that a wrong endpoint is reported at once, and
for a minute and a half after that, so that a run survives a lost connection.
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
import uuid
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from scythe_cli.errors import ConfigError, KeyExists, KeyMissing, StoreError
from scythe_cli.storage.address import Address, Scheme
from scythe_cli.storage.atomic_files import as_store_error, place, source_file, write_aside
from scythe_cli.storage.base import Entry, check_key, check_prefix, check_size
from scythe_cli.storage.s3_client import Bucket, explain, refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path
    from typing import BinaryIO

    import polars as pl
    from obstore import GetResult, ObjectMeta
    from obstore.store import S3Store as Handle

    from scythe_cli.storage.base import Store, Ticker

    T = TypeVar("T")

MIB = 1 << 20
PART = 8 * MIB
"""Larger files go up in parts of this, or of 1/9000 of the file: S3 allows 10,000 parts."""
IN_MEMORY = 48 * MIB
"""What all transfers of a process may hold at a time."""
TOKEN = "scythe-token"  # noqa: S105 - a name
RESUMES = 20
"""How often a download continues after its body broke off."""

_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}")


class S3Store:
    """A bucket's prefix as a `Store`."""

    def __init__(self, bucket: Bucket, prefix: str) -> None:
        self._bucket = bucket
        self._prefix = prefix
        self._root = Address(Scheme.S3, bucket.name, prefix)

    @classmethod
    def open(cls, address: Address, *, patient: bool = False) -> S3Store:
        """Open `s3://bucket/prefix`. With `patient`, wait for a server even if it has not answered once yet.

        Raises:
            ConfigError: the address is not that of a bucket and a prefix.
            StoreError: no credentials, or no region.
        """
        if not _BUCKET.fullmatch(address.host):
            rule = f"{address.host!r} is not the name of a bucket; write s3://bucket/prefix"
            raise ConfigError(f"storage {str(address)!r}: {rule}")
        try:
            folder = check_prefix(address.key)
        except ValueError as exc:
            raise ConfigError(f"storage {str(address)!r}: {exc}") from exc
        return cls(Bucket.connect(address.host, patient=patient), folder)

    @property
    def address(self) -> str:
        return str(self._root).rstrip("/")

    def locate(self, key: str) -> str:
        return str(self._root / check_key(key)) if key else self.address

    def within(self, prefix: str) -> S3Store:
        return S3Store(self._bucket, self._prefix + check_prefix(prefix))

    def read(self, key: str, *, limit: int | None = None) -> bytes:
        import obstore

        def get(handle: Handle) -> bytes:
            found = obstore.get(handle, self._full(key))
            check_size(self.locate(key), found.meta["size"], limit)
            return bytes(found.bytes())

        return self._ask("read", key, get)

    def open_file(self, key: str) -> BinaryIO | None:  # noqa: ARG002 - an object in a bucket is not a file
        return None

    def stat(self, key: str) -> Entry:
        import obstore

        try:
            meta = self._ask("read", key, lambda handle: obstore.head(handle, self._full(key)))
        except KeyMissing:
            if not self._bucket.seen:  # an answer to HEAD does not say whether it is the bucket that is missing
                next(self.list(key), None)
            raise
        return self._entry(meta)

    def write(self, key: str, data: bytes, *, new: bool = False) -> None:
        import obstore

        if new:
            self._create(key, data)
        else:
            self._ask("write", key, lambda handle: obstore.put(handle, self._full(key), data))

    def delete(self, key: str) -> None:
        import obstore

        with contextlib.suppress(KeyMissing):
            self._ask("delete", key, lambda handle: obstore.delete(handle, self._full(key)))

    def list(self, prefix: str = "") -> Iterator[Entry]:
        import obstore

        head = self._prefix + check_prefix(prefix)
        with self._as_store_error("list", prefix):
            held: Entry | None = None
            self._refuse_web_page(prefix)
            for page in obstore.list(self._bucket.handle(), head or None, chunk_size=1000):
                self._bucket.seen = True
                for meta in page:
                    if len(meta["path"]) < len(head):  # what some tools put for the folder itself
                        continue
                    entry = self._entry(meta)
                    if held and not entry.key.startswith(f"{held.key}/"):
                        yield held
                    held = entry if not entry.size else None  # perhaps what some tools put for a folder
                    if not held:
                        yield entry
            if held:
                yield held

    def children(self, prefix: str = "") -> Sequence[str]:
        import obstore

        head = self._prefix + check_prefix(prefix)
        with self._as_store_error("list", prefix):
            self._refuse_web_page(prefix)
            found = obstore.list_with_delimiter(self._bucket.handle(), head or None)
            self._bucket.seen = True
            return sorted(path[len(head) :] for path in found["common_prefixes"])

    def upload(self, key: str, path: Path, *, on_bytes: Ticker | None = None, consume: bool = False) -> None:
        with source_file(path) as source:
            size = os.fstat(source.fileno()).st_size
            with _MEMORY.take(size if size <= PART else IN_MEMORY):
                if size <= PART:
                    self.write(key, source.read())
                    if on_bytes:
                        on_bytes(size)
                else:
                    self._upload_parts(key, source, size, on_bytes)
        if consume:
            path.unlink(missing_ok=True)

    def download(self, key: str, path: Path, *, on_bytes: Ticker | None = None) -> None:
        with as_store_error("write", path):
            place(write_aside(path, lambda file: self._pour(key, file, on_bytes)), path, new=False)

    def copy_from(self, source: Store, source_key: str, key: str) -> bool:
        import obstore

        if not isinstance(source, S3Store) or (self._bucket.name, self._bucket.endpoint) != (
            source._bucket.name,
            source._bucket.endpoint,
        ):
            return False
        self._ask(
            "write", key, lambda handle: obstore.copy(handle, source._full(source_key), self._full(key), overwrite=True)
        )
        return True

    def scan(self, keys: Sequence[str]) -> pl.LazyFrame:
        import polars as pl

        addresses = [self.locate(key) for key in keys]
        return pl.scan_parquet(
            addresses,
            glob=False,
            storage_options=self._bucket.polars_options(),
            credential_provider=self._bucket.polars_credentials,
        )

    def _refuse_web_page(self, prefix: str) -> None:
        """A web server may answer anything with a page and status 200, also where there cannot be an object."""
        import obstore
        from obstore.exceptions import BaseError

        if self._bucket.seen or not self._bucket.endpoint:
            return
        try:
            obstore.head(self._bucket.handle(), f"{self._prefix}{uuid.uuid4().hex}")
        except FileNotFoundError:
            return
        except BaseError as exc:
            if not refused(exc):
                raise
            return  # an answer to HEAD has no body: the list says why, or is allowed although reading is not
        raise StoreError(
            f"cannot list {self.locate(prefix)}: what answers at {self._bucket.endpoint} is not S3, perhaps a web page",
            hint="check AWS_ENDPOINT_URL, or the profile's endpoint_url",
        )

    def _create(self, key: str, data: bytes) -> None:
        """Put an object if there is none. A retried create may find its own object: the token shows it."""
        token = uuid.uuid4().hex
        for _ in range(3):
            if self._put_new(key, data, token):
                break
            with contextlib.suppress(KeyMissing):  # gone again: create it
                if self._token(key) != token:
                    raise KeyExists(f"{self.locate(key)} exists already")
                break
        else:
            raise StoreError(
                f"cannot create {self.locate(key)}: the server says that it exists, and has no such object"
            )
        if not self._bucket.conditional:
            self._check_conditional(key, data)

    def _put_new(self, key: str, data: bytes, token: str) -> bool:
        import obstore
        from obstore.exceptions import AlreadyExistsError

        def put(handle: Handle) -> bool:
            if not self._bucket.conditional:
                handle = self._bucket.at_once()  # a server that cannot do this says so each time
            try:
                obstore.put(
                    handle, self._full(key), data, attributes={TOKEN: token}, mode="create", use_multipart=False
                )
            except AlreadyExistsError:
                return False
            return True

        try:
            return self._ask("create", key, put)
        except StoreError as exc:
            if self._bucket.conditional or ": 501 " in exc.message:
                raise
        self._bucket.conditional = True  # another error: it is tried again, for as long as usual
        try:
            return self._ask("create", key, put)
        finally:
            self._bucket.conditional = False

    def _token(self, key: str) -> str | None:
        import obstore

        return self._ask("read", key, lambda handle: obstore.get(handle, self._full(key)).attributes.get(TOKEN))

    def _check_conditional(self, key: str, data: bytes) -> None:
        """Some servers ignore the condition: then nothing may rely on it, and a second create shows it."""
        import obstore

        if self._put_new(key, data, uuid.uuid4().hex):
            self._ask("delete", key, lambda handle: obstore.delete(handle, self._full(key)))
            raise StoreError(
                f"cannot create {self.locate(key)} safely: the server overwrites objects although it is asked not to"
                " (it needs conditional writes, If-None-Match; update the server or choose another storage)"
            )
        self._bucket.conditional = True

    def _upload_parts(self, key: str, source: BinaryIO, size: int, on_bytes: Ticker | None) -> None:
        import obstore

        part = max(PART, -(-size // 9000))

        def put(handle: Handle) -> None:
            source.seek(0)
            obstore.put(
                handle,
                self._full(key),
                _chunks(source, on_bytes),
                use_multipart=True,
                chunk_size=part,
                max_concurrency=max(1, IN_MEMORY // part - 2),
            )

        self._ask("write", key, put)

    def _pour(self, key: str, file: BinaryIO, on_bytes: Ticker | None) -> None:
        """Write an object's bytes; when the body breaks off, go on from there, if it is still the same object."""
        from obstore.exceptions import BaseError

        etag: str | None = None
        for resumes in range(RESUMES + 1):
            rest = partial(_get, key=self._full(key), offset=file.tell(), etag=etag)
            got = self._ask("read", key, rest)
            etag, size = got.meta["e_tag"], got.meta["size"]
            try:
                for chunk in got.stream(min_chunk_size=MIB):
                    file.write(chunk)
                    if on_bytes:
                        on_bytes(len(chunk))
            except BaseError as exc:
                if resumes == RESUMES:
                    raise self._error("read", key, exc) from exc
                continue
            if file.tell() == size:
                return
        raise StoreError(f"cannot read {self.locate(key)}: the connection breaks each time (check the network)")

    def _ask(self, operation: str, key: str, request: Callable[[Handle], T]) -> T:
        with self._as_store_error(operation, key):
            answer = request(self._bucket.handle())
        self._bucket.seen = True
        return answer

    @contextlib.contextmanager
    def _as_store_error(self, operation: str, key: str) -> Iterator[None]:
        """The edge where obstore's errors become ours."""
        from obstore.exceptions import BaseError

        try:
            yield
        except (BaseError, FileNotFoundError) as exc:
            raise self._error(operation, key, exc) from exc

    def _error(self, operation: str, key: str, exc: Exception) -> KeyMissing | StoreError:
        problem = explain(exc, operation=operation, endpoint=self._bucket.endpoint)
        self._bucket.answered = self._bucket.answered or problem.answered
        if problem.missing:
            return KeyMissing(f"{self.locate(key)} does not exist")
        return StoreError(f"cannot {operation} {self.locate(key)}: {problem.text}")

    def _full(self, key: str) -> str:
        return self._prefix + check_key(key)

    def _entry(self, meta: ObjectMeta) -> Entry:
        etag, modified = (meta["e_tag"] or "").strip('"'), meta["last_modified"].timestamp()
        return Entry(meta["path"][len(self._prefix) :], meta["size"], etag, modified)


def _get(handle: Handle, key: str, offset: int, etag: str | None) -> GetResult:
    import obstore

    if not offset:
        return obstore.get(handle, key)
    return obstore.get(handle, key, options={"range": {"offset": offset}, "if_match": etag})


def _chunks(source: BinaryIO, on_bytes: Ticker | None) -> Iterator[bytes]:
    while chunk := source.read(MIB):
        yield chunk
        if on_bytes:
            on_bytes(len(chunk))


class _Memory:
    """A number of bytes that transfers share, first come first served."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._used = 0
        self._door = threading.Lock()
        self._changed = threading.Condition()

    @contextlib.contextmanager
    def take(self, size: int) -> Iterator[None]:
        with self._door, self._changed:
            self._changed.wait_for(lambda: self._used + size <= self._limit)
            self._used += size
        try:
            yield
        finally:
            with self._changed:
                self._used -= size
                self._changed.notify_all()


_MEMORY = _Memory(IN_MEMORY)
