"""The engine that `scythe worker --embedded` starts on this machine, and how `allocate` finds it.

Output: a file with the connection, readable by its owner only, for as long as the engine runs.
"""

from __future__ import annotations

import fcntl
import json
import os
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import platformdirs

from scythe_cli.core import processes
from scythe_cli.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Iterator

_VARIABLES = {
    "HATCHET_CLIENT_TOKEN": "token",
    "HATCHET_CLIENT_HOST_PORT": "grpc_address",
    "HATCHET_CLIENT_SERVER_URL": "api_url",
}


def _file() -> Path:
    return Path(platformdirs.user_state_dir("scythe")) / "embedded.json"


def _known() -> dict[str, Any] | None:
    """The connection of this machine's embedded engine, if the process that started it is alive."""
    try:
        known: dict[str, Any] = json.loads(_file().read_text())
        return known if processes.is_alive(known["pid"], known["started"]) else None
    except (OSError, ValueError, KeyError):
        return None


def adopt() -> None:
    """Without a token, put the connection of this machine's embedded engine into the environment, if one runs."""
    if not os.environ.get("HATCHET_CLIENT_TOKEN") and (known := _known()) is not None:
        _connect(known)


def _connect(known: dict[str, Any]) -> None:
    for variable, key in _VARIABLES.items():
        if known.get(key):
            os.environ[variable] = str(known[key])
    os.environ["HATCHET_CLIENT_TLS_STRATEGY"] = "none"


@contextmanager
def running() -> Iterator[int | None]:
    """Join this machine's embedded engine, or start it. Its connection is in the environment, and in a file.

    Yields:
        The process that started the engine which was joined; None where it was started here, and ends with the block.

    Raises:
        EngineError: it cannot be started; the message says what is missing.
    """
    with ExitStack() as stack:
        with _one_at_a_time():
            known = _known()
            joined = None if known is None else int(known["pid"])
            if known is None:
                sidecar = _start()
                stack.callback(sidecar.stop)
                known = {**sidecar.handshake.model_dump(), **_ourselves()}
                _write(known)
                stack.callback(_remove_ours)
        _connect(known)
        yield joined


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Of two workers that start at the same moment, the second waits for the engine of the first."""
    lock = _file().with_suffix(".lock")
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def _ourselves() -> dict[str, Any]:
    return {"pid": os.getpid(), "started": processes.start_time(os.getpid())}


def _write(known: dict[str, Any]) -> None:
    aside = _file().with_suffix(f".{os.getpid()}")
    fd = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(fd, "w") as out:
        json.dump(known, out)
    aside.replace(_file())


def _remove_ours() -> None:
    """Remove the file, unless it is another worker's by now."""
    known = _known()
    if known is not None and known["pid"] == os.getpid():
        _file().unlink(missing_ok=True)


def _start() -> Any:
    """The SDK's engine.

    Raises:
        EngineError: its program is missing, cannot be started, or ended before it was ready.
    """
    from hatchet_sdk.config import EmbeddedHatchetConfig
    from hatchet_sdk.embedded import start_embedded_sidecar

    from scythe_cli.engines.hatchet.quiet_config import print_progress_to_stderr

    print_progress_to_stderr()
    path = os.environ.get("HATCHET_CLIENT_EMBEDDED_BINARY_PATH")
    try:
        return start_embedded_sidecar(EmbeddedHatchetConfig())
    except (OSError, RuntimeError, TimeoutError) as exc:
        crashed = isinstance(exc, TimeoutError) or "exited with code" in str(exc)
        if crashed:
            what, hint = f"it did not become ready: {exc}", _CRASHED
        elif path:
            what = f"HATCHET_CLIENT_EMBEDDED_BINARY_PATH={path} cannot be started: {exc}"
            hint = "set it to the program of hatchet-embedded for this machine, or unset it to have it downloaded"
        else:
            what, hint = f"its program cannot be downloaded: {exc}", _NOT_DOWNLOADED
        raise EngineError(f"the embedded engine cannot be started: {what}", hint=hint) from exc


_CRASHED = "its own words are above; as root it needs HATCHET_CLIENT_EMBEDDED_DATABASE_URL, the address of a PostgreSQL"
_NOT_DOWNLOADED = (
    "it comes from github.com/hatchet-dev/hatchet-embedded on first use; without that network fetch the program "
    "elsewhere, and set HATCHET_CLIENT_EMBEDDED_BINARY_PATH to it"
)
