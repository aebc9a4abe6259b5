"""A real headless Chromium for tests of a page, spoken to over pipes (the DevTools protocol).

The page is opened from a file. What it logs, requests and shows is recorded: https://chromedevtools.github.io/devtools-protocol/
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any, Self

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
DEADLINE = 60.0
_FLAGS = [
    *("--headless=new", "--remote-debugging-pipe", "--no-first-run", "--no-default-browser-check", "--no-sandbox"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions"),
    *("--enable-unsafe-swiftshader", "--disable-dev-shm-usage", "--mute-audio"),
]


def find_chromium() -> str | None:
    """The browser of this machine, or the one that SCYTHE_TEST_CHROMIUM names; None where there is none."""
    return os.environ.get("SCYTHE_TEST_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)


class Page:
    """A browser with one page. Use it as a context.

    Attributes:
        requests: addresses that the page asked for.
        problems: errors that it logged, exceptions that it threw, dialogs that it opened.
    """

    def __init__(self, program: str, folder: Path, *, width: int = 1100, height: int = 1400) -> None:
        self.requests: list[str] = []
        self.problems: list[str] = []
        self._answers: dict[int, dict[str, Any]] = {}
        self._seen: set[str] = set()
        self._number = 0
        self._rest = b""
        self._session: str | None = None
        theirs_in, self._out = os.pipe()
        self._in, theirs_out = os.pipe()
        high_in, high_out = (fcntl.fcntl(fd, fcntl.F_DUPFD, 20) for fd in (theirs_in, theirs_out))

        def move() -> None:
            os.dup2(high_in, 3)
            os.dup2(high_out, 4)

        flags = [*_FLAGS, f"--user-data-dir={folder}", f"--window-size={width},{height}", "about:blank"]
        with (folder.parent / "chromium.log").open("wb") as log:
            self._process = subprocess.Popen(
                [program, *flags],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=move,  # noqa: PLW1509 - two calls of dup2
                pass_fds=(3, 4),
                start_new_session=True,
            )
        for fd in (theirs_in, theirs_out, high_in, high_out):
            os.close(fd)
        target = next(one for one in self.call("Target.getTargets")["targetInfos"] if one["type"] == "page")
        self._session = self.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network", "Accessibility"):
            self.call(f"{domain}.enable")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._in)
        os.close(self._out)

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """One command of the protocol, and its answer."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": params}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        number = self._number
        self._until(lambda: number in self._answers, f"the answer to {method}")
        answer = self._answers.pop(number)
        assert "error" not in answer, answer
        result: dict[str, Any] = answer["result"]
        return result

    def open(self, file: Path) -> None:
        """Open a file and wait until it is loaded."""
        self._seen.discard("Page.loadEventFired")
        self.call("Page.navigate", url=file.absolute().as_uri())
        self._until(lambda: "Page.loadEventFired" in self._seen, "the end of the loading")

    def run(self, script: str) -> Any:
        """The value of a JavaScript expression in the page."""
        found = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def wait_for(self, script: str) -> None:
        """Wait until an expression is true."""
        end = time.monotonic() + DEADLINE
        while not self.run(script):
            assert time.monotonic() < end, f"not true after {DEADLINE} s: {script}"
            time.sleep(0.05)

    def press(self, key: str) -> None:
        """Press and release a key."""
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=9)

    def media(self, *, scheme: str, kind: str = "") -> None:
        """Light or dark, screen or print."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.call("Emulation.setEmulatedMedia", media=kind, features=features)

    def picture(self) -> bytes:
        """What is on the screen, as PNG."""
        return base64.b64decode(self.call("Page.captureScreenshot")["data"])

    def pdf(self) -> bytes:
        """The page as its printer gets it."""
        return base64.b64decode(self.call("Page.printToPDF", preferCSSPageSize=True, printBackground=False)["data"])

    def _until(self, done: Any, what: str) -> None:
        end = time.monotonic() + DEADLINE
        while not done():
            left = end - time.monotonic()
            assert left > 0, f"{what} did not come"
            assert self._process.poll() is None, f"the browser ended before {what}"
            if select.select([self._in], [], [], min(left, 1.0))[0]:
                *messages, self._rest = (self._rest + os.read(self._in, 1 << 20)).split(b"\0")
                for message in messages:
                    self._take(json.loads(message))

    def _take(self, message: dict[str, Any]) -> None:
        if "id" in message:
            self._answers[message["id"]] = message
            return
        method, params = message["method"], message.get("params", {})
        self._seen.add(method)
        if method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        elif method == "Runtime.exceptionThrown":
            self.problems.append(str(params["exceptionDetails"]))
        elif method == "Page.javascriptDialogOpening":
            self.problems.append(f"a dialog: {params['message']}")
        elif (method == "Log.entryAdded" and params["entry"]["level"] == "error") or (
            method == "Runtime.consoleAPICalled" and params["type"] in {"error", "assert"}
        ):
            self.problems.append(str(params))
