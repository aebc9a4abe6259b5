"""Run the store contract against versitygw, on loopback with a temporary folder: `python tests/live_s3.py`.

versitygw is an S3 server in Go; it is installed when Go is there and it is not. Arguments go on to pytest.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

MODULE = "github.com/versity/versitygw/cmd/versitygw@v1.8.0"
CREDENTIALS = {"SCYTHE_TEST_S3_KEY": "testing-key", "SCYTHE_TEST_S3_SECRET": "testing-secret"}
DEADLINE = 20.0


def find_server() -> str:
    """The path of versitygw, installed now if need be."""
    go = shutil.which("go")
    home = (
        subprocess.run([go, "env", "GOPATH"], capture_output=True, text=True, check=True).stdout.strip() if go else ""
    )
    paths = os.pathsep.join([os.environ.get("PATH", ""), os.environ.get("GOBIN", ""), f"{home}/bin"])
    if found := shutil.which("versitygw", path=paths):
        return found
    if go is None:
        sys.exit("make live-s3 needs versitygw, or Go to install it: https://go.dev/dl")
    subprocess.run([go, "install", MODULE], check=True, env={"GOFLAGS": "-p=2", **os.environ})
    return shutil.which("versitygw", path=paths) or sys.exit("go install left no versitygw")


@contextmanager
def serving(server: str) -> Iterator[str]:
    """Start the server; its address."""
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        address = "{}:{}".format(*free.getsockname())
    with tempfile.TemporaryDirectory(prefix="scythe-s3-", ignore_cleanup_errors=True) as folder:
        sidecar, root = Path(folder, "metadata"), Path(folder, "root")
        sidecar.mkdir()
        root.mkdir()
        key, secret = CREDENTIALS.values()
        command = [server, "-q", "-p", address, "-a", key, "-s", secret, "posix", "--sidecar", str(sidecar), str(root)]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
            try:
                wait_for(address, process)
                yield f"http://{address}"
            finally:
                process.terminate()


def wait_for(address: str, process: subprocess.Popen[bytes]) -> None:
    """Wait until the server listens."""
    host, _, port = address.rpartition(":")
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end and process.poll() is None:
        with suppress(ConnectionError), socket.create_connection((host, int(port)), timeout=1):
            return
        time.sleep(0.05)
    sys.exit(f"versitygw does not listen on {address}; exit status {process.poll()}")


def main() -> int:
    """Run the tests that are marked live_s3."""
    tests = sys.argv[1:] or [str(Path(__file__).parent / "contracts")]
    with serving(find_server()) as endpoint:
        environment = os.environ | CREDENTIALS | {"SCYTHE_TEST_S3_ENDPOINT": endpoint}
        return subprocess.run(
            [sys.executable, "-m", "pytest", "-m", "live_s3", *tests], env=environment, check=False
        ).returncode


if __name__ == "__main__":
    sys.exit(main())
