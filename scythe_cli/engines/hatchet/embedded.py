"""The engine that `scythe worker --embedded` starts on this machine, and how `allocate` finds it.

Takes nothing; leaves a file with the connection, readable by its owner alone, for as long as the engine runs.
"""

from __future__ import annotations

import json
import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

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


def adopt() -> None:
    """Without a token, put the connection of this machine's embedded engine into the environment, if one runs."""
    if os.environ.get("HATCHET_CLIENT_TOKEN"):
        return
    try:
        known = json.loads(_file().read_text())
    except (OSError, ValueError):
        return
    if processes.is_alive(known["pid"], known["started"]):
        _connect(known)


def _connect(known: dict[str, str]) -> None:
    for variable, key in _VARIABLES.items():
        if known.get(key):
            os.environ[variable] = known[key]
    os.environ["HATCHET_CLIENT_TLS_STRATEGY"] = "none"


@contextmanager
def running() -> Iterator[None]:
    """Start the engine, leave its connection in the environment and in the file, and stop it at the end.

    Raises:
        EngineError: it cannot be started; the message says what is missing.
    """
    from hatchet_sdk.config import EmbeddedHatchetConfig
    from hatchet_sdk.embedded import start_embedded_sidecar

    try:
        sidecar = start_embedded_sidecar(EmbeddedHatchetConfig())
    except (OSError, RuntimeError, TimeoutError) as exc:
        raise EngineError(
            f"the embedded engine cannot be started: {exc}",
            hint="its program comes from github.com/hatchet-dev/hatchet-embedded on first use; without that network "
            "set HATCHET_CLIENT_EMBEDDED_BINARY_PATH, and HATCHET_CLIENT_EMBEDDED_DATABASE_URL when run as root",
        ) from exc
    known = {
        **sidecar.handshake.model_dump(),
        "pid": os.getpid(),
        "started": processes.start_time(os.getpid()),
    }
    file = _file()
    file.parent.mkdir(parents=True, exist_ok=True)
    fd = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(fd, "w") as out:
        json.dump(known, out)
    _connect(known)
    try:
        yield
    finally:
        file.unlink(missing_ok=True)
        sidecar.stop()
